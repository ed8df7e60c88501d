/**
 * Makes the Deno kernel known to Jupyter and VS Code: `deno task kernel`.
 *
 * It installs our front (tools/jupyter/front.ts), which starts Deno's kernel behind it; the front's files are copied, so that
 * the kernel works wherever this project lies, or lay.
 *
 * Unlike `deno jupyter --install` it turns colours off (they would be saved as control characters), and it points at
 * a Deno that stays: the one that npx downloaded lies in a cache that npm may empty, so that one is linked (or copied)
 * into the kernel's own folder.
 */
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { readFlags, runProgram, UsageError } from "./cli.ts";
import { refuseBrokenDeno } from "./deno-version.ts";
import { ROOT } from "./notebook.ts";
import { taskCommand } from "./task.ts";

const USAGE = `usage: ${taskCommand("kernel")}

Writes the kernel "deno" into Jupyter's data folder: $JUPYTER_DATA_DIR, or the one of this system's users.`;

/** What Jupyter knows of a kernel: https://jupyter-client.readthedocs.io/en/stable/kernels.html#kernel-specs */
export interface KernelSpec {
  argv: string[];
  display_name: string;
  language: string;
  env?: Record<string, string>;
}

const FRONT = join(ROOT, "tools", "jupyter", "front.ts");

/** The folder in which Jupyter looks for the kernel "deno". */
export function kernelFolder(): string {
  return join(jupyterData(), "kernels", "deno");
}

function jupyterData(): string {
  const told = Deno.env.get("JUPYTER_DATA_DIR");
  if (told) return told;
  if (Deno.build.os === "darwin") return join(homedir(), "Library", "Jupyter");
  const folder = Deno.build.os === "windows" ? "APPDATA" : "XDG_DATA_HOME";
  return join(Deno.env.get(folder) || join(homedir(), ".local", "share"), "jupyter");
}

/** The kernel "deno" that is installed, or undefined; it may be another program's. */
export async function installedKernel(): Promise<KernelSpec | undefined> {
  try {
    return JSON.parse(await Deno.readTextFile(join(kernelFolder(), "kernel.json")));
  } catch {
    return undefined;
  }
}

/** Whether the kernel that is installed is the one that this project would install now. */
export async function isCurrentKernel(): Promise<boolean> {
  const [spec, files] = [await installedKernel(), await frontFiles()];
  if (!spec?.argv?.includes(join(frontFolder(), basename(FRONT)))) return false;
  const same = [...files].map(async ([name, text]) =>
    text === await Deno.readTextFile(join(frontFolder(), name)).catch(() => undefined)
  );
  return (await Promise.all(same)).every(Boolean);
}

/**
 * Installs the kernel.
 *
 * @returns the file that was written and the Deno that it starts
 */
export async function installKernel(): Promise<{ file: string; deno: string }> {
  const folder = kernelFolder();
  await Deno.mkdir(frontFolder(), { recursive: true });
  await removeLeftovers(folder);
  const deno = isTemporary(Deno.execPath()) ? await keep(Deno.execPath(), folder) : Deno.execPath();
  for (const [name, text] of await frontFiles()) {
    await Deno.writeTextFile(join(frontFolder(), name), text);
  }
  const front = join(frontFolder(), basename(FRONT));
  const spec: KernelSpec = {
    argv: [deno, "run", "-A", "--quiet", "--no-config", "--no-lock", front, "{connection_file}"],
    display_name: "Deno",
    language: "typescript",
    env: { NO_COLOR: "1" },
  };
  const file = join(folder, "kernel.json");
  await Deno.writeTextFile(file, JSON.stringify(spec, null, 2) + "\n");
  return { file, deno };
}

function frontFolder(): string {
  return join(kernelFolder(), "front");
}

/** The front and all that it imports, by name: they lie in one folder and import each other by `./name.ts`. */
async function frontFiles(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const waiting = [basename(FRONT)];
  for (let name = waiting.pop(); name; name = waiting.pop()) {
    if (files.has(name)) continue;
    const text = await Deno.readTextFile(join(dirname(FRONT), name));
    files.set(name, text);
    waiting.push(
      ...[...text.matchAll(/ from "\.\/([\w-]+\.ts)";/g)].map(([, imported]) => imported),
    );
  }
  return files;
}

/** Earlier versions left a `deno.<pid>` behind each time. */
async function removeLeftovers(folder: string): Promise<void> {
  for await (const { name } of Deno.readDir(folder)) {
    if (/^deno(\.exe)?\.\d+$/.test(name)) await Deno.remove(join(folder, name)).catch(() => {});
  }
}

function isTemporary(path: string): boolean {
  return /[\\/](_npx|_cacache|dlx-[^\\/]*|node_modules)[\\/]/.test(path);
}

/** Links a program into a folder, which costs no space; copies it where the folder is on another disk. */
async function keep(program: string, folder: string): Promise<string> {
  const kept = join(folder, basename(program));
  const fresh = `${kept}.${Deno.pid}`;
  await Deno.link(program, fresh).catch(() => Deno.copyFile(program, fresh));
  await Deno.rename(fresh, kept); // a kernel that runs now keeps the old file
  await Deno.remove(fresh).catch(() => {}); // renamed onto another name of the same file, it stays
  return kept;
}

async function main(): Promise<number> {
  const { values, positionals } = readFlags(Deno.args, { help: { type: "boolean" } });
  if (values.help) return console.log(USAGE), 0;
  if (positionals.length) throw new UsageError(`no argument is needed, got "${positionals[0]}"`);
  refuseBrokenDeno();
  const before = await installedKernel();
  const { file, deno } = await installKernel();
  console.log(`✓ wrote ${file}\n  it starts ${deno} ${Deno.version.deno}`);
  if (before && before.argv?.[0] !== deno) console.log(`  before, it started ${before.argv?.[0]}`);
  console.log('  In JupyterLab or VS Code choose the kernel "Deno".');
  return 0;
}

if (import.meta.main) await runProgram(USAGE, main);
