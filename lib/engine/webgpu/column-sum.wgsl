// The sum of all rows. One workgroup of 256 threads sums COLUMNS columns: 16, or 256 on software adapters, where no thread then waits
// for another.
struct Sizes { rows: u32, width: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;

var<workgroup> partial: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let column = (group.y * groups.x + group.x) * COLUMNS + thread % COLUMNS;
  var sum = 0.0;
  if (column < sizes.width) {
    for (var row = thread / COLUMNS; row < sizes.rows; row += 256u / COLUMNS) { sum += x[row * sizes.width + column]; }
  }
  if (COLUMNS < 256u) {
    partial[thread] = sum;
    workgroupBarrier();
    for (var half = 128u; half >= COLUMNS; half /= 2u) {
      if (thread < half) { partial[thread] += partial[thread + half]; }
      workgroupBarrier();
    }
    sum = partial[thread];
  }
  if (thread < COLUMNS && column < sizes.width) { sums[column] = sum; }
}
