/** What the command-line programs share: flags that are checked, and how to say that one is wrong. */
import { existsSync } from "node:fs";
import { basename, resolve } from "node:path";
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { findChapter, listChapters, NotebookError, NOTEBOOKS } from "./notebook.ts";
import { taskCommand } from "./task.ts";

/** A command line that makes no sense; the message says what would. */
export class UsageError extends Error {
  override name = "UsageError";
}

/**
 * Reads flags and names.
 *
 * @throws UsageError naming the flag and the nearest that there is
 */
export function readFlags<T extends ParseArgsOptionsConfig>(args: string[], options: T) {
  const flags = Object.keys(options).map((name) => `--${name}`);
  for (const arg of args.slice(0, args.includes("--") ? args.indexOf("--") : undefined)) {
    const flag = arg.replace(/=.*/, "");
    if (!flag.startsWith("-") || flag === "-") continue;
    if (!flags.includes(flag)) throw new UsageError(`no flag ${flag}${suggest(flag, flags)}`);
  }
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message.split(". ")[0]);
  }
}

/**
 * The one of `allowed` that `value` is.
 *
 * @throws UsageError naming the value, the nearest and all that are allowed
 */
export function oneOf<T extends string>(what: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === value);
  if (found === undefined) {
    throw new UsageError(
      `${what} must be one of ${allowed.join(", ")}, got "${value}"${suggest(value, allowed)}`,
    );
  }
  return found;
}

/** As many seconds as a timer can wait, about, and more of anything else than makes sense. */
const MOST = 1_000_000;

/**
 * A number above 0, and at most a million, from a flag.
 *
 * @throws UsageError naming the flag and the value
 */
export function positive(flag: string, value: string): number {
  return checked(flag, value, `a number above 0 and at most ${MOST}`, (number) => {
    return number > 0 && number <= MOST;
  });
}

/**
 * A whole number of at least `least`, and at most a million, from a flag.
 *
 * @throws UsageError naming the flag and the value
 */
export function count(flag: string, value: string, least = 1): number {
  return checked(flag, value, `a whole number from ${least} to ${MOST}`, (number) => {
    return Number.isInteger(number) && number >= least && number <= MOST;
  });
}

function checked(
  flag: string,
  value: string,
  allowed: string,
  holds: (number: number) => boolean,
): number {
  const number = value.trim() === "" ? NaN : Number(value);
  if (!holds(number)) throw new UsageError(`${flag} must be ${allowed}, got "${value}"`);
  return number;
}

/**
 * A folder from a flag, from the root of the disk.
 *
 * @throws UsageError naming the flag, if the folder has no name, or is relative and the current folder is gone
 */
export function folder(flag: string, value: string): string {
  if (value.trim() === "") throw new UsageError(`${flag} must be a folder, got "${value}"`);
  try {
    return resolve(value);
  } catch {
    throw new UsageError(`${flag} ${value}: the current folder is gone; go to another one`);
  }
}

/**
 * Paths of the chapters that a person names: `03`, `03-attention`, `03,05`.
 *
 * @throws UsageError naming the nearest and all that there are
 */
export function chapterFiles(names: string[], folder = NOTEBOOKS): string[] {
  const parts = (name: string) => name.endsWith(".ipynb") ? [name] : name.split(",");
  const all = names.flatMap(parts).filter(Boolean);
  if (names.length && all.length === 0) throw new UsageError("the chapter's name is empty");
  return all.map((name) => {
    try {
      const file = findChapter(name, folder);
      if (!existsSync(file)) throw new Error(`no file ${file}`);
      return file;
    } catch (error) {
      const known = listChapters(folder).map((path) => basename(path, ".ipynb"));
      throw new UsageError((error as Error).message + suggest(name, known));
    }
  });
}

/** `; did you mean …?` for the nearest of `known`, or nothing if none is near. */
export function suggest(word: string, known: readonly string[]): string {
  const [nearest] = known.map((one) => ({ one, far: distance(word, one) })).sort((a, b) =>
    a.far - b.far
  );
  return nearest && nearest.far <= Math.max(2, word.length / 3)
    ? `; did you mean ${nearest.one}?`
    : "";
}

/** Levenshtein's distance: how many letters must be added, dropped or changed. */
export function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}

function diskCure(error: unknown): string | undefined {
  return DISK_CURES[(error as { code?: string }).code ?? ""];
}

/** What to do about a disk that takes nothing, by the error's code. */
const DISK_CURES: Record<string, string> = {
  EROFS: "copy the project into a folder of your own",
  EACCES: "copy the project into a folder of your own, or have its owner run this",
  ENOSPC: `the disk is full: ${taskCommand("doctor")} says how much is free`,
};

/** What to tell of an error that is no fault of the program's; undefined if it is one. */
export function sentenceOf(error: unknown): string | undefined {
  if (error instanceof UsageError || error instanceof NotebookError) return error.message;
  const cure = diskCure(error);
  return cure && `${(error as Error).message}\n→ ${cure}`;
}

/**
 * Runs a program: a wrong command line ends it with exit code 2 and the usage, an unusable notebook or a disk that takes nothing
 * with 1.
 */
export async function runProgram(usage: string, main: () => Promise<number>): Promise<never> {
  try {
    Deno.exit(await main());
  } catch (error) {
    const sentence = sentenceOf(error);
    if (sentence === undefined) throw error;
    const isUsage = error instanceof UsageError;
    console.error(isUsage ? `${sentence}\n\n${usage}` : sentence);
    Deno.exit(isUsage ? 2 : 1);
  }
}
