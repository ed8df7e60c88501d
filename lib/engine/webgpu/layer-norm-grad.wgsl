// The gradients of layer norm, in one dispatch: the first workgroups compute a row of dx each, the others 16 columns of
// dGain and dBias each.
struct Sizes { width: u32, rows: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
@group(0) @binding(2) var<storage, read_write> dGain: array<f32>;
@group(0) @binding(3) var<storage, read_write> dBias: array<f32>;
@group(0) @binding(4) var<storage, read> x: array<f32>;
@group(0) @binding(5) var<storage, read> gain: array<f32>;
@group(0) @binding(6) var<storage, read> statistics: array<vec2f>;
@group(0) @binding(7) var<storage, read> dy: array<f32>;

const THREADS = 64u;
const COLUMNS = 16u;
var<workgroup> partial: array<vec2f, 64>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let task = group.y * groups.x + group.x;
  let isRow = task < sizes.rows;
  let column = (task - sizes.rows) * COLUMNS + thread % COLUMNS;
  var sums = vec2f(0.0);
  if (isRow) {
    let s = statistics[task];
    for (var i = thread; i < sizes.width; i += THREADS) {
      let at = task * sizes.width + i;
      let push = dy[at] * gain[i];
      sums += vec2f(push, push * (x[at] - s.x) * s.y);
    }
  } else if (column < sizes.width) {
    for (var row = thread / COLUMNS; row < sizes.rows; row += THREADS / COLUMNS) {
      let at = row * sizes.width + column;
      let s = statistics[row];
      sums += vec2f(dy[at] * (x[at] - s.x) * s.y, dy[at]);
    }
  }
  partial[thread] = sums;
  workgroupBarrier();
  // A row needs the sum of all threads, columns only of those that share the column.
  let stop = select(COLUMNS, 1u, isRow);
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    if (thread < half && half >= stop) { partial[thread] += partial[thread + half]; }
    workgroupBarrier();
  }
  if (isRow) {
    let s = statistics[task];
    let means = partial[0] / f32(sizes.width);
    for (var i = thread; i < sizes.width; i += THREADS) {
      let at = task * sizes.width + i;
      let normal = (x[at] - s.x) * s.y;
      dx[at] = s.y * (dy[at] * gain[i] - means.x - normal * means.y);
    }
  } else if (thread < COLUMNS && column < sizes.width) {
    dGain[column] = partial[thread].x;
    dBias[column] = partial[thread].y;
  }
}
