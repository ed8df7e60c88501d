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
    const cosines = table + floats(row % length * 2 * half), sines = cosines + floats(half);
    const x = from + row * rowBytes, y = to + row * rowBytes;
    memory.copy(y + 2 * channels, x + 2 * channels, channels);
    for (let head = 0; head < 2 * heads; head++) {
      const start = floats(head * 2 * half);
      for (let i = 0; i < half; i += 4) {
        const first = start + floats(i), second = first + floats(half);
        const cos = v128.load(cosines + floats(i));
        const sin = f32x4.mul(v128.load(sines + floats(i)), direction);
        const a = v128.load(x + first), b = v128.load(x + second);
        const turned = f32x4.sub(f32x4.mul(a, cos), f32x4.mul(b, sin));
        const other = f32x4.add(f32x4.mul(a, sin), f32x4.mul(b, cos));
        storeLanes(y + first, turned, half - i);
        storeLanes(y + second, other, half - i);
      }
    }
  }
}
