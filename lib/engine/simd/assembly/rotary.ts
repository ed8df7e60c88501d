// @ts-nocheck: AssemblyScript, which tools/build-simd.ts compiles.
/** Rotary positions (Su et al. 2021, arXiv:2104.09864) on packed queries, keys and values. */
import { storeLanes } from "./vector.ts";
import { address, float, floats, integer } from "./job.ts";

/**
 * Turns number i of each query and key head with number i + half, by the angles of the row's position; values are
 * copied.
 *
 * Units: rows. Arguments: qkv, y, table (for each position `half` cosines, then `half` sines), length, heads, half,
 * direction (1, or -1 to turn back).
 */
export function rotary(begin: i32, end: i32): void {
  const from = address(0), to = address(1), table = address(2);
  const length = integer(3), heads = integer(4), half = integer(5);
  const direction = f32x4.splat(float(6));
  const channels = floats(2 * half * heads), rowBytes = 3 * channels;
  for (let row = begin; row < end; row++) {
    const cosines = table + floats(row % length * 2 * half);
    const x = from + row * rowBytes, y = to + row * rowBytes;
    memory.copy(y + 2 * channels, x + 2 * channels, channels);
    for (let head = 0; head < 2 * heads; head++) {
      const start = floats(head * 2 * half);
      turn(x + start, y + start, cosines, half, direction);
    }
  }
}

/**
 * Turns one head, y = x turned by the angles whose cosines and sines stand at `angles`.
 *
 * @param direction 1 in all lanes, or -1 to turn back
 */
export function turn(x: usize, y: usize, angles: usize, half: i32, direction: v128): void {
  const sines = angles + floats(half), xOther = x + floats(half), yOther = y + floats(half);
  for (let i = 0; i < half; i += 4) {
    const at = floats(i);
    const cos = v128.load(angles + at), sin = f32x4.mul(v128.load(sines + at), direction);
    const a = v128.load(x + at), b = v128.load(xOther + at);
    const turned = f32x4.sub(f32x4.mul(a, cos), f32x4.mul(b, sin));
    const other = f32x4.add(f32x4.mul(a, sin), f32x4.mul(b, cos));
    storeLanes(y + at, turned, half - i);
    storeLanes(yOther + at, other, half - i);
  }
}
