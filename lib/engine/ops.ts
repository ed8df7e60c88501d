/**
 * The one place where it is decided whose code computes an operator: the chapter's, written in plain tfjs ops, or a fused
 * kernel of the engine. A kernel stands in only for a function that computes the same, values and gradients, checked on
 * this machine (`verifyOperators`); change a line of the chapter's function, and your version runs.
 */
import * as tf from "@tensorflow/tfjs";
import {
  fusedAdamW,
  fusedCachedAttention,
  fusedCausalAttention,
  fusedCrossEntropy,
  fusedEmbedding,
  fusedGelu,
  fusedGlobalNorm,
  fusedLayerNorm,
  fusedLinear,
  fusedRotary,
  hasFusedKernels,
  registerFusedGradients,
} from "./kernels.ts";
import { Random } from "./random.ts";
import { withStorage } from "./storage.ts";

/** The keys and values of the tokens before: what chapter 03 calls a `LayerCache`. */
export interface KeyValueCache {
  readonly length: number;
  append(k: tf.Tensor4D, v: tf.Tensor4D): { k: tf.Tensor4D; v: tf.Tensor4D };
  reserve?(shape: [number, number, number, number]): { k: tf.Tensor4D; v: tf.Tensor4D };
}

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
  /** qkv [B, T, C + 2·Ckv] of new tokens, those before in the cache, which takes their keys and values -> [B, T, C]. */
  cachedAttention(
    qkv: tf.Tensor3D,
    cache: KeyValueCache,
    options: { nHead: number; nKVHead?: number; rotary?: boolean },
  ): tf.Tensor3D;
  /** Logits [..., V], targets [...] int32 -> mean loss in nats, []. */
  crossEntropy(logits: tf.Tensor, targets: tf.Tensor): tf.Scalar;
  /** Length of all gradients together, as one vector. */
  globalNorm(gradients: Record<string, tf.Tensor>): tf.Scalar;
  /** One step of AdamW for one parameter, in place; gradients longer than `limit` in all are shortened to it. */
  adamW(
    state: { weight: tf.Variable; m: tf.Variable; v: tf.Variable },
    gradient: tf.Tensor,
    step: number,
    learningRate: number,
    options: { betas: [number, number]; eps: number; weightDecay: number },
    clip?: { norm: tf.Scalar; limit: number },
  ): void;
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

/** What a kernel's form gives for arguments that no kernel is made for: the reference runs. */
const NO_KERNEL = Symbol("no kernel");

/** The kernels' form of each operator. */
const FUSED: {
  [N in OperatorName]: (
    ...args: Parameters<Operators[N]>
  ) => ReturnType<Operators[N]> | typeof NO_KERNEL;
} = {
  embed: fusedEmbedding,
  linear: fusedLinear,
  layerNorm: fusedLayerNorm,
  gelu: fusedGelu,
  causalAttention: (qkv, { nHead, nKVHead = nHead, dropout = 0, random, rotary = false }) => {
    if (nKVHead !== nHead || (random && dropout > 0)) return NO_KERNEL;
    return tf.tidy(() =>
      fusedCausalAttention(rotary ? fusedRotary(qkv, nHead) : qkv, nHead) as tf.Tensor3D
    );
  },
  cachedAttention: (qkv, cache, { nHead, nKVHead = nHead, rotary = false }) => {
    if (!cache.reserve || tf.engine().state.gradientDepth > 0) return NO_KERNEL;
    const [batch, tokens, columns] = qkv.shape, start = cache.length;
    const width = columns / (nHead + 2 * nKVHead);
    const rows = cache.reserve([batch, nKVHead, tokens, width]);
    return fusedCachedAttention(qkv, rows, { heads: nHead, start, rotary }) as tf.Tensor3D;
  },
  crossEntropy: (logits, targets) => tf.tidy(() => tf.mean(fusedCrossEntropy(logits, targets))),
  globalNorm: (gradients) => fusedGlobalNorm(Object.values(gradients)),
  adamW: ({ weight, m, v }, gradient, step, learningRate, options, clip) => {
    const { betas: [beta1, beta2], eps: epsilon, weightDecay } = options;
    const tensors = { parameter: weight, gradient, moment1: m, moment2: v, norm: clip?.norm };
    const settings = { learningRate, beta1, beta2, epsilon, weightDecay, step };
    fusedAdamW(tensors, { ...settings, clipNorm: clip?.limit });
  },
};

registerFusedGradients();

interface Registered {
  name: OperatorName;
  // deno-lint-ignore no-explicit-any
  reference: (...args: any[]) => any;
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
  const kernel = FUSED[name] as (...args: unknown[]) => unknown;
  const call = (...args: unknown[]) => {
    // No kernel knows what to do with more arguments than the operator has.
    const fits = args.length <= kernel.length && entry.verdicts.get(tf.getBackend())?.same;
    if (mode === "fused" && fits) {
      const result = kernel(...args);
      if (result !== NO_KERNEL) return result;
    }
    return entry.reference(...args);
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
  const backend = tf.getBackend(), entries = [...registered.values()];
  const fresh = entries.filter(({ verdicts }) => !verdicts.has(backend));
  if (fresh.length > 0 && !hasFusedKernels()) return [];
  for (const entry of fresh) entry.verdicts.set(backend, await compare(entry));
  return entries.map(({ verdicts }) => verdicts.get(backend)!);
}

async function compare({ name, reference }: Registered): Promise<Verdict> {
  let difference = 0;
  for (const probe of PROBES[name]) {
    // A function under construction may throw, and then it is not the same; a kernel of ours may not.
    const ours = await numbersOf(probe, reference).catch(() => [new Float32Array([NaN])]);
    const theirs = await numbersOf(probe, FUSED[name]);
    ours.forEach((values, i) => difference = Math.max(difference, distance(values, theirs[i])));
  }
  return { operator: name, same: difference <= TOLERANCE, difference };
}

/** Tries an operator on some arguments: gives all that it computes. */
type Probe = (f: Registered["reference"]) => tf.Tensor[];

/** The numbers that a probe gives. */
async function numbersOf(probe: Probe, f: Registered["reference"]): Promise<Float32Array[]> {
  // The formulas are compared, not what is lost by storing numbers in fewer bits.
  const results = withStorage("f32", () => tf.tidy(() => probe(f)));
  // Copies: what data() returns may be the backend's own memory.
  const copies = results.map(async (tensor) => Float32Array.from(await tensor.data()));
  const values = await Promise.all(copies);
  tf.dispose(results);
  return values;
}

/** A probe for an operator with gradients: its result and, weighted so that no error cancels out, its gradients. */
function gradients(make: (random: Random) => { trained: tf.Tensor[]; rest?: unknown[] }): Probe {
  return (f) => {
    const { trained, rest = [] } = make(new Random(7));
    const y: tf.Tensor = f(...trained, ...rest);
    const weights = tf.tensor(new Random(11).normals(y.size), y.shape);
    return [y, ...tf.grads((...xs) => f(...xs, ...rest).mul(weights).sum())(trained)];
  };
}

/** Two steps of AdamW, the second clipped to 1. */
function adamW(f: Operators["adamW"], norm = 4): tf.Tensor[] {
  const random = new Random(7);
  const state = { weight: variable(random), m: variable(random, 0), v: variable(random, 0) };
  const options = { betas: [0.9, 0.99] as [number, number], eps: 1e-8, weightDecay: 0.1 };
  f(state, normal(random, 3, 5), 1, 0.1, options);
  f(state, normal(random, 3, 5), 2, 0.1, options, { norm: tf.scalar(norm), limit: 1 });
  const after = Object.values(state).map((tensor) => tensor.clone());
  tf.dispose(state);
  return after;
}

/** A cache with room for some tokens. */
class SmallCache implements KeyValueCache {
  length = 0;
  readonly rows: { k: tf.Variable<tf.Rank.R4>; v: tf.Variable<tf.Rank.R4> };

  constructor(batch: number, heads: number, readonly room: number, width: number) {
    const zeros = () => tf.variable(tf.zeros<tf.Rank.R4>([batch, heads, room, width]));
    this.rows = { k: zeros(), v: zeros() };
  }

  reserve([, , tokens]: number[]) {
    this.length += tokens;
    return this.rows;
  }

  append(k: tf.Tensor4D, v: tf.Tensor4D) {
    const start = this.length;
    this.length += k.shape[2];
    const put = (rows: tf.Variable<tf.Rank.R4>, more: tf.Tensor4D) => {
      const parts = [cut(rows, 0, start), more, cut(rows, this.length, this.room)];
      rows.assign(tf.concat(parts.filter(({ size }) => size > 0), 2));
      return cut(rows, 0, this.length);
    };
    return { k: put(this.rows.k, k), v: put(this.rows.v, v) };
  }
}

/** Rows `start` to `end` of each head of [B, H, T, D]. */
function cut(x: tf.Tensor4D, start: number, end: number): tf.Tensor4D {
  return x.slice([0, 0, start, 0], [-1, -1, end - start, -1]);
}

/** Some tokens, then some more: what comes out, and what the cache holds in the end. */
function cached(
  [batch, width]: [number, number],
  options: { nHead: number; nKVHead: number; rotary: boolean },
  pieces = [5, 1, 3],
): (f: Operators["cachedAttention"]) => tf.Tensor[] {
  return (f) => {
    const { nHead, nKVHead } = options, random = new Random(7);
    const room = pieces.reduce((sum, tokens) => sum + tokens);
    const cache = new SmallCache(batch, nKVHead, room, width);
    const columns = (nHead + 2 * nKVHead) * width;
    const qkv = (tokens: number) => normal(random, batch, tokens, columns) as tf.Tensor3D;
    const outputs = pieces.map((tokens) => f(qkv(tokens), cache, options));
    const held = Object.values(cache.rows).map((rows) => rows.clone());
    tf.dispose(cache.rows);
    return [...outputs, ...held];
  };
}

function variable(random: Random, std = 1): tf.Variable {
  return tf.variable(normal(random, 3, 5).mul(std));
}

function distance(a: Float32Array, b: Float32Array | undefined): number {
  if (a.length !== b?.length) return Infinity;
  let largest = 1e-6, apart = 0;
  for (let i = 0; i < a.length; i++) {
    if (Number.isNaN(a[i]) && Number.isNaN(b[i])) continue;
    largest = Math.max(largest, Math.abs(a[i]));
    apart = Math.max(apart, Math.abs(a[i] - b[i]));
    if (Number.isNaN(a[i] - b[i])) return Infinity;
  }
  return apart / largest;
}

/** Tokens that attention is compared on once: more than a window of 256. Longer would cost a graphics card memory. */
const LONG = 258;

/** Options that have every other one too, set to 1: a function that heeds one of which the kernel knows nothing, shows. */
function withMore<T extends object>(options: T): T {
  return new Proxy(options, { get: (known, name) => name in known ? Reflect.get(known, name) : 1 });
}

const PROBES: Record<OperatorName, Probe[]> = {
  embed: [
    gradients((random) => ({ trained: [normal(random, 7, 5)], rest: [ids(random, 7, 2, 3)] })),
  ],
  linear: [
    gradients((random) => ({
      trained: [normal(random, 2, 3, 5), normal(random, 5, 7), normal(random, 7)],
    })),
    gradients((random) => ({ trained: [normal(random, 9, 8), normal(random, 8, 4)] })),
  ],
  layerNorm: [
    gradients((random) => ({
      trained: [normal(random, 2, 3, 7), normal(random, 7), normal(random, 7)],
    })),
    gradients((random) => ({ trained: [normal(random, 5, 8), normal(random, 8)] })),
  ],
  gelu: [
    gradients((random) => ({ trained: [normal(random, 3, 2, 13)] })),
    // Far from 0 too, where an activation may be cut off.
    gradients((random) => ({ trained: [normal(random, 5, 7).mul(20)] })),
    (f) => [f(tf.tensor1d([NaN, 1]))],
  ],
  causalAttention: [
    gradients((random) => ({ trained: [normal(random, 2, 7, 30)], rest: [{ nHead: 2 }] })),
    gradients((random) => ({
      trained: [normal(random, 1, 5, 36)],
      rest: [{ nHead: 2, rotary: true }],
    })),
    // Long, because a mask may hide only what is far back; values only, which is soon done.
    (f) => [f(normal(new Random(7), 1, LONG, 6), { nHead: 1 })],
    gradients((random) => ({
      trained: [normal(random, 1, 7, 12)],
      rest: [withMore({ nHead: 2, nKVHead: 2, dropout: 0, random: undefined, rotary: false })],
    })),
  ],
  cachedAttention: [
    cached([2, 6], { nHead: 4, nKVHead: 2, rotary: true }),
    cached([1, 5], { nHead: 3, nKVHead: 3, rotary: false }),
    cached([1, 2], { nHead: 1, nKVHead: 1, rotary: false }, [LONG, 1]),
    cached([1, 2], withMore({ nHead: 2, nKVHead: 2, rotary: false })),
  ],
  crossEntropy: [
    gradients((random) => ({ trained: [normal(random, 2, 3, 7)], rest: [ids(random, 7, 2, 3)] })),
  ],
  globalNorm: [(f) => [f({ a: normal(new Random(7), 3, 5), b: normal(new Random(8), 11) })]],
  // A kernel on a card that loses the NaN is not the same: training looks for it in the weights.
  adamW: [(f) => adamW(f), (f) => adamW(f, NaN)],
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
