// The loss of each row of logits against its target: log Σ exp(logits) - logits[target]. One workgroup reads one row.
struct Sizes { rows: u32, vocab: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> losses: array<f32>;
@group(0) @binding(2) var<storage, read_write> logSumExp: array<f32>;
@group(0) @binding(3) var<storage, read> logits: array<f32>;
@group(0) @binding(4) var<storage, read> targets: array<i32>;

const THREADS = 64u;
var<workgroup> partial: array<vec2f, 64>; // largest logit, Σ exp(logit - largest)

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = group.y * groups.x + group.x;
  let start = row * sizes.vocab;
  var mine = vec2f(-3.0e38, 0.0);
  if (row < sizes.rows) {
    for (var i = thread; i < sizes.vocab; i += THREADS) {
      let logit = logits[start + i];
      let largest = max(mine.x, logit);
      mine = vec2f(largest, mine.y * exp(mine.x - largest) + exp(logit - largest));
    }
  }
  partial[thread] = mine;
  workgroupBarrier();
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    if (thread < half) {
      let a = partial[thread];
      let b = partial[thread + half];
      let largest = max(a.x, b.x);
      partial[thread] = vec2f(largest, a.y * exp(a.x - largest) + b.y * exp(b.x - largest));
    }
    workgroupBarrier();
  }
  if (thread > 0u || row >= sizes.rows) { return; }
  let lse = partial[0].x + log(partial[0].y);
  let goal = u32(targets[row]);
  let nan = bitcast<f32>(0x7fc00000u | (sizes.vocab & 1u));
  logSumExp[row] = lse;
  losses[row] = select(nan, lse - logits[start + min(goal, sizes.vocab - 1u)], goal < sizes.vocab);
}
