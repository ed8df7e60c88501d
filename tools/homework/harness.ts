/**
 * What runs inside the sandboxed process: takes programs from standard input, locks the process down, runs them one after
 * the other, and reports.
 *
 * A report begins with a secret word that came with the program and is in no scope a submission can reach. Standard output
 * is not in its reach either; if it were, it could not know the words.
 */
import type * as tfjs from "@tensorflow/tfjs";
import { lockDown } from "./lockdown.ts";
import type { Part, Source } from "./program.ts";
import { closedModule, closeEngine } from "./tensors.ts";

/** A program to run. */
export interface Run {
  parts: Part[];
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
  /** Where it was, innermost first: numbers of parts, and lines in them from 1. */
  places?: [part: number, line: number][];
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
const AsyncGeneratorFunction = (async function* () {}).constructor as new (
  ...args: string[]
) => (...args: unknown[]) => AsyncGenerator<(() => unknown)[]>;
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
  const programs = order.runs.map(({ parts, ...rest }, i) => ({
    parts: parts.map((part, n) => compile(part, `exercise-${i}-${n}`)),
    ...rest,
  }));
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
  for (const [i, { parts, secret, onlyAfter }] of programs.entries()) {
    begin();
    const isWanted = onlyAfter === undefined || passed[onlyAfter];
    const report = isWanted
      ? await outcome(i, parts, given, begin)
      : { ok: false, isSkipped: true };
    if (hasWarned) report.hasWarned = true;
    passed[passed.length] = report.ok && !hasWarned;
    writeSync(encode(`\n${secret} ${stringify(report)}\n`));
  }
  exit(0);
}

interface Compiled extends Part {
  run?: (...args: unknown[]) => Promise<unknown>;
  /** A learner's: first gives functions that tell what its names hold, then runs. */
  start?: (...args: unknown[]) => AsyncGenerator<(() => unknown)[]>;
}

/** A part as a function; one that does not compile has V8's words as its problem. */
function compile(part: Part, name: string): Compiled {
  const { code, takes, gives, problem, cell, isOwn } = part;
  if (problem !== undefined) return part;
  const names = takes.map(([name]) => name);
  const end = `\n//# sourceURL=${name}`;
  try {
    if (isOwn) {
      const told = gives.map((name) => `() => ${name}`).join(", ");
      const body = `"use strict"; yield [${told}]; ${code}${end}`;
      return { ...part, start: new AsyncGeneratorFunction(...names, body) };
    }
    const result = gives.length ? `\nreturn { ${gives.join(", ")} };` : "";
    return { ...part, run: new AsyncFunction(...names, `"use strict"; ${code}${result}${end}`) };
  } catch (error) {
    const problem = `cell "${cell}" cannot be used: ${(error as Error).message}.`;
    return { ...part, problem };
  }
}

type Modules = Record<string, Record<string, unknown>>;
type Values = Record<string, unknown>;

async function outcome(
  number: number,
  parts: Compiled[],
  modules: Modules,
  begin: () => void,
): Promise<Report> {
  try {
    const value = await runParts(parts, modules, begin);
    return typeof value === "number" ? { ok: true, value } : { ok: true };
  } catch (error) {
    return { ok: false, message: messageOf(error), places: placesOf(error, number) };
  }
}

/** Runs one part after the other; gives what the last one, the check, ends in. */
async function runParts(parts: Compiled[], modules: Modules, begin: () => void): Promise<unknown> {
  const values: Values[] = [];
  const find = ([name, from]: [string, Source], at: number): unknown => {
    if ("isQuiet" in from) return quiet;
    if ("module" in from) {
      const module = without(modules[from.module], from.refused);
      return from.imported === "*" ? module : module[from.imported];
    }
    return from.part < at ? values[from.part][name] : later(() => values[from.part]?.[name]);
  };
  for (const [i, part] of parts.entries()) {
    const isCheck = i === parts.length - 1;
    if (isCheck) begin();
    const args = part.takes.map((one) => find(one, i));
    part.takes.forEach(([, from], at) => {
      if (part.isOwn && "part" in from && !parts[from.part].isOwn) seal(args[at]);
    });
    if (isCheck && part.run) return await part.run(...args);
    values[i] = await valuesOf(part, args);
  }
}

/** A function of a cell that comes after the one that uses it: it is there by the time it is called. */
function later(find: () => unknown): (...args: unknown[]) => unknown {
  return (...args) => (find() as (...args: unknown[]) => unknown)(...args);
}

/** Stands in for what shows something. */
const quiet = Object.freeze(() => Promise.resolve());

/** A module in which some functions throw. */
function without(module: Values, refused: Record<string, string> = {}): Values {
  const standIns = Object.entries(refused).map(([name, why]) => [name, untouchable(why)]);
  return standIns.length ? Object.freeze({ ...module, ...Object.fromEntries(standIns) }) : module;
}

/** A function, or a group of functions, that throws when it is used. */
function untouchable(why: string): unknown {
  const refuse = missing(why);
  return new Proxy(refuse, { get: refuse });
}

/** What a learner's cell gets of the chapter: functions, lists and plain objects cannot be changed. */
function seal(value: unknown): void {
  const isFunction = typeof value === "function";
  if (!isFunction && (typeof value !== "object" || value === null)) return;
  const kind = Object.getPrototypeOf(value);
  const isPlain = kind === Object.prototype || kind === Array.prototype || kind === null;
  if (!isFunction && !isPlain || Object.isFrozen(value)) return;
  Object.freeze(value);
  if (isFunction && value.prototype) Object.freeze(value.prototype);
  for (const key of Reflect.ownKeys(value)) {
    const held = Reflect.getOwnPropertyDescriptor(value, key)!;
    if ("value" in held) seal(held.value);
  }
}

async function valuesOf(part: Compiled, args: unknown[]): Promise<Values> {
  const { gives, problem, run, start } = part;
  if (start) return await ownValues(part, start(...args));
  if (!run) return broken(gives, problem!);
  const result = await run(...args) as Values | undefined;
  return Object.fromEntries(gives.map((name) => [name, result?.[name]]));
}

/** What a learner's cell declares; if it throws, what it has not reached throws when it is used, as in a notebook. */
async function ownValues(
  { cell, gives }: Compiled,
  running: AsyncGenerator<(() => unknown)[]>,
): Promise<Values> {
  const { value: told } = await running.next();
  let why = `cell "${cell}" ended before it came to this name`;
  let stack: string | undefined;
  try {
    await running.next();
  } catch (error) {
    why = `cell "${cell}" failed when it was run: ${messageOf(error)}`;
    stack = stackOf(error);
  }
  const values = gives.map((name, i) => {
    try {
      return [name, told[i]()];
    } catch {
      return [name, missing(why, stack)];
    }
  });
  return Object.fromEntries(values);
}

function broken(names: string[], why: string, stack?: string): Values {
  return Object.fromEntries(names.map((name) => [name, missing(why, stack)]));
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

function placesOf(error: unknown, number: number): [number, number][] {
  const places = stackOf(error).matchAll(/\bexercise-(\d+)-(\d+)(?:, <anonymous>)?:(\d+):\d+/g);
  // An async function made from text has two lines before its body.
  return [...places].filter(([, run]) => Number(run) === number)
    .map(([, , part, line]): [number, number] => [Number(part), Number(line) - 2]).slice(0, 50);
}
