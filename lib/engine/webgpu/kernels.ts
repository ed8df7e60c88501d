/** The fused kernels of `../kernels.ts` (the contract: shapes, attributes) for the backend `webgpu`, and its matrix product. */
import * as tf from "@tensorflow/tfjs";
import { KERNELS, rotaryTable } from "../kernels.ts";
import { adamW } from "./adamw.ts";
import type { GpuBackend, Uniforms } from "./backend.ts";
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
  const stock = tf.getKernel("BatchMatMul", "webgpu");
  tf.unregisterKernel("BatchMatMul", "webgpu");
  tf.registerKernel({
    ...stock,
    kernelFunc: (call) => batchMatMul(call) ?? stock.kernelFunc(call),
  });
}

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
  const uniforms = [
    rows,
    columns,
    depth,
    stepA ? rows * depth / 4 : 0,
    stepB ? depth * columns / 4 : 0,
  ];
  const groups: [number, number, number] = [Math.ceil(columns / 32), Math.ceil(rows / 8), batch];
  gpu.dispatch(
    { name: "matmul-direct", options },
    [output, a, b, ...(bias ? [bias] : [])],
    uniforms,
    groups,
  );
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
  const [across, down] = gpu.isReal ? [64, 64] : [32, 8];
  const groups: [number, number, number] = [
    Math.ceil(columns / across),
    Math.ceil(rows / down),
    batch,
  ];
  const tensors = [output, a, b, ...(bias ? [bias] : [])];
  gpu.dispatch({ name, options: bias ? ["BIAS"] : [] }, tensors, uniforms, groups);
}

/** tf.matMul, where the batches of the two are equal or one has a single matrix; undefined for other calls. */
function batchMatMul(
  { inputs, backend, attrs }: Parameters<tf.KernelFunc>[0],
): tf.TensorInfo | undefined {
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
    const sums = gpu.output([width]);
    gpu.dispatch({ name: "column-sum" }, [sums, x], [rows, width], [Math.ceil(width / 16)]);
    return sums;
  },

  [KERNELS.layerNorm](gpu, { x, gain, bias }, { epsilon }) {
    const { rows, width } = matrixOf(x);
    const outputs = [gpu.activation(x.shape), gpu.output([rows, 2])];
    const shader = { name: "layer-norm" as const, options: bias ? ["BIAS"] : [] };
    const tensors = [...outputs, x, gain, ...(bias ? [bias] : [])];
    gpu.dispatch(shader, tensors, [rows, width, f32(epsilon)], gpu.spread(rows));
    return outputs;
  },

  [KERNELS.layerNormGrad](gpu, { x, gain, statistics, dy }) {
    const { rows, width } = matrixOf(x);
    const outputs = [gpu.output(x.shape), gpu.output([width]), gpu.output([width])];
    const groups = gpu.spread(rows + Math.ceil(width / 16));
    gpu.dispatch(
      { name: "layer-norm-grad" },
      [...outputs, x, gain, statistics, dy],
      [width, rows],
      groups,
    );
    return outputs;
  },

  [KERNELS.gelu](gpu, { x }) {
    const y = gpu.activation(x.shape);
    const size = sizeOf(x.shape);
    gpu.dispatch(
      { name: "gelu", options: ["VALUE"] },
      [y, x],
      [size],
      gpu.spread(Math.ceil(size / 256)),
    );
    return y;
  },

  [KERNELS.geluGrad](gpu, { x, dy }) {
    const dx = gpu.output(x.shape);
    const size = sizeOf(x.shape);
    gpu.dispatch(
      { name: "gelu", options: ["GRAD"] },
      [dx, x, dy],
      [size],
      gpu.spread(Math.ceil(size / 256)),
    );
    return dx;
  },

  [KERNELS.rotary](gpu, { qkv }, { heads, inverse }) {
    const [, length, packed] = qkv.shape;
    const channels = packed / 3, half = channels / heads / 2;
    const turned = inverse ? gpu.output(qkv.shape) : gpu.activation(qkv.shape);
    const table = gpu.table(`rotary ${length} ${half}`, () => rotaryTable(length, 2 * half));
    const count = sizeOf(qkv.shape);
    const uniforms: Uniforms = [count, length, channels, half, f32(inverse ? -1 : 1)];
    const groups = gpu.spread(Math.ceil(count / 256));
    gpu.dispatch({ name: "rotary" }, [turned, qkv, table], uniforms, groups);
    return turned;
  },

  [KERNELS.causalAttention](gpu, { qkv }, { heads, scale }) {
    const [batch, length, columns] = qkv.shape;
    const outputs = [
      gpu.activation([batch, length, columns / 3]),
      gpu.output([batch, heads, length]),
    ];
    const { shader, groups } = attentionPlan("attention", qkv.shape, heads);
    gpu.dispatch(shader, [...outputs, qkv], [length, heads, f32(scale)], groups);
    return outputs;
  },

  [KERNELS.causalAttentionGrad](gpu, { qkv, y, logSumExp, dy }, { heads, scale }) {
    const dqkv = gpu.output(qkv.shape);
    const { shader, groups } = attentionPlan("attention-grad", qkv.shape, heads);
    const uniforms: Uniforms = [qkv.shape[1], heads, f32(scale)];
    gpu.dispatch(shader, [dqkv, qkv, y, logSumExp, dy], uniforms, groups);
    return dqkv;
  },

  [KERNELS.embedding](gpu, { table, ids }, { vocabSize }) {
    const width = table.shape[1];
    const rows = gpu.output([...ids.shape, width]);
    const count = sizeOf(ids.shape) * width;
    gpu.dispatch(
      { name: "embedding" },
      [rows, table, ids],
      [count, width, vocabSize],
      gpu.spread(Math.ceil(count / 256)),
    );
    return rows;
  },

  [KERNELS.embeddingGrad](gpu, { dy, ids }, { vocabSize }) {
    const { width } = matrixOf(dy);
    const table = gpu.output([vocabSize, width]);
    gpu.clear(table);
    const count = sizeOf(dy.shape);
    gpu.dispatch(
      { name: "embedding-grad" },
      [table, dy, ids],
      [count, width, vocabSize],
      gpu.spread(Math.ceil(count / 256)),
    );
    return table;
  },

  [KERNELS.crossEntropy](gpu, { logits, targets }) {
    const { rows, width } = matrixOf(logits);
    const outputs = [gpu.output(targets.shape), gpu.output(targets.shape)];
    gpu.dispatch(
      { name: "cross-entropy" },
      [...outputs, logits, targets],
      [rows, width],
      gpu.spread(rows),
    );
    return outputs;
  },

  [KERNELS.crossEntropyGrad](gpu, { logits, targets, logSumExp, dy }) {
    const dlogits = gpu.output(logits.shape);
    const count = sizeOf(logits.shape);
    const tensors = [dlogits, logits, targets, logSumExp, dy];
    const uniforms = [count, matrixOf(logits).width];
    gpu.dispatch(
      { name: "cross-entropy-grad" },
      tensors,
      uniforms,
      gpu.spread(Math.ceil(count / 256)),
    );
    return dlogits;
  },

  [KERNELS.globalNorm](gpu, inputs) {
    const whole = gpu.concatenate(Object.values(inputs));
    const parts = gpu.output([256]), norm = gpu.output([]);
    gpu.dispatch({ name: "square-sum", options: ["PARTS"] }, [parts, whole], [whole.shape[0]], [
      256,
    ]);
    gpu.dispatch({ name: "square-sum", options: ["TOTAL"] }, [norm, parts], [256], [1]);
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
const QUERIES = 64;

function attentionPlan(name: "attention" | "attention-grad", shape: number[], heads: number) {
  const [batch, length, columns] = shape;
  const width = columns / 3 / heads;
  const parts = Math.ceil(width / 4);
  // Two tiles of TILE rows each, and two more numbers a row.
  const tile = Math.max(1, Math.min(16, Math.floor(FAST_NUMBERS / (8 * parts + 2))));
  const constants = { WIDTH: width, PARTS: parts, TILE: tile, QUERIES };
  const groups: [number, number, number] = [Math.ceil(length / QUERIES), heads, batch];
  return { shader: { name, constants }, groups };
}
