// Adds each row of dy to the table's row that its id names; the table starts as zeros. Two tokens of the same id write to the same
// numbers, so each addition is tried until no other thread has come between.
struct Sizes { count: u32, width: u32, vocab: u32 } // count of numbers in dy
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> table: array<atomic<u32>>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> ids: array<i32>;

fn each(i: u32) {
  if (i >= sizes.count) { return; }
  let id = u32(ids[i / sizes.width]);
  if (id >= sizes.vocab) { return; }
  let at = id * sizes.width + i % sizes.width;
  var old = atomicLoad(&table[at]);
  loop {
    let next = bitcast<u32>(bitcast<f32>(old) + dy[i]);
    let outcome = atomicCompareExchangeWeak(&table[at], old, next);
    if (outcome.exchanged) { break; }
    old = outcome.old_value;
  }
}
