// C = A · B (+ bias), any sizes, any of the two transposed, without fast memory: for software adapters, where a barrier costs more
// than it saves. Each thread computes ROWS × 4 numbers.
struct Sizes {
  rows: u32, columns: u32, depth: u32,
  aRow: u32, aColumn: u32, bRow: u32, bColumn: u32, // steps in memory, in numbers
  aBatch: u32, bBatch: u32,
}
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> c: array<f32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<f32>;
//BIAS @group(0) @binding(4) var<storage, read> bias: array<f32>;

@compute @workgroup_size(8, 1)
fn main(@builtin(global_invocation_id) place: vec3u) {
  let column = place.x * 4u;
  let row = place.y * ROWS;
  if (column >= sizes.columns || row >= sizes.rows) { return; }
  let lastRow = sizes.rows - 1u;
  let lastColumn = sizes.columns - 1u;
  let aStart = place.z * sizes.aBatch;
  let bStart = place.z * sizes.bBatch;
  let right0 = bStart + column * sizes.bColumn;
  let right1 = bStart + min(column + 1u, lastColumn) * sizes.bColumn;
  let right2 = bStart + min(column + 2u, lastColumn) * sizes.bColumn;
  let right3 = bStart + min(column + 3u, lastColumn) * sizes.bColumn;
  // Lines with $r stand ROWS times, once for each row: a list that is indexed in a loop would lie in slow memory.
  let left$r = aStart + min(row + $ru, lastRow) * sizes.aRow;
  var sum$r = vec4f(0.0);
  for (var k = 0u; k < sizes.depth; k++) {
    let bk = k * sizes.bRow;
    let right = vec4f(b[right0 + bk], b[right1 + bk], b[right2 + bk], b[right3 + bk]);
    let ak = k * sizes.aColumn;
    sum$r = fma(vec4f(a[left$r + ak]), right, sum$r);
  }
  //BIAS let last = min(vec4u(column) + vec4u(0u, 1u, 2u, 3u), vec4u(lastColumn));
  //BIAS let more = vec4f(bias[last.x], bias[last.y], bias[last.z], bias[last.w]);
  //BIAS sum$r += more;
  let start = (place.z * sizes.rows + row) * sizes.columns + column;
  if (row + $ru <= lastRow) { c[start + $ru * sizes.columns] = sum$r.x; }
  if (row + $ru <= lastRow && column + 1u <= lastColumn) { c[start + $ru * sizes.columns + 1u] = sum$r.y; }
  if (row + $ru <= lastRow && column + 2u <= lastColumn) { c[start + $ru * sizes.columns + 2u] = sum$r.z; }
  if (row + $ru <= lastRow && column + 3u <= lastColumn) { c[start + $ru * sizes.columns + 3u] = sum$r.w; }
}
