/** The CPU backend `simd`: every kernel against loops in double precision, for one thread and for two. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import {
  fusedAdamW,
  fusedCausalAttention,
  fusedCrossEntropy,
  fusedEmbedding,
  fusedGelu,
  fusedGlobalNorm,
  fusedLayerNorm,
  fusedLinear,
  hasFusedKernels,
  KERNELS,
  registerFusedGradients,
} from "lib/engine/kernels.ts";
import { Random } from "lib/engine/random.ts";
import { SCRATCH, TABLES } from "lib/engine/simd/assembly/codes.ts";
import { Heap } from "lib/engine/simd/heap.ts";
import { chooseThreads, registerSimdBackend, simdBackend } from "lib/engine/simd/mod.ts";
import { compileKernels, MODULES, sameBytes } from "tools/build-simd.ts";
import { testIf } from "./optional.ts";

registerFusedGradients();

/** One test, run with one thread and again with two, in a scope that must leave no tensor behind. */
function testSimd(name: string, body: () => void | Promise<void>): void {
  for (const threads of [1, 2]) {
    Deno.test({
      name: `simd: ${name} [${threads} thread${threads === 1 ? "" : "s"}]`,
      // Workers outlive a test.
      sanitizeOps: false,
      sanitizeResources: false,
      fn: async () => {
        await useThreads(threads);
        tf.engine().startScope();
        try {
          await body();
        } finally {
          tf.engine().endScope();
        }
      },
    });
  }
}

async function useThreads(threads: number): Promise<void> {
  if (simdBackend()?.pool.threads !== threads) await registerSimdBackend({ threads });
  await tf.setBackend("simd");
  const { pool } = simdBackend()!;
  await pool.ready();
  assertEquals(pool.workers, threads - 1);
}

const random = new Random(20);
const size = (shape: number[]) => shape.reduce((product, n) => product * n, 1);

/** Random numbers, and the tensor that holds them. */
function draw(
  shape: number[],
  std = 1,
): { shape: number[]; values: Float32Array; tensor: tf.Tensor } {
  const values = random.normals(size(shape), std);
  return { shape, values, tensor: tf.tensor(values, shape) };
}

function drawIds(shape: number[], limit: number): { values: Int32Array; tensor: tf.Tensor } {
  const values = Int32Array.from({ length: size(shape) }, () => random.integer(limit));
  return { values, tensor: tf.tensor(values, shape, "int32") };
}

/** Fails unless each number is within `tolerance` of the expected one, relative to the largest expected. */
async function assertClose(
  actual: tf.Tensor,
  expected: ArrayLike<number>,
  tolerance = 2e-6,
): Promise<void> {
  const got = await actual.data();
  assertEquals(got.length, expected.length);
  let scale = 1e-6;
  for (let i = 0; i < expected.length; i++) {
    if (Number.isFinite(expected[i])) scale = Math.max(scale, Math.abs(expected[i]));
  }
  for (let i = 0; i < expected.length; i++) {
    const same = Object.is(got[i], expected[i]) ||
      (Number.isNaN(got[i]) && Number.isNaN(expected[i])) ||
      Math.abs(got[i] - expected[i]) <= tolerance * scale;
    assert(same, `number ${i} of [${actual.shape}] is ${got[i]}, expected ${expected[i]}`);
  }
}

/** op(a) op(b) for one pair of matrices, in double precision. */
function product(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  [rows, columns, depth]: number[],
  transposeA = false,
  transposeB = false,
): Float64Array {
  const c = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      for (let k = 0; k < depth; k++) {
        c[i * columns + j] += a[transposeA ? k * rows + i : i * depth + k] *
          b[transposeB ? j * depth + k : k * columns + j];
      }
    }
  }
  return c;
}

const SIZES = [[1, 1, 1], [7, 9, 5], [13, 31, 300], [66, 70, 34], [5, 130, 17], [1, 65, 128], [
  2,
  50,
  7,
], [
  150,
  140,
  90,
]];

testSimd("matrix products in all four orders", async () => {
  for (const [rows, columns, depth] of SIZES) {
    for (
      const [transposeA, transposeB] of [[false, false], [false, true], [true, false], [true, true]]
    ) {
      const a = draw(transposeA ? [depth, rows] : [rows, depth]);
      const b = draw(transposeB ? [columns, depth] : [depth, columns]);
      const c = tf.matMul(a.tensor, b.tensor, transposeA, transposeB);
      assertEquals(c.shape, [rows, columns]);
      await assertClose(
        c,
        product(a.values, b.values, [rows, columns, depth], transposeA, transposeB),
      );
    }
  }
});

testSimd("a row comes out the same, to the last bit, alone and among others", async () => {
  const many = draw([20, 300]), bias = draw([37]);
  for (const transposed of [false, true]) {
    const weight = draw(transposed ? [37, 300] : [300, 37]);
    const all = await fusedLinear(many.tensor, weight.tensor, bias.tensor, transposed).data();
    for (const rows of [1, 2]) {
      const few = fusedLinear(
        many.tensor.slice([5, 0], [rows, 300]),
        weight.tensor,
        bias.tensor,
        transposed,
      );
      assertEquals(await few.data(), all.slice(5 * 37, (5 + rows) * 37));
    }
  }
});

testSimd("a product deeper than what is packed at once", async () => {
  for (const [rows, columns, depth] of [[3, 5, 20000], [12, 300, 700]]) {
    for (const transposed of [false, true]) {
      const a = draw(transposed ? [depth, rows] : [rows, depth]), b = draw([depth, columns]);
      const expected = product(a.values, b.values, [rows, columns, depth], transposed);
      await assertClose(tf.matMul(a.tensor, b.tensor, transposed), expected, 1e-5);
    }
  }
});

testSimd("batched products, with one matrix for all", async () => {
  const a = draw([2, 3, 7, 5]), b = draw([2, 3, 5, 11]), one = draw([5, 11]);
  const each = tf.matMul(a.tensor, b.tensor), shared = tf.matMul(a.tensor, one.tensor);
  const expected: number[] = [], expectedShared: number[] = [];
  for (let i = 0; i < 6; i++) {
    const left = a.values.subarray(i * 35);
    expected.push(...product(left, b.values.subarray(i * 55), [7, 11, 5]));
    expectedShared.push(...product(left, one.values, [7, 11, 5]));
  }
  await assertClose(each, expected);
  await assertClose(shared, expectedShared);
});

testSimd("a product with bias and relu", async () => {
  const a = draw([9, 6]), b = draw([6, 10]), bias = draw([10]);
  const plain = product(a.values, b.values, [9, 10, 6]).map((x, i) => x + bias.values[i % 10]);
  const inputs = { a: a.tensor as tf.Tensor2D, b: b.tensor as tf.Tensor2D, bias: bias.tensor };
  await assertClose(tf.fused.matMul(inputs), plain);
  await assertClose(
    tf.fused.matMul({ ...inputs, activation: "relu" }),
    plain.map((x) => Math.max(0, x)),
  );
});

/** Gradients of sum(weights * f(...inputs)), by the fused kernels' own gradients. */
function gradients(
  f: (...inputs: tf.Tensor[]) => tf.Tensor,
  weights: tf.Tensor,
  ...inputs: tf.Tensor[]
): tf.Tensor[] {
  return tf.grads((...tensors: tf.Tensor[]) => f(...tensors).mul(weights).sum())(inputs);
}

testSimd("linear and its gradients", async () => {
  for (const transposed of [false, true]) {
    const x = draw([3, 5, 13]),
      weight = draw(transposed ? [21, 13] : [13, 21]),
      bias = draw([21]),
      dy = draw([3, 5, 21]);
    const f = (x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor) =>
      fusedLinear(x, weight, bias, transposed);
    const y = product(x.values, weight.values, [15, 21, 13], false, transposed);
    await assertClose(
      f(x.tensor, weight.tensor, bias.tensor),
      y.map((v, i) => v + bias.values[i % 21]),
    );
    const [dx, dWeight, dBias] = gradients(f, dy.tensor, x.tensor, weight.tensor, bias.tensor);
    await assertClose(dx, product(dy.values, weight.values, [15, 13, 21], false, !transposed));
    const [left, right, rows, columns] = transposed ? [dy, x, 21, 13] : [x, dy, 13, 21];
    await assertClose(
      dWeight,
      product(left.values, right.values, [rows, columns, 15], true, false),
    );
    await assertClose(
      dBias,
      Float64Array.from({ length: 21 }, (_, j) => {
        let sum = 0;
        for (let i = 0; i < 15; i++) sum += dy.values[i * 21 + j];
        return sum;
      }),
    );
  }
  const [x, weight] = [draw([4, 3]).tensor, draw([5, 2]).tensor];
  assertThrows(() => fusedLinear(x, weight), RangeError, "have 3 numbers");
});

/** Layer norm of rows and the gradients for dy, in double precision. */
function layerNormReference(
  x: ArrayLike<number>,
  gain: ArrayLike<number>,
  bias: ArrayLike<number>,
  dy: ArrayLike<number>,
  width: number,
) {
  const rows = x.length / width, epsilon = 1e-5;
  const y = new Float64Array(x.length), dx = new Float64Array(x.length);
  const dGain = new Float64Array(width), dBias = new Float64Array(width);
  for (let i = 0; i < rows; i++) {
    const row = Array.from({ length: width }, (_, j) => x[i * width + j]);
    const mean = row.reduce((a, b) => a + b, 0) / width;
    const variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / width;
    const normal = row.map((v) => (v - mean) / Math.sqrt(variance + epsilon));
    const d = row.map((_, j) => dy[i * width + j] * gain[j]);
    const meanD = d.reduce((a, b) => a + b, 0) / width;
    const meanProduct = d.reduce((sum, v, j) => sum + v * normal[j], 0) / width;
    for (let j = 0; j < width; j++) {
      y[i * width + j] = normal[j] * gain[j] + bias[j];
      dx[i * width + j] = (d[j] - meanD - normal[j] * meanProduct) / Math.sqrt(variance + epsilon);
      dGain[j] += dy[i * width + j] * normal[j];
      dBias[j] += dy[i * width + j];
    }
  }
  return { y, dx, dGain, dBias };
}

testSimd("layer norm and its gradients", async () => {
  for (const [rows, width] of [[1, 1], [5, 3], [4, 4], [9, 7], [70, 130], [300, 128]]) {
    const x = draw([rows, width], 3),
      gain = draw([width]),
      bias = draw([width]),
      dy = draw([rows, width]);
    const expected = layerNormReference(x.values, gain.values, bias.values, dy.values, width);
    await assertClose(fusedLayerNorm(x.tensor, gain.tensor, bias.tensor), expected.y, 1e-5);
    const [dx, dGain, dBias] = gradients(
      (x, gain, bias) => fusedLayerNorm(x, gain, bias),
      dy.tensor,
      x.tensor,
      gain.tensor,
      bias.tensor,
    );
    if (width > 1) await assertClose(dx, expected.dx, 1e-5);
    await assertClose(dGain, expected.dGain, 1e-5);
    await assertClose(dBias, expected.dBias, 1e-5);
    const without = layerNormReference(
      x.values,
      gain.values,
      new Float64Array(width),
      dy.values,
      width,
    );
    await assertClose(fusedLayerNorm(x.tensor, gain.tensor), without.y, 1e-5);
  }
});

const geluOf = (x: number) =>
  0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

testSimd("GELU and its gradient", async () => {
  for (const shape of [[1], [7], [4, 33], [50, 130]]) {
    const x = draw(shape, 2), dy = draw(shape);
    x.values.set([-40], 0);
    const tensor = tf.tensor(x.values, shape);
    await assertClose(fusedGelu(tensor), Array.from(x.values, geluOf));
    const [dx] = gradients(fusedGelu, dy.tensor, tensor);
    const h = 1e-5;
    const expected = Array.from(
      x.values,
      (v, i) => dy.values[i] * (geluOf(v + h) - geluOf(v - h)) / (2 * h),
    );
    await assertClose(dx, expected, 3e-6);
  }
});

/** Causal attention and its gradient by the definition, in double precision. */
function attentionReference(qkv: Float32Array, dy: Float32Array, [B, T, H, D]: number[]) {
  const C = H * D, y = new Float64Array(B * T * C), dqkv = new Float64Array(B * T * 3 * C);
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const at = (t: number, part: number) => (b * T + t) * 3 * C + part * C + h * D;
      for (let t = 0; t < T; t++) {
        const out = (b * T + t) * C + h * D;
        const scores = Array.from({ length: t + 1 }, (_, s) => {
          let sum = 0;
          for (let d = 0; d < D; d++) sum += qkv[at(t, 0) + d] * qkv[at(s, 1) + d];
          return sum / Math.sqrt(D);
        });
        const most = Math.max(...scores),
          total = scores.reduce((sum, s) => sum + Math.exp(s - most), 0);
        const weights = scores.map((s) => Math.exp(s - most) / total);
        const slopes = weights.map((weight, s) => {
          let slope = 0;
          for (let d = 0; d < D; d++) {
            y[out + d] += weight * qkv[at(s, 2) + d];
            slope += dy[out + d] * qkv[at(s, 2) + d];
            dqkv[at(s, 2) + d] += weight * dy[out + d];
          }
          return slope;
        });
        const mean = slopes.reduce((sum, slope, s) => sum + slope * weights[s], 0);
        for (let s = 0; s <= t; s++) {
          const slope = weights[s] * (slopes[s] - mean) / Math.sqrt(D);
          for (let d = 0; d < D; d++) {
            dqkv[at(t, 0) + d] += slope * qkv[at(s, 1) + d];
            dqkv[at(s, 1) + d] += slope * qkv[at(t, 0) + d];
          }
        }
      }
    }
  }
  return { y, dqkv };
}

const HEADS = [[1, 1, 1, 1], [2, 5, 3, 7], [3, 64, 2, 32], [1, 200, 2, 8], [2, 97, 1, 5], [
  1,
  13,
  2,
  130,
], [1, 90, 1, 1000]];

testSimd("causal attention and its gradient", async () => {
  for (const [B, T, H, D] of HEADS) {
    const qkv = draw([B, T, 3 * H * D]), dy = draw([B, T, H * D]);
    const expected = attentionReference(qkv.values, dy.values, [B, T, H, D]);
    const f = (qkv: tf.Tensor) => fusedCausalAttention(qkv, H);
    await assertClose(f(qkv.tensor), expected.y, 1e-5);
    const [dqkv] = gradients(f, dy.tensor, qkv.tensor);
    await assertClose(dqkv, expected.dqkv, 1e-5);
  }
  assertThrows(
    () => fusedCausalAttention(draw([1, 2, 9]).tensor, 2),
    RangeError,
    "multiple of 2 heads",
  );
});

testSimd("cross-entropy and its gradient", async () => {
  for (const [rows, width] of [[1, 1], [6, 5], [70, 65], [9, 1021]]) {
    const logits = draw([rows, width], 4), targets = drawIds([rows], width), dy = draw([rows]);
    const losses = new Float64Array(rows), slopes = new Float64Array(rows * width);
    for (let i = 0; i < rows; i++) {
      const row = logits.values.subarray(i * width, (i + 1) * width);
      const total = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
      losses[i] = total - row[targets.values[i]];
      row.forEach((x, j) =>
        slopes[i * width + j] = dy.values[i] *
          (Math.exp(x - total) - Number(j === targets.values[i]))
      );
    }
    const f = (logits: tf.Tensor) => fusedCrossEntropy(logits, targets.tensor);
    await assertClose(f(logits.tensor), losses);
    await assertClose(gradients(f, dy.tensor, logits.tensor)[0], slopes, 4e-6);
  }
  const outside = await fusedCrossEntropy(draw([2, 3]).tensor, tf.tensor1d([3, 0], "int32")).data();
  assert(
    Number.isNaN(outside[0]) && Number.isFinite(outside[1]),
    `a target of 3 in [0, 3) gave ${outside[0]}`,
  );
});

testSimd("embedding and its gradient", async () => {
  for (
    const [vocabSize, width, shape] of [[1, 1, [1]], [9, 7, [3, 4]], [65, 130, [12, 20]]] as const
  ) {
    const table = draw([vocabSize, width]),
      ids = drawIds([...shape], vocabSize),
      dy = draw([...shape, width]);
    const rows = Array.from(
      ids.values,
      (id) => [...table.values.subarray(id * width, (id + 1) * width)],
    );
    const f = (table: tf.Tensor) => fusedEmbedding(table, ids.tensor);
    assertEquals(f(table.tensor).shape, [...shape, width]);
    await assertClose(f(table.tensor), rows.flat(), 0);
    const slopes = new Float64Array(vocabSize * width);
    ids.values.forEach((id, i) => {
      for (let j = 0; j < width; j++) slopes[id * width + j] += dy.values[i * width + j];
    });
    await assertClose(gradients(f, dy.tensor, table.tensor)[0], slopes);
    await assertClose(tf.gather(table.tensor, ids.tensor), rows.flat(), 0);
  }
  const ids = tf.tensor1d([0, 3], "int32");
  assertThrows(() => fusedEmbedding(draw([3, 2]).tensor, ids), RangeError, "3 is not in [0, 2]");
});

testSimd("AdamW in place, clipped by the global norm", async () => {
  const shape = [37, 41],
    p = draw(shape),
    g = draw(shape),
    m = draw(shape, 0.1),
    v = draw(shape, 0.1);
  v.values.forEach((x, i) => v.values[i] = x * x);
  const parameter = tf.variable(p.tensor), moment1 = m.tensor, moment2 = tf.tensor(v.values, shape);
  const norm = fusedGlobalNorm([g.tensor, draw([3]).tensor.zerosLike()]);
  const length = Math.sqrt(g.values.reduce((sum, x) => sum + x * x, 0));
  await assertClose(norm, [length]);
  const [learningRate, beta1, beta2, epsilon, weightDecay, step, clipNorm] = [
    0.01,
    0.9,
    0.999,
    1e-8,
    0.1,
    7,
    1,
  ];
  const factor = Math.min(1, clipNorm / (length + 1e-6));
  const expected = { p: [] as number[], m: [] as number[], v: [] as number[] };
  p.values.forEach((old, i) => {
    const slope = g.values[i] * factor;
    const first = beta1 * m.values[i] + (1 - beta1) * slope;
    const second = beta2 * v.values[i] + (1 - beta2) * slope * slope;
    const update = first / (1 - beta1 ** step) /
      (Math.sqrt(second / (1 - beta2 ** step)) + epsilon);
    expected.p.push(old * (1 - learningRate * weightDecay) - learningRate * update);
    expected.m.push(first);
    expected.v.push(second);
  });
  const attributes = { learningRate, beta1, beta2, epsilon, weightDecay, step, clipNorm };
  fusedAdamW({ parameter, gradient: g.tensor, moment1, moment2, norm }, attributes);
  await assertClose(parameter, expected.p);
  await assertClose(moment1, expected.m);
  await assertClose(moment2, expected.v);
  parameter.dispose();
});

const SPECIAL = [
  0,
  -0.5,
  1e-4,
  1,
  20,
  -20,
  88,
  89,
  -87,
  -88,
  -104,
  1e30,
  -1e30,
  1e-40,
  Infinity,
  -Infinity,
  NaN,
];

const UNARY: [string, (x: tf.Tensor) => tf.Tensor, (x: number) => number][] = [
  ["exp", tf.exp, Math.exp],
  ["log", tf.log, Math.log],
  ["tanh", tf.tanh, Math.tanh],
  ["sigmoid", tf.sigmoid, (x) => 1 / (1 + Math.exp(-x))],
  ["sqrt", tf.sqrt, Math.sqrt],
  ["rsqrt", tf.rsqrt, (x) => 1 / Math.sqrt(x)],
  ["square", tf.square, (x) => x * x],
  ["neg", tf.neg, (x) => -x],
  ["abs", tf.abs, Math.abs],
  ["relu", tf.relu, (x) => Math.max(0, x)],
];

testSimd("functions of one number, special values included", async () => {
  for (const [name, f, reference] of UNARY) {
    const values = Float32Array.from([...SPECIAL, ...random.normals(2500, 5)]);
    const got = await f(tf.tensor1d(values)).data();
    for (const [i, x] of values.entries()) {
      const wanted = Math.fround(reference(x));
      // Numbers below the smallest normal one may come out as 0.
      const near = Math.abs(got[i] - wanted) <= 3e-7 * Math.abs(wanted) + 2e-38;
      const same = got[i] === wanted || near || (Number.isNaN(got[i]) && Number.isNaN(wanted));
      assert(same, `${name}(${x}) is ${got[i]}, expected ${wanted}`);
    }
  }
});

const SHAPES = [
  [[1], [1]],
  [[7, 9], [7, 9]],
  [[7, 9], [9]],
  [[7, 9], [7, 1]],
  [[], [3, 5]],
  [[2, 3, 5, 7], [3, 1, 7]],
  [[4, 1, 6], [1, 5, 6]],
  [[9, 2100], [2100]],
];

/** Where the element of a broadcast result comes from, by the definition. */
function broadcastIndex(i: number, shape: number[], own: number[]): number {
  let index = 0, step = 1;
  for (let axis = shape.length - 1, rest = i; axis >= 0; axis--) {
    const place = rest % shape[axis], mine = own[axis - (shape.length - own.length)];
    rest = Math.floor(rest / shape[axis]);
    if (mine === undefined) continue;
    if (mine > 1) index += place * step;
    step *= mine;
  }
  return index;
}

const BINARY: [
  string,
  (a: tf.Tensor, b: tf.Tensor) => tf.Tensor,
  (a: number, b: number) => number,
][] = [
  ["add", tf.add, (a, b) => a + b],
  ["sub", tf.sub, (a, b) => a - b],
  ["mul", tf.mul, (a, b) => a * b],
  ["div", tf.div, (a, b) => a / b],
  ["squaredDifference", tf.squaredDifference, (a, b) => (a - b) ** 2],
  ["maximum", tf.maximum, Math.max],
  ["minimum", tf.minimum, Math.min],
];

testSimd("functions of two numbers, with broadcasting", async () => {
  for (const [aShape, bShape] of SHAPES) {
    const a = draw(aShape), b = draw(bShape);
    a.values[0] = NaN;
    const shape = tf.broadcast_util.assertAndGetBroadcastShape(aShape, bShape);
    for (const [, f, reference] of BINARY) {
      const expected = Float64Array.from(
        { length: size(shape) },
        (_, i) =>
          reference(
            a.values[broadcastIndex(i, shape, aShape)],
            b.values[broadcastIndex(i, shape, bShape)],
          ),
      );
      const c = f(tf.tensor(a.values, aShape), b.tensor);
      assertEquals(c.shape, shape);
      await assertClose(c, expected);
    }
  }
});

/** Ops on which the backend must agree with tfjs's own CPU backend, to rounding. */
const OPS: Record<string, (x: (shape: number[]) => tf.Tensor) => tf.Tensor> = {
  "sum of rows": (x) => x([33, 17]).sum(-1),
  "sum of columns": (x) => x([33, 17]).sum(0),
  "sum of many columns": (x) => x([90, 300]).sum(0),
  "sum of two axes": (x) => x([4, 5, 6]).sum([0, 1]),
  "sum of outer and inner axes": (x) => x([4, 5, 6]).sum([0, 2]),
  "sum of a middle axis": (x) => x([3, 33, 17]).sum(1, true),
  "sum of all": (x) => x([33, 17]).sum(),
  mean: (x) => x([3, 33, 17]).mean(-1, true),
  "mean of columns": (x) => x([33, 22]).mean(0),
  max: (x) => x([33, 17]).max(-1),
  "max of columns": (x) => x([33, 17]).max(0),
  moments: (x) => tf.moments(x([12, 9]), -1, true).variance,
  softmax: (x) => tf.softmax(x([9, 13])),
  logSoftmax: (x) => tf.logSoftmax(x([9, 13])),
  "transpose of heads": (x) => x([2, 3, 4, 5]).transpose([0, 2, 1, 3]),
  "transpose of a matrix": (x) => x([13, 17]).transpose(),
  "transpose of five axes": (x) => x([2, 3, 2, 3, 2]).transpose([4, 2, 0, 3, 1]),
  slice: (x) => x([6, 9]).slice([1, 3], [4, 5]),
  split: (x) => tf.concat(tf.split(x([6, 9]), 3, -1).reverse(), 1),
  concat: (x) => tf.concat([x([2, 3, 4]), x([2, 5, 4])], 1),
  stack: (x) => tf.stack([x([3, 4]), x([3, 4])], 1),
  pad: (x) => tf.pad(x([3, 5]), [[1, 2], [0, 3]], 7),
  tile: (x) => tf.tile(x([3, 5]), [2, 3]),
  "gather of ids": (x) => tf.gather(x([9, 5]), tf.tensor2d([1, 8, 0, 3], [2, 2], "int32")),
  "gather of columns": (x) => tf.gather(x([9, 5]), tf.tensor1d([1, 4], "int32"), 1),
  "segment sum": (x) =>
    tf.unsortedSegmentSum(x([6, 5]), tf.tensor1d([2, 0, 2, 1, 5, 2], "int32"), 7),
  addN: (x) => tf.addN([x([5, 3]), x([5, 3]), x([5, 3])]),
  "one-hot": (x) => tf.oneHot(tf.tensor1d([1, 2], "int32"), 5).mul(x([2, 5])),
  "comparison as a mask": (x) => x([4, 6]).greater(0).mul(x([4, 6])),
  "no rows": (x) => tf.concat([x([0, 3]), x([2, 3])], 0),
  "int32 arithmetic": () =>
    tf.tensor1d([5, 7], "int32").add(tf.tensor1d([2, 3], "int32")).toFloat(),
  "gradient of gather": (x) =>
    tf.grad((table: tf.Tensor) => tf.gather(table, tf.tensor1d([1, 1, 3], "int32")).square().sum())(
      x([4, 3]),
    ),
  "gradient of a mean": (x) => tf.grad((y: tf.Tensor) => y.mul(y).mean())(x([6, 5])),
  "gradient of logSoftmax": (x) =>
    tf.grad((y: tf.Tensor) => tf.logSoftmax(y).mul(x([6, 5])).mean())(x([6, 5])),
};

testSimd("tfjs's own ops give what the cpu backend gives", async () => {
  for (const [name, op] of Object.entries(OPS)) {
    const results: { shape: number[]; values: ArrayLike<number> }[] = [];
    for (const backend of ["cpu", "simd"]) {
      await tf.setBackend(backend);
      const same = new Random(5);
      const y = tf.tidy(() => op((shape) => tf.tensor(same.normals(size(shape)), shape)));
      results.push({ shape: y.shape, values: await y.data() });
      y.dispose();
    }
    const [cpu, simd] = results;
    assertEquals(simd.shape, cpu.shape, name);
    for (let i = 0; i < cpu.values.length; i++) {
      const difference = Math.abs(simd.values[i] - cpu.values[i]);
      assert(
        difference <= 1e-5,
        `${name}: number ${i} is ${simd.values[i]}, cpu has ${cpu.values[i]}`,
      );
    }
  }
});

testSimd("NaN in, NaN out", async () => {
  const bad = (shape: number[]) => {
    const { values } = draw(shape);
    values[0] = NaN;
    return tf.tensor(values, shape);
  };
  const ones = (shape: number[]) => tf.ones(shape), ids = tf.tensor1d([0, 1], "int32");
  const results: Record<string, tf.Tensor> = {
    matMul: tf.matMul(bad([3, 5]) as tf.Tensor2D, ones([5, 4]) as tf.Tensor2D),
    linear: fusedLinear(bad([2, 3]), ones([3, 4])),
    layerNorm: fusedLayerNorm(bad([2, 5]), ones([5])),
    gelu: fusedGelu(bad([5])),
    attention: fusedCausalAttention(bad([1, 7, 12]), 2),
    crossEntropy: fusedCrossEntropy(bad([2, 3]), ids),
    embedding: fusedEmbedding(bad([2, 3]), ids),
    norm: fusedGlobalNorm([bad([3])]),
    softmax: tf.softmax(bad([2, 3])),
    max: bad([2, 3]).max(-1),
    sum: bad([2, 3]).sum(0),
  };
  for (const [name, f] of UNARY) results[name] = f(bad([5]));
  for (const [name, tensor] of Object.entries(results)) {
    assert(Number.isNaN((await tensor.data())[0]), `${name} hides a NaN`);
  }
  const norm = fusedGlobalNorm([bad([3])]), parameter = tf.variable(ones([3]));
  const tensors = { parameter, gradient: ones([3]), moment1: ones([3]), moment2: ones([3]), norm };
  fusedAdamW(tensors, {
    learningRate: 1,
    beta1: 0.9,
    beta2: 0.9,
    epsilon: 1e-8,
    weightDecay: 0,
    step: 1,
    clipNorm: 1,
  });
  assert(Number.isNaN((await parameter.data())[0]), "AdamW hides a NaN norm");
  parameter.dispose();
});

testSimd("numbers stay when their tensor's memory is used again", async () => {
  const x = tf.tensor1d([1, 2, 3, 4]).add(0),
    y = x.add(0),
    part = x.slice([1], [2]),
    same = x.clone();
  const read = await y.data();
  x.dispose();
  y.dispose();
  assertEquals(await tf.ones([4]).mul(9).data(), Float32Array.of(9, 9, 9, 9));
  assertEquals(read, Float32Array.of(1, 2, 3, 4));
  assertEquals(await part.data(), Float32Array.of(2, 3));
  assertEquals(await same.data(), read);
});

/** A small model of all fused operators: loss, and one step of AdamW. */
function tinyModel() {
  const draws = new Random(1);
  const variable = (shape: number[]) =>
    tf.variable(tf.tensor(draws.normals(size(shape), 0.2), shape));
  const p = [[17, 24], [24], [24], [24, 72], [72], [24, 24], [24, 40], [40, 24]].map(variable);
  const moments = [...p, ...p].map(({ shape }) => tf.keep(tf.zeros(shape)));
  const ids = tf.keep(
    tf.tensor2d(Int32Array.from({ length: 4 * 33 }, () => draws.integer(17)), [4, 33], "int32"),
  );
  const loss = () => {
    const x = fusedEmbedding(p[0], ids.slice([0, 0], [4, 32]));
    const qkv = fusedLinear(fusedLayerNorm(x, p[1], p[2]), p[3], p[4]);
    const y = x.add(fusedLinear(fusedCausalAttention(qkv, 3), p[5]));
    const z = y.add(fusedLinear(fusedGelu(fusedLinear(y, p[6])), p[7]));
    const logits = fusedLinear(z, p[0], undefined, true);
    return fusedCrossEntropy(logits, ids.slice([0, 1], [4, 32])).mean() as tf.Scalar;
  };
  let step = 0;
  const train = () =>
    tf.tidy(() => {
      const { value, grads } = tf.variableGrads(loss, p);
      const norm = fusedGlobalNorm(p.map(({ name }) => grads[name]));
      step++;
      p.forEach((parameter, i) =>
        fusedAdamW({
          parameter,
          gradient: grads[parameter.name],
          moment1: moments[i],
          moment2: moments[p.length + i],
          norm,
        }, {
          ...{
            learningRate: 0.01,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            weightDecay: 0.1,
            step,
            clipNorm: 1,
          },
        })
      );
      return value.dataSync()[0];
    });
  return { loss, train, parameters: p, dispose: () => tf.dispose([...p, ...moments, ids]) };
}

testSimd("the gradients of a model are finite differences of its loss", async () => {
  const model = tinyModel();
  const { grads } = tf.variableGrads(model.loss, model.parameters);
  for (const variable of model.parameters) {
    const values = await variable.data(), slope = await grads[variable.name].data();
    const i = random.integer(values.length), h = 0.02;
    const lossAt = (x: number) => {
      const moved = values.slice();
      moved[i] = x;
      return tf.tidy(() => {
        variable.assign(tf.tensor(moved, variable.shape));
        return model.loss().dataSync()[0];
      });
    };
    const difference = (lossAt(values[i] + h) - lossAt(values[i] - h)) / (2 * h);
    variable.assign(tf.tensor(values, variable.shape));
    assert(
      Math.abs(difference - slope[i]) < 1e-3 + 0.02 * Math.abs(slope[i]),
      `${slope[i]}, but ${difference}`,
    );
  }
  model.dispose();
});

const curves: number[][] = [];

testSimd("the same seed gives the same run to the last bit, for any number of threads", () => {
  for (let run = 0; run < 2; run++) {
    const model = tinyModel();
    curves.push(Array.from({ length: 30 }, model.train));
    model.dispose();
  }
  for (const curve of curves) assertEquals(curve, curves[0]);
  assert(curves[0][29] < curves[0][0], "the model does not learn");
});

testSimd("large results do not depend on who computes them", async () => {
  const draws = new Random(3);
  const fresh = (shape: number[]) => tf.tensor(draws.normals(size(shape)), shape);
  const results = [
    tf.matMul(fresh([200, 170]) as tf.Tensor2D, fresh([170, 190]) as tf.Tensor2D),
    fusedCausalAttention(fresh([4, 120, 96]), 4),
    fusedLayerNorm(fresh([700, 96]), fresh([96]), fresh([96])),
    fresh([700, 200]).sum(0),
    fresh([700, 200]).tanh(),
  ];
  const sums = await Promise.all(results.map(async (tensor) => [...await tensor.data()]));
  large ??= sums;
  assertEquals(sums, large);
});

let large: number[][] | undefined;

const compilerMayRun =
  Deno.permissions.querySync({ name: "env", variable: "CI" }).state === "granted";

testIf(
  compilerMayRun ? "" : "the compiler must be allowed to read the environment variable CI",
  "simd: the modules are what the source gives, byte for byte",
  async () => {
    for (const [name, features] of Object.entries(MODULES)) {
      const file = await Deno.readFile(new URL(`../lib/engine/simd/${name}`, import.meta.url));
      const same = sameBytes(await compileKernels(features), file);
      assert(same, `${name} is stale: deno run -A tools/build-simd.ts`);
    }
  },
);

Deno.test("simd: both modules start, and put their tables where nothing else stands", async () => {
  for (const name of Object.keys(MODULES)) {
    const bytes = await Deno.readFile(new URL(`../lib/engine/simd/${name}`, import.meta.url));
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
    await WebAssembly.instantiate(bytes, { env: { memory, abort: () => {} } });
    const outside = new Uint8Array(memory.buffer).findIndex((byte, at) =>
      byte !== 0 && (at < TABLES || at >= SCRATCH)
    );
    assertEquals(outside, -1, `${name} has a table at ${outside}`);
  }
});

Deno.test("simd: the heap hands out disjoint blocks and puts free ones together again", () => {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 100, shared: true });
  const heap = new Heap(memory, 1000), draws = new Random(9), live = new Map<number, number>();
  const first = heap.allocate(100_000);
  heap.free(first);
  for (let i = 0; i < 3000; i++) {
    if (draws.uniform() < 0.5 && live.size < 40) {
      const bytes = 1 + draws.integer(40_000), address = heap.allocate(bytes);
      assertEquals(address % 64, 0);
      for (const [other, length] of live) {
        assert(address + bytes <= other || other + length <= address, "overlap");
      }
      live.set(address, bytes);
    } else if (live.size > 0) {
      const address = [...live.keys()][draws.integer(live.size)];
      heap.free(address);
      live.delete(address);
    }
  }
  for (const address of live.keys()) heap.free(address);
  assertEquals(heap.bytesInUse, 0);
  const { size } = heap;
  assertEquals(heap.allocate(size - 4096), first);
  assertEquals(heap.size, size);
  assertThrows(() => heap.allocate(10_000_000), RangeError, "10000000 more do not fit");
  assertThrows(() => heap.free(12), RangeError, "12");
});

Deno.test({
  name: "simd: workers are started once there was work worth sharing, not before",
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    await registerSimdBackend({ threads: 2 });
    await tf.setBackend("simd");
    const { pool } = simdBackend()!;
    const square = async (size: number) => {
      await tf.tidy(() => tf.matMul(tf.ones([size, size]), tf.ones([size, size]))).data();
      await new Promise((resolve) => setTimeout(resolve));
    };
    for (let i = 0; i < 100; i++) await square(8);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assertEquals(pool.workers, 0);
    const deadline = performance.now() + 20_000;
    while (pool.workers === 0 && performance.now() < deadline) await square(256);
    assertEquals(pool.workers, 1);
    await tf.setBackend("cpu");
    tf.removeBackend("simd");
  },
});

Deno.test("simd: the options are checked", async () => {
  for (const threads of [0, 65, 1.5]) {
    await assertRejects(() => registerSimdBackend({ threads }), RangeError, `got ${threads}`);
  }
});

Deno.test("simd: one thread without SharedArrayBuffer, one per core with it", () => {
  assertEquals(chooseThreads(3), 3);
  assert(chooseThreads() >= 1);
  const shared = globalThis.SharedArrayBuffer;
  try {
    Reflect.deleteProperty(globalThis, "SharedArrayBuffer");
    assertEquals(chooseThreads(3), 1);
  } finally {
    globalThis.SharedArrayBuffer = shared;
  }
});

Deno.test("simd: every kernel of the contract is registered", () => {
  assert(hasFusedKernels("simd"));
  assert(!hasFusedKernels("cpu"));
  assertEquals(new Set(Object.values(KERNELS)).size, Object.values(KERNELS).length);
});
