// GELU in its tanh form, x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))), and its gradient.
@group(0) @binding(0) var<uniform> count: u32;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
//GRAD @group(0) @binding(3) var<storage, read> dy: array<f32>;

const ROOT = 0.7978845608028654; // √(2/π)
const CUBIC = 0.044715;

fn each(i: u32) {
  if (i >= count) { return; }
  let value = x[i];
  // tanh overflows to NaN on some drivers far from 0, where it is ±1 anyway; a NaN in x must stay one.
  let inner = ROOT * (value + CUBIC * value * value * value);
  let t = select(tanh(clamp(inner, -12.0, 12.0)), inner, isNaN(inner));
  //VALUE result[i] = 0.5 * value * (1.0 + t);
  //GRAD let slope = 0.5 * (1.0 + t) + 0.5 * value * (1.0 - t * t) * ROOT * (1.0 + 3.0 * CUBIC * value * value);
  //GRAD result[i] = dy[i] * slope;
}
