// y = (x - mean) / √(variance + epsilon) · gain + bias. One workgroup normalises one row.
struct Sizes { rows: u32, width: u32, epsilon: f32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> statistics: array<vec2f>; // mean, 1 / √(variance + epsilon)
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read> gain: array<f32>;
//BIAS @group(0) @binding(5) var<storage, read> bias: array<f32>;

const THREADS = 64u;
var<workgroup> partial: array<f32, 64>;

fn sumOverThreads(thread: u32, value: f32) -> f32 {
  partial[thread] = value;
  workgroupBarrier();
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    if (thread < half) { partial[thread] += partial[thread + half]; }
    workgroupBarrier();
  }
  let sum = partial[0];
  workgroupBarrier();
  return sum;
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = group.y * groups.x + group.x;
  let start = row * sizes.width;
  let isRow = row < sizes.rows;
  var sum = 0.0;
  if (isRow) { for (var i = thread; i < sizes.width; i += THREADS) { sum += x[start + i]; } }
  let mean = sumOverThreads(thread, sum) / f32(sizes.width);
  var squares = 0.0;
  if (isRow) {
    for (var i = thread; i < sizes.width; i += THREADS) {
      let centred = x[start + i] - mean;
      squares += centred * centred;
    }
  }
  let scale = inverseSqrt(sumOverThreads(thread, squares) / f32(sizes.width) + sizes.epsilon);
  if (!isRow) { return; }
  for (var i = thread; i < sizes.width; i += THREADS) {
    var value = (x[start + i] - mean) * scale * gain[i];
    //BIAS value += bias[i];
    y[start + i] = value;
  }
  if (thread == 0u) { statistics[row] = vec2f(mean, scale); }
}
