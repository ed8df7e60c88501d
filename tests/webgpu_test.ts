import { assert, assertEquals, assertRejects } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import { causalAttention, linear } from "lib/attention.ts";
import { embed } from "lib/embeddings.ts";
import { availableBackends } from "lib/engine/backend.ts";
import {
  fusedAdamW,
  fusedCausalAttention,
  fusedCrossEntropy,
  fusedEmbedding,
  fusedGelu,
  fusedGlobalNorm,
  fusedLayerNorm,
  fusedLinear,
  fusedRotary,
  registerFusedGradients,
} from "lib/engine/kernels.ts";
import { Random } from "lib/engine/random.ts";
import { setStorageFormat, storageFormat } from "lib/engine/storage.ts";
import type { GpuBackend } from "lib/engine/webgpu/backend.ts";
import { gelu, layerNorm } from "lib/transformer.ts";
import { SHARED_DEVICE, testIf } from "./optional.ts";
import { assertTensor, whyNoHalves } from "./support.ts";

const webgpu = (await availableBackends()).find(({ name }) => name === "webgpu")!;
const NO_CARD = webgpu.available ? "" : webgpu.why;
const NO_HALVES = NO_CARD || await whyNoHalves();
registerFusedGradients();

/** One test with the shaders for graphics cards, and one with those for software adapters, whatever is here. */
function testOnGpu(name: string, body: () => Promise<void>, problem = NO_CARD): void {
  for (const isReal of [false, true]) {
    const shaders = isReal ? "a card's shaders" : "a software adapter's";
    testIf(problem, `${name} [webgpu, ${shaders}]`, async () => {
      await tf.setBackend("webgpu");
      const gpu = tf.backend() as GpuBackend, before = gpu.isReal;
      Object.assign(gpu, { isReal });
      await body().finally(() => Object.assign(gpu, { isReal: before }));
    }, SHARED_DEVICE);
  }
}

/** Registers a test of an operator twice: with everything in 32 bits, and with its inputs and what it keeps in 16. */
function testOperator(name: string, body: () => Promise<void>): void {
  testOnGpu(name, body);
  testOnGpu(`${name}, in 16 bits`, async () => {
    setStorageFormat("f16");
    await body().finally(() => setStorageFormat("f32"));
  }, NO_HALVES);
}

type Body = (...tensors: tf.Tensor[]) => tf.Tensor;
type Numbers = { data: Float32Array | Int32Array; shape: number[]; dtype: "float32" | "int32" };

const random = new Random(5);
const floats = (...shape: number[]): Numbers => ({
  data: rounded(random.normals(tf.util.sizeFromShape(shape))),
  shape,
  dtype: "float32",
});
const integers = (limit: number, ...shape: number[]): Numbers => ({
  data: Int32Array.from({ length: tf.util.sizeFromShape(shape) }, () => random.integer(limit)),
  shape,
  dtype: "int32",
});

/** Numbers that 16 bits can hold, where that is what they are stored in. */
function rounded(data: Float32Array): Float32Array {
  return storageFormat() === "f16" ? Float32Array.from(new Float16Array(data)) : data;
}

function tensorOf({ data, shape, dtype }: Numbers): tf.Tensor {
  const tensor = tf.tensor(data, shape, dtype);
  return dtype === "float32" && tf.getBackend() === "webgpu" ? stored(tensor) : tensor;
}

/** A tensor on the device as the fused kernels keep their results. */
function stored(tensor: tf.Tensor): tf.Tensor {
  const gpu = tf.backend() as GpuBackend;
  const copy = gpu.activation(tensor.shape);
  const groups = gpu.spread(Math.ceil(tensor.size / 256));
  gpu.dispatch({ name: "copy" }, [copy, tensor], [tensor.size], groups);
  tensor.dispose();
  return tf.engine().makeTensorFromTensorInfo(copy);
}

/** The result of a function on a backend, and the gradient of a weighted sum of it for every float argument. */
async function resultsOn(backend: string, body: Body, given: Numbers[]): Promise<Float32Array[]> {
  await tf.setBackend(backend);
  const tensors = given.map(tensorOf);
  const trained = tensors.filter(({ dtype }) => dtype === "float32");
  const call = (...xs: tf.Tensor[]) =>
    body(...tensors.map((t) => t.dtype === "float32" ? xs.shift()! : t));
  const results = tf.tidy(() => {
    const y = call(...trained);
    const weights = tf.tensor(new Random(9).normals(y.size), y.shape);
    return [y, ...tf.grads((...xs) => call(...xs).mul(weights).sum())(trained)];
  });
  const values = await Promise.all(results.map((tensor) => tensor.data() as Promise<Float32Array>));
  tf.dispose([...tensors, ...results]);
  return values;
}

/** Fails unless values and gradients on the GPU are those of plain tfjs ops on the CPU, to `tolerance` of the largest. */
async function assertSame(
  fused: Body,
  reference: Body,
  given: Numbers[],
  tolerance = 2e-5,
): Promise<void> {
  const allowed = storageFormat() === "f16" ? Math.max(tolerance, 2e-3) : tolerance;
  const wanted = await resultsOn("cpu", reference, given);
  const got = await resultsOn("webgpu", fused, given);
  for (const [i, values] of wanted.entries()) {
    const largest = values.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-3);
    const apart = values.reduce((most, x, j) => Math.max(most, Math.abs(x - got[i][j])), 0);
    const what = i === 0 ? "value" : `gradient ${i}`;
    assert(
      apart <= allowed * largest,
      `${what}: ${apart} apart, largest ${largest}, shapes ${given.map((g) => `[${g.shape}]`)}`,
    );
  }
}

const SIZES = [[1, 1, 1], [3, 5, 7], [12, 16, 20], [64, 64, 64], [70, 33, 129]];

testOperator("linear, with and without bias, with the weight either way", async () => {
  for (const [rows, from, to] of SIZES) {
    await assertSame((x, w, b) => fusedLinear(x, w, b), linear, [
      floats(rows, from),
      floats(from, to),
      floats(to),
    ]);
    await assertSame((x, w) => fusedLinear(x, w), (x, w) => linear(x, w), [
      floats(2, rows, from),
      floats(from, to),
    ]);
    await assertSame(
      (x, w) => fusedLinear(x, w, undefined, true),
      (x, w) => tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D, false, true),
      [floats(rows, from), floats(to, from)],
    );
  }
});

testOperator("matMul of every transposition, batched and broadcast", async () => {
  for (const [rows, depth, columns] of SIZES) {
    for (const [ta, tb] of [[false, false], [false, true], [true, false], [true, true]]) {
      const a = ta ? [depth, rows] : [rows, depth], b = tb ? [columns, depth] : [depth, columns];
      const product: Body = (x, y) => tf.matMul(x, y, ta, tb);
      await assertSame(product, product, [floats(2, ...a), floats(2, ...b)]);
      // tfjs has no gradient where a batch is broadcast: values only, the GPU's against the CPU's.
      const fixed: Body = (x) => product(x, tf.ones([1, ...b]));
      await assertSame(fixed, fixed, [floats(3, ...a)]);
    }
  }
});

testOperator("sums over first, last and all dimensions, and of what was broadcast", async () => {
  for (const [axis, keep] of [[0, false], [[0, 1], true], [[1, 2], false], [undefined, false]]) {
    const sum: Body = (x) => tf.sum(x, axis as number | number[] | undefined, keep as boolean);
    await assertSame(sum, sum, [floats(3, 5, 77)]);
  }
  await assertSame(tf.add as Body, tf.add as Body, [floats(3, 5, 70), floats(5, 70)]);
  await assertSame(tf.add as Body, tf.add as Body, [floats(2, 333), floats(2, 333)]);
});

testOperator("layer norm", async () => {
  for (const [rows, width] of [[1, 1], [5, 3], [7, 64], [3, 200]]) {
    await assertSame(
      (x, g, b) => fusedLayerNorm(x, g, b),
      (x, g, b) => layerNorm(x, g, b),
      [floats(rows, width), floats(width), floats(width)],
      1e-4,
    );
    await assertSame((x, g) => fusedLayerNorm(x, g), (x, g) => layerNorm(x, g), [
      floats(2, rows, width),
      floats(width),
    ], 1e-4);
  }
});

testOperator("gelu, far from 0 too", async () => {
  const wide = floats(3, 333);
  wide.data.set([-90, 90, -12, 12, 0]);
  await assertSame(fusedGelu, gelu, [wide]);
});

testOperator("rotary positions, in attention", async () => {
  for (const [length, heads, width] of [[1, 1, 2], [7, 3, 6]]) {
    const reference: Body = (x) =>
      causalAttention(x as tf.Tensor3D, { nHead: heads, rotary: true });
    const fused: Body = (x) => fusedCausalAttention(fusedRotary(x, heads), heads);
    await assertSame(fused, reference, [floats(2, length, 3 * heads * width)], 5e-5);
  }
});

testOperator("causal attention of any length and head width", async () => {
  for (const [batch, length, heads, width] of [[1, 1, 1, 1], [2, 70, 3, 7], [2, 130, 1, 32]]) {
    const qkv = floats(batch, length, 3 * heads * width);
    const reference: Body = (x) => causalAttention(x as tf.Tensor3D, { nHead: heads });
    await assertSame((x) => fusedCausalAttention(x, heads), reference, [qkv], 5e-5);
  }
});

testOperator("embedding, with ids that come more than once", async () => {
  const reference: Body = (table, ids) => embed(table as tf.Tensor2D, ids);
  await assertSame(fusedEmbedding, reference, [floats(11, 6), integers(11, 4, 9)]);
});

testOperator("cross-entropy against the log of a softmax", async () => {
  for (const [rows, vocab] of [[1, 2], [6, 5], [9, 300]]) {
    const reference: Body = (logits, targets) =>
      tf.logSoftmax(logits).mul(tf.oneHot(targets.toInt(), vocab)).sum(-1).neg();
    await assertSame(fusedCrossEntropy, reference, [floats(rows, vocab), integers(vocab, rows)]);
  }
});

testOperator("the global norm of many tensors", async () => {
  const parts = [floats(3, 5), floats(1), floats(40_000)];
  const norm = await fusedGlobalNorm(parts.map(tensorOf)).data();
  const expected = Math.sqrt(
    parts.flatMap(({ data }) => [...data]).reduce((sum, x) => sum + x * x, 0),
  );
  assert(Math.abs(norm[0] / expected - 1) < 1e-5, `${norm[0]} for ${expected}`);
});

testOperator("AdamW in place, clipped, against the formula in double precision", async () => {
  const settings = {
    learningRate: 0.01,
    beta1: 0.9,
    beta2: 0.99,
    epsilon: 1e-8,
    weightDecay: 0.1,
    clipNorm: 1,
  };
  const start = floats(300);
  const [parameter, moment1, moment2] = [start.data, new Float32Array(300), new Float32Array(300)]
    .map((data) => tensorOf({ ...start, data }));
  const p = [...start.data], m = p.map(() => 0), v = p.map(() => 0);
  for (let step = 1; step <= 3; step++) {
    const gradient = floats(300), { data } = gradient;
    const length = Math.hypot(...data);
    fusedAdamW(
      { parameter, gradient: tensorOf(gradient), moment1, moment2, norm: tf.scalar(length) },
      { ...settings, step },
    );
    p.forEach((x, i) => {
      const g = data[i] / (length + 1e-6);
      m[i] = 0.9 * m[i] + 0.1 * g;
      v[i] = 0.99 * v[i] + 0.01 * g * g;
      p[i] = x * (1 - 0.001) -
        0.01 * (m[i] / (1 - 0.9 ** step)) / (Math.sqrt(v[i] / (1 - 0.99 ** step)) + 1e-8);
    });
  }
  const got = await parameter.data();
  assert(p.every((x, i) => Math.abs(x - got[i]) < 1e-5));
});

testOperator("NaN in, NaN out", async () => {
  const bad = stored(tf.tensor2d([[1, NaN, 2, 3]]));
  const one = tf.ones([4]);
  const results = [
    fusedGelu(bad),
    fusedLayerNorm(bad, one, one),
    fusedLinear(bad, tf.ones([4, 4])),
    fusedCausalAttention(tf.concat([bad, bad, bad], 1).reshape([1, 1, 12]), 1),
    fusedCrossEntropy(bad, tf.tensor1d([0], "int32")),
    fusedCrossEntropy(tf.ones([1, 4]), tf.tensor1d([9], "int32")),
    fusedEmbedding(tf.ones([2, 3]), tf.tensor1d([5], "int32")),
    fusedGlobalNorm([bad]),
  ];
  for (const [i, result] of results.entries()) {
    assert([...await result.data()].some(Number.isNaN), `result ${i} hides the NaN`);
  }
});

testOnGpu("addN of more tensors than a shader can have", async () => {
  const gpu = tf.backend() as GpuBackend, name = "maxStorageBuffersPerShaderStage";
  const run = gpu.runWebGPUProgram, counts: number[] = [];
  gpu.runWebGPUProgram = (program, inputs, ...rest) => {
    counts.push(inputs.length);
    return run.call(gpu, program, inputs, ...rest);
  };
  Object.defineProperty(gpu.device.limits, name, { value: 8, configurable: true });
  try {
    const before = gpu.numDataIds();
    const sums = [7, 8, 20].map((n) =>
      tf.tidy(() => tf.addN(Array.from({ length: n }, (_, i) => tf.fill([2], i))))
    );
    for (const [i, sum] of [21, 28, 190].entries()) await assertTensor(sums[i], [sum, sum]);
    assertEquals(counts.filter((count) => count > 0), [7, 7, 2, 7, 7, 7, 2]);
    tf.dispose(sums);
    assertEquals(gpu.numDataIds(), before);
  } finally {
    Reflect.deleteProperty(gpu.device.limits, name);
    gpu.runWebGPUProgram = run;
  }
});

testOnGpu("a shader that is not valid WGSL throws, with the line", async () => {
  const gpu = tf.backend() as GpuBackend;
  const x = tf.ones([4]);
  await assertRejects(
    async () => {
      gpu.dispatch(
        { name: "gelu", options: ["VALUE"], constants: { ROOT: Number(gpu.isReal) } },
        [x, tf.ones([4])],
        [4],
        [1],
      );
      await x.data();
      await fusedGelu(tf.ones([4])).data();
    },
    Error,
    "ROOT",
  );
  assertEquals((await fusedGelu(tf.zeros([1])).data())[0], 0, "and the backend goes on");
});
