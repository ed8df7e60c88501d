/**
 * 05 · Train.
 *
 * Exported from notebooks/05-train.ipynb: edit there and run `deno task export`,
 * or edit here, between the markers, and run `deno task export --update 05-train`.
 *
 * @module train
 */
// export: 68e59e76, from notebooks/05-train.ipynb

import { findFolder, placeOf, replaceFile, replaceFolder, writeDurably } from "lib/data/folder.ts";
import * as tf from "@tensorflow/tfjs";
import { Random, type RandomState } from "lib/engine/random.ts";
import {
  checkSettings,
  completeSettings,
  requireSetting,
  type Rules,
  setting,
  type Table,
} from "lib/engine/settings.ts";
import { operator, verifyOperators } from "lib/engine/ops.ts";
import {
  encodeSafetensors,
  type HostTensor,
  namesOf,
  readSafetensors,
  requireWeights,
  SafetensorsError,
  type StoredTensor,
} from "lib/data/safetensors.ts";
import type { Parameters } from "lib/engine/parameters.ts";
import { GPT, type GPTConfig, loadWeights, parameterShapes } from "lib/transformer.ts";
import { type CharacterTokenizer, loadTokenizer, type Tokenizer } from "lib/tokenizer.ts";
import { makeRoom } from "lib/data/runs.ts";
import { readText } from "lib/host/files.ts";
import { replaceLostDevice } from "lib/engine/backend.ts";
import { listenForStop } from "lib/notebook/stop.ts";

// cell: token-pack 03583524
/** Token ids, packed. */
export type Tokens = Uint16Array | Uint32Array | Int32Array;

/**
 * Ids in the narrowest type that holds the vocabulary: two bytes each up to 65,536 tokens, else four. Each is read once.
 *
 * @throws RangeError naming the first id outside [0, vocabSize)
 * @example packTokens([3, 1, 2], 512) // Uint16Array [3, 1, 2]
 */
export function packTokens(ids: Iterable<number>, vocabSize: number): Tokens {
  const Type = vocabSize <= 0x1_0000 ? Uint16Array : Uint32Array;
  let packed = new Type(1024), length = 0;
  for (const id of ids) {
    if (!(Number.isInteger(id) && id >= 0 && id < vocabSize)) {
      throw new RangeError(`token ${length} must be an id in [0, ${vocabSize}), got ${id}`);
    }
    if (length === packed.length) {
      const longer = new Type(2 * length);
      longer.set(packed);
      packed = longer;
    }
    packed[length++] = id;
  }
  return packed.slice(0, length);
}

// cell: token-write 431279d1
/**
 * Writes ids to a file, whole or not at all: raw numbers, as wide as `packTokens` makes them, lowest byte first. Folders are made
 * as needed.
 *
 * @throws RangeError naming the first id outside [0, vocabSize)
 */
export async function writeTokens(
  file: string,
  ids: Iterable<number>,
  vocabSize: number,
): Promise<void> {
  await replaceFile(file, new Uint8Array(packTokens(ids, vocabSize).buffer as ArrayBuffer));
}

// cell: token-read e2d142f5
/**
 * Reads what `writeTokens` wrote for the same vocabulary.
 *
 * @throws Error if the file holds half a token or an id outside [0, vocabSize)
 */
export async function readTokens(file: string, vocabSize: number): Promise<Tokens> {
  const { buffer, byteLength } = await Deno.readFile(file);
  const width = vocabSize <= 0x1_0000 ? 2 : 4;
  if (byteLength % width !== 0) {
    throw new Error(`${file}: ${byteLength} bytes are no whole number of ${width}-byte tokens`);
  }
  return packTokens(width === 2 ? new Uint16Array(buffer) : new Uint32Array(buffer), vocabSize);
}

// cell: batch-type ba33f40a
/** What the model sees and what it should say, both [B, T], int32. */
export interface Batch {
  inputs: tf.Tensor2D;
  targets: tf.Tensor2D;
}

// cell: next-token-batch b6efede7
/**
 * Cuts rows out of a text: for each start, `length` tokens as inputs, and as targets the token that follows each.
 *
 * @param tokens the whole text
 * @param starts where each row begins; B of them
 * @param length tokens per row, T
 * @returns inputs and targets, [B, T]
 * @throws RangeError if a row or its last target would lie outside the text
 * @example nextTokenBatch(Int32Array.of(5, 6, 7, 8), [0, 1], 2) // inputs [[5, 6], [6, 7]], targets [[6, 7], [7, 8]]
 */
export function nextTokenBatch(tokens: Tokens, starts: number[], length: number): Batch {
  const last = tokens.length - length - 1;
  const bad = starts.find((start) => !(Number.isInteger(start) && start >= 0 && start <= last));
  if (bad !== undefined) {
    throw new RangeError(
      `a row of ${length} tokens and its target must start in [0, ${last}], got ${bad}`,
    );
  }
  const cut = (shift: number) => {
    const rows = new Int32Array(starts.length * length);
    starts.forEach((start, row) => {
      rows.set(tokens.subarray(start + shift, start + shift + length), row * length);
    });
    return tf.tensor2d(rows, [starts.length, length], "int32"); // [B, T]
  };
  return { inputs: cut(0), targets: cut(1) };
}

// cell: sampler-options bde3335f
/** How a `BatchSampler` draws. */
export interface BatchSamplerOptions {
  /** Rows per batch, B. */
  batchSize: number;
  /** Tokens per row, T. */
  blockSize: number;
  /** Where the starting places come from. */
  random: Random;
}

// cell: batch-sampler 284cd87e
const MOST_ROWS = 2 ** 16; // of a batch; more is a slip of the hand, and would take all memory

/** Draws batches from anywhere in a text, with replacement, as nanoGPT's `get_batch` does. */
export class BatchSampler {
  /**
   * @param tokens the whole text
   * @throws RangeError if batchSize or blockSize is not a whole number of at least 1, or the text is too short for one row and
   *   its last target
   */
  constructor(readonly tokens: Tokens, readonly options: BatchSamplerOptions) {
    const { batchSize, blockSize } = options;
    requireSetting("batchSize", batchSize, setting.whole(1, MOST_ROWS));
    requireSetting("blockSize", blockSize, setting.whole(1));
    if (tokens.length <= blockSize) {
      throw new RangeError(
        `a row of ${blockSize} tokens needs a text of at least ${
          blockSize + 1
        }, got ${tokens.length}`,
      );
    }
  }

  /** The next batch, [B, T] each. Dispose of both. */
  next(): Batch {
    const { batchSize, blockSize, random } = this.options;
    const places = this.tokens.length - blockSize;
    const starts = Array.from({ length: batchSize }, () => random.integer(places));
    return nextTokenBatch(this.tokens, starts, blockSize);
  }
}

// cell: cross-entropy 43852544
/**
 * Mean cross-entropy: how little probability softmax(logits) gives to the tokens that really came.
 *
 * @param logits scores, [B, T, V] or [N, V]
 * @param targets the ids that came, in [0, V), int32, one per row of scores: [B, T] or [N]
 * @returns a scalar, in nats per token: 0 is sure and right, ln V is a blind guess
 * @throws RangeError if the number of targets is not the number of rows
 * @example crossEntropy(tf.tensor2d([[2, 1, 0]]), tf.tensor1d([0], "int32")) // 0.408
 */
export function crossEntropy(logits: tf.Tensor, targets: tf.Tensor): tf.Scalar {
  const vocabSize = logits.shape.at(-1)!;
  if (targets.size * vocabSize !== logits.size) {
    throw new RangeError(
      `logits [${logits.shape}] need one target per row, got targets [${targets.shape}]`,
    );
  }
  return tf.tidy(() => {
    const rows = logits.reshape([-1, vocabSize]); // [N, V]
    const right = tf.oneHot(targets.flatten(), vocabSize).toFloat(); // [N, V]
    return tf.logSoftmax(rows).mul(right).sum().div(-targets.size);
  });
}

// cell: adamw-types ca3c939d
/** One parameter and what AdamW remembers of it, all of one shape. */
export interface AdamWState {
  weight: tf.Tensor;
  /** Running mean of the gradient. */
  m: tf.Tensor;
  /** Running mean of the squared gradient. */
  v: tf.Tensor;
}

/** How AdamW moves. */
export interface AdamWOptions {
  /** How much of m and of v survives a step; default [0.9, 0.99]. */
  betas: [number, number];
  /** Added to the root of v; default 1e-8. */
  eps: number;
  /** Share of a weight that fades per step, times the learning rate; default 0.1. */
  weightDecay: number;
}

// cell: adamw-step 565bf2ef
/**
 * One step of AdamW (Loshchilov, Hutter 2019, arXiv:1711.05101, algorithm 2) for one parameter.
 *
 * @param state before the step; m and v are zeros before the first
 * @param gradient of the loss by the weight, the same shape
 * @param step which step this is, from 1
 * @param learningRate about how far a weight moves
 * @returns the state after the step
 * @throws RangeError if step is not a whole number from 1 on
 */
export function adamWStep(
  state: AdamWState,
  gradient: tf.Tensor,
  step: number,
  learningRate: number,
  { betas: [beta1, beta2], eps, weightDecay }: AdamWOptions,
): AdamWState {
  if (!(Number.isInteger(step) && step >= 1)) {
    throw new RangeError(`step must be 1 or more, got ${step}`);
  }
  const m = state.m.mul(beta1).add(gradient.mul(1 - beta1));
  const v = state.v.mul(beta2).add(gradient.square().mul(1 - beta2));
  const size = v.sqrt().div(Math.sqrt(1 - beta2 ** step)).add(eps);
  const move = m.div(size).mul(learningRate / (1 - beta1 ** step));
  const weight = state.weight.mul(1 - learningRate * weightDecay).sub(move);
  return { weight, m, v };
}

// cell: gradients-type 4f7dc241
/** The gradient of the loss by each parameter, under the parameter's name. */
export type Gradients = Record<string, tf.Tensor>;

// cell: adamw-kernel bb5be522
/** Shortens all gradients by one factor, so that together they are at most `limit` long. */
export interface Clipping {
  /** How long they are, as one vector; a scalar, so that nothing has to wait for it. */
  norm: tf.Scalar;
  limit: number;
}

function shrinkFactor({ norm, limit }: Clipping): tf.Scalar {
  return tf.minimum(1, tf.div(limit, norm.add(1e-6)));
}

function adamWInPlace(
  state: { weight: tf.Variable; m: tf.Variable; v: tf.Variable },
  gradient: tf.Tensor,
  step: number,
  learningRate: number,
  options: AdamWOptions,
  clip?: Clipping,
): void {
  tf.tidy(() => {
    const shorter = clip ? gradient.mul(shrinkFactor(clip)) : gradient;
    const moved = adamWStep(state, shorter, step, learningRate, options);
    state.weight.assign(moved.weight);
    state.m.assign(moved.m);
    state.v.assign(moved.v);
  });
}

const engineAdamW = operator("adamW", adamWInPlace);

// cell: adamw-class 1d04b8de
/** What each option may be, and what it is unless told. */
const ADAMW: Table<AdamWOptions> = {
  betas: [setting.pair("[0, 1)"), [0.9, 0.99]],
  eps: [setting.number("[1e-30, ∞)"), 1e-8], // not 0: a weight that never had a gradient moves by 0 / eps
  weightDecay: [setting.number("[0, ∞)"), 0.1],
};

/** AdamW for all parameters of a model. Tensors with fewer than two axes (biases, gains) do not decay. */
export class AdamW {
  readonly options: AdamWOptions;
  readonly #moments: Map<string, { m: tf.Variable; v: tf.Variable }>;
  #steps = 0;

  /** @throws RangeError naming the option, its value and what is allowed, or an option that there is not */
  constructor(readonly parameters: Parameters, options: Partial<AdamWOptions> = {}) {
    this.options = completeSettings(options, ADAMW);
    const zeros = (like: tf.Tensor) => tf.tidy(() => tf.variable(tf.zerosLike(like)));
    this.#moments = new Map(
      parameters.entries().map(([name, weight]) => [name, { m: zeros(weight), v: zeros(weight) }]),
    );
  }

  /** How many steps were made. */
  get steps(): number {
    return this.#steps;
  }

  /**
   * Moves every parameter that has a gradient.
   *
   * @param clip how to shorten gradients that are too long; without it they stay as they are
   * @throws RangeError if the learning rate is not a finite number ≥ 0, or the limit of clip not a finite number > 0
   */
  step(gradients: Gradients, learningRate: number, clip?: Clipping): void {
    requireSetting("learningRate", learningRate, setting.number("[0, ∞)"));
    if (clip) requireSetting("limit", clip.limit, setting.number("(0, ∞)"));
    this.#steps++;
    for (const [name, weight] of this.parameters.entries()) {
      if (!gradients[name]) continue;
      const state = { weight, ...this.#moments.get(name)! };
      const weightDecay = weight.rank >= 2 ? this.options.weightDecay : 0;
      const options = { ...this.options, weightDecay };
      engineAdamW(state, gradients[name], this.#steps, learningRate, options, clip);
    }
  }

  /** Everything it remembers besides `steps`: `<parameter>.m` and `<parameter>.v`. */
  async save(): Promise<Record<string, HostTensor>> {
    const saved: Record<string, HostTensor> = {};
    for (const [name, { m, v }] of this.#moments) {
      saved[`${name}.m`] = await hostTensor(m);
      saved[`${name}.v`] = await hostTensor(v);
    }
    return saved;
  }

  /**
   * Goes on where the one that gave `saved` stood.
   *
   * @throws Error naming a tensor that is missing or has another shape
   */
  load(saved: Record<string, HostTensor>, steps: number): void {
    for (const [name, { m, v }] of this.#moments) {
      assign(m, saved, `${name}.m`);
      assign(v, saved, `${name}.v`);
    }
    this.#steps = steps;
  }

  /** Frees the memory of the running means. */
  dispose(): void {
    for (const { m, v } of this.#moments.values()) tf.dispose([m, v]);
    this.#moments.clear();
  }
}

// cell: host-tensors 5cc3c7f8
async function hostTensor(tensor: tf.Tensor): Promise<HostTensor> {
  // A copy: what data() returns may be the backend's own memory.
  return { shape: tensor.shape, data: Float32Array.from(await tensor.data()) };
}

function assign(variable: tf.Variable, saved: Record<string, HostTensor>, name: string): void {
  const found = saved[name];
  if (!found) throw new Error(`the checkpoint has no tensor "${name}"`);
  if (`${found.shape}` !== `${variable.shape}`) {
    throw new Error(
      `tensor "${name}" must have shape [${variable.shape}], the checkpoint has [${found.shape}]`,
    );
  }
  tf.tidy(() => variable.assign(tf.tensor(found.data, found.shape, "float32")));
}

// cell: cosine-schedule 95c3f608
/** When to learn how fast. */
export interface ScheduleOptions {
  /** The highest learning rate, reached after the warm-up. */
  peak: number;
  /** The lowest, at the end. */
  floor: number;
  /** Steps of the warm-up. */
  warmup: number;
  /** Steps of the whole run. */
  steps: number;
}

/**
 * The learning rate as a function of the step, from 0: a straight warm-up, then half a cosine from peak to floor
 * (Loshchilov, Hutter 2017, arXiv:1608.03983, without restarts; warm-up as in nanoGPT). After the last step, the floor.
 *
 * @throws RangeError naming the setting that makes no sense
 * @example cosineSchedule({ peak: 1, floor: 0, warmup: 1, steps: 3 }) // 0.5, 1, 0.5, then 0
 */
export function cosineSchedule(
  { peak, floor, warmup, steps }: ScheduleOptions,
): (step: number) => number {
  if (!(peak > 0)) throw new RangeError(`peak must be above 0, got ${peak}`);
  if (!(floor >= 0 && floor <= peak)) {
    throw new RangeError(`floor must be in [0, ${peak}], got ${floor}`);
  }
  if (!(warmup >= 0 && warmup < steps)) {
    throw new RangeError(`warmup must be in [0, ${steps}), got ${warmup}`);
  }
  return (step) => {
    if (step < warmup) return peak * (step + 1) / (warmup + 1);
    if (step >= steps) return floor;
    const share = (step - warmup) / (steps - warmup);
    return floor + 0.5 * (peak - floor) * (1 + Math.cos(Math.PI * share));
  };
}

// cell: clip-types 40ec936d
/** Gradients that were made shorter where they were too long. */
export interface ClippedGradients {
  gradients: Gradients;
  /** The length before, over all parameters together; a scalar. */
  norm: tf.Scalar;
}

// cell: clip 398bac3a
/** The length of all gradients together, as one vector; a scalar. */
export function globalNorm(gradients: Gradients): tf.Scalar {
  return tf.tidy(() => {
    const squares = Object.values(gradients).map((gradient) => gradient.square().sum());
    return tf.addN(squares).sqrt() as tf.Scalar;
  });
}

const engineNorm = operator("globalNorm", globalNorm);

/**
 * Shortens gradients so that all of them together, as one vector, are at most `limit` long
 * (Pascanu, Mikolov, Bengio 2013, arXiv:1211.5063). Shorter ones stay as they are.
 *
 * @throws RangeError if limit is not above 0
 */
export function clipByGlobalNorm(gradients: Gradients, limit: number): ClippedGradients {
  if (!(limit > 0)) throw new RangeError(`limit must be above 0, got ${limit}`);
  return tf.tidy(() => {
    const norm = globalNorm(gradients);
    const factor = shrinkFactor({ norm, limit });
    const shorter = Object.entries(gradients).map(([name, g]) => [name, g.mul(factor)]);
    return { gradients: Object.fromEntries(shorter), norm };
  });
}

// cell: learnt-types a6c89f6e
/** What a model learns from some batches. */
export interface LossAndGradients {
  /** Mean loss, a scalar, nats per token. */
  loss: tf.Scalar;
  gradients: Gradients;
}

// cell: loss-kernel 058c830d
const engineLoss = operator("crossEntropy", crossEntropy);

// cell: loss-and-gradients 20791b84
/**
 * Mean loss and mean gradients over batches of one size, one batch in memory at a time.
 *
 * @param random present to drop values (training), absent to drop none
 * @throws RangeError if there is no batch
 */
export function lossAndGradients(
  model: GPT,
  batches: Iterable<Batch>,
  random?: Random,
): LossAndGradients {
  const parameters = model.parameters.entries();
  const variables = parameters.map(([, variable]) => variable);
  let sum: tf.Tensor[] | undefined; // the loss, then a gradient per parameter
  let count = 0;
  for (const { inputs, targets } of batches) {
    const found = tf.tidy(() => {
      const loss = () => engineLoss(model.forward(inputs, { random }), targets);
      const { value, grads } = tf.variableGrads(loss, variables);
      const fresh = [
        value,
        ...variables.map((variable) => grads[variable.name] ?? tf.zerosLike(variable)),
      ];
      return sum ? fresh.map((tensor, i) => tensor.add(sum![i])) : fresh;
    });
    tf.dispose([inputs, targets, ...(sum ?? [])]);
    sum = found;
    count++;
  }
  if (!sum) throw new RangeError("there is no batch to learn from");
  const [loss, ...gradients] = count === 1 ? sum : meanOf(sum, count);
  return {
    loss: loss as tf.Scalar,
    gradients: Object.fromEntries(parameters.map(([name], i) => [name, gradients[i]])),
  };
}

// cell: mean-of 07332ee2
function meanOf(sums: tf.Tensor[], count: number): tf.Tensor[] {
  const means = sums.map((sum) => tf.tidy(() => sum.div(count)));
  tf.dispose(sums);
  return means;
}

// cell: evaluate-options f9a7e557
/** How much to measure, and how. */
export interface EvaluateOptions {
  /** Windows at a time; default 16. */
  batchSize?: number;
  /** Measure only this many windows, spread evenly; all of the text unless told. */
  windows?: number;
}

// cell: evaluate b9059d8b
const EVALUATE_RULES: Rules<EvaluateOptions> = {
  batchSize: setting.whole(1, MOST_ROWS),
  windows: setting.whole(1),
};

/**
 * Mean loss of a model over a text, cut into windows of blockSize tokens. Nothing is dropped, nothing is random.
 *
 * @param tokens at least two
 * @returns nats per token
 * @throws RangeError naming an option that is not allowed or not known; if the text is shorter than two tokens, or holds an id that
 *   the model does not know
 */
export async function evaluate(
  model: GPT,
  tokens: Tokens,
  options: EvaluateOptions = {},
): Promise<number> {
  checkSettings(options, EVALUATE_RULES);
  requireText("tokens", tokens, model.config.vocabSize);
  const { batchSize = 16, windows } = options;
  await verifyOperators();
  const { blockSize } = model.config;
  const asked = tokens.length - 1; // nothing comes before the first token
  const starts = windowStarts(asked, blockSize, windows);
  let sum = 0, count = 0;
  for (let first = 0; first < starts.length; first += batchSize) {
    const rows = starts.slice(first, first + batchSize);
    sum += blockSize * rows.length * await meanLoss(model, nextTokenBatch(tokens, rows, blockSize));
    count += blockSize * rows.length;
  }
  const rest = asked % blockSize;
  if (rest > 0 && (windows === undefined || starts.length === 0)) {
    sum += rest * await meanLoss(model, nextTokenBatch(tokens, [asked - rest], rest));
    count += rest;
  }
  return sum / count;
}

// cell: evaluate-parts 92fd3c75
function requireText(name: string, tokens: Tokens, vocabSize: number): void {
  requireSetting(name, tokens, setting.having("subarray", "packed ids, as packTokens gives them"));
  if (tokens.length < 2) {
    throw new RangeError(`${name} must hold at least 2 tokens, got ${tokens.length}`);
  }
  const wrong = tokens.find((id) => !(id >= 0 && id < vocabSize));
  if (wrong === undefined) return;
  throw new RangeError(`${name} must hold ids of the model, in [0, ${vocabSize}), got ${wrong}`);
}

function windowStarts(asked: number, blockSize: number, windows = Infinity): number[] {
  const all = Math.floor(asked / blockSize);
  const count = Math.min(windows, all);
  return Array.from({ length: count }, (_, i) => Math.floor(i * all / count) * blockSize);
}

async function meanLoss(model: GPT, { inputs, targets }: Batch): Promise<number> {
  const loss = tf.tidy(() => engineLoss(model.forward(inputs), targets));
  const [value] = await loss.data();
  tf.dispose([inputs, targets, loss]);
  return value;
}

// cell: bits-per-byte 64603c33
/**
 * What a loss means for the text itself, whatever the tokenizer.
 *
 * @param loss mean, nats per token
 * @param tokens how many tokens the text has
 * @param bytes how many bytes of UTF-8 it has
 * @returns bits per byte; uncompressed text has 8
 * @throws RangeError if there are no bytes
 * @example bitsPerByte(Math.LN2, 100, 50) // 2
 */
export function bitsPerByte(loss: number, tokens: number, bytes: number): number {
  if (!(bytes > 0)) throw new RangeError(`bytes must be above 0, got ${bytes}`);
  return loss * tokens / (Math.LN2 * bytes);
}

// cell: bigram 677090fa
/**
 * Loss of the best smoothed bigram model: pair counts mixed with single-token counts (a Dirichlet prior, MacKay & Peto
 * 1995), with the mixing strength that fits the validation text best, which is a favour to this baseline.
 *
 * @param train what is counted
 * @param validation what is measured; its first token is not asked, as in `evaluate`
 * @param vocabSize V
 * @returns nats per token
 * @throws RangeError if a text is shorter than two tokens or holds an id outside [0, vocabSize)
 */
export function bigramLoss(train: Tokens, validation: Tokens, vocabSize: number): number {
  for (const [name, tokens] of Object.entries({ train, validation })) {
    requireText(name, tokens, vocabSize);
  }
  const singles = new Float64Array(vocabSize);
  const pairs = new Map<number, number>(); // a · V + b -> how often b followed a
  train.forEach((token, i) => {
    singles[token]++;
    if (i === 0) return;
    const pair = train[i - 1] * vocabSize + token;
    pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
  });
  const lossWith = (strength: number) => {
    let sum = 0;
    for (let i = 1; i < validation.length; i++) {
      const a = validation[i - 1], b = validation[i];
      const usual = (singles[b] + 1) / (train.length + vocabSize);
      sum -= Math.log(
        ((pairs.get(a * vocabSize + b) ?? 0) + strength * usual) / (singles[a] + strength),
      );
    }
    return sum / (validation.length - 1);
  };
  return Math.min(...[1, 3, 10, 30, 100, 300, 1000, 3000].map(lossWith));
}

// cell: settings 3802daa2
/** The settings of a run: plain values, so that a checkpoint can hold them. */
export interface TrainSettings {
  /** Steps of the whole run. */
  steps: number;
  /** Rows per batch. */
  batchSize: number;
  /** Tokens per row; the model's blockSize unless told. */
  blockSize: number;
  /** Batches per step. */
  accumulate: number;
  /** The highest learning rate. */
  learningRate: number;
  /** The learning rate at the end; a tenth of the highest unless told. */
  minLearningRate: number;
  /** Steps of the warm-up; a twentieth of the run unless told. */
  warmup: number;
  betas: [number, number];
  eps: number;
  weightDecay: number;
  /** The longest gradient allowed, over all parameters; 0 allows any. */
  clip: number;
  /** Steps from one look at the validation text to the next; a tenth of the run unless told. */
  evaluateEvery: number;
  /** Windows per look; see `evaluate`. */
  evaluateWindows: number;
  /** Where batches and dropout start. */
  seed: number;
}

// cell: settings-check 7fac35fb
/** What each setting may be, and what it is unless told. */
const TRAINING: Table<TrainSettings> = {
  steps: [setting.whole(1)],
  batchSize: [setting.whole(1, MOST_ROWS), 12],
  blockSize: [setting.whole(1)],
  accumulate: [setting.whole(1, MOST_ROWS), 1],
  learningRate: [setting.number("(0, ∞)"), 1e-3],
  minLearningRate: [
    ({ learningRate }) => setting.number(`[0, ${learningRate}]`),
    ({ learningRate }) => learningRate / 10,
  ],
  warmup: [({ steps }) => setting.whole(0, steps - 1), ({ steps }) => Math.floor(steps / 20)],
  ...ADAMW,
  clip: [setting.number("[0, ∞)", "0 is off"), 1],
  evaluateEvery: [setting.whole(1), ({ steps }) => Math.max(1, Math.round(steps / 10))],
  evaluateWindows: [setting.whole(1), 100],
  seed: [setting.integer, 1337],
};

/**
 * The whole settings that partial ones mean.
 *
 * @throws RangeError naming the setting, its value and what is allowed; or a setting that there is not, and the nearest that there is
 */
export function trainSettings(
  given: Partial<TrainSettings> & { steps: number; blockSize: number },
): TrainSettings {
  return completeSettings(given, TRAINING);
}

// cell: history-type d3795453
/** What a run has seen so far; entry i of the first three is step i. */
export interface TrainHistory {
  /** Nats per token. */
  loss: number[];
  learningRate: number[];
  /** Before clipping. */
  gradientNorm: number[];
  /** `step` is how many steps had been made. */
  validation: { step: number; loss: number }[];
}

// cell: state-type 30c35d00
/** Everything a run must remember besides its tensors. JSON-safe. */
export interface TrainerState {
  settings: TrainSettings;
  step: number;
  /** Time spent on steps, without evaluations. */
  seconds: number;
  history: TrainHistory;
  random: { batches: RandomState; dropout: RandomState };
  /** Length and checksum of the training text, to notice another one. */
  trainTokens: number;
  trainChecksum: number;
}

/** One number for a whole text: another one, almost surely, if a token differs (FNV-1a). */
function checksum(tokens: Tokens): number {
  let sum = 0x811c9dc5;
  for (const token of tokens) sum = Math.imul(sum ^ token, 0x01000193);
  return sum >>> 0;
}

// cell: checkpoint-types 3dcc7511
/** A tokenizer that a checkpoint can hold. */
export type TextTokenizer = Tokenizer | CharacterTokenizer;

/** What goes into a checkpoint. Optimizer and state are needed to train on, not to write. */
export interface CheckpointContents {
  model: GPT;
  tokenizer: TextTokenizer;
  optimizer?: AdamW;
  state?: TrainerState;
}

// cell: checkpoint-save 00880fc6
/** The files of a checkpoint; the first is in every one. */
const CHECKPOINT_FILES = [
  "model.safetensors",
  "config.json",
  "tokenizer.json",
  "state.json",
  "optimizer.safetensors",
];

/**
 * Saves a checkpoint, whole or not at all; the one that was there before is kept as `<folder>.before`. Other files in the
 * folder stay.
 *
 * @throws Error if the folder holds files, but no checkpoint; or if it cannot be written, saying why
 * @throws SafetensorsError naming a weight that is not finite: a run that went wrong does not replace a good checkpoint
 */
export async function saveCheckpoint(
  folder: string | URL,
  { model, tokenizer, optimizer, state }: CheckpointContents,
): Promise<void> {
  const weights: Record<string, HostTensor> = {};
  for (const [name, variable] of model.parameters.entries()) {
    weights[name] = await hostTensor(variable);
    if (!weights[name].data.every(Number.isFinite)) {
      throw new SafetensorsError("holds values that are not finite; nothing was saved", name);
    }
  }
  const memory = optimizer && { steps: optimizer.steps, options: optimizer.options };
  const step = state?.step ?? optimizer?.steps ?? 0;
  await replaceFolder(folder, CHECKPOINT_FILES, async (fresh) => {
    const json = (name: string, value: unknown) =>
      writeDurably(`${fresh}/${name}`, JSON.stringify(value, null, 1) + "\n");
    const tensors = (name: string, values: Record<string, HostTensor>) =>
      writeDurably(`${fresh}/${name}`, encodeSafetensors(values, { format: "pt" }));
    await tensors("model.safetensors", weights);
    if (optimizer) await tensors("optimizer.safetensors", await optimizer.save());
    await json("config.json", model.config);
    await json("tokenizer.json", tokenizer.toJSON());
    await json("state.json", { step, optimizer: memory, trainer: state });
  });
}

// cell: checkpoint-type 2b1c04fe
/** A checkpoint that is damaged; the message names the file and what is wrong. Bad tensors are a `SafetensorsError`. */
export class CheckpointError extends Error {
  /** This class's name, as error messages show it. */
  override name = "CheckpointError";
}

/** A checkpoint in memory. */
export interface Checkpoint extends CheckpointContents {
  /** How many steps the model was trained. */
  step: number;
}

// cell: from-weights c448a437
/** Initial weights that are overwritten at once need no chance, and no time. */
class Zeros extends Random {
  override normals(length: number): Float32Array {
    return new Float32Array(length);
  }
}

/**
 * A GPT with given weights. All is checked before anything is allocated: a config that claims more than the weights hold is
 * refused.
 *
 * @throws SafetensorsError naming the tensor that is missing, unknown, or of a wrong type, shape or value
 * @throws RangeError if the config makes no sense, naming the field
 */
export function gptFromWeights(config: GPTConfig, weights: Record<string, StoredTensor>): GPT {
  const { vocabSize, nEmbd, nLayer, nHead } = config;
  const table = "transformer.wte.weight";
  const found = weights[table]?.shape;
  if (!found) throw new SafetensorsError(`is missing; there is ${namesOf(weights)}`, table);
  if (`${found}` !== `${vocabSize},${nEmbd}`) {
    throw new SafetensorsError(`shape must be [${vocabSize},${nEmbd}], got [${found}]`, table);
  }
  if (nHead > nEmbd) throw new RangeError(`nHead must be at most nEmbd ${nEmbd}, got ${nHead}`);
  if (nLayer > Object.keys(weights).length) {
    throw new SafetensorsError("is missing", `transformer.h.${nLayer - 1}.ln_1.weight`);
  }
  requireWeights(weights, parameterShapes(config));
  const model = new GPT(config, new Zeros(0));
  loadWeights(model, weights);
  return model;
}

// cell: checkpoint-load 5d133507
/**
 * Loads a checkpoint.
 *
 * @param folder as given to `saveCheckpoint`; or the address behind which it lies
 * @param options withOptimizer: also what is needed to train on (twice the weights' memory)
 * @throws Error if there is none, naming the folder
 * @throws CheckpointError, SafetensorsError or TokenizerFormatError if it is damaged, naming the file and what is wrong
 */
export async function loadCheckpoint(
  folder: string | URL,
  { withOptimizer = false }: { withOptimizer?: boolean } = {},
): Promise<Checkpoint> {
  const at = await findFolder(folder, CHECKPOINT_FILES[0]);
  if (!at) throw new Error(`no checkpoint in ${folder}: chapter 05 saves one, run it first`);
  const { tensors } = await readSafetensors(`${at}/model.safetensors`);
  const tokenizer = await loadTokenizer(`${at}/tokenizer.json`);
  const { step, optimizer: memory, trainer: state } = await readState(`${at}/state.json`);
  const model = await readPart(`${at}/config.json`, (config) => {
    return gptFromWeights(config as GPTConfig, tensors);
  });
  if (!withOptimizer || !memory) return { model, tokenizer, step, state };
  const moments = (await readSafetensors(`${at}/optimizer.safetensors`)).tensors;
  requireWeights(moments, momentShapes(model));
  const optimizer = new AdamW(model.parameters, memory.options);
  optimizer.load(moments, memory.steps);
  return { model, tokenizer, step, state, optimizer };
}

function momentShapes({ parameters }: GPT): Record<string, number[]> {
  return Object.fromEntries(
    parameters.entries().flatMap((
      [name, { shape }],
    ) => [[`${name}.m`, shape], [`${name}.v`, shape]]),
  );
}

// cell: checkpoint-parts b663550a
/** What `read` makes of a JSON file; what goes wrong becomes a CheckpointError that names the file. */
async function readPart<T>(file: string, read: (json: unknown) => T): Promise<T> {
  try {
    const json: unknown = JSON.parse(await readText(file));
    if (typeof json !== "object" || json === null) throw new RangeError("must hold an object");
    return read(json);
  } catch (error) {
    if (error instanceof SafetensorsError) throw error;
    throw new CheckpointError(`${file}: ${(error as Error).message}`, { cause: error });
  }
}

/** What is in state.json. */
interface SavedState {
  step: number;
  optimizer?: { steps: number; options: AdamWOptions };
  trainer?: TrainerState;
}

function readState(file: string): Promise<SavedState> {
  return readPart(file, (json) => {
    const { step, optimizer, trainer } = json as SavedState;
    requireWhole({ step });
    if (optimizer) {
      requireWhole({ "optimizer.steps": optimizer.steps });
      const { betas, eps, weightDecay } = optimizer.options; // older files hold more
      optimizer.options = completeSettings({ betas, eps, weightDecay }, ADAMW);
    }
    if (trainer) requireTrainerState(trainer);
    return { step, optimizer, trainer };
  });
}

function requireTrainerState(
  { settings, step, seconds, history, random, trainTokens }: TrainerState,
) {
  trainSettings(settings); // throws where a setting makes no sense
  requireWhole({ "trainer.step": step, "trainer.trainTokens": trainTokens });
  if (!(seconds >= 0)) throw new RangeError(`trainer.seconds must not be negative, got ${seconds}`);
  for (const name of ["loss", "learningRate", "gradientNorm"] as const) {
    const { length } = history[name].filter(Number.isFinite);
    if (length !== step) {
      throw new RangeError(`history.${name} must hold ${step} numbers, has ${length}`);
    }
  }
  if (!Array.isArray(history.validation)) throw new RangeError("history.validation must be a list");
  for (const { generator } of [random.batches, random.dropout]) {
    const isState = generator.length === 4 && generator.every(Number.isInteger);
    if (!isState) throw new RangeError(`random must hold lists of 4 integers, got [${generator}]`);
  }
}

function requireWhole(numbers: Record<string, number>): void {
  for (const [name, value] of Object.entries(numbers)) {
    if (!(Number.isSafeInteger(value) && value >= 0)) {
      throw new RangeError(`${name} must be a whole number, got ${value}`);
    }
  }
}

// cell: train-step 801ab576
/** What a step needs to know besides the model and the batches. */
export interface StepOptions {
  learningRate: number;
  /** The longest gradient allowed; 0 allows any. */
  clip: number;
  /** For dropout; without it nothing is dropped. */
  random?: Random;
}

const TOO_FAST = "Try a lower learningRate, a longer warmup or a smaller clip.";
const UNLEARNT = "Nothing was learnt yet: look at the weights that the run began with.";

/** Loss or gradient are no longer numbers. The weights are still as they were before the step, except on a graphics card. */
export class DivergedError extends Error {
  /** This class's name, as error messages show it. */
  override name = "DivergedError";

  /**
   * @param step the step that failed, from 1
   * @param learningRate what it was in that step
   * @param found the value that is no number
   * @param tensor the first tensor with such a value
   */
  constructor(
    readonly step: number,
    readonly learningRate: number,
    found: string,
    readonly tensor: string,
  ) {
    super(
      `${found} at step ${step}, learning rate ${Number(learningRate.toPrecision(3))}; ` +
        `the first bad tensor is ${tensor}. ${step === 1 ? UNLEARNT : TOO_FAST} ` +
        `What was saved before is untouched`,
    );
  }
}

/**
 * One step of training. Disposes of the batches.
 *
 * @returns mean loss and the length of the gradient before clipping, scalars that are still on the device
 * @throws RangeError if learningRate or clip is not a finite number ≥ 0
 * @throws DivergedError, before anything moves, if one of the two is not finite; but not on the graphics card, where
 *   looking would take longer than the step
 */
export function trainStep(
  model: GPT,
  optimizer: AdamW,
  batches: Iterable<Batch>,
  { learningRate, clip, random }: StepOptions,
): { loss: tf.Scalar; norm: tf.Scalar } {
  requireSetting("learningRate", learningRate, setting.number("[0, ∞)"));
  requireSetting("clip", clip, setting.number("[0, ∞)", "0 is off"));
  return tf.tidy(() => {
    const { loss, gradients } = lossAndGradients(model, batches, random);
    const norm = engineNorm(gradients);
    if (tf.getBackend() !== "webgpu") {
      const [found, length] = [loss.dataSync()[0], norm.dataSync()[0]];
      if (!Number.isFinite(found + length)) {
        const tensor = firstBad(model.parameters.entries(), gradients);
        throw new DivergedError(optimizer.steps + 1, learningRate, badWords(found, length), tensor);
      }
    }
    optimizer.step(gradients, learningRate, clip > 0 ? { norm, limit: clip } : undefined);
    return { loss, norm };
  });
}

// cell: bad-tensor dd43c4f6
/** Which tensor is the first to hold a value that is not finite: a weight, or else a gradient, or else the loss. */
function firstBad(weights: [string, tf.Tensor][], gradients: Gradients): string {
  const isBad = ([, tensor]: [string, tf.Tensor]) => !tensor.dataSync().every(Number.isFinite);
  const weight = weights.find(isBad);
  if (weight) return `the weight "${weight[0]}"`;
  const gradient = Object.entries(gradients).find(isBad);
  return gradient ? `the gradient of "${gradient[0]}"` : "the loss itself";
}

function badWords(loss: number, norm: number): string {
  return Number.isFinite(loss) ? `the gradient's length is ${norm}` : `the loss is ${loss}`;
}

// cell: trainer-reports e4534949
/** What `Trainer.run` tells about a step that was made. */
export interface StepReport {
  /** How many steps are done. */
  step: number;
  /** Nats per token. */
  loss: number;
  learningRate: number;
  /** Before clipping. */
  gradientNorm: number;
  /** Mean over the run so far. */
  tokensPerSecond: number;
}

/** How to follow and end a run. */
export interface RunOptions {
  /** Stop after this many steps in all; the settings' steps unless told. */
  until?: number;
  /** Asked before every step: true ends the run. */
  stop?: () => boolean;
  /**
   * Save a checkpoint here, every so many seconds (60 unless told) and when the run ends or is stopped. A save in between that
   * fails is told, and the run goes on.
   */
  save?: { folder: string | URL; everySeconds?: number };
  onStep?: (report: StepReport) => void | Promise<void>;
  onEvaluation?: (report: { step: number; loss: number }) => void | Promise<void>;
}

// cell: trainer-options 587a860a
const callable = setting.having("call", "a function");
const RUN: Rules<RunOptions> = {
  until: setting.whole(0),
  stop: callable,
  save: { allowed: "an object", holds: (save) => typeof save === "object" && save !== null },
  onStep: callable,
  onEvaluation: callable,
};
const SAVE: Table<Required<NonNullable<RunOptions["save"]>>> = {
  folder: [setting.folderName],
  everySeconds: [setting.number("[0, ∞]"), 60],
};

/** What a trainer works with: model, texts, and settings as in `TrainSettings`. */
export interface TrainerOptions extends Partial<TrainSettings> {
  model: GPT;
  train: Tokens;
  /** Without it nothing is evaluated. */
  validation?: Tokens;
  /** Only needed to save. */
  tokenizer?: TextTokenizer;
  /** One that has been used before, when a run is resumed. */
  optimizer?: AdamW;
  steps: number;
}

// cell: trainer bde4ea2c
/**
 * Trains a GPT. The same seed gives the same run, and so does a run in two halves with a checkpoint between.
 *
 * @example await new Trainer({ model, train, validation, steps: 500 }).run({ onStep: ({ loss }) => console.log(loss) })
 */
export class Trainer {
  readonly model: GPT;
  readonly settings: TrainSettings;
  readonly optimizer: AdamW;
  readonly #options: TrainerOptions;
  readonly #rate: (step: number) => number;
  #history: TrainHistory = { loss: [], learningRate: [], gradientNorm: [], validation: [] };
  #batches: BatchSampler;
  #dropout: Random;
  #seconds = 0;
  readonly #saved = new Map<string, number>(); // where, and after which step

  /**
   * @throws RangeError naming a setting, its value and what is allowed, or a setting that there is not; or a text that is too short,
   *   or holds an id that the model does not know
   */
  constructor(options: TrainerOptions) {
    const { model, train, validation, tokenizer: _tokenizer, optimizer, ...rest } = options;
    requireSetting("model", model, setting.having("forward", "a GPT"));
    const { vocabSize, blockSize: longest } = model.config;
    const { blockSize = longest, ...given } = rest;
    this.model = model;
    this.#options = options;
    this.settings = trainSettings({ blockSize, ...given });
    requireSetting("blockSize", blockSize, setting.whole(1, longest));
    requireText("train", train, vocabSize);
    if (validation !== undefined) requireText("validation", validation, vocabSize);
    const { learningRate: peak, minLearningRate: floor, warmup, steps } = this.settings;
    this.#rate = cosineSchedule({ peak, floor, warmup, steps });
    const { betas, eps, weightDecay } = this.settings;
    this.optimizer = optimizer ?? new AdamW(model.parameters, { betas, eps, weightDecay });
    const random = new Random(this.settings.seed);
    this.#dropout = random.fork();
    this.#batches = new BatchSampler(train, { ...this.settings, random });
  }

  /**
   * A trainer that goes on where the one that saved the checkpoint stood.
   *
   * @param checkpoint loaded with `withOptimizer`
   * @param texts the same as before
   * @throws Error if the checkpoint holds no run, or the training text has another length than it had
   */
  static resume(
    { model, tokenizer, optimizer, state }: Checkpoint,
    texts: { train: Tokens; validation?: Tokens },
  ): Trainer {
    if (!state || !optimizer) {
      throw new Error("this checkpoint holds no run: load it with { withOptimizer: true }");
    }
    if (texts.train.length !== state.trainTokens) {
      throw new Error(
        `the run was on a text of ${state.trainTokens} tokens, this one has ${texts.train.length}`,
      );
    }
    if (checksum(texts.train) !== state.trainChecksum) {
      throw new Error("the run was on another text of the same length");
    }
    const trainer = new Trainer({ ...state.settings, ...texts, model, tokenizer, optimizer });
    trainer.#goOnFrom(state);
    return trainer;
  }

  /** How many steps are done. */
  get step(): number {
    return this.#history.loss.length;
  }

  /** The curves so far. */
  get history(): Readonly<TrainHistory> {
    return this.#history;
  }

  /** Seconds spent on steps so far. */
  get seconds(): number {
    return this.#seconds;
  }

  /** Training speed so far. */
  get tokensPerSecond(): number {
    const { batchSize, blockSize, accumulate } = this.settings;
    return this.#seconds === 0 ? 0 : this.step * batchSize * blockSize * accumulate / this.#seconds;
  }

  /**
   * Trains until the last step, until `stop` says so, or until the Stop button (SIGINT) is pressed.
   *
   * @returns whether it was stopped before `until`
   * @throws RangeError naming an option that is not allowed or not known
   * @throws DivergedError if the loss is no longer a number, naming step, learning rate and tensor
   */
  async run(options: RunOptions = {}): Promise<{ stopped: boolean }> {
    checkSettings(options, RUN);
    const { until = this.settings.steps, stop, save, onStep, onEvaluation } = options;
    const { folder, everySeconds = 60 } = save ? completeSettings(save, SAVE) : {};
    await verifyOperators();
    const button = listenForStop();
    let saved = performance.now();
    try {
      if (folder && this.#saved.get(placeOf(folder)) !== this.step) await this.save(folder); // to go back to, if need be
      if (this.step === 0) await this.#look(onEvaluation);
      while (this.step < until) {
        if (button.pressed || stop?.()) break;
        try {
          await this.#advance(until);
          await onStep?.(this.#report());
          if (this.#isLookDue()) await this.#look(onEvaluation);
          if (!folder || performance.now() - saved < 1000 * everySeconds) continue;
          await this.#trySaving(folder);
          saved = performance.now();
        } catch (error) {
          await this.#recover(error, folder);
        }
      }
      if (folder) await this.save(folder);
      return { stopped: this.step < until };
    } finally {
      button.release();
    }
  }

  /** A disk that is full now may have room later: a save that fails ends no run. */
  async #trySaving(folder: string | URL): Promise<void> {
    try {
      await this.save(folder);
    } catch (error) {
      if (error instanceof SafetensorsError) throw error; // weights that are no numbers
      console.warn(`${(error as Error).message}. Training goes on`);
    }
  }

  /** After an error: if the graphics card was lost, goes back to the last checkpoint, on another device; else throws it again. */
  async #recover(error: unknown, folder?: string | URL): Promise<void> {
    const choice = await replaceLostDevice();
    if (!choice) throw error;
    const lostAt = this.step;
    if (!folder) {
      throw new Error(
        `the graphics card was lost after step ${lostAt}, and this run is saved nowhere: tell run() where to save`,
        { cause: error },
      );
    }
    const { model, optimizer, state } = await loadCheckpoint(folder, { withOptimizer: true });
    for (const [name, weight] of model.parameters.entries()) {
      this.model.parameters.get(name).assign(weight);
    }
    this.optimizer.load(await optimizer!.save(), optimizer!.steps);
    optimizer!.dispose();
    model.dispose();
    this.#goOnFrom(state!);
    console.log(
      `the graphics card was lost after step ${lostAt}: going on from step ${this.step}, on ${choice.line}`,
    );
  }

  #goOnFrom({ history, seconds, random, settings }: TrainerState): void {
    this.#history = structuredClone(history);
    this.#seconds = seconds;
    this.#dropout = Random.fromState(random.dropout);
    const batches = Random.fromState(random.batches);
    this.#batches = new BatchSampler(this.#options.train, { ...settings, random: batches });
    this.#saved.clear(); // what was saved after that state may be of other steps
  }

  /** Makes one step, or on a graphics card several, and reads what they gave. */
  async #advance(until: number): Promise<void> {
    const start = performance.now();
    const { evaluateEvery } = this.settings;
    const toNextLook = evaluateEvery - this.step % evaluateEvery;
    const count = Math.min(tf.getBackend() === "webgpu" ? 10 : 1, toNextLook, until - this.step);
    const rates = Array.from({ length: count }, (_, i) => this.#rate(this.step + i));
    const { clip } = this.settings;
    const results = rates.map((learningRate) =>
      trainStep(this.model, this.optimizer, this.#draw(), {
        learningRate,
        clip,
        random: this.#dropout,
      })
    );
    const numbers = await readScalars(results.flatMap(({ loss, norm }) => [loss, norm]));
    for (const [i, rate] of rates.entries()) {
      await this.#note(rate, numbers[2 * i], numbers[2 * i + 1]);
    }
    this.#seconds += (performance.now() - start) / 1000;
    await new Promise((resolve) => setTimeout(resolve)); // lets the Stop button be heard
  }

  async #note(learningRate: number, loss: number, gradientNorm: number): Promise<void> {
    if (!Number.isFinite(loss + gradientNorm)) {
      const step = this.step + 1;
      throw new DivergedError(step, learningRate, badWords(loss, gradientNorm), await this.#bad());
    }
    this.#history.loss.push(loss);
    this.#history.learningRate.push(learningRate);
    this.#history.gradientNorm.push(gradientNorm);
  }

  /** On a graphics card the steps after the bad one have been made, too: the first weight that holds a bad value now. */
  async #bad(): Promise<string> {
    for (const [name, weight] of this.model.parameters.entries()) {
      if (!(await weight.data()).every(Number.isFinite)) return `the weight "${name}"`;
    }
    return "the loss itself";
  }

  *#draw(): Generator<Batch> {
    for (let i = 0; i < this.settings.accumulate; i++) yield this.#batches.next();
  }

  #isLookDue(): boolean {
    return this.step % this.settings.evaluateEvery === 0 || this.step === this.settings.steps;
  }

  async #look(onEvaluation: RunOptions["onEvaluation"]): Promise<void> {
    if (!this.#options.validation) return;
    const loss = await evaluate(this.model, this.#options.validation, {
      windows: this.settings.evaluateWindows,
    });
    this.#history.validation.push({ step: this.step, loss });
    await onEvaluation?.({ step: this.step, loss });
  }

  #report(): StepReport {
    const { loss, learningRate, gradientNorm } = this.#history;
    return {
      step: this.step,
      loss: loss.at(-1)!,
      learningRate: learningRate.at(-1)!,
      gradientNorm: gradientNorm.at(-1)!,
      tokensPerSecond: this.tokensPerSecond,
    };
  }

  /**
   * Saves all that is needed to go on from here; see `Trainer.resume`. If the folder holds another run or model, that is kept as
   * `<folder>.1`, `.2` …, and a line says so.
   *
   * @throws Error if the trainer was given no tokenizer, if another run saves there, too, or if the disk cannot be written
   */
  async save(folder: string | URL): Promise<void> {
    const { tokenizer, train } = this.#options;
    if (!tokenizer) {
      throw new Error("a checkpoint holds a tokenizer, and this trainer was given none");
    }
    const state: TrainerState = {
      settings: this.settings,
      step: this.step,
      seconds: this.#seconds,
      history: this.#history,
      random: { batches: this.#batches.options.random.state, dropout: this.#dropout.state },
      trainTokens: train.length,
      trainChecksum: checksum(train),
    };
    const { model, optimizer } = this, place = placeOf(folder);
    await makeRoom(folder, CHECKPOINT_FILES[0], state.history.loss, this.#saved.has(place));
    await saveCheckpoint(folder, { model, tokenizer, optimizer, state });
    this.#saved.set(place, this.step);
  }
}

// cell: trainer-helpers bbb9be69
/** Reads many scalars with one transfer, and disposes of them. */
async function readScalars(scalars: tf.Scalar[]): Promise<number[]> {
  const together = tf.stack(scalars);
  const values = Array.from(await together.data());
  tf.dispose([together, ...scalars]);
  return values;
}

// cell: continue af11d267
/**
 * The trainer of a run that may have been cut off: the one saved in `folder`, if that is unfinished and has the same model,
 * settings and text; a new one otherwise. A run of fewer steps than asked for now goes on as well, by the schedule of the new
 * settings. What a new one finds in the folder is kept; see `Trainer.save`.
 *
 * @param folder as given to `Trainer.run`'s `save`
 * @param options tokenizer and all; the model's weights are replaced if the run goes on
 * @throws as `Trainer` and `loadCheckpoint` do
 */
export async function continueRun(
  folder: string | URL,
  options: TrainerOptions,
): Promise<Trainer> {
  const fresh = new Trainer(options);
  if (!await findFolder(folder, CHECKPOINT_FILES[0])) return fresh;
  const checkpoint = await loadCheckpoint(folder, { withOptimizer: true });
  const { state, model, tokenizer } = checkpoint;
  const isSame = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
  const goesOn = state && checkpoint.optimizer && state.step < fresh.settings.steps &&
    isSame(...comparable(state.settings, fresh.settings)) &&
    isSame(model.config, options.model.config) &&
    state.trainChecksum === checksum(options.train) && isSame(tokenizer, options.tokenizer);
  const unused = goesOn ? fresh : checkpoint;
  unused.optimizer?.dispose();
  unused.model.dispose();
  if (!goesOn) return fresh;
  const { train, validation } = options;
  return Trainer.resume({ ...checkpoint, state: { ...state, settings: fresh.settings } }, {
    train,
    validation,
  });
}

/** Two runs' settings; of a longer run without what may come from its length. */
function comparable(before: TrainSettings, now: TrainSettings): [TrainSettings, TrainSettings] {
  const a = trainSettings(before), b = now;
  if (b.steps <= a.steps) return [a, b];
  const byLength = { steps: 0, warmup: 0, evaluateEvery: 0 };
  return [{ ...a, ...byLength }, { ...b, ...byLength }];
}

// cell: start-width 5db2722f
/** The width that GPT-2's first weights, of standard deviation 0.02, were made for. */
const GPT2_WIDTH = 768;

/**
 * Makes the matrices of all blocks louder by √(768 / nEmbd), before training. The token table stays as it is, so the loss
 * still starts near ln V.
 *
 * @returns the same model
 */
export function startForWidth(model: GPT): GPT {
  const factor = Math.sqrt(GPT2_WIDTH / model.config.nEmbd);
  for (const [name, weight] of model.parameters.entries()) {
    if (!name.startsWith("transformer.h.") || weight.rank < 2) continue;
    tf.tidy(() => weight.assign(weight.mul(factor)));
  }
  return model;
}

// cell: curves d80abab6
/**
 * Running mean, for curves that one wants to read: each value is the mean of itself and of those before it, `span` at most.
 *
 * @throws RangeError if span is not a whole number of at least 1
 * @example smooth([4, 2, 6], 2) // [4, 3, 4]
 */
export function smooth(values: number[], span: number): number[] {
  if (!(Number.isInteger(span) && span >= 1)) {
    throw new RangeError(`span must be 1 or more, got ${span}`);
  }
  let sum = 0;
  return values.map((value, i) => {
    sum += value - (values[i - span] ?? 0);
    return sum / Math.min(span, i + 1);
  });
}

// cell: flops 685ee8d1
/**
 * Multiplications and additions of training, per token (Kaplan et al. 2020, arXiv:2001.08361; the attention term as in
 * nanoGPT): 6 per weight that is multiplied by, and 12 · nLayer · nEmbd · blockSize.
 *
 * @param weights how many weights the matrices hold, the token table included where the head is tied to it
 */
export function flopsPerToken(weights: number, config: GPTConfig): number {
  return 6 * weights + 12 * config.nLayer * config.nEmbd * config.blockSize;
}
