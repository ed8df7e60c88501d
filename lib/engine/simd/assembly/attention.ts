// @ts-nocheck: AssemblyScript, which tools/build-simd.ts compiles.
/**
 * Causal attention by blocks, forwards and backwards: no matrix of all queries against all keys is ever kept
 * (Dao et al., "FlashAttention", 2022). Of each query only the log of its softmax's denominator is saved.
 */
import { exp, expOne, firstLanes, logOne, maxLanes, storeLanes, sumLanes } from "./vector.ts";
import { address, float, floats, integer, scratch } from "./job.ts";
import { multiply, pack, PACKED, Shape, Start } from "./matmul.ts";
import { TILE_COLUMNS, TILE_ROWS } from "./codes.ts";

/** Most queries and keys in a block. */
const MAX_BLOCK: i32 = 80;

/** Floats in one packed block of keys, values or queries: wide heads get shorter blocks. */
const BLOCK_FLOATS: i32 = 65536;

// The scratch area behind the product's own: two square matrices, two columns, five packed blocks.
const SCORES: usize = PACKED;
const SLOPES: usize = SCORES + MAX_BLOCK * MAX_BLOCK * 4;
const MOST: usize = SLOPES + MAX_BLOCK * MAX_BLOCK * 4;
const TOTAL: usize = MOST + MAX_BLOCK * 4;
const BLOCKS: usize = TOTAL + MAX_BLOCK * 4;

/** Where packed block number `i` stands. */
function packed(i: i32): usize {
  return scratch + BLOCKS + i * (BLOCK_FLOATS * 4);
}

/** Queries in a block for heads of this width: a multiple of the tile's 8 columns. */
function blockLength(width: i32): i32 {
  const padded = (width + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS;
  return max(TILE_COLUMNS, min(MAX_BLOCK, BLOCK_FLOATS / padded / TILE_COLUMNS * TILE_COLUMNS));
}

/** The end of the tile row to which row `i` belongs: up to there a masked row is read, so it must hold zeros. */
function tileEnd(i: i32, columns: i32): i32 {
  return min((i / TILE_ROWS + 1) * TILE_ROWS, columns);
}

/** Sets floats [from, to) of a row to 0. */
function clear(row: usize, from: i32, to: i32): void {
  for (let j = from; j < to; j++) store<f32>(row + floats(j), 0);
}

/** Multiplies a row of `width` floats. */
function scaleRow(row: usize, width: i32, factor: f32): void {
  const factors = f32x4.splat(factor);
  for (let j = 0; j < width; j += 4) {
    storeLanes(row + floats(j), f32x4.mul(v128.load(row + floats(j)), factors), width - j);
  }
}

/** The largest of `count` floats. A NaN may be passed over: what is made of the result will be NaN all the same. */
function largest(row: usize, count: i32): f32 {
  let most = f32x4.splat(-Infinity), j = 0;
  for (; j + 4 <= count; j += 4) most = f32x4.pmax(most, v128.load(row + floats(j)));
  for (; j < count; j++) most = f32x4.pmax(most, v128.load_splat<f32>(row + floats(j)));
  return maxLanes(most);
}

/**
 * Turns a row of raw scores into e^(scale score - most), where `most` is the largest scaled score of this query so far.
 * What earlier blocks gave (`total`, and the row `y`) is brought to the new `most` (Milakov & Gimelshein 2018).
 */
function onlineSoftmax(
  row: usize,
  count: i32,
  scale: f32,
  most: usize,
  total: usize,
  y: usize,
  width: i32,
): void {
  const before = load<f32>(most), now = max(before, largest(row, count) * scale);
  const shift = f32x4.splat(now), scales = f32x4.splat(scale);
  let sum = f32x4.splat(0), j = 0;
  for (; j + 4 <= count; j += 4) {
    const e = exp(f32x4.sub(f32x4.mul(v128.load(row + floats(j)), scales), shift));
    sum = f32x4.add(sum, e);
    v128.store(row + floats(j), e);
  }
  if (j < count) {
    const e = exp(f32x4.sub(f32x4.mul(v128.load(row + floats(j)), scales), shift));
    sum = f32x4.add(sum, v128.and(e, firstLanes(count - j)));
    storeLanes(row + floats(j), e, count - j);
  }
  store<f32>(most, now);
  if (before == -Infinity) return store<f32>(total, sumLanes(sum));
  const keep = expOne(before - now);
  store<f32>(total, load<f32>(total) * keep + sumLanes(sum));
  if (keep != 1) scaleRow(y, width, keep);
}

/**
 * Units: blocks of queries of heads of batches.
 * Arguments: qkv [batch, length, 3 heads width], y [batch, length, heads width], logSumExps [batch, heads, length],
 * length, heads, width, scale, blocks (of queries in `length`).
 */
export function attention(begin: i32, end: i32): void {
  const length = integer(3),
    heads = integer(4),
    width = integer(5),
    scale = float(6),
    blocks = integer(7);
  const block = blockLength(width),
    stride = floats(3 * heads * width),
    yStride = floats(heads * width);
  const scores = scratch + SCORES, most = scratch + MOST, total = scratch + TOTAL;
  for (let unit = begin; unit < end; unit++) {
    const head = unit / blocks, i = unit % blocks * block, rows = min(block, length - i);
    const q = address(0) + head / heads * length * stride + floats(head % heads * width);
    const k = q + yStride, v = k + yStride;
    const y = address(1) + (head / heads * length + i) * yStride + floats(head % heads * width);
    const logSumExps = address(2) + floats(head * length + i);
    for (let r = 0; r < rows; r++) store<f32>(most + floats(r), -Infinity);
    for (let j = 0; j <= i; j += block) {
      const keys = min(block, length - j), diagonal = i == j, rowBytes = floats(block);
      pack(true, k + j * stride, stride, width, keys, packed(0));
      multiply(
        false,
        q + i * stride,
        stride,
        packed(0),
        scores,
        rowBytes,
        rows,
        keys,
        width,
        Start.Zero,
        0,
        diagonal ? Shape.LowerResult : Shape.Full,
      );
      for (let r = 0; r < rows; r++) {
        const row = scores + r * rowBytes, count = diagonal ? r + 1 : keys;
        onlineSoftmax(
          row,
          count,
          scale,
          most + floats(r),
          total + floats(r),
          y + r * yStride,
          width,
        );
        if (diagonal) clear(row, count, tileEnd(r, keys));
      }
      pack(false, v + j * stride, stride, keys, width, packed(0));
      multiply(
        false,
        scores,
        rowBytes,
        packed(0),
        y,
        yStride,
        rows,
        width,
        keys,
        j == 0 ? Start.Zero : Start.Sum,
        0,
        diagonal ? Shape.LowerLeft : Shape.Full,
      );
    }
    for (let r = 0; r < rows; r++) {
      const sum = load<f32>(total + floats(r));
      scaleRow(y + r * yStride, width, 1 / sum);
      store<f32>(logSumExps + floats(r), load<f32>(most + floats(r)) + logOne(sum));
    }
  }
}

/** The sum of x[j] y[j]. */
function dot(x: usize, y: usize, width: i32): f32 {
  let sum = f32x4.splat(0);
  for (let j = 0; j < width; j += 4) {
    const product = f32x4.mul(v128.load(x + floats(j)), v128.load(y + floats(j)));
    sum = f32x4.add(sum, v128.and(product, firstLanes(width - j)));
  }
  return sumLanes(sum);
}

/**
 * From a row of raw scores s and of slopes g = dy . v: the weights p = e^(scale s - logSumExp) in place of s, and the
 * slopes of the scores, p (g - dy . y) scale, in place of g.
 */
function softmaxGrad(
  scores: usize,
  slopes: usize,
  count: i32,
  scale: f32,
  logSumExp: f32,
  dyDotY: f32,
): void {
  const scales = f32x4.splat(scale), shift = f32x4.splat(logSumExp), mean = f32x4.splat(dyDotY);
  for (let j = 0; j < count; j += 4) {
    const at = floats(j);
    const p = exp(f32x4.sub(f32x4.mul(v128.load(scores + at), scales), shift));
    const slope = f32x4.mul(f32x4.mul(p, f32x4.sub(v128.load(slopes + at), mean)), scales);
    storeLanes(scores + at, p, count - j);
    storeLanes(slopes + at, slope, count - j);
  }
}

/**
 * Units: heads of batches.
 * Arguments: qkv, y, logSumExps, dy, dqkv (shapes as in `attention`), length, heads, width, scale.
 */
export function attentionGrad(begin: i32, end: i32): void {
  const length = integer(5), heads = integer(6), width = integer(7), scale = float(8);
  const block = blockLength(width),
    stride = floats(3 * heads * width),
    yStride = floats(heads * width);
  const scores = scratch + SCORES, slopes = scratch + SLOPES, rowBytes = floats(block);
  for (let head = begin; head < end; head++) {
    const offset = head / heads * length * stride + floats(head % heads * width);
    const q = address(0) + offset, k = q + yStride, v = k + yStride;
    const dq = address(4) + offset, dk = dq + yStride, dv = dk + yStride;
    const offsetY = head / heads * length * yStride + floats(head % heads * width);
    const y = address(1) + offsetY,
      dy = address(3) + offsetY,
      logSumExps = address(2) + floats(head * length);
    for (let j = 0; j < length; j += block) {
      const keys = min(block, length - j);
      pack(true, k + j * stride, stride, width, keys, packed(0));
      pack(true, v + j * stride, stride, width, keys, packed(1));
      pack(false, k + j * stride, stride, keys, width, packed(2));
      for (let i = j; i < length; i += block) {
        const rows = min(block, length - i), diagonal = i == j;
        const result = diagonal ? Shape.LowerResult : Shape.Full;
        multiply(
          false,
          q + i * stride,
          stride,
          packed(0),
          scores,
          rowBytes,
          rows,
          keys,
          width,
          0,
          0,
          result,
        );
        multiply(
          false,
          dy + i * yStride,
          yStride,
          packed(1),
          slopes,
          rowBytes,
          rows,
          keys,
          width,
          0,
          0,
          result,
        );
        for (let r = 0; r < rows; r++) {
          const at = (i + r) * yStride, row = r * rowBytes, count = diagonal ? r + 1 : keys;
          const logSumExp = load<f32>(logSumExps + floats(i + r));
          softmaxGrad(
            scores + row,
            slopes + row,
            count,
            scale,
            logSumExp,
            dot(dy + at, y + at, width),
          );
          if (diagonal) {
            clear(scores + row, count, tileEnd(r, keys)),
              clear(slopes + row, count, tileEnd(r, keys));
          }
        }
        const start = diagonal ? Start.Zero : Start.Sum;
        const upper = diagonal ? Shape.UpperLeft : Shape.Full,
          lower = diagonal ? Shape.LowerLeft : Shape.Full;
        pack(false, dy + i * yStride, yStride, rows, width, packed(3));
        multiply(
          true,
          scores,
          rowBytes,
          packed(3),
          dv + j * stride,
          stride,
          keys,
          width,
          rows,
          start,
          0,
          upper,
        );
        pack(false, q + i * stride, stride, rows, width, packed(4));
        multiply(
          true,
          slopes,
          rowBytes,
          packed(4),
          dk + j * stride,
          stride,
          keys,
          width,
          rows,
          start,
          0,
          upper,
        );
        multiply(
          false,
          slopes,
          rowBytes,
          packed(2),
          dq + i * stride,
          stride,
          rows,
          width,
          keys,
          j == 0 ? Start.Zero : Start.Sum,
          0,
          lower,
        );
      }
    }
  }
}
