// The loss of each row of logits against its target: log Σ exp(logits) - logits[target]. Row by row (rows.wgsl).
struct Sizes { rows: u32, vocab: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> losses: array<f32>;
@group(0) @binding(2) var<storage, read_write> logSumExp: array<f32>;
@group(0) @binding(3) var<storage, read> logits: array<f32>;
@group(0) @binding(4) var<storage, read> targets: array<i32>;

// Of logits: the largest, and Σ exp(logit - largest).
var<workgroup> partial: array<vec2f, 64>;

fn joined(a: vec2f, b: vec2f) -> vec2f {
  let largest = max(a.x, b.x);
  return vec2f(largest, a.y * exp(a.x - largest) + b.y * exp(b.x - largest));
}

fn eachRow(row: u32, lane: u32, thread: u32) {
  let start = row * sizes.vocab;
  var all = vec2f(-3.0e38, 0.0);
  if (row < sizes.rows) {
    for (var i = lane; i < sizes.vocab; i += LANES) { all = joined(all, vec2f(logits[start + i], 1.0)); }
  }
  if (LANES > 1u) {
    partial[thread] = all;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
      if (lane < half) { partial[thread] = joined(partial[thread], partial[thread + half]); }
      workgroupBarrier();
    }
    all = partial[thread - lane];
  }
  if (lane > 0u || row >= sizes.rows) { return; }
  let lse = all.x + log(all.y);
  let goal = u32(targets[row]);
  let nan = bitcast<f32>(0x7fc00000u | (sizes.vocab & 1u));
  logSumExp[row] = lse;
  losses[row] = select(nan, lse - logits[start + min(goal, sizes.vocab - 1u)], goal < sizes.vocab);
}
