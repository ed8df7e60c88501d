// Causal attention without a [T, T] matrix (Dao et al. 2022, arXiv:2205.14135). A thread has one query; its workgroup brings the
// keys and values of TILE positions at a time into fast memory, and each thread keeps a running softmax.
struct Sizes { length: u32, heads: u32, scale: f32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;          // [B, T, C]
@group(0) @binding(2) var<storage, read_write> logSumExp: array<f32>;  // [B, heads, T]
@group(0) @binding(3) var<storage, read> qkv: array<f32>;              // [B, T, 3C]

// WIDTH (of a head), PARTS (of four numbers, to hold it), TILE and QUERIES (threads of a workgroup) are written in front of this.
// Lines with $p stand PARTS times.
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

@compute @workgroup_size(QUERIES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let channels = sizes.heads * WIDTH;
  let t = group.x * QUERIES + thread;
  let head = group.y;
  let row0 = group.z * sizes.length;
  let isQuery = t < sizes.length;
  let at = (row0 + min(t, sizes.length - 1u)) * 3u * channels + head * WIDTH;
  let query$p = load(at, $pu) * sizes.scale;
  var answer$p = vec4f(0.0);
  var largest = -3.0e38;
  var total = 0.0;
  let end = min(sizes.length, (group.x + 1u) * QUERIES);
  for (var s0 = 0u; s0 < end; s0 += TILE) {
    for (var i = thread; i < TILE * PARTS; i += QUERIES) {
      let s = min(s0 + i / PARTS, sizes.length - 1u);
      let key = (row0 + s) * 3u * channels + channels + head * WIDTH;
      keys[i] = load(key, i % PARTS);
      values[i] = load(key + channels, i % PARTS);
    }
    workgroupBarrier();
    for (var j = 0u; j < TILE; j++) {
      if (s0 + j > t || !isQuery) { break; }
      let row = j * PARTS;
      var products = vec4f(0.0);
      products = fma(query$p, keys[row + $pu], products);
      let score = products.x + products.y + products.z + products.w;
      let next = max(largest, score);
      let keep = exp(largest - next);
      // With a NaN score max() may take the other number; the weight stays NaN.
      let weight = exp(score - next);
      total = total * keep + weight;
      answer$p = fma(vec4f(weight), values[row + $pu], answer$p * keep);
      largest = next;
    }
    workgroupBarrier();
  }
  if (!isQuery) { return; }
  let out = (row0 + t) * channels + head * WIDTH;
  store(out, $pu, answer$p / total);
  logSumExp[(group.z * sizes.heads + head) * sizes.length + t] = largest + log(total);
}
