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

const USAGE = `usage: deno task test [steps…] [--only CHAPTERS]

  steps     format, lint, check, export, unit, tools, notebooks; all of them unless told
  --only    chapters that the step "notebooks" runs, such as 03 or 03,05; all of them unless told`;

/** How many tests passed, failed, were left out. */
export interface Count {
  passed: number;
  failed: number;
  skipped: number;
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

async function runStep({ args, isCounted }: Step, signal: AbortSignal): Promise<Count> {
  const child = new Deno.Command(Deno.execPath(), {
    args,
    cwd: ROOT,
    env: { XDG_RUNTIME_DIR: runtimeFolder() },
    stdout: "piped",
    signal,
  }).spawn();
  const [output, { success }] = await Promise.all([tee(child.stdout), child.status]);
  const count = isCounted ? readSummary(output) : undefined;
  if (!count) {
    return success ? { passed: 1, failed: 0, skipped: 0 } : { passed: 0, failed: 1, skipped: 0 };
  }
  // A step can fail although no test did: a leak, a file that does not compile.
  return success || count.failed ? count : { ...count, failed: 1 };
}

/** Passes a stream on to the terminal and keeps the last of it. */
async function tee(stream: ReadableStream<Uint8Array>): Promise<string> {
  let kept = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    Deno.stdout.writeSync(chunk);
    kept = (kept + decoder.decode(chunk, { stream: true })).slice(-20_000);
  }
  return kept;
}

/** Runs chapters small, into a folder of their own: a trained model in build/ stays. */
async function runNotebooks(files: string[], signal: AbortSignal): Promise<Count> {
  const build = join(ROOT, "build", "test");
  await Deno.remove(build, { recursive: true }).catch(() => {});
  const env = { NANO_LLM_PROFILE: "smoke", NANO_LLM_BUILD: build };
  const count = { passed: 0, failed: 0, skipped: 0 };
  for (const file of files) {
    const ok = await runChapter(file, { out: join(build, "notebooks"), env, signal })
      .then(
        (execution) => execution.ok,
        (error) => (console.error(`✗ ${basename(file)}: ${error.message}`), false),
      );
    count[ok ? "passed" : "failed"]++;
    if (signal.aborted) break;
  }
  return count;
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

async function main(): Promise<number> {
  const options = { only: { type: "string", multiple: true }, help: { type: "boolean" } } as const;
  const { values, positionals } = readFlags(Deno.args, options);
  if (values.help) return console.log(USAGE), 0;
  const files = values.only ? chapterFiles(values.only) : listChapters();
  const names = chosenSteps(positionals);
  const signal = stopOnInterrupt();
  const rows: { name: string; count: Count; seconds: number }[] = [];
  for (const name of names) {
    const start = performance.now();
    console.log(`\n── ${name}`);
    const step = STEPS.find((one) => one.name === name);
    const count = step ? await runStep(step, signal) : await runNotebooks(files, signal);
    rows.push({ name, count, seconds: (performance.now() - start) / 1000 });
    if (signal.aborted) return 130;
  }
  console.log("\n── summary");
  for (const { name, count, seconds } of rows) {
    console.log(
      `${count.failed ? "✗" : "✓"} ${name.padEnd(10)} ${duration(seconds).padStart(12)}   ${
        countLine(count)
      }`,
    );
  }
  const total = add(...rows.map(({ count }) => count));
  console.log(countLine(total));
  return total.failed || total.passed === 0 ? 1 : 0;
}

if (import.meta.main) await runProgram(USAGE, main);
