// The gradient of causal attention. A thread has ROWS positions: first as queries, which walk over the keys before them and gather
// dq; then as keys, which walk over the queries after them and gather dk and dv. Weights are computed anew from logSumExp.
struct Sizes { length: u32, heads: u32, scale: f32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> dqkv: array<f32>;     // [B, T, 3C]
@group(0) @binding(2) var<storage, read> qkv: array<f32>;            // [B, T, 3C]
@group(0) @binding(3) var<storage, read> y: array<f32>;              // [B, T, C]
@group(0) @binding(4) var<storage, read> logSumExp: array<f32>;      // [B, heads, T]
@group(0) @binding(5) var<storage, read> dy: array<f32>;             // [B, T, C]

// WIDTH, PARTS, TILE, THREADS and ROWS as in attention.wgsl; lines with $p stand PARTS times, those with $r ROWS times.
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

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let channels = sizes.heads * WIDTH;
  let row0 = group.z * sizes.length;
  let sums0 = (group.z * sizes.heads + group.y) * sizes.length;
  let first = group.x * THREADS * ROWS;
  let t$r = first + thread * ROWS + $ru;
  let isInside = t0 < sizes.length;
  let mine$r = min(t$r, sizes.length - 1u);
  let at$r = (row0 + mine$r) * 3u * channels + group.y * WIDTH;
  let out$r = (row0 + mine$r) * channels + group.y * WIDTH;

  var own$r_$p = load(at$r, $pu);      // q, then k
  var other$r_$p = loadDy(out$r, $pu); // dy, then v
  var sum$r_$p = vec4f(0.0);           // dq, then dk
  var more$r_$p = vec4f(0.0);          // dv
  var products$r = vec4f(0.0);
  products$r = fma(other$r_$p, loadY(out$r, $pu), products$r);
  let agreement$r = total(products$r); // dy · y
  let lse$r = logSumExp[sums0 + mine$r];
  let stop = min(sizes.length, t0 + ROWS); // behind the last key that this thread sees
  let end = min(sizes.length, first + THREADS * ROWS);
  for (var s0 = 0u; s0 < end; s0 += TILE) {
    for (var i = thread; i < TILE * PARTS; i += THREADS) {
      let s = min(s0 + i / PARTS, sizes.length - 1u);
      let key = (row0 + s) * 3u * channels + channels + group.y * WIDTH;
      left[i] = load(key, i % PARTS);
      right[i] = load(key + channels, i % PARTS);
    }
    workgroupBarrier();
    for (var j = 0u; j < TILE; j++) {
      if (s0 + j >= stop || !isInside) { break; }
      let row = j * PARTS;
      var scores$r = vec4f(0.0);
      var pushes$r = vec4f(0.0);
      let key$p = left[row + $pu];
      scores$r = fma(own$r_$p, key$p, scores$r);
      let value$p = right[row + $pu];
      pushes$r = fma(other$r_$p, value$p, pushes$r);
      let weight$r = select(0.0, exp(total(scores$r) * sizes.scale - lse$r), s0 + j <= t$r);
      let dScore$r = weight$r * (total(pushes$r) - agreement$r) * sizes.scale;
      sum$r_$p = fma(vec4f(dScore$r), key$p, sum$r_$p);
    }
    workgroupBarrier();
  }
  if (t$r < sizes.length) { store(at$r, $pu, sum$r_$p); }
  own$r_$p = load(at$r + channels, $pu);
  other$r_$p = load(at$r + 2u * channels, $pu);
  sum$r_$p = vec4f(0.0);
  for (var s0 = first; s0 < sizes.length; s0 += TILE) {
    for (var i = thread; i < TILE * PARTS; i += THREADS) {
      let s = row0 + min(s0 + i / PARTS, sizes.length - 1u);
      left[i] = load(s * 3u * channels + group.y * WIDTH, i % PARTS);
      right[i] = loadDy(s * channels + group.y * WIDTH, i % PARTS);
    }
    for (var j = thread; j < TILE; j += THREADS) {
      let s = min(s0 + j, sizes.length - 1u);
      let row = (row0 + s) * channels + group.y * WIDTH;
      var agreements = vec4f(0.0);
      agreements = fma(loadDy(row, $pu), loadY(row, $pu), agreements);
      sums[j] = vec2f(logSumExp[sums0 + s], total(agreements));
    }
    workgroupBarrier();
    for (var j = 0u; j < TILE; j++) {
      if (s0 + j < t0 || s0 + j >= sizes.length || !isInside) { continue; }
      let row = j * PARTS;
      var scores$r = vec4f(0.0);
      var pushes$r = vec4f(0.0);
      let query$p = left[row + $pu];
      scores$r = fma(own$r_$p, query$p, scores$r);
      let dy$p = right[row + $pu];
      pushes$r = fma(other$r_$p, dy$p, pushes$r);
      let query = sums[j];
      let weight$r = select(0.0, exp(total(scores$r) * sizes.scale - query.x), s0 + j >= t$r);
      let dScore$r = weight$r * (total(pushes$r) - query.y) * sizes.scale;
      sum$r_$p = fma(vec4f(dScore$r), query$p, sum$r_$p);
      more$r_$p = fma(vec4f(weight$r), dy$p, more$r_$p);
    }
    workgroupBarrier();
  }
  if (t$r < sizes.length) { store(at$r + channels, $pu, sum$r_$p); }
  if (t$r < sizes.length) { store(at$r + 2u * channels, $pu, more$r_$p); }
}
