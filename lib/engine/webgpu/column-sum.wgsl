// The sum of all rows. One workgroup sums 16 columns; 16 threads share a column.
struct Sizes { rows: u32, width: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;

var<workgroup> partial: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let column = group.x * 16u + thread % 16u;
  var sum = 0.0;
  if (column < sizes.width) {
    for (var row = thread / 16u; row < sizes.rows; row += 16u) { sum += x[row * sizes.width + column]; }
  }
  partial[thread] = sum;
  workgroupBarrier();
  for (var half = 128u; half >= 16u; half /= 2u) {
    if (thread < half) { partial[thread] += partial[thread + half]; }
    workgroupBarrier();
  }
  if (thread < 16u && column < sizes.width) { sums[column] = partial[thread]; }
}
