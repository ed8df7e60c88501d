// C = A · B (+ bias) without fast memory, for software adapters, where a barrier costs more than it saves. Each thread computes
// 8 × 4 numbers; four numbers are loaded at a time, so the lengths of rows in memory are multiples of four.
struct Sizes { rows: u32, columns: u32, depth: u32, aBatch: u32, bBatch: u32 } // batches in vectors of four
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> c: array<vec4f>;
@group(0) @binding(2) var<storage, read> a: array<vec4f>;
@group(0) @binding(3) var<storage, read> b: array<vec4f>;
//BIAS @group(0) @binding(4) var<storage, read> bias: array<vec4f>;

const ROWS = 8u;

@compute @workgroup_size(8, 1)
fn main(@builtin(global_invocation_id) place: vec3u) {
  let column = place.x;
  let row0 = place.y * ROWS;
  let columns = sizes.columns / 4u;
  let depth = sizes.depth / 4u;
  if (column >= columns || row0 >= sizes.rows) { return; }
  let last = sizes.rows - 1u;
  let aStart = place.z * sizes.aBatch;
  let bStart = place.z * sizes.bBatch;
  var sums: array<vec4f, 8>;
  //NN for (var k = 0u; k < depth; k++) {
  //NN   let at = bStart + 4u * k * columns + column;
  //NN   let b0 = b[at];
  //NN   let b1 = b[at + columns];
  //NN   let b2 = b[at + 2u * columns];
  //NN   let b3 = b[at + 3u * columns];
  //NN   for (var r = 0u; r < ROWS; r++) {
  //NN     let left = a[aStart + min(row0 + r, last) * depth + k];
  //NN     sums[r] = fma(vec4f(left.x), b0, fma(vec4f(left.y), b1, fma(vec4f(left.z), b2, fma(vec4f(left.w), b3, sums[r]))));
  //NN   }
  //NN }
  //NT for (var k = 0u; k < depth; k++) {
  //NT   let at = bStart + 4u * column * depth + k;
  //NT   let b0 = b[at];
  //NT   let b1 = b[at + depth];
  //NT   let b2 = b[at + 2u * depth];
  //NT   let b3 = b[at + 3u * depth];
  //NT   for (var r = 0u; r < ROWS; r++) {
  //NT     let left = a[aStart + min(row0 + r, last) * depth + k];
  //NT     sums[r] += vec4f(dot(left, b0), dot(left, b1), dot(left, b2), dot(left, b3));
  //NT   }
  //NT }
  //TN let lines = sizes.rows / 4u;
  //TN let line = row0 / 4u;
  //TN for (var k = 0u; k < sizes.depth; k++) {
  //TN   let right = b[bStart + k * columns + column];
  //TN   let upper = a[aStart + k * lines + line];
  //TN   let lower = a[aStart + k * lines + min(line + 1u, lines - 1u)];
  //TN   for (var r = 0u; r < 4u; r++) {
  //TN     sums[r] = fma(vec4f(upper[r]), right, sums[r]);
  //TN     sums[r + 4u] = fma(vec4f(lower[r]), right, sums[r + 4u]);
  //TN   }
  //TN }
  for (var r = 0u; r < ROWS; r++) {
    if (row0 + r > last) { break; }
    var sum = sums[r];
    //BIAS sum += bias[column];
    c[(place.z * sizes.rows + row0 + r) * columns + column] = sum;
  }
}
