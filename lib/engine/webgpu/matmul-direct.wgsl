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
  // Lines with $r stand eight times, once for each row: a list that is indexed in a loop would lie in slow memory.
  var sum$r = vec4f(0.0);
  let line$r = aStart + min(row0 + $ru, last) * depth;
  //NN for (var k = 0u; k < depth; k++) {
  //NN   let at = bStart + 4u * k * columns + column;
  //NN   let b0 = b[at];
  //NN   let b1 = b[at + columns];
  //NN   let b2 = b[at + 2u * columns];
  //NN   let b3 = b[at + 3u * columns];
  //NN   let left$r = a[line$r + k];
  //NN   sum$r = fma(vec4f(left$r.x), b0, fma(vec4f(left$r.y), b1, fma(vec4f(left$r.z), b2, fma(vec4f(left$r.w), b3, sum$r))));
  //NN }
  //NT for (var k = 0u; k < depth; k++) {
  //NT   let at = bStart + 4u * column * depth + k;
  //NT   let b0 = b[at];
  //NT   let b1 = b[at + depth];
  //NT   let b2 = b[at + 2u * depth];
  //NT   let b3 = b[at + 3u * depth];
  //NT   let left$r = a[line$r + k];
  //NT   sum$r += vec4f(dot(left$r, b0), dot(left$r, b1), dot(left$r, b2), dot(left$r, b3));
  //NT }
  //TN let lines = sizes.rows / 4u;
  //TN let block = row0 / 4u;
  //TN for (var k = 0u; k < sizes.depth; k++) {
  //TN   let right = b[bStart + k * columns + column];
  //TN   let upper = a[aStart + k * lines + block];
  //TN   let lower = a[aStart + k * lines + min(block + 1u, lines - 1u)];
  //TN   sum0 = fma(vec4f(upper.x), right, sum0);
  //TN   sum1 = fma(vec4f(upper.y), right, sum1);
  //TN   sum2 = fma(vec4f(upper.z), right, sum2);
  //TN   sum3 = fma(vec4f(upper.w), right, sum3);
  //TN   sum4 = fma(vec4f(lower.x), right, sum4);
  //TN   sum5 = fma(vec4f(lower.y), right, sum5);
  //TN   sum6 = fma(vec4f(lower.z), right, sum6);
  //TN   sum7 = fma(vec4f(lower.w), right, sum7);
  //TN }
  //BIAS sum$r += bias[column];
  let start = (place.z * sizes.rows + row0) * columns + column;
  if (row0 + $ru <= last) { c[start + $ru * columns] = sum$r; }
}
