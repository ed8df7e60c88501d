/**
 * 03 · Attention: vectors look at one another.
 *
 * Exported from notebooks/03-attention.ipynb: edit there and run `deno task export`,
 * or edit here, between the markers, and run `deno task export --update 03-attention`.
 *
 * @module attention
 */
// export: 55060b86, from notebooks/03-attention.ipynb

import * as tf from "@tensorflow/tfjs";
import type { Random } from "lib/engine/random.ts";
import { applyRotary, rotaryAngles } from "lib/embeddings.ts";
import { operator } from "lib/engine/ops.ts";
import type { Parameters } from "lib/engine/parameters.ts";

// cell: causal-mask bfcc5d14
/**
 * What a query must not see, as a term to add to the scores: 0 for the past and itself, -1e9 for the future.
 * With more keys than queries (the first keys come from a cache) the last query still sees every key.
 *
 * @param queries how many queries, Tq
 * @param keys how many keys, Tk, at least Tq
 * @returns [Tq, Tk]
 * @throws RangeError if there are fewer keys than queries
 * @example causalMask(2, 3) // [[0, 0, -1e9], [0, 0, 0]]
 */
export function causalMask(queries: number, keys = queries): tf.Tensor2D {
  if (!(keys >= queries)) {
    throw new RangeError(`keys must be at least queries (${queries}), got ${keys}`);
  }
  const mask = new Float32Array(queries * keys);
  const offset = keys - queries;
  for (let query = 0; query < queries; query++) {
    for (let key = query + offset + 1; key < keys; key++) mask[query * keys + key] = -1e9;
  }
  return tf.tensor2d(mask, [queries, keys]);
}

// cell: linear a7a5792f
/**
 * A matrix for every vector: x · W + b.
 *
 * @param x vectors, [..., Cin]
 * @param weight [Cin, Cout], the orientation of GPT-2's checkpoints
 * @param bias [Cout], or none
 * @returns [..., Cout]
 * @throws RangeError if x's vectors are not as long as the weight has rows
 */
export function linear(x: tf.Tensor, weight: tf.Tensor, bias?: tf.Tensor): tf.Tensor {
  const [from, to] = weight.shape;
  const width = x.shape.at(-1);
  if (width !== from) {
    throw new RangeError(`x has vectors of ${width} numbers, the weight takes ${from}`);
  }
  return tf.tidy(() => {
    const rows = tf.reshape(x, [-1, from]) as tf.Tensor2D; // [..., Cin] -> [N, Cin]
    const product = tf.matMul(rows, weight as tf.Tensor2D); // [N, Cout]
    const shifted = bias ? tf.add(product, bias) : product;
    return tf.reshape(shifted, [...x.shape.slice(0, -1), to]); // [..., Cout]
  });
}

// cell: scaled-scores 0c023967
/**
 * How well each query fits each key: their dot product, divided by √D so that its spread does not grow with D.
 *
 * @param q queries, [..., Tq, D]
 * @param k keys, [..., Tk, D]
 * @returns scores, [..., Tq, Tk]
 */
export function scaledScores<T extends tf.Tensor>(q: T, k: T): T {
  const width = q.shape[q.shape.length - 1];
  return tf.tidy(() => tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(width))); // [..., Tq, Tk]
}

// cell: split-heads 1e1cec1a
/**
 * Cuts each vector into one piece per head: head h gets columns h·D to (h+1)·D - 1, where D = C / nHead.
 *
 * @param x vectors, [B, T, C]
 * @param nHead how many heads, H
 * @returns [B, H, T, D]
 * @throws RangeError if C is no multiple of nHead
 */
export function splitHeads(x: tf.Tensor3D, nHead: number): tf.Tensor4D {
  const [batch, length, width] = x.shape;
  if (width % nHead !== 0) {
    throw new RangeError(`${width} columns cannot be cut into ${nHead} equal heads`);
  }
  return tf.tidy(() => {
    const pieces = tf.reshape(x, [batch, length, nHead, width / nHead]); // [B, T, H, D]
    return tf.transpose(pieces, [0, 2, 1, 3]) as tf.Tensor4D; // [B, H, T, D]
  });
}

// cell: merge-heads 1d22e9bb
/**
 * Puts the heads' pieces side by side again: the inverse of `splitHeads`.
 *
 * @param x one piece per head, [B, H, T, D]
 * @returns [B, T, H·D]
 */
export function mergeHeads(x: tf.Tensor4D): tf.Tensor3D {
  const [batch, heads, length, width] = x.shape;
  return tf.tidy(() => {
    const rows = tf.transpose(x, [0, 2, 1, 3]); // [B, T, H, D]
    return tf.reshape(rows, [batch, length, heads * width]); // [B, T, H·D]
  });
}

// cell: share-heads 912d66a0
/**
 * Repeats each head of keys or values for the query heads that share it (grouped-query attention,
 * Ainslie et al. 2023): query head h uses head floor(h · Hkv / H).
 *
 * @param x keys or values, [B, Hkv, T, D]
 * @param nHead how many query heads there are, H
 * @returns [B, H, T, D]
 * @throws RangeError if nHead is no multiple of Hkv
 */
export function shareHeads(x: tf.Tensor4D, nHead: number): tf.Tensor4D {
  const [batch, heads, length, width] = x.shape;
  if (heads === nHead) return x;
  if (nHead % heads !== 0) {
    throw new RangeError(`nHead must be a multiple of ${heads}, got ${nHead}`);
  }
  return tf.tidy(() => {
    const groups = tf.reshape(x, [batch, heads, 1, length * width]);
    const copies = tf.tile(groups, [1, 1, nHead / heads, 1]); // [B, Hkv, H/Hkv, T·D]
    return tf.reshape(copies, [batch, nHead, length, width]); // [B, H, T, D]
  });
}

// cell: dropout 8551675b
/**
 * Zeroes a share of the values and scales up the others, so that the expected value stays (Srivastava et al. 2014).
 *
 * @param x any shape
 * @param rate the share to zero, in [0, 1)
 * @param random where chance comes from; without it nothing is dropped, which is how a model runs outside training
 * @returns the same shape
 * @throws RangeError if the rate is outside [0, 1)
 */
export function dropout<T extends tf.Tensor>(x: T, rate: number, random?: Random): T {
  if (!(rate >= 0 && rate < 1)) throw new RangeError(`dropout must be in [0, 1), got ${rate}`);
  if (!random || rate === 0) return x;
  const kept = random.uniforms(x.size).map((chance) => chance < rate ? 0 : 1 / (1 - rate));
  return tf.tidy(() => tf.mul(x, tf.tensor(kept, x.shape)));
}

// cell: attention-weights 114b0e1a
/**
 * How much each query takes from each key: softmax(q · kᵀ / √D + mask).
 *
 * @param q queries, [B, H, Tq, D]
 * @param k keys, [B, Hkv, Tk, D]
 * @param mask added to the scores, [Tq, Tk]
 * @returns [B, H, Tq, Tk]; each row sums to 1
 * @throws RangeError if H is no multiple of Hkv
 */
export function attentionWeights(q: tf.Tensor4D, k: tf.Tensor4D, mask?: tf.Tensor): tf.Tensor4D {
  return tf.tidy(() => {
    const scores = scaledScores(q, shareHeads(k, q.shape[1])); // [B, H, Tq, Tk]
    return tf.softmax(mask ? tf.add(scores, mask) : scores);
  });
}

// cell: attention-options 31f849b9
/** Settings of `scaledDotProductAttention`. */
export interface AttentionOptions {
  /** Added to the scores, [Tq, Tk]: 0 where a query may look, -1e9 where not. */
  mask?: tf.Tensor;
  /** Share of the attention weights to drop while training, in [0, 1). */
  dropout?: number;
  /** Where chance comes from; without it nothing is dropped. */
  random?: Random;
}

// cell: scaled-dot-product f105bc70
/**
 * Every query takes the average of the values, weighted by how well it fits their keys:
 * softmax(q · kᵀ / √D + mask) · v. From Vaswani et al. 2017, "Attention Is All You Need", section 3.2.1.
 *
 * @param q queries, [B, H, Tq, D]
 * @param k keys, [B, Hkv, Tk, D]; where Hkv is less than H, each is shared by H / Hkv query heads
 * @param v values, [B, Hkv, Tk, D]
 * @returns [B, H, Tq, D]
 * @throws RangeError if H is no multiple of Hkv
 */
export function scaledDotProductAttention(
  q: tf.Tensor4D,
  k: tf.Tensor4D,
  v: tf.Tensor4D,
  { mask, dropout: rate = 0, random }: AttentionOptions = {},
): tf.Tensor4D {
  return tf.tidy(() => {
    const weights = dropout(attentionWeights(q, k, mask), rate, random); // [B, H, Tq, Tk]
    return tf.matMul(weights, shareHeads(v, q.shape[1])); // [B, H, Tq, D]
  });
}

// cell: stream-state cdfe35a1
/** What one query must remember between two blocks of keys; each has one row per query. */
export interface StreamState {
  /** The largest score so far, [B, H, T, 1]. */
  max: tf.Tensor;
  /** Sum of exp(score - max) so far, [B, H, T, 1]. */
  sum: tf.Tensor;
  /** Sum of exp(score - max) · value so far, [B, H, T, D]. */
  total: tf.Tensor;
}

// cell: absorb-block cea85ca3
/**
 * Takes one more block of keys into a softmax average without having kept the earlier scores (online softmax,
 * Milakov & Gimelshein 2018). The average at any time is total / sum.
 *
 * @param state what was seen before
 * @param scores of this block, [B, H, T, K]
 * @param values of this block, [B, H, K, D]
 * @returns the state after the block, measured against the new maximum
 */
export function absorbBlock(state: StreamState, scores: tf.Tensor, values: tf.Tensor): StreamState {
  const max = tf.maximum(state.max, tf.max(scores, -1, true)); // [B, H, T, 1]
  const correction = tf.exp(tf.sub(state.max, max)); // what was measured against the old maximum shrinks
  const weights = tf.exp(tf.sub(scores, max)); // [B, H, T, K]
  const sum = tf.add(tf.mul(state.sum, correction), tf.sum(weights, -1, true));
  const total = tf.add(tf.mul(state.total, correction), tf.matMul(weights, values)); // [B, H, T, D]
  return { max, sum, total };
}

// cell: streaming 088722ae
/**
 * Causal attention, block by block over the keys: the same numbers as `scaledDotProductAttention` with a causal
 * mask, but never more than T · blockSize scores at a time. The idea of FlashAttention (Dao et al. 2022).
 *
 * @param q queries, [B, H, T, D]
 * @param k keys, [B, H, T, D]
 * @param v values, [B, H, T, D]
 * @param blockSize how many keys to look at in one step
 * @returns [B, H, T, D]
 * @throws RangeError if blockSize is not a positive integer
 */
export function streamingAttention(
  q: tf.Tensor4D,
  k: tf.Tensor4D,
  v: tf.Tensor4D,
  blockSize: number,
): tf.Tensor4D {
  if (!(Number.isInteger(blockSize) && blockSize > 0)) {
    throw new RangeError(`blockSize must be a positive integer, got ${blockSize}`);
  }
  const [batch, heads, length, width] = q.shape;
  return tf.tidy(() => {
    const mask = causalMask(length);
    const zeros = tf.zeros([batch, heads, length, 1]);
    let state: StreamState = { max: tf.sub(zeros, 1e30), sum: zeros, total: tf.zerosLike(q) };
    for (let first = 0; first < length; first += blockSize) {
      const size = Math.min(blockSize, length - first);
      const block = (x: tf.Tensor4D) => tf.slice(x, [0, 0, first, 0], [batch, heads, size, width]); // [B, H, K, D]
      const scores = tf.add(scaledScores(q, block(k)), tf.slice(mask, [0, first], [length, size])); // [B, H, T, K]
      state = absorbBlock(state, scores, block(v));
    }
    return tf.div(state.total, state.sum); // [B, H, T, D]
  });
}

// cell: layer-cache 015e182b
/** The keys and values that one attention layer has seen so far. */
export interface LayerCache {
  /** For how many tokens. */
  readonly length: number;
  /** Takes the keys and values of new tokens, [B, Hkv, T, D]; returns those of all tokens so far. */
  append(k: tf.Tensor4D, v: tf.Tensor4D): { k: tf.Tensor4D; v: tf.Tensor4D };
  /**
   * For the engine, which writes keys and values itself: makes room for those of new tokens, [B, Hkv, T, D], and counts
   * them. Returns [B, Hkv, S, D] each, S at least the new length. A cache without it is always appended to.
   */
  reserve?(shape: [number, number, number, number]): { k: tf.Tensor4D; v: tf.Tensor4D };
}

// cell: model-cache f2516456
/** One `LayerCache` for each layer of a model. */
export interface ModelCache {
  /** For how many tokens. */
  readonly length: number;
  /** The cache of layer `index`, counted from 0. */
  layer(index: number): LayerCache;
}

// cell: forward-options 543782de
/** What a model's forward pass may be told. */
export interface ForwardOptions {
  /** Present while training: dropout draws from it. Absent: nothing is dropped. */
  random?: Random;
  /** The keys and values of the tokens before, when text is continued token by token. */
  cache?: ModelCache;
}

// cell: causal-attention-options 43da9b83
/** Settings of `causalAttention`. */
export interface CausalAttentionOptions {
  /** Number of query heads, H. */
  nHead: number;
  /** Number of key and value heads; default nHead. Fewer is grouped-query attention. */
  nKVHead?: number;
  /** Share of the attention weights to drop while training. Default 0. */
  dropout?: number;
  /** Where chance comes from; without it nothing is dropped. */
  random?: Random;
  /** Whether queries and keys are turned by their positions. Default false. */
  rotary?: boolean;
}

// cell: split-qkv 5ad1e54f
/**
 * Queries, keys and values of each head, from the columns of one matrix product.
 *
 * @param qkv queries [B, T, C], keys [B, T, Ckv] and values [B, T, Ckv] side by side, [B, T, C + 2·Ckv]
 * @param options how many heads; whether to turn queries and keys
 * @param start position of the first of the T tokens
 * @returns q [B, H, T, D], k and v [B, Hkv, T, D]
 * @throws RangeError if the columns cannot be shared out equally
 */
export function splitQueriesKeysValues(
  qkv: tf.Tensor3D,
  { nHead, nKVHead = nHead, rotary = false }: CausalAttentionOptions,
  start = 0,
): { q: tf.Tensor4D; k: tf.Tensor4D; v: tf.Tensor4D } {
  const [, length, columns] = qkv.shape;
  const pieces = nHead + 2 * nKVHead;
  const width = columns / pieces; // D
  if (!Number.isInteger(width)) {
    throw new RangeError(`${columns} columns cannot be cut into ${pieces} equal heads`);
  }
  return tf.tidy(() => {
    const sizes = [nHead, nKVHead, nKVHead].map((heads) => heads * width);
    const parts: tf.Tensor3D[] = tf.split(qkv, sizes, 2);
    const [q, k, v] = parts.map((part, i) => splitHeads(part, i === 0 ? nHead : nKVHead));
    if (!rotary) return { q, k, v };
    const angles = rotaryAngles(start + length, width);
    return { q: applyRotary(q, angles, start), k: applyRotary(k, angles, start), v };
  });
}

// cell: causal-attention 090677aa
/**
 * Causal self-attention of all heads at once: what lies between the two matrices of an attention layer.
 *
 * @param qkv queries, keys and values side by side, [B, T, C + 2·Ckv]
 * @param options heads, dropout, rotary positions
 * @returns the heads' answers side by side, [B, T, C]
 * @throws RangeError if the columns cannot be shared out equally among the heads
 */
export function causalAttention(qkv: tf.Tensor3D, options: CausalAttentionOptions): tf.Tensor3D {
  return tf.tidy(() => {
    const { q, k, v } = splitQueriesKeysValues(qkv, options); // [B, H, T, D]
    const { dropout, random } = options;
    const mask = causalMask(qkv.shape[1]); // [T, T]
    return mergeHeads(scaledDotProductAttention(q, k, v, { mask, dropout, random })); // [B, T, C]
  });
}

// cell: cached-attention 8212ab1f
/**
 * Causal attention of new tokens on themselves and on all that a cache holds, which takes their keys and values too.
 *
 * @param qkv queries, keys and values of the new tokens, [B, T, C + 2·Ckv]
 * @param cache grows by T tokens
 * @returns one mix of values per new token, heads merged, [B, T, C]
 * @throws RangeError if the columns cannot be cut into equal heads
 */
export function cachedAttention(
  qkv: tf.Tensor3D,
  cache: LayerCache,
  options: CausalAttentionOptions,
): tf.Tensor3D {
  return tf.tidy(() => {
    const { q, k, v } = splitQueriesKeysValues(qkv, options, cache.length); // [B, H, T, D]
    const all = cache.append(k, v); // [B, Hkv, Tk, D]
    const mask = causalMask(q.shape[2], all.k.shape[2]); // [T, Tk]
    return mergeHeads(scaledDotProductAttention(q, all.k, all.v, { mask })); // [B, T, C]
  });
}

// cell: self-attention-config 363f4cb4
/** Settings of one attention layer. */
export interface SelfAttentionConfig {
  /** Numbers per vector, C. */
  nEmbd: number;
  /** Number of query heads; divides nEmbd. */
  nHead: number;
  /** Number of key and value heads; divides nHead. Default nHead. */
  nKVHead?: number;
  /** Whether the two matrices have biases. Default true, as GPT-2. */
  bias?: boolean;
  /** Share of weights and of outputs to drop while training, in [0, 1). Default 0. */
  dropout?: number;
  /** Whether positions come in by turning queries and keys. Default false. */
  rotary?: boolean;
  /** Depth of the model: where it is given, c_proj starts smaller by √(2·nLayer), as GPT-2's. */
  nLayer?: number;
}

// cell: kernels 014266f6
const engine = {
  linear: operator("linear", linear),
  causalAttention: operator("causalAttention", causalAttention),
  cachedAttention: operator("cachedAttention", cachedAttention),
};

// cell: self-attention-class 72f6f22f
/**
 * One attention layer: every token asks, every earlier token answers.
 * Parameters, in GPT-2's names and orientation: `c_attn.weight` [C, C + 2·Ckv], `c_attn.bias`, `c_proj.weight`
 * [C, C], `c_proj.bias`, each after the layer's own name.
 */
export class CausalSelfAttention {
  readonly #config: SelfAttentionConfig;
  readonly #attnWeight: tf.Variable;
  readonly #attnBias?: tf.Variable;
  readonly #projWeight: tf.Variable;
  readonly #projBias?: tf.Variable;

  /**
   * @param parameters where the layer's parameters are made
   * @param name what their names start with, such as `transformer.h.0.attn`
   * @throws RangeError if nEmbd is no multiple of nHead, nHead none of nKVHead, or rotary heads have an odd width
   */
  constructor(parameters: Parameters, name: string, config: SelfAttentionConfig) {
    const { nEmbd, nHead, nKVHead = nHead, bias = true, nLayer, rotary } = config;
    if (nEmbd % nHead !== 0) {
      throw new RangeError(`nEmbd (${nEmbd}) must be a multiple of nHead (${nHead})`);
    }
    if (nHead % nKVHead !== 0) {
      throw new RangeError(`nHead (${nHead}) must be a multiple of nKVHead (${nKVHead})`);
    }
    if (rotary && nEmbd / nHead % 2 !== 0) {
      throw new RangeError(`rotary positions need heads of even width, got ${nEmbd} / ${nHead}`);
    }
    const columns = nEmbd + 2 * nKVHead * nEmbd / nHead;
    const shrink = nLayer ? Math.sqrt(2 * nLayer) : 1;
    this.#config = config;
    this.#attnWeight = parameters.normal(`${name}.c_attn.weight`, [nEmbd, columns], 0.02);
    if (bias) this.#attnBias = parameters.zeros(`${name}.c_attn.bias`, [columns]);
    this.#projWeight = parameters.normal(`${name}.c_proj.weight`, [nEmbd, nEmbd], 0.02 / shrink);
    if (bias) this.#projBias = parameters.zeros(`${name}.c_proj.bias`, [nEmbd]);
  }

  /**
   * @param x vectors, [B, T, C]
   * @param options `random` while training; `cache` when x continues a text whose keys and values are kept
   * @returns what each token learnt from those before it, [B, T, C]
   */
  forward(
    x: tf.Tensor3D,
    { random, cache }: { random?: Random; cache?: LayerCache } = {},
  ): tf.Tensor3D {
    return tf.tidy(() => {
      const qkv = engine.linear(x, this.#attnWeight, this.#attnBias) as tf.Tensor3D; // [B, T, C + 2·Ckv]
      const mixed = cache
        ? engine.cachedAttention(qkv, cache, this.#config)
        : engine.causalAttention(qkv, { ...this.#config, random }); // [B, T, C]
      const out = engine.linear(mixed, this.#projWeight, this.#projBias) as tf.Tensor3D; // [B, T, C]
      return dropout(out, this.#config.dropout ?? 0, random);
    });
  }

  /**
   * Who looks at whom, for pictures.
   *
   * @param x vectors, [B, T, C]
   * @returns the weight that each head gives each key, for each query, [B, H, T, T]; rows sum to 1
   */
  attentionWeights(x: tf.Tensor3D): tf.Tensor4D {
    return tf.tidy(() => {
      const qkv = engine.linear(x, this.#attnWeight, this.#attnBias) as tf.Tensor3D;
      const { q, k } = splitQueriesKeysValues(qkv, this.#config);
      return attentionWeights(q, k, causalMask(x.shape[1]));
    });
  }
}
