// Rows of a table by ids. The id of no row gives NaN.
struct Sizes { count: u32, width: u32, vocab: u32 } // count of numbers to write
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;
@group(0) @binding(2) var<storage, read> table: array<f32>;
@group(0) @binding(3) var<storage, read> ids: array<i32>;

fn each(i: u32) {
  if (i >= sizes.count) { return; }
  let id = u32(ids[i / sizes.width]);
  // A NaN in bits: WGSL refuses to compute one from constants.
  let nan = bitcast<f32>(0x7fc00000u | (sizes.width & 1u));
  result[i] = select(nan, table[min(id, sizes.vocab - 1u) * sizes.width + i % sizes.width], id < sizes.vocab);
}
