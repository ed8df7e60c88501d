// @ts-nocheck: AssemblyScript, which tools/build-simd.ts compiles.
/** Elementwise operations with broadcasting, sums over axes, and strided copies. */
import { exp, log, storeLanes, tanh } from "./vector.ts";
import { rowSum } from "./norm.ts";
import { address, float, floats, integer } from "./job.ts";
import { Binary, BLOCK, COLUMN_GROUP, Unary } from "./codes.ts";

function applyUnary(operation: i32, x: v128): v128 {
  const one = f32x4.splat(1);
  switch (operation) {
    case Unary.Exp:
      return exp(x);
    case Unary.Tanh:
      return tanh(x);
    case Unary.Sigmoid:
      return f32x4.div(one, f32x4.add(one, exp(f32x4.neg(x))));
    case Unary.Sqrt:
      return f32x4.sqrt(x);
    case Unary.Rsqrt:
      return f32x4.div(one, f32x4.sqrt(x));
    case Unary.Square:
      return f32x4.mul(x, x);
    case Unary.Negate:
      return f32x4.neg(x);
    case Unary.Absolute:
      return f32x4.abs(x);
    case Unary.Relu:
      return f32x4.max(x, f32x4.splat(0));
    default:
      return log(x);
  }
}

/** Units: blocks of elements. Arguments: operation, x, y, size. */
export function unary(begin: i32, end: i32): void {
  const operation = integer(0), x = address(1), y = address(2), size = integer(3);
  const last = min(end * BLOCK, size);
  for (let i = begin * BLOCK; i < last; i += 4) {
    storeLanes(y + floats(i), applyUnary(operation, v128.load(x + floats(i))), size - i);
  }
}

function applyBinary(operation: i32, x: v128, y: v128): v128 {
  const difference = f32x4.sub(x, y);
  switch (operation) {
    case Binary.Add:
      return f32x4.add(x, y);
    case Binary.Subtract:
      return difference;
    case Binary.Multiply:
      return f32x4.mul(x, y);
    case Binary.Divide:
      return f32x4.div(x, y);
    case Binary.SquaredDifference:
      return f32x4.mul(difference, difference);
    case Binary.Maximum:
      return f32x4.max(x, y);
    default:
      return f32x4.min(x, y);
  }
}

/** One row; a stride of 0 repeats a single float. */
function binaryRow(
  operation: i32,
  a: usize,
  aStride: i32,
  b: usize,
  bStride: i32,
  c: usize,
  count: i32,
): void {
  let done = 0;
  if (operation == Binary.Add) done = addRow(a, aStride, b, bStride, c, count);
  else if (operation == Binary.Multiply) done = multiplyRow(a, aStride, b, bStride, c, count);
  const aSame = v128.load_splat<f32>(a), bSame = v128.load_splat<f32>(b);
  for (let j = done; j < count; j += 4) {
    const x = aStride ? v128.load(a + floats(j)) : aSame,
      y = bStride ? v128.load(b + floats(j)) : bSame;
    storeLanes(c + floats(j), applyBinary(operation, x, y), count - j);
  }
}

/** The sum of two rows as far as it goes in steps of 4, without a choice in the loop; gives how far. */
function addRow(a: usize, aStride: i32, b: usize, bStride: i32, c: usize, count: i32): i32 {
  const last = count & ~3;
  if (!aStride) return bStride ? addRow(b, bStride, a, aStride, c, count) : 0;
  const same = v128.load_splat<f32>(b);
  if (bStride) {
    for (let at: usize = 0; at < floats(last); at += 16) {
      v128.store(c + at, f32x4.add(v128.load(a + at), v128.load(b + at)));
    }
  } else {
    for (let at: usize = 0; at < floats(last); at += 16) {
      v128.store(c + at, f32x4.add(v128.load(a + at), same));
    }
  }
  return last;
}

/** The same for the product. */
function multiplyRow(a: usize, aStride: i32, b: usize, bStride: i32, c: usize, count: i32): i32 {
  const last = count & ~3;
  if (!aStride) return bStride ? multiplyRow(b, bStride, a, aStride, c, count) : 0;
  const same = v128.load_splat<f32>(b);
  if (bStride) {
    for (let at: usize = 0; at < floats(last); at += 16) {
      v128.store(c + at, f32x4.mul(v128.load(a + at), v128.load(b + at)));
    }
  } else {
    for (let at: usize = 0; at < floats(last); at += 16) {
      v128.store(c + at, f32x4.mul(v128.load(a + at), same));
    }
  }
  return last;
}

/** How far row number `row` of dimensions [.., d1, d2] lies from the start, for strides s0, s1, s2. */
function rowOffset(row: i32, d1: i32, d2: i32, s0: i32, s1: i32, s2: i32): usize {
  return floats(row / (d1 * d2) * s0 + row / d2 % d1 * s1 + row % d2 * s2);
}

/**
 * Units: blocks of columns of rows.
 * Arguments: operation, a, b, c, d1, d2, count, then for a and for b the strides along d0, d1, d2 and the row (0 or 1).
 * c is [d0, d1, d2, count], without gaps.
 */
export function binary(begin: i32, end: i32): void {
  const operation = integer(0), d1 = integer(4), d2 = integer(5), count = integer(6);
  const across = (count + BLOCK - 1) / BLOCK;
  for (let unit = begin; unit < end; unit++) {
    const row = unit / across, j = unit % across * BLOCK, length = min(BLOCK, count - j);
    const a = address(1) + rowOffset(row, d1, d2, integer(7), integer(8), integer(9)) +
      floats(j * integer(10));
    const b = address(2) + rowOffset(row, d1, d2, integer(11), integer(12), integer(13)) +
      floats(j * integer(14));
    binaryRow(
      operation,
      a,
      integer(10),
      b,
      integer(14),
      address(3) + floats(row * count + j),
      length,
    );
  }
}

/** Units: rows. Arguments: x, y, width, factor. y[i] = factor times the sum of row i. */
export function sumRows(begin: i32, end: i32): void {
  const x = address(0), y = address(1), width = integer(2), factor = float(3);
  for (let i = begin; i < end; i++) {
    store<f32>(y + floats(i), rowSum(x + floats(i * width), width) * factor);
  }
}

/**
 * Units: groups of 16 columns of matrices. Arguments: x [.., rows, width], y [.., width], width, factor, rows.
 * y = factor times the sum of the rows.
 */
export function sumColumns(begin: i32, end: i32): void {
  const x = address(0),
    y = address(1),
    width = integer(2),
    rows = integer(4),
    rowBytes = floats(width);
  const factor = f32x4.splat(float(3)), across = (width + COLUMN_GROUP - 1) / COLUMN_GROUP;
  for (let unit = begin; unit < end; unit++) {
    const matrix = unit / across, j = unit % across * COLUMN_GROUP, rest = width - j;
    let from = x + floats(matrix * rows * width + j);
    let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
    for (let i = 0; i < rows; i++, from += rowBytes) {
      s0 = f32x4.add(s0, v128.load(from)), s1 = f32x4.add(s1, v128.load(from, 16));
      s2 = f32x4.add(s2, v128.load(from, 32)), s3 = f32x4.add(s3, v128.load(from, 48));
    }
    const to = y + floats(matrix * width + j);
    storeLanes(to, f32x4.mul(s0, factor), rest);
    if (rest > 4) storeLanes(to + 16, f32x4.mul(s1, factor), rest - 4);
    if (rest > 8) storeLanes(to + 32, f32x4.mul(s2, factor), rest - 8);
    if (rest > 12) storeLanes(to + 48, f32x4.mul(s3, factor), rest - 12);
  }
}

/**
 * Units: rows. Arguments: from, to, d1, d2, count, then the strides of `from` and of `to` along d0, d1, d2 and the row.
 * Copies any strided [d0, d1, d2, count] to any other: transposes, slices, concatenation, repetition.
 */
export function copy(begin: i32, end: i32): void {
  const d1 = integer(2),
    d2 = integer(3),
    count = integer(4),
    step = floats(integer(8)),
    toStep = floats(integer(12));
  for (let row = begin; row < end; row++) {
    let from = address(0) + rowOffset(row, d1, d2, integer(5), integer(6), integer(7));
    let to = address(1) + rowOffset(row, d1, d2, integer(9), integer(10), integer(11));
    if (step == 4 && toStep == 4) {
      memory.copy(to, from, floats(count));
    } else if (step == 0 && toStep == 4) {
      const same = v128.load_splat<f32>(from);
      for (let j = 0; j < count; j += 4) storeLanes(to + floats(j), same, count - j);
    } else {
      for (let j = 0; j < count; j++, from += step, to += toStep) store<f32>(to, load<f32>(from));
    }
  }
}
