// @ts-nocheck: AssemblyScript, which tools/build-simd.ts compiles.
/** AdamW (Loshchilov & Hutter 2019), and the sum of squares that gradient clipping needs. */
import { firstLanes, fma, storeLanes } from "./vector.ts";
import { address, double, float, floats, integer } from "./job.ts";
import { BLOCK, SQUARE_SUM_BLOCK } from "./codes.ts";

/**
 * Units: blocks of elements. Arguments: parameter, gradient, first moment, second moment (all but the gradient are
 * updated in place), size, learningRate, beta1, beta2, 1 - beta1^step, 1 - beta2^step, epsilon, weightDecay, and
 * a factor for the gradient.
 */
export function adamW(begin: i32, end: i32): void {
  const size = integer(4), beta1 = f32x4.splat(float(6)), beta2 = f32x4.splat(float(7));
  const rest1 = f32x4.splat(<f32> (1 - double(6))), rest2 = f32x4.splat(<f32> (1 - double(7)));
  const step = f32x4.splat(<f32> (-double(5) / double(8))),
    correction2 = f32x4.splat(<f32> (1 / double(9)));
  const epsilon = f32x4.splat(float(10)), keep = f32x4.splat(<f32> (1 - double(5) * double(11)));
  const factor = f32x4.splat(float(12));
  const parameter = address(0), gradient = address(1), moment1 = address(2), moment2 = address(3);
  const last = min(end * BLOCK, size);
  for (let i = begin * BLOCK; i < last; i += 4) {
    const at = floats(i), rest = size - i;
    const g = f32x4.mul(v128.load(gradient + at), factor);
    const m = fma(v128.load(moment1 + at), beta1, f32x4.mul(g, rest1));
    const v = fma(v128.load(moment2 + at), beta2, f32x4.mul(f32x4.mul(g, g), rest2));
    const update = f32x4.div(m, f32x4.add(f32x4.sqrt(f32x4.mul(v, correction2)), epsilon));
    storeLanes(moment1 + at, m, rest);
    storeLanes(moment2 + at, v, rest);
    storeLanes(parameter + at, fma(step, update, f32x4.mul(v128.load(parameter + at), keep)), rest);
  }
}

/** Units: blocks of SQUARE_SUM_BLOCK elements. Arguments: x, sums (float64, one per unit), size. */
export function squareSum(begin: i32, end: i32): void {
  const from = address(0), sums = address(1), size = integer(2);
  for (let unit = begin; unit < end; unit++) {
    const last = min((unit + 1) * SQUARE_SUM_BLOCK, size);
    let low = f64x2.splat(0), high = f64x2.splat(0);
    for (let i = unit * SQUARE_SUM_BLOCK; i < last; i += 4) {
      const x = v128.and(v128.load(from + floats(i)), firstLanes(last - i));
      const a = f64x2.promote_low_f32x4(x),
        b = f64x2.promote_low_f32x4(v128.shuffle<f32>(x, x, 2, 3, 0, 1));
      low = f64x2.add(low, f64x2.mul(a, a));
      high = f64x2.add(high, f64x2.mul(b, b));
    }
    const sum = f64x2.add(low, high);
    store<f64>(sums + (unit << 3), f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1));
  }
}
