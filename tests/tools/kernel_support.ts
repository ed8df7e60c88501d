/** Small notebooks for the tests of the programs that run them. */
import { join } from "node:path";
import { executeNotebook, type Execution, type ExecutionOptions } from "tools/jupyter/execute.ts";
import {
  type Cell,
  type Notebook,
  NOTEBOOK_METADATA,
  type Output,
  ROOT,
  writeNotebook,
} from "tools/notebook.ts";

/** A notebook of code cells with the ids c1, c2, … */
export function notebookOf(...sources: string[]): Notebook {
  const cells = sources.map((source, index): Cell => ({
    id: `c${index + 1}`,
    cell_type: "code",
    source,
    metadata: {},
    outputs: [],
    execution_count: null,
  }));
  return { nbformat: 4, nbformat_minor: 5, metadata: NOTEBOOK_METADATA, cells };
}

/** Runs cells in a kernel whose working folder is the project. */
export function execute(
  sources: string[],
  options: Partial<ExecutionOptions> = {},
): Promise<Execution> {
  return executeNotebook(notebookOf(...sources), { cwd: ROOT, ...options });
}

/** The outputs of a cell of an executed notebook. */
export function outputsOf(execution: Execution, cell: number): Output[] {
  return execution.notebook.cells[cell - 1].outputs!;
}

/** Runs `use` with a folder that is deleted afterwards. */
export async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "nano-llm-test-" });
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Writes a notebook of code cells into a folder; returns its path. */
export function writeSmall(folder: string, name: string, ...sources: string[]): string {
  const file = join(folder, `${name}.ipynb`);
  writeNotebook(file, notebookOf(...sources));
  return file;
}

/** What a program of `tools` prints, and its exit code. */
export async function runTool(
  tool: string,
  args: string[],
  env: Record<string, string> = {},
  root = ROOT,
) {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", join(root, "tools", tool), ...args],
    env: { NO_COLOR: "1", ...env },
    cwd: root,
  });
  const { code, stdout, stderr } = await command.output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: decode(stdout), stderr: decode(stderr) };
}

/** Waits until a file is there and returns its text. */
export async function waitForFile(file: string, seconds = 30): Promise<string> {
  for (let tries = 0; tries < seconds * 20; tries++) {
    const text = await Deno.readTextFile(file).catch(() => "");
    if (text) return text;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${file} did not appear in ${seconds} s`);
}

/** Whether a process ends within so many seconds. */
export async function endsWithin(pid: number, seconds: number): Promise<boolean> {
  for (let tries = 0; tries < seconds * 20; tries++) {
    try {
      Deno.kill(pid, "SIGCONT");
    } catch {
      return true;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}
