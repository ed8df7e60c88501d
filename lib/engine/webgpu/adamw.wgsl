// One step of AdamW (Loshchilov, Hutter 2017, arXiv:1711.05101) in place, for PARTS parameters one after the other.
struct Parts {
  size$p: u32, weightDecay$p: f32,
}
struct Settings { // new in each step, unlike uniforms
  learningRate: f32, beta1: f32, beta2: f32, epsilon: f32,
  correction1: f32, correction2: f32, // 1 - beta1^step, 1 - beta2^step
  clipNorm: f32,
  //CLIP norm: f32,
}
@group(0) @binding(0) var<uniform> parts: Parts;
@group(0) @binding(1) var<storage, read> settings: Settings;
@group(0) @binding(1$p) var<storage, read_write> parameter$p: array<f32>;
@group(0) @binding(2$p) var<storage, read_write> mean$p: array<f32>;
@group(0) @binding(3$p) var<storage, read_write> square$p: array<f32>;
@group(0) @binding(4$p) var<storage, read> gradient$p: array<f32>;

// A weight and its two moments after the step.
fn advance(before: vec3f, gradient: f32, weightDecay: f32) -> vec3f {
  var g = gradient;
  // A norm that is NaN must reach the weights, where training looks for it; some compilers make a min() of the comparison alone.
  //CLIP let factor = settings.clipNorm / (settings.norm + 1e-6);
  //CLIP g *= select(1.0, factor, factor < 1.0 || isNaN(settings.norm));
  let m = mix(g, before.y, settings.beta1);
  let v = mix(g * g, before.z, settings.beta2);
  let step = m / settings.correction1 / (sqrt(v / settings.correction2) + settings.epsilon);
  let weight = before.x * (1.0 - settings.learningRate * weightDecay) - settings.learningRate * step;
  return vec3f(weight, m, v);
}

fn each(number: u32) {
  var i = number;
  // A line for each parameter: the number may be in it, or else in one of the next.
  if (i < parts.size$p) { let after = advance(vec3f(parameter$p[i], mean$p[i], square$p[i]), gradient$p[i], parts.weightDecay$p); parameter$p[i] = after.x; mean$p[i] = after.y; square$p[i] = after.z; return; } i -= parts.size$p;
}
