/** Layer norm (Ba, Kiros & Hinton 2016) and its gradient. */
import { firstLanes, fma, storeLanes, sumLanes } from "./vector";
import { address, float, floats, integer } from "./job";
import { COLUMN_GROUP } from "./codes";

/** The four floats at `at`, with 0 for those past the first `count`. */
function loadFirst(at: usize, count: i32): v128 {
  return v128.and(v128.load(at), firstLanes(count));
}

/** Units: rows. Arguments: x, gain, bias or 0, y, statistics (mean and 1/deviation of each row), width, epsilon. */
export function layerNorm(begin: i32, end: i32): void {
  const gain = address(1), bias = address(2), width = integer(5);
  const perElement: f32 = 1 / <f32> width, epsilon = float(6), rowBytes = floats(width);
  for (let i = begin; i < end; i++) {
    const x = address(0) + i * rowBytes,
      y = address(3) + i * rowBytes,
      statistics = address(4) + (i << 3);
    let sum = f32x4.splat(0);
    for (let j = 0; j < width; j += 4) sum = f32x4.add(sum, loadFirst(x + floats(j), width - j));
    const mean = f32x4.splat(sumLanes(sum) * perElement);
    let squares = f32x4.splat(0);
    for (let j = 0; j < width; j += 4) {
      const centred = v128.and(f32x4.sub(v128.load(x + floats(j)), mean), firstLanes(width - j));
      squares = fma(centred, centred, squares);
    }
    const scale: f32 = 1 / sqrt<f32>(sumLanes(squares) * perElement + epsilon);
    store<f32>(statistics, f32x4.extract_lane(mean, 0)), store<f32>(statistics, scale, 4);
    const scales = f32x4.splat(scale);
    for (let j = 0; j < width; j += 4) {
      const at = floats(j);
      const normal = f32x4.mul(f32x4.sub(v128.load(x + at), mean), scales);
      const shift = bias ? v128.load(bias + at) : f32x4.splat(0);
      storeLanes(y + at, fma(normal, v128.load(gain + at), shift), width - j);
    }
  }
}

/** Units: rows. Arguments: x, gain, statistics, dy, dx, width. */
export function layerNormGrad(begin: i32, end: i32): void {
  const gain = address(1),
    width = integer(5),
    perElement: f32 = 1 / <f32> width,
    rowBytes = floats(width);
  for (let i = begin; i < end; i++) {
    const x = address(0) + i * rowBytes,
      dy = address(3) + i * rowBytes,
      dx = address(4) + i * rowBytes;
    const statistics = address(2) + (i << 3);
    const mean = v128.load_splat<f32>(statistics), scale = v128.load_splat<f32>(statistics, 4);
    let sum = f32x4.splat(0), product = f32x4.splat(0);
    for (let j = 0; j < width; j += 4) {
      const at = floats(j), lanes = firstLanes(width - j);
      const normal = f32x4.mul(f32x4.sub(v128.load(x + at), mean), scale);
      const d = v128.and(f32x4.mul(v128.load(dy + at), v128.load(gain + at)), lanes);
      sum = f32x4.add(sum, d);
      product = f32x4.add(product, v128.and(f32x4.mul(d, normal), lanes));
    }
    const meanD = f32x4.splat(sumLanes(sum) * perElement),
      meanProduct = f32x4.splat(sumLanes(product) * perElement);
    for (let j = 0; j < width; j += 4) {
      const at = floats(j);
      const normal = f32x4.mul(f32x4.sub(v128.load(x + at), mean), scale);
      const d = f32x4.mul(v128.load(dy + at), v128.load(gain + at));
      const centred = f32x4.sub(f32x4.sub(d, meanD), f32x4.mul(normal, meanProduct));
      storeLanes(dx + at, f32x4.mul(scale, centred), width - j);
    }
  }
}

/** Units: groups of columns. Arguments: x, statistics, dy, dGain, dBias or 0, width, rows. */
export function layerNormGradParameters(begin: i32, end: i32): void {
  const width = integer(5), rows = integer(6), rowBytes = floats(width);
  for (let j = begin * COLUMN_GROUP; j < min(end * COLUMN_GROUP, width); j += 4) {
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
    storeLanes(address(3) + at, gain, width - j);
    if (address(4)) storeLanes(address(4) + at, bias, width - j);
  }
}
