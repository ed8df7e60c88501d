// Causal attention without a [T, T] matrix (Dao et al. 2022, arXiv:2205.14135). A thread has one query; its workgroup brings the
// keys and values of TILE positions at a time into fast memory, and each thread keeps a running softmax.
struct Sizes { length: u32, heads: u32, scale: f32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;          // [B, T, C]
@group(0) @binding(2) var<storage, read_write> logSumExp: array<f32>;  // [B, heads, T]
@group(0) @binding(3) var<storage, read> qkv: array<f32>;              // [B, T, 3C]

// WIDTH (of a head), TILE and QUERIES (threads of a workgroup) are put in front when the shader is made.
var<workgroup> keys: array<f32, TILE * WIDTH>;
var<workgroup> values: array<f32, TILE * WIDTH>;

@compute @workgroup_size(QUERIES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let channels = sizes.heads * WIDTH;
  let t = group.x * QUERIES + thread;
  let head = group.y;
  let row0 = group.z * sizes.length;
  let isQuery = t < sizes.length;
  let at = (row0 + min(t, sizes.length - 1u)) * 3u * channels + head * WIDTH;
  var query: array<f32, WIDTH>;
  var answer: array<f32, WIDTH>;
  for (var d = 0u; d < WIDTH; d++) { query[d] = qkv[at + d] * sizes.scale; }
  var largest = -3.0e38;
  var total = 0.0;
  let end = min(sizes.length, (group.x + 1u) * QUERIES);
  for (var s0 = 0u; s0 < end; s0 += TILE) {
    for (var i = thread; i < TILE * WIDTH; i += QUERIES) {
      let s = min(s0 + i / WIDTH, sizes.length - 1u);
      let origin = (row0 + s) * 3u * channels + channels + head * WIDTH + i % WIDTH;
      keys[i] = qkv[origin];
      values[i] = qkv[origin + channels];
    }
    workgroupBarrier();
    for (var j = 0u; j < TILE; j++) {
      if (s0 + j > t || !isQuery) { break; }
      var score = 0.0;
      for (var d = 0u; d < WIDTH; d++) { score = fma(query[d], keys[j * WIDTH + d], score); }
      let next = max(largest, score);
      let keep = exp(largest - next);
      // With a NaN score max() may take the other number; the weight stays NaN.
      let weight = exp(score - next);
      total = total * keep + weight;
      for (var d = 0u; d < WIDTH; d++) { answer[d] = fma(weight, values[j * WIDTH + d], answer[d] * keep); }
      largest = next;
    }
    workgroupBarrier();
  }
  if (!isQuery) { return; }
  for (var d = 0u; d < WIDTH; d++) { y[(row0 + t) * channels + head * WIDTH + d] = answer[d] / total; }
  logSumExp[(group.z * sizes.heads + head) * sizes.length + t] = largest + log(total);
}
