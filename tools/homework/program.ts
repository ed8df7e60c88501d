/**
 * The program that judges one exercise: the chapter's own cells that its check needs, the learner's solution cells, the
 * check. Whatever else a notebook holds is left out, so a check takes milliseconds and edited cells change nothing.
 *
 * Each solution cell stands in a function of its own, which hands out only the names that the chapter's cell declares: a
 * learner's `assertEquals` or `Math` is seen by the learner's code alone.
 */
import { stripTypeScriptTypes } from "node:module";
import { type CodeCell, codeCells } from "../export/chapter.ts";
import { type ImportedName, specifierOf } from "../export/imports.ts";
import { type Cell, type Notebook, NotebookError } from "../notebook.ts";
import { type AnyNode, parseModule, visit } from "../syntax.ts";
import type { Origin } from "../tangle.ts";
import { type Exercise, exercisesOf, gradeIdOf, visibleCheck } from "./exercises.ts";
import { declaredNames, freeNames } from "./names.ts";

/** A program for the sandbox. */
export interface Program {
  /** Body of an async function of `$modules`, `$cell`, `$missing` and `$begin`. */
  body: string;
  /** Modules that it imports. */
  modules: string[];
  /** For each line of `body`, from 0, where it comes from. */
  origins: (Origin | undefined)[];
}

/** A code cell, read once. */
interface ReadCell {
  /** grade_id where it has one, else the cell's id. */
  id: string;
  kind: "plain" | "solution" | "check";
  source: string;
  imports: ImportedName[];
  statements: AnyNode[];
  /** Source without directives and imports, and `export` blanked. */
  code: string;
}

/** A chapter as grading sees it. */
export interface Master {
  name: string;
  module: string | undefined;
  notebook: Notebook;
  exercises: Exercise[];
  cells: ReadCell[];
}

/** Why a learner's cell cannot be used; the message is for its author. */
class CellProblem extends Error {
  constructor(message: string, readonly line?: number) {
    super(message);
  }
}

/**
 * Reads a chapter for grading.
 *
 * @throws NotebookError if it does not parse or its exercises are not in order
 */
export function readMaster(file: string, name: string, notebook: Notebook): Master {
  const exercises = exercisesOf(file, notebook);
  const code = notebook.cells.filter((cell) => cell.cell_type === "code");
  const read = codeCells(file, notebook);
  const cells = code.map((cell, i) => readCell(cell, read[i]));
  return { name, module: read[0]?.directives.module, notebook, exercises, cells };
}

/** `readMaster` on a notebook of a learner's, in which cells may be broken: those are left out, checks must be whole. */
export function readOwnMaster(file: string, name: string, notebook: Notebook): Master {
  const cells = notebook.cells.filter((cell) => cell.cell_type === "code").flatMap((cell) => {
    try {
      return [readCell(cell, oneCell(cell))];
    } catch (error) {
      if (error instanceof CellProblem) {
        return [{
          id: gradeIdOf(cell),
          kind: kindOf(cell),
          source: cell.source,
          imports: [],
          statements: [],
          code: "",
        }];
      }
      throw error;
    }
  });
  const module = /^\s*\/\/\|\s*default_exp\s+(\S+)/m.exec(cells[0]?.source ?? "")?.[1];
  return { name, module, notebook, exercises: exercisesOf(file, notebook), cells };
}

function readCell(cell: Cell, read: CodeCell): ReadCell {
  const statements = parseModule(read.code).program.body;
  return {
    id: gradeIdOf(cell),
    kind: kindOf(cell),
    source: cell.source,
    imports: read.imports,
    statements,
    code: blankExports(read.code, statements),
  };
}

function kindOf({ metadata }: Cell): ReadCell["kind"] {
  if (metadata.nbgrader?.grade) return "check";
  return metadata.nbgrader?.solution ? "solution" : "plain";
}

function oneCell(cell: Cell): CodeCell {
  try {
    return codeCells("", { nbformat: 4, nbformat_minor: 5, metadata: {}, cells: [cell] })[0];
  } catch (error) {
    if (!(error instanceof NotebookError)) throw error;
    const message = error.message.replace(/^[^:]*: /, "");
    const line = Number(/^line (\d+)/.exec(message)?.[1]) || undefined;
    throw new CellProblem(message.replace(/^line \d+, column \d+: /, "").split("\n")[0], line);
  }
}

/** `export` goes, what it exports stays; lists of names and re-exports go whole. */
function blankExports(code: string, statements: AnyNode[]): string {
  for (const { type, start, end, declaration } of statements) {
    if (!/^Export/.test(type)) continue;
    code = blank(code, start, declaration ? declaration.start : end);
  }
  return code;
}

function blank(text: string, start: number, end: number): string {
  return text.slice(0, start) + text.slice(start, end).replace(/[^\n]/g, " ") + text.slice(end);
}

const stripped = new Map<string, string>();

/** TypeScript without its types; lines stay where they are, unless there is an enum or the like. */
function toJavaScript(code: string): string {
  let result = stripped.get(code);
  if (result === undefined) {
    try {
      result = stripTypeScriptTypes(code, { mode: "strip" });
    } catch {
      result = stripTypeScriptTypes(code, { mode: "transform" });
    }
    stripped.set(code, result);
  }
  return result;
}

/** What a learner hands in for one solution cell: text for the program, or why there is none. */
interface Block {
  lines: string[];
  origins: (Origin | undefined)[];
  needs: Set<string>;
  imports: string[];
  problem?: { message: string; line?: number };
}

/** Programs for one learner's notebook, measured against a chapter. */
export class Judge {
  readonly #master: Master;
  readonly #own: Map<string, ReadCell | CellProblem>;
  readonly #extras: ReadCell[];
  readonly #declaredIn = new Map<string, { cell: number; statement: number }>();
  readonly #imported = new Map<string, ImportedName>();
  readonly #blocks = new Map<string, Block>();
  readonly #isAllowed: (specifier: string) => boolean;

  /**
   * @param learner the notebook that was handed in
   * @param isAllowed which modules a learner's cell may import
   */
  constructor(master: Master, learner: Notebook, isAllowed: (specifier: string) => boolean) {
    this.#master = master;
    this.#isAllowed = isAllowed;
    master.cells.forEach((cell, index) => this.#index(cell, index));
    this.#own = ownSolutions(master, learner);
    this.#extras = extraCells(master, learner);
  }

  #index(cell: ReadCell, index: number): void {
    for (const one of cell.imports) if (!one.isType) this.#imported.set(one.local, one);
    if (cell.kind === "check") return;
    cell.statements.forEach((statement, at) => {
      for (const name of declaredNames([statement])) {
        this.#declaredIn.set(name, { cell: index, statement: at });
      }
    });
  }

  /** What keeps an exercise from being run at all: a cell that is missing or does not parse. */
  problem(exercise: Exercise): { cell: string; message: string; line?: number } | undefined {
    for (const cell of exercise.solutions) {
      const { problem } = this.#block(cell);
      if (problem) return { cell, ...problem };
    }
  }

  /** The learner's text of a solution cell, "" if there is none. */
  source(id: string): string {
    const own = this.#own.get(id);
    return own && !(own instanceof CellProblem) ? own.source : "";
  }

  /** The program for one exercise, with or without the cases that learners do not see. */
  program(exercise: Exercise, { hidden }: { hidden: boolean }): Program {
    const index = this.#master.cells.findIndex(({ id, kind }) =>
      kind === "check" && id === exercise.check
    );
    const check = this.#master.cells[index];
    const source = hidden ? check.source : visibleCheck(check.source);
    const { statements, code } = readCheck(source, check);
    const selected = this.#select(new Set(freeNames(statements).keys()));
    return this.#compose(exercise, selected, code, statements);
  }

  /** The chapter's statements and solution cells behind some names, transitively. */
  #select(wanted: Set<string>): Selection {
    const selected: Selection = { statements: new Map(), blocks: new Set(), imports: new Map() };
    const queue = [...wanted];
    const seen = new Set(queue);
    const add = (names: Iterable<string>) => {
      for (const name of names) if (!seen.has(name)) seen.add(name), queue.push(name);
    };
    while (queue.length) {
      const name = queue.pop()!;
      const place = this.#declaredIn.get(name);
      const imported = this.#imported.get(name);
      if (!place) {
        if (imported) selected.imports.set(name, imported);
        continue;
      }
      const cell = this.#master.cells[place.cell];
      if (cell.kind === "solution") {
        selected.blocks.add(cell.id);
        add(this.#block(cell.id).needs);
      } else add(this.#selectStatement(selected, place.cell, place.statement));
    }
    return selected;
  }

  /** Selects a statement and those of its cell that go on working on what it declares; gives the names they need. */
  #selectStatement(selected: Selection, cell: number, at: number): string[] {
    const chosen = selected.statements.get(cell) ?? new Set();
    selected.statements.set(cell, chosen.add(at));
    const { statements } = this.#master.cells[cell];
    const names = new Set(declaredNames([statements[at]]));
    const needs = [...freeNames([statements[at]]).keys()];
    statements.forEach((statement, index) => {
      if (index <= at || declaredNames([statement]).length || this.#isDisplay(statement)) return;
      const used = [...freeNames([statement]).keys()];
      if (!used.some((name) => names.has(name))) return;
      chosen.add(index);
      needs.push(...used);
    });
    return needs;
  }

  /** Whether a statement only shows or asserts something. */
  #isDisplay(statement: AnyNode): boolean {
    return [...freeNames([statement]).keys()].some((name) => {
      const imported = this.#imported.get(name);
      return imported && /^lib\/notebook\/|^@std\/assert/.test(specifierOf(imported));
    });
  }

  #compose(exercise: Exercise, selected: Selection, code: string, check: AnyNode[]): Program {
    const out = new Writer();
    out.add(['"use strict";']);
    const modules = new Set<string>();
    for (const one of selected.imports.values()) {
      modules.add(specifierOf(one));
      out.add([importConstant(one)]);
    }
    this.#master.cells.forEach((cell, index) => {
      if (selected.blocks.has(cell.id) && cell.kind === "solution") {
        const { lines, origins, imports } = this.#block(cell.id);
        imports.forEach((one) => modules.add(one));
        out.add(lines, origins);
      }
      const chosen = selected.statements.get(index);
      if (chosen) out.addCell(cell.id, only(cell, chosen));
    });
    out.add(["$begin();"]);
    out.addCell(exercise.check, withResult(code, check));
    return { body: out.lines.join("\n"), modules: [...modules], origins: out.origins };
  }

  #block(id: string): Block {
    const known = this.#blocks.get(id);
    if (known) return known;
    const names = declaredNames(
      this.#master.cells.find((cell) => cell.kind === "solution" && cell.id === id)!.statements,
    );
    let block: Block;
    try {
      block = this.#ownBlock(id, names);
    } catch (error) {
      if (!(error instanceof CellProblem)) throw error;
      const why = JSON.stringify(`cell "${id}" cannot be used: ${error.message}`);
      const lines = names.map((name) => `const ${name} = $missing(${why});`);
      const { message, line } = error;
      const origins = lines.map(() => undefined);
      block = { lines, origins, needs: new Set(), imports: [], problem: { message, line } };
    }
    this.#blocks.set(id, block);
    return block;
  }

  #ownBlock(id: string, names: string[]): Block {
    const own = this.#own.get(id);
    if (own === undefined) throw new CellProblem("the cell is not in the notebook.");
    if (own instanceof CellProblem) throw own;
    const extras = this.#extrasFor(own);
    [own, ...extras].forEach((cell) => this.#refuse(cell));
    const given = new Set(declaredNames(own.statements));
    const lost = names.find((name) => !given.has(name));
    if (lost) throw new CellProblem(`it no longer declares \`${lost}\`.`);
    const out = new Writer();
    out.add([
      `const { ${names.join(", ")} } = await $cell(${JSON.stringify(id)}, async function () {`,
    ]);
    for (const extra of extras) out.addBlock(extra, declaredNames(extra.statements));
    out.addBlock(own, names, true);
    out.add([`}, ${JSON.stringify(names)});`]);
    const cells = [own, ...extras];
    const known = new Set(extras.flatMap((cell) => declaredNames(cell.statements)));
    const needs = new Set(cells.flatMap((cell) => outerNames(cell)).filter((n) => !known.has(n)));
    const imports = cells.flatMap((cell) => cell.imports).filter((one) => !one.isType).map(
      specifierOf,
    );
    return { lines: out.lines, origins: out.origins, needs, imports };
  }

  /** Cells that the learner added, as far as this one needs them, in the notebook's order. */
  #extrasFor(own: ReadCell): ReadCell[] {
    const chosen = new Set<ReadCell>();
    const queue = outerNames(own);
    while (queue.length) {
      const name = queue.pop()!;
      if (this.#declaredIn.has(name) || this.#imported.has(name)) continue;
      const extra = this.#extras.findLast((cell) =>
        declaredNames(cell.statements).includes(name) ||
        cell.imports.some(({ local, isType }) => local === name && !isType)
      );
      if (!extra || chosen.has(extra)) continue;
      chosen.add(extra);
      queue.push(...outerNames(extra));
    }
    return this.#extras.filter((cell) => chosen.has(cell));
  }

  /** @throws CellProblem for what a submission may not do, where it can be seen before anything runs */
  #refuse(cell: ReadCell): void {
    for (const one of cell.imports) {
      const specifier = specifierOf(one);
      if (one.isType || this.#isAllowed(specifier)) continue;
      throw new CellProblem(
        `it imports "${specifier}", which an exercise may not.`,
        one.line,
      );
    }
    for (const { name, isWritten, line } of freeNames(cell.statements).values()) {
      if (/^\$(modules|cell|missing|begin)$/.test(name)) {
        throw new CellProblem(`it uses \`${name}\`, which belongs to the grader.`, line);
      }
      if (!isWritten || !(this.#declaredIn.has(name) || this.#imported.has(name))) continue;
      throw new CellProblem(`it assigns to \`${name}\`, which is not its own.`, line);
    }
    visit(cell.statements, (node) => {
      const what = node.type === "MetaProperty" && node.meta?.name === "import"
        ? "import.meta"
        : node.type === "ImportExpression" || node.type === "Import"
        ? "import()"
        : undefined;
      if (what) {
        throw new CellProblem(`it uses ${what}, which an exercise may not.`, node.loc.start.line);
      }
    });
  }
}

interface Selection {
  /** For each cell, by its index, the statements that are wanted. */
  statements: Map<number, Set<number>>;
  blocks: Set<string>;
  imports: Map<string, ImportedName>;
}

/** Text with a note, for each line, of where it comes from. */
class Writer {
  readonly lines: string[] = [];
  readonly origins: (Origin | undefined)[] = [];

  add(lines: string[], origins: (Origin | undefined)[] = lines.map(() => undefined)): void {
    this.lines.push(...lines);
    this.origins.push(...origins);
  }

  /** TypeScript of a cell. Where an enum or the like has moved its lines, they are not traced. */
  addCell(cell: string, code: string): void {
    const lines = toJavaScript(code).split("\n");
    const isInPlace = lines.length === code.split("\n").length;
    this.add(lines, lines.map((_, index) => isInPlace ? { cell, line: index + 1 } : undefined));
  }

  /** A learner's cell in braces; its names are handed on, or returned. */
  addBlock({ id, code, imports }: ReadCell, names: string[], isLast = false): void {
    const given = imports.filter((one) => !one.isType && one.local).map((one) => one.local);
    const all = isLast ? names : [...new Set([...names, ...given])];
    const head = imports.filter((one) => !one.isType).map(importConstant).join(" ");
    this.add([
      isLast ? `{ ${head}` : `const { ${all.join(", ")} } = await (async function () { ${head}`,
    ]);
    this.addCell(id, code);
    this.add([`return { ${all.join(", ")} }; }${isLast ? "" : ").call(undefined);"}`]);
  }
}

function importConstant(one: ImportedName): string {
  const module = `$modules[${JSON.stringify(specifierOf(one))}]`;
  if (one.imported === "") return "";
  if (one.imported === "*") return `const ${one.local} = ${module};`;
  return `const { ${one.imported}: ${one.local} } = ${module};`;
}

/** Names that a cell needs from other cells. */
function outerNames({ statements, imports }: ReadCell): string[] {
  const own = new Set(imports.map(({ local }) => local));
  return [...freeNames(statements).keys()].filter((name) => !own.has(name));
}

/** A cell's code with only some of its statements; the others are blanked. */
function only({ code, statements }: ReadCell, chosen: Set<number>): string {
  return statements.reduce(
    (text, { start, end }, index) => chosen.has(index) ? text : blank(text, start, end),
    code,
  );
}

function readCheck(source: string, check: ReadCell): { statements: AnyNode[]; code: string } {
  if (source === check.source) return check;
  const cell: Cell = { id: check.id, cell_type: "code", source, metadata: {} };
  return readCell(cell, oneCell(cell));
}

/** A check that ends in an expression gives it back: a number is a partial grade, as in nbgrader. */
function withResult(code: string, statements: AnyNode[]): string {
  const last = statements.at(-1);
  if (last?.type !== "ExpressionStatement") return code;
  const { start, end } = last.expression;
  return `${code.slice(0, start)}return (${code.slice(start, end)});${code.slice(last.end)}`;
}

/**
 * The learner's cell for each solution cell of the chapter: by grade_id, else by id, else the one that declares the same
 * names; of several, the last, as in nbgrader.
 */
function ownSolutions(master: Master, learner: Notebook): Map<string, ReadCell | CellProblem> {
  const own = new Map<string, ReadCell | CellProblem>();
  const code = learner.cells.filter((cell) => cell.cell_type === "code");
  for (const { id, kind, statements } of master.cells) {
    if (kind !== "solution") continue;
    const names = declaredNames(statements);
    const cell = learner.cells.findLast(({ metadata }) => metadata.nbgrader?.grade_id === id) ??
      learner.cells.findLast((cell) => cell.id === id) ??
      code.findLast((cell) => declaresAll(cell, names));
    if (cell) own.set(id, attempt(cell, id));
  }
  return own;
}

function declaresAll(cell: Cell, names: string[]): boolean {
  const read = attempt(cell, cell.id);
  if (read instanceof CellProblem) return false;
  const declared = declaredNames(read.statements);
  return names.every((name) => declared.includes(name));
}

function attempt(cell: Cell, id: string): ReadCell | CellProblem {
  if (cell.cell_type !== "code") return new CellProblem("it is no code cell any more.");
  try {
    return { ...readCell(cell, oneCell(cell)), id };
  } catch (error) {
    if (error instanceof CellProblem) return error;
    return new CellProblem(`it cannot be read: ${(error as Error).message.split("\n")[0]}`);
  }
}

/** Code cells that a learner added or changed, apart from exercises and checks. */
function extraCells(master: Master, learner: Notebook): ReadCell[] {
  const graded = new Set(master.exercises.flatMap(({ solutions, check }) => [...solutions, check]));
  const original = new Map(master.cells.map(({ id, source }) => [id, source]));
  return learner.cells
    .filter((cell) => cell.cell_type === "code" && !graded.has(gradeIdOf(cell)))
    .filter((cell) => original.get(cell.id) !== cell.source)
    .map((cell) => attempt(cell, cell.id))
    .filter((cell): cell is ReadCell => !(cell instanceof CellProblem));
}
