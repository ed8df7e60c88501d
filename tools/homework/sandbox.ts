/** Runs programs in a process that may do nothing, and watches its time, memory and output from outside. */
import { existsSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { ROOT, writeWhole } from "../notebook.ts";
import type { Part } from "./program.ts";
import { NOT_LOCKED, type Order, PRINTED_TOO_MUCH, type Report } from "./harness.ts";

/** The sandbox cannot be used at all: nobody's submission is to blame. */
export class SandboxError extends Error {
  override name = "SandboxError";
}

/** What one process may use. */
export interface Limits {
  /** Processor seconds for one run. */
  cpuSeconds: number;
  /** Seconds for one run by the clock: for code that waits. */
  wallSeconds: number;
  /** Resident memory, in MB. */
  memoryMB: number;
  /** Characters printed. */
  printed: number;
}

/** Generous for an exercise, whose check takes milliseconds. */
export const LIMITS: Limits = {
  cpuSeconds: 10,
  wallSeconds: 30,
  memoryMB: 1500,
  printed: 1_000_000,
};

/** What became of one program. */
export interface Verdict extends Report {
  /** Why the process was ended, or ended by itself, while this ran. */
  stopped?: string;
}

const SEED = 1337;
const POLL_MS = 50;

/** A program, and perhaps the number of another that must have passed before. */
export interface Task {
  parts: Part[];
  onlyAfter?: number;
}

/**
 * Runs programs, in order, each with a verdict. They share a process until one of them brings it down; the others then go
 * on in a new one.
 *
 * @param tasks programs, see program.ts
 * @param modules all modules that they import
 */
export async function runSandboxed(
  tasks: Task[],
  modules: string[],
  { limits = LIMITS, root = ROOT }: { limits?: Limits; root?: string } = {},
): Promise<Verdict[]> {
  const entry = await prepare(modules, root);
  const verdicts: Verdict[] = [];
  while (verdicts.length < tasks.length) {
    const { onlyAfter } = tasks[verdicts.length];
    if (onlyAfter !== undefined && !isPass(verdicts[onlyAfter])) {
      verdicts.push({ ok: false, isSkipped: true });
      continue;
    }
    const done = verdicts.length;
    const rest = tasks.slice(done).map((task) => localised(task, done, verdicts));
    verdicts.push(...await oneProcess(rest, entry, limits, root));
  }
  return verdicts;
}

function isPass(verdict: Verdict | undefined): boolean {
  return verdict?.ok === true && !verdict.hasWarned;
}

/** A task whose predecessor is counted from the first of this process; one that failed before never passes. */
function localised({ parts, onlyAfter }: Task, done: number, verdicts: Verdict[]): Task {
  if (onlyAfter === undefined || isPass(verdicts[onlyAfter])) return { parts };
  return { parts, onlyAfter: onlyAfter < done ? -1 : onlyAfter - done };
}

const prepared = new Map<string, Promise<string>>();

/** The main module for these imports, written and its packages fetched, once. */
function prepare(modules: string[], root: string): Promise<string> {
  const key = [root, ...new Set(modules)].sort().join("\n");
  const known = prepared.get(key) ?? fetched(writeEntry(modules, root), root);
  prepared.set(key, known);
  return known;
}

/** @throws SandboxError with deno's message if a module or package cannot be had */
async function fetched(entry: string, root: string): Promise<string> {
  const args = ["cache", "--quiet", "--config", join(root, "deno.json"), entry];
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: root,
    env: { NO_COLOR: "1" },
  }).output();
  if (!success) {
    const message = new TextDecoder().decode(stderr).split("\nStack backtrace")[0].trim();
    throw new SandboxError(`what the notebook imports cannot be loaded:\n${message}`);
  }
  return entry;
}

/** The main module of the process: it loads, before anything else runs, all that may be imported. */
function writeEntry(modules: string[], root: string): string {
  const wanted = [...new Set([...modules, "@tensorflow/tfjs"])].sort();
  const text = [
    ...wanted.map((name, i) => `import * as m${i} from ${JSON.stringify(name)};`),
    'import * as tf from "@tensorflow/tfjs";',
    'import { serve } from "tools/homework/harness.ts";',
    "",
    "tf.enableProdMode();",
    'await tf.setBackend("cpu");',
    `await serve({ ${wanted.map((name, i) => `${JSON.stringify(name)}: m${i}`).join(", ")} });`,
    "",
  ].join("\n");
  const name = createHash("sha256").update(text).digest("hex").slice(0, 12);
  const file = join(root, "build", "homework", `sandbox-${name}.ts`);
  try {
    if (Deno.readTextFileSync(file) === text) return file;
  } catch { /* not there yet */ }
  writeWhole(file, text);
  return file;
}

/** Verdicts up to and including the first run that brought the process down. */
async function oneProcess(
  tasks: Task[],
  entry: string,
  limits: Limits,
  root: string,
): Promise<Verdict[]> {
  const secrets = tasks.map(() => secretWord());
  const order: Order = {
    runs: tasks.map((task, i) => ({ ...task, secret: secrets[i] })),
    maxPrinted: limits.printed,
    seed: SEED,
  };
  const child = start(entry, limits, root);
  const watch = new Watch(child, limits);
  const fed = feed(child.stdin, JSON.stringify(order));
  const [, stderr, status] = await Promise.all([
    readReports(child.stdout, secrets, watch),
    readSome(child.stderr, watch),
    child.status,
    fed,
  ]);
  watch.end();
  const { reports } = watch;
  if (reports.length < tasks.length) {
    reports.push({ ok: false, stopped: watch.reason ?? reasonOf(status, stderr, limits) });
  }
  return reports;
}

function secretWord(): string {
  return crypto.getRandomValues(new Uint8Array(16)).toHex();
}

const running = new Set<Deno.ChildProcess>();

/** Ends every process that runs a program now: nobody would look after them when this one has gone. */
export function endSandboxes(): void {
  for (const child of running) {
    try {
      child.kill("SIGKILL");
    } catch { /* it has just ended */ }
  }
}

function start(entry: string, limits: Limits, root: string): Deno.ChildProcess {
  const heap = Math.round(limits.memoryMB / 2);
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      ...["read", "write", "net", "env", "run", "ffi", "sys", "import"].map((one) =>
        `--deny-${one}`
      ),
      "--no-remote",
      "--cached-only",
      // Without the lock file, deno asks its cache which versions there are, and a cache that was filled by a lock does not know.
      ...(existsSync(join(root, "deno.lock")) ? [] : ["--no-lock"]),
      "--no-check",
      "--config",
      join(root, "deno.json"),
      `--v8-flags=--max-old-space-size=${heap}`,
      entry,
    ],
    cwd: root,
    clearEnv: true,
    env: neededEnvironment(),
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  running.add(child);
  child.status.finally(() => running.delete(child));
  return child;
}

/** Deno's own settings only: what a submission must not read is not there. */
function neededEnvironment(): Record<string, string> {
  const names = [
    "DENO_DIR",
    "HOME",
    "XDG_CACHE_HOME",
    "LOCALAPPDATA",
    "USERPROFILE",
    "SystemRoot",
    "TMPDIR",
    "TEMP",
  ];
  const kept = names.flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value]];
  });
  return { ...Object.fromEntries(kept), NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", TZ: "UTC" };
}

async function feed(stream: WritableStream<Uint8Array>, text: string): Promise<void> {
  try {
    const writer = stream.getWriter();
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
  } catch { /* the process ended before it had read everything: its status says why */ }
}

/** Looks after one process: ends it when a limit is passed. */
class Watch {
  readonly reports: Verdict[] = [];
  reason: string | undefined;
  readonly #child: Deno.ChildProcess;
  readonly #limits: Limits;
  readonly #timer: ReturnType<typeof setInterval>;
  #runStarted = performance.now();
  #cpuAtStart = 0;

  constructor(child: Deno.ChildProcess, limits: Limits) {
    this.#child = child;
    this.#limits = limits;
    this.#timer = setInterval(() => this.#look(), POLL_MS);
  }

  take(report: Verdict): void {
    this.reports.push(report);
    this.#runStarted = performance.now();
    this.#cpuAtStart = usage(this.#child.pid)?.cpuSeconds ?? 0;
  }

  kill(reason: string): void {
    this.reason ??= reason;
    try {
      this.#child.kill("SIGKILL");
    } catch { /* it has just ended */ }
  }

  end(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { cpuSeconds, wallSeconds, memoryMB } = this.#limits;
    const used = usage(this.#child.pid);
    if (used && used.memoryMB > memoryMB) {
      this.kill(`it used more than ${memoryMB} MB of memory`);
    } else if (used && used.cpuSeconds - this.#cpuAtStart > cpuSeconds) {
      this.kill(`it computed for more than ${cpuSeconds} s: is there a loop that never ends?`);
    } else if (performance.now() - this.#runStarted > wallSeconds * 1000) {
      this.kill(`it was not finished after ${wallSeconds} s: does it wait for something?`);
    }
  }
}

/** Processor time and resident memory of a process; undefined if this system does not tell. */
export function usage(pid: number): { cpuSeconds: number; memoryMB: number } | undefined {
  try {
    if (Deno.build.os === "linux") {
      const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const ticks = Number(fields[11]) + Number(fields[12]);
      return { cpuSeconds: ticks / 100, memoryMB: Number(fields[21]) * 4096 / 2 ** 20 };
    }
    if (Deno.build.os === "darwin") {
      const { stdout } = new Deno.Command("ps", { args: ["-o", "rss=,time=", "-p", `${pid}`] })
        .outputSync();
      const [rss, time] = new TextDecoder().decode(stdout).trim().split(/\s+/);
      const [minutes, seconds] = time.split(":").slice(-2).map(Number);
      return { cpuSeconds: minutes * 60 + seconds, memoryMB: Number(rss) / 1024 };
    }
  } catch { /* the process is gone */ }
  return undefined;
}

/** Takes lines that begin with the next secret word; anything else on this stream is a submission's, and is ignored. */
async function readReports(
  stream: ReadableStream<Uint8Array>,
  secrets: string[],
  watch: Watch,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  let total = 0;
  for await (const chunk of stream) {
    total += chunk.length;
    if (total > MAX_STREAM_BYTES) watch.kill("it printed too much");
    if (watch.reason) continue;
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      const secret = secrets[watch.reports.length];
      if (secret && line.startsWith(`${secret} `)) {
        watch.take(JSON.parse(line.slice(secret.length)));
      }
    }
  }
}

const MAX_STREAM_BYTES = 4 * 2 ** 20;

async function readSome(stream: ReadableStream<Uint8Array>, watch: Watch): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let total = 0;
  for await (const chunk of stream) {
    total += chunk.length;
    if (total > MAX_STREAM_BYTES) watch.kill("it printed too much");
    if (text.length < 4000) text += decoder.decode(chunk, { stream: true });
  }
  return text;
}

function reasonOf(status: Deno.CommandStatus, stderr: string, limits: Limits): string {
  if (status.code === NOT_LOCKED) {
    throw new SandboxError(`the sandbox does not work here:\n${stderr}`);
  }
  if (status.code === PRINTED_TOO_MUCH) {
    return `it printed more than ${limits.printed.toLocaleString("en")} characters`;
  }
  if (/out of memory/i.test(stderr)) return `it used more than ${limits.memoryMB} MB of memory`;
  if (/Promise resolution is still pending|never resolved/i.test(stderr)) {
    return "it waits for something that never comes";
  }
  return "the process ended before the check was finished";
}
