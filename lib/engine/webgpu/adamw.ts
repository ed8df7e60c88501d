/** AdamW on the graphics card: parameters wait until there are enough of them for one shader, or until somebody looks. */
import * as tf from "@tensorflow/tfjs";
import type { GpuBackend } from "./backend.ts";

/** One parameter's tensors and what is its own among the settings. */
interface Part {
  parameter: tf.TensorInfo;
  moment1: tf.TensorInfo;
  moment2: tf.TensorInfo;
  gradient: tf.TensorInfo;
  weightDecay: number;
}

/** Parameters that have all else in common. */
interface Group {
  norm?: tf.TensorInfo;
  /** Learning rate, betas, epsilon, corrections, longest gradient: in the shader's order. */
  settings: number[];
  parts: Part[];
}

const waiting = new WeakMap<GpuBackend, Group>();

/** Bindings of a part: 10, 11, … for parameters, 20, 21, … for first moments, and so on; the settings have 1. */
const KINDS = ["parameter", "moment1", "moment2", "gradient"] as const;

/** Most parts of a shader: their numbers are the second digit of a binding. */
const MOST_PARTS = 10;

/** The kernel `adamW` of `../kernels.ts`: takes note of the step, which is made before anything else is. */
export function adamW(
  gpu: GpuBackend,
  { norm, ...tensors }: Record<string, tf.TensorInfo>,
  { learningRate, beta1, beta2, epsilon, weightDecay, step, clipNorm }: Record<string, number>,
): void {
  for (const tensor of Object.values(tensors)) gpu.toFull(tensor.dataId);
  const corrections = [1 - beta1 ** step, 1 - beta2 ** step];
  const settings = [learningRate, beta1, beta2, epsilon, ...corrections, clipNorm];
  const part = { ...tensors, weightDecay } as unknown as Part;
  const group = waiting.get(gpu);
  const isSame = group && group.norm?.dataId === norm?.dataId &&
    settings.every((value, i) => Object.is(value, group.settings[i]));
  if (isSame) group.parts.push(part);
  else begin(gpu, { norm, settings, parts: [part] });
  // They belong to the commands from now on: a gradient that is disposed must stay until these are done.
  for (const tensor of [...KINDS.map((kind) => part[kind]), norm]) tensor && gpu.bufferOf(tensor);
  for (const kind of KINDS.slice(0, 3)) gpu.changed(part[kind]);
}

function begin(gpu: GpuBackend, group: Group): void {
  gpu.postpone(() => {
    waiting.delete(gpu);
    const settings = settingsOf(gpu, group);
    const most = Math.max(1, Math.min(MOST_PARTS, Math.floor((gpu.mostTensors - 1) / 4)));
    for (let i = 0; i < group.parts.length; i += most) {
      record(gpu, group.parts.slice(i, i + most), settings, Boolean(group.norm));
    }
    gpu.disposeData(settings.dataId);
  });
  waiting.set(gpu, group);
}

/** The settings and, behind them, the norm. A tensor: other uniforms in each step would need other bind groups. */
function settingsOf(gpu: GpuBackend, { norm, settings }: Group): tf.TensorInfo {
  const numbers = gpu.makeTensorInfo([settings.length], "float32", Float32Array.from(settings));
  if (!norm) return numbers;
  const both = gpu.concatenate([numbers, norm]);
  gpu.disposeData(numbers.dataId);
  return both;
}

function record(
  gpu: GpuBackend,
  parts: Part[],
  settings: tf.TensorInfo,
  isClipped: boolean,
): void {
  const sizes = parts.map(({ parameter }) => tf.util.sizeFromShape(parameter.shape));
  const tensors: (tf.TensorInfo | undefined)[] = [settings];
  for (const [i, part] of parts.entries()) {
    KINDS.forEach((kind, k) => tensors[10 * (k + 1) + i - 1] = part[kind]);
  }
  const uniforms = parts.flatMap(({ weightDecay }, i) => [sizes[i], { f32: weightDecay }]);
  const size = sizes.reduce((sum, one) => sum + one, 0);
  const shader = {
    name: "adamw" as const,
    constants: { PARTS: parts.length },
    options: isClipped ? ["CLIP"] : [],
  };
  gpu.dispatch(shader, tensors, uniforms, gpu.spread(Math.ceil(size / 256)));
}
