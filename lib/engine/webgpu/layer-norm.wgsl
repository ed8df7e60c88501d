// y = (x - mean) / √(variance + epsilon) · gain + bias, row by row (rows.wgsl).
struct Sizes { rows: u32, width: u32, epsilon: f32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> statistics: array<vec2f>; // mean, 1 / √(variance + epsilon)
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read> gain: array<f32>;
//BIAS @group(0) @binding(5) var<storage, read> bias: array<f32>;

var<workgroup> partial: array<f32, 64>;

fn sumOverLanes(lane: u32, thread: u32, value: f32) -> f32 {
  if (LANES == 1u) { return value; }
  partial[thread] = value;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) { partial[thread] += partial[thread + half]; }
    workgroupBarrier();
  }
  let sum = partial[thread - lane];
  workgroupBarrier();
  return sum;
}

fn eachRow(row: u32, lane: u32, thread: u32) {
  let start = row * sizes.width;
  let isRow = row < sizes.rows;
  var sum = 0.0;
  if (isRow) { for (var i = lane; i < sizes.width; i += LANES) { sum += x[start + i]; } }
  let mean = sumOverLanes(lane, thread, sum) / f32(sizes.width);
  var squares = 0.0;
  if (isRow) {
    for (var i = lane; i < sizes.width; i += LANES) {
      let centred = x[start + i] - mean;
      squares += centred * centred;
    }
  }
  let scale = inverseSqrt(sumOverLanes(lane, thread, squares) / f32(sizes.width) + sizes.epsilon);
  if (!isRow) { return; }
  for (var i = lane; i < sizes.width; i += LANES) {
    var value = (x[start + i] - mean) * scale * gain[i];
    //BIAS value += bias[i];
    y[start + i] = value;
  }
  if (lane == 0u) { statistics[row] = vec2f(mean, scale); }
}
