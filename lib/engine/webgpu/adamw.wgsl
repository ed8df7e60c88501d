// One step of AdamW (Loshchilov, Hutter 2017, arXiv:1711.05101) in place.
struct Settings {
  size: u32, learningRate: f32, beta1: f32, beta2: f32, epsilon: f32, weightDecay: f32,
  correction1: f32, correction2: f32, // 1 - beta1^step, 1 - beta2^step
  clipNorm: f32,
}
@group(0) @binding(0) var<uniform> settings: Settings;
@group(0) @binding(1) var<storage, read_write> parameter: array<f32>;
@group(0) @binding(2) var<storage, read_write> moment1: array<f32>;
@group(0) @binding(3) var<storage, read_write> moment2: array<f32>;
@group(0) @binding(4) var<storage, read> gradient: array<f32>;
//CLIP @group(0) @binding(5) var<storage, read> norm: array<f32>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (group.y * groups.x + group.x) * 256u + thread;
  if (i >= settings.size) { return; }
  var g = gradient[i];
  // min() may drop a NaN; a norm that is one must reach the weights, where training looks for it.
  //CLIP let factor = settings.clipNorm / (norm[0] + 1e-6);
  //CLIP g *= select(factor, 1.0, factor > 1.0);
  let m = mix(g, moment1[i], settings.beta1);
  let v = mix(g * g, moment2[i], settings.beta2);
  moment1[i] = m;
  moment2[i] = v;
  let step = m / settings.correction1 / (sqrt(v / settings.correction2) + settings.epsilon);
  parameter[i] = parameter[i] * (1.0 - settings.learningRate * settings.weightDecay) - settings.learningRate * step;
}
