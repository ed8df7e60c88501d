/**
 * Which names the statements of a cell declare and which they take from outside. What is looked at is the JavaScript that runs,
 * read as a function's body is read: types are gone by then, so nothing in them can hide a name or fake one.
 *
 * Parser: npm `acorn`. Scopes: npm `eslint-scope`, the one that ESLint judges with.
 */
import { type Comment, type Node, parse, type Program } from "acorn";
import { analyze, type Reference, type Scope } from "eslint-scope";
import { type AnyNode, visit } from "../syntax.ts";

/** A name that a statement uses and does not keep to itself. */
export interface UsedName {
  name: string;
  /** Whether the statement assigns to it somewhere. */
  isWritten: boolean;
  /** Line of the first use (of the first assignment, if there is one), from 1. */
  line: number;
}

/** A statement at the top of a cell. */
export interface Piece {
  start: number;
  end: number;
  /** Names of values that it declares for the cell; `var` in a block is among them. */
  declares: string[];
  /** Names that it uses from the rest of the cell, or from other cells. */
  uses: UsedName[];
  isFunction: boolean;
  /** Where its value stands, if it is an expression. */
  expression?: { start: number; end: number };
}

/** Code that reads as JavaScript, but may not stand in an exercise; `line` counts from 1. */
export class CodeProblem extends Error {
  constructor(message: string, readonly line: number) {
    super(message);
  }
}

/** What a cell's JavaScript is. */
export interface Pieces {
  pieces: Piece[];
  /** What it holds that no learner's cell may: `import()`, `import.meta`, a comment that begins with `<!--`. */
  refused?: CodeProblem;
}

/**
 * Takes a cell's JavaScript apart.
 *
 * @throws CodeProblem if it does not parse
 */
export function piecesOf(code: string): Pieces {
  const comments: Comment[] = [];
  const program = parsed(code, comments);
  const refused = refusal(program, comments, code);
  const pieces: Piece[] = program.body.map((statement) => ({
    start: statement.start,
    end: statement.end,
    declares: [],
    uses: [],
    isFunction: statement.type === "FunctionDeclaration",
    ...statement.type === "ExpressionStatement" ? { expression: statement.expression } : {},
  }));
  fill(pieces, program);
  return { pieces, refused };
}

function parsed(code: string, comments: Comment[]): Program {
  try {
    return parse(code, {
      ecmaVersion: "latest",
      sourceType: "script",
      allowAwaitOutsideFunction: true,
      allowReturnOutsideFunction: true,
      locations: true,
      ranges: true,
      onComment: comments,
    });
  } catch (error) {
    if (error instanceof RangeError) throw new CodeProblem("it is nested too deeply.", 1);
    const { loc, message } = error as Error & { loc?: { line: number } };
    throw new CodeProblem(message.replace(/ \(\d+:\d+\)$/, "") + ".", loc?.line ?? 1);
  }
}

function refusal(program: Program, comments: Comment[], code: string): CodeProblem | undefined {
  const odd = comments.find(({ start }) => /^(?:<!--|-->)/.test(code.slice(start, start + 4)));
  if (odd) {
    return new CodeProblem(
      "it holds <!-- or -->, which is a comment in one kind of JavaScript and an operator in another: put a blank in between.",
      odd.loc!.start.line,
    );
  }
  let found: CodeProblem | undefined;
  visit(program, ({ type, meta, loc }) => {
    const isMeta = type === "MetaProperty" && meta.name === "import";
    if (!isMeta && type !== "ImportExpression") return;
    const word = isMeta ? "import.meta" : "import()";
    found ??= new CodeProblem(`it uses ${word}, which an exercise may not.`, loc.start.line);
  });
  return found;
}

function fill(pieces: Piece[], program: Program): void {
  const manager = analyze(program as AnyNode, {
    ecmaVersion: 2025 as never,
    sourceType: "script",
    nodejsScope: true,
    impliedStrict: true,
  });
  const top = manager.globalScope!.childScopes[0];
  const at = (node: Node) => pieceAt(pieces, node.start);
  for (const { name, defs } of top.variables) {
    for (const def of defs) {
      const piece = at(def.name as unknown as Node);
      if (piece && !piece.declares.includes(name)) piece.declares.push(name);
    }
  }
  for (const scope of manager.scopes) {
    for (const reference of scope.references) use(reference, top, at);
  }
}

function pieceAt(pieces: Piece[], place: number): Piece | undefined {
  let low = 0, high = pieces.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (pieces[middle].end <= place) low = middle + 1;
    else high = middle;
  }
  return pieces[low];
}

function use(reference: Reference, top: Scope, at: (node: Node) => Piece | undefined): void {
  const { resolved } = reference;
  const identifier = reference.identifier as unknown as Node & { name: string };
  if (resolved && (resolved.scope !== top || resolved.defs.length === 0)) return;
  const uses = at(identifier)?.uses;
  if (!uses) return;
  if (reference.init) return;
  const isWritten = reference.isWrite();
  const known = uses.find(({ name }) => name === identifier.name);
  const line = identifier.loc!.start.line;
  if (!known) uses.push({ name: identifier.name, isWritten, line });
  else if (isWritten && !known.isWritten) Object.assign(known, { isWritten, line });
}
