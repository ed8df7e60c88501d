// The gradients of layer norm, in one dispatch: the first workgroups compute dx, a row each as in rows.wgsl, the others COLUMNS columns
// of dGain and dBias each.
struct Sizes { width: u32, rows: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
@group(0) @binding(2) var<storage, read_write> dGain: array<f32>;
@group(0) @binding(3) var<storage, read_write> dBias: array<f32>;
@group(0) @binding(4) var<storage, read> x: array<f32>;
@group(0) @binding(5) var<storage, read> gain: array<f32>;
@group(0) @binding(6) var<storage, read> statistics: array<vec2f>;
@group(0) @binding(7) var<storage, read> dy: array<f32>;

const COLUMNS = 16u;
var<workgroup> partial: array<vec2f, LANES>;

// The sums of a row's push and push · normal, or of a column's gradients of gain and bias, as far as this thread adds them.
fn sumsOf(isRow: bool, row: u32, lane: u32, column: u32, part: u32) -> vec2f {
  var sums = vec2f(0.0);
  if (isRow) {
    let s = statistics[row];
    for (var i = lane; i < sizes.width; i += LANES) {
      let at = row * sizes.width + i;
      let push = dy[at] * gain[i];
      sums += vec2f(push, push * (x[at] - s.x) * s.y);
    }
  } else if (column < sizes.width) {
    for (var r = part; r < sizes.rows; r += LANES / COLUMNS) {
      let at = r * sizes.width + column;
      let s = statistics[r];
      sums += vec2f(dy[at] * (x[at] - s.x) * s.y, dy[at]);
    }
  }
  return sums;
}

fn eachRow(row: u32, lane: u32, thread: u32) {
  let isRow = row < sizes.rows;
  let column = (row - sizes.rows) * COLUMNS + thread % COLUMNS;
  partial[thread] = sumsOf(isRow, row, lane, column, thread / COLUMNS);
  workgroupBarrier();
  // A row needs the sum of all its threads, columns only of those that share the column.
  let stop = select(COLUMNS, 1u, isRow);
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (thread < half && half >= stop) { partial[thread] += partial[thread + half]; }
    workgroupBarrier();
  }
  let sums = partial[select(thread, 0u, isRow)];
  if (isRow) {
    let s = statistics[row];
    let means = sums / f32(sizes.width);
    for (var i = lane; i < sizes.width; i += LANES) {
      let at = row * sizes.width + i;
      let normal = (x[at] - s.x) * s.y;
      dx[at] = s.y * (dy[at] * gain[i] - means.x - normal * means.y);
    }
  } else if (thread < COLUMNS && column < sizes.width) {
    dGain[column] = sums.x;
    dBias[column] = sums.y;
  }
}
