/**
 * Programs that are not ours: looked for and run. One that is missing is an answer here, never an exception: `new Deno.Command`
 * throws at once where there is no such program, before there is a promise that could be caught.
 */
import { existsSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";

/** What a program said. */
export interface Answer {
  /** It was there, and ended with exit code 0. */
  ok: boolean;
  stdout: string;
  stderr: string;
  /** Why it is not ok, on one line; empty if it is. */
  problem: string;
}

/** Where and how long a program may run. */
export interface RunOptions {
  cwd?: string;
  env?: Record<string, string>;
  /** Seconds after which it is ended. */
  limit?: number;
}

/** Runs a program to its end. */
export async function ask(
  program: string,
  args: string[],
  { limit, ...options }: RunOptions = {},
): Promise<Answer> {
  const signal = limit ? AbortSignal.timeout(limit * 1000) : undefined;
  try {
    const command = new Deno.Command(program, { args, stdin: "null", signal, ...options });
    const { success, code, stdout, stderr } = await command.output();
    const [out, said] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes).trim());
    const last = said.split("\n").at(-1) || `it ended with exit code ${code}`;
    const problem = signal?.aborted ? `no answer in ${limit} s` : last;
    return { ok: success, stdout: out, stderr: said, problem: success ? "" : problem };
  } catch (error) {
    const isMissing = error instanceof Deno.errors.NotFound;
    const problem = isMissing ? `there is no ${program}` : (error as Error).message;
    return { ok: false, stdout: "", stderr: "", problem };
  }
}

/** The first of these programs that is here and tells its version. */
export async function findProgram(names: string[]): Promise<string | undefined> {
  for (const name of names) if ((await ask(name, ["--version"], { limit: 60 })).ok) return name;
}

/** A Python with what is needed, or the reason why there is none. */
export interface Python {
  program: string;
  /** Empty if all is well. */
  problem: string;
}

/** Seconds for an import: PyTorch takes many where the disk is slow. */
const IMPORT_LIMIT = 180;

const found = new Map<string, Promise<Python>>();

/**
 * A Python that can import these modules: the one that NANO_LLM_PYTHON names, and no other; where it is not set, the first
 * `python3` or `python` on the PATH that can.
 */
export function findPython(...modules: string[]): Promise<Python> {
  const key = modules.join();
  if (!found.has(key)) found.set(key, lookForPython(modules));
  return found.get(key)!;
}

async function lookForPython(modules: string[]): Promise<Python> {
  const told = Deno.env.get("NANO_LLM_PYTHON");
  const candidates = told ? [told] : pythonsOnPath();
  const wanted = modules.join(", ");
  for (const program of candidates) {
    const { ok } = await ask(program, ["-c", `import ${wanted}`], { limit: IMPORT_LIMIT });
    if (ok) return { program, problem: "" };
  }
  const cure = `pip install ${wanted}, or set NANO_LLM_PYTHON to a Python that has them`;
  const problem = told
    ? `${told}, which NANO_LLM_PYTHON names, cannot import ${wanted}`
    : `no Python on the PATH can import ${wanted} (${cure})`;
  return { program: candidates[0] ?? "python3", problem };
}

/** Each once, in the order in which a shell would find them. */
function pythonsOnPath(): string[] {
  const folders = (Deno.env.get("PATH") ?? "").split(delimiter).filter(Boolean);
  const suffix = Deno.build.os === "windows" ? ".exe" : "";
  const all = ["python3", "python"].flatMap((name) =>
    folders.map((folder) => resolve(join(folder, name + suffix)))
  );
  return [...new Set(all)].filter((path) => existsSync(path));
}
