/** The fused kernels of `../kernels.ts` (the contract: shapes, attributes) for the backend `simd`. */
import * as tf from "@tensorflow/tfjs";
import { KERNELS, rotaryTable } from "../kernels.ts";
import {
  ATTENTION_BLOCK,
  ATTENTION_FLOATS,
  BLOCK,
  COLUMN_GROUP,
  Job,
  SQUARE_SUM_BLOCK,
  TILE_COLUMNS,
} from "./assembly/codes.ts";
import type { SimdBackend } from "./backend.ts";
import { multiply } from "./matmul.ts";
import { gatherRows, scatterRows, sum } from "./standard.ts";

/** Names of a kernel's inputs; those that end in "?" may be missing. */
type Inputs = Record<string, tf.TensorInfo>;
type Attributes = Record<string, number>;
type Kernel = (
  backend: SimdBackend,
  inputs: Inputs,
  attributes: Attributes,
) => tf.TensorInfo | tf.TensorInfo[];

/** Registers the fused kernels for the backend `name`. */
export function registerFusedKernels(name: string): void {
  for (const [kernelName, kernel] of Object.entries(FUSED)) {
    tf.registerKernel({
      kernelName,
      backendName: name,
      kernelFunc: ({ inputs, backend, attrs }) =>
        kernel(backend as SimdBackend, inputs as Inputs, (attrs ?? {}) as Attributes),
    });
  }
}

const sizeOf = tf.util.sizeFromShape;

/** A tensor [..., width] as a matrix. */
function matrixOf(tensor: tf.TensorInfo): { rows: number; width: number } {
  const width = tensor.shape[tensor.shape.length - 1];
  return { rows: sizeOf(tensor.shape) / width, width };
}

/** Addresses of tensors, 0 for a missing one. */
function addresses(backend: SimdBackend, ...tensors: (tf.TensorInfo | undefined)[]): number[] {
  return tensors.map((tensor) => tensor ? backend.addressOf(tensor) : 0);
}

/** @throws RangeError naming the shapes, if they differ */
function checkShape(what: string, tensor: tf.TensorInfo, shape: number[]): void {
  if (tf.util.arraysEqual(tensor.shape, shape)) return;
  throw new RangeError(`${what} must have shape [${shape}], got [${tensor.shape}]`);
}

function linear(
  backend: SimdBackend,
  { x, weight, bias }: Inputs,
  { transposeWeight }: Attributes,
) {
  const { rows, width } = matrixOf(x);
  const [inputs, outputs] = transposeWeight ? [weight.shape[1], weight.shape[0]] : weight.shape;
  if (inputs !== width) {
    throw new RangeError(
      `linear: the rows of x have ${width} numbers, but the weight [${weight.shape}] takes ${inputs}`,
    );
  }
  if (bias) checkShape("linear: bias", bias, [outputs]);
  const y = backend.output([...x.shape.slice(0, -1), outputs]);
  const [a, b, c, d] = addresses(backend, x, weight, y, bias);
  multiply(backend, {
    ...{
      transposeA: false,
      transposeB: !!transposeWeight,
      batch: 1,
      rows,
      columns: outputs,
      depth: width,
      bias: d,
    },
    a: { address: a, row: width, batch: 0 },
    b: { address: b, row: weight.shape[1], batch: 0 },
    c: { address: c, row: outputs, batch: 0 },
  });
  return y;
}

function linearGradInput(
  backend: SimdBackend,
  { dy, weight }: Inputs,
  { transposeWeight }: Attributes,
) {
  return linear(backend, { x: dy, weight }, { transposeWeight: Number(!transposeWeight) });
}

function linearGradWeight(
  backend: SimdBackend,
  { x, dy }: Inputs,
  { transposeWeight }: Attributes,
) {
  const [left, right] = transposeWeight ? [dy, x] : [x, dy];
  const a = matrixOf(left), b = matrixOf(right);
  const weight = backend.output([a.width, b.width]);
  const [aAddress, bAddress, cAddress] = addresses(backend, left, right, weight);
  multiply(backend, {
    ...{
      transposeA: true,
      transposeB: false,
      batch: 1,
      rows: a.width,
      columns: b.width,
      depth: a.rows,
    },
    a: { address: aAddress, row: a.width, batch: 0 },
    b: { address: bAddress, row: b.width, batch: 0 },
    c: { address: cAddress, row: b.width, batch: 0 },
  });
  return weight;
}

function columnSum(backend: SimdBackend, { x }: Inputs) {
  const { rows, width } = matrixOf(x), y = backend.output([width]);
  sum(backend, x, y, [1, rows, width]);
  return y;
}

function layerNorm(backend: SimdBackend, { x, gain, bias }: Inputs, { epsilon }: Attributes) {
  const { rows, width } = matrixOf(x);
  checkShape("layer norm: gain", gain, [width]);
  if (bias) checkShape("layer norm: bias", bias, [width]);
  const y = backend.output(x.shape), statistics = backend.output([rows, 2]);
  backend.run(
    Job.LayerNorm,
    rows,
    20 + 2 * width,
    ...addresses(backend, x, gain, bias, y, statistics),
    width,
    epsilon,
  );
  return [y, statistics];
}

function layerNormGrad(backend: SimdBackend, { x, gain, statistics, dy }: Inputs) {
  const { rows, width } = matrixOf(x);
  const dx = backend.output(x.shape),
    dGain = backend.output([width]),
    dBias = backend.output([width]);
  const inputs = addresses(backend, x, gain, statistics, dy, dx);
  backend.run(Job.LayerNormGrad, rows, 20 + 2 * width, ...inputs, width);
  const groups = Math.ceil(width / COLUMN_GROUP);
  const outputs = addresses(backend, x, statistics, dy, dGain, dBias);
  backend.run(Job.LayerNormGradParameters, groups, rows * COLUMN_GROUP, ...outputs, width, rows);
  return [dx, dGain, dBias];
}

function gelu(backend: SimdBackend, { x }: Inputs) {
  const size = sizeOf(x.shape), y = backend.output(x.shape);
  backend.run(Job.Gelu, Math.ceil(size / BLOCK), 4 * BLOCK, ...addresses(backend, x, y), size);
  return y;
}

function geluGrad(backend: SimdBackend, { x, dy }: Inputs) {
  const size = sizeOf(x.shape), dx = backend.output(x.shape);
  backend.run(
    Job.GeluGrad,
    Math.ceil(size / BLOCK),
    6 * BLOCK,
    ...addresses(backend, x, dy, dx),
    size,
  );
  return dx;
}

/**
 * Queries in a block of attention, and keys: as equal as can be, and short for wide heads.
 *
 * @throws RangeError if a head is too wide for the shortest block
 */
function attentionBlock(length: number, width: number): number {
  const widest = ATTENTION_FLOATS / TILE_COLUMNS;
  if (width > widest) {
    throw new RangeError(`attention: a head must be at most ${widest} wide, got ${width}`);
  }
  const padded = Math.ceil(width / TILE_COLUMNS) * TILE_COLUMNS;
  const room = Math.floor(ATTENTION_FLOATS / padded / TILE_COLUMNS) * TILE_COLUMNS;
  const blocks = Math.ceil(length / Math.min(ATTENTION_BLOCK, room));
  return Math.ceil(length / blocks / TILE_COLUMNS) * TILE_COLUMNS;
}

function rotary(backend: SimdBackend, { qkv }: Inputs, { heads, inverse }: Attributes) {
  const [batch, length, packed] = qkv.shape, half = packed / 6 / heads;
  if (qkv.shape.length !== 3 || !Number.isInteger(half)) {
    throw new RangeError(
      `rotary: qkv must be [B, T, 3C] with C a multiple of 2 · ${heads} heads, got [${qkv.shape}]`,
    );
  }
  const y = backend.output(qkv.shape);
  const table = backend.table(`rotary ${length} ${half}`, () => rotaryTable(length, 2 * half));
  const direction = inverse ? -1 : 1;
  const tensors = addresses(backend, qkv, y);
  backend.run(
    Job.Rotary,
    batch * length,
    packed,
    ...tensors,
    table,
    length,
    heads,
    half,
    direction,
  );
  return y;
}

/** Tokens of which one thread can keep the scores. */
const MOST_CACHED = 500_000;

function attention(backend: SimdBackend, { qkv }: Inputs, { heads, scale }: Attributes) {
  const [batch, length, packed] = qkv.shape, channels = packed / 3, width = channels / heads;
  if (qkv.shape.length !== 3 || !Number.isInteger(width)) {
    throw new RangeError(
      `attention: qkv must be [B, T, 3C] with C a multiple of ${heads} heads, got [${qkv.shape}]`,
    );
  }
  const block = attentionBlock(length, width), units = batch * heads * Math.ceil(length / block);
  const y = backend.output([batch, length, channels]),
    logSumExp = backend.output([batch, heads, length]);
  const tensors = addresses(backend, qkv, y, logSumExp);
  const sizes = [length, heads, width, scale, block];
  backend.run(
    Job.Attention,
    units,
    length * block * width / 10,
    ...tensors,
    ...sizes,
    batch * heads,
  );
  return [y, logSumExp];
}

function attentionGrad(
  backend: SimdBackend,
  { qkv, y, logSumExp, dy }: Inputs,
  { heads, scale }: Attributes,
) {
  const [batch, length, packed] = qkv.shape, width = packed / 3 / heads;
  const block = attentionBlock(length, width), dqkv = backend.output(qkv.shape);
  const tensors = addresses(backend, qkv, y, logSumExp, dy, dqkv);
  const cost = length * length * width / 4, sizes = [length, heads, width, scale, block];
  backend.run(Job.AttentionGrad, batch * heads, cost, ...tensors, ...sizes);
  return dqkv;
}

function cachedAttention(
  backend: SimdBackend,
  { qkv, keys, values }: Inputs,
  { heads, start, rotary, scale }: Attributes,
) {
  const [batch, length] = qkv.shape, [, kvHeads, room, width] = keys.shape;
  checkShape("cached attention: qkv", qkv, [batch, length, (heads + 2 * kvHeads) * width]);
  checkShape("cached attention: keys", keys, [batch, kvHeads, room, width]);
  checkShape("cached attention: values", values, keys.shape);
  const most = Math.min(room, MOST_CACHED);
  if (start + length > most) {
    throw new RangeError(
      `cached attention: ${length} tokens after ${start} are more than the ${most} for which there is room`,
    );
  }
  const y = backend.output([batch, length, heads * width]);
  const angles = rotary &&
    backend.table(`rotary ${room} ${width / 2}`, () => rotaryTable(room, width));
  const inputs = [...addresses(backend, qkv, keys, values), Number(angles)];
  const sizes = [length, heads, kvHeads, width, room, start];
  backend.run(Job.CacheRows, batch * length, kvHeads * width, ...inputs, ...sizes);
  const units = batch * heads * length, cost = (start + length / 2) * width / 5;
  backend.run(Job.CachedAttention, units, cost, ...inputs, ...sizes, backend.addressOf(y), scale);
  return y;
}

function embedding(backend: SimdBackend, { table, ids }: Inputs) {
  return gatherRows(backend, table, ids, "embedding: the id");
}

function embeddingGrad(backend: SimdBackend, { dy, ids }: Inputs, { vocabSize }: Attributes) {
  return scatterRows(backend, dy, ids, vocabSize, dy.shape.slice(-1));
}

function crossEntropy(backend: SimdBackend, { logits, targets }: Inputs) {
  const { rows, width } = matrixOf(logits);
  checkShape("cross-entropy: targets", targets, logits.shape.slice(0, -1));
  const losses = backend.output(targets.shape), logSumExp = backend.output(targets.shape);
  backend.run(
    Job.CrossEntropy,
    rows,
    30 + 3 * width,
    ...addresses(backend, logits, targets, losses, logSumExp),
    width,
  );
  return [losses, logSumExp];
}

function crossEntropyGrad(backend: SimdBackend, { logits, targets, logSumExp, dy }: Inputs) {
  const { rows, width } = matrixOf(logits), dlogits = backend.output(logits.shape);
  const tensors = addresses(backend, logits, targets, logSumExp, dy, dlogits);
  backend.run(Job.CrossEntropyGrad, rows, 30 + 3 * width, ...tensors, width);
  return dlogits;
}

/** Partial sums are added in their order, so that the result does not depend on the threads. */
function globalNorm(backend: SimdBackend, inputs: Inputs) {
  const sizes = Object.values(inputs).map(({ shape }) => sizeOf(shape));
  const units = sizes.map((size) => Math.ceil(size / SQUARE_SUM_BLOCK));
  const count = units.reduce((sum, units) => sum + units, 0);
  const sums = backend.heap.allocate(count * 8);
  let to = sums;
  for (const [i, x] of Object.values(inputs).entries()) {
    const tensor = backend.addressOf(x);
    backend.run(Job.SquareSum, units[i], SQUARE_SUM_BLOCK / 2, tensor, to, sizes[i]);
    to += units[i] * 8;
  }
  const total = backend.heap.doubles(sums, count).reduce((sum, part) => sum + part, 0);
  backend.heap.free(sums);
  return backend.makeTensorInfo([], "float32", Float32Array.of(Math.sqrt(total)));
}

function adamW(backend: SimdBackend, inputs: Inputs, attributes: Attributes): tf.TensorInfo[] {
  const { parameter, gradient, moment1, moment2, norm } = inputs;
  const { learningRate, beta1, beta2, epsilon, weightDecay, step, clipNorm } = attributes;
  for (const tensor of [gradient, moment1, moment2]) {
    checkShape("AdamW: each tensor", tensor, parameter.shape);
  }
  const size = sizeOf(parameter.shape), units = Math.ceil(size / BLOCK);
  const factor = norm
    ? Math.min(1, clipNorm / ((backend.valuesOf(norm) as Float32Array)[0] + 1e-6))
    : 1;
  const tensors = addresses(backend, parameter, gradient, moment1, moment2);
  const corrections = [1 - beta1 ** step, 1 - beta2 ** step];
  const settings = [learningRate, beta1, beta2, ...corrections, epsilon, weightDecay, factor];
  backend.run(Job.AdamW, units, 3 * Math.min(size, BLOCK), ...tensors, size, ...settings);
  return [];
}

const FUSED: Record<string, Kernel> = {
  [KERNELS.linear]: linear,
  [KERNELS.linearGradInput]: linearGradInput,
  [KERNELS.linearGradWeight]: linearGradWeight,
  [KERNELS.columnSum]: columnSum,
  [KERNELS.layerNorm]: layerNorm,
  [KERNELS.layerNormGrad]: layerNormGrad,
  [KERNELS.gelu]: gelu,
  [KERNELS.geluGrad]: geluGrad,
  [KERNELS.rotary]: rotary,
  [KERNELS.causalAttention]: attention,
  [KERNELS.causalAttentionGrad]: attentionGrad,
  [KERNELS.cachedAttention]: cachedAttention,
  [KERNELS.embedding]: embedding,
  [KERNELS.embeddingGrad]: embeddingGrad,
  [KERNELS.crossEntropy]: crossEntropy,
  [KERNELS.crossEntropyGrad]: crossEntropyGrad,
  [KERNELS.globalNorm]: globalNorm,
  [KERNELS.adamW]: adamW,
};
