// @ts-nocheck: AssemblyScript, which tools/build-simd.ts compiles.
/** What the kernels do with four floats at a time. */

/** a * b + c, in one rounding where the engine has relaxed SIMD and the processor has FMA. */
export function fma(a: v128, b: v128, c: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(a, b, c) : f32x4.add(f32x4.mul(a, b), c);
}

/** The sum of the four lanes. */
export function sumLanes(v: v128): f32 {
  return (f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 2)) +
    (f32x4.extract_lane(v, 1) + f32x4.extract_lane(v, 3));
}

/** The largest of the four lanes; NaN if any is. */
export function maxLanes(v: v128): f32 {
  const halves = f32x4.max(v, v128.shuffle<f32>(v, v, 2, 3, 0, 1));
  return max(f32x4.extract_lane(halves, 0), f32x4.extract_lane(halves, 1));
}

/** All bits set in the first `count` lanes, none in the others. */
export function firstLanes(count: i32): v128 {
  return i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(count));
}

/** Stores the first `count` lanes (all four if there are more), and touches nothing after them. */
export function storeLanes(at: usize, v: v128, count: i32): void {
  if (count >= 4) v128.store(at, v);
  else storeFirst(at, v, count);
}

function storeFirst(at: usize, v: v128, count: i32): void {
  store<f32>(at, f32x4.extract_lane(v, 0));
  if (count > 1) store<f32>(at, f32x4.extract_lane(v, 1), 4);
  if (count > 2) store<f32>(at, f32x4.extract_lane(v, 2), 8);
}

// V8 builds a vector constant anew at every use, in three or four instructions; a load from memory takes one.

/** Number `i` of a table of floats, in all lanes. */
export function constant(table: usize, i: i32): v128 {
  return v128.load_splat<f32>(table + (<usize> i << 2));
}

/** Smallest argument, 1/ln 2, 1.5 * 2^23, that + 127, -ln 2 in two parts; then the coefficients. */
const EXP: usize = memory.data<f32>([
  -87.33654,
  1.44269504088896341,
  12582912,
  12583039,
  -0.693359375,
  2.12194440e-4,
  1.9875691500e-4,
  1.3981999507e-3,
  8.3334519073e-3,
  4.1665795894e-2,
  1.6666665459e-1,
  5.0000001201e-1,
  1,
]);

/**
 * e to the power of each lane, within 2 units in the last place; 0 below -87.3, infinity above 88.7, NaN stays.
 * Cephes' expf: x = n ln 2 + r, a polynomial for e^r, and n put into the exponent's bits.
 */
export function exp(x: v128): v128 {
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
  const shifted = f32x4.pmin(fma(x, constant(EXP, 1), constant(EXP, 2)), constant(EXP, 3));
  const n = f32x4.sub(shifted, constant(EXP, 2));
  const r = fma(n, constant(EXP, 5), fma(n, constant(EXP, 4), x));
  const r2 = f32x4.mul(r, r);
  const high = fma(
    fma(constant(EXP, 6), r, constant(EXP, 7)),
    r2,
    fma(constant(EXP, 8), r, constant(EXP, 9)),
  );
  const low = fma(constant(EXP, 10), r, constant(EXP, 11));
  const p = fma(fma(high, r2, low), r2, f32x4.add(r, constant(EXP, 12)));
  const power = i32x4.add(i32x4.shl(shifted, 23), constant(EXP, 12));
  // Above the range this is infinity by itself; below it, nonsense.
  return v128.andnot(f32x4.mul(p, power), f32x4.lt(x, constant(EXP, 0)));
}

/**
 * The natural logarithm of each lane, within 2 units in the last place (AssemblyScript's own keeps tables in memory,
 * where our threads meet). Cephes' logf: x = 2^n (1 + r), a polynomial for log(1 + r).
 */
export function log(x: v128): v128 {
  const one = f32x4.splat(1), isTiny = f32x4.lt(x, f32x4.splat(1.17549435e-38));
  const bits = v128.bitselect(f32x4.mul(x, f32x4.splat(8388608)), x, isTiny);
  const half = v128.or(v128.and(bits, i32x4.splat(0x7fffff)), i32x4.splat(0x3f000000));
  const isLow = f32x4.lt(half, f32x4.splat(0.70710678));
  const exponent = f32x4.convert_i32x4_s(i32x4.sub(i32x4.shr_s(bits, 23), i32x4.splat(126)));
  const shift = f32x4.add(v128.and(one, isLow), v128.and(f32x4.splat(23), isTiny));
  const n = f32x4.sub(exponent, shift);
  const r = f32x4.sub(f32x4.add(half, v128.and(half, isLow)), one), square = f32x4.mul(r, r);
  let p = f32x4.splat(7.0376836292e-2);
  p = fma(p, r, f32x4.splat(-1.1514610310e-1));
  p = fma(p, r, f32x4.splat(1.1676998740e-1));
  p = fma(p, r, f32x4.splat(-1.2420140846e-1));
  p = fma(p, r, f32x4.splat(1.4249322787e-1));
  p = fma(p, r, f32x4.splat(-1.6668057665e-1));
  p = fma(p, r, f32x4.splat(2.0000714765e-1));
  p = fma(p, r, f32x4.splat(-2.4999993993e-1));
  p = fma(p, r, f32x4.splat(3.3333331174e-1));
  p = f32x4.mul(f32x4.mul(p, r), square);
  p = fma(n, f32x4.splat(-2.12194440e-4), p);
  p = fma(square, f32x4.splat(-0.5), p);
  const value = fma(n, f32x4.splat(0.693359375), f32x4.add(r, p));
  const finite = v128.bitselect(value, x, f32x4.lt(x, f32x4.splat(Infinity)));
  const real = v128.bitselect(f32x4.splat(NaN), finite, f32x4.lt(x, f32x4.splat(0)));
  return v128.bitselect(f32x4.splat(-Infinity), real, f32x4.eq(x, f32x4.splat(0)));
}

/** The natural logarithm of one number. */
export function logOne(x: f32): f32 {
  return f32x4.extract_lane(log(f32x4.splat(x)), 0);
}

/** Where the result becomes 1, the sign bit, 1; then the coefficients of numerator and denominator. */
const TANH: usize = memory.data<f32>([
  8.3,
  -0.0,
  1,
  -2.76076847742355e-16,
  2.00018790482477e-13,
  -8.60467152213735e-11,
  5.12229709037114e-08,
  1.48572235717979e-05,
  6.37261928875436e-04,
  4.89352455891786e-03,
  1.19825839466702e-06,
  1.18534705686654e-04,
  2.26843463243900e-03,
  4.89352518554385e-03,
]);

/**
 * The hyperbolic tangent of each lane, within 4e-7: the rational approximation of Eigen (MathFunctionsImpl.h), and
 * exactly 1 or -1 where a float is too coarse for anything else.
 */
export function tanh(x: v128): v128 {
  const s = f32x4.mul(x, x);
  const s2 = f32x4.mul(s, s);
  // Pairs of terms side by side: a chain of seven would keep the processor waiting.
  const high = fma(constant(TANH, 3), s2, fma(constant(TANH, 4), s, constant(TANH, 5)));
  const low = fma(
    fma(constant(TANH, 6), s, constant(TANH, 7)),
    s2,
    fma(constant(TANH, 8), s, constant(TANH, 9)),
  );
  const p = f32x4.mul(x, fma(high, f32x4.mul(s2, s2), low));
  let q = fma(constant(TANH, 10), s, constant(TANH, 11));
  q = fma(q, s, constant(TANH, 12));
  q = fma(q, s, constant(TANH, 13));
  const limit = v128.or(v128.and(x, constant(TANH, 1)), constant(TANH, 2));
  return v128.bitselect(limit, f32x4.div(p, q), f32x4.gt(f32x4.abs(x), constant(TANH, 0)));
}
