/**
 * What runs inside the sandboxed process: takes programs from standard input, locks the process down, runs them one after
 * the other, and reports.
 *
 * A report begins with a secret word that came with the program and is in no scope a submission can reach. Standard output
 * is not in its reach either; if it were, it could not know the words.
 */
import type * as tfjs from "@tensorflow/tfjs";
import { lockDown } from "./lockdown.ts";
import { closedModule, closeEngine } from "./tensors.ts";

/** A program to run. */
export interface Run {
  body: string;
  /** The word that a report of this run must begin with. */
  secret: string;
  /** Number of an earlier run; if that did not pass, this one is left out. */
  onlyAfter?: number;
}

/** All that a sandboxed process is told. */
export interface Order {
  runs: Run[];
  /** Characters that a submission may print. */
  maxPrinted: number;
  seed: number;
}

/** What a run came to. */
export interface Report {
  ok: boolean;
  /** The number that the check ended in, for a partial grade. */
  value?: number;
  /** Message of the error that ended it. */
  message?: string;
  /** Lines of the program's body on the stack, innermost first, from 1. */
  lines?: number[];
  /** Whether anything was printed on stderr during the check itself. */
  hasWarned?: boolean;
  /** It was left out. */
  isSkipped?: boolean;
}

/** A submission was told to stop: it printed too much. */
export const PRINTED_TOO_MUCH = 71;

/** The sandbox itself is broken: nothing of a submission has run. */
export const NOT_LOCKED = 72;

const AsyncFunction = (async () => {}).constructor as new (
  ...args: string[]
) => (...args: unknown[]) => Promise<unknown>;
const { stringify } = JSON;
const { exit } = Deno;
const { stderr } = Deno;
const writeSync = Deno.stdout.writeSync.bind(Deno.stdout);
const encode = TextEncoder.prototype.encode.bind(new TextEncoder());

/** Runs what standard input orders, with these modules to import. */
export async function serve(modules: Record<string, Record<string, unknown>>): Promise<void> {
  const order: Order = JSON.parse(await new Response(Deno.stdin.readable).text());
  addEventListener("unhandledrejection", (event) => event.preventDefault());
  addEventListener("error", (event) => event.preventDefault());
  Error.stackTraceLimit = 50;
  const programs = order.runs.map(({ body, ...rest }) => ({ run: compile(body), ...rest }));
  const given = Object.freeze(
    Object.fromEntries(Object.entries(modules).map(([name, one]) => [name, closedModule(one)])),
  );
  let printed = 0;
  let hasWarned = false;
  const print = (text: string, isError: boolean) => {
    hasWarned ||= isError;
    printed += text.length;
    if (printed > order.maxPrinted) exit(PRINTED_TOO_MUCH);
  };
  try {
    closeEngine(modules["@tensorflow/tfjs"] as unknown as typeof tfjs);
    lockDown(Object.values(given), { seed: order.seed, print });
  } catch (error) {
    stderr.writeSync(encode(`${(error as Error).stack}\n`));
    exit(NOT_LOCKED);
  }
  const begin = () => hasWarned = false;
  const passed: boolean[] = [];
  for (const { run, secret, onlyAfter } of programs) {
    begin();
    const isWanted = onlyAfter === undefined || passed[onlyAfter];
    const report = isWanted ? await outcome(run, given, begin) : { ok: false, isSkipped: true };
    if (hasWarned) report.hasWarned = true;
    passed[passed.length] = report.ok && !hasWarned;
    writeSync(encode(`\n${secret} ${stringify(report)}\n`));
  }
  exit(0);
}

type Compiled = ReturnType<typeof compile>;

function compile(body: string): (...args: unknown[]) => Promise<unknown> {
  return new AsyncFunction(
    "$modules",
    "$cell",
    "$missing",
    "$begin",
    `${body}\n//# sourceURL=exercise`,
  );
}

async function outcome(run: Compiled, modules: unknown, begin: () => void): Promise<Report> {
  try {
    const value = await run(modules, defineCell, missing, begin);
    return typeof value === "number" ? { ok: true, value } : { ok: true };
  } catch (error) {
    return { ok: false, message: messageOf(error), lines: linesOf(error) };
  }
}

/** Runs a learner's cell; if it throws, its names are there and throw when they are used, as in a notebook. */
async function defineCell(
  id: string,
  cell: () => Promise<Record<string, unknown>>,
  names: string[],
): Promise<Record<string, unknown>> {
  try {
    return await cell();
  } catch (error) {
    const why = `cell "${id}" failed when it was run: ${messageOf(error)}`;
    const stack = stackOf(error);
    return Object.fromEntries(names.map((name) => [name, missing(why, stack)]));
  }
}

/** Stands in for a name that a broken cell should have declared; `stack` says where it broke. */
function missing(why: string, stack?: string): () => never {
  return function () {
    const error = new Error(why);
    if (stack) error.stack = stack;
    throw error;
  };
}

function messageOf(error: unknown): string {
  try {
    const { name, message } = error as Error;
    if (typeof message !== "string") {
      return typeof error === "string" ? error : "something was thrown that is no Error";
    }
    const isPlain = typeof name !== "string" || name === "Error" || name === "AssertionError";
    return (isPlain ? message : `${name}: ${message}`).slice(0, 2000);
  } catch {
    return "something was thrown that cannot be read";
  }
}

function stackOf(error: unknown): string {
  try {
    const { stack } = error as Error;
    return typeof stack === "string" ? stack : "";
  } catch {
    return "";
  }
}

function linesOf(error: unknown): number[] {
  const places = stackOf(error).matchAll(/\bexercise(?:, <anonymous>)?:(\d+):\d+/g);
  // An async function made from text has two lines before its body.
  return [...places].map((match) => Number(match[1]) - 2).slice(0, 50);
}
