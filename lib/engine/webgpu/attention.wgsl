// Causal attention without a [T, T] matrix (Dao et al. 2022, arXiv:2205.14135). A thread has ROWS queries; its workgroup brings the
// keys and values of TILE positions at a time into fast memory, and each thread keeps running softmaxes.
struct Sizes { length: u32, heads: u32, scale: f32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;          // [B, T, C]
@group(0) @binding(2) var<storage, read_write> logSumExp: array<f32>;  // [B, heads, T]
@group(0) @binding(3) var<storage, read> qkv: array<f32>;              // [B, T, 3C]

// WIDTH (of a head), PARTS (of four numbers, to hold it), TILE, THREADS (of a workgroup) and ROWS are written in front of this.
// Lines with $p stand PARTS times, those with $r ROWS times.
var<workgroup> keys: array<vec4f, TILE * PARTS>;
var<workgroup> values: array<vec4f, TILE * PARTS>;

fn load(start: u32, part: u32) -> vec4f {
  let d = part * 4u;
  let at = start + d;
  return vec4f(
    qkv[at],
    select(0.0, qkv[at + 1u], d + 1u < WIDTH),
    select(0.0, qkv[at + 2u], d + 2u < WIDTH),
    select(0.0, qkv[at + 3u], d + 3u < WIDTH),
  );
}

fn store(start: u32, part: u32, value: vec4f) {
  let d = part * 4u;
  let at = start + d;
  y[at] = value.x;
  if (d + 1u < WIDTH) { y[at + 1u] = value.y; }
  if (d + 2u < WIDTH) { y[at + 2u] = value.z; }
  if (d + 3u < WIDTH) { y[at + 3u] = value.w; }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let channels = sizes.heads * WIDTH;
  let head = group.y;
  let row0 = group.z * sizes.length;
  let t$r = (group.x * THREADS + thread) * ROWS + $ru;
  let from$r = (row0 + min(t$r, sizes.length - 1u)) * 3u * channels + head * WIDTH;
  let query$r_$p = load(from$r, $pu) * sizes.scale;
  var answer$r_$p = vec4f(0.0);
  var largest$r = -3.0e38;
  var total$r = 0.0;
  let stop = min(sizes.length, t0 + ROWS); // behind the last key that this thread sees
  let end = min(sizes.length, (group.x + 1u) * THREADS * ROWS);
  for (var s0 = 0u; s0 < end; s0 += TILE) {
    for (var i = thread; i < TILE * PARTS; i += THREADS) {
      let s = min(s0 + i / PARTS, sizes.length - 1u);
      let key = (row0 + s) * 3u * channels + channels + head * WIDTH;
      keys[i] = load(key, i % PARTS);
      values[i] = load(key + channels, i % PARTS);
    }
    workgroupBarrier();
    for (var j = 0u; j < TILE; j++) {
      if (s0 + j >= stop || t0 >= sizes.length) { break; }
      let row = j * PARTS;
      var products$r = vec4f(0.0);
      let key$p = keys[row + $pu];
      products$r = fma(query$r_$p, key$p, products$r);
      let score$r = products$r.x + products$r.y + products$r.z + products$r.w;
      let sees$r = s0 + j <= t$r;
      let next$r = select(largest$r, max(largest$r, score$r), sees$r);
      let keep$r = exp(largest$r - next$r);
      // With a NaN score max() may take the other number; the weight stays NaN.
      let weight$r = select(0.0, exp(score$r - next$r), sees$r);
      total$r = total$r * keep$r + weight$r;
      let value$p = values[row + $pu];
      answer$r_$p = fma(vec4f(weight$r), value$p, answer$r_$p * keep$r);
      largest$r = next$r;
    }
    workgroupBarrier();
  }
  let sums = (group.z * sizes.heads + head) * sizes.length;
  if (t$r < sizes.length) { logSumExp[sums + t$r] = largest$r + log(total$r); }
  let to$r = (row0 + t$r) * channels + head * WIDTH;
  if (t$r < sizes.length) { store(to$r, $pu, answer$r_$p / total$r); }
}
