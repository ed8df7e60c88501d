/**
 * What the doctor finds out with the engine itself: which backends there are, whether each computes right, whether the texts are here.
 * Loaded when it is asked for: it needs lib and the packages, and where these are missing the doctor must be able to say so.
 */
import * as tf from "@tensorflow/tfjs";
import { loadCorpus } from "lib/data/corpus.ts";
import {
  availableBackends,
  type BackendChoice,
  type BackendName,
  useBackend,
} from "lib/engine/backend.ts";
import { requestAdapter } from "lib/engine/webgpu/device.ts";
import { ROOT } from "../notebook.ts";
import type { Finding } from "./finding.ts";

/** Adapter, backends and texts. */
export async function examineEngine(): Promise<{ findings: Finding[]; backend?: BackendChoice }> {
  const { finding, backend } = await chosenBackend();
  const findings = [await adapter(), finding, ...await probes(backend), await corpus()];
  return { findings, backend };
}

async function adapter(): Promise<Finding> {
  const found = await requestAdapter();
  if (!found) {
    const cure =
      "a graphics driver with Vulkan, Metal or DirectX 12; without one the processor works, slower";
    return { sign: "!", text: "no graphics adapter for WebGPU", cure };
  }
  const text = `graphics adapter: ${found.description} (${featuresOf(found.gpu.features)})`;
  if (found.isReal) return { sign: "✓", text };
  return {
    sign: "!",
    text,
    cure: "chapters use the processor instead; NANO_LLM_BACKEND=webgpu insists",
  };
}

/** What we can use, where it is there: 16 bits, quicker sums, exact times. */
const FEATURES = ["shader-f16", "subgroups", "timestamp-query"];

/** `has …, lacks …`, of the features that matter here. */
export function featuresOf(features: { has(name: string): boolean }): string {
  const has = FEATURES.filter((name) => features.has(name));
  const lacks = FEATURES.filter((name) => !features.has(name));
  const parts = { has, lacks };
  return Object.entries(parts).filter(([, names]) => names.length > 0)
    .map(([verb, names]) => `${verb} ${names.join(", ")}`).join(", ");
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
