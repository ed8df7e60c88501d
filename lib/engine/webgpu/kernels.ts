/** The fused kernels of `../kernels.ts` (the contract: shapes, attributes) for the backend `webgpu`, and its matrix product. */
import * as tf from "@tensorflow/tfjs";
import { KERNELS, rotaryTable } from "../kernels.ts";
import { adamW } from "./adamw.ts";
import type { GpuBackend, Uniforms } from "./backend.ts";
import type { Shader } from "./shaders.ts";
import { registerAddN } from "./stock.ts";

type Inputs = Record<string, tf.TensorInfo>;
type Attributes = Record<string, number>;
type Kernel = (
  gpu: GpuBackend,
  inputs: Inputs,
  attributes: Attributes,
) => tf.TensorInfo | tf.TensorInfo[];

/** Registers them with tfjs. */
export function registerWebgpuKernels(): void {
  for (const [kernelName, kernel] of Object.entries(FUSED)) {
    tf.registerKernel({
      kernelName,
      backendName: "webgpu",
      kernelFunc: ({ inputs, backend, attrs }) =>
        kernel(backend as GpuBackend, inputs as Inputs, (attrs ?? {}) as Attributes),
    });
  }
  registerAddN();
  for (const [kernelName, kernel] of Object.entries(STANDARD)) {
    const stock = tf.getKernel(kernelName, "webgpu");
    tf.unregisterKernel(kernelName, "webgpu");
    tf.registerKernel({ ...stock, kernelFunc: (call) => kernel(call) ?? stock.kernelFunc(call) });
  }
}

type Call = Parameters<tf.KernelFunc>[0];

/** Kernels that stand in for tfjs's own where they can; for other calls they give undefined. */
const STANDARD: Record<string, (call: Call) => tf.TensorInfo | undefined> = {
  BatchMatMul: batchMatMul,
  Add: add,
  Sum: sum,
};

const sizeOf = tf.util.sizeFromShape;
const f32 = (value: number) => ({ f32: value });

/** A tensor [..., width] as a matrix. */
function matrixOf({ shape }: tf.TensorInfo): { rows: number; width: number } {
  const width = shape[shape.length - 1];
  return { rows: sizeOf(shape) / width, width };
}

interface Product {
  /** [batch, rows, depth] or, transposed, [batch, depth, rows]. */
  a: tf.TensorInfo;
  /** [batch, depth, columns] or, transposed, [batch, columns, depth]. */
  b: tf.TensorInfo;
  transposeA?: boolean;
  transposeB?: boolean;
  rows: number;
  columns: number;
  depth: number;
  batch?: number;
  /** Whether each batch has a matrix of its own, or all share one. */
  stepA?: boolean;
  stepB?: boolean;
  bias?: tf.TensorInfo;
  shape: number[];
  /** Whether the result is kept for the way back. */
  isKept?: boolean;
}

function multiply(gpu: GpuBackend, product: Product): tf.TensorInfo {
  const output = product.isKept ? gpu.activation(product.shape) : gpu.output(product.shape);
  if (sizeOf(product.shape) === 0) return output;
  if (isDirect(gpu, product)) multiplyDirect(gpu, product, output);
  else multiplyAny(gpu, product, output);
  return output;
}

/** Whether the rows in memory of all three matrices are multiples of four numbers, and barriers are to be avoided. */
function isDirect(
  gpu: GpuBackend,
  { transposeA, transposeB, rows, columns, depth }: Product,
): boolean {
  if (gpu.isReal || (transposeA && transposeB) || columns % 4 !== 0) return false;
  return transposeA ? rows % 4 === 0 : depth % 4 === 0;
}

function multiplyDirect(gpu: GpuBackend, product: Product, output: tf.TensorInfo): void {
  const { a, b, rows, columns, depth, batch = 1, stepA, stepB, bias } = product;
  const kind = product.transposeA ? "TN" : product.transposeB ? "NT" : "NN";
  const options = bias ? [kind, "BIAS"] : [kind];
  const constants = { ROWS: 16 };
  const uniforms = [
    rows,
    columns,
    depth,
    stepA ? rows * depth / 4 : 0,
    stepB ? depth * columns / 4 : 0,
  ];
  const shader: Shader = { name: "matmul-direct", options, constants };
  const [across, down] = [Math.ceil(columns / 64), Math.ceil(rows / constants.ROWS)];
  gpu.dispatch(shader, [output, a, b, bias], uniforms, [across, down, batch]);
}

function multiplyAny(gpu: GpuBackend, product: Product, output: tf.TensorInfo): void {
  const { a, b, transposeA, transposeB, rows, columns, depth, batch = 1, stepA, stepB, bias } =
    product;
  const uniforms = [
    rows,
    columns,
    depth,
    ...(transposeA ? [1, rows] : [depth, 1]),
    ...(transposeB ? [1, depth] : [columns, 1]),
    stepA ? rows * depth : 0,
    stepB ? depth * columns : 0,
  ];
  const name = gpu.isReal ? "matmul-tiled" : "matmul-plain";
  const constants = { ROWS: 8 };
  const [across, down] = gpu.isReal ? [64, 64] : [32, constants.ROWS];
  const groups: [number, number, number] = [
    Math.ceil(columns / across),
    Math.ceil(rows / down),
    batch,
  ];
  const shader: Shader = { name, constants, options: bias ? ["BIAS"] : [] };
  gpu.dispatch(shader, [output, a, b, bias], uniforms, groups);
}

/** tf.matMul, where the batches of the two are equal or one has a single matrix; undefined for other calls. */
function batchMatMul({ inputs, backend, attrs }: Call): tf.TensorInfo | undefined {
  const { a, b } = inputs as Inputs;
  const { transposeA, transposeB } = attrs as unknown as {
    transposeA: boolean;
    transposeB: boolean;
  };
  if (a.dtype !== "float32" || b.dtype !== "float32") return undefined;
  const batchA = a.shape.slice(0, -2), batchB = b.shape.slice(0, -2);
  const [sizeA, sizeB] = [sizeOf(batchA), sizeOf(batchB)];
  if (String(batchA) !== String(batchB) && sizeA !== 1 && sizeB !== 1) return undefined;
  const [rows, depth] = transposeA ? a.shape.slice(-2).reverse() : a.shape.slice(-2);
  const columns = transposeB ? b.shape.at(-2)! : b.shape.at(-1)!;
  const batch = Math.max(sizeA, sizeB);
  const batchShape = sizeA >= sizeB && batchA.length >= batchB.length ? batchA : batchB;
  return multiply(backend as GpuBackend, {
    ...{ a, b, transposeA, transposeB, rows, columns, depth, batch },
    stepA: sizeA > 1,
    stepB: sizeB > 1,
    shape: [...batchShape, rows, columns],
  });
}

/** tf.add of tensors of one shape, as the residual stream and its gradients are. */
function add({ inputs, backend }: Call): tf.TensorInfo | undefined {
  const { a, b } = inputs as Inputs;
  if (a.dtype !== "float32" || b.dtype !== "float32" || !isSame(a.shape, b.shape)) return undefined;
  const gpu = backend as GpuBackend, result = gpu.output(a.shape), size = sizeOf(a.shape);
  if (size > 0) elementwise(gpu, { name: "add" }, [result, a, b], [size]);
  return result;
}

function isSame(a: number[], b: number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

/** tf.sum over the first dimensions, as in the gradient of what was broadcast over them. */
function sum({ inputs, backend, attrs }: Call): tf.TensorInfo | undefined {
  const { x } = inputs as Inputs, rank = x.shape.length;
  const { axis, keepDims } = attrs as unknown as { axis: number | number[]; keepDims: boolean };
  const axes = tf.util.parseAxisParam(axis, x.shape).toSorted((a, b) => a - b);
  const isFirst = axes.length > 0 && axes.length < rank && axes.every((one, i) => one === i);
  if (x.dtype !== "float32" || !isFirst || sizeOf(x.shape) === 0) return undefined;
  const rows = sizeOf(x.shape.slice(0, axes.length)), rest = x.shape.slice(axes.length);
  const shape = keepDims ? [...axes.map(() => 1), ...rest] : rest;
  return columnSum(backend as GpuBackend, x, rows, shape);
}

/** What the entry `elementwise.wgsl` goes by: first, how many numbers there are. */
type Sizes = [count: number, ...Uniforms];

function elementwise(
  gpu: GpuBackend,
  shader: Shader,
  tensors: tf.TensorInfo[],
  sizes: Sizes,
): void {
  gpu.dispatch(shader, tensors, sizes, gpu.spread(Math.ceil(sizes[0] / 256)));
}

/** Constants of the entry `rows.wgsl`, and how many workgroups the rows take. */
function rowPlan({ isReal }: GpuBackend, rows: number) {
  const lanes = isReal ? 64 : 1;
  return { constants: { LANES: lanes }, rowGroups: Math.ceil(rows * lanes / 64) };
}

/** The sum over the first dimension of x, taken as a matrix of so many rows. */
function columnSum(
  gpu: GpuBackend,
  x: tf.TensorInfo,
  rows: number,
  shape: number[],
): tf.TensorInfo {
  const sums = gpu.output(shape), width = sizeOf(shape), columns = gpu.isReal ? 16 : 256;
  const shader: Shader = { name: "column-sum", constants: { COLUMNS: columns } };
  gpu.dispatch(shader, [sums, x], [rows, width], gpu.spread(Math.ceil(width / columns)));
  return sums;
}

function cachedAttention(
  gpu: GpuBackend,
  { qkv, keys, values }: Inputs,
  { heads, start, rotary, scale }: Attributes,
): tf.TensorInfo {
  const [batch, length] = qkv.shape, [, kvHeads, room, width] = keys.shape;
  const y = gpu.output([batch, length, heads * width]);
  const options = [rotary ? "ROTARY" : "PLAIN"];
  const table = () => gpu.table(`rotary ${room} ${width / 2}`, () => rotaryTable(room, width));
  const angles = rotary ? [table()] : [];
  const count = batch * length * kvHeads * width;
  elementwise(
    gpu,
    { name: "cache-rows", options },
    [keys, values, qkv, ...angles],
    [count, length, heads, kvHeads, width, room, start],
  );
  for (const tensor of [keys, values]) gpu.changed(tensor);
  const constants = { WIDTH: width, PARTS: Math.ceil(width / 64) };
  gpu.dispatch(
    { name: "cached-attention", options, constants },
    [y, qkv, keys, values, ...angles],
    [length, heads, kvHeads, room, start, f32(scale)],
    [length, heads, batch],
  );
  return y;
}

const FUSED: Record<string, Kernel> = {
  [KERNELS.linear](gpu, { x, weight, bias }, { transposeWeight }) {
    const { rows, width } = matrixOf(x);
    const columns = weight.shape[transposeWeight ? 0 : 1];
    const shape = [...x.shape.slice(0, -1), columns];
    return multiply(gpu, {
      a: x,
      b: weight,
      transposeB: !!transposeWeight,
      rows,
      columns,
      depth: width,
      bias,
      shape,
      isKept: true,
    });
  },

  [KERNELS.linearGradInput](gpu, { dy, weight }, { transposeWeight }) {
    const { rows, width } = matrixOf(dy);
    const columns = weight.shape[transposeWeight ? 1 : 0];
    const shape = [...dy.shape.slice(0, -1), columns];
    return multiply(gpu, {
      a: dy,
      b: weight,
      transposeB: !transposeWeight,
      rows,
      columns,
      depth: width,
      shape,
    });
  },

  [KERNELS.linearGradWeight](gpu, { x, dy }, { transposeWeight }) {
    const [a, b] = transposeWeight ? [dy, x] : [x, dy];
    const shape = [matrixOf(a).width, matrixOf(b).width];
    const [rows, columns] = shape;
    return multiply(gpu, { a, b, transposeA: true, rows, columns, depth: matrixOf(a).rows, shape });
  },

  [KERNELS.columnSum](gpu, { x }) {
    const { rows, width } = matrixOf(x);
    return columnSum(gpu, x, rows, [width]);
  },

  [KERNELS.layerNorm](gpu, { x, gain, bias }, { epsilon }) {
    const { rows, width } = matrixOf(x);
    const outputs = [gpu.activation(x.shape), gpu.output([rows, 2])];
    const { constants, rowGroups } = rowPlan(gpu, rows);
    const shader: Shader = { name: "layer-norm", constants, options: bias ? ["BIAS"] : [] };
    const uniforms = [rows, width, f32(epsilon)];
    gpu.dispatch(shader, [...outputs, x, gain, bias], uniforms, gpu.spread(rowGroups));
    return outputs;
  },

  [KERNELS.layerNormGrad](gpu, { x, gain, statistics, dy }) {
    const { rows, width } = matrixOf(x);
    const outputs = [gpu.output(x.shape), gpu.output([width]), gpu.output([width])];
    // 64 threads a row everywhere: with one, Mesa's llvmpipe 22.3 keeps some memory of every run.
    const shader: Shader = { name: "layer-norm-grad", constants: { LANES: 64 } };
    const tensors = [...outputs, x, gain, statistics, dy];
    gpu.dispatch(shader, tensors, [width, rows], gpu.spread(rows + Math.ceil(width / 16)));
    return outputs;
  },

  [KERNELS.gelu](gpu, { x }) {
    const y = gpu.activation(x.shape);
    elementwise(gpu, { name: "gelu", options: ["VALUE"] }, [y, x], [sizeOf(x.shape)]);
    return y;
  },

  [KERNELS.geluGrad](gpu, { x, dy }) {
    const dx = gpu.output(x.shape);
    elementwise(gpu, { name: "gelu", options: ["GRAD"] }, [dx, x, dy], [sizeOf(x.shape)]);
    return dx;
  },

  [KERNELS.rotary](gpu, { qkv }, { heads, inverse }) {
    const [, length, packed] = qkv.shape;
    const channels = packed / 3, half = channels / heads / 2;
    const turned = inverse ? gpu.output(qkv.shape) : gpu.activation(qkv.shape);
    const table = gpu.table(`rotary ${length} ${half}`, () => rotaryTable(length, 2 * half));
    const direction = f32(inverse ? -1 : 1);
    const sizes: Sizes = [sizeOf(qkv.shape), length, channels, half, direction];
    elementwise(gpu, { name: "rotary" }, [turned, qkv, table], sizes);
    return turned;
  },

  [KERNELS.causalAttention](gpu, { qkv }, { heads, scale }) {
    const [batch, length, columns] = qkv.shape;
    const outputs = [
      gpu.activation([batch, length, columns / 3]),
      gpu.output([batch, heads, length]),
    ];
    const { shader, groups } = attentionPlan(gpu, "attention", qkv.shape, heads);
    gpu.dispatch(shader, [...outputs, qkv], [length, heads, f32(scale)], groups);
    return outputs;
  },

  [KERNELS.causalAttentionGrad](gpu, { qkv, y, logSumExp, dy }, { heads, scale }) {
    const dqkv = gpu.output(qkv.shape);
    const { shader, groups } = attentionPlan(gpu, "attention-grad", qkv.shape, heads);
    const uniforms: Uniforms = [qkv.shape[1], heads, f32(scale)];
    gpu.dispatch(shader, [dqkv, qkv, y, logSumExp, dy], uniforms, groups);
    return dqkv;
  },

  [KERNELS.cachedAttention](gpu, inputs, attributes) {
    return cachedAttention(gpu, inputs, attributes);
  },

  [KERNELS.embedding](gpu, { table, ids }, { vocabSize }) {
    const width = table.shape[1];
    const rows = gpu.output([...ids.shape, width]);
    const count = sizeOf(ids.shape) * width;
    elementwise(gpu, { name: "embedding" }, [rows, table, ids], [count, width, vocabSize]);
    return rows;
  },

  [KERNELS.embeddingGrad](gpu, { dy, ids }, { vocabSize }) {
    const { width } = matrixOf(dy);
    const table = gpu.output([vocabSize, width]);
    gpu.clear(table);
    const sizes: Sizes = [sizeOf(dy.shape), width, vocabSize];
    elementwise(gpu, { name: "embedding-grad" }, [table, dy, ids], sizes);
    return table;
  },

  [KERNELS.crossEntropy](gpu, { logits, targets }) {
    const { rows, width } = matrixOf(logits);
    const outputs = [gpu.output(targets.shape), gpu.output(targets.shape)];
    const { constants, rowGroups } = rowPlan(gpu, rows);
    const shader: Shader = { name: "cross-entropy", constants };
    gpu.dispatch(shader, [...outputs, logits, targets], [rows, width], gpu.spread(rowGroups));
    return outputs;
  },

  [KERNELS.crossEntropyGrad](gpu, { logits, targets, logSumExp, dy }) {
    const dlogits = gpu.output(logits.shape);
    const tensors = [dlogits, logits, targets, logSumExp, dy];
    const sizes: Sizes = [sizeOf(logits.shape), matrixOf(logits).width];
    elementwise(gpu, { name: "cross-entropy-grad" }, tensors, sizes);
    return dlogits;
  },

  [KERNELS.globalNorm](gpu, inputs) {
    const whole = gpu.concatenate(Object.values(inputs));
    const count = gpu.isReal ? 256 : 16;
    const parts = gpu.output([count]), norm = gpu.output([]);
    const sum = (option: string): Shader => ({ name: "square-sum", options: [option] });
    gpu.dispatch(sum("PARTS"), [parts, whole], [whole.shape[0]], [count]);
    gpu.dispatch(sum("TOTAL"), [norm, parts], [count], [1]);
    for (const { dataId } of [whole, parts]) gpu.disposeData(dataId);
    return norm;
  },

  [KERNELS.adamW](gpu, inputs, settings) {
    adamW(gpu, inputs, settings);
    return [];
  },
};

/** Fast memory of a workgroup, in numbers, that every WebGPU device has: 16 KiB. */
const FAST_NUMBERS = 4096;

function attentionPlan(
  { isReal }: GpuBackend,
  name: "attention" | "attention-grad",
  shape: number[],
  heads: number,
) {
  const [batch, length, columns] = shape;
  const width = columns / 3 / heads;
  const parts = Math.ceil(width / 4);
  // Two tiles of TILE rows each, and two more numbers a row.
  const tile = Math.max(1, Math.min(16, Math.floor(FAST_NUMBERS / (8 * parts + 2))));
  // On software adapters, where loading costs most, what is loaded serves two rows; four would take seconds to compile.
  const [rows, threads] = isReal ? [1, 64] : [2, 32];
  const constants = { WIDTH: width, PARTS: parts, TILE: tile, THREADS: threads, ROWS: rows };
  const groups: [number, number, number] = [Math.ceil(length / (threads * rows)), heads, batch];
  return { shader: { name, constants }, groups };
}
