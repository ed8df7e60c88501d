// The keys (with ROTARY, turned by their positions) and values of new tokens, written into the rows of a cache. One thread writes
// one number of each.
struct Sizes { count: u32, length: u32, heads: u32, kvHeads: u32, width: u32, room: u32, start: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> keys: array<f32>;   // [B, K, S, D]
@group(0) @binding(2) var<storage, read_write> values: array<f32>; // [B, K, S, D]
@group(0) @binding(3) var<storage, read> qkv: array<f32>;          // [B, T, (heads + 2K) D]
//ROTARY @group(0) @binding(4) var<storage, read> table: array<f32>; // for each position D/2 cosines, then D/2 sines

fn key(at: u32, d: u32, place: u32) -> f32 {
  //ROTARY let half = sizes.width / 2u;
  //ROTARY let angle = place * sizes.width + d % half;
  //ROTARY let isFirst = d < half;
  //ROTARY let partner = qkv[select(at - half, at + half, isFirst)];
  //ROTARY return qkv[at] * table[angle] + select(partner, -partner, isFirst) * table[angle + half];
  //PLAIN return qkv[at];
}

fn each(i: u32) {
  if (i >= sizes.count) { return; }
  let d = i % sizes.width;
  let head = (i / sizes.width) % sizes.kvHeads;
  let row = i / sizes.width / sizes.kvHeads;
  let place = sizes.start + row % sizes.length;
  let source = (row * (sizes.heads + 2u * sizes.kvHeads) + sizes.heads + head) * sizes.width + d;
  let slot = ((row / sizes.length * sizes.kvHeads + head) * sizes.room + place) * sizes.width + d;
  keys[slot] = key(source, d, place);
  values[slot] = qkv[source + sizes.kvHeads * sizes.width];
}
