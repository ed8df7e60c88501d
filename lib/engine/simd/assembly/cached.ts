// @ts-nocheck: AssemblyScript, which tools/build-simd.ts compiles.
/**
 * Attention of new tokens on all keys and values so far, which a cache keeps. Few queries, so nothing is packed: a query's scores
 * stand in scratch memory, four keys are multiplied at a time.
 */
import { exp, firstLanes, fma, maxLanes, storeLanes, sumLanes } from "./vector.ts";
import { address, float, floats, integer, scratch } from "./job.ts";
import { turn } from "./rotary.ts";

/** Columns of the values that are summed at a time. */
const GROUP: i32 = 32;

/**
 * Writes the keys (turned, if there are angles) and values of new tokens into the cache.
 *
 * Units: tokens of batches. Arguments: qkv [batch, length, (heads + 2 kvHeads) width], keys and values
 * [batch, kvHeads, room, width], angles (0 for none), length, heads, kvHeads, width, room, start.
 */
export function cacheRows(begin: i32, end: i32): void {
  const length = integer(4), heads = integer(5), kvHeads = integer(6), width = integer(7);
  const room = integer(8), start = integer(9), rowBytes = floats((heads + 2 * kvHeads) * width);
  for (let row = begin; row < end; row++) {
    const place = start + row % length, first = row / length * kvHeads;
    const angles = address(3) ? address(3) + floats(place * width) : 0;
    for (let head = 0; head < kvHeads; head++) {
      const k = address(0) + row * rowBytes + floats((heads + head) * width);
      const to = floats(((first + head) * room + place) * width);
      if (angles) turn(k, address(1) + to, angles, width / 2, f32x4.splat(1));
      else memory.copy(address(1) + to, k, floats(width));
      memory.copy(address(2) + to, k + floats(kvHeads * width), floats(width));
    }
  }
}

/**
 * Units: queries of heads of batches. Arguments: as of `cacheRows`, then y [batch, length, heads width] and scale.
 */
export function cachedAttention(begin: i32, end: i32): void {
  const length = integer(4), heads = integer(5), kvHeads = integer(6), width = integer(7);
  const room = integer(8), start = integer(9), scale = float(11);
  const turned = scratch, scores = scratch + floats(width + 4);
  for (let unit = begin; unit < end; unit++) {
    const t = unit % length, head = unit / length % heads, batch = unit / length / heads;
    const row = batch * length + t, place = start + t, count = place + 1;
    const shared = floats((batch * kvHeads + head / (heads / kvHeads)) * room * width);
    let q = address(0) + floats((row * (heads + 2 * kvHeads) + head) * width);
    if (address(3)) {
      turn(q, turned, address(3) + floats(place * width), width / 2, f32x4.splat(1));
      q = turned;
    }
    const most = scoresOf(q, address(1) + shared, width, count, scale, scores);
    const sum = exponentials(scores, count, most);
    const y = address(10) + floats((row * heads + head) * width);
    mix(scores, address(2) + shared, width, count, 1 / sum, y);
  }
}

/** Writes scale times q . k of each key; returns the largest. A NaN may be passed over: its exponential is NaN all the same. */
function scoresOf(q: usize, k: usize, width: i32, count: i32, scale: f32, to: usize): f32 {
  const rowBytes = floats(width), scales = f32x4.splat(scale);
  let most = f32x4.splat(-Infinity);
  for (let j = 0; j < count; j += 4, k += 4 * rowBytes, to += 16) {
    const last = <usize> min(3, count - j - 1);
    const products = dots(
      q,
      k,
      k + min(1, last) * rowBytes,
      k + min(2, last) * rowBytes,
      k + last * rowBytes,
      width,
    );
    const scaled = f32x4.mul(products, scales);
    most = f32x4.pmax(most, scaled);
    v128.store(to, scaled);
  }
  return maxLanes(most);
}

/** The products of one query with four keys. */
function dots(q: usize, k0: usize, k1: usize, k2: usize, k3: usize, width: i32): v128 {
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0, i = 0;
  for (; i + 4 <= width; i += 4) {
    const at = floats(i), x = v128.load(q + at);
    s0 = fma(x, v128.load(k0 + at), s0), s1 = fma(x, v128.load(k1 + at), s1);
    s2 = fma(x, v128.load(k2 + at), s2), s3 = fma(x, v128.load(k3 + at), s3);
  }
  if (i < width) {
    const at = floats(i), x = v128.load(q + at), real = firstLanes(width - i);
    s0 = f32x4.add(s0, v128.and(real, f32x4.mul(x, v128.load(k0 + at))));
    s1 = f32x4.add(s1, v128.and(real, f32x4.mul(x, v128.load(k1 + at))));
    s2 = f32x4.add(s2, v128.and(real, f32x4.mul(x, v128.load(k2 + at))));
    s3 = f32x4.add(s3, v128.and(real, f32x4.mul(x, v128.load(k3 + at))));
  }
  const s01 = f32x4.add(
    v128.shuffle<f32>(s0, s1, 0, 4, 1, 5),
    v128.shuffle<f32>(s0, s1, 2, 6, 3, 7),
  );
  const s23 = f32x4.add(
    v128.shuffle<f32>(s2, s3, 0, 4, 1, 5),
    v128.shuffle<f32>(s2, s3, 2, 6, 3, 7),
  );
  return f32x4.add(v128.shuffle<i64>(s01, s23, 0, 2), v128.shuffle<i64>(s01, s23, 1, 3));
}

/** e^(x - most) in place of each of `count` numbers; returns their sum. */
function exponentials(x: usize, count: i32, most: f32): f32 {
  const shift = f32x4.splat(most);
  let sum = f32x4.splat(0);
  for (let j = 0; j < count; j += 4, x += 16) {
    const e = exp(f32x4.sub(v128.load(x), shift));
    sum = f32x4.add(sum, v128.and(e, firstLanes(count - j)));
    v128.store(x, e);
  }
  return sumLanes(sum);
}

/** y = factor times the sum of the values, each with its weight. */
function mix(weights: usize, v: usize, width: i32, count: i32, factor: f32, y: usize): void {
  const rowBytes = floats(width), end = weights + floats(count), factors = f32x4.splat(factor);
  for (let j = 0; j < width; j += GROUP) {
    let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
    let row = v + floats(j);
    for (let weight = weights; weight < end; weight += 4, row += rowBytes) {
      const w = v128.load_splat<f32>(weight);
      s0 = fma(w, v128.load(row), s0), s1 = fma(w, v128.load(row, 16), s1);
      s2 = fma(w, v128.load(row, 32), s2), s3 = fma(w, v128.load(row, 48), s3);
      s4 = fma(w, v128.load(row, 64), s4), s5 = fma(w, v128.load(row, 80), s5);
      s6 = fma(w, v128.load(row, 96), s6), s7 = fma(w, v128.load(row, 112), s7);
    }
    const to = y + floats(j), rest = width - j;
    put(to, f32x4.mul(s0, factors), rest), put(to + 16, f32x4.mul(s1, factors), rest - 4);
    put(to + 32, f32x4.mul(s2, factors), rest - 8), put(to + 48, f32x4.mul(s3, factors), rest - 12);
    put(to + 64, f32x4.mul(s4, factors), rest - 16),
      put(to + 80, f32x4.mul(s5, factors), rest - 20);
    put(to + 96, f32x4.mul(s6, factors), rest - 24),
      put(to + 112, f32x4.mul(s7, factors), rest - 28);
  }
}

/** Stores the first `count` lanes, all if there are more, none if there are less than one. */
function put(at: usize, v: v128, count: i32): void {
  if (count > 0) storeLanes(at, v, count);
}
