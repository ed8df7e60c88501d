// The gradient of causal attention. A thread has one position: first as a query, which walks over the keys before it and gathers
// dq; then as a key, which walks over the queries after it and gathers dk and dv. Weights are computed anew from logSumExp.
struct Sizes { length: u32, heads: u32, scale: f32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> dqkv: array<f32>;     // [B, T, 3C]
@group(0) @binding(2) var<storage, read> qkv: array<f32>;            // [B, T, 3C]
@group(0) @binding(3) var<storage, read> y: array<f32>;              // [B, T, C]
@group(0) @binding(4) var<storage, read> logSumExp: array<f32>;      // [B, heads, T]
@group(0) @binding(5) var<storage, read> dy: array<f32>;             // [B, T, C]

// WIDTH, TILE and QUERIES as in attention.wgsl.
var<workgroup> left: array<f32, TILE * WIDTH>;  // keys, then queries
var<workgroup> right: array<f32, TILE * WIDTH>; // values, then gradients that arrive at queries
var<workgroup> sums: array<vec2f, TILE>;        // logSumExp of a query; its dy · y

@compute @workgroup_size(QUERIES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let channels = sizes.heads * WIDTH;
  let t = group.x * QUERIES + thread;
  let row0 = group.z * sizes.length;
  let lse0 = (group.z * sizes.heads + group.y) * sizes.length;
  let isInside = t < sizes.length;
  let mine = min(t, sizes.length - 1u);
  let at = (row0 + mine) * 3u * channels + group.y * WIDTH;
  let out = (row0 + mine) * channels + group.y * WIDTH;

  var own: array<f32, WIDTH>;     // q, then k
  var other: array<f32, WIDTH>;   // dy, then v
  var first: array<f32, WIDTH>;   // dq, then dk
  var second: array<f32, WIDTH>;  // dv
  var agreement = 0.0;            // dy · y
  for (var d = 0u; d < WIDTH; d++) {
    own[d] = qkv[at + d];
    other[d] = dy[out + d];
    agreement = fma(other[d], y[out + d], agreement);
  }
  let lse = logSumExp[lse0 + mine];
  let end = min(sizes.length, (group.x + 1u) * QUERIES);
  for (var s0 = 0u; s0 < end; s0 += TILE) {
    for (var i = thread; i < TILE * WIDTH; i += QUERIES) {
      let s = min(s0 + i / WIDTH, sizes.length - 1u);
      let origin = (row0 + s) * 3u * channels + channels + group.y * WIDTH + i % WIDTH;
      left[i] = qkv[origin];
      right[i] = qkv[origin + channels];
    }
    workgroupBarrier();
    for (var j = 0u; j < TILE; j++) {
      if (s0 + j > t || !isInside) { break; }
      var score = 0.0;
      var push = 0.0;
      for (var d = 0u; d < WIDTH; d++) {
        score = fma(own[d], left[j * WIDTH + d], score);
        push = fma(other[d], right[j * WIDTH + d], push);
      }
      let dScore = exp(score * sizes.scale - lse) * (push - agreement) * sizes.scale;
      for (var d = 0u; d < WIDTH; d++) { first[d] = fma(dScore, left[j * WIDTH + d], first[d]); }
    }
    workgroupBarrier();
  }
  for (var d = 0u; d < WIDTH; d++) {
    if (isInside) { dqkv[at + d] = first[d]; }
    own[d] = qkv[at + channels + d];
    other[d] = qkv[at + 2u * channels + d];
    first[d] = 0.0;
  }
  for (var s0 = group.x * QUERIES; s0 < sizes.length; s0 += TILE) {
    for (var i = thread; i < TILE * WIDTH; i += QUERIES) {
      let s = row0 + min(s0 + i / WIDTH, sizes.length - 1u);
      left[i] = qkv[s * 3u * channels + group.y * WIDTH + i % WIDTH];
      right[i] = dy[s * channels + group.y * WIDTH + i % WIDTH];
    }
    for (var j = thread; j < TILE; j += QUERIES) {
      let s = min(s0 + j, sizes.length - 1u);
      let origin = (row0 + s) * channels + group.y * WIDTH;
      var product = 0.0;
      for (var d = 0u; d < WIDTH; d++) { product = fma(dy[origin + d], y[origin + d], product); }
      sums[j] = vec2f(logSumExp[lse0 + s], product);
    }
    workgroupBarrier();
    for (var j = 0u; j < TILE; j++) {
      if (s0 + j < t || s0 + j >= sizes.length || !isInside) { continue; }
      var score = 0.0;
      var push = 0.0;
      for (var d = 0u; d < WIDTH; d++) {
        score = fma(own[d], left[j * WIDTH + d], score);
        push = fma(other[d], right[j * WIDTH + d], push);
      }
      let weight = exp(score * sizes.scale - sums[j].x);
      let dScore = weight * (push - sums[j].y) * sizes.scale;
      for (var d = 0u; d < WIDTH; d++) {
        first[d] = fma(dScore, left[j * WIDTH + d], first[d]);
        second[d] = fma(weight, right[j * WIDTH + d], second[d]);
      }
    }
    workgroupBarrier();
  }
  if (!isInside) { return; }
  for (var d = 0u; d < WIDTH; d++) {
    dqkv[at + channels + d] = first[d];
    dqkv[at + 2u * channels + d] = second[d];
  }
}
