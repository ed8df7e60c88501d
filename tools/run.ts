/**
 * Runs chapters on the real Deno kernel and writes copies that carry their outputs.
 *
 *     deno task run                 all chapters, in order
 *     deno task run 03 05           these
 *     deno task run 03 --write      put the outputs into the committed notebook, too
 */
import { basename, dirname, join } from "node:path";
import { buildFolder } from "lib/data/paths.ts";
import { chapterFiles, folder, oneOf, positive, readFlags, runProgram } from "./cli.ts";
import { lookBack } from "./earlier.ts";
import { refuseBrokenDeno } from "./deno-version.ts";
import { executeNotebook, type Execution } from "./jupyter/execute.ts";
import type { CellProblem } from "./jupyter/explain.ts";
import { withoutFolders } from "./jupyter/portable.ts";
import { listChapters, type Notebook, readNotebook, writeNotebook } from "./notebook.ts";
import { duration, LiveLine } from "./terminal.ts";
import { taskCommand } from "./task.ts";

const USAGE = `usage: ${
  taskCommand("run")
} [chapters…] [--write] [--profile smoke|laptop|gpu] [--out FOLDER] [--timeout SECONDS]

  chapters    03, attention, 03-attention or a path; all of them unless told
  --write     put the outputs into the notebooks themselves, too
  --profile   how big: see lib/engine/profile.ts
  --out       where the executed copies go; build/notebooks unless told
  --timeout   time limit of each cell in seconds; 1800 unless told`;

/** The profiles that a run can have. */
export const PROFILES = ["smoke", "laptop", "gpu"] as const;

/** How to run one chapter. */
export interface RunOptions {
  /** folder of the executed copy */
  out: string;
  /** also put the outputs into the notebook itself, if every cell ran */
  write?: boolean;
  /** added to the kernel's environment */
  env?: Record<string, string>;
  timeoutSeconds?: number;
  signal?: AbortSignal;
}

/**
 * Runs one notebook, says on the terminal how far it is, and writes the executed copy.
 *
 * @throws NotebookError if the file is no usable notebook
 */
export async function runChapter(
  file: string,
  options: RunOptions,
  live = new LiveLine(),
): Promise<Execution> {
  const name = basename(file, ".ipynb");
  for (const line of (await lookBack(file)).stale) live.print(`! ${name}  ${line}`);
  const start = performance.now();
  let where = "";
  let progress = "";
  live.start(() =>
    `${name}  ${where}  ${duration((performance.now() - start) / 1000)}  ${progress}`
  );
  const execution = await executeNotebook(readNotebook(file), {
    ...options,
    cwd: dirname(file),
    onCell: (number, total, { id }) => {
      where = `cell ${number}/${total} ${id}`;
      progress = "";
    },
    onProgress: (line) => progress = line,
  });
  live.stop();
  await Deno.mkdir(options.out, { recursive: true });
  writeNotebook(join(options.out, basename(file)), execution.notebook);
  if (options.write && execution.ok) keepOutputs(file, execution.notebook);
  live.print(summary(name, execution));
  return execution;
}

/** Puts outputs into a notebook file; cells that were edited meanwhile keep what they have. */
function keepOutputs(file: string, executed: Notebook): void {
  const notebook = readNotebook(file);
  const done = new Map(executed.cells.map((cell) => [cell.id, cell]));
  for (const cell of notebook.cells) {
    const ran = done.get(cell.id);
    if (cell.cell_type !== "code" || ran?.source !== cell.source) continue;
    Object.assign(cell, {
      outputs: ran.outputs,
      execution_count: ran.execution_count,
      metadata: ran.metadata,
    });
  }
  writeNotebook(file, notebook);
}

function summary(name: string, { ok, cells, seconds, problem }: Execution): string {
  const head = `${ok ? "✓" : "✗"} ${name}  ${cells} cells, ${duration(seconds)}`;
  return problem ? `${head}\n${describe(name, problem)}` : head;
}

/** What stopped a chapter: its name, the cell's id, the line, the real error. */
export function describe(chapter: string, problem: CellProblem): string {
  const { cell, line, source, name, message, trace } = problem;
  const place = `${chapter}, cell "${cell}"` + (line === undefined ? "" : `, line ${line}`);
  const shown = source === undefined ? [] : ["", `    ${line} | ${source}`];
  const error = withoutFolders(`${name}: ${message}`).split("\n").map((text) => `    ${text}`);
  const way = trace.length < 2
    ? []
    : ["", ...trace.map((step) => `    at ${withoutFolders(step)}`)];
  return [`  ${place}`, ...shown, "", ...error, ...way].join("\n");
}

/** A signal that Ctrl-C (or a request to end) gives; the second one ends the program at once. */
export function stopOnInterrupt(): AbortSignal {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) Deno.exit(130);
    controller.abort();
  };
  Deno.addSignalListener("SIGINT", stop);
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", stop);
  return controller.signal;
}

async function main(): Promise<number> {
  const { values, positionals } = readFlags(Deno.args, {
    write: { type: "boolean" },
    profile: { type: "string" },
    out: { type: "string" },
    timeout: { type: "string" },
    help: { type: "boolean" },
  });
  if (values.help) return console.log(USAGE), 0;
  refuseBrokenDeno();
  const files = positionals.length ? chapterFiles(positionals) : listChapters();
  const signal = stopOnInterrupt();
  const options: RunOptions = {
    out: values.out !== undefined ? folder("--out", values.out) : join(buildFolder(), "notebooks"),
    write: values.write,
    env: values.profile ? { NANO_LLM_PROFILE: oneOf("--profile", values.profile, PROFILES) } : {},
    timeoutSeconds: values.timeout === undefined
      ? undefined
      : positive("--timeout", values.timeout),
    signal,
  };
  let failed = 0;
  for (const file of files) {
    const { ok } = await runChapter(file, options);
    if (signal.aborted) return 130;
    if (!ok) failed++;
  }
  return failed ? 1 : 0;
}

if (import.meta.main) await runProgram(USAGE, main);
