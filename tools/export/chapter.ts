/** What a chapter exports: its module's name and, cell by cell, imports, declarations and code. */
import { basename } from "node:path";
import { type Cell, type Notebook, NotebookError } from "../notebook.ts";
import { type Comment, parseModule, problemOf, type Statement } from "../syntax.ts";
import { type Declaration, declarationsOf } from "./declarations.ts";
import { type Directives, readDirectives, refuseLateDirective } from "./directives.ts";
import { type ImportedName, isImport, mergeImports, namesOf, specifierOf } from "./imports.ts";

/** A line of code and where it comes from. */
export interface SourceLine {
  text: string;
  /** Line in the cell, from 1. */
  line: number;
}

/** A code cell taken apart. */
export interface CodeCell {
  id: string;
  directives: Directives;
  source: string;
  imports: ImportedName[];
  /** The source without directives and imports; their lines are left blank. */
  code: string;
  declarations: Declaration[];
}

/** A chapter that exports a module. */
export interface Chapter {
  file: string;
  /** `03-attention`. */
  name: string;
  /** The first heading of the notebook. */
  title: string;
  /** `attention`, for lib/attention.ts. */
  module: string;
  /** The exported cells. */
  cells: CodeCell[];
  /** The code cells that stay in the notebook. */
  rest: CodeCell[];
  /** Imports of all exported cells, merged. */
  imports: ImportedName[];
}

/**
 * Takes the code cells of a notebook apart, exported or not.
 *
 * @throws NotebookError for a syntax error or a wrong directive, naming the cell
 */
export function codeCells(file: string, notebook: Notebook): CodeCell[] {
  return notebook.cells.filter((cell) => cell.cell_type === "code").map((cell) =>
    codeCell(file, { ...cell, source: withLineFeeds(file, cell) })
  );
}

/** Windows and old editors end lines otherwise; the parser counts two more characters as line ends, which no editor shows. */
function withLineFeeds(file: string, { id, source }: Cell): string {
  const text = source.replace(/\r\n?/g, "\n");
  const line = text.split("\n").findIndex((line) => /[\u2028\u2029]/.test(line));
  if (line < 0) return text;
  const problem = `line ${line + 1}: holds an invisible U+2028 or U+2029, which ends a line for ` +
    "some programs and not for others: take it out, or write \\u2028 in a string";
  throw new NotebookError(file, problem, id);
}

function codeCell(file: string, cell: Cell): CodeCell {
  const directives = readDirectives(file, cell);
  const { statements, comments } = parsed(file, cell);
  refuseLateDirective(file, cell, comments, directives.lines);
  const lines = cell.source.split("\n").fill("", 0, directives.lines);
  const imports = statements.filter(isImport).flatMap((statement) => {
    const own = commentsOf(statement, statements, comments, directives.lines);
    blank(lines, statement, own);
    return namesOf(
      statement,
      cell.id,
      own.map(({ type, value }) => type === "CommentLine" ? `//${value}` : `/*${value}*/`),
    );
  });
  const declarations = statements.flatMap((statement) => declarationsOf(statement, cell.source));
  return {
    id: cell.id,
    directives,
    source: cell.source,
    imports,
    code: lines.join("\n"),
    declarations,
  };
}

function parsed(file: string, cell: Cell): { statements: Statement[]; comments: Comment[] } {
  try {
    const { program, comments } = parseModule(cell.source);
    return { statements: program.body, comments: comments ?? [] };
  } catch (error) {
    const { line, column, message } = problemOf(error);
    const source = cell.source.split("\n")[line - 1] ?? "";
    throw new NotebookError(
      file,
      `line ${line}, column ${column}: ${message}\n    ${source.trim()}`,
      cell.id,
    );
  }
}

/** The comments on the lines right above a statement, and behind it on its last line. */
function commentsOf(
  statement: Statement,
  all: Statement[],
  comments: Comment[],
  from: number,
): Comment[] {
  let top = statement.loc!.start.line;
  const end = statement.loc!.end.line;
  const isFree = (line: number) =>
    !all.some(({ loc }) => loc!.start.line <= line && line <= loc!.end.line);
  const isLast = all.every((other) => other === statement || other.loc!.start.line !== end);
  const behind = comments.filter(({ loc }) =>
    isLast && loc!.start.line === end && loc!.start.column >= statement.loc!.end.column
  );
  const above = comments.toReversed().filter(({ loc, value }) => {
    if (isMarker(`//${value}`)) top = 0;
    if (loc!.end.line !== top - 1 || loc!.start.line <= from || !isFree(loc!.end.line)) {
      return false;
    }
    top = loc!.start.line;
    return true;
  });
  return [...above.reverse(), ...behind];
}

function blank(lines: string[], ...nodes: (Statement | Comment | Comment[])[]): void {
  for (const { loc } of nodes.flat()) {
    const { start, end } = loc!;
    for (let line = start.line; line <= end.line; line++) {
      const text = lines[line - 1];
      const from = line === start.line ? start.column : 0;
      const to = line === end.line ? end.column : text.length;
      lines[line - 1] = text.slice(0, from) + " ".repeat(to - from) + text.slice(to);
    }
  }
}

/**
 * The chapter in a notebook, or undefined if it exports nothing.
 *
 * @throws NotebookError for whatever would make a wrong module
 */
export function readChapter(file: string, notebook: Notebook): Chapter | undefined {
  const all = codeCells(file, notebook);
  for (const { id, directives } of all.slice(1)) {
    if (directives.module === undefined) continue;
    throw new NotebookError(
      file,
      `default_exp belongs into the first code cell, "${all[0].id}"`,
      id,
    );
  }
  const module = all[0]?.directives.module;
  const cells = all.filter((cell) => cell.directives.isExported);
  if (module === undefined) {
    if (cells.length === 0) return undefined;
    const problem = `is exported, but the first code cell, "${
      all[0].id
    }", has no "//| default_exp <module>"`;
    throw new NotebookError(file, problem, cells[0].id);
  }
  if (cells.length === 0) {
    throw new NotebookError(
      file,
      `names the module "${module}", but no cell has "//| export"`,
      all[0].id,
    );
  }
  const imports = mergeImports(file, cells.flatMap((cell) => cell.imports));
  cells.forEach((cell) => refuseEffects(file, cell));
  refuseTwice(file, cells, imports);
  imports.forEach((one) => refuseImport(file, module, one));
  const rest = all.filter((cell) => !cell.directives.isExported);
  return {
    file,
    name: basename(file, ".ipynb"),
    title: titleOf(notebook),
    module,
    cells,
    rest,
    imports,
  };
}

function titleOf(notebook: Notebook): string {
  const text = notebook.cells.find((cell) =>
    cell.cell_type === "markdown" && /^# /m.test(cell.source)
  )?.source;
  return /^# +(.*)$/m.exec(text ?? "")?.[1].replaceAll("*/", "").replace(/[.\s]+$/, "") ?? "";
}

/** An exported cell becomes part of a module, and whatever it does would be done again at each import. */
function refuseEffects(file: string, { id, source }: CodeCell): void {
  for (const statement of parseModule(source).program.body) {
    if (/Declaration$|^TSDeclareFunction$|^EmptyStatement$/.test(statement.type)) continue;
    const line = statement.loc!.start.line;
    const text = source.split("\n")[line - 1].trim();
    const problem =
      `line ${line}: an exported cell holds declarations only; move this to a cell that is not exported:\n    ${text}`;
    throw new NotebookError(file, problem, id);
  }
}

function refuseTwice(file: string, cells: CodeCell[], imports: ImportedName[]): void {
  const owners = new Map(imports.map((one) => [one.local, { cell: one.cell, verb: "imports" }]));
  for (const { id, declarations } of cells) {
    for (const { name, isExported } of declarations) {
      const owner = owners.get(name);
      const verb = isExported ? "exports" : "declares";
      if (owner && owner.cell !== id) {
        const problem = `${verb} \`${name}\`, which cell "${owner.cell}" ${owner.verb} already`;
        throw new NotebookError(file, problem, id);
      }
      owners.set(name, { cell: id, verb });
    }
  }
}

function refuseImport(file: string, module: string, one: ImportedName): void {
  const { cell, line } = one;
  const specifier = specifierOf(one);
  const refuse = (why: string) => {
    throw new NotebookError(file, `line ${line}: imports "${specifier}"; ${why}`, cell);
  };
  if (/^\.\.?\//.test(specifier)) {
    refuse(`write "lib/…": a path from the notebook does not lead there from lib/${module}.ts`);
  }
  if (specifier.startsWith("tools/")) {
    refuse("lib never imports tools: leave it to a cell that is not exported");
  }
  if (specifier === `lib/${module}.ts`) refuse("that is the module which this chapter exports");
}

const MARKER = /^\s*\/\/.*\b(BEGIN|END) (SOLUTION|HIDDEN TESTS)\b/;

/** Whether a line marks where a solution or hidden tests begin or end. */
export function isMarker(line: string): boolean {
  return MARKER.test(line);
}

/**
 * The lines of an exported cell that go into the module: without directives, imports and markers.
 *
 * @throws NotebookError if a solution begins and does not end, or the other way round
 */
export function exportedLines(file: string, cell: CodeCell): SourceLine[] {
  refuseLooseMarkers(file, cell);
  const original = cell.source.split("\n");
  const lines = cell.code.split("\n").map((text, index) => ({ text, line: index + 1 }))
    .filter(({ text, line }) =>
      !isMarker(text) && (text.trim() !== "" || original[line - 1].trim() === "")
    );
  const first = lines.findIndex(({ text }) => text.trim() !== "");
  const last = lines.findLastIndex(({ text }) => text.trim() !== "");
  return first < 0 ? [] : lines.slice(first, last + 1);
}

function refuseLooseMarkers(file: string, { id, source }: CodeCell): void {
  let open: string | undefined;
  for (const [index, text] of source.split("\n").entries()) {
    const [, verb, what] = MARKER.exec(text) ?? [];
    if (!verb) continue;
    if ((verb === "BEGIN") === (open !== undefined) || (verb === "END" && open !== what)) {
      throw new NotebookError(file, `line ${index + 1}: ${verb} ${what} has no partner`, id);
    }
    open = verb === "BEGIN" ? what : undefined;
  }
  if (open) throw new NotebookError(file, `BEGIN ${open} has no END ${open}`, id);
}
