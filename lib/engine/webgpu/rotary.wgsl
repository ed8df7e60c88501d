// Rotary positions (Su et al. 2021, arXiv:2104.09864): number i of each query and key head is turned with number i + half, by the
// angle of its position; values are copied. One thread writes one number.
struct Sizes { count: u32, length: u32, channels: u32, half: u32, direction: f32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> result: array<f32>; // [B, T, 3C]
@group(0) @binding(2) var<storage, read> qkv: array<f32>;          // [B, T, 3C]
@group(0) @binding(3) var<storage, read> table: array<f32>;        // for each position `half` cosines, then `half` sines

fn each(i: u32) {
  if (i >= sizes.count) { return; }
  let column = i % (3u * sizes.channels);
  if (column >= 2u * sizes.channels) {
    result[i] = qkv[i];
    return;
  }
  let position = (i / (3u * sizes.channels)) % sizes.length;
  let d = column % (2u * sizes.half);
  let at = position * 2u * sizes.half + d % sizes.half;
  let cos = table[at];
  let sin = table[at + sizes.half] * sizes.direction;
  let isFirst = d < sizes.half;
  let partner = qkv[select(i - sizes.half, i + sizes.half, isFirst)];
  result[i] = qkv[i] * cos + select(partner, -partner, isFirst) * sin;
}
