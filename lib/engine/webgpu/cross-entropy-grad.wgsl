// (softmax(logits) - onehot(target)) · dy, number by number.
struct Sizes { count: u32, vocab: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> dlogits: array<f32>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read> targets: array<i32>;
@group(0) @binding(4) var<storage, read> logSumExp: array<f32>;
@group(0) @binding(5) var<storage, read> dy: array<f32>;

fn each(i: u32) {
  if (i >= sizes.count) { return; }
  let row = i / sizes.vocab;
  let goal = f32(i % sizes.vocab == u32(targets[row]));
  dlogits[i] = (exp(logits[i] - logSumExp[row]) - goal) * dy[row];
}
