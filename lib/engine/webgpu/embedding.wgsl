// Rows of a table by ids. The id of no row gives NaN.
struct Sizes { count: u32, width: u32, vocab: u32 } // count of numbers to write
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;
@group(0) @binding(2) var<storage, read> table: array<f32>;
@group(0) @binding(3) var<storage, read> ids: array<i32>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (group.y * groups.x + group.x) * 256u + thread;
  if (i >= sizes.count) { return; }
  let id = u32(ids[i / sizes.width]);
  // A NaN in bits: WGSL refuses to compute one from constants.
  let nan = bitcast<f32>(0x7fc00000u | (sizes.width & 1u));
  result[i] = select(nan, table[min(id, sizes.vocab - 1u) * sizes.width + i % sizes.width], id < sizes.vocab);
}
