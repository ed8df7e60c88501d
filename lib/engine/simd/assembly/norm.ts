// @ts-nocheck: AssemblyScript, which tools/build-simd.ts compiles.
/** Layer norm (Ba, Kiros & Hinton 2016) and its gradient. */
import { firstLanes, fma, storeLanes, sumLanes } from "./vector.ts";
import { address, float, floats, integer } from "./job.ts";
import { COLUMN_GROUP } from "./codes.ts";

/**
 * Units: rows.
 * Arguments: x, gain, bias or 0, y, statistics (mean and 1/deviation of each row), width, epsilon.
 */
export function layerNorm(begin: i32, end: i32): void {
  const gain = address(1), bias = address(2), width = integer(5), rowBytes = floats(width);
  const perElement: f32 = 1 / <f32> width, epsilon = float(6);
  let x = address(0) + begin * rowBytes, y = address(3) + begin * rowBytes;
  let statistics = address(4) + (begin << 3);
  for (let i = begin; i < end; i++) {
    const mean = rowSum(x, width) * perElement;
    const scale: f32 = 1 / sqrt<f32>(rowSquares(x, width, mean) * perElement + epsilon);
    store<f32>(statistics, mean), store<f32>(statistics, scale, 4);
    const means = f32x4.splat(mean), scales = f32x4.splat(scale);
    for (let j = 0; j < width; j += 4) {
      const at = floats(j);
      const normal = f32x4.mul(f32x4.sub(v128.load(x + at), means), scales);
      const shift = bias ? v128.load(bias + at) : f32x4.splat(0);
      storeLanes(y + at, fma(normal, v128.load(gain + at), shift), width - j);
    }
    x += rowBytes, y += rowBytes, statistics += 8;
  }
}

/** The sum of `width` floats: two sums side by side, because each waits for its last addition. */
export function rowSum(x: usize, width: i32): f32 {
  let even = f32x4.splat(0), odd = even, j = 0;
  for (; j + 8 <= width; j += 8) {
    even = f32x4.add(even, v128.load(x + floats(j)));
    odd = f32x4.add(odd, v128.load(x + floats(j + 4)));
  }
  for (; j < width; j += 4) {
    even = f32x4.add(even, v128.and(v128.load(x + floats(j)), firstLanes(width - j)));
  }
  return sumLanes(f32x4.add(even, odd));
}

/** The sum of the squared differences of `width` floats from `mean`. */
function rowSquares(x: usize, width: i32, mean: f32): f32 {
  const means = f32x4.splat(mean);
  let even = f32x4.splat(0), odd = even, j = 0;
  for (; j + 8 <= width; j += 8) {
    const first = f32x4.sub(v128.load(x + floats(j)), means);
    const second = f32x4.sub(v128.load(x + floats(j + 4)), means);
    even = fma(first, first, even), odd = fma(second, second, odd);
  }
  for (; j < width; j += 4) {
    const centred = f32x4.sub(v128.load(x + floats(j)), means);
    const kept = v128.and(centred, firstLanes(width - j));
    even = fma(kept, kept, even);
  }
  return sumLanes(f32x4.add(even, odd));
}

/** Units: rows. Arguments: x, gain, statistics, dy, dx, width. */
export function layerNormGrad(begin: i32, end: i32): void {
  const gain = address(1), width = integer(5), rowBytes = floats(width);
  const perElement: f32 = 1 / <f32> width;
  let x = address(0) + begin * rowBytes, dy = address(3) + begin * rowBytes;
  let dx = address(4) + begin * rowBytes, statistics = address(2) + (begin << 3);
  for (let i = begin; i < end; i++) {
    const mean = v128.load_splat<f32>(statistics), scale = v128.load_splat<f32>(statistics, 4);
    let sum = f32x4.splat(0), product = f32x4.splat(0);
    for (let j = 0; j < width; j += 4) {
      const at = floats(j), lanes = firstLanes(width - j);
      const normal = f32x4.mul(f32x4.sub(v128.load(x + at), mean), scale);
      const d = v128.and(f32x4.mul(v128.load(dy + at), v128.load(gain + at)), lanes);
      sum = f32x4.add(sum, d);
      product = f32x4.add(product, v128.and(f32x4.mul(d, normal), lanes));
    }
    const meanD = f32x4.splat(sumLanes(sum) * perElement);
    const meanProduct = f32x4.splat(sumLanes(product) * perElement);
    for (let j = 0; j < width; j += 4) {
      const at = floats(j);
      const normal = f32x4.mul(f32x4.sub(v128.load(x + at), mean), scale);
      const d = f32x4.mul(v128.load(dy + at), v128.load(gain + at));
      const centred = f32x4.sub(f32x4.sub(d, meanD), f32x4.mul(normal, meanProduct));
      storeLanes(dx + at, f32x4.mul(scale, centred), width - j);
    }
    x += rowBytes, dy += rowBytes, dx += rowBytes, statistics += 8;
  }
}

/** Units: groups of columns. Arguments: x, statistics, dy, dGain, dBias, width, rows. */
export function layerNormGradParameters(begin: i32, end: i32): void {
  const width = integer(5), rows = integer(6), rowBytes = floats(width);
  const dGain = address(3), dBias = address(4), last = min(end * COLUMN_GROUP, width);
  for (let j = begin * COLUMN_GROUP; j < last; j += 4) {
    const at = floats(j);
    let x = address(0) + at, statistics = address(1), dy = address(2) + at;
    let gain = f32x4.splat(0), bias = f32x4.splat(0);
    for (let i = 0; i < rows; i++) {
      const mean = v128.load_splat<f32>(statistics), scale = v128.load_splat<f32>(statistics, 4);
      const d = v128.load(dy);
      gain = fma(d, f32x4.mul(f32x4.sub(v128.load(x), mean), scale), gain);
      bias = f32x4.add(bias, d);
      x += rowBytes, dy += rowBytes, statistics += 8;
    }
    storeLanes(dGain + at, gain, width - j);
    storeLanes(dBias + at, bias, width - j);
  }
}
