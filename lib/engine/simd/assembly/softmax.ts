// @ts-nocheck: AssemblyScript, which tools/build-simd.ts compiles.
/** Softmax, and cross-entropy against the number of the right class, with gradient. */
import { exp, firstLanes, logOne, maxLanes, storeLanes, sumLanes } from "./vector.ts";
import { address, floats, integer } from "./job.ts";

/** The largest of `width` floats; NaN if one is. */
function largest(x: usize, width: i32): f32 {
  let most = f32x4.splat(-Infinity);
  for (let j = 0; j < width; j += 4) {
    const v = v128.load(x + floats(j));
    most = f32x4.max(most, v128.bitselect(v, f32x4.splat(-Infinity), firstLanes(width - j)));
  }
  return maxLanes(most);
}

/** The sum of e^(x - shift) over `width` floats; each term is written to `to`, unless that is 0. */
function sumExp(x: usize, shift: f32, width: i32, to: usize): f32 {
  const shifts = f32x4.splat(shift);
  let sum = f32x4.splat(0);
  for (let j = 0; j < width; j += 4) {
    const e = exp(f32x4.sub(v128.load(x + floats(j)), shifts));
    sum = f32x4.add(sum, v128.and(e, firstLanes(width - j)));
    if (to) storeLanes(to + floats(j), e, width - j);
  }
  return sumLanes(sum);
}

/** Units: rows. Arguments: x, y, width. */
export function softmax(begin: i32, end: i32): void {
  const width = integer(2), rowBytes = floats(width);
  let x = address(0) + begin * rowBytes, y = address(1) + begin * rowBytes;
  for (let i = begin; i < end; i++, x += rowBytes, y += rowBytes) {
    const factor = f32x4.splat(1 / sumExp(x, largest(x, width), width, y));
    for (let j = 0; j < width; j += 4) {
      storeLanes(y + floats(j), f32x4.mul(v128.load(y + floats(j)), factor), width - j);
    }
  }
}

/** Units: rows. Arguments: x, y, width. y[i] = the largest number of row i. */
export function maxRows(begin: i32, end: i32): void {
  const x = address(0), y = address(1), width = integer(2);
  for (let i = begin; i < end; i++) {
    store<f32>(y + floats(i), largest(x + floats(i * width), width));
  }
}

/**
 * Units: rows. Arguments: logits, targets (int32), losses, logSumExps, width.
 * A target outside [0, width) gives NaN.
 */
export function crossEntropy(begin: i32, end: i32): void {
  const logits = address(0), targets = address(1), losses = address(2), logSumExps = address(3);
  const width = integer(4);
  for (let i = begin; i < end; i++) {
    const x = logits + floats(i * width), target = load<i32>(targets + floats(i));
    const most = largest(x, width), logSumExp = most + logOne(sumExp(x, most, width, 0));
    const known = <u32> target < <u32> width;
    store<f32>(losses + floats(i), known ? logSumExp - load<f32>(x + floats(target)) : NaN);
    store<f32>(logSumExps + floats(i), logSumExp);
  }
}

/** Units: rows. Arguments: logits, targets (int32), logSumExps, dLosses, dLogits, width. */
export function crossEntropyGrad(begin: i32, end: i32): void {
  const logits = address(0), targets = address(1), logSumExps = address(2);
  const dLosses = address(3), dLogits = address(4), width = integer(5);
  for (let i = begin; i < end; i++) {
    const x = logits + floats(i * width), dx = dLogits + floats(i * width);
    const target = load<i32>(targets + floats(i)), known = <u32> target < <u32> width;
    const d: f32 = known ? load<f32>(dLosses + floats(i)) : NaN;
    const shift = v128.load_splat<f32>(logSumExps + floats(i));
    for (let j = 0; j < width; j += 4) {
      const p = exp(f32x4.sub(v128.load(x + floats(j)), shift));
      storeLanes(dx + floats(j), f32x4.mul(p, f32x4.splat(d)), width - j);
    }
    if (known) store<f32>(dx + floats(target), load<f32>(dx + floats(target)) - d);
  }
}
