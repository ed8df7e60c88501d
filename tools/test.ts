/**
 * All tests: `deno task test`. Goes on after a step that fails; the last line counts them.
 *
 *     deno task test              everything
 *     deno task test lint unit    these steps
 */
import { basename, join } from "node:path";
import { chapterFiles, readFlags, runProgram, suggest, UsageError } from "./cli.ts";
import { stripControl } from "./jupyter/outputs.ts";
import { runtimeFolder } from "./jupyter/process.ts";
import { listChapters, ROOT } from "./notebook.ts";
import { runChapter, stopOnInterrupt } from "./run.ts";
import { duration } from "./terminal.ts";
import { taskCommand } from "./task.ts";

const USAGE = `usage: ${taskCommand("test")} [steps…] [--only CHAPTERS] [--no-skips]

  steps       format, lint, check, export, unit, tools, notebooks; all of them unless told
  --only      chapters that the step "notebooks" runs, such as 03 or 03,05; all of them unless told
  --no-skips  for a machine that has everything: a skipped test counts as failed`;

/** How many tests passed, failed, were left out. */
export interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

/** A test that was left out. */
export interface Skip {
  name: string;
  reason: string;
}

/** What a step, or all of them, came to. */
interface Result {
  count: Count;
  skips: Skip[];
}

interface Step {
  name: string;
  /** what is run, after "deno" */
  args: string[];
  /** the step reports tests of its own */
  isCounted?: boolean;
}

const STEPS: Step[] = [
  { name: "format", args: ["run", "-A", "tools/format.ts", "--check"] },
  { name: "lint", args: ["lint"] },
  { name: "check", args: ["run", "-A", "tools/check.ts"] },
  { name: "export", args: ["run", "-A", "tools/export.ts", "--check"] },
  { name: "unit", args: ["test", "-P"], isCounted: true },
  { name: "tools", args: ["test", "-A", "tests/tools/"], isCounted: true },
];
const NOTEBOOKS = "notebooks";

/** Sums of counts. */
export function add(...counts: Count[]): Count {
  const sum = (field: keyof Count) => counts.reduce((total, count) => total + count[field], 0);
  return { passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped") };
}

/** `N passed, N failed`, and `, N skipped` if there are any. */
export function countLine({ passed, failed, skipped }: Count): string {
  return `${passed} passed, ${failed} failed` + (skipped ? `, ${skipped} skipped` : "");
}

/** The count in the last lines that `deno test` prints, `ok | 12 passed (3 steps) | 0 failed | 1 ignored (2s)`. */
export function readSummary(output: string): Count | undefined {
  const summary =
    /^(?:ok|FAILED) \| (\d+) passed[^|]*\| (\d+) failed[^|\n]*(?:\| (\d+) ignored)?/gm;
  const last = [...stripControl(output).matchAll(summary)].at(-1);
  if (!last) return undefined;
  const [passed, failed, skipped] = last.slice(1).map((number) => Number(number ?? 0));
  return { passed, failed, skipped };
}

/** The test that a line of `deno test` says was ignored; its name ends in the reason, see tests/optional.ts. */
export function readSkip(line: string): Skip | undefined {
  const [, full] = /^(.*) \.\.\. ignored \(/.exec(stripControl(line)) ?? [];
  if (full === undefined) return undefined;
  const [, name, reason] = /^(.*?): skipped, (.*)$/.exec(full) ?? [, full, "no reason given"];
  return { name: name!, reason: reason! };
}

/** One line for each reason, the most frequent first. */
export function skipLines(skips: Skip[]): string[] {
  const byReason = Object.entries(Object.groupBy(skips, ({ reason }) => reason));
  return byReason.map(([reason, tests]) => [tests!.length, reason] as const)
    .sort(([a], [b]) => b - a).map(([tests, reason]) => `${`${tests}`.padStart(5)}  ${reason}`);
}

async function runStep({ args, isCounted }: Step, signal: AbortSignal): Promise<Result> {
  const child = new Deno.Command(Deno.execPath(), {
    args,
    cwd: ROOT,
    env: { XDG_RUNTIME_DIR: runtimeFolder() },
    stdout: "piped",
    signal,
  }).spawn();
  const skips: Skip[] = [];
  const output = tee(child.stdout, (line) => {
    const skip = isCounted && readSkip(line);
    if (skip) skips.push(skip);
  });
  const [text, { success }] = await Promise.all([output, child.status]);
  const count = (isCounted && readSummary(text)) || { ...NONE, [success ? "passed" : "failed"]: 1 };
  // A step can fail although no test did: a leak, a file that does not compile.
  return { count: success || count.failed ? count : { ...count, failed: 1 }, skips };
}

const NONE: Count = { passed: 0, failed: 0, skipped: 0 };

/** Passes a stream on to the terminal, line by line to somebody else, and keeps the last of it. */
async function tee(
  stream: ReadableStream<Uint8Array>,
  onLine: (line: string) => void,
): Promise<string> {
  let kept = "", rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    Deno.stdout.writeSync(chunk);
    const text = decoder.decode(chunk, { stream: true });
    kept = (kept + text).slice(-20_000);
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    lines.forEach(onLine);
  }
  return kept;
}

/** Runs chapters small, into a folder of their own: a trained model in build/ stays. */
async function runNotebooks(files: string[], signal: AbortSignal): Promise<Result> {
  const build = join(ROOT, "build", "test");
  await Deno.remove(build, { recursive: true }).catch(() => {});
  const env = { NANO_LLM_PROFILE: "smoke", NANO_LLM_BUILD: build };
  const count = { ...NONE };
  for (const file of files) {
    const ok = await runChapter(file, { out: join(build, "notebooks"), env, signal })
      .then(
        (execution) => execution.ok,
        (error) => (console.error(`✗ ${basename(file)}: ${error.message}`), false),
      );
    count[ok ? "passed" : "failed"]++;
    if (signal.aborted) break;
  }
  return { count, skips: [] };
}

function chosenSteps(names: string[]): string[] {
  const known = [...STEPS.map(({ name }) => name), NOTEBOOKS];
  const unknown = names.find((name) => !known.includes(name));
  if (unknown) {
    throw new UsageError(
      `no step "${unknown}": there is ${known.join(", ")}${suggest(unknown, known)}`,
    );
  }
  return names.length ? known.filter((name) => names.includes(name)) : known;
}

/** Reasons that `--no-skips` lets pass, each with why no machine can have what is missing. None is known. */
const MAY_BE_SKIPPED: Record<string, string> = {};

/** The skips that count as failures on a machine that has everything. */
export function unlisted(skips: Skip[], listed = Object.keys(MAY_BE_SKIPPED)): Skip[] {
  return skips.filter(({ reason }) => !listed.includes(reason));
}

interface Row extends Result {
  name: string;
  seconds: number;
}

function printSummary(rows: Row[]): void {
  console.log("\n── summary");
  for (const { name, count, seconds } of rows) {
    const time = duration(seconds).padStart(12);
    console.log(`${count.failed ? "✗" : "✓"} ${name.padEnd(10)} ${time}   ${countLine(count)}`);
  }
  const skips = rows.flatMap((row) => row.skips);
  if (skips.length) console.log(`skipped, by reason:\n${skipLines(skips).join("\n")}`);
}

/** Names the skips that `--no-skips` does not let pass, and counts them as failed. */
function withoutSkips(total: Count, skips: Skip[]): Count {
  const wrong = unlisted(skips);
  for (const { name, reason } of wrong) console.log(`✗ skipped: ${name} (${reason})`);
  const { passed, failed, skipped } = total;
  return { passed, failed: failed + wrong.length, skipped: skipped - wrong.length };
}

async function runSteps(names: string[], files: string[], signal: AbortSignal): Promise<Row[]> {
  const rows: Row[] = [];
  for (const name of names) {
    const start = performance.now();
    console.log(`\n── ${name}`);
    const step = STEPS.find((one) => one.name === name);
    const result = step ? await runStep(step, signal) : await runNotebooks(files, signal);
    rows.push({ name, ...result, seconds: (performance.now() - start) / 1000 });
    if (signal.aborted) break;
  }
  return rows;
}

async function main(): Promise<number> {
  const { values, positionals } = readFlags(Deno.args, {
    only: { type: "string", multiple: true },
    "no-skips": { type: "boolean" },
    help: { type: "boolean" },
  });
  if (values.help) return console.log(USAGE), 0;
  const files = values.only ? chapterFiles(values.only) : listChapters();
  const signal = stopOnInterrupt();
  const rows = await runSteps(chosenSteps(positionals), files, signal);
  if (signal.aborted) return 130;
  printSummary(rows);
  const sum = add(...rows.map(({ count }) => count));
  const total = values["no-skips"] ? withoutSkips(sum, rows.flatMap(({ skips }) => skips)) : sum;
  console.log(countLine(total));
  return total.failed || total.passed === 0 ? 1 : 0;
}

if (import.meta.main) await runProgram(USAGE, main);
