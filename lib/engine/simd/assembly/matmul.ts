// @ts-nocheck: AssemblyScript, which tools/build-simd.ts compiles.
/**
 * Matrix products: C = op(A) op(B), row-major, with any sizes and leading dimensions.
 *
 * The plan is Goto's (Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008): a tile of 5 x 8
 * results stays in 10 of the 16 vector registers while it runs along k; both matrices are first copied ("packed") into
 * the order in which the tile reads them, which also undoes a transpose. Packing may read up to 7 floats past the end of
 * a row: those belong to columns and rows that are never stored.
 */
import { fma, storeLanes } from "./vector.ts";
import { address, floats, integer, scratch } from "./job.ts";
import { DEPTH, PACKED_FLOATS, TILE_COLUMNS, TILE_ROWS } from "./codes.ts";

/** What a tile's results start from. */
export enum Start {
  Zero,
  Bias,
  Sum,
}

/** Which part of a product is needed, if a matrix is triangular (causal attention). */
export enum Shape {
  Full,
  /** Only C[i, j] with j >= i. */
  UpperResult,
  /** A[i, k] is 0 for k > i. */
  LowerLeft,
  /** A[i, k] is 0 for k < i. */
  UpperLeft,
}

/** Most rows for which the right-hand matrix is not packed. */
const FEW_ROWS: i32 = 2;

const PANEL: usize = 0;
const EDGE: usize = TILE_ROWS * DEPTH * 4;
/** Where the packed right-hand matrix stands in the scratch area. */
export const PACKED: usize = EDGE + TILE_ROWS * TILE_COLUMNS * 4;

/**
 * C[5, 8] = start + A[5, depth] B[depth, 8], both packed; `stride` is the bytes of a row of C.
 *
 * Where V8 checks every access to memory (Deno does), the checks and not the arithmetic limit the speed: four numbers of A
 * come in one load, and two steps share what a turn of the loop costs. The way out between them keeps the compiler from
 * mixing the steps, which would take more registers than there are.
 */
function tile(
  depth: i32,
  a: usize,
  b: usize,
  c: usize,
  stride: usize,
  start: i32,
  bias: usize,
): void {
  let c00 = f32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00;
  let c30 = c00, c31 = c00, c40 = c00, c41 = c00;
  if (start == Start.Bias) {
    c00 =
      c10 =
      c20 =
      c30 =
      c40 =
        v128.load(bias);
    c01 =
      c11 =
      c21 =
      c31 =
      c41 =
        v128.load(bias, 16);
  } else if (start == Start.Sum) {
    let row = c;
    c00 = v128.load(row), c01 = v128.load(row, 16), row += stride;
    c10 = v128.load(row), c11 = v128.load(row, 16), row += stride;
    c20 = v128.load(row), c21 = v128.load(row, 16), row += stride;
    c30 = v128.load(row), c31 = v128.load(row, 16), row += stride;
    c40 = v128.load(row), c41 = v128.load(row, 16);
  }
  const end = a + floats(depth * TILE_ROWS);
  while (a < end) {
    let four = v128.load(a), b0 = v128.load(b), b1 = v128.load(b, 16);
    let x = v128.shuffle<f32>(four, four, 0, 0, 0, 0);
    c00 = fma(x, b0, c00), c01 = fma(x, b1, c01);
    x = v128.shuffle<f32>(four, four, 1, 1, 1, 1);
    c10 = fma(x, b0, c10), c11 = fma(x, b1, c11);
    x = v128.shuffle<f32>(four, four, 2, 2, 2, 2);
    c20 = fma(x, b0, c20), c21 = fma(x, b1, c21);
    x = v128.shuffle<f32>(four, four, 3, 3, 3, 3);
    c30 = fma(x, b0, c30), c31 = fma(x, b1, c31);
    x = v128.load_splat<f32>(a, 16);
    c40 = fma(x, b0, c40), c41 = fma(x, b1, c41);
    if (a + TILE_ROWS * 4 == end) break;
    four = v128.load(a, 20), b0 = v128.load(b, 32), b1 = v128.load(b, 48);
    x = v128.shuffle<f32>(four, four, 0, 0, 0, 0);
    c00 = fma(x, b0, c00), c01 = fma(x, b1, c01);
    x = v128.shuffle<f32>(four, four, 1, 1, 1, 1);
    c10 = fma(x, b0, c10), c11 = fma(x, b1, c11);
    x = v128.shuffle<f32>(four, four, 2, 2, 2, 2);
    c20 = fma(x, b0, c20), c21 = fma(x, b1, c21);
    x = v128.shuffle<f32>(four, four, 3, 3, 3, 3);
    c30 = fma(x, b0, c30), c31 = fma(x, b1, c31);
    x = v128.load_splat<f32>(a, 36);
    c40 = fma(x, b0, c40), c41 = fma(x, b1, c41);
    a += 2 * TILE_ROWS * 4;
    b += 2 * TILE_COLUMNS * 4;
  }
  v128.store(c, c00), v128.store(c, c01, 16), c += stride;
  v128.store(c, c10), v128.store(c, c11, 16), c += stride;
  v128.store(c, c20), v128.store(c, c21, 16), c += stride;
  v128.store(c, c30), v128.store(c, c31, 16), c += stride;
  v128.store(c, c40), v128.store(c, c41, 16);
}

/** A full tile, `times` over on panels that stay in the first-level cache: the fastest that a product could be. */
export function tileAlone(times: i32): void {
  const a = scratch + PANEL, b = scratch + PACKED, c = scratch + EDGE;
  for (let i = 0; i < times; i++) tile(DEPTH, a, b, c, TILE_COLUMNS * 4, Start.Zero, 0);
}

/** A tile of which only `rows` x `columns` results exist: computed aside, then copied. */
function edgeTile(
  depth: i32,
  a: usize,
  b: usize,
  c: usize,
  stride: usize,
  start: i32,
  bias: usize,
  rows: i32,
  columns: i32,
): void {
  const aside = scratch + EDGE;
  if (start == Start.Sum) {
    for (let i = 0; i < rows; i++) copyRow(c + i * stride, aside + i * TILE_COLUMNS * 4, columns);
  }
  tile(depth, a, b, aside, TILE_COLUMNS * 4, start, bias);
  for (let i = 0; i < rows; i++) copyRow(aside + i * TILE_COLUMNS * 4, c + i * stride, columns);
}

/** Copies up to 8 floats. */
function copyRow(from: usize, to: usize, count: i32): void {
  storeLanes(to, v128.load(from), count);
  if (count > 4) storeLanes(to + 16, v128.load(from, 16), count - 4);
}

/** Copies 5 rows (the last one again where there are fewer) of `depth` floats into the order [depth][5]. */
function packRows(a: usize, stride: usize, rows: i32, depth: i32, to: usize): void {
  const last = rows - 1;
  let p0 = a, p1 = a + min(1, last) * stride, p2 = a + min(2, last) * stride;
  let p3 = a + min(3, last) * stride, p4 = a + min(4, last) * stride, k = 0;
  for (; k + 4 <= depth; k += 4) {
    const r0 = v128.load(p0), r1 = v128.load(p1), r2 = v128.load(p2), r3 = v128.load(p3);
    const r4 = v128.load(p4);
    const low01 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5),
      high01 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
    const low23 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5),
      high23 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<i64>(low01, low23, 0, 2));
    v128.store(to, v128.shuffle<i64>(low01, low23, 1, 3), 20);
    v128.store(to, v128.shuffle<i64>(high01, high23, 0, 2), 40);
    v128.store(to, v128.shuffle<i64>(high01, high23, 1, 3), 60);
    v128.store_lane<f32>(to, r4, 0, 16), v128.store_lane<f32>(to, r4, 1, 36);
    v128.store_lane<f32>(to, r4, 2, 56), v128.store_lane<f32>(to, r4, 3, 76);
    p0 += 16, p1 += 16, p2 += 16, p3 += 16, p4 += 16, to += 80;
  }
  for (; k < depth; k++) {
    store<f32>(to, load<f32>(p0)), store<f32>(to, load<f32>(p1), 4);
    store<f32>(to, load<f32>(p2), 8), store<f32>(to, load<f32>(p3), 12);
    store<f32>(to, load<f32>(p4), 16);
    p0 += 4, p1 += 4, p2 += 4, p3 += 4, p4 += 4, to += 20;
  }
}

/** The same for a matrix that is stored transposed: its rows of 5 neighbours are already in order. */
function packRowsTransposed(a: usize, stride: usize, depth: i32, to: usize): void {
  for (let k = 0; k < depth; k++) {
    v128.store(to, v128.load(a));
    store<f32>(to, load<f32>(a, 16), 16);
    a += stride, to += TILE_ROWS * 4;
  }
}

/** Copies a panel of 8 columns of B[depth, columns] into the order [depth][8]. */
function packPanel(b: usize, stride: usize, depth: i32, to: usize): void {
  for (let k = 0; k < depth; k++) {
    v128.store(to, v128.load(b)), v128.store(to, v128.load(b, 16), 16);
    b += stride, to += TILE_COLUMNS * 4;
  }
}

/** The same for a matrix that is stored transposed, B[columns, depth]: four rows at a time (the last again at the end). */
function packPanelTransposed(b: usize, stride: usize, columns: i32, depth: i32, to: usize): void {
  for (let half = 0; half < 8; half += 4, to += 16) {
    const last = columns - 1;
    let p0 = b + min(half, last) * stride, p1 = b + min(half + 1, last) * stride;
    let p2 = b + min(half + 2, last) * stride, p3 = b + min(half + 3, last) * stride;
    let out = to, k = 0;
    for (; k + 4 <= depth; k += 4) {
      const r0 = v128.load(p0), r1 = v128.load(p1), r2 = v128.load(p2), r3 = v128.load(p3);
      const low01 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5),
        high01 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
      const low23 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5),
        high23 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
      v128.store(out, v128.shuffle<i64>(low01, low23, 0, 2));
      v128.store(out, v128.shuffle<i64>(low01, low23, 1, 3), 32);
      v128.store(out, v128.shuffle<i64>(high01, high23, 0, 2), 64);
      v128.store(out, v128.shuffle<i64>(high01, high23, 1, 3), 96);
      p0 += 16, p1 += 16, p2 += 16, p3 += 16, out += 128;
    }
    for (; k < depth; k++) {
      store<f32>(out, load<f32>(p0)), store<f32>(out, load<f32>(p1), 4);
      store<f32>(out, load<f32>(p2), 8), store<f32>(out, load<f32>(p3), 12);
      p0 += 4, p1 += 4, p2 += 4, p3 += 4, out += 32;
    }
  }
}

/**
 * Packs op(B)[depth, columns] for `multiply`: blocks of DEPTH along k, in each the panels of 8 columns.
 *
 * @param stride bytes of a row of B as it is stored
 */
export function pack(
  transposed: bool,
  b: usize,
  stride: usize,
  depth: i32,
  columns: i32,
  to: usize,
): void {
  for (let k = 0; k < depth; k += DEPTH) {
    const steps = min(DEPTH, depth - k);
    for (let j = 0; j < columns; j += TILE_COLUMNS) {
      if (transposed) {
        packPanelTransposed(b + j * stride + floats(k), stride, columns - j, steps, to);
      } else packPanel(b + k * stride + floats(j), stride, steps, to);
      to += floats(steps * TILE_COLUMNS);
    }
  }
}

/**
 * C[rows, columns] = start + op(A)[rows, depth] x (packed B)[depth, columns].
 *
 * @param aStride bytes of a row of A as it is stored; `cStride` likewise
 * @param bias address of `columns` floats, read if `start` is Bias
 */
export function multiply(
  transposed: bool,
  a: usize,
  aStride: usize,
  packed: usize,
  c: usize,
  cStride: usize,
  rows: i32,
  columns: i32,
  depth: i32,
  start: i32,
  bias: usize,
  shape: i32,
): void {
  const panel = scratch + PANEL;
  const padded = (columns + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS;
  for (let k = 0; k < depth; k += DEPTH) {
    const steps = min(DEPTH, depth - k);
    const begin = k == 0 ? start : Start.Sum;
    for (let i = 0; i < rows; i += TILE_ROWS) {
      const height = min(TILE_ROWS, rows - i);
      const first = shape == Shape.UpperResult ? i / TILE_COLUMNS * TILE_COLUMNS : 0;
      const from = shape == Shape.UpperLeft ? min(max(i - k, 0), steps) : 0;
      const to = shape == Shape.LowerLeft ? min(max(i + TILE_ROWS - k, 0), steps) : steps;
      if (from >= to && begin == Start.Sum) continue;
      const length = max(to - from, 0);
      if (transposed) {
        packRowsTransposed(a + (k + from) * aStride + floats(i), aStride, length, panel);
      } else packRows(a + i * aStride + floats(k + from), aStride, height, length, panel);
      let b = packed + floats(k * padded + first * steps + from * TILE_COLUMNS);
      const row = c + i * cStride;
      for (let j = first; j < columns; j += TILE_COLUMNS, b += floats(steps * TILE_COLUMNS)) {
        if (height == TILE_ROWS && columns - j >= TILE_COLUMNS) {
          tile(length, panel, b, row + floats(j), cStride, begin, bias + floats(j));
        } else {
          edgeTile(
            length,
            panel,
            b,
            row + floats(j),
            cStride,
            begin,
            bias + floats(j),
            height,
            min(TILE_COLUMNS, columns - j),
          );
        }
      }
    }
  }
}

/** Where sums start: four floats of the bias, of the result, or zeros. */
function startOf(start: i32, c: usize, bias: usize): v128 {
  if (start == Start.Zero) return f32x4.splat(0);
  return v128.load(start == Start.Bias ? bias : c);
}

/**
 * One row of a product, c = start + a B, without packing B, which would cost more than it saves. Each number is summed
 * in the order in which a tile does it, so it is the same to the last bit.
 *
 * @param aStep bytes from one number of `a` to the next
 */
function multiplyRow(
  a: usize,
  aStep: usize,
  b: usize,
  bRow: usize,
  c: usize,
  columns: i32,
  depth: i32,
  start: i32,
  bias: usize,
): void {
  for (let j = 0; j < columns; j += 16) {
    const at = floats(j), rest = columns - j;
    let c0 = startOf(start, c + at, bias + at), c1 = startOf(start, c + at + 16, bias + at + 16);
    let c2 = startOf(start, c + at + 32, bias + at + 32),
      c3 = startOf(start, c + at + 48, bias + at + 48);
    let from = b + at, x = a;
    for (let k = 0; k < depth; k++, from += bRow, x += aStep) {
      const factor = v128.load_splat<f32>(x);
      c0 = fma(factor, v128.load(from), c0), c1 = fma(factor, v128.load(from, 16), c1);
      c2 = fma(factor, v128.load(from, 32), c2), c3 = fma(factor, v128.load(from, 48), c3);
    }
    storeLanes(c + at, c0, rest);
    if (rest > 4) storeLanes(c + at + 16, c1, rest - 4);
    if (rest > 8) storeLanes(c + at + 32, c2, rest - 8);
    if (rest > 12) storeLanes(c + at + 48, c3, rest - 12);
  }
}

/** The same for a matrix that is stored transposed, B[columns, depth]: four columns at a time. */
function multiplyRowTransposed(
  a: usize,
  aStep: usize,
  b: usize,
  bRow: usize,
  c: usize,
  columns: i32,
  depth: i32,
  start: i32,
  bias: usize,
): void {
  for (let j = 0; j < columns; j += 4) {
    const last = columns - 1;
    let p0 = b + j * bRow, p1 = b + min(j + 1, last) * bRow;
    let p2 = b + min(j + 2, last) * bRow, p3 = b + min(j + 3, last) * bRow;
    let sum = startOf(start, c + floats(j), bias + floats(j)), x = a, k = 0;
    for (; k + 4 <= depth; k += 4, x += 4 * aStep) {
      const r0 = v128.load(p0), r1 = v128.load(p1), r2 = v128.load(p2), r3 = v128.load(p3);
      const low01 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5),
        high01 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
      const low23 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5),
        high23 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
      sum = fma(v128.load_splat<f32>(x), v128.shuffle<i64>(low01, low23, 0, 2), sum);
      sum = fma(v128.load_splat<f32>(x + aStep), v128.shuffle<i64>(low01, low23, 1, 3), sum);
      sum = fma(v128.load_splat<f32>(x + 2 * aStep), v128.shuffle<i64>(high01, high23, 0, 2), sum);
      sum = fma(v128.load_splat<f32>(x + 3 * aStep), v128.shuffle<i64>(high01, high23, 1, 3), sum);
      p0 += 16, p1 += 16, p2 += 16, p3 += 16;
    }
    for (; k < depth; k++, x += aStep) {
      const column = f32x4(load<f32>(p0), load<f32>(p1), load<f32>(p2), load<f32>(p3));
      sum = fma(v128.load_splat<f32>(x), column, sum);
      p0 += 4, p1 += 4, p2 += 4, p3 += 4;
    }
    storeLanes(c + floats(j), sum, columns - j);
  }
}

/** Which right-hand block this thread has packed: of the same job, the same is not packed twice. */
let packedJob: i32 = -1;
let packedBlock: i32 = -1;

/**
 * Units: blocks of rows of blocks of columns of the matrices in a batch, rows running fastest.
 * Arguments: transposeA, transposeB, rows, columns, depth, a, aRow, aBatch, b, bRow, bBatch, c, cRow, cBatch, bias,
 * sum, rowsPerBlock, columnsPerBlock. aRow ... cBatch are strides in floats, sum adds to what C holds.
 */
export function matMul(begin: i32, end: i32, job: i32): void {
  const transposeA = integer(0) != 0, transposeB = integer(1) != 0;
  const rows = integer(2), columns = integer(3), depth = integer(4);
  const aRow = floats(integer(6)), bRow = floats(integer(9)), cRow = floats(integer(12));
  const start = integer(15) ? Start.Sum : address(14) ? Start.Bias : Start.Zero;
  const blockRows = integer(16), blockColumns = integer(17);
  const down = (rows + blockRows - 1) / blockRows,
    across = (columns + blockColumns - 1) / blockColumns;
  // Steps along k for which a block of the right-hand matrix is packed at once.
  const deepest = depth * blockColumns <= PACKED_FLOATS
    ? depth
    : PACKED_FLOATS / blockColumns / DEPTH * DEPTH;
  for (let unit = begin; unit < end; unit++) {
    const block = unit / down, i = unit % down * blockRows;
    const batch = block / across, j = block % across * blockColumns;
    const height = min(blockRows, rows - i), width = min(blockColumns, columns - j);
    const a = address(5) + batch * floats(integer(7)) + (transposeA ? floats(i) : i * aRow);
    const b = address(8) + batch * floats(integer(10)) + (transposeB ? j * bRow : floats(j));
    const c = address(11) + batch * floats(integer(13)) + i * cRow + floats(j);
    if (rows <= FEW_ROWS) {
      const aStep = transposeA ? aRow : 4,
        nextRow = transposeA ? 4 : aRow,
        bias = address(14) + floats(j);
      for (let r = 0; r < height; r++) {
        const left = a + r * nextRow, result = c + r * cRow;
        if (transposeB) {
          multiplyRowTransposed(left, aStep, b, bRow, result, width, depth, start, bias);
        } else multiplyRow(left, aStep, b, bRow, result, width, depth, start, bias);
      }
      continue;
    }
    const packed = scratch + PACKED;
    for (let k = 0; k == 0 || k < depth; k += deepest) {
      const steps = min(deepest, depth - k);
      if (depth > deepest || packedJob != job || packedBlock != block) {
        pack(transposeB, b + (transposeB ? floats(k) : k * bRow), bRow, steps, width, packed);
        packedJob = job, packedBlock = block;
      }
      multiply(
        transposeA,
        a + (transposeA ? k * aRow : floats(k)),
        aRow,
        packed,
        c,
        cRow,
        height,
        width,
        steps,
        k == 0 ? start : Start.Sum,
        address(14) + floats(j),
        Shape.Full,
      );
    }
  }
}
