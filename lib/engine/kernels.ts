/**
 * The contract of the fused kernels. Every backend that has them registers them with tfjs under these names, with these
 * inputs, attributes and outputs; the gradients, which only call kernels by name, are registered once, here, for all.
 *
 * Shapes: `...` stands for any leading dimensions, N for their product. Everything is float32 unless it says int32.
 * Outputs are new tensors, except where "in place" is said. NaN in gives NaN out, in every row that it touches.
 * No kernel reads outside its inputs: what it does with an id out of range is said below.
 */
import * as tf from "@tensorflow/tfjs";

/** The names under which the kernels are registered. */
export const KERNELS = {
  /**
   * y = x W + b.
   * Inputs x [..., I], weight [I, O] (or [O, I] with `transposeWeight`), bias [O] (optional).
   * Attributes { transposeWeight: boolean }. Output y [..., O].
   */
  linear: "NanoLinear",
  /**
   * The gradient of `linear` for x: dy Wᵀ.
   * Inputs dy [..., O], weight. Attributes { transposeWeight }. Output dx [..., I].
   */
  linearGradInput: "NanoLinearGradInput",
  /**
   * The gradient of `linear` for its weight: xᵀ dy, or dyᵀ x with `transposeWeight`.
   * Inputs x [..., I], dy [..., O]. Attributes { transposeWeight }. Output in the weight's shape.
   */
  linearGradWeight: "NanoLinearGradWeight",
  /** The sum over all dimensions but the last, the gradient of a bias. Input x [..., C]. Output [C]. */
  columnSum: "NanoColumnSum",
  /**
   * y = (x - mean) / sqrt(variance + epsilon) * gain + bias, over the last dimension, the variance divided by C.
   * Inputs x [..., C], gain [C], bias [C] (optional). Attributes { epsilon: number }.
   * Outputs y [..., C] and statistics [N, 2]: mean and 1 / sqrt(variance + epsilon) of each row.
   */
  layerNorm: "NanoLayerNorm",
  /**
   * The gradients of `layerNorm`.
   * Inputs x [..., C], gain [C], statistics [N, 2], dy [..., C].
   * Outputs dx [..., C], dGain [C], dBias [C].
   */
  layerNormGrad: "NanoLayerNormGrad",
  /** GELU in the tanh form: x / 2 (1 + tanh(sqrt(2/π) (x + 0.044715 x³))). Input x [...]. Output y [...]. */
  gelu: "NanoGelu",
  /** The gradient of `gelu`. Inputs x [...], dy [...]. Output dx [...]. */
  geluGrad: "NanoGeluGrad",
  /**
   * Causal self-attention of all heads. A row of qkv holds the queries of all heads, then their keys, then their
   * values: [heads * D | heads * D | heads * D]. For each head softmax(q kᵀ * scale) v, each query seeing the keys up
   * to its own place. Any T >= 1 and any D >= 1; no [T, T] matrix is kept.
   * Inputs qkv [B, T, 3C]. Attributes { heads: number (C is a multiple of it), scale: number }.
   * Outputs y [B, T, C] and logSumExp [B, heads, T]: log of the softmax's denominator, of the scaled scores.
   */
  causalAttention: "NanoCausalAttention",
  /**
   * The gradient of `causalAttention`.
   * Inputs qkv [B, T, 3C], y [B, T, C], logSumExp [B, heads, T], dy [B, T, C]. Attributes as there.
   * Output dqkv [B, T, 3C].
   */
  causalAttentionGrad: "NanoCausalAttentionGrad",
  /**
   * Rotary positions: number i of each query and key head, and number i + D/2, turned as a pair by the angle
   * t · 10000^(-2i/D) of position t; values as they are. `inverse` turns back, which is also the gradient.
   * Inputs qkv [B, T, 3C]. Attributes { heads: number, inverse: boolean }; D = C / heads is even. Output [B, T, 3C].
   */
  rotary: "NanoRotary",
  /**
   * Attention of new tokens on themselves and on those in a cache, whose positions come before theirs. Writes rows `start` to
   * `start` + T - 1 of keys and values in place. K key and value heads of width D, each for heads / K query heads.
   * Inputs qkv [B, T, (heads + 2K) D], keys and values [B, K, S, D], S at least `start` + T.
   * Attributes { heads: number (a multiple of K), start: number, scale: number, rotary: boolean (queries and keys are turned by
   * their positions, as `rotary` does; D is even then) }. Output y [B, T, heads D]. It has no gradient.
   */
  cachedAttention: "NanoCachedAttention",
  /**
   * Rows of a table. Inputs table [V, C], ids int32 [...]. Attributes { vocabSize: V }. Output [..., C].
   * An id outside [0, V): RangeError where the host can see it (simd), else a row of NaN.
   */
  embedding: "NanoEmbedding",
  /**
   * The gradient of `embedding` for the table: each row of dy added to the row that its id names, the rest 0.
   * Inputs dy [..., C], ids int32 [...]. Attributes { vocabSize: number }. Output [V, C]. Other ids are left out.
   */
  embeddingGrad: "NanoEmbeddingGrad",
  /**
   * Cross-entropy in nats of each row of logits against the number of the right class.
   * Inputs logits [..., V], targets int32 [...]. Outputs losses [...] and logSumExp [...].
   * A target outside [0, V) gives NaN.
   */
  crossEntropy: "NanoCrossEntropy",
  /**
   * The gradient of `crossEntropy`: (softmax(logits) - onehot(target)) * dy.
   * Inputs logits [..., V], targets int32 [...], logSumExp [...], dy [...]. Output dlogits [..., V].
   */
  crossEntropyGrad: "NanoCrossEntropyGrad",
  /**
   * The square root of the sum of the squares of all elements of all inputs, of any shapes and names. Output scalar [].
   */
  globalNorm: "NanoGlobalNorm",
  /**
   * One step of AdamW, in place: writes parameter, moment1 and moment2, and has no outputs. With g = gradient * f:
   * m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g²;
   * p = p (1 - learningRate weightDecay) - learningRate (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + epsilon).
   * f = 1 without a `norm`, else min(1, clipNorm / (norm + 1e-6)) (NaN if the norm is).
   * Inputs parameter, gradient, moment1, moment2 (same shape), norm scalar [] (optional).
   * Attributes { learningRate, beta1, beta2, epsilon, weightDecay, step (from 1), clipNorm }: numbers.
   */
  adamW: "NanoAdamW",
} as const;

/** Whether the backend `name` (the current one if not given) has all fused kernels. */
export function hasFusedKernels(name: string = tf.getBackend()): boolean {
  return Object.values(KERNELS).every((kernel) => tf.getKernel(kernel, name) != null);
}

function run<T = tf.Tensor>(
  kernel: string,
  inputs: Record<string, tf.Tensor | undefined>,
  attributes: Record<string, number | boolean> = {},
): T {
  // An input that is there but undefined would break tfjs's walk back along the tape.
  const present = Object.entries(inputs).filter(([, tensor]) => tensor !== undefined);
  return tf.engine().runKernel(
    kernel,
    Object.fromEntries(present) as tf.NamedTensorMap,
    attributes,
  ) as T;
}

/**
 * x W + b on the backend's fused kernel.
 *
 * @param x [..., I]
 * @param weight [I, O], or [O, I] with `transposeWeight`
 * @param bias [O]
 * @returns [..., O]
 */
export function fusedLinear(
  x: tf.Tensor,
  weight: tf.Tensor,
  bias?: tf.Tensor,
  transposeWeight = false,
): tf.Tensor {
  // In this order: see the gradient.
  return run(KERNELS.linear, { bias, x, weight }, { transposeWeight });
}

/**
 * Layer norm over the last dimension.
 *
 * @param x [..., C]
 * @param gain [C]
 * @param bias [C]
 * @returns [..., C]
 */
export function fusedLayerNorm(
  x: tf.Tensor,
  gain: tf.Tensor,
  bias?: tf.Tensor,
  epsilon = 1e-5,
): tf.Tensor {
  return run<tf.Tensor[]>(KERNELS.layerNorm, { x, gain, bias }, { epsilon })[0];
}

/** gelu(x), in the tanh form, of each number of a tensor of any shape. */
export function fusedGelu(x: tf.Tensor): tf.Tensor {
  return run(KERNELS.gelu, { x });
}

/**
 * Causal self-attention of `heads` heads.
 *
 * @param qkv [B, T, 3C]: queries, keys, values
 * @param scale of the scores; 1 / sqrt(C / heads) if not given
 * @returns [B, T, C]
 */
export function fusedCausalAttention(qkv: tf.Tensor, heads: number, scale?: number): tf.Tensor {
  const width = qkv.shape[2]! / 3 / heads;
  const attributes = { heads, scale: scale ?? 1 / Math.sqrt(width) };
  return run<tf.Tensor[]>(KERNELS.causalAttention, { qkv }, attributes)[0];
}

/**
 * Queries and keys turned by their positions, 0 to T - 1.
 *
 * @param qkv [B, T, 3C]: queries, keys, values
 * @returns [B, T, 3C]
 */
export function fusedRotary(qkv: tf.Tensor, heads: number): tf.Tensor {
  return run(KERNELS.rotary, { qkv }, { heads, inverse: false });
}

/** Numbers of attention on a cache. */
export interface CachedAttributes {
  heads: number;
  /** How many tokens the cache held before these. */
  start: number;
  /** Whether queries and keys are turned by their positions. */
  rotary: boolean;
}

/**
 * Attention of new tokens on all so far; writes their keys and values into the cache, in place.
 *
 * @param qkv [B, T, (heads + 2K) D]
 * @param cache keys and values, [B, K, S, D] each, S at least start + T
 * @returns [B, T, heads D]
 */
export function fusedCachedAttention(
  qkv: tf.Tensor,
  { k: keys, v: values }: { k: tf.Tensor; v: tf.Tensor },
  { heads, start, rotary }: CachedAttributes,
): tf.Tensor {
  const attributes = { heads, start, rotary, scale: 1 / Math.sqrt(keys.shape[3]!) };
  return run(KERNELS.cachedAttention, { qkv, keys, values }, attributes);
}

/**
 * The angles of `rotary`: for each position D/2 cosines, then D/2 sines.
 *
 * @param length T, how many positions
 * @param width D of a head, even
 */
export function rotaryTable(length: number, width: number): Float32Array {
  const half = width / 2;
  return Float32Array.from({ length: length * width }, (_, cell) => {
    const column = cell % width;
    const angle = Math.floor(cell / width) * 10000 ** (-2 * (column % half) / width);
    return column < half ? Math.cos(angle) : Math.sin(angle);
  });
}

/**
 * Rows `ids` of a table.
 *
 * @param table [V, C]
 * @param ids int32 [...]
 * @returns [..., C]
 */
export function fusedEmbedding(table: tf.Tensor, ids: tf.Tensor): tf.Tensor {
  return run(KERNELS.embedding, { table, ids }, { vocabSize: table.shape[0] });
}

/**
 * Cross-entropy of each row in nats, not averaged.
 *
 * @param logits [..., V]
 * @param targets int32 [...], each in [0, V)
 * @returns [...]
 */
export function fusedCrossEntropy(logits: tf.Tensor, targets: tf.Tensor): tf.Tensor {
  return run<tf.Tensor[]>(KERNELS.crossEntropy, { logits, targets })[0];
}

/** The norm of all gradients together: a scalar. */
export function fusedGlobalNorm(gradients: tf.Tensor[]): tf.Scalar {
  return run(
    KERNELS.globalNorm,
    Object.fromEntries(gradients.map((gradient, i) => [`x${i}`, gradient])),
  );
}

/** Numbers of an AdamW step. */
export interface AdamWAttributes {
  learningRate: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
  /** Number of this step, from 1. */
  step: number;
  /** The gradients' norm is brought down to this, if a norm is given. */
  clipNorm?: number;
}

/** One step of AdamW, which writes `parameter`, `moment1` and `moment2` in place. */
export function fusedAdamW(
  tensors: {
    parameter: tf.Tensor;
    gradient: tf.Tensor;
    moment1: tf.Tensor;
    moment2: tf.Tensor;
    norm?: tf.Scalar;
  },
  attributes: AdamWAttributes,
): void {
  run(KERNELS.adamW, tensors, { clipNorm: Infinity, ...attributes });
}

/** Tells tfjs the gradients of the fused kernels, for all backends; needed once. */
export function registerFusedGradients(): void {
  for (const gradient of GRADIENTS) tf.registerGradient(gradient);
}

function first(dy: tf.Tensor | tf.Tensor[]): tf.Tensor {
  return Array.isArray(dy) ? dy[0] : dy;
}

/** What a step of the walk back along the tape leaves behind, to be called when nothing needs it any more. */
type Release = () => void;

/**
 * Frees a step's gradient of its output and the tensors saved for it, which tfjs keeps until the whole walk is over:
 * without this a training step needs half as much memory again. Not what the caller of `tf.grads` gave, and nothing where
 * gradients of gradients are wanted, for which the tape is walked twice.
 */
function releaseOf(dy: tf.Tensor | tf.Tensor[], saved: tf.Tensor[]): Release {
  const { activeScope, gradientDepth } = tf.engine().state;
  if (gradientDepth > 0) return () => {};
  const made = [dy].flat().filter((tensor) => tensor.scopeId === activeScope.id);
  return () => tf.dispose([...made, ...saved]);
}

/** A gradient whose kernel has run before the first of its functions is called. */
function computed(
  gradients: (dy: tf.Tensor, saved: tf.Tensor[], attributes: tf.NamedAttrMap) => tf.NamedTensorMap,
): tf.GradFunc {
  return (dy, saved, attributes) => {
    const release = releaseOf(dy, saved);
    const results = gradients(first(dy), saved, attributes);
    release();
    return Object.fromEntries(Object.entries(results).map(([name, dx]) => [name, () => dx]));
  };
}

const sumGradient = computed((dy) => ({ a: tf.clone(dy), b: tf.clone(dy) }));

const stockSum = tf.getGradient("Add");

const GRADIENTS: tf.GradConfig[] = [
  {
    // tfjs's own gradient of a sum keeps what arrives until the walk is over, and a residual stream is made of sums.
    ...stockSum,
    gradFunc: (dy, [a, b], attributes) => {
      const isAligned = tf.util.arraysEqual(a.shape, b.shape);
      return (isAligned ? sumGradient : stockSum.gradFunc)(dy, [a, b], attributes);
    },
  },
  {
    kernelName: KERNELS.linear,
    inputsToSave: ["x", "weight"],
    gradFunc: (dy, [x, weight], attributes) => {
      const transposeWeight = attributes.transposeWeight as boolean;
      const d = first(dy), release = releaseOf(dy, [x, weight]);
      return {
        bias: () => run(KERNELS.columnSum, { x: d }),
        x: () => run(KERNELS.linearGradInput, { dy: d, weight }, { transposeWeight }),
        // The last that is called: tfjs asks in the order in which `fusedLinear` names the inputs.
        weight: () => {
          const dWeight = run(KERNELS.linearGradWeight, { x, dy: d }, { transposeWeight });
          release();
          return dWeight;
        },
      };
    },
  },
  {
    kernelName: KERNELS.layerNorm,
    inputsToSave: ["x", "gain"],
    outputsToSave: [false, true],
    gradFunc: computed((dy, [x, gain, statistics]) => {
      const inputs = { x, gain, statistics, dy };
      const [dx, dGain, dBias] = run<tf.Tensor[]>(KERNELS.layerNormGrad, inputs);
      return { x: dx, gain: dGain, bias: dBias };
    }),
  },
  {
    kernelName: KERNELS.gelu,
    inputsToSave: ["x"],
    gradFunc: computed((dy, [x]) => ({ x: run(KERNELS.geluGrad, { x, dy }) })),
  },
  {
    kernelName: KERNELS.causalAttention,
    inputsToSave: ["qkv"],
    outputsToSave: [true, true],
    gradFunc: computed((dy, [qkv, y, logSumExp], attributes) => {
      const { heads, scale } = attributes as { heads: number; scale: number };
      const inputs = { qkv, y, logSumExp, dy };
      return { qkv: run(KERNELS.causalAttentionGrad, inputs, { heads, scale }) };
    }),
  },
  {
    kernelName: KERNELS.rotary,
    gradFunc: computed((dy, _saved, attributes) => {
      const { heads, inverse } = attributes as { heads: number; inverse: boolean };
      return { qkv: run(KERNELS.rotary, { qkv: dy }, { heads, inverse: !inverse }) };
    }),
  },
  {
    kernelName: KERNELS.embedding,
    inputsToSave: ["ids"],
    gradFunc: (dy, [ids], attributes) => {
      const vocabSize = attributes.vocabSize as number;
      return { table: () => run(KERNELS.embeddingGrad, { dy: first(dy), ids }, { vocabSize }) };
    },
  },
  {
    kernelName: KERNELS.crossEntropy,
    inputsToSave: ["logits", "targets"],
    outputsToSave: [false, true],
    gradFunc: computed((dy, [logits, targets, logSumExp]) => {
      const inputs = { logits, targets, logSumExp, dy };
      return { logits: run(KERNELS.crossEntropyGrad, inputs) };
    }),
  },
];
