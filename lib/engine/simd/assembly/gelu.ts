// @ts-nocheck: AssemblyScript, which tools/build-simd.ts compiles.
/** GELU in GPT-2's tanh form (Hendrycks & Gimpel 2016), and its gradient. */
import { constant, fma, storeLanes, tanh } from "./vector.ts";
import { address, floats, integer } from "./job.ts";
import { BLOCK } from "./codes.ts";

/** sqrt(2/pi), 0.044715, 3 * 0.044715, 1, 1/2 */
const GELU: usize = memory.data<f32>([0.7978845608028654, 0.044715, 0.134145, 1, 0.5]);

/** tanh(sqrt(2/pi) (x + 0.044715 x^3)) */
function gate(x: v128, square: v128): v128 {
  const cubic = fma(square, constant(GELU, 1), constant(GELU, 3));
  return tanh(f32x4.mul(f32x4.mul(x, constant(GELU, 0)), cubic));
}

/** Units: blocks of elements. Arguments: x, y, size. */
export function gelu(begin: i32, end: i32): void {
  const from = address(0), to = address(1), size = integer(2), last = min(end * BLOCK, size);
  for (let i = begin * BLOCK; i < last; i += 4) {
    const x = v128.load(from + floats(i)), half = f32x4.mul(x, constant(GELU, 4));
    storeLanes(to + floats(i), fma(half, gate(x, f32x4.mul(x, x)), half), size - i);
  }
}

/** Units: blocks of elements. Arguments: x, dy, dx, size. */
export function geluGrad(begin: i32, end: i32): void {
  const from = address(0), dy = address(1), dx = address(2), size = integer(3);
  const last = min(end * BLOCK, size);
  for (let i = begin * BLOCK; i < last; i += 4) {
    const x = v128.load(from + floats(i)), square = f32x4.mul(x, x), t = gate(x, square);
    const one = constant(GELU, 3);
    const inner = f32x4.mul(fma(square, constant(GELU, 2), one), constant(GELU, 0));
    const slope = f32x4.mul(f32x4.mul(x, inner), f32x4.sub(one, f32x4.mul(t, t)));
    const d = f32x4.mul(constant(GELU, 4), f32x4.add(f32x4.add(one, t), slope));
    storeLanes(dx + floats(i), f32x4.mul(d, v128.load(dy + floats(i))), size - i);
  }
}
