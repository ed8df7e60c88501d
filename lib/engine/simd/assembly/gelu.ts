/** GELU in GPT-2's tanh form (Hendrycks & Gimpel 2016), and its gradient. */
import { fma, storeLanes, tanh } from "./vector";
import { address, floats, integer } from "./job";
import { BLOCK } from "./codes";

/** tanh(sqrt(2/pi) (x + 0.044715 x^3)) */
function gate(x: v128): v128 {
  const cubic = fma(f32x4.mul(x, x), f32x4.splat(0.044715), f32x4.splat(1));
  return tanh(f32x4.mul(f32x4.mul(x, f32x4.splat(0.7978845608028654)), cubic));
}

/** Units: blocks of elements. Arguments: x, y, size. */
export function gelu(begin: i32, end: i32): void {
  const from = address(0), to = address(1), size = integer(2), last = min(end * BLOCK, size);
  for (let i = begin * BLOCK; i < last; i += 4) {
    const x = v128.load(from + floats(i)), half = f32x4.mul(x, f32x4.splat(0.5));
    storeLanes(to + floats(i), fma(half, gate(x), half), size - i);
  }
}

/** Units: blocks of elements. Arguments: x, dy, dx, size. */
export function geluGrad(begin: i32, end: i32): void {
  const from = address(0), dy = address(1), dx = address(2), size = integer(3);
  const last = min(end * BLOCK, size), one = f32x4.splat(1);
  for (let i = begin * BLOCK; i < last; i += 4) {
    const x = v128.load(from + floats(i)), t = gate(x);
    // The derivative of the gate's argument: sqrt(2/pi) (1 + 3 * 0.044715 x^2).
    const inner = fma(f32x4.mul(x, x), f32x4.splat(0.1070322243), f32x4.splat(0.7978845608028654));
    const slope = f32x4.mul(f32x4.mul(x, inner), f32x4.sub(one, f32x4.mul(t, t)));
    const d = f32x4.mul(f32x4.splat(0.5), f32x4.add(f32x4.add(one, t), slope));
    storeLanes(dx + floats(i), f32x4.mul(d, v128.load(dy + floats(i))), size - i);
  }
}
