/** Code cells as grading reads them: what they import, and the JavaScript that they are, statement by statement. */
import { stripTypeScriptTypes } from "node:module";
import { type ImportedName, isImport, namesOf } from "../export/imports.ts";
import type { Cell } from "../notebook.ts";
import { type AnyNode, parseModule, problemOf, visit } from "../syntax.ts";
import { gradeIdOf } from "./exercises.ts";
import { CodeProblem, type Piece, piecesOf } from "./names.ts";

/** A code cell, read once. */
export interface ReadCell {
  /** grade_id where it has one, else the cell's id. */
  id: string;
  kind: "plain" | "solution" | "check";
  source: string;
  imports: ImportedName[];
  /** JavaScript without directives, imports and `export`. */
  code: string;
  pieces: Piece[];
  /** What it holds that no learner's cell may. */
  refused?: CellProblem;
  /** Whether line n of `code` is line n of the cell: not so where an enum or the like was rewritten. */
  isInPlace: boolean;
}

/** Why a learner's cell cannot be used; the message is for its author. */
export class CellProblem extends Error {
  constructor(message: string, readonly line?: number) {
    super(message);
  }
}

/** @throws CellProblem if the cell is no code, or code that does not read */
export function readCell(cell: Cell): ReadCell {
  if (cell.cell_type !== "code") {
    throw new CellProblem("it is no code cell any more: change its type back to Code.");
  }
  try {
    return taken(cell);
  } catch (error) {
    throw error instanceof RangeError ? new CellProblem("it is nested too deeply.") : error;
  }
}

function taken(cell: Cell): ReadCell {
  const read = withoutImports(cell);
  refuseUnknown(read.program);
  const typed = blankExports(read.code, read.program.body);
  const code = toJavaScript(typed);
  return {
    id: gradeIdOf(cell),
    kind: kindOf(cell),
    source: cell.source,
    imports: read.imports.filter(({ isType }) => !isType),
    code,
    ...pieces(code),
    isInPlace: code.split("\n").length === typed.split("\n").length,
  };
}

/** What a cell is in an exercise. */
export function kindOf({ metadata }: Cell): ReadCell["kind"] {
  if (metadata.nbgrader?.grade) return "check";
  return metadata.nbgrader?.solution ? "solution" : "plain";
}

/** Names of values that a cell declares. */
export function declaredIn({ pieces }: ReadCell): string[] {
  return [...new Set(pieces.flatMap(({ declares }) => declares))];
}

/** A cell's code with only some of its statements, each on its own lines still. */
export function only({ code, pieces }: ReadCell, chosen: Set<number>): string {
  return pieces.reduce(
    (text, { start, end }, index) => chosen.has(index) ? text : emptied(text, start, end),
    code,
  );
}

/** A check that ends in an expression gives it back: a number is a partial grade, as in nbgrader. */
export function withResult({ code, pieces }: ReadCell): string {
  const last = pieces.at(-1);
  if (!last?.expression) return code;
  const { start, end } = last.expression;
  return `${code.slice(0, last.start)}return (${code.slice(start, end)});${code.slice(last.end)}`;
}

/** What TypeScript and our parser know and the engine does not. */
function refuseUnknown(program: AnyNode): void {
  visit(program, ({ type, decorators, loc }) => {
    const what = decorators?.length
      ? "a decorator"
      : /^ClassAccessorProperty$/.test(type)
      ? "an accessor property"
      : /^TS(ImportEquals|ExportAssignment)/.test(type)
      ? "import = or export ="
      : undefined;
    if (what) {
      throw new CellProblem(`it has ${what}, which JavaScript does not have.`, loc.start.line);
    }
  });
}

/** What a cell imports, and its code without: comments that are directives elsewhere are comments here. */
function withoutImports(
  { source }: Cell,
): { imports: ImportedName[]; code: string; program: AnyNode } {
  let program: AnyNode;
  try {
    program = parseModule(source).program;
  } catch (error) {
    if (error instanceof RangeError) throw error;
    const { message, line } = problemOf(error);
    throw new CellProblem(`${message}.`, line);
  }
  const statements = program.body.filter(isImport);
  const imports = statements.flatMap((one: AnyNode) => namesOf(one, "", []));
  const code = statements.reduce(
    (text: string, { start, end }: AnyNode) => emptied(text, start, end),
    source,
  );
  return { imports, code, program };
}

function pieces(code: string): Pick<ReadCell, "pieces" | "refused"> {
  try {
    const { pieces, refused } = piecesOf(code);
    return {
      pieces,
      ...refused ? { refused: new CellProblem(refused.message, refused.line) } : {},
    };
  } catch (error) {
    if (error instanceof CodeProblem) throw new CellProblem(error.message, error.line);
    throw unreadable(error);
  }
}

function unreadable(error: unknown): Error {
  if (error instanceof RangeError) return error;
  return new CellProblem(`it cannot be read: ${(error as Error).message.split("\n")[0]}`);
}

/** `export` goes, what it exports stays; lists of names and re-exports go whole. */
function blankExports(code: string, statements: AnyNode[]): string {
  for (const { type, start, end, declaration } of statements) {
    if (/^Export/.test(type)) code = emptied(code, start, declaration ? declaration.start : end);
  }
  return code;
}

/** A text without a statement; what stands before it and behind it stay two statements. */
function emptied(text: string, start: number, end: number): string {
  return blank(`${text.slice(0, start)};${text.slice(start + 1)}`, start + 1, end);
}

function blank(text: string, start: number, end: number): string {
  return text.slice(0, start) + text.slice(start, end).replace(/[^\n]/g, " ") + text.slice(end);
}

/** TypeScript without its types; lines stay where they are, unless there is an enum or the like. */
function toJavaScript(code: string): string {
  try {
    return stripTypeScriptTypes(code, { mode: "strip" });
  } catch {
    try {
      return stripTypeScriptTypes(code, { mode: "transform" });
    } catch (error) {
      throw unreadable(error);
    }
  }
}
