// C = A · B (+ bias) without fast memory, for software adapters, where a barrier costs more than it saves and loading costs more than
// anything. Each thread computes 16 × 8 numbers, four of them next to each other and four 32 columns further; four numbers are
// loaded at a time, so the lengths of rows in memory are multiples of four.
struct Sizes { rows: u32, columns: u32, depth: u32, aBatch: u32, bBatch: u32 } // batches in vectors of four
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> c: array<vec4f>;
@group(0) @binding(2) var<storage, read> a: array<vec4f>;
@group(0) @binding(3) var<storage, read> b: array<vec4f>;
//BIAS @group(0) @binding(4) var<storage, read> bias: array<vec4f>;

@compute @workgroup_size(8, 1)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let columns = sizes.columns / 4u;
  let depth = sizes.depth / 4u;
  let near = group.x * 16u + thread;
  let isFar = near + 8u < columns;
  let far = select(near, near + 8u, isFar);
  let row0 = group.y * 16u;
  if (near >= columns) { return; }
  let last = sizes.rows - 1u;
  let aStart = group.z * sizes.aBatch;
  let bStart = group.z * sizes.bBatch;
  // Lines with $r stand 16 times, once for each row: a list that is indexed in a loop would lie in slow memory.
  var near$r = vec4f(0.0);
  var far$r = vec4f(0.0);
  let line$r = aStart + min(row0 + $ru, last) * depth;
  //NN for (var k = 0u; k < depth; k++) {
  //NN   let left$r = a[line$r + k];
  //NN   let at = bStart + 4u * k * columns;
  //NN   let n0 = b[at + near];
  //NN   near$r = fma(vec4f(left$r.x), n0, near$r);
  //NN   let f0 = b[at + far];
  //NN   far$r = fma(vec4f(left$r.x), f0, far$r);
  //NN   let n1 = b[at + columns + near];
  //NN   near$r = fma(vec4f(left$r.y), n1, near$r);
  //NN   let f1 = b[at + columns + far];
  //NN   far$r = fma(vec4f(left$r.y), f1, far$r);
  //NN   let n2 = b[at + 2u * columns + near];
  //NN   near$r = fma(vec4f(left$r.z), n2, near$r);
  //NN   let f2 = b[at + 2u * columns + far];
  //NN   far$r = fma(vec4f(left$r.z), f2, far$r);
  //NN   let n3 = b[at + 3u * columns + near];
  //NN   near$r = fma(vec4f(left$r.w), n3, near$r);
  //NN   let f3 = b[at + 3u * columns + far];
  //NN   far$r = fma(vec4f(left$r.w), f3, far$r);
  //NN }
  //NT for (var k = 0u; k < depth; k++) {
  //NT   let left$r = a[line$r + k];
  //NT   let n = bStart + 4u * near * depth + k;
  //NT   let n0 = b[n];
  //NT   let n1 = b[n + depth];
  //NT   let n2 = b[n + 2u * depth];
  //NT   let n3 = b[n + 3u * depth];
  //NT   near$r += vec4f(dot(left$r, n0), dot(left$r, n1), dot(left$r, n2), dot(left$r, n3));
  //NT   let f = bStart + 4u * far * depth + k;
  //NT   let f0 = b[f];
  //NT   let f1 = b[f + depth];
  //NT   let f2 = b[f + 2u * depth];
  //NT   let f3 = b[f + 3u * depth];
  //NT   far$r += vec4f(dot(left$r, f0), dot(left$r, f1), dot(left$r, f2), dot(left$r, f3));
  //NT }
  //TN let lines = sizes.rows / 4u;
  //TN let block = row0 / 4u;
  //TN let block1 = min(block + 1u, lines - 1u);
  //TN let block2 = min(block + 2u, lines - 1u);
  //TN let block3 = min(block + 3u, lines - 1u);
  //TN for (var k = 0u; k < sizes.depth; k++) {
  //TN   let n = b[bStart + k * columns + near];
  //TN   let f = b[bStart + k * columns + far];
  //TN   let at = aStart + k * lines;
  //TN   let four0 = a[at + block];
  //TN   let four1 = a[at + block1];
  //TN   let four2 = a[at + block2];
  //TN   let four3 = a[at + block3];
  //TN   near$r = fma(vec4f(four$f.$c), n, near$r);
  //TN   far$r = fma(vec4f(four$f.$c), f, far$r);
  //TN }
  //BIAS near$r += bias[near];
  //BIAS far$r += bias[far];
  let start = (group.z * sizes.rows + row0) * columns;
  if (row0 + $ru <= last) { c[start + $ru * columns + near] = near$r; }
  if (isFar && row0 + $ru <= last) { c[start + $ru * columns + far] = far$r; }
}
