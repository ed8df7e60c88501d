// @ts-nocheck: AssemblyScript, which tools/build-simd.ts compiles.
/**
 * Causal attention by blocks, forwards and backwards: no matrix of all queries against all keys is ever kept
 * (Dao et al., "FlashAttention", 2022). Of each query only the log of its softmax's denominator is saved.
 *
 * A block of scores stands as [keys, queries]: four neighbouring queries are the lanes of a vector, so that their softmaxes
 * are computed side by side, and nothing is ever summed across lanes.
 */
import { exp, firstLanes, fma, log, storeLanes, sumLanes } from "./vector.ts";
import { address, float, floats, integer, scratch } from "./job.ts";
import { multiply, pack, PACKED, Shape, Start } from "./matmul.ts";
import { ATTENTION_BLOCK, ATTENTION_FLOATS, TILE_COLUMNS } from "./codes.ts";

// The scratch area behind the panels of the product: two blocks of scores, three numbers for each query, packed blocks.
const SCORES: usize = PACKED;
const SLOPES: usize = SCORES + ATTENTION_BLOCK * ATTENTION_BLOCK * 4;
const MOST: usize = SLOPES + ATTENTION_BLOCK * ATTENTION_BLOCK * 4;
const TOTAL: usize = MOST + ATTENTION_BLOCK * 4;
const KEEP: usize = TOTAL + ATTENTION_BLOCK * 4;
const BLOCKS: usize = KEEP + ATTENTION_BLOCK * 4;

// What the job's arguments say: see `attention`. Strides are bytes from a token to the next.
let length: i32, heads: i32, width: i32, block: i32;
let scale: f32;
let stride: usize, yStride: usize;

function readShape(first: i32): void {
  length = integer(first), heads = integer(first + 1), width = integer(first + 2);
  scale = float(first + 3), block = integer(first + 4);
  stride = floats(3 * heads * width), yStride = floats(heads * width);
}

/** Bytes from the first token of the first batch to the first token of head number `head` of all, for rows of `row` bytes. */
function headOffset(head: i32, row: usize): usize {
  return head / heads * length * row + floats(head % heads * width);
}

/** Where packed block number `i` stands. */
function packed(i: i32): usize {
  return scratch + BLOCKS + i * (ATTENTION_FLOATS * 4);
}

/** to[keys, queries] = a[keys, width] times a packed block; on the diagonal, only for queries that see the key. */
function scoresOf(a: usize, b: usize, to: usize, keys: i32, queries: i32, diagonal: bool): void {
  const shape = diagonal ? Shape.UpperResult : Shape.Full;
  multiply(false, a, stride, b, to, floats(block), keys, queries, width, Start.Zero, 0, shape);
}

/** y[queries, width] = or += the transpose of scores[keys, queries] times a packed block [keys, width]. */
function addToQueries(
  scores: usize,
  b: usize,
  y: usize,
  row: usize,
  keys: i32,
  queries: i32,
  diagonal: bool,
  isFirst: bool,
): void {
  const shape = diagonal ? Shape.LowerLeft : Shape.Full, start = isFirst ? Start.Zero : Start.Sum;
  multiply(true, scores, floats(block), b, y, row, queries, width, keys, start, 0, shape);
}

/** y[keys, width] = or += scores[keys, queries] times a packed block [queries, width]; what is on the diagonal comes first. */
function addToKeys(
  scores: usize,
  b: usize,
  y: usize,
  keys: i32,
  queries: i32,
  diagonal: bool,
): void {
  const shape = diagonal ? Shape.UpperLeft : Shape.Full, start = diagonal ? Start.Zero : Start.Sum;
  multiply(false, scores, floats(block), b, y, stride, keys, width, queries, start, 0, shape);
}

/** Keys in a block that all of the four queries from number `query` on see. */
function seenByAll(query: i32, keys: i32, diagonal: bool): i32 {
  return diagonal ? min(query + 1, keys) : keys;
}

/** Keys in a block for which the four queries need a number: on the diagonal also zeros, to the end of the product's tiles. */
function neededByAny(query: i32, keys: i32, diagonal: bool): i32 {
  return diagonal ? min(query + TILE_COLUMNS, keys) : keys;
}

/** The largest scores of four queries. A NaN may be passed over: what is made of the result will be NaN all the same. */
function largest(column: usize, query: i32, all: i32, keys: i32): v128 {
  const row = floats(block);
  let most = f32x4.splat(-Infinity), j = 0;
  for (; j < all; j++, column += row) most = f32x4.pmax(most, v128.load(column));
  for (; j < keys; j++, column += row) {
    const hidden = firstLanes(j - query);
    most = f32x4.pmax(most, v128.bitselect(f32x4.splat(-Infinity), v128.load(column), hidden));
  }
  return most;
}

/**
 * Turns scores into e^(scale score - most), where `most` is the largest scaled score of the query so far. Updates `most` and
 * the sum of these numbers, `total`, and gives the factor that brings what earlier blocks gave to the new `most`, `keep`
 * (Milakov & Gimelshein 2018).
 */
function onlineSoftmax(keys: i32, queries: i32, diagonal: bool): void {
  const scales = f32x4.splat(scale), row = floats(block);
  for (let query = 0; query < queries; query += 4) {
    const at = floats(query), most = scratch + MOST + at, total = scratch + TOTAL + at;
    const all = seenByAll(query, keys, diagonal), any = neededByAny(query, keys, diagonal);
    let column = scratch + SCORES + at, sum = f32x4.splat(0), j = 0;
    const before = v128.load(most);
    const now = f32x4.pmax(before, f32x4.mul(largest(column, query, all, any), scales));
    const shift = f32x4.neg(now);
    for (; j < all; j++, column += row) {
      const e = exp(fma(v128.load(column), scales, shift));
      sum = f32x4.add(sum, e);
      v128.store(column, e);
    }
    for (; j < any; j++, column += row) {
      const e = exp(fma(v128.load(column), scales, shift));
      const kept = v128.andnot(e, firstLanes(j - query));
      sum = f32x4.add(sum, kept);
      v128.store(column, kept);
    }
    const keep = exp(f32x4.sub(before, now));
    v128.store(scratch + KEEP + at, keep);
    v128.store(most, now);
    v128.store(total, fma(v128.load(total), keep, sum));
  }
}

/** Multiplies each row of y[queries, width] by its own factor. */
function scaleRows(y: usize, factors: usize, queries: i32): void {
  for (let query = 0; query < queries; query++, y += yStride) {
    const factor = v128.load_splat<f32>(factors + floats(query));
    for (let j = 0; j < width; j += 4) {
      storeLanes(y + floats(j), f32x4.mul(v128.load(y + floats(j)), factor), width - j);
    }
  }
}

/** Divides by the softmaxes' denominators, and stores their logarithms. */
function normalise(y: usize, logSumExps: usize, queries: i32): void {
  for (let query = 0; query < queries; query += 4) {
    const at = floats(query), total = v128.load(scratch + TOTAL + at);
    const logSumExp = f32x4.add(v128.load(scratch + MOST + at), log(total));
    storeLanes(logSumExps + at, logSumExp, queries - query);
    v128.store(scratch + KEEP + at, f32x4.div(f32x4.splat(1), total));
  }
  scaleRows(y, scratch + KEEP, queries);
}

/** One block of queries of a head, whose first query, key and value stand at q, k and v. */
function attend(q: usize, k: usize, v: usize, y: usize, logSumExps: usize, first: i32): void {
  const queries = min(block, length - first);
  pack(true, q + first * stride, stride, width, queries, packed(0));
  for (let i = 0; i < queries; i += 4) {
    v128.store(scratch + MOST + floats(i), f32x4.splat(-Infinity));
    v128.store(scratch + TOTAL + floats(i), f32x4.splat(0));
  }
  for (let j = 0; j <= first; j += block) {
    const keys = min(block, length - j), diagonal = j == first;
    scoresOf(k + j * stride, packed(0), scratch + SCORES, keys, queries, diagonal);
    onlineSoftmax(keys, queries, diagonal);
    if (j > 0) scaleRows(y, scratch + KEEP, queries);
    pack(false, v + j * stride, stride, keys, width, packed(1));
    addToQueries(scratch + SCORES, packed(1), y, yStride, keys, queries, diagonal, j == 0);
  }
  normalise(y, logSumExps, queries);
}

/**
 * Units: blocks of queries of heads of batches; the last blocks, which see most, come first.
 * Arguments: qkv [batch, length, 3 heads width], y [batch, length, heads width], logSumExps [batch, heads, length],
 * length, heads, width, scale, block (queries in one, and keys), all (heads of all batches).
 */
export function attention(begin: i32, end: i32): void {
  readShape(3);
  const all = integer(8), blocks = (length + block - 1) / block;
  for (let unit = begin; unit < end; unit++) {
    const head = unit % all, first = (blocks - 1 - unit / all) * block;
    const q = address(0) + headOffset(head, stride);
    const y = address(1) + headOffset(head, yStride) + first * yStride;
    const logSumExps = address(2) + floats(head * length + first);
    attend(q, q + yStride, q + 2 * yStride, y, logSumExps, first);
  }
}

/** The sum of x[j] y[j]. */
function dot(x: usize, y: usize): f32 {
  let sum = f32x4.splat(0);
  for (let j = 0; j < width; j += 4) {
    const product = f32x4.mul(v128.load(x + floats(j)), v128.load(y + floats(j)));
    sum = f32x4.add(sum, v128.and(product, firstLanes(width - j)));
  }
  return sumLanes(sum);
}

/**
 * From scores s and slopes g = dy . v: the weights p = e^(scale s - logSumExp) in place of s, and the slopes of the scores,
 * p (g - dy . y) scale, in place of g.
 */
function softmaxGrad(logSumExps: usize, keys: i32, queries: i32, diagonal: bool): void {
  const scales = f32x4.splat(scale), row = floats(block);
  for (let query = 0; query < queries; query += 4) {
    const at = floats(query), shift = f32x4.neg(v128.load(logSumExps + at));
    const mean = v128.load(scratch + TOTAL + at);
    const all = seenByAll(query, keys, diagonal), any = neededByAny(query, keys, diagonal);
    let score = scratch + SCORES + at, slope = scratch + SLOPES + at, j = 0;
    for (; j < all; j++, score += row, slope += row) {
      const p = exp(fma(v128.load(score), scales, shift));
      const d = f32x4.mul(f32x4.mul(p, f32x4.sub(v128.load(slope), mean)), scales);
      v128.store(score, p);
      v128.store(slope, d);
    }
    for (; j < any; j++, score += row, slope += row) {
      const hidden = firstLanes(j - query);
      const p = exp(fma(v128.load(score), scales, shift));
      const d = f32x4.mul(f32x4.mul(p, f32x4.sub(v128.load(slope), mean)), scales);
      v128.store(score, v128.andnot(p, hidden));
      v128.store(slope, v128.andnot(d, hidden));
    }
  }
}

/** What one block of queries adds to the gradients; `q`, `dq`, `y`, `dy` and `logSumExps` are those of the head's first token. */
function attendGrad(q: usize, dq: usize, y: usize, dy: usize, logSumExps: usize, first: i32): void {
  const queries = min(block, length - first), from = first * stride, yFrom = first * yStride;
  pack(true, q + from, stride, width, queries, packed(0));
  pack(true, dy + yFrom, yStride, width, queries, packed(1));
  pack(false, q + from, stride, queries, width, packed(2));
  pack(false, dy + yFrom, yStride, queries, width, packed(3));
  for (let i = 0; i < queries; i++) {
    const at = yFrom + i * yStride;
    store<f32>(scratch + TOTAL + floats(i), dot(dy + at, y + at));
  }
  for (let j = 0; j <= first; j += block) {
    const keys = min(block, length - j), diagonal = j == first, at = j * stride;
    const k = q + yStride + at, v = k + yStride, dk = dq + yStride + at, dv = dk + yStride;
    scoresOf(k, packed(0), scratch + SCORES, keys, queries, diagonal);
    scoresOf(v, packed(1), scratch + SLOPES, keys, queries, diagonal);
    softmaxGrad(logSumExps + floats(first), keys, queries, diagonal);
    pack(false, k, stride, keys, width, packed(4));
    addToQueries(scratch + SLOPES, packed(4), dq + from, stride, keys, queries, diagonal, j == 0);
    addToKeys(scratch + SLOPES, packed(2), dk, keys, queries, diagonal);
    addToKeys(scratch + SCORES, packed(3), dv, keys, queries, diagonal);
  }
}

/**
 * Units: heads of batches.
 * Arguments: qkv, y, logSumExps, dy, dqkv (shapes as in `attention`), length, heads, width, scale, block.
 */
export function attentionGrad(begin: i32, end: i32): void {
  readShape(5);
  for (let head = begin; head < end; head++) {
    const offset = headOffset(head, stride), yOffset = headOffset(head, yStride);
    for (let first = 0; first < length; first += block) {
      attendGrad(
        address(0) + offset,
        address(4) + offset,
        address(1) + yOffset,
        address(3) + yOffset,
        address(2) + floats(head * length),
        first,
      );
    }
  }
}
