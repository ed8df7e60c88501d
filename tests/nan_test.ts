/**
 * NaN in, NaN out. Wherever a number moves a result of an operator, value or gradient, NaN in its place must make that
 * result NaN. What moves what is found by moving it, with the chapters' functions on the backend `cpu`.
 */
import { assert } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import { causalAttention, type CausalAttentionOptions, linear } from "lib/attention.ts";
import { embed } from "lib/embeddings.ts";
import type { BackendName } from "lib/engine/backend.ts";
import { operator, type Operators, useKernels, verifyOperators } from "lib/engine/ops.ts";
import { Random } from "lib/engine/random.ts";
import { adamWStep, crossEntropy, globalNorm } from "lib/train.ts";
import { gelu, layerNorm } from "lib/transformer.ts";
import { testOnBackends } from "./support.ts";

/** An operator with gradients, and a function of all that goes in: gives all that comes out. */
interface Case {
  shapes: number[][];
  // deno-lint-ignore no-explicit-any
  f: (...inputs: any[]) => tf.Tensor[];
}

/** Value and gradients; the last input is the gradient that arrives at the value. */
// deno-lint-ignore no-explicit-any
function differentiable(op: (...inputs: any[]) => tf.Tensor, shapes: number[][]): Case {
  const f = (...inputs: tf.Tensor[]) => {
    const trained = inputs.slice(0, -1), dy = inputs.at(-1)!;
    return [op(...trained), ...tf.grads((...xs) => op(...xs).mul(dy).sum())(trained)];
  };
  return { shapes, f };
}

/** AdamW in plain ops, as chapter 05 has it. */
const plainAdamW: Operators["adamW"] = (state, gradient, step, learningRate, options, clip) => {
  const factor = clip ? tf.minimum(1, tf.div(clip.limit, clip.norm.add(1e-6))) : tf.scalar(1);
  const moved = adamWStep(state, gradient.mul(factor), step, learningRate, options);
  state.weight.assign(moved.weight);
  state.m.assign(moved.m);
  state.v.assign(moved.v);
};
const adamW = operator("adamW", plainAdamW);

function adamWResults(weight: tf.Tensor, gradient: tf.Tensor, m: tf.Tensor, norm: tf.Scalar) {
  const state = { weight: tf.variable(weight), m: tf.variable(m), v: tf.variable(m.square()) };
  const options = { betas: [0.9, 0.99] as [number, number], eps: 1e-8, weightDecay: 0.1 };
  adamW(state, gradient, 2, 0.1, options, { norm: norm.square().add(2) as tf.Scalar, limit: 1 });
  const after = Object.values(state).map((variable) => variable.clone());
  tf.dispose(state);
  return after;
}

const ids = () => tf.tensor1d([4, 0, 4, 2, 1], "int32");
const attention = (options: CausalAttentionOptions) => {
  const op = operator("causalAttention", causalAttention);
  return (qkv: tf.Tensor3D) => op(qkv, options);
};
const loss = operator("crossEntropy", crossEntropy), lookUp = operator("embed", embed);
const norm = operator("globalNorm", globalNorm);

const CASES: Record<string, Case> = {
  embed: differentiable((table) => lookUp(table, ids()), [[7, 6], [5, 6]]),
  linear: differentiable(operator("linear", linear), [[2, 3, 5], [5, 7], [7], [2, 3, 7]]),
  layerNorm: differentiable(operator("layerNorm", layerNorm), [[2, 3, 7], [7], [7], [2, 3, 7]]),
  gelu: differentiable(operator("gelu", gelu), [[3, 13], [3, 13]]),
  attention: differentiable(attention({ nHead: 3 }), [[2, 7, 63], [2, 7, 21]]),
  "rotary attention": differentiable(attention({ nHead: 1, rotary: true }), [[1, 9, 18], [
    1,
    9,
    6,
  ]]),
  "grouped attention": differentiable(attention({ nHead: 2, nKVHead: 1 }), [[1, 6, 20], [
    1,
    6,
    10,
  ]]),
  crossEntropy: differentiable((logits) => loss(logits, ids()), [[5, 7], []]),
  globalNorm: { shapes: [[3, 5], [11]], f: (a, b) => [norm({ a, b })] },
  adamW: { shapes: [[3, 5], [3, 5], [3, 5], []], f: adamWResults },
};

/** What comes out on a backend if number `place` of input `which` is replaced. */
async function resultsOn(
  backend: string,
  { shapes, f }: Case,
  [which, place]: [number, number],
  replace: (x: number) => number,
): Promise<Float32Array[]> {
  await tf.setBackend(backend);
  const random = new Random(7);
  const values = shapes.map((shape) => random.normals(tf.util.sizeFromShape(shape)));
  values[which][place] = replace(values[which][place]);
  const results = tf.tidy(() => f(...values.map((numbers, i) => tf.tensor(numbers, shapes[i]))));
  const numbers = await Promise.all(results.map(async (x) => Float32Array.from(await x.data())));
  tf.dispose(results);
  return numbers;
}

/** Places to try in a tensor: the ends, and some between. */
function places(size: number): Set<number> {
  const random = new Random(size);
  return new Set([0, size - 1, ...Array.from({ length: 4 }, () => random.integer(size))]);
}

/** How many results number `place` of input `which` moves; all of them must be NaN if it is. */
async function countReached(given: Case, backend: string, at: [number, number]): Promise<number> {
  const before = await resultsOn("cpu", given, at, (x) => x);
  const moved = await resultsOn("cpu", given, at, (x) => x + 0.5);
  const got = await resultsOn(backend, given, at, () => NaN);
  let reached = 0;
  for (const [i, numbers] of moved.entries()) {
    for (const [j, number] of numbers.entries()) {
      if (number === before[i][j]) continue;
      reached++;
      const where = `number ${at[1]} of input ${at[0]}`;
      assert(Number.isNaN(got[i][j]), `${where}: number ${j} of result ${i} is ${got[i][j]}`);
    }
  }
  return reached;
}

/** Not `wasm` where the gradient is clipped: tfjs's own kernel finds that the smaller one of 1 and NaN is 1. */
const CLIPPING: BackendName[] = ["webgpu", "simd", "cpu"];

/** Tries NaN in some places of each input. */
async function tryAll(given: Case, backend: string): Promise<void> {
  for (const [which, shape] of given.shapes.entries()) {
    let reached = 0;
    for (const place of places(tf.util.sizeFromShape(shape))) {
      reached += await countReached(given, backend, [which, place]);
    }
    assert(reached > 0, `input ${which} moves nothing`);
  }
}

for (const [name, given] of Object.entries(CASES)) {
  testOnBackends(`NaN in, NaN out: ${name}`, async (backend) => {
    await verifyOperators();
    await tryAll(given, backend);
  }, name === "adamW" ? CLIPPING : undefined);

  // What runs where a kernel loses NaN, and is therefore not used: tfjs's own shaders.
  testOnBackends(`NaN in, NaN out: ${name}, the chapter's own`, async (backend) => {
    useKernels("reference");
    await tryAll(given, backend).finally(() => useKernels("fused"));
  }, ["webgpu"]);
}
