// Copies numbers, from 16 bits to 32 for example: see half.ts.
@group(0) @binding(0) var<uniform> count: u32;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;

fn each(i: u32) {
  if (i < count) { result[i] = x[i]; }
}
