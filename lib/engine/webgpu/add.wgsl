// The sum of two tensors of one shape, number by number.
@group(0) @binding(0) var<uniform> count: u32;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<f32>;

fn each(i: u32) {
  if (i < count) { result[i] = a[i] + b[i]; }
}
