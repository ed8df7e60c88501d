// The root of the sum of squares, in two runs: some workgroups sum a part each, then one sums the parts and takes the root.
@group(0) @binding(0) var<uniform> size: u32;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;

var<workgroup> partial: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  var sum = 0.0;
  for (var i = group.x * 256u + thread; i < size; i += groups.x * 256u) {
    //PARTS sum += x[i] * x[i];
    //TOTAL sum += x[i];
  }
  partial[thread] = sum;
  workgroupBarrier();
  for (var half = 128u; half > 0u; half /= 2u) {
    if (thread < half) { partial[thread] += partial[thread + half]; }
    workgroupBarrier();
  }
  if (thread > 0u) { return; }
  //PARTS result[group.x] = partial[0];
  //TOTAL result[0] = sqrt(partial[0]);
}
