/**
 * 04 · The transformer: blocks, and the whole GPT.
 *
 * Exported from notebooks/04-transformer.ipynb: edit there and run `deno task export`,
 * or edit here, between the markers, and run `deno task export --update 04-transformer`.
 *
 * @module transformer
 */
// export: 639f6418, from notebooks/04-transformer.ipynb

import * as tf from "@tensorflow/tfjs";
import { completeSettings, type Rule, setting, type Table } from "lib/engine/settings.ts";
import { operator } from "lib/engine/ops.ts";
import { Parameters } from "lib/engine/parameters.ts";
import {
  CausalSelfAttention,
  dropout,
  type ForwardOptions,
  type LayerCache,
  linear,
} from "lib/attention.ts";
import { Random } from "lib/engine/random.ts";
import { Embeddings } from "lib/embeddings.ts";
import { gpt2Weights } from "lib/data/weight-names.ts";

// cell: norm-width 08cab1b4
function requireWidth(x: tf.Tensor, gain: tf.Tensor): void {
  const width = x.shape.at(-1);
  if (gain.rank === 1 && gain.size === width) return;
  throw new RangeError(`gain must have shape [${width}], the last axis of x, got [${gain.shape}]`);
}

// cell: ex-layer-norm 7a0d788f
/**
 * Layer normalisation (Ba, Kiros, Hinton 2016, arXiv:1607.06450): each vector is shifted to mean 0 and scaled to
 * variance 1, then multiplied by `gain` and moved by `bias`, number by number.
 *
 * @param x [..., C]
 * @param gain [C]
 * @param bias [C], or nothing
 * @param eps added to the variance, inside the root
 * @returns the shape of x
 * @throws RangeError if gain does not have one number for each of x's last axis
 * @example layerNorm(tf.tensor2d([[1, 3]]), tf.ones([2])) // [[-1, 1]]
 */
export function layerNorm<T extends tf.Tensor>(
  x: T,
  gain: tf.Tensor,
  bias?: tf.Tensor,
  eps = 1e-5,
): T {
  requireWidth(x, gain);
  const centred = x.sub(x.mean(-1, true)); // [..., C]
  const variance = centred.square().mean(-1, true); // [..., 1]
  const scaled = centred.mul(variance.add(eps).rsqrt()).mul(gain); // [..., C]
  return (bias ? scaled.add(bias) : scaled) as T;
}

// cell: rms-norm 28ac515a
/**
 * Root-mean-square normalisation (Zhang, Sennrich 2019, arXiv:1910.07467), as in Llama: each vector is scaled to mean
 * square 1, then multiplied by `gain`. No mean is taken off, no bias added.
 *
 * @param x [..., C]
 * @param gain [C]
 * @param eps added to the mean square, inside the root
 * @returns the shape of x
 * @throws RangeError if gain does not have one number for each of x's last axis
 * @example rmsNorm(tf.tensor2d([[3, -3]]), tf.ones([2])) // [[1, -1]]
 */
export function rmsNorm<T extends tf.Tensor>(x: T, gain: tf.Tensor, eps = 1e-5): T {
  requireWidth(x, gain);
  const meanSquare = x.square().mean(-1, true); // [..., 1]
  return x.mul(meanSquare.add(eps).rsqrt()).mul(gain) as T;
}

// cell: norm-gradients-type 624f9b31
/** How the loss changes with each input of `layerNorm`. */
export interface LayerNormGradients<T extends tf.Tensor> {
  x: T;
  gain: tf.Tensor1D;
  bias: tf.Tensor1D;
}

// cell: ex-norm-gradient 8ea97a49
/**
 * The gradients of `layerNorm`, by formula: from how the loss changes with the result (dy) to how it changes with each
 * input.
 *
 * @param x what was normalised, [..., C]
 * @param gain [C]
 * @param dy the gradient that arrives at the result, [..., C]
 * @param eps the one that layerNorm was given
 * @returns x: [..., C]; gain and bias: [C], summed over all vectors
 * @throws RangeError if gain does not have one number for each of x's last axis
 */
export function layerNormGradients<T extends tf.Tensor>(
  x: T,
  gain: tf.Tensor,
  dy: T,
  eps = 1e-5,
): LayerNormGradients<T> {
  requireWidth(x, gain);
  const perVector = (values: tf.Tensor) => values.mean(-1, true); // [..., C] -> [..., 1]
  const overVectors = (values: tf.Tensor) => values.reshape([-1, gain.size]).sum<tf.Tensor1D>(0); // [..., C] -> [C]
  const centred = x.sub(perVector(x)); // [..., C]
  const scale = perVector(centred.square()).add(eps).rsqrt(); // [..., 1]
  const normal = centred.mul(scale); // [..., C]
  const push = dy.mul(gain); // [..., C]
  const useless = perVector(push).add(normal.mul(perVector(push.mul(normal)))); // [..., C]
  return {
    x: push.sub(useless).mul(scale) as T,
    gain: overVectors(dy.mul(normal)),
    bias: overVectors(dy),
  };
}

// cell: config e41e77cd
/** The shape of a GPT. Every field is a plain value, so a config is JSON. */
export interface GPTConfig {
  /** How many different tokens there are (V). */
  vocabSize: number;
  /** The longest text it can look at, in tokens (T at most). */
  blockSize: number;
  /** How many blocks are stacked. */
  nLayer: number;
  /** How many attention heads a block has. Divides nEmbd. */
  nHead: number;
  /** How many key and value heads there are; fewer than nHead is grouped-query attention. Divides nHead. */
  nKVHead: number;
  /** The width of the residual stream: numbers per token (C). */
  nEmbd: number;
  /** The width inside the MLP. */
  nInner: number;
  /** The share of values dropped while training, in [0, 1). */
  dropout: number;
  /** Whether linear layers and layer norms have biases (GPT-2: yes). */
  bias: boolean;
  /** "layer" is GPT-2's, "rms" Llama's. */
  norm: "layer" | "rms";
  /** "gelu" is GPT-2's, "swiglu" Llama's. */
  activation: "gelu" | "swiglu";
  /** "learned" is GPT-2's, "rotary" Llama's. */
  position: "learned" | "rotary";
}

// cell: config-table 3d25e807
const anySize = setting.whole(1, 2 ** 24); // more than any model has, and nothing overflows

/** What each field may be, and what it is unless told. */
const CONFIG: Table<GPTConfig> = {
  vocabSize: [setting.whole(2, 2 ** 24)], // has no default: it is the tokenizer's
  blockSize: [anySize, 64],
  nLayer: [anySize, 4],
  nEmbd: [anySize, 128],
  nHead: [({ nEmbd }) => setting.divisorOf("nEmbd", nEmbd), 4],
  nKVHead: [({ nHead }) => setting.divisorOf("nHead", nHead), ({ nHead }) => nHead],
  activation: [setting.oneOf("gelu", "swiglu"), "gelu"],
  nInner: [anySize, ({ nEmbd, activation }) => {
    return activation === "swiglu" ? 8 * Math.ceil(nEmbd / 3) : 4 * nEmbd;
  }],
  dropout: [setting.number("[0, 1)"), 0],
  bias: [setting.flag, false],
  norm: [setting.oneOf("layer", "rms"), "layer"],
  position: [({ nEmbd, nHead }) => positionsFor(nEmbd / nHead), "learned"],
};

function positionsFor(headWidth: number): Rule {
  if (headWidth % 2 === 0) return setting.oneOf("learned", "rotary");
  const { holds } = setting.oneOf("learned");
  return { allowed: `"learned" where a head has an odd width (${headWidth})`, holds };
}

// cell: config-defaults 1ac5b600
/**
 * The whole config that a partial one means: what is missing is `nano`'s (4 layers, 4 heads, 128 wide, 64 tokens, no
 * bias, no dropout), nKVHead follows nHead, and nInner is 4 nEmbd (SwiGLU: 8/3 nEmbd, rounded up to a multiple of 8, since it
 * has three matrices instead of two).
 *
 * @throws RangeError naming the field, its value and what is allowed; or a field that there is not, and the nearest that there is
 * @example gptConfig({ ...PRESETS.nano, vocabSize: 65 }).nInner // 512
 */
export function gptConfig(given: Partial<GPTConfig>): GPTConfig {
  return completeSettings(given, CONFIG);
}

// cell: norm-kernel 59ffdfae
const engineNorm = operator("layerNorm", layerNorm);

// cell: norm-class 83540f34
/** A norm with parameters of its own: layer norm, or RMS norm where the config says so. */
export class Norm {
  readonly gain: tf.Variable;
  readonly bias?: tf.Variable;
  readonly #isRms: boolean;

  /**
   * @param parameters where `<name>.weight` (ones) and `<name>.bias` (zeros; not for RMS, not if config.bias is off) are made
   * @param name for example "transformer.h.0.ln_1"
   */
  constructor(parameters: Parameters, name: string, config: GPTConfig) {
    this.#isRms = config.norm === "rms";
    this.gain = parameters.ones(`${name}.weight`, [config.nEmbd]);
    if (config.bias && !this.#isRms) this.bias = parameters.zeros(`${name}.bias`, [config.nEmbd]);
  }

  /** [..., C] -> [..., C] */
  forward<T extends tf.Tensor>(x: T): T {
    if (this.#isRms) return rmsNorm(x, this.gain);
    return engineNorm(x, this.gain, this.bias) as T;
  }
}

// cell: gelu 239d949c
/**
 * GELU in the tanh form that GPT-2 uses (Hendrycks, Gimpel 2016, arXiv:1606.08415): x/2 · (1 + tanh u) with
 * u = √(2/π) · (x + 0.044715 x³). It is computed as x · sigmoid(2u), the same function in fewer steps.
 *
 * @param x any shape
 * @returns the shape of x
 */
export function gelu<T extends tf.Tensor>(x: T): T {
  const twice = 2 * Math.sqrt(2 / Math.PI);
  const gate = x.square().mul(0.044715 * twice).add(twice).mul(x).sigmoid(); // sigmoid(2u)
  return x.mul(gate) as T;
}

// cell: silu ee1653aa
/**
 * SiLU, also called swish: x · sigmoid(x). The bend in SwiGLU.
 *
 * @param x any shape
 * @returns the shape of x
 */
export function silu<T extends tf.Tensor>(x: T): T {
  return x.mul(x.sigmoid()) as T;
}

// cell: init-std 7ed292aa
/** Standard deviation of a new weight, unless it writes into the residual stream. */
export const INIT_STD = 0.02;

// cell: ex-init 572ad7de
/**
 * Standard deviation of a new projection that writes into the residual stream (GPT-2, section 2.3): smaller the more
 * of them are summed.
 *
 * @param nLayer how many blocks there are; each writes twice
 * @throws RangeError if nLayer is not a whole number of at least 1
 * @example residualStd(12) // 0.02 / √24 = 0.00408
 */
export function residualStd(nLayer: number): number {
  if (!(Number.isInteger(nLayer) && nLayer >= 1)) {
    throw new RangeError(`nLayer must be a whole number of at least 1, got ${nLayer}`);
  }
  return INIT_STD / Math.sqrt(2 * nLayer);
}

// cell: mlp-parameters 68d51049
/** The parameters of one linear layer. */
interface Linear {
  weight: tf.Variable; // [from, to]
  bias?: tf.Variable; // [to]
}

function linearParameters(
  parameters: Parameters,
  name: string,
  shape: [number, number],
  std: number,
  bias: boolean,
): Linear {
  const weight = parameters.normal(`${name}.weight`, shape, std);
  return bias ? { weight, bias: parameters.zeros(`${name}.bias`, [shape[1]]) } : { weight };
}

// cell: mlp-kernels cea1a378
const engine = { linear: operator("linear", linear), gelu: operator("gelu", gelu) };

// cell: ex-mlp dd80bfb0
/**
 * The part of a block that thinks about each token alone: widen, bend, narrow. With "swiglu" (Shazeer 2020,
 * arXiv:2002.05202) a third matrix, c_gate, decides how much of each wide value passes.
 */
export class MLP {
  readonly #fc: Linear; // C -> F
  readonly #gate?: Linear; // C -> F, SwiGLU only
  readonly #proj: Linear; // F -> C
  readonly #dropout: number;

  /** @param name for example "transformer.h.0.mlp"; parameters `<name>.c_fc.weight` … are made in `parameters` */
  constructor(parameters: Parameters, name: string, config: GPTConfig) {
    const { nEmbd, nInner, nLayer, bias } = config;
    this.#fc = linearParameters(parameters, `${name}.c_fc`, [nEmbd, nInner], INIT_STD, bias);
    if (config.activation === "swiglu") {
      this.#gate = linearParameters(parameters, `${name}.c_gate`, [nEmbd, nInner], INIT_STD, bias);
    }
    this.#proj = linearParameters(
      parameters,
      `${name}.c_proj`,
      [nInner, nEmbd],
      residualStd(nLayer),
      bias,
    );
    this.#dropout = config.dropout;
  }

  /** [B, T, C] -> [B, T, C]; drops values only where `random` is given. */
  forward(x: tf.Tensor3D, { random }: Pick<ForwardOptions, "random"> = {}): tf.Tensor3D {
    const wide = engine.linear(x, this.#fc.weight, this.#fc.bias); // [B, T, F]
    const bent = this.#gate
      ? wide.mul(silu(engine.linear(x, this.#gate.weight, this.#gate.bias)))
      : engine.gelu(wide);
    const narrow = engine.linear(bent, this.#proj.weight, this.#proj.bias); // [B, T, C]
    return dropout(narrow, this.#dropout, random) as tf.Tensor3D;
  }
}

// cell: ex-block 347ae7e4
/** One layer of the transformer: the tokens look at one another, then each thinks alone. Both add to the stream. */
export class Block {
  readonly ln1: Norm;
  readonly attention: CausalSelfAttention;
  readonly ln2: Norm;
  readonly mlp: MLP;

  /** @param name for example "transformer.h.0" */
  constructor(parameters: Parameters, name: string, config: GPTConfig) {
    this.ln1 = new Norm(parameters, `${name}.ln_1`, config);
    this.attention = new CausalSelfAttention(parameters, `${name}.attn`, {
      ...config,
      rotary: config.position === "rotary",
    });
    this.ln2 = new Norm(parameters, `${name}.ln_2`, config);
    this.mlp = new MLP(parameters, `${name}.mlp`, config);
  }

  /**
   * [B, T, C] -> [B, T, C]
   *
   * @param options random: present while training, drops values; cache: keys and values of the tokens before
   */
  forward(
    x: tf.Tensor3D,
    { random, cache }: { random?: Random; cache?: LayerCache } = {},
  ): tf.Tensor3D {
    const heard = this.attention.forward(this.ln1.forward(x), { random, cache });
    const talked = x.add<tf.Tensor3D>(heard); // [B, T, C]
    return talked.add(this.mlp.forward(this.ln2.forward(talked), { random }));
  }
}

// cell: gpt-options b575db98
/** How to run a GPT forward, beyond what chapter 03 knows. */
export interface GPTOptions extends ForwardOptions {
  /** Compute the logits of the last position only, which is all that writing needs. */
  lastOnly?: boolean;
}

// cell: gpt 5d43f081
/**
 * A GPT: token ids in, one score per possible next token out (Radford et al. 2019). The output matrix is the token
 * table itself, transposed ("tied").
 *
 * @example new GPT({ ...PRESETS.nano, vocabSize: 65 }).forward(ids) // [B, T] -> [B, T, 65]
 */
export class GPT {
  readonly config: GPTConfig;
  readonly parameters: Parameters;
  readonly embeddings: Embeddings;
  readonly blocks: Block[];
  readonly lnF: Norm;

  /**
   * @param config at least vocabSize; see `gptConfig` for what the rest defaults to
   * @param random where the initial weights come from
   * @throws RangeError if the config makes no sense, naming the field
   */
  constructor(
    config: Partial<GPTConfig> & { vocabSize: number },
    random: Random = new Random(1337),
  ) {
    this.config = gptConfig(config);
    this.parameters = new Parameters(random);
    this.embeddings = new Embeddings(this.parameters, this.config);
    this.blocks = Array.from(
      { length: this.config.nLayer },
      (_, i) => new Block(this.parameters, `transformer.h.${i}`, this.config),
    );
    this.lnF = new Norm(this.parameters, "transformer.ln_f", this.config);
  }

  /**
   * Scores for the token that follows each position.
   *
   * @param ids [B, T], int32, each in [0, vocabSize)
   * @param options random: present while training, drops values; cache: what was computed for the tokens before these;
   *   lastOnly: T is 1 in the result
   * @returns logits [B, T, V]
   * @throws RangeError if the tokens, with those in the cache, are more than blockSize
   */
  forward(ids: tf.Tensor2D, { random, cache, lastOnly = false }: GPTOptions = {}): tf.Tensor3D {
    const start = cache?.length ?? 0;
    this.#requireRoom(ids, start);
    return tf.tidy(() => {
      let x = this.embeddings.forward(ids, start); // [B, T, C]
      x = dropout(x, this.config.dropout, random);
      for (const [i, block] of this.blocks.entries()) {
        x = block.forward(x, { random, cache: cache?.layer(i) });
      }
      if (lastOnly) x = x.slice([0, x.shape[1] - 1, 0], [-1, 1, -1]); // [B, 1, C]
      return this.#head(this.lnF.forward(x));
    });
  }

  /** [B, T, C] -> [B, T, V], by the transposed token table. */
  #head(x: tf.Tensor3D): tf.Tensor3D {
    const [batch, length, width] = x.shape;
    const logits = tf.matMul(x.reshape([batch * length, width]), this.embeddings.wte, false, true); // [B·T, V]
    return logits.reshape([batch, length, this.config.vocabSize]);
  }

  #requireRoom(ids: tf.Tensor2D, start: number): void {
    if (ids.rank !== 2) throw new RangeError(`ids must have shape [B, T], got [${ids.shape}]`);
    const length = ids.shape[1];
    const { blockSize } = this.config;
    if (length < 1) throw new RangeError("ids must hold at least one token, got T 0");
    if (start + length <= blockSize) return;
    const cached = start ? ` after ${start} in the cache` : "";
    throw new RangeError(`T must be at most blockSize ${blockSize}, got T ${length}${cached}`);
  }

  /** Frees the memory of all weights. */
  dispose(): void {
    this.parameters.dispose();
  }
}

// cell: ex-count 0c9f2acc
/**
 * How many numbers a GPT learns, by formula: nothing is allocated.
 *
 * @throws RangeError if the config makes no sense, naming the field
 * @example parameterCount(PRESETS.gpt2) // 124439808
 */
export function parameterCount(given: Partial<GPTConfig>): number {
  const config = gptConfig(given);
  const { vocabSize: V, blockSize: T, nLayer: L, nEmbd: C, nInner: F } = config;
  const K = C * config.nKVHead / config.nHead; // width of all keys of a token
  const withBias = config.bias ? 1 : 0;
  const isGated = config.activation === "swiglu";
  const norm = config.norm === "layer" ? C * (1 + withBias) : C;
  const attention = (C + withBias) * (C + 2 * K) + (C + withBias) * C;
  const mlp = (isGated ? 2 : 1) * (C + withBias) * F + (F + withBias) * C;
  const positions = config.position === "learned" ? T * C : 0;
  return V * C + positions + L * (2 * norm + attention + mlp) + norm;
}

// cell: presets bfa1e592
const gpt2Like = {
  vocabSize: 50257,
  blockSize: 1024,
  bias: true,
  norm: "layer",
  activation: "gelu",
  position: "learned",
} as const;

/**
 * Sizes by name. `nano` and `baby` are nanoGPT's two sizes for Shakespeare by the letter (give them your vocabSize);
 * the others are the four GPT-2 models that OpenAI published (Radford et al. 2019, table 2).
 */
export const PRESETS: Record<
  "nano" | "baby" | "gpt2" | "gpt2-medium" | "gpt2-large" | "gpt2-xl",
  Partial<GPTConfig>
> = {
  nano: { blockSize: 64, nLayer: 4, nHead: 4, nEmbd: 128 },
  baby: { blockSize: 256, nLayer: 6, nHead: 6, nEmbd: 384, dropout: 0.2 },
  gpt2: { ...gpt2Like, nLayer: 12, nHead: 12, nEmbd: 768 },
  "gpt2-medium": { ...gpt2Like, nLayer: 24, nHead: 16, nEmbd: 1024 },
  "gpt2-large": { ...gpt2Like, nLayer: 36, nHead: 20, nEmbd: 1280 },
  "gpt2-xl": { ...gpt2Like, nLayer: 48, nHead: 25, nEmbd: 1600 },
};

// cell: parameter-shapes 055b034c
/**
 * Name and shape of every parameter of a GPT, in GPT-2's names: what a checkpoint of it must hold. Nothing is allocated.
 *
 * @throws RangeError if the config makes no sense, naming the field
 * @example parameterShapes(PRESETS.gpt2)["transformer.h.0.attn.c_attn.weight"] // [768, 2304]
 */
export function parameterShapes(given: Partial<GPTConfig>): Record<string, number[]> {
  const config = gptConfig(given);
  const { vocabSize, blockSize, nLayer, nEmbd: C } = config;
  const tables: Record<string, number[]> = { "wte.weight": [vocabSize, C] };
  if (config.position === "learned") tables["wpe.weight"] = [blockSize, C];
  const blocks = Array.from({ length: nLayer }, (_, i) => blockShapes(`h.${i}`, config));
  const all = Object.assign(tables, ...blocks, normShapes("ln_f", config));
  return Object.fromEntries(
    Object.entries<number[]>(all).map(([name, shape]) => [`transformer.${name}`, shape]),
  );
}

// cell: block-shapes acd360b3
function blockShapes(name: string, config: GPTConfig): Record<string, number[]> {
  const { nEmbd: C, nInner: F, nHead, nKVHead, bias } = config;
  const pair = (part: string, from: number, to: number) => ({
    [`${name}.${part}.weight`]: [from, to],
    ...(bias && { [`${name}.${part}.bias`]: [to] }),
  });
  return {
    ...normShapes(`${name}.ln_1`, config),
    ...pair("attn.c_attn", C, C + 2 * C * nKVHead / nHead),
    ...pair("attn.c_proj", C, C),
    ...normShapes(`${name}.ln_2`, config),
    ...pair("mlp.c_fc", C, F),
    ...(config.activation === "swiglu" && pair("mlp.c_gate", C, F)),
    ...pair("mlp.c_proj", F, C),
  };
}

function normShapes(name: string, { nEmbd, bias, norm }: GPTConfig): Record<string, number[]> {
  return {
    [`${name}.weight`]: [nEmbd],
    ...(bias && norm === "layer" && { [`${name}.bias`]: [nEmbd] }),
  };
}

// cell: load-weights 10dca98d
/** The values of one tensor, as a checkpoint file gives them. */
export interface Weights {
  shape: number[];
  data: ArrayLike<number>;
}

/**
 * Puts the tensors of a checkpoint into a model, by name. Takes what nano-llm saves and what files of GPT-2s hold, under any of the
 * names that `gpt2Weights` knows.
 *
 * @throws RangeError listing names that are missing, unknown, or of another shape; the model is then unchanged
 * @throws SafetensorsError if a tensor is there under two names, or lm_head.weight is not the token table
 */
export function loadWeights(model: GPT, tensors: Record<string, Weights>): void {
  const given = new Map(Object.entries(gpt2Weights(tensors)));
  const problems = [...given.keys()].filter((name) => !model.parameters.has(name)).map((name) =>
    `${name} is unknown`
  );
  for (const [name, { shape }] of model.parameters.entries()) {
    const found = given.get(name);
    if (!found) problems.push(`${name} is missing`);
    else if (`${found.shape}` !== `${shape}`) {
      problems.push(`${name} is [${found.shape}], not [${shape}]`);
    }
  }
  if (problems.length) {
    throw new RangeError(`the checkpoint does not fit the model: ${problems.join("; ")}`);
  }
  for (const [name, variable] of model.parameters.entries()) {
    tf.tidy(() =>
      variable.assign(tf.tensor(Float32Array.from(given.get(name)!.data), variable.shape))
    );
  }
}
