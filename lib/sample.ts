/**
 * 06 · A model writes.
 *
 * Exported from notebooks/06-sample.ipynb: edit there and run `deno task export`,
 * or edit here, between the markers, and run `deno task export --update 06-sample`.
 *
 * @module sample
 */
// export: 21a25ca6, from notebooks/06-sample.ipynb

import { Random } from "lib/engine/random.ts";
import { checkSettings, requireSetting, type Rules, setting } from "lib/engine/settings.ts";
import * as tf from "@tensorflow/tfjs";
import type { LayerCache, ModelCache } from "lib/attention.ts";
import { verifyOperators } from "lib/engine/ops.ts";

// cell: greedy acb67cb9
/**
 * The most likely token. Of several equally likely ones it is the one with the lowest id.
 *
 * @param logits [V], one score per token of the vocabulary; -Infinity rules a token out
 * @throws RangeError if a logit is NaN or +Infinity, or if none is finite
 * @example greedyToken(new Float32Array([0, 3, 1])) // 1
 */
export function greedyToken(logits: Float32Array): number {
  let best = -1;
  let top = -Infinity;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id];
    if (!(logit < Infinity)) {
      throw new RangeError(
        `each logit must be a number below Infinity, got ${logit} for token ${id}`,
      );
    }
    if (logit > top) [best, top] = [id, logit];
  }
  if (best < 0) throw new RangeError(`at least one of the ${logits.length} logits must be finite`);
  return best;
}

// cell: draw dc48082c
/** A token that may come next, and its chance. */
export interface Candidate {
  id: number;
  /** In (0, 1]; the chances of a list of candidates add up to 1. */
  probability: number;
}

// cell: draw-token f42ca7a8
/**
 * Draws one of the candidates, each with its own chance: a dart thrown at a ruler of length 1.
 *
 * @param random where the dart lands; one `uniform()` is used
 * @returns the id
 * @throws RangeError if there are no candidates
 */
export function drawToken(candidates: Candidate[], random: Random): number {
  if (candidates.length === 0) {
    throw new RangeError("there must be at least one candidate, got none");
  }
  let left = random.uniform();
  const hit = candidates.find(({ probability }) => (left -= probability) < 0);
  // Chances that add up to 0.9999999 leave a sliver of the ruler bare.
  return (hit ?? candidates[candidates.length - 1]).id;
}

// cell: tempered-softmax eef8857f
/**
 * Chances from logits: p[i] = exp(z[i] / T) / Σ exp(z[j] / T), the softmax at temperature T.
 * At T = 0, its limit: 1 for `greedyToken`, 0 for the others.
 *
 * @param logits [V]; -Infinity gives 0
 * @param temperature a finite number ≥ 0
 * @returns [V], adds up to 1
 * @throws RangeError if the temperature or a logit is not allowed
 */
export function temperedSoftmax(logits: Float32Array, temperature = 1): Float64Array {
  if (!(temperature >= 0 && temperature < Infinity)) {
    throw new RangeError(`temperature must be a finite number ≥ 0, got ${temperature}`);
  }
  const best = greedyToken(logits);
  const scores = new Float64Array(logits);
  if (temperature === 0) return scores.map((_, id) => id === best ? 1 : 0);
  const weights = scores.map((logit) => Math.exp((logit - logits[best]) / temperature));
  const total = weights.reduce((sum, weight) => sum + weight);
  return weights.map((weight) => weight / total);
}

// cell: rank 5b3343f8
/**
 * The tokens that may come next, the most likely first (equally likely ones by id). Tokens without any chance are
 * left out.
 *
 * @param logits [V]
 * @param temperature a finite number ≥ 0; at 0 there is one candidate
 * @param most how many are needed: of a large vocabulary it takes long to sort all
 * @returns at least `most` candidates, or all there are
 * @throws RangeError if the temperature or a logit is not allowed
 */
export function rankTokens(
  logits: Float32Array,
  temperature = 1,
  most = Infinity,
): Candidate[] {
  if (temperature === 0) return [{ id: greedyToken(logits), probability: 1 }];
  const probabilities = temperedSoftmax(logits, temperature);
  // Plain numbers are sorted much faster than candidates: no candidate below this one is needed.
  const bar = most < logits.length ? logits.toSorted()[logits.length - most] : -Infinity;
  return Array.from(probabilities, (probability, id) => ({ id, probability }))
    .filter(({ id, probability }) => probability > 0 && logits[id] >= bar)
    .sort((a, b) => logits[b.id] - logits[a.id]);
}

// cell: rescale 28061f0b
/** The same candidates with chances that add up to 1 again. */
function rescale(candidates: Candidate[]): Candidate[] {
  const total = candidates.reduce((sum, { probability }) => sum + probability, 0);
  return candidates.map(({ id, probability }) => ({ id, probability: probability / total }));
}

// cell: keep-top-k a11f1e7c
/**
 * Top-k (Fan et al. 2018, arXiv:1805.04833): the k most likely candidates. Exactly k, also among equals, where
 * Hugging Face keeps all that are as likely as the last.
 *
 * @param candidates the most likely first, as `rankTokens` gives them
 * @param k an integer ≥ 1; k above the number of candidates keeps all
 * @returns the kept ones, in order, their chances scaled to add up to 1
 * @throws RangeError if k is not an integer ≥ 1
 * @example keepTopK(rankTokens(new Float32Array([3, 2, 1, 0, -1])), 2) // ids 0, 1 with chances 0.73, 0.27
 */
export function keepTopK(candidates: Candidate[], k: number): Candidate[] {
  if (!(Number.isInteger(k) && k >= 1)) {
    throw new RangeError(`topK must be an integer ≥ 1, got ${k}`);
  }
  return rescale(candidates.slice(0, k));
}

// cell: keep-top-p 24cd5a07
/**
 * Top-p, or nucleus sampling (Holtzman et al. 2020, arXiv:1904.09751): the shortest list of candidates, taken in order,
 * whose chances add up to at least p. The candidate that reaches p is kept, so there is always one.
 *
 * @param candidates the most likely first, as `rankTokens` gives them
 * @param p in (0, 1]; 1 keeps all
 * @returns the kept ones, in order, their chances scaled to add up to 1
 * @throws RangeError if p is outside (0, 1]
 * @example keepTopP(rankTokens(new Float32Array([3, 2, 1, 0, -1])), 0.8) // ids 0, 1 with chances 0.73, 0.27
 */
export function keepTopP(candidates: Candidate[], p: number): Candidate[] {
  if (!(p > 0 && p <= 1)) throw new RangeError(`topP must be in (0, 1], got ${p}`);
  if (p === 1) return rescale(candidates);
  let sum = 0;
  const last = candidates.findIndex(({ probability }) => (sum += probability) >= p);
  return rescale(candidates.slice(0, last < 0 ? undefined : last + 1));
}

// cell: keep-min-p 0e56ddf6
/**
 * Min-p (Nguyen et al. 2024, arXiv:2407.01082): the candidates that are at least minP times as likely as the best.
 *
 * @param candidates the most likely first, as `rankTokens` gives them
 * @param minP in [0, 1); 0 keeps all
 * @returns the kept ones, in order, their chances scaled to add up to 1
 * @throws RangeError if minP is outside [0, 1)
 * @example keepMinP(rankTokens(new Float32Array([3, 2, 1, 0, -1])), 0.1) // ids 0, 1, 2
 */
export function keepMinP(candidates: Candidate[], minP: number): Candidate[] {
  if (!(minP >= 0 && minP < 1)) throw new RangeError(`minP must be in [0, 1), got ${minP}`);
  const bar = minP * (candidates[0]?.probability ?? 0);
  return rescale(candidates.filter(({ probability }) => probability >= bar));
}

// cell: penalty 57a7205a
/**
 * Repetition penalty (Keskar et al. 2019, arXiv:1909.05858), in the form of Hugging Face's
 * RepetitionPenaltyLogitsProcessor: the logit of each token that occurred is divided by the penalty if it is positive and
 * multiplied by it if it is negative. How often a token occurred does not matter.
 *
 * @param logits [V]; left as they are
 * @param previous ids that occurred, prompt included
 * @param penalty above 0; 1 changes nothing, more than 1 discourages repeats, less invites them
 * @returns [V], new
 * @throws RangeError if the penalty is not above 0 and finite, or if an id is not in [0, V)
 */
export function penalizeRepeats(
  logits: Float32Array,
  previous: Iterable<number>,
  penalty: number,
): Float32Array {
  if (!(penalty > 0 && penalty < Infinity)) {
    throw new RangeError(`repetitionPenalty must be a finite number > 0, got ${penalty}`);
  }
  const adjusted = logits.slice();
  for (const id of new Set(previous)) {
    if (!(id in logits)) {
      throw new RangeError(`each previous id must be in [0, ${logits.length}), got ${id}`);
    }
    adjusted[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
  }
  return adjusted;
}

// cell: sampling-options defdc97a
/** How the next token is chosen. What is not given does nothing. */
export interface SamplingOptions {
  /** ≥ 0, default 1: below 1 plays safe, above 1 takes risks; 0 is greedy. */
  temperature?: number;
  /** An integer ≥ 1: only this many of the most likely tokens may be drawn. More than there are keeps all. */
  topK?: number;
  /** In (0, 1]: only the most likely tokens that together hold this share may be drawn. */
  topP?: number;
  /** In [0, 1): only tokens at least this many times as likely as the best may be drawn. */
  minP?: number;
  /** Above 0, default 1: more than 1 makes tokens that already occurred less likely. */
  repetitionPenalty?: number;
}

// cell: sample-token-options 850aff88
/** What `sampleToken` takes: how to choose, and what the choice depends on. */
export interface SampleTokenOptions extends SamplingOptions {
  /** The ids so far, prompt included; only the repetition penalty looks at them. */
  previous?: Iterable<number>;
  /** Where chance comes from. May be left out at temperature 0, where nothing is left to chance. */
  random?: Random;
}

// cell: sampling-rules e51ca931
const SAMPLING_RULES: Rules<SampleTokenOptions> = {
  temperature: setting.number("[0, ∞)", "0 is greedy"),
  topK: setting.whole(1),
  topP: setting.number("(0, 1]"),
  minP: setting.number("[0, 1)"),
  repetitionPenalty: setting.number("(0, ∞)"),
  previous: setting.having(Symbol.iterator, "a list of ids"),
  random: setting.having("uniform", "a source of chance, such as new Random(1337)"),
};

// cell: next-token-candidates 06dc5e15
/**
 * The tokens that may be drawn under these options and their chances, the most likely first. The order of the steps
 * is Hugging Face's (transformers/generation/utils.py): repetition penalty, temperature, top-k, top-p, min-p.
 *
 * @param logits [V], of one position
 * @throws RangeError naming the option, its value and what is allowed
 */
export function nextTokenCandidates(
  logits: Float32Array,
  options: Omit<SampleTokenOptions, "random"> = {},
): Candidate[] {
  checkSettings(options, SAMPLING_RULES);
  const { temperature, topK, topP, minP, repetitionPenalty, previous = [] } = options;
  const scores = repetitionPenalty ? penalizeRepeats(logits, previous, repetitionPenalty) : logits;
  let candidates = rankTokens(scores, temperature, topK);
  if (topK !== undefined) candidates = keepTopK(candidates, topK);
  if (topP !== undefined) candidates = keepTopP(candidates, topP);
  if (minP !== undefined) candidates = keepMinP(candidates, minP);
  return candidates;
}

// cell: sample-token 62e30e59
/**
 * Chooses the next token from the logits of one position.
 *
 * @param logits [V]
 * @param options how; `random` is needed unless temperature is 0
 * @returns an id in [0, V)
 * @throws RangeError naming the option, its value and what is allowed; TypeError if `random` is missing
 * @example sampleToken(logits, { temperature: 0.8, topP: 0.9, random: new Random(1) })
 */
export function sampleToken(logits: Float32Array, options: SampleTokenOptions = {}): number {
  const candidates = nextTokenCandidates(logits, options);
  if (options.temperature === 0) return candidates[0].id;
  if (!options.random) {
    throw new TypeError(
      "random must be given unless temperature is 0, for example new Random(1337)",
    );
  }
  return drawToken(candidates, options.random);
}

// cell: kv-cache d1e8b4ff
/** The keys and values of one layer, for every token so far. */
class LayerKeysAndValues implements LayerCache {
  /** [B, Hkv, S, D]: the first `length` of the S rows of a head are filled. */
  #rows?: { k: tf.Tensor4D; v: tf.Tensor4D };
  #length = 0;

  get length(): number {
    return this.#length;
  }

  append(k: tf.Tensor4D, v: tf.Tensor4D): { k: tf.Tensor4D; v: tf.Tensor4D } {
    this.#length += k.shape[2];
    return this.#extend(this.#length - k.shape[2], k, v);
  }

  reserve(shape: [number, number, number, number]): { k: tf.Tensor4D; v: tf.Tensor4D } {
    const [batch, heads, tokens, width] = shape;
    const held = this.#length;
    this.#length += tokens;
    if (this.#rows && this.#rows.k.shape[2] >= this.#length) return this.#rows;
    // Twice what is needed, so that a text that grows is copied a few times only.
    const room = () => tf.zeros<tf.Rank.R4>([batch, heads, 2 * this.#length - held, width]);
    return tf.tidy(() => this.#extend(held, room(), room()));
  }

  /** Puts rows after those of the first `held` tokens. */
  #extend(held: number, k: tf.Tensor4D, v: tf.Tensor4D): { k: tf.Tensor4D; v: tf.Tensor4D } {
    const past = this.#rows;
    const join = (old: tf.Tensor4D | undefined, more: tf.Tensor4D) =>
      tf.tidy(() => {
        if (!old) return more.clone();
        return tf.concat4d([old.slice([0, 0, 0, 0], [-1, -1, held, -1]), more], 2); // [B, Hkv, held + new, D]
      });
    // The model runs in a tf.tidy, which would free them at the end of this step.
    const rows = { k: tf.keep(join(past?.k, k)), v: tf.keep(join(past?.v, v)) };
    if (past) tf.dispose([past.k, past.v]);
    return this.#rows = rows;
  }

  clear(): void {
    if (this.#rows) tf.dispose([this.#rows.k, this.#rows.v]);
    this.#rows = undefined;
    this.#length = 0;
  }
}

// cell: kv-cache-model dc38c37e
/**
 * What a model computed for the tokens so far and will need again: keys and values of every layer. Give it to
 * `forward` with the new tokens only. It takes 2 · nLayer · T · nKVHead · headWidth numbers of 4 bytes.
 *
 * @example const cache = new KVCache(model.config); model.forward(firstIds, { cache }); model.forward(nextIds, { cache });
 */
export class KVCache implements ModelCache {
  readonly #layers: LayerKeysAndValues[];

  /**
   * @param config of the model; only its number of layers counts
   * @throws RangeError if nLayer is not a whole number of at least 1
   */
  constructor({ nLayer }: { nLayer: number }) {
    requireSetting("nLayer", nLayer, setting.whole(1, 2 ** 24));
    this.#layers = Array.from({ length: nLayer }, () => new LayerKeysAndValues());
  }

  /** How many tokens have gone through all layers. */
  get length(): number {
    return this.#layers[this.#layers.length - 1].length;
  }

  /**
   * The keys and values of layer `index`, counted from 0. What its `append` returns, each [B, Hkv, T, D], belongs to the
   * cache: do not dispose it.
   *
   * @throws RangeError if there is no such layer
   */
  layer(index: number): LayerCache {
    const layer = this.#layers[index];
    if (layer) return layer;
    throw new RangeError(`layer must be an integer in [0, ${this.#layers.length}), got ${index}`);
  }

  /** Forgets everything and frees the memory; the cache can be filled again. */
  clear(): void {
    for (const layer of this.#layers) layer.clear();
  }

  /** Frees the memory. The same as `clear`. */
  dispose(): void {
    this.clear();
  }
}

// cell: ids-to-feed a6c3c4bd
/**
 * Which ids a model must be fed next, given what its cache has seen. While the text fits into blockSize: those that the
 * cache has not seen. Beyond that: the last blockSize ids, into an emptied cache (`restart`), because the keys in it were
 * computed at other positions, and by tokens that had heard those which are now gone.
 *
 * @param ids the whole text so far
 * @param cached how many ids the cache holds: 0 for none, fewer than ids.length
 * @param blockSize the most tokens that the model can look at, an integer ≥ 1
 * @throws RangeError if there are no ids, or if `cached` leaves nothing to feed
 * @example idsToFeed([5, 6, 7], 2, 8) // { feed: [7], restart: false }
 */
export function idsToFeed(
  ids: number[],
  cached: number,
  blockSize: number,
): { feed: number[]; restart: boolean } {
  if (!(Number.isInteger(cached) && cached >= 0 && cached < ids.length)) {
    throw new RangeError(`cached must be an integer in [0, ${ids.length}), got ${cached}`);
  }
  const restart = ids.length > blockSize;
  const window = ids.slice(-blockSize);
  return { feed: restart ? window : window.slice(cached), restart };
}

// cell: language-model f73bafe6
/** What sampling needs of a model; `GPT` of lib/transformer.ts is one. */
export interface LanguageModel {
  readonly config: { vocabSize: number; blockSize: number; nLayer: number };
  /** ids [B, T] to logits [B, T, V], or [B, 1, V] with lastOnly. */
  forward(ids: tf.Tensor2D, options?: { cache?: ModelCache; lastOnly?: boolean }): tf.Tensor3D;
}

// cell: next-logits bf1a9dbb
/**
 * The model's scores for what follows a text. Of a text longer than the model's blockSize, it looks at the end.
 *
 * @param ids the whole text so far, at least one token
 * @param cache what was computed for a beginning of these ids: only the rest is computed, and added to the cache
 * @returns logits [V]
 * @throws RangeError if there are no ids, or none that the cache has not seen
 */
export async function nextLogits(
  model: LanguageModel,
  ids: number[],
  cache?: KVCache,
): Promise<Float32Array> {
  await verifyOperators();
  const { vocabSize, blockSize } = model.config;
  const { feed, restart } = idsToFeed(ids, cache?.length ?? 0, blockSize);
  if (restart) cache?.clear();
  const logits = tf.tidy(() => {
    const input = tf.tensor2d(feed, [1, feed.length], "int32");
    return model.forward(input, { cache, lastOnly: true }); // [1, 1, V]
  });
  try {
    return (await logits.data<"float32">()).slice(-vocabSize);
  } finally {
    logits.dispose();
  }
}

// cell: hold-back 322b78bd
/**
 * Divides text that has not been shown yet: what may be shown, and what may be the beginning of a stop sequence.
 * Of several stop sequences in the text, the one complete first counts; of two that end together, the one that
 * began first. So the result does not depend on how the text was cut into tokens.
 *
 * @param text not yet shown: what was held last time, and what is new
 * @param stop stop sequences, none empty
 * @returns shown and held, which together are the text; or, where a stop sequence was found, the text before it
 * @throws RangeError if a stop sequence is empty
 * @example holdBack("the cat. The E", ["The End"]) // { shown: "the cat. ", held: "The E", stopped: false }
 */
export function holdBack(
  text: string,
  stop: string[],
): { shown: string; held: string; stopped: boolean } {
  if (stop.includes("")) throw new RangeError(`each stop sequence must have a character, got ""`);
  if (stop.length === 0) return { shown: text, held: "", stopped: false };
  const found = stop
    .map((one) => ({ start: text.indexOf(one), end: text.indexOf(one) + one.length }))
    .filter(({ start }) => start >= 0)
    .sort((a, b) => a.end - b.end || a.start - b.start);
  if (found.length) return { shown: text.slice(0, found[0].start), held: "", stopped: true };
  let start = 0;
  while (!stop.some((one) => one.startsWith(text.slice(start)))) start++;
  return { shown: text.slice(0, start), held: text.slice(start), stopped: false };
}

// cell: prompt-tokenizer d9bbb7f1
/** What sampling needs of a tokenizer; `Tokenizer` of lib/tokenizer.ts is one. */
export interface PromptTokenizer {
  readonly vocabSize: number;
  encode(text: string): number[];
  /** The bytes that one token stands for, UTF-8. */
  tokenBytes(id: number): Uint8Array;
}

// cell: generate-options 19ea901c
/** How `generate` writes. */
export interface GenerateOptions extends SamplingOptions {
  /** How many tokens to write at most, an integer ≥ 1, default 200. */
  maxTokens?: number;
  /** The text ends before any of these; none of it is emitted, however it is cut into tokens. */
  stop?: string[];
  /** An integer, default 1337: same seed, same text. */
  seed?: number;
  /** Default true. Without the cache the text is the same and comes more slowly. */
  useCache?: boolean;
}

// cell: scored-token bf46186d
/** One token of a text. */
export interface ScoredToken {
  id: number;
  /** The whole characters that this token completed; may be empty. All texts joined are the whole text. */
  text: string;
  /** Natural logarithm of the chance that the model gave it, at temperature 1 and without filters. */
  logProbability: number;
}

// cell: generate 9923cfe0
const { previous: _previous, random: _random, ...choice } = SAMPLING_RULES;
const GENERATE_RULES: Rules<GenerateOptions> = {
  ...choice,
  maxTokens: setting.whole(1),
  stop: {
    allowed: "a list of texts, none empty",
    holds: (stop) => Array.isArray(stop) && stop.every((one) => typeof one === "string" && one),
  },
  seed: setting.integer,
  useCache: setting.flag,
};

/**
 * Continues a text, token by token. With the same seed, with or without cache, on every backend: the same text, but for
 * logits that are equal to the last digits.
 *
 * Text comes in whole characters, and nothing of a stop sequence is emitted: text that may become one waits, and comes
 * with a later token. Texts longer than the model's blockSize slide: the model looks at the last blockSize tokens, and
 * the cache is rebuilt for each (see `idsToFeed`).
 *
 * @param prompt what to continue: text, or ids (the way to put special tokens in)
 * @throws RangeError at once if an option is not allowed, naming it, its value and what is; if the prompt is
 *   empty; if the tokenizer has more tokens than the model
 * @example for await (const { text } of generate(model, tokenizer, "Once", { topP: 0.9 })) process.stdout.write(text);
 */
export function generate(
  model: LanguageModel,
  tokenizer: PromptTokenizer,
  prompt: string | number[],
  options: GenerateOptions = {},
): AsyncGenerator<ScoredToken, void, void> {
  checkSettings(options, GENERATE_RULES);
  const ids = encodeFor(model, tokenizer, prompt);
  if (ids.length === 0) {
    throw new RangeError(`prompt must hold at least one token, got ${JSON.stringify(prompt)}`);
  }
  return write(model, tokenizer, ids, options);
}

// cell: generate-loop 2e9893b7
async function* write(
  model: LanguageModel,
  tokenizer: PromptTokenizer,
  ids: number[],
  { maxTokens = 200, stop = [], seed = 1337, useCache = true, ...sampling }: GenerateOptions,
): AsyncGenerator<ScoredToken, void, void> {
  const random = new Random(seed);
  const cache = useCache ? new KVCache(model.config) : undefined;
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let waiting = "";
  try {
    for (let left = maxTokens - 1; left >= 0; left--) {
      // A model may have more rows than the tokenizer has tokens (a padded vocabulary).
      const logits = (await nextLogits(model, ids, cache)).subarray(0, tokenizer.vocabSize);
      const id = sampleToken(logits, { ...sampling, previous: ids, random });
      ids.push(id);
      const fresh = decoder.decode(tokenizer.tokenBytes(id), { stream: left > 0 });
      const { shown, held, stopped } = holdBack(waiting + fresh, stop);
      const logProbability = logits[id] - logSumExp(logits);
      yield { id, text: left > 0 ? shown : shown + held, logProbability };
      if (stopped) return;
      waiting = held;
    }
  } finally {
    cache?.dispose();
  }
}

// cell: log-sum-exp dc01fcfc
/** log Σ exp(z), safe for logits of any size. */
function logSumExp(logits: Float32Array): number {
  const top = logits[greedyToken(logits)];
  return top + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0));
}

// cell: generate-encode d08dfd9f
/** The ids of a text, new, once it is clear that this model can read this tokenizer's ids. */
function encodeFor(
  model: LanguageModel,
  tokenizer: PromptTokenizer,
  text: string | number[],
): number[] {
  const { vocabSize } = model.config;
  if (tokenizer.vocabSize > vocabSize) {
    throw new RangeError(
      `the tokenizer has ${tokenizer.vocabSize} tokens and the model ${vocabSize}: they do not belong together`,
    );
  }
  const ids = typeof text === "string" ? tokenizer.encode(text) : text.slice();
  const wrong = ids.find((id) => !(Number.isInteger(id) && id >= 0 && id < vocabSize));
  if (wrong === undefined) return ids;
  throw new RangeError(`each id must be an integer in [0, ${vocabSize}), got ${wrong}`);
}

// cell: log-probabilities c9b9db85
/**
 * How likely the model found each token of a text, given those before it. The first token has none before it and is
 * left out. A text longer than blockSize is read in windows that overlap: each token but those at the very start has at
 * least blockSize - stride tokens before it.
 *
 * @param text at least two tokens long; text or ids
 * @param options stride: how far the window moves, an integer in [1, blockSize], default half of blockSize
 * @returns one entry per token from the second on
 * @throws RangeError if the text is shorter than two tokens or the stride is not allowed
 */
export async function logProbabilities(
  model: LanguageModel,
  tokenizer: PromptTokenizer,
  text: string | number[],
  options: { stride?: number } = {},
): Promise<ScoredToken[]> {
  const { blockSize } = model.config;
  checkSettings(options, { stride: setting.whole(1, blockSize) });
  const { stride = Math.ceil(blockSize / 2) } = options;
  const ids = encodeFor(model, tokenizer, text);
  if (ids.length < 2) {
    throw new RangeError(`text must be at least two tokens long, got ${ids.length}`);
  }
  const scores: number[] = [];
  for (let start = 0; scores.length < ids.length - 1; start += stride) {
    const window = ids.slice(start, start + blockSize + 1);
    const values = await scoreWindow(model, window, tokenizer.vocabSize);
    scores.push(...values.slice(scores.length - start));
  }
  return withTexts(tokenizer, ids, scores);
}

// cell: score-window f1838582
/** Log-probability of each token of a window but the first, in one pass. */
async function scoreWindow(
  model: LanguageModel,
  window: number[],
  vocabSize: number,
): Promise<Float32Array> {
  const length = window.length - 1;
  const scores = tf.tidy(() => {
    const logits = model.forward(tf.tensor2d(window.slice(0, -1), [1, length], "int32")); // [1, T, V]
    const table = tf.logSoftmax(logits.slice([0, 0, 0], [1, length, vocabSize])); // [1, T, V]
    const places = window.slice(1).map((id, row) => row * vocabSize + id);
    return tf.gather(table.reshape([-1]), tf.tensor1d(places, "int32")); // [T]
  });
  try {
    return await scores.data<"float32">();
  } finally {
    scores.dispose();
  }
}

// cell: with-texts a57728fb
/** Pairs each score with its token and the characters that it completed. */
function withTexts(tokenizer: PromptTokenizer, ids: number[], scores: number[]): ScoredToken[] {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const texts = ids.map((id, i) =>
    decoder.decode(tokenizer.tokenBytes(id), { stream: i < ids.length - 1 })
  );
  return scores.map((logProbability, i) => ({
    id: ids[i + 1],
    text: texts[i + 1],
    logProbability,
  }));
}

// cell: perplexity c915dc82
/**
 * exp of the mean negative log-probability per token (Jelinek et al. 1977): among how many equally likely tokens the
 * model might as well have guessed. 1 is certainty, the vocabulary's size is ignorance.
 *
 * @param text at least two tokens long; text or ids
 * @param options as `logProbabilities` takes them
 * @throws RangeError as `logProbabilities` does
 */
export async function perplexity(
  model: LanguageModel,
  tokenizer: PromptTokenizer,
  text: string | number[],
  options: { stride?: number } = {},
): Promise<number> {
  const scored = await logProbabilities(model, tokenizer, text, options);
  const total = scored.reduce((sum, { logProbability }) => sum + logProbability, 0);
  return Math.exp(-total / scored.length);
}
