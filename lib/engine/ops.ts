/**
 * The one place where it is decided whose code computes an operator: the chapter's, written in plain tfjs ops, or a fused
 * kernel of the engine. A kernel stands in only for a function that computes the same, values and gradients, checked on
 * this machine (`verifyOperators`); change a line of the chapter's function, and your version runs.
 */
import * as tf from "@tensorflow/tfjs";
import {
  fusedCausalAttention,
  fusedCrossEntropy,
  fusedEmbedding,
  fusedGelu,
  fusedLayerNorm,
  fusedLinear,
  fusedRotary,
  hasFusedKernels,
  registerFusedGradients,
} from "./kernels.ts";
import { Random } from "./random.ts";

/** The operators that the engine has kernels for: what the chapters' functions of these names take and give. */
export interface Operators {
  /** Rows of a table [V, C] by ids [...] -> [..., C]. */
  embed(table: tf.Tensor2D, ids: tf.Tensor): tf.Tensor;
  /** x [..., Cin] · weight [Cin, Cout] + bias [Cout] -> [..., Cout]. */
  linear(x: tf.Tensor, weight: tf.Tensor, bias?: tf.Tensor): tf.Tensor;
  /** x [..., C], gain [C], bias [C] -> [..., C]. */
  layerNorm(x: tf.Tensor, gain: tf.Tensor, bias?: tf.Tensor, eps?: number): tf.Tensor;
  /** Any shape, number by number. */
  gelu(x: tf.Tensor): tf.Tensor;
  /** qkv [B, T, C + 2·Ckv] -> [B, T, C]. */
  causalAttention(
    qkv: tf.Tensor3D,
    options: {
      nHead: number;
      nKVHead?: number;
      dropout?: number;
      random?: Random;
      rotary?: boolean;
    },
  ): tf.Tensor3D;
  /** Logits [..., V], targets [...] int32 -> mean loss in nats, []. */
  crossEntropy(logits: tf.Tensor, targets: tf.Tensor): tf.Scalar;
}

/** The name of an operator. */
export type OperatorName = keyof Operators;

/** Whose code runs: the engine's kernels where they fit, or the chapters' functions always. */
export type KernelMode = "fused" | "reference";

/** What `verifyOperators` found for one operator. */
export interface Verdict {
  operator: OperatorName;
  /** Whether the kernel computes what the function does. */
  same: boolean;
  /** Largest difference of a value or gradient, relative to the largest number compared. */
  difference: number;
}

/** The kernels' form of each operator: undefined for arguments that no kernel is made for, and the reference runs. */
const FUSED: {
  [N in OperatorName]: (
    ...args: Parameters<Operators[N]>
  ) => ReturnType<Operators[N]> | undefined;
} = {
  embed: fusedEmbedding,
  linear: fusedLinear,
  layerNorm: fusedLayerNorm,
  gelu: fusedGelu,
  causalAttention: (qkv, { nHead, nKVHead = nHead, dropout = 0, random, rotary = false }) => {
    if (nKVHead !== nHead || (random && dropout > 0)) return undefined;
    return tf.tidy(() =>
      fusedCausalAttention(rotary ? fusedRotary(qkv, nHead) : qkv, nHead) as tf.Tensor3D
    );
  },
  crossEntropy: (logits, targets) => tf.mean(fusedCrossEntropy(logits, targets)),
};

registerFusedGradients();

interface Registered {
  name: OperatorName;
  // deno-lint-ignore no-explicit-any
  reference: (...args: any[]) => tf.Tensor;
  verdicts: Map<string, Verdict>;
}

const registered = new Map<unknown, Registered>();
let mode: KernelMode = "fused";

/** How much a kernel may differ from the function it stands in for, relative to the largest number compared. */
export const TOLERANCE = 1e-4;

/** Chooses whose code runs from now on; `"reference"` shows that nothing is hidden. */
export function useKernels(which: KernelMode): void {
  if (which !== "fused" && which !== "reference") {
    throw new RangeError(`kernels must be "fused" or "reference", got "${which}"`);
  }
  mode = which;
}

/**
 * An operator: the function itself, until `verifyOperators` has found that this backend's kernel computes the same; from
 * then on the kernel.
 *
 * @param name which operator the function is meant to be
 * @param reference the function, in plain tfjs ops
 */
export function operator<N extends OperatorName>(name: N, reference: Operators[N]): Operators[N] {
  const known = registered.get(reference);
  const entry: Registered = known?.name === name ? known : { name, reference, verdicts: new Map() };
  registered.set(reference, entry);
  const kernel = FUSED[name] as (...args: unknown[]) => tf.Tensor | undefined;
  const call = (...args: unknown[]) => {
    const isFused = mode === "fused" && entry.verdicts.get(tf.getBackend())?.same;
    return (isFused && kernel(...args)) || entry.reference(...args);
  };
  return call as Operators[N];
}

/**
 * Compares every operator with this backend's kernel, values and gradients, on small random inputs of odd sizes. Done once for
 * each function and backend; training and sampling call it before they start.
 *
 * @returns one verdict for each operator that has a kernel here
 */
export async function verifyOperators(): Promise<Verdict[]> {
  if (!hasFusedKernels()) return [];
  const backend = tf.getBackend();
  for (const entry of registered.values()) {
    if (!entry.verdicts.has(backend)) entry.verdicts.set(backend, await compare(entry));
  }
  return [...registered.values()].map((entry) => entry.verdicts.get(backend)!);
}

async function compare({ name, reference }: Registered): Promise<Verdict> {
  const kernel = FUSED[name] as Registered["reference"];
  let difference = 0;
  for (const sample of SAMPLES[name](new Random(7))) {
    const [ours, theirs] = [await trial(reference, sample), await trial(kernel, sample)];
    ours.forEach((values, i) => difference = Math.max(difference, distance(values, theirs[i])));
    tf.dispose([
      ...sample.trained,
      ...sample.rest.filter((value) => value instanceof tf.Tensor) as tf.Tensor[],
    ]);
  }
  return { operator: name, same: difference <= TOLERANCE, difference };
}

/** Arguments to try an operator on: tensors to differentiate by, then the others. */
interface Sample {
  trained: tf.Tensor[];
  rest: unknown[];
}

/** The result and, weighted so that no error cancels out, the gradient of each trained argument; NaN where it throws. */
async function trial(
  f: Registered["reference"],
  { trained, rest }: Sample,
): Promise<Float32Array[]> {
  try {
    const results = tf.tidy(() => {
      const y = f(...trained, ...rest);
      const weights = tf.tensor(new Random(11).normals(y.size), y.shape);
      const gradients = tf.grads((...xs: tf.Tensor[]) => f(...xs, ...rest).mul(weights).sum())(
        trained,
      );
      return [y, ...gradients];
    });
    const values = await Promise.all(
      results.map((tensor) => tensor.data() as Promise<Float32Array>),
    );
    tf.dispose(results);
    return values;
  } catch {
    return [new Float32Array([NaN])];
  }
}

function distance(a: Float32Array, b: Float32Array | undefined): number {
  if (a.length !== b?.length) return Infinity;
  let largest = 1e-6, apart = 0;
  for (let i = 0; i < a.length; i++) {
    largest = Math.max(largest, Math.abs(a[i]));
    apart = Math.max(apart, Math.abs(a[i] - b[i]));
    if (Number.isNaN(a[i] - b[i])) return Infinity;
  }
  return apart / largest;
}

const SAMPLES: Record<OperatorName, (random: Random) => Sample[]> = {
  embed: (random) => [{ trained: [normal(random, 7, 5)], rest: [ids(random, 7, 2, 3)] }],
  linear: (random) => [
    { trained: [normal(random, 2, 3, 5), normal(random, 5, 7), normal(random, 7)], rest: [] },
    { trained: [normal(random, 9, 8), normal(random, 8, 4)], rest: [] },
  ],
  layerNorm: (random) => [
    { trained: [normal(random, 2, 3, 7), normal(random, 7), normal(random, 7)], rest: [] },
    { trained: [normal(random, 5, 8), normal(random, 8)], rest: [] },
  ],
  gelu: (random) => [{ trained: [normal(random, 3, 2, 13)], rest: [] }],
  causalAttention: (random) => [
    { trained: [normal(random, 2, 7, 30)], rest: [{ nHead: 2 }] },
    { trained: [normal(random, 1, 5, 36)], rest: [{ nHead: 2, rotary: true }] },
  ],
  crossEntropy: (random) => [{ trained: [normal(random, 2, 3, 7)], rest: [ids(random, 7, 2, 3)] }],
};

function normal(random: Random, ...shape: number[]): tf.Tensor {
  return tf.tensor(random.normals(tf.util.sizeFromShape(shape)), shape);
}

function ids(random: Random, limit: number, ...shape: number[]): tf.Tensor {
  const values = Int32Array.from(
    { length: tf.util.sizeFromShape(shape) },
    () => random.integer(limit),
  );
  return tf.tensor(values, shape, "int32");
}
