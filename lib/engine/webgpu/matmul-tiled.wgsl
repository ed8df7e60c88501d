// C = A · B (+ bias), any sizes, any of the two transposed. Each workgroup computes a tile of 64 × 64: it brings 16 columns of A
// and 16 rows of B into fast memory at a time, and each of its 256 threads works on 4 × 4 numbers.
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

const TILE = 64u;
const STEP = 16u;
var<workgroup> aTile: array<f32, 1024>; // [STEP, TILE]
var<workgroup> bTile: array<f32, 1024>; // [STEP, TILE]

@compute @workgroup_size(16, 16)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let row0 = group.y * TILE;
  let column0 = group.x * TILE;
  let aStart = group.z * sizes.aBatch;
  let bStart = group.z * sizes.bBatch;
  var sums: array<vec4f, 4>;
  for (var k0 = 0u; k0 < sizes.depth; k0 += STEP) {
    for (var i = thread; i < TILE * STEP; i += 256u) {
      // Neighbouring threads read neighbouring numbers, whichever way the matrix lies.
      let aAcross = sizes.aColumn == 1u;
      let ak = select(i / TILE, i % STEP, aAcross);
      let ar = select(i % TILE, i / STEP, aAcross);
      let aInside = row0 + ar < sizes.rows && k0 + ak < sizes.depth;
      aTile[ak * TILE + ar] = select(0.0, a[aStart + (row0 + ar) * sizes.aRow + (k0 + ak) * sizes.aColumn], aInside);
      let bAcross = sizes.bColumn == 1u;
      let bk = select(i % STEP, i / TILE, bAcross);
      let bc = select(i / STEP, i % TILE, bAcross);
      let bInside = column0 + bc < sizes.columns && k0 + bk < sizes.depth;
      bTile[bk * TILE + bc] = select(0.0, b[bStart + (k0 + bk) * sizes.bRow + (column0 + bc) * sizes.bColumn], bInside);
    }
    workgroupBarrier();
    for (var k = 0u; k < STEP; k++) {
      let at = k * TILE + local.y * 4u;
      let bt = k * TILE + local.x * 4u;
      let right = vec4f(bTile[bt], bTile[bt + 1u], bTile[bt + 2u], bTile[bt + 3u]);
      for (var r = 0u; r < 4u; r++) { sums[r] = fma(vec4f(aTile[at + r]), right, sums[r]); }
    }
    workgroupBarrier();
  }
  for (var r = 0u; r < 4u; r++) {
    let row = row0 + local.y * 4u + r;
    for (var s = 0u; s < 4u; s++) {
      let column = column0 + local.x * 4u + s;
      if (row < sizes.rows && column < sizes.columns) {
        var sum = sums[r][s];
        //BIAS sum += bias[column];
        c[(group.z * sizes.rows + row) * sizes.columns + column] = sum;
      }
    }
  }
}
