/** Deno's kernel refuses some cells without a word: those that it cannot read, and those whose imports it cannot resolve. */
import { transpile } from "./transpile.ts";

/** Why a cell was refused; line and column from 1, where they are known. */
export interface Refusal {
  name: string;
  message: string;
  line?: number;
  column?: number;
}

/** What is left to say if nothing is found. */
export const NO_REASON: Refusal = {
  name: "Error",
  message: "the kernel refused the cell and did not say why",
};

/** The value of a JavaScript expression in the kernel that refused the cell. */
export type Evaluate = (expression: string) => Promise<unknown>;

/** Finds out why: asks the transpiler, then imports what the cell imports, one after the other. */
export async function whyRefused(source: string, evaluate: Evaluate): Promise<Refusal> {
  const transpiled = await transpile(source);
  if (transpiled.complaint !== undefined) return readComplaint(transpiled.complaint);
  const failed = await evaluate(importEach(importsOf(transpiled.code))) as
    | { name: string; message: string }
    | null;
  if (failed) {
    const { name, message } = failed;
    return { name: "ImportError", message, line: lineOf(source, name) };
  }
  return NO_REASON;
}

/** `error: SyntaxError: Expression expected`, a picture of the place, and `at file:///…/cell.ts:2:9`. */
function readComplaint(complaint: string): Refusal {
  const first = /(?:^|\n)error: ?(?:(\w*Error): ?)?(.*)/.exec(complaint);
  const place = /cell\.ts:(\d+):(\d+)/.exec(complaint);
  const message = first?.[2].trim() || "the kernel cannot read the cell";
  const [line, column] = place ? place.slice(1).map(Number) : [];
  return { name: first?.[1] ?? "SyntaxError", message, line, column };
}

/** What transpiled code imports: there, each import begins a line. */
function importsOf(code: string): string[] {
  const statement = /^(?:import|export)\b[^"'`;]*?(?:\bfrom\s*)?(["'])(.+?)\1/gm;
  return [...code.matchAll(statement)].map(([, , name]) => name);
}

function importEach(names: string[]): string {
  return `(async (names) => {
    for (const name of names) {
      try { await import(name); } catch (error) { return { name, message: String(error?.message ?? error) }; }
    }
    return null;
  })(${JSON.stringify(names)})`;
}

function lineOf(source: string, name: string): number | undefined {
  const index = source.split("\n").findIndex((line) =>
    [`"${name}"`, `'${name}'`].some((quoted) => line.includes(quoted))
  );
  return index < 0 ? undefined : index + 1;
}

/** A refusal as Jupyter's `error` message: the line with a caret beneath the place. */
export function errorContent(
  source: string,
  { name, message, line, column }: Refusal,
): { ename: string; evalue: string; traceback: string[] } {
  const text = line === undefined ? undefined : source.split("\n")[line - 1];
  const picture = text === undefined ? [] : ["", `  ${line} | ${text}`];
  if (text !== undefined && column !== undefined) {
    const before = text.slice(0, column - 1).replace(/[^\t]/g, " ");
    picture.push(`  ${String(line).replace(/./g, " ")} | ${before}^`);
  }
  const place = line === undefined ? "" : ` (line ${line})`;
  return { ename: name, evalue: message + place, traceback: [`${name}: ${message}`, ...picture] };
}
