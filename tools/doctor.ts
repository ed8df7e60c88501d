/** What works on this machine and what does not, with the cure: `deno task doctor`. */
import { existsSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { availableParallelism, totalmem } from "node:os";
import * as tf from "@tensorflow/tfjs";
import { loadCorpus } from "lib/data/corpus.ts";
import {
  availableBackends,
  type BackendChoice,
  type BackendName,
  useBackend,
} from "lib/engine/backend.ts";
import { requestAdapter } from "lib/engine/webgpu/device.ts";
import { readFlags, runProgram } from "./cli.ts";
import { brokenDeno, TESTED_DENO } from "./deno-version.ts";
import { installedKernel, isCurrentKernel, kernelFolder } from "./install-kernel.ts";
import { runtimeFolder } from "./jupyter/process.ts";
import { ROOT } from "./notebook.ts";

const USAGE = `usage: deno task doctor

Says what works here. ✓ works, ! works with a catch, ✗ does not work; after the arrow stands the cure.
Exit code 1 if results would be wrong.`;

const GIGABYTE = 1e9;
const NEEDED_DISK = 2 * GIGABYTE;

/** One finding. */
export interface Finding {
  sign: "✓" | "!" | "✗";
  text: string;
  cure?: string;
  /** results would be wrong */
  fatal?: boolean;
}

/** What the doctor found. */
export interface Diagnosis {
  /** ready to print, about ten */
  lines: string[];
  /** what would make results wrong; empty if nothing does */
  fatal: string[];
  /** the backend that chapters will use, if there is one */
  backend?: BackendChoice;
}

/** Looks at everything once. */
export async function doctor(): Promise<Diagnosis> {
  Deno.env.set("XDG_RUNTIME_DIR", runtimeFolder());
  const { finding, backend } = await chosenBackend();
  const findings = [
    denoVersion(Deno.version.deno),
    machine(),
    await adapter(),
    finding,
    ...await probes(backend),
    await kernelSpec(),
    await corpus(),
    await disk(),
  ];
  const lines = findings.map(({ sign, text, cure }) =>
    `${sign} ${text}${cure ? `\n    → ${cure}` : ""}`
  );
  const fatal = findings.filter((one) => one.fatal).map(({ text }) => text);
  return { lines, fatal, backend };
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

async function adapter(): Promise<Finding> {
  const found = await requestAdapter();
  if (!found) {
    const cure =
      "a graphics driver with Vulkan, Metal or DirectX 12; without one the processor works, slower";
    return { sign: "!", text: "no graphics adapter for WebGPU", cure };
  }
  const wanted = ["shader-f16", "subgroups", "timestamp-query"];
  const has = wanted.filter((feature) => found.gpu.features.has(feature as GPUFeatureName));
  const text = `graphics adapter: ${found.description} (${
    has.join(", ") || "no optional features"
  })`;
  if (found.isReal) return { sign: "✓", text };
  return {
    sign: "!",
    text,
    cure: "chapters use the processor instead; NANO_LLM_BACKEND=webgpu insists",
  };
}

async function chosenBackend(): Promise<{ finding: Finding; backend?: BackendChoice }> {
  try {
    const backend = await useBackend();
    return { finding: { sign: "✓", text: backend.line }, backend };
  } catch (error) {
    const cure = "unset NANO_LLM_BACKEND and NANO_LLM_STORAGE, or choose one of the backends below";
    return { finding: { sign: "✗", text: (error as Error).message, cure, fatal: true } };
  }
}

/** Each backend must compute what a plain loop computes. */
async function probes(chosen?: BackendChoice): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { name, available, why } of await availableBackends()) {
    if (available) findings.push(await probe(name, name === chosen?.name));
    else findings.push({ sign: "!", text: `${name} is not available: ${why}` });
  }
  if (chosen) await tf.setBackend(chosen.name);
  return findings;
}

async function probe(name: BackendName, isChosen: boolean): Promise<Finding> {
  const start = performance.now();
  const wrong: string[] = [];
  try {
    await useBackend(name);
    for (const [what, check] of Object.entries(CHECKS)) if (!await check()) wrong.push(what);
  } catch (error) {
    wrong.push(`failed with "${(error as Error).message}"`);
  }
  const milliseconds = Math.round(performance.now() - start);
  if (wrong.length === 0) {
    return {
      sign: "✓",
      text: `${name} computes ${Object.keys(CHECKS).join(", ")} right (${milliseconds} ms)`,
    };
  }
  const cure = isChosen
    ? "choose another: NANO_LLM_BACKEND=cpu"
    : "it is not used unless NANO_LLM_BACKEND says so";
  return {
    sign: "✗",
    text: `${name} computes wrongly: ${wrong.join(", ")}`,
    cure,
    fatal: isChosen,
  };
}

const CHECKS: Record<string, () => Promise<boolean>> = {
  matmul: checkMatMul,
  softmax: async () => {
    const expected = [0.09003057, 0.24472847, 0.66524096]; // e, e², e³ over their sum
    return isClose(await valuesOf(() => tf.softmax(tf.tensor1d([1, 2, 3]))), expected);
  },
  "a gradient": async () => {
    // y = (1·3 + 2·4)² = 121, so dy/dw = 2·11·(1, 2)
    const square = (w: tf.Tensor) =>
      tf.sum(tf.square(tf.matMul(tf.tensor2d([[1, 2]]), w as tf.Tensor2D)));
    return isClose(await valuesOf(() => tf.grad(square)(tf.tensor2d([[3], [4]]))), [22, 44]);
  },
};

/** Sizes that no tile divides, against three loops. */
async function checkMatMul(): Promise<boolean> {
  const [rows, inner, columns] = [33, 65, 17];
  const a = Float32Array.from({ length: rows * inner }, (_, i) => Math.sin(i));
  const b = Float32Array.from({ length: inner * columns }, (_, i) => Math.cos(i));
  const expected = new Float32Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      for (let k = 0; k < inner; k++) {
        expected[i * columns + j] += a[i * inner + k] * b[k * columns + j];
      }
    }
  }
  const product = () => tf.matMul(tf.tensor2d(a, [rows, inner]), tf.tensor2d(b, [inner, columns]));
  return isClose(await valuesOf(product), expected);
}

async function valuesOf(compute: () => tf.Tensor): Promise<ArrayLike<number>> {
  const result = tf.tidy(compute);
  const values = await result.data();
  result.dispose();
  return values;
}

function isClose(actual: ArrayLike<number>, expected: ArrayLike<number>): boolean {
  return actual.length === expected.length &&
    Array.from(expected).every((value, index) =>
      Math.abs(actual[index] - value) < 1e-4 * (1 + Math.abs(value))
    );
}

async function kernelSpec(): Promise<Finding> {
  const cure = "deno task kernel (only needed to open chapters in JupyterLab or VS Code)";
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

async function corpus(): Promise<Finding> {
  try {
    const { text } = await loadCorpus();
    return {
      sign: "✓",
      text: `corpus "tales" is here: ${(text.length / 1e6).toFixed(1)} million characters`,
    };
  } catch (error) {
    const cure = `run "deno install" in ${ROOT} while online`;
    return { sign: "✗", text: `corpus "tales": ${(error as Error).message}`, cure, fatal: true };
  }
}

async function disk(): Promise<Finding> {
  const { bavail, bsize } = await statfs(ROOT);
  const free = Number(bavail) * Number(bsize);
  const text = `${(free / GIGABYTE).toFixed(1)} GB of disk free`;
  if (free >= NEEDED_DISK) return { sign: "✓", text };
  return { sign: "!", text, cure: "a run needs up to 2 GB: empty build/, or move the project" };
}

async function main(): Promise<number> {
  const { values } = readFlags(Deno.args, { help: { type: "boolean" } });
  if (values.help) return console.log(USAGE), 0;
  const { lines, fatal } = await doctor();
  console.log(lines.join("\n"));
  return fatal.length ? 1 : 0;
}

if (import.meta.main) await runProgram(USAGE, main);
