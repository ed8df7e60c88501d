/** Runs a notebook's cells in a kernel and puts what they show into a copy of it. */
import type { Cell, Notebook, Output } from "../notebook.ts";
import { type CellProblem, runtimeProblem, syntaxProblem } from "./explain.ts";
import { Kernel, KernelError } from "./kernel.ts";
import type { Message } from "./messages.ts";
import { type Displays, OutputCollector } from "./outputs.ts";
import { portable } from "./portable.ts";

/** How to run a notebook and who hears of it. */
export interface ExecutionOptions {
  /** folder that the cells' relative paths and imports start from: the notebook's own */
  cwd: string;
  /** added to the kernel's environment */
  env?: Record<string, string>;
  /** time limit of each cell; half an hour unless told */
  timeoutSeconds?: number;
  /** stops the kernel at once; what was executed stays */
  signal?: AbortSignal;
  /** a cell starts: its place among the code cells, from 1 */
  onCell?: (number: number, total: number, cell: Cell) => void;
  /** one line that says how far a cell is (see lib/notebook/progress.ts), or what the kernel downloads */
  onProgress?: (line: string) => void;
}

/** What came of running a notebook. */
export interface Execution {
  ok: boolean;
  /** a copy with the outputs of the cells that ran; the others have none */
  notebook: Notebook;
  /** how many code cells ran to their end */
  cells: number;
  seconds: number;
  /** what stopped it */
  problem?: CellProblem;
}

const TIMEOUT_SECONDS = 30 * 60;

/**
 * Runs all code cells in order in a kernel of their own, up to the first that fails. A cell that is tagged
 * `raises-exception` may fail.
 */
export async function executeNotebook(
  notebook: Notebook,
  options: ExecutionOptions,
): Promise<Execution> {
  const start = performance.now();
  const copy = withoutOutputs(notebook);
  const cells = copy.cells.filter(({ cell_type, source }) =>
    cell_type === "code" && source.trim() !== ""
  );
  const done: Cell[] = [];
  const problem = await runCells(cells, done, options);
  const seconds = (performance.now() - start) / 1000;
  return { ok: !problem, notebook: copy, cells: done.length, seconds, problem };
}

async function runCells(
  cells: Cell[],
  done: Cell[],
  options: ExecutionOptions,
): Promise<CellProblem | undefined> {
  if (cells.length === 0) return undefined;
  let kernel: Kernel;
  try {
    kernel = await Kernel.start({ cwd: options.cwd, env: options.env, onLog: options.onProgress });
  } catch (error) {
    return kernelProblem(cells[0], error);
  }
  const displays: Displays = new Map();
  try {
    for (const [index, cell] of cells.entries()) {
      options.onCell?.(index + 1, cells.length, cell);
      cell.execution_count = index + 1;
      const problem = await runCell(kernel, cell, done, displays, options);
      if (problem && !mayFail(cell)) return problem;
      done.push(cell);
    }
    return await lateProblem(kernel, done);
  } finally {
    await kernel.shutdown();
    for (const cell of cells) cell.outputs = portable(cell.outputs ?? []);
  }
}

async function runCell(
  kernel: Kernel,
  cell: Cell,
  earlier: Cell[],
  displays: Displays,
  options: ExecutionOptions,
): Promise<CellProblem | undefined> {
  const collector = new OutputCollector(displays);
  const problem = syntaxProblem(cell) ?? await send(kernel, cell, earlier, collector, options);
  if (problem) collector.fail(errorOutput(problem));
  cell.outputs = collector.outputs.map((output) => numbered(output, cell));
  return problem;
}

async function send(
  kernel: Kernel,
  cell: Cell,
  earlier: Cell[],
  collector: OutputCollector,
  { timeoutSeconds = TIMEOUT_SECONDS, signal, onProgress }: ExecutionOptions,
): Promise<CellProblem | undefined> {
  const onMessage = (message: Message) => {
    collector.take(message);
    const line = progressLine(message);
    if (line) onProgress?.(line);
  };
  try {
    const reply = await kernel.execute(cell.source, { timeoutSeconds, signal, onMessage });
    return reply.ok ? undefined : await runtimeProblem(kernel, cell, earlier, reply);
  } catch (error) {
    return kernelProblem(cell, error);
  }
}

/** An error that came after the last cell's end, out of what the cells left for later. */
async function lateProblem(kernel: Kernel, done: Cell[]): Promise<CellProblem | undefined> {
  const cell = done.at(-1)!;
  try {
    const reply = await kernel.settle();
    if (!reply) return undefined;
    const problem = await runtimeProblem(kernel, cell, done.slice(0, -1), reply);
    cell.outputs!.push({ output_type: "error", ...errorOutput(problem) });
    return problem;
  } catch (error) {
    return kernelProblem(cell, error);
  }
}

function kernelProblem(cell: Cell, error: unknown): CellProblem {
  if (!(error instanceof KernelError)) throw error;
  return { cell: cell.id, name: error.name, message: error.message, trace: [] };
}

function progressLine({ type, content }: Message): string | undefined {
  const isProgress = /display_data$/.test(type) && content.metadata?.["nano-llm"] === "progress";
  if (isProgress) return [content.data["text/plain"]].flat().join("");
}

function mayFail({ metadata }: Cell): boolean {
  return Array.isArray(metadata.tags) && metadata.tags.includes("raises-exception");
}

function errorOutput({ name, message, cell, line, trace }: CellProblem): Record<string, unknown> {
  const places = trace.length ? trace : line === undefined ? [] : [`cell "${cell}", line ${line}`];
  const traceback = [`${name}: ${message}`, ...places.map((place) => `    at ${place}`)];
  return { ename: name, evalue: message, traceback };
}

function numbered(output: Output, { execution_count }: Cell): Output {
  return output.output_type === "execute_result" ? { ...output, execution_count } : output;
}

/** A deep copy as it was before it ever ran: no outputs, no counts, no times. */
function withoutOutputs(notebook: Notebook): Notebook {
  const copy = structuredClone(notebook);
  for (const cell of copy.cells) {
    delete cell.metadata.execution;
    delete cell.metadata.ExecuteTime;
    if (cell.cell_type !== "code") continue;
    cell.outputs = [];
    cell.execution_count = null;
  }
  return copy;
}
