/** What works on this machine and what does not, with the cure: `deno task doctor`. */
import { existsSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { availableParallelism, totalmem } from "node:os";
import type { BackendChoice } from "lib/engine/backend.ts";
import { readFlags, runProgram } from "./cli.ts";
import { brokenDeno, TESTED_DENO } from "./deno-version.ts";
import { missingFolders, missingPackages, unwritable } from "./doctor/checkout.ts";
import type { Finding } from "./doctor/finding.ts";
import { installedKernel, isCurrentKernel, kernelFolder } from "./install-kernel.ts";
import { runtimeFolder } from "./jupyter/process.ts";
import { ROOT } from "./notebook.ts";
import { taskCommand } from "./task.ts";

const USAGE = `usage: ${taskCommand("doctor")} [--quick]

Says what works here. ✓ works, ! works with a catch, ✗ does not work; after the arrow stands the cure.
Exit code 1 if nothing would run, or results would be wrong.

  --quick   look only for what lets nothing run; if there is nothing, say nothing`;

const GIGABYTE = 1e9;
const NEEDED_DISK = 2 * GIGABYTE;

/** What the doctor found. */
export interface Diagnosis {
  /** ready to print, about ten */
  lines: string[];
  /** what would stop everything, or make results wrong; empty if nothing does */
  fatal: string[];
  /** the backend that chapters will use, if there is one */
  backend?: BackendChoice;
}

/** Looks at everything once. */
export async function doctor(): Promise<Diagnosis> {
  Deno.env.set("XDG_RUNTIME_DIR", runtimeFolder());
  const missing = missingFolders();
  const { findings: engine, backend } = missing.length ? NOTHING : await examineEngine();
  const findings = [
    denoVersion(Deno.version.deno),
    machine(),
    ...missing,
    ...unwritable(),
    ...engine,
    await kernelSpec(),
    await disk(),
  ];
  const fatal = findings.filter((one) => one.fatal).map(({ text }) => text);
  return { lines: findings.map(lineOf), fatal, backend };
}

/** What the engine itself tells. */
interface Examined {
  findings: Finding[];
  backend?: BackendChoice;
}

const NOTHING: Examined = { findings: [] };

function lineOf({ sign, text, cure }: Finding): string {
  return `${sign} ${text}${cure ? `\n    → ${cure}` : ""}`;
}

async function examineEngine(): Promise<Examined> {
  const engine = await import("./doctor/engine.ts").catch((error: Error) => error);
  return engine instanceof Error
    ? { findings: [await missingPackages(engine.message)] }
    : await engine.examineEngine();
}

/** What is known of a version of Deno. */
export function denoVersion(version: string): Finding {
  const cure = `npx -y deno@${TESTED_DENO} task start`;
  const broken = brokenDeno(version);
  if (broken) return { sign: "✗", text: broken, cure, fatal: true };
  const [major, minor, patch] = version.split(/[.+-]/).map(Number);
  const order = major * 1e6 + minor * 1e3 + patch;
  if (version === TESTED_DENO) {
    return {
      sign: "✓",
      text:
        `Deno ${version}: tested. Its kernel sends outputs after "idle"; chapters and runner wait for them`,
    };
  }
  if (order >= 2_007_014 && order <= 2_008_001) {
    const text =
      `Deno ${version}: its kernel sends "transient": null, on which Jupyter's nbclient crashes`;
    return { sign: "!", text, cure };
  }
  const age = order < 2_007_014 ? "older than" : "not";
  return { sign: "!", text: `Deno ${version}: ${age} what was tested here, ${TESTED_DENO}`, cure };
}

function machine(): Finding {
  const { os, arch } = Deno.build;
  const memory = totalmem() / GIGABYTE;
  const text = `${availableParallelism()} cores, ${memory.toFixed(0)} GB of memory, ${os} ${arch}`;
  if (memory >= 3) return { sign: "✓", text };
  return { sign: "!", text, cure: "the laptop profile needs about 3 GB: use --profile smoke" };
}

async function kernelSpec(): Promise<Finding> {
  const cure = `${taskCommand("kernel")} (only needed to open chapters in JupyterLab or VS Code)`;
  const spec = await installedKernel();
  if (!spec) return { sign: "!", text: "the Jupyter kernel is not installed", cure };
  const [program] = spec.argv ?? [];
  if (program?.includes("/") && !existsSync(program)) {
    return { sign: "✗", text: `the Jupyter kernel starts ${program}, which is gone`, cure };
  }
  if (!await isCurrentKernel()) {
    const text = "the Jupyter kernel is another program's, or an earlier version's: " +
      "it may lose outputs, say nothing of syntax errors, and end when Stop is pressed";
    return { sign: "!", text, cure };
  }
  return { sign: "✓", text: `Jupyter kernel installed: ${kernelFolder()}` };
}

async function disk(): Promise<Finding> {
  const { bavail, bsize } = await statfs(ROOT);
  const free = Number(bavail) * Number(bsize);
  const text = `${(free / GIGABYTE).toFixed(1)} GB of disk free`;
  if (free >= NEEDED_DISK) return { sign: "✓", text };
  return { sign: "!", text, cure: "a run needs up to 2 GB: empty build/, or move the project" };
}

async function main(): Promise<number> {
  const options = { help: { type: "boolean" }, quick: { type: "boolean" } } as const;
  const { values } = readFlags(Deno.args, options);
  if (values.help) return console.log(USAGE), 0;
  if (values.quick) return quick();
  const { lines, fatal } = await doctor();
  console.log(lines.join("\n"));
  return fatal.length ? 1 : 0;
}

function quick(): number {
  const all = [denoVersion(Deno.version.deno), ...missingFolders(), ...unwritable()];
  const findings = all.filter(({ fatal }) => fatal);
  for (const finding of findings) console.error(lineOf(finding));
  return findings.length ? 1 : 0;
}

if (import.meta.main) await runProgram(USAGE, main);
