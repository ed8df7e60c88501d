/**
 * The parser that the tools share: npm `@babel/parser`, with TypeScript.
 *
 * Chosen over npm `typescript` because it reports the errors that a JavaScript engine would (a `const` without a value,
 * a stray `return`, a name declared twice), which the TypeScript parser leaves to its type checker, and loads four
 * times faster.
 */
import { parse, type ParserOptions } from "@babel/parser";

/** A parsed cell or module: its statements and its comments. */
export type Parsed = ReturnType<typeof parse>;
/** One statement at the top level of a cell. */
export type Statement = Parsed["program"]["body"][number];
/** A comment, with its place in the source. */
export type Comment = NonNullable<Parsed["comments"]>[number];

/** Something that is not TypeScript; `line` and `column` count from 1. */
export interface SyntaxProblem {
  line: number;
  column: number;
  message: string;
}

const OPTIONS = {
  sourceType: "module",
  plugins: ["typescript", "decorators", "decoratorAutoAccessors"],
  allowUndeclaredExports: true,
} satisfies ParserOptions;

/**
 * Parses a cell, or several, as one module; as in the kernel, a function or a type may be declared twice.
 *
 * @throws SyntaxError whose `loc` says where; `problemOf` makes it readable
 */
export function parseModule(source: string): Parsed {
  const parsed = parse(source, { ...OPTIONS, errorRecovery: true });
  const error = parsed.errors?.find((one) => !isAllowedTwice(one, source));
  if (error) throw error;
  return parsed;
}

/** The place and the message of an error that `parseModule` threw. */
export function problemOf(error: unknown): SyntaxProblem {
  const { loc, message } = error as Error & { loc?: { line: number; column: number } };
  const plain = message.replace(/ \(\d+:\d+\)$/, "").replace(/\.$/, "");
  return { line: loc?.line ?? 1, column: (loc?.column ?? 0) + 1, message: plain };
}

/**
 * What keeps the Deno kernel from running a cell: empty if nothing does.
 *
 * The kernel takes modules (imports, `export`, top-level await), JSX, and an object literal as a whole cell; like a
 * script it lets a function or a type be declared twice, and it has no `import.meta`.
 */
export function syntaxErrors(source: string): SyntaxProblem[] {
  const problems = recovered(source, OPTIONS);
  if (problems.length === 0) return importMeta(source);
  const withJsx = { ...OPTIONS, plugins: [...OPTIONS.plugins, "jsx" as const] };
  const readings = [() => recovered(source, withJsx), () => recovered(`(${source}\n)`, OPTIONS)];
  const isObject = /^\s*\{[^]*\}\s*$/.test(source);
  return readings.slice(0, isObject ? 2 : 1).some((read) => read().length === 0) ? [] : problems;
}

/** All errors of one reading, without those that only a module would mind. */
function recovered(source: string, options: ParserOptions): SyntaxProblem[] {
  let errors;
  try {
    errors = parse(source, { ...options, errorRecovery: true }).errors ?? [];
  } catch (error) {
    errors = [error as Error];
  }
  return errors.filter((error) => !isAllowedTwice(error, source)).map(problemOf);
}

function isAllowedTwice(error: object, source: string): boolean {
  const { reasonCode, loc } = error as { reasonCode?: string; loc?: { index: number } };
  if (reasonCode !== "VarRedeclaration") return false;
  return /\b(function\s*\*?|type|interface)\s+$/.test(source.slice(0, loc?.index));
}

function importMeta(source: string): SyntaxProblem[] {
  if (!source.includes("import.meta")) return [];
  const found: SyntaxProblem[] = [];
  visit(parseModule(source).program, (node) => {
    if (node.type !== "MetaProperty" || node.meta?.name !== "import") return;
    const { line, column } = node.loc.start;
    found.push({
      line,
      column: column + 1,
      message: "a cell has no import.meta: it is not a file",
    });
  });
  return found;
}

/** A node of any kind, for walking a tree without naming the 250 kinds there are. */
// deno-lint-ignore no-explicit-any
export type AnyNode = any;

/** Calls `look` on a node and on all nodes below it, parents first; not on those below one for which it gives false. */
export function visit(node: AnyNode, look: (node: AnyNode) => boolean | void): void {
  if (Array.isArray(node)) return node.forEach((child) => visit(child, look));
  if (typeof node?.type !== "string") return;
  if (look(node) === false) return;
  for (const [key, child] of Object.entries(node)) {
    if (typeof child === "object" && !/omments$|^loc$|^extra$|^tokens$/.test(key)) {
      visit(child, look);
    }
  }
}

/** The tokens of a JavaScript function or class, one blank between them: the same for the same code, however laid out. */
export function codeTokens(code: string): string {
  const { tokens } = parse(`(${code}\n)`, { sourceType: "module", tokens: true });
  return (tokens ?? []).filter((one: AnyNode) => !String(one.type).startsWith("Comment"))
    .map((one: AnyNode) => code.slice(one.start - 1, one.end - 1)).join(" ");
}
