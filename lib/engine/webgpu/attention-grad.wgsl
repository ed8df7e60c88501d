// The gradient of causal attention. A thread has one position: first as a query, which walks over the keys before it and gathers
// dq; then as a key, which walks over the queries after it and gathers dk and dv. Weights are computed anew from logSumExp.
struct Sizes { length: u32, heads: u32, scale: f32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> dqkv: array<f32>;     // [B, T, 3C]
@group(0) @binding(2) var<storage, read> qkv: array<f32>;            // [B, T, 3C]
@group(0) @binding(3) var<storage, read> y: array<f32>;              // [B, T, C]
@group(0) @binding(4) var<storage, read> logSumExp: array<f32>;      // [B, heads, T]
@group(0) @binding(5) var<storage, read> dy: array<f32>;             // [B, T, C]

// WIDTH, PARTS, TILE and QUERIES as in attention.wgsl; lines with $p stand PARTS times.
var<workgroup> left: array<vec4f, TILE * PARTS>;  // keys, then queries
var<workgroup> right: array<vec4f, TILE * PARTS>; // values, then gradients that arrive at queries
var<workgroup> sums: array<vec2f, TILE>;          // logSumExp of a query; its dy · y

fn mask(part: u32, value: vec4f) -> vec4f {
  return select(vec4f(0.0), value, vec4u(part * 4u) + vec4u(0u, 1u, 2u, 3u) < vec4u(WIDTH));
}

fn load(start: u32, part: u32) -> vec4f {
  let at = start + part * 4u;
  return mask(part, vec4f(qkv[at], qkv[at + 1u], qkv[at + 2u], qkv[at + 3u]));
}

fn loadDy(start: u32, part: u32) -> vec4f {
  let at = start + part * 4u;
  return mask(part, vec4f(dy[at], dy[at + 1u], dy[at + 2u], dy[at + 3u]));
}

fn loadY(start: u32, part: u32) -> vec4f {
  let at = start + part * 4u;
  return mask(part, vec4f(y[at], y[at + 1u], y[at + 2u], y[at + 3u]));
}

fn store(start: u32, part: u32, value: vec4f) {
  let d = part * 4u;
  let at = start + d;
  dqkv[at] = value.x;
  if (d + 1u < WIDTH) { dqkv[at + 1u] = value.y; }
  if (d + 2u < WIDTH) { dqkv[at + 2u] = value.z; }
  if (d + 3u < WIDTH) { dqkv[at + 3u] = value.w; }
}

fn total(v: vec4f) -> f32 {
  return v.x + v.y + v.z + v.w;
}

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

  var own$p = load(at, $pu);      // q, then k
  var other$p = loadDy(out, $pu); // dy, then v
  var first$p = vec4f(0.0);       // dq, then dk
  var second$p = vec4f(0.0);      // dv
  var products = vec4f(0.0);
  products = fma(other$p, loadY(out, $pu), products);
  let agreement = total(products); // dy · y
  let lse = logSumExp[lse0 + mine];
  let end = min(sizes.length, (group.x + 1u) * QUERIES);
  for (var s0 = 0u; s0 < end; s0 += TILE) {
    for (var i = thread; i < TILE * PARTS; i += QUERIES) {
      let s = min(s0 + i / PARTS, sizes.length - 1u);
      let key = (row0 + s) * 3u * channels + channels + group.y * WIDTH;
      left[i] = load(key, i % PARTS);
      right[i] = load(key + channels, i % PARTS);
    }
    workgroupBarrier();
    for (var j = 0u; j < TILE; j++) {
      if (s0 + j > t || !isInside) { break; }
      let row = j * PARTS;
      var scores = vec4f(0.0);
      var pushes = vec4f(0.0);
      scores = fma(own$p, left[row + $pu], scores);
      pushes = fma(other$p, right[row + $pu], pushes);
      let weight = exp(total(scores) * sizes.scale - lse);
      let dScore = weight * (total(pushes) - agreement) * sizes.scale;
      first$p = fma(vec4f(dScore), left[row + $pu], first$p);
    }
    workgroupBarrier();
  }
  if (isInside) { store(at, $pu, first$p); }
  own$p = load(at + channels, $pu);
  other$p = load(at + 2u * channels, $pu);
  first$p = vec4f(0.0);
  for (var s0 = group.x * QUERIES; s0 < sizes.length; s0 += TILE) {
    for (var i = thread; i < TILE * PARTS; i += QUERIES) {
      let s = row0 + min(s0 + i / PARTS, sizes.length - 1u);
      left[i] = load(s * 3u * channels + group.y * WIDTH, i % PARTS);
      right[i] = loadDy(s * channels + group.y * WIDTH, i % PARTS);
    }
    for (var j = thread; j < TILE; j += QUERIES) {
      let s = min(s0 + j, sizes.length - 1u);
      let row = (row0 + s) * channels + group.y * WIDTH;
      var agreements = vec4f(0.0);
      agreements = fma(loadDy(row, $pu), loadY(row, $pu), agreements);
      sums[j] = vec2f(logSumExp[lse0 + s], total(agreements));
    }
    workgroupBarrier();
    for (var j = 0u; j < TILE; j++) {
      if (s0 + j < t || s0 + j >= sizes.length || !isInside) { continue; }
      let row = j * PARTS;
      var scores = vec4f(0.0);
      var pushes = vec4f(0.0);
      scores = fma(own$p, left[row + $pu], scores);
      pushes = fma(other$p, right[row + $pu], pushes);
      let weight = exp(total(scores) * sizes.scale - sums[j].x);
      let dScore = weight * (total(pushes) - sums[j].y) * sizes.scale;
      first$p = fma(vec4f(dScore), left[row + $pu], first$p);
      second$p = fma(vec4f(weight), right[row + $pu], second$p);
    }
    workgroupBarrier();
  }
  if (!isInside) { return; }
  store(at + channels, $pu, first$p);
  store(at + 2u * channels, $pu, second$p);
}
