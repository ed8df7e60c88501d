/**
 * tfjs's own kernels, made fast: those that a model in plain tfjs ops spends its time in. Each takes the cases it was
 * made for, and leaves the rest (other types, empty tensors, rare shapes) to the kernel of the `cpu` backend.
 */
import * as tf from "@tensorflow/tfjs";
import { Binary, BLOCK, COLUMN_GROUP, Job, Unary } from "./assembly/codes.ts";
import type { SimdBackend } from "./backend.ts";
import { multiply } from "./matmul.ts";
import { broadcastStrides, collapse, reductionOf, stridesOf } from "./shapes.ts";

type Outputs = tf.TensorInfo | tf.TensorInfo[];

/** What a kernel is called with. */
interface Call {
  // deno-lint-ignore no-explicit-any -- each kernel has its own inputs and attributes; tfjs types none of them here
  inputs: any;
  // deno-lint-ignore no-explicit-any
  attrs: any;
  backend: SimdBackend;
}

/** A kernel that may say "not mine" by returning undefined. */
type Kernel = (call: Call) => Outputs | undefined;

/** Registers these kernels for the backend `name`, which already has those of `cpu`. */
export function registerStandardKernels(name: string): void {
  for (const [kernelName, kernel] of Object.entries(KERNELS)) {
    const fallback = tf.getKernel(kernelName, "cpu").kernelFunc;
    tf.unregisterKernel(kernelName, name);
    tf.registerKernel({
      kernelName,
      backendName: name,
      kernelFunc: (call) => kernel(call as unknown as Call) ?? fallback(call),
    });
  }
}

const sizeOf = tf.util.sizeFromShape;

/** Whether all tensors are float32 and none is empty. */
function areFloats(...tensors: tf.TensorInfo[]): boolean {
  return tensors.every((tensor) => tensor.dtype === "float32" && sizeOf(tensor.shape) > 0);
}

/** Whether a tensor's elements are four bytes each, and there are some. */
function isMovable(tensor: tf.TensorInfo): boolean {
  return (tensor.dtype === "float32" || tensor.dtype === "int32") && sizeOf(tensor.shape) > 0;
}

function unary(operation: Unary, cost: number): Kernel {
  return ({ inputs: { x }, backend }) => {
    if (!areFloats(x)) return undefined;
    const size = sizeOf(x.shape), y = backend.output(x.shape);
    const units = Math.ceil(size / BLOCK);
    backend.run(
      Job.Unary,
      units,
      BLOCK * cost,
      operation,
      backend.addressOf(x),
      backend.addressOf(y),
      size,
    );
    return y;
  };
}

function binary(operation: Binary): Kernel {
  return ({ inputs: { a, b }, backend }) => {
    if (!areFloats(a, b)) return undefined;
    const shape = tf.broadcast_util.assertAndGetBroadcastShape(a.shape, b.shape);
    const loops = collapse(shape, [
      broadcastStrides(a.shape, shape),
      broadcastStrides(b.shape, shape),
      stridesOf(shape),
    ]);
    if (!loops) return undefined;
    const c = backend.output(shape);
    runBinary(backend, operation, a, b, c, loops.sizes, loops.strides);
    return c;
  };
}

function runBinary(
  backend: SimdBackend,
  operation: Binary,
  a: tf.TensorInfo,
  b: tf.TensorInfo,
  c: tf.TensorInfo,
  sizes: number[],
  strides: number[][],
): void {
  const [d0, d1, d2, count] = sizes;
  const addresses = [a, b, c].map((tensor) => backend.addressOf(tensor));
  const units = d0 * d1 * d2 * Math.ceil(count / BLOCK);
  const cost = 5 + Math.min(count, BLOCK);
  backend.run(
    Job.Binary,
    units,
    cost,
    operation,
    ...addresses,
    d1,
    d2,
    count,
    ...strides[0],
    ...strides[1],
  );
}

/** Copies between two strided places; offsets and strides in elements. */
function copy(
  backend: SimdBackend,
  shape: number[],
  from: { tensor: tf.TensorInfo; strides: number[]; offset?: number },
  to: { tensor: tf.TensorInfo; strides: number[]; offset?: number },
): boolean {
  const loops = collapse(shape, [from.strides, to.strides]);
  if (!loops) return false;
  const [d0, d1, d2, count] = loops.sizes;
  backend.run(
    Job.Copy,
    d0 * d1 * d2,
    10 + count,
    backend.addressOf(from.tensor) + 4 * (from.offset ?? 0),
    backend.addressOf(to.tensor) + 4 * (to.offset ?? 0),
    d1,
    d2,
    count,
    ...loops.strides[0],
    ...loops.strides[1],
  );
  return true;
}

/** The output if the work was done, else undefined with the output given back. */
function ifDone(
  backend: SimdBackend,
  done: boolean,
  output: tf.TensorInfo,
): tf.TensorInfo | undefined {
  if (!done) backend.disposeData(output.dataId);
  return done ? output : undefined;
}

function matMul({ inputs: { a, b, bias }, attrs, backend }: Call): tf.TensorInfo | undefined {
  if (!areFloats(a, b)) return undefined;
  const { transposeA, transposeB } = attrs;
  const [aRows, aColumns] = a.shape.slice(-2), [bRows, bColumns] = b.shape.slice(-2);
  const rows = transposeA ? aColumns : aRows, depth = transposeA ? aRows : aColumns;
  const columns = transposeB ? bRows : bColumns;
  const aBatch = sizeOf(a.shape.slice(0, -2)), bBatch = sizeOf(b.shape.slice(0, -2));
  if (aBatch !== bBatch && aBatch !== 1 && bBatch !== 1) return undefined;
  if (bias && !(areFloats(bias) && sizeOf(bias.shape) === columns)) return undefined;
  const outer = tf.broadcast_util.assertAndGetBroadcastShape(
    a.shape.slice(0, -2),
    b.shape.slice(0, -2),
  );
  const c = backend.output([...outer, rows, columns]);
  multiply(backend, {
    ...{ transposeA, transposeB, rows, columns, depth, batch: Math.max(aBatch, bBatch) },
    a: { address: backend.addressOf(a), row: aColumns, batch: aBatch === 1 ? 0 : aRows * aColumns },
    b: { address: backend.addressOf(b), row: bColumns, batch: bBatch === 1 ? 0 : bRows * bColumns },
    c: { address: backend.addressOf(c), row: columns, batch: rows * columns },
    bias: bias && backend.addressOf(bias),
  });
  return c;
}

function fusedMatMul(call: Call): Outputs | undefined {
  const { activation } = call.attrs;
  if (activation !== "linear" && activation !== "relu") return undefined;
  const product = matMul(call);
  if (!product || activation === "linear") return product;
  const activated = unary(Unary.Relu, 1)({ ...call, inputs: { x: product } });
  call.backend.disposeData(product.dataId);
  return activated;
}

/** The inherited kernel would give an int32 tensor's own memory the name float32. */
function cast({ inputs: { x }, attrs: { dtype }, backend }: Call): Outputs | undefined {
  const isWider = dtype === "float32" && (x.dtype === "int32" || x.dtype === "bool") ||
    dtype === "int32" && x.dtype === "bool";
  if (!isWider) return undefined;
  const y = backend.output(x.shape, dtype);
  (backend.valuesOf(y) as Float32Array).set(backend.valuesOf(x) as Int32Array);
  return y;
}

function softmax({ inputs: { logits }, attrs, backend }: Call): Outputs | undefined {
  const width = logits.shape[logits.shape.length - 1];
  const { dim = -1 } = attrs;
  if (!areFloats(logits) || (dim !== -1 && dim !== logits.shape.length - 1)) return undefined;
  const y = backend.output(logits.shape), rows = sizeOf(logits.shape) / width;
  const addresses = [backend.addressOf(logits), backend.addressOf(y)];
  backend.run(Job.Softmax, rows, 10 + 3 * width, ...addresses, width);
  return y;
}

/** A reduction over some axes: `run` gets x as [outer, reduced, inner] and says whether it could do it. */
function reduce(
  run: (backend: SimdBackend, x: tf.TensorInfo, y: tf.TensorInfo, sizes: Sizes) => boolean,
): Kernel {
  return ({ inputs: { x }, attrs, backend }) => {
    if (!areFloats(x)) return undefined;
    const axes = tf.util.parseAxisParam(attrs.axis ?? attrs.reductionIndices, x.shape);
    const sizes = reductionOf(x.shape, axes);
    if (!sizes) return undefined;
    const shape: number[] = x.shape.map((size: number, i: number) => axes.includes(i) ? 1 : size);
    const y = backend.output(attrs.keepDims ? shape : shape.filter((_, i) => !axes.includes(i)));
    return ifDone(backend, run(backend, x, y, sizes), y);
  };
}

/** [outer, reduced, inner] */
type Sizes = [number, number, number];

function largest(backend: SimdBackend, x: tf.TensorInfo, y: tf.TensorInfo, sizes: Sizes): boolean {
  const [outer, reduced, inner] = sizes;
  if (inner !== 1) return false;
  backend.run(
    Job.MaxRows,
    outer,
    5 + reduced / 2,
    backend.addressOf(x),
    backend.addressOf(y),
    reduced,
  );
  return true;
}

/** y [outer, inner] = factor times the sum of x [outer, reduced, inner] over its middle. */
export function sum(
  backend: SimdBackend,
  x: tf.TensorInfo,
  y: tf.TensorInfo,
  [outer, reduced, inner]: Sizes,
  factor = 1,
): boolean {
  const from = backend.addressOf(x), to = backend.addressOf(y);
  if (inner === 1) backend.run(Job.SumRows, outer, 5 + reduced / 2, from, to, reduced, factor);
  else {
    const units = outer * Math.ceil(inner / COLUMN_GROUP);
    backend.run(
      Job.SumColumns,
      units,
      reduced * COLUMN_GROUP / 2,
      from,
      to,
      inner,
      factor,
      reduced,
    );
  }
  return true;
}

function transpose({ inputs: { x }, attrs: { perm }, backend }: Call): Outputs | undefined {
  if (!isMovable(x)) return undefined;
  const strides = stridesOf(x.shape);
  const shape: number[] = perm.map((i: number) => x.shape[i]);
  const y = backend.output(shape, x.dtype);
  const from = { tensor: x, strides: perm.map((i: number) => strides[i]) };
  return ifDone(backend, copy(backend, shape, from, { tensor: y, strides: stridesOf(shape) }), y);
}

function slice({ inputs: { x }, attrs, backend }: Call): Outputs | undefined {
  if (!isMovable(x)) return undefined;
  const [begin, size] = tf.slice_util.parseSliceParams(x, attrs.begin, attrs.size);
  tf.slice_util.assertParamsValid(x, begin, size);
  if (sizeOf(size) === 0) return undefined;
  return cut(backend, x, begin, size);
}

function cut(
  backend: SimdBackend,
  x: tf.TensorInfo,
  begin: number[],
  size: number[],
): tf.TensorInfo | undefined {
  const strides = stridesOf(x.shape), y = backend.output(size, x.dtype as "float32");
  const offset = begin.reduce((sum, start, i) => sum + start * strides[i], 0);
  const done = copy(backend, size, { tensor: x, strides, offset }, {
    tensor: y,
    strides: stridesOf(size),
  });
  return ifDone(backend, done, y);
}

function split(
  { inputs: { x }, attrs: { numOrSizeSplits, axis }, backend }: Call,
): Outputs | undefined {
  if (!isMovable(x)) return undefined;
  const [along] = tf.util.parseAxisParam(axis, x.shape);
  const sizes = tf.backend_util.prepareSplitSize(x, numOrSizeSplits, along);
  if (x.shape.length > 4 || sizes.includes(0)) return undefined;
  let start = 0;
  return sizes.map((length) => {
    const begin = x.shape.map((_: number, i: number) => i === along ? start : 0);
    const size = x.shape.map((whole: number, i: number) => i === along ? length : whole);
    start += length;
    return cut(backend, x, begin, size)!;
  });
}

function concat({ inputs, attrs: { axis }, backend }: Call): Outputs | undefined {
  const all: tf.TensorInfo[] = Object.values(inputs);
  const [along] = tf.util.parseAxisParam(axis, all[0].shape);
  const parts = all.filter((part) => sizeOf(part.shape) > 0);
  if (
    parts.length === 0 || !parts.every((part) => isMovable(part) && part.dtype === parts[0].dtype)
  ) return undefined;
  if (all[0].shape.length > 4) return undefined;
  tf.backend_util.assertParamsConsistent(all.map((part) => part.shape), along);
  const shape = tf.backend_util.computeOutShape(all.map((part) => part.shape), along);
  const y = backend.output(shape, parts[0].dtype as "float32"), strides = stridesOf(shape);
  let offset = 0;
  for (const part of parts) {
    copy(backend, part.shape, { tensor: part, strides: stridesOf(part.shape) }, {
      tensor: y,
      strides,
      offset,
    });
    offset += part.shape[along] * strides[along];
  }
  return y;
}

/** Sets all elements of a float32 tensor. */
function fill(backend: SimdBackend, y: tf.TensorInfo, value: number): void {
  const one = backend.table(`constant ${value}`, () => Float32Array.of(value));
  const width = y.shape[y.shape.length - 1] ?? 1, rows = sizeOf(y.shape) / width;
  const sizes = [1, 1, width], from = [0, 0, 0, 0], to = [width, 0, 0, 1];
  const cost = 10 + width / 4;
  backend.run(Job.Copy, rows, cost, one, backend.addressOf(y), ...sizes, ...from, ...to);
}

function pad(
  { inputs: { x }, attrs: { paddings, constantValue }, backend }: Call,
): Outputs | undefined {
  if (!areFloats(x)) return undefined;
  const shape: number[] = x.shape.map((size: number, i: number) =>
    size + paddings[i][0] + paddings[i][1]
  );
  const y = backend.output(shape), strides = stridesOf(shape);
  fill(backend, y, constantValue);
  const offset = strides.reduce((sum, stride, i) => sum + stride * paddings[i][0], 0);
  const from = { tensor: x, strides: stridesOf(x.shape) };
  return ifDone(backend, copy(backend, x.shape, from, { tensor: y, strides, offset }), y);
}

function tile({ inputs: { x }, attrs: { reps }, backend }: Call): Outputs | undefined {
  if (!isMovable(x) || sizeOf(reps) === 0) return undefined;
  const shape: number[] = x.shape.map((size: number, i: number) => size * reps[i]);
  const y = backend.output(shape, x.dtype), strides = stridesOf(shape), own = stridesOf(x.shape);
  // Each dimension twice: how often, repeating the same elements, and then the elements themselves.
  const twice: number[] = x.shape.flatMap((size: number, i: number) => [reps[i], size]);
  const from = { tensor: x, strides: own.flatMap((stride) => [0, stride]) };
  const to = { tensor: y, strides: strides.flatMap((stride, i) => [stride * x.shape[i], stride]) };
  return ifDone(backend, copy(backend, twice, from, to), y);
}

function gather(
  { inputs: { x, indices }, attrs: { axis, batchDims }, backend }: Call,
): Outputs | undefined {
  const [along] = tf.util.parseAxisParam(axis, x.shape);
  if (
    along !== 0 || batchDims || !isMovable(x) || !isMovable(indices) || indices.dtype !== "int32"
  ) return undefined;
  return gatherRows(backend, x, indices, "GatherV2: the index");
}

/**
 * Rows `ids` of a table [V, ...].
 *
 * @throws RangeError naming the id, if it is outside [0, V)
 */
export function gatherRows(
  backend: SimdBackend,
  table: tf.TensorInfo,
  ids: tf.TensorInfo,
  what: string,
): tf.TensorInfo {
  const [rows, ...rest] = table.shape, width = sizeOf(rest), count = sizeOf(ids.shape);
  for (const id of backend.valuesOf(ids) as Int32Array) {
    if (!(id >= 0 && id < rows)) {
      throw new RangeError(`${what} value ${id} is not in [0, ${rows - 1}]`);
    }
  }
  const y = backend.output([...ids.shape, ...rest], table.dtype as "float32");
  const addresses = [table, ids, y].map((tensor) => backend.addressOf(tensor));
  backend.run(Job.Gather, count, 10 + width / 2, ...addresses, width);
  return y;
}

function segmentSum(
  { inputs: { x, segmentIds }, attrs: { numSegments }, backend }: Call,
): Outputs | undefined {
  if (!areFloats(x) || segmentIds.dtype !== "int32" || segmentIds.shape.length !== 1) {
    return undefined;
  }
  return scatterRows(backend, x, segmentIds, numSegments, x.shape.slice(1));
}

/** [rows, ...rest]: each row of x added to the row that its id names. */
export function scatterRows(
  backend: SimdBackend,
  x: tf.TensorInfo,
  ids: tf.TensorInfo,
  rows: number,
  rest: number[],
): tf.TensorInfo {
  const width = sizeOf(rest), count = sizeOf(ids.shape), y = backend.output([rows, ...rest]);
  const addresses = [x, ids, y].map((tensor) => backend.addressOf(tensor));
  const cost = (count + rows / 2) * COLUMN_GROUP / 2;
  backend.run(Job.Scatter, Math.ceil(width / COLUMN_GROUP), cost, ...addresses, width, count, rows);
  return y;
}

function addN({ inputs, backend }: Call): Outputs | undefined {
  const parts: tf.TensorInfo[] = Object.values(inputs);
  if (parts.length < 2 || !areFloats(...parts)) return undefined;
  const y = backend.output(parts[0].shape), size = sizeOf(y.shape);
  const sizes = [1, 1, 1, size], strides = [[0, 0, 0, 1], [0, 0, 0, 1]];
  runBinary(backend, Binary.Add, parts[0], parts[1], y, sizes, strides);
  for (const part of parts.slice(2)) runBinary(backend, Binary.Add, y, part, y, sizes, strides);
  return y;
}

const KERNELS: Record<string, Kernel> = {
  [tf.BatchMatMul]: matMul,
  [tf._FusedMatMul]: fusedMatMul,
  [tf.Cast]: cast,
  [tf.Softmax]: softmax,
  [tf.Sum]: reduce(sum),
  [tf.Mean]: reduce((backend, x, y, sizes) => sum(backend, x, y, sizes, 1 / sizes[1])),
  [tf.Max]: reduce(largest),
  [tf.Transpose]: transpose,
  [tf.Slice]: slice,
  [tf.SplitV]: split,
  [tf.Concat]: concat,
  [tf.PadV2]: pad,
  [tf.Tile]: tile,
  [tf.GatherV2]: gather,
  [tf.UnsortedSegmentSum]: segmentSum,
  [tf.AddN]: addN,
  [tf.Add]: binary(Binary.Add),
  [tf.Sub]: binary(Binary.Subtract),
  [tf.Multiply]: binary(Binary.Multiply),
  [tf.RealDiv]: binary(Binary.Divide),
  [tf.SquaredDifference]: binary(Binary.SquaredDifference),
  [tf.Maximum]: binary(Binary.Maximum),
  [tf.Minimum]: binary(Binary.Minimum),
  [tf.Exp]: unary(Unary.Exp, 3),
  [tf.Tanh]: unary(Unary.Tanh, 3),
  [tf.Sigmoid]: unary(Unary.Sigmoid, 4),
  [tf.Sqrt]: unary(Unary.Sqrt, 1),
  [tf.Rsqrt]: unary(Unary.Rsqrt, 2),
  [tf.Square]: unary(Unary.Square, 1),
  [tf.Neg]: unary(Unary.Negate, 1),
  [tf.Abs]: unary(Unary.Absolute, 1),
  [tf.Relu]: unary(Unary.Relu, 1),
  [tf.Log]: unary(Unary.Log, 4),
};
