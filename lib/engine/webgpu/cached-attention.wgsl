// Attention of new tokens on the keys and values in a cache. A workgroup has one query; each of its threads multiplies it with one
// key of every 64, then sums one column of every 64 of the values, with a running softmax.
struct Sizes { length: u32, heads: u32, kvHeads: u32, room: u32, start: u32, scale: f32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;  // [B, T, heads D]
@group(0) @binding(2) var<storage, read> qkv: array<f32>;      // [B, T, (heads + 2K) D]
@group(0) @binding(3) var<storage, read> keys: array<f32>;     // [B, K, S, D]
@group(0) @binding(4) var<storage, read> values: array<f32>;   // [B, K, S, D]
//ROTARY @group(0) @binding(5) var<storage, read> table: array<f32>; // for each position D/2 cosines, then D/2 sines

// WIDTH (of a head) and PARTS (of 64 columns, to hold it) are written in front of this. Lines with $p stand PARTS times.
var<workgroup> queries: array<f32, WIDTH>;
var<workgroup> scores: array<f32, 64>;

fn query(at: u32, d: u32, place: u32) -> f32 {
  //ROTARY let half = WIDTH / 2u;
  //ROTARY let angle = place * WIDTH + d % half;
  //ROTARY let isFirst = d < half;
  //ROTARY let partner = qkv[select(at + d - half, at + d + half, isFirst)];
  //ROTARY return qkv[at + d] * table[angle] + select(partner, -partner, isFirst) * table[angle + half];
  //PLAIN return qkv[at + d];
}

fn score(key: u32) -> f32 {
  var sum = 0.0;
  for (var d = 0u; d < WIDTH; d++) { sum = fma(queries[d], keys[key + d], sum); }
  return sum * sizes.scale;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let head = group.y;
  let row = group.z * sizes.length + group.x;
  let place = sizes.start + group.x;
  let at = (row * (sizes.heads + 2u * sizes.kvHeads) + head) * WIDTH;
  let shared0 = (group.z * sizes.kvHeads + head / (sizes.heads / sizes.kvHeads)) * sizes.room * WIDTH;
  for (var d = thread; d < WIDTH; d += 64u) { queries[d] = query(at, d, place); }
  workgroupBarrier();
  let column$p = min(thread + 64u * $pu, WIDTH - 1u);
  var answer$p = 0.0;
  var largest = -3.0e38;
  var total = 0.0;
  for (var first = 0u; first <= place; first += 64u) {
    let count = min(64u, place + 1u - first);
    if (thread < count) { scores[thread] = score(shared0 + (first + thread) * WIDTH); }
    workgroupBarrier();
    var next = largest;
    for (var j = 0u; j < count; j++) { next = max(next, scores[j]); }
    let keep = exp(largest - next);
    total *= keep;
    answer$p *= keep;
    for (var j = 0u; j < count; j++) {
      // With a NaN score max() may take the other number; the weight stays NaN.
      let weight = exp(scores[j] - next);
      let value = shared0 + (first + j) * WIDTH;
      total += weight;
      answer$p = fma(weight, values[value + column$p], answer$p);
    }
    largest = next;
    workgroupBarrier();
  }
  let out = (row * sizes.heads + head) * WIDTH;
  if (thread + 64u * $pu < WIDTH) { y[out + column$p] = answer$p / total; }
}
