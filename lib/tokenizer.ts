/**
 * 01 · From text to numbers, and back.
 *
 * Exported from notebooks/01-tokenizer.ipynb: edit there and run `deno task export`,
 * or edit here, between the markers, and run `deno task export --update 01-tokenizer`.
 *
 * @module tokenizer
 */
// export: 79011df3, from notebooks/01-tokenizer.ipynb

import { oniguruma, translatePattern } from "lib/data/regex.ts";
import {
  areInOrder,
  demandBytes,
  demandSame,
  parseTokenizerJSON,
  type ReadTokenizer,
  readTokenizerFile,
} from "lib/data/tokenizer-json.ts";
import type { Cut } from "lib/data/pre-tokenizer.ts";
import { type AddedToken, AddedTokens, specialToken } from "lib/data/added-tokens.ts";
import { demand, demandId, fields } from "lib/data/fields.ts";
import { RankedMerges } from "lib/data/ranked-merges.ts";

// cell: bytes-of 15a701f0
/** A text as the model sees it: whole numbers from 0 to vocabSize - 1. */
export type TokenIds = number[];

const utf8 = new TextEncoder();

/**
 * The UTF-8 bytes of a text, each 0 to 255. Half of a surrogate pair, which is no character, becomes U+FFFD (�).
 *
 * @example bytesOf("né") // [110, 195, 169]
 */
export function bytesOf(text: string): TokenIds {
  return Array.from(utf8.encode(text));
}

// cell: ex-count-pairs 7663cfd5
/** Two neighbouring ids as one key: `"108,111"`. */
export type Pair = `${number},${number}`;

/**
 * Counts the pairs of neighbours. Pairs may overlap.
 *
 * @param times what each occurrence counts
 * @param counts where to add; a new map unless given
 * @returns `counts`, pairs in the order in which they were first seen
 * @example countPairs([1, 2, 3, 1, 2]) // Map { "1,2" => 2, "2,3" => 1, "3,1" => 1 }
 */
export function countPairs(
  ids: TokenIds,
  times = 1,
  counts: Map<Pair, number> = new Map(),
): Map<Pair, number> {
  for (let i = 0; i + 1 < ids.length; i++) {
    const pair: Pair = `${ids[i]},${ids[i + 1]}`;
    counts.set(pair, (counts.get(pair) ?? 0) + times);
  }
  return counts;
}

// cell: ex-merge 63ea9f8a
/**
 * A copy of `ids` with `newId` wherever `left` was followed by `right`, from left to right.
 *
 * @example mergePair([1, 2, 3, 1, 2], 1, 2, 9) // [9, 3, 9]
 */
export function mergePair(
  ids: TokenIds,
  left: number,
  right: number,
  newId: number,
): TokenIds {
  const merged: TokenIds = [];
  for (let i = 0; i < ids.length; i++) {
    const isPair = ids[i] === left && ids[i + 1] === right;
    merged.push(isPair ? newId : ids[i]);
    if (isPair) i++;
  }
  return merged;
}

// cell: stand-ins 4233e8b3
/**
 * GPT-2's printable stand-in for each byte: visible characters of Latin-1 stand for themselves, the other 68 bytes take
 * U+0100 and up, in order. https://github.com/openai/gpt-2/blob/master/src/encoder.py
 */
export const STAND_INS: readonly string[] = standIns();

function standIns(): string[] {
  const isVisible = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let hidden = 0;
  return Array.from(
    { length: 256 },
    (_, byte) => String.fromCharCode(isVisible(byte) ? byte : 256 + hidden++),
  );
}

// cell: tie-types c3923872
/** Which of two equally frequent pairs is merged first; see `mostFrequent`. */
export type Ties = "lowest-id" | "first-seen";

/** A merge that was learned: these two ids become one. */
export type Merge = [left: number, right: number];

// cell: most-frequent 6375435a
/**
 * The pair that occurs most often, or undefined if there are no pairs.
 *
 * @param ties `lowest-id` (Hugging Face): lower left id, then lower right id, bytes in the order of their stand-ins;
 *   `first-seen` (minbpe): the first in the map
 */
export function mostFrequent(counts: Map<Pair, number>, ties: Ties): Merge | undefined {
  let best: { merge: Merge; count: number } | undefined;
  for (const [pair, count] of counts) {
    if (best && count < best.count) continue;
    const merge = pair.split(",").map(Number) as Merge;
    const isTie = count === best?.count;
    if (isTie && (ties === "first-seen" || tieOrder(...merge) > tieOrder(...best!.merge))) continue;
    best = { merge, count };
  }
  return best?.merge;
}

// cell: tie-order e453074d
/** A number that is lower for the pair that wins a tie under `lowest-id`. */
function tieOrder(left: number, right: number): number {
  return idOrder(left) * 2 ** 25 + idOrder(right);
}

function idOrder(id: number): number {
  return id < 256 ? STAND_INS[id].charCodeAt(0) : 256 + id;
}

// cell: patterns ea7b178b
/** The patterns that cut a text into words, as tiktoken and tokenizer.json write them. */
export const PATTERNS: Readonly<Record<"gpt2" | "cl100k" | "o200k", string>> = {
  /** GPT-2 and GPT-3. */
  gpt2: String
    .raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  /** GPT-3.5 and GPT-4. */
  cl100k: [
    String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}`,
    String.raw` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  ].join("|"),
  /** GPT-4o and later. */
  o200k: [
    String
      .raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?`,
    String
      .raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?`,
    String.raw`\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  ].join("|"),
};

// cell: compile 14deeaf2
/**
 * A pattern in the syntax of tokenizer.json, which is Oniguruma's, as a JavaScript one, in which `\s` is Unicode's White_Space.
 * The runs between the matches match as well, as the group `gap`.
 *
 * @throws SyntaxError naming the pattern, and what in it is wrong or not supported
 */
export function compilePattern(pattern: string): RegExp {
  return translatePattern(pattern);
}

// cell: split fb31613b
/**
 * Calls `visit` with each word that `splitter` (from `compilePattern`) cuts, in order; joined, they are the text.
 *
 * @throws RangeError if a word is too long for JavaScript's regular expressions: millions of letters, no blank, not Latin
 */
export function forEachWord(
  text: string,
  splitter: RegExp,
  visit: (word: string) => void,
): void {
  let start = 0;
  splitter.lastIndex = 0;
  while (start < text.length && finds(splitter, text)) {
    const { lastIndex } = splitter;
    const end = lastIndex > start ? lastIndex : endOfGap(splitter, text, start);
    visit(text.slice(start, end));
    splitter.lastIndex = start = end;
  }
}

// cell: split-finds 78d91b26
/** Where a pattern matches the empty string, the character there begins a gap. */
function endOfGap(splitter: RegExp, text: string, start: number): number {
  const behind = start + String.fromCodePoint(text.codePointAt(start)!).length;
  splitter.lastIndex = behind;
  return splitter.exec(text)?.groups?.gap ? splitter.lastIndex : behind;
}

function finds(splitter: RegExp, text: string): boolean {
  const { lastIndex } = splitter;
  try {
    return splitter.test(text);
  } catch {
    throw new RangeError(`the word at position ${lastIndex} is too long to be cut`);
  }
}

// cell: split-words cc8b802d
/**
 * The words of a text, as a tokenizer sees them: with the blank before, never cut by a merge.
 *
 * @example splitWords("It's low.") // ["It", "'s", " low", "."]
 */
export function splitWords(text: string, pattern: string = PATTERNS.gpt2): string[] {
  const words: string[] = [];
  forEachWord(text, compilePattern(pattern), (word) => words.push(word));
  return words;
}

// cell: count-words df18fed5
/** Adds to `counts` how often each word occurs in the text; words in the order in which they were first seen. */
export function countWords(
  text: string,
  splitter: RegExp,
  counts: Map<string, number> = new Map(),
): Map<string, number> {
  forEachWord(text, splitter, (word) => counts.set(word, (counts.get(word) ?? 0) + 1));
  return counts;
}

// cell: learn-slowly 5ca4bcdb
/**
 * Learns merges as one would by hand; the n-th makes token 256 + n. The reference for `learnMerges`, which is faster.
 *
 * @param words each distinct word and how often it occurs, as from `countWords`
 * @param howMany the most merges to learn; fewer if every word has become one token
 */
export function learnMergesSlowly(
  words: Map<string, number>,
  howMany: number,
  ties: Ties = "lowest-id",
): Merge[] {
  let texts = [...words].map(([word, times]) => ({ ids: bytesOf(word), times }));
  const merges: Merge[] = [];
  while (merges.length < howMany) {
    const counts = new Map<Pair, number>();
    for (const { ids, times } of texts) countPairs(ids, times, counts);
    const best = mostFrequent(counts, ties);
    if (!best) break;
    const newId = 256 + merges.length;
    texts = texts.map(({ ids, times }) => ({ ids: mergePair(ids, ...best, newId), times }));
    merges.push(best);
  }
  return merges;
}

// cell: merges-type df595418
/** What two neighbouring tokens become. */
export interface Merges {
  /** The id that `left` followed by `right` becomes, or undefined if the two do not merge. */
  get(left: number, right: number): number | undefined;
  /** The id of what `get` gave, where that is not the id itself. */
  idOf?(made: number): number;
  /** Every merge. */
  entries(): Iterable<[left: number, right: number, made: number]>;
}

// cell: pair-map 3bd8c8c3
/** A map from pairs of ids, each below 2^24, to a whole number from 0 to 2^31 - 1: an open-addressing hash table. */
export class PairMap implements Merges {
  #keys = new Float64Array(256).fill(-1);
  #values = new Int32Array(256);
  #size = 0;

  /** How many pairs are in it. */
  get size(): number {
    return this.#size;
  }

  get(left: number, right: number): number | undefined {
    const slot = this.#slot(left, right);
    return this.#keys[slot] === -1 ? undefined : this.#values[slot];
  }

  /** Sets the value of a pair. */
  set(left: number, right: number, value: number): void {
    if (2 * this.#size >= this.#keys.length) this.#grow();
    const slot = this.#slot(left, right);
    if (this.#keys[slot] === -1) this.#size++;
    this.#keys[slot] = left * 2 ** 24 + right;
    this.#values[slot] = value;
  }

  *entries(): Generator<[left: number, right: number, value: number]> {
    for (const [slot, key] of this.#keys.entries()) {
      if (key !== -1) yield [Math.floor(key / 2 ** 24), key % 2 ** 24, this.#values[slot]];
    }
  }

  /** Where the pair is, or the empty place where it belongs. */
  #slot(left: number, right: number): number {
    const key = left * 2 ** 24 + right;
    const mask = this.#keys.length - 1;
    const hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    let slot = (hash ^ (hash >>> 15)) & mask;
    while (this.#keys[slot] !== key && this.#keys[slot] !== -1) slot = (slot + 1) & mask;
    return slot;
  }

  #grow(): void {
    const keys = this.#keys, values = this.#values;
    this.#keys = new Float64Array(2 * keys.length).fill(-1);
    this.#values = new Int32Array(2 * keys.length);
    this.#size = 0;
    for (let i = 0; i < keys.length; i++) {
      if (keys[i] !== -1) this.set(Math.floor(keys[i] / 2 ** 24), keys[i] % 2 ** 24, values[i]);
    }
  }
}

// cell: ex-encode 9d969cbd
/**
 * Byte pair encoding of one word: merges the pair with the lowest rank (the id that it becomes), the leftmost first, until
 * no pair merges.
 *
 * @param ids the word's bytes, as ids
 * @returns a new list; `ids` stays as it was
 */
export function mergeByRank(ids: TokenIds, merges: Merges): TokenIds {
  const symbols = [...ids];
  for (;;) {
    let best = Infinity, at = -1;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const made = merges.get(symbols[i], symbols[i + 1]) ?? Infinity;
      if (made < best) [best, at] = [made, i];
    }
    if (at === -1) return symbols;
    symbols.splice(at, 2, best);
  }
}

// cell: binary c540c6a5
/** The UTF-8 bytes of a text as a string of characters 0 to 255. */
export function binaryOf(text: string): string {
  if (/^\p{ASCII}*$/u.test(text)) return text;
  const bytes = utf8.encode(text);
  let binary = "";
  for (let at = 0; at < bytes.length; at += 4096) {
    binary += String.fromCharCode(...bytes.subarray(at, at + 4096));
  }
  return binary;
}

// cell: binary-back 8e8ef129
/** The bytes that a string of characters 0 to 255 stands for. */
export function bytesOfBinary(binary: string): Uint8Array {
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

// cell: base bd93a82a
/** How `encode` treats special tokens in the text. */
export interface EncodeOptions {
  /** Special tokens that the text may contain: `"all"`, or their texts; none unless given. */
  allowedSpecial?: "all" | Iterable<string>;
  /** Whether to add what the tokenizer's file says belongs around a text, such as a first token; not unless told. */
  addSpecialTokens?: boolean;
}

/** What every tokenizer can do once it knows the bytes of its tokens. */
export abstract class TokenizerBase {
  /** How many ids there are: each is from 0 to vocabSize - 1. */
  abstract readonly vocabSize: number;
  /** The ids of tokens that stand for no text, such as the end of a document, by their names. */
  abstract readonly specialTokens: ReadonlyMap<string, number>;
  /** The ids of a text. */
  abstract encode(text: string, options?: EncodeOptions): TokenIds;
  /**
   * The bytes of one token, as a string of characters 0 to 255; of a special token, its name's.
   *
   * @throws RangeError if no token has this id
   */
  abstract tokenBinary(id: number): string;
  /** The tokenizer as a Hugging Face tokenizer.json. */
  abstract toJSON(): TokenizerJSON;

  /** The ids of each text. */
  encodeBatch(texts: Iterable<string>, options?: EncodeOptions): TokenIds[] {
    return Array.from(texts, (text) => this.encode(text, options));
  }

  /**
   * The bytes of one token; of a special token, its name's.
   *
   * @throws RangeError if no token has this id
   */
  tokenBytes(id: number): Uint8Array {
    return bytesOfBinary(this.tokenBinary(id));
  }

  /**
   * The bytes that the ids stand for, which need not be valid UTF-8.
   *
   * @throws RangeError naming the id that no token has
   */
  decodeBytes(ids: Iterable<number>): Uint8Array {
    let binary = "";
    for (const id of ids) binary += this.tokenBinary(id);
    return bytesOfBinary(binary);
  }

  /**
   * The text that the ids stand for; bytes that are no character become U+FFFD (�).
   *
   * @throws RangeError naming the id that no token has
   */
  decode(ids: Iterable<number>): string {
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.decodeBytes(ids));
  }

  /**
   * The text of ids as they arrive, in pieces that never end within a character; joined, they are `decode(ids)`.
   *
   * @throws RangeError naming the id that no token has
   */
  async *decodeStream(ids: Iterable<number> | AsyncIterable<number>): AsyncGenerator<string> {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    for await (const id of ids) {
      const text = decoder.decode(this.tokenBytes(id), { stream: true });
      if (text) yield text;
    }
    const rest = decoder.decode();
    if (rest) yield rest;
  }

  /** Writes a Hugging Face tokenizer.json, whole or not at all. */
  async save(path: string): Promise<void> {
    const { rename, writeFile } = await import("node:fs/promises");
    await writeFile(`${path}.tmp`, JSON.stringify(this, null, 1));
    await rename(`${path}.tmp`, path);
  }
}

// cell: ex-special f1e45d4e
/**
 * Makes sure that a text contains no special token, except those that are allowed.
 *
 * @throws Error naming the first special token in the text that is not allowed, and its position
 */
export function refuseSpecialTokens(
  text: string,
  specialTokens: Iterable<string>,
  allowed: ReadonlySet<string>,
): void {
  const found = [...specialTokens]
    .filter((token) => !allowed.has(token))
    .map((token) => ({ token, at: text.indexOf(token) }))
    .filter(({ at }) => at !== -1)
    .sort((a, b) => a.at - b.at);
  if (found.length === 0) return;
  const { token, at } = found[0];
  throw new Error(
    `the text contains the special token ${token} at position ${at}; ` +
      `name it in allowedSpecial, or use encodeOrdinary to read it as plain text`,
  );
}

// cell: heap 2b6fb7ef
/** A priority queue: `pop` gives the item that comes before all others. A binary heap. */
export class Heap<T> {
  readonly #items: T[] = [];

  /** @param isBefore whether `a` must come out before `b` */
  constructor(readonly isBefore: (a: T, b: T) => boolean) {}

  /** The item that `pop` would give, or undefined if there is none. */
  get first(): T | undefined {
    return this.#items[0];
  }

  /** Adds an item. */
  push(item: T): void {
    let at = this.#items.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.isBefore(item, this.#items[parent])) break;
      this.#items[at] = this.#items[parent];
      at = parent;
    }
    this.#items[at] = item;
  }

  /** Takes the first item out, or undefined if there is none. */
  pop(): T | undefined {
    const first = this.#items[0];
    const last = this.#items.pop();
    if (last !== undefined && this.#items.length > 0) this.#sink(last);
    return first;
  }

  /** Puts an item at the top and lets it sink to its place. */
  #sink(item: T): void {
    const items = this.#items;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child + 1 < items.length && this.isBefore(items[child + 1], items[child])) child++;
      if (child >= items.length || !this.isBefore(items[child], item)) break;
      items[at] = items[child];
      at = child;
    }
    items[at] = item;
  }
}

// cell: no-place 6b8e674b
/** No place: the end of a list. */
const NONE = -1;

// cell: pair-index 2bf6d060
/** All words laid end to end, and for each pair of neighbours its count and the list of places where it starts. */
class PairIndex {
  /** Left and right id, count, first and last place, of each pair. */
  readonly left: number[] = [];
  readonly right: number[] = [];
  readonly count: number[] = [];
  readonly first: number[] = [];
  readonly last: number[] = [];
  readonly #pairs = new PairMap();
  /** The id at each place, how often its word occurs, and which pair starts there. */
  readonly #ids: Int32Array;
  readonly #times: Float64Array;
  readonly #pairAt: Int32Array;
  /** Neighbours in the word, and in the list of places of the same pair. */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #nextSame: Int32Array;
  readonly #previousSame: Int32Array;

  constructor(words: Map<string, number>) {
    const { bytes, ends } = layOut(words.keys());
    this.#ids = Int32Array.from(bytes);
    this.#times = new Float64Array(bytes.length);
    const places = () => new Int32Array(bytes.length).fill(NONE);
    [this.#pairAt, this.#next, this.#previous] = [places(), places(), places()];
    [this.#nextSame, this.#previousSame] = [places(), places()];
    let start = 0;
    for (const [i, times] of [...words.values()].entries()) {
      this.#addWord(start, ends[i], times);
      start = ends[i];
    }
  }

  #addWord(start: number, end: number, times: number): void {
    this.#times.fill(times, start, end);
    for (let place = start; place + 1 < end; place++) {
      this.#next[place] = place + 1;
      this.#previous[place + 1] = place;
      this.#join(place);
    }
  }

  /** The pair that starts at this place is counted, and the place goes to the end of its list. */
  #join(place: number): void {
    const pair = this.#pairOf(this.#ids[place], this.#ids[this.#next[place]]);
    const last = this.last[pair];
    if (last === NONE) this.first[pair] = place;
    else this.#nextSame[last] = place;
    this.#previousSame[place] = last;
    this.#nextSame[place] = NONE;
    this.last[pair] = place;
    this.#pairAt[place] = pair;
    this.count[pair] += this.#times[place];
  }

  /** The opposite of `#join`. */
  #leave(place: number): void {
    const pair = this.#pairAt[place];
    const before = this.#previousSame[place], after = this.#nextSame[place];
    if (before === NONE) this.first[pair] = after;
    else this.#nextSame[before] = after;
    if (after === NONE) this.last[pair] = before;
    else this.#previousSame[after] = before;
    this.count[pair] -= this.#times[place];
  }

  /** Merges a pair wherever it occurs, from left to right. */
  merge(pair: number, newId: number): void {
    while (this.first[pair] !== NONE) this.#mergeAt(this.first[pair], newId);
  }

  #mergeAt(place: number, newId: number): void {
    const before = this.#previous[place], second = this.#next[place];
    const after = this.#next[second];
    this.#leave(place);
    if (before !== NONE) this.#leave(before);
    if (after !== NONE) this.#leave(second);
    this.#ids[place] = newId;
    this.#next[place] = after;
    if (after !== NONE) this.#previous[after] = place;
    if (before !== NONE) this.#join(before);
    if (after !== NONE) this.#join(place);
  }

  #pairOf(left: number, right: number): number {
    const known = this.#pairs.get(left, right);
    if (known !== undefined) return known;
    const pair = this.left.push(left) - 1;
    this.right.push(right);
    this.count.push(0);
    this.first.push(NONE);
    this.last.push(NONE);
    this.#pairs.set(left, right, pair);
    return pair;
  }
}

// cell: lay-out 41bda73e
/** The bytes of all words, end to end, and where each word ends. */
function layOut(words: Iterable<string>): { bytes: Uint8Array; ends: number[] } {
  let bytes = new Uint8Array(2 ** 16), length = 0;
  const ends: number[] = [];
  for (const word of words) {
    if (length + 3 * word.length > bytes.length) {
      const longer = new Uint8Array(2 * (length + 3 * word.length));
      longer.set(bytes);
      bytes = longer;
    }
    length += utf8.encodeInto(word, bytes.subarray(length)).written;
    ends.push(length);
  }
  return { bytes: bytes.subarray(0, length), ends };
}

// cell: candidate fa0364b6
/** A pair in the heap, as it was when it was put there. */
interface Candidate {
  pair: number;
  count: number;
  tie: number;
}

// cell: learn 719b64e4
/**
 * Learns merges from words; the n-th makes token 256 + n. Same result as `learnMergesSlowly`, in time that grows with the
 * distinct words' bytes.
 *
 * @param words each distinct word and how often it occurs, as from `countWords`
 * @param howMany the most merges to learn; fewer if every word has become one token
 */
export function learnMerges(
  words: Map<string, number>,
  howMany: number,
  ties: Ties = "lowest-id",
): Merge[] {
  const index = new PairIndex(words);
  const tieOf = ties === "first-seen"
    ? (pair: number) => index.first[pair]
    : (pair: number) => tieOrder(index.left[pair], index.right[pair]);
  const asItIs = (pair: number) => ({ pair, count: index.count[pair], tie: tieOf(pair) });
  const heap = new Heap<Candidate>((a, b) =>
    a.count > b.count || (a.count === b.count && a.tie < b.tie)
  );
  const merges: Merge[] = [];
  let known = 0;
  while (merges.length < howMany) {
    for (; known < index.count.length; known++) heap.push(asItIs(known));
    const then = heap.pop();
    if (!then) break;
    const now = asItIs(then.pair);
    if (now.count === 0) continue;
    if (now.count < then.count || now.tie !== then.tie) heap.push(now);
    else {
      index.merge(now.pair, 256 + merges.length);
      merges.push([index.left[now.pair], index.right[now.pair]]);
    }
  }
  return merges;
}

// cell: long-word-limit ab47e387
/** Words with fewer bytes than this are merged by `mergeByRank`: the lists pay off only for longer ones. */
const LONG_WORD = 64;

// cell: linked-word 4f20c372
/** A word whose tokens know their neighbours, so that a merge moves nothing. */
class LinkedWord {
  /** What the token at each place becomes with the next one, or `NONE`. */
  readonly ranks: Int32Array;
  readonly previous: Int32Array;
  readonly #ids: Int32Array;
  readonly #next: Int32Array;

  constructor(ids: TokenIds, readonly merges: Merges) {
    this.#ids = Int32Array.from(ids);
    this.#next = this.#ids.map((_, place) => place + 1 < ids.length ? place + 1 : NONE);
    this.previous = this.#ids.map((_, place) => place - 1);
    this.ranks = this.#ids.map((_, place) => this.#rankAt(place));
  }

  #rankAt(place: number): number {
    const second = this.#next[place];
    return second === NONE ? NONE : this.merges.get(this.#ids[place], this.#ids[second]) ?? NONE;
  }

  /** The token at this place takes in the next one; the ranks here and before are new. */
  merge(place: number, made: number): void {
    const second = this.#next[place], after = this.#next[second], before = this.previous[place];
    this.#ids[place] = made;
    this.#ids[second] = this.ranks[second] = NONE;
    this.#next[place] = after;
    this.ranks[place] = this.#rankAt(place);
    if (after !== NONE) this.previous[after] = place;
    if (before !== NONE) this.ranks[before] = this.#rankAt(before);
  }

  ids(): TokenIds {
    return Array.from(this.#ids.filter((id) => id !== NONE));
  }
}

// cell: waiting-places 7048a82a
/** The places of a word that wait to be merged, by rank. */
class WaitingPlaces {
  readonly #places = new Map<number, number[]>();
  readonly #ranks = new Heap<number>((a, b) => a < b);

  get lowestRank(): number | undefined {
    return this.#ranks.first;
  }

  add(place: number, rank: number): void {
    if (rank === NONE) return;
    const places = this.#places.get(rank);
    if (places) places.push(place);
    else {
      this.#places.set(rank, [place]);
      this.#ranks.push(rank);
    }
  }

  /** Takes out all places of the lowest rank, from left to right. */
  takeLowest(): Int32Array {
    const rank = this.#ranks.pop()!;
    const places = Int32Array.from(this.#places.get(rank)!).sort();
    this.#places.delete(rank);
    return places;
  }
}

// cell: long-word a23ffbaa
/** The same as `mergeByRank`, in time that hardly grows faster than the word. */
export function mergeLongWord(ids: TokenIds, merges: Merges): TokenIds {
  const word = new LinkedWord(ids, merges);
  const waiting = new WaitingPlaces();
  for (let place = 0; place < ids.length; place++) waiting.add(place, word.ranks[place]);
  for (let rank = waiting.lowestRank; rank !== undefined; rank = waiting.lowestRank) {
    for (const place of waiting.takeLowest()) {
      if (word.ranks[place] !== rank) continue; // a neighbour has been merged meanwhile
      if (waiting.lowestRank! <= rank) {
        waiting.add(place, rank); // a merge made a pair that may have to go first
        continue;
      }
      word.merge(place, rank);
      const before = word.previous[place];
      if (before !== NONE) waiting.add(before, word.ranks[before]);
      waiting.add(place, word.ranks[place]);
    }
  }
  return word.ids();
}

// cell: split-special 5b0e089c
/**
 * Cuts a text before and after each of `specials`, the longest where several fit.
 *
 * @example splitAtSpecials("a<|end|>b", ["<|end|>"]) // ["a", "<|end|>", "b"]
 */
export function splitAtSpecials(text: string, specials: Iterable<string>): string[] {
  const longestFirst = [...specials].sort((a, b) => b.length - a.length);
  if (longestFirst.length === 0) return [text];
  const escaped = longestFirst.map((name) => name.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  return text.split(new RegExp(`(${escaped.join("|")})`));
}

// cell: tokenizer-parts e154fc9d
/** What a `Tokenizer` is made of. */
export interface TokenizerParts {
  /** Bytes of each token by id, as a string of characters 0 to 255; holes where no token has the id. */
  tokens: readonly (string | undefined)[];
  merges: Merges;
  /** What cuts a text into words; see `PATTERNS`. */
  pattern: string;
  specialTokens: ReadonlyMap<string, number>;
  /** Tokens that a word is looked up in before it is merged; tiktoken does so, and `ignore_merges` in tokenizer.json. */
  wholeWords?: ReadonlyMap<string, number>;
  /** The tokenizer.json that it was read from. */
  file?: ReadTokenizer;
}

// cell: train-options 86c96823
/** What a tokenizer learns from: one text, or several. */
export type Texts = string | Iterable<string> | AsyncIterable<string>;

/** How `Tokenizer.train` learns. */
export interface TrainOptions {
  /** The most tokens there may be in all: 256 bytes, merges and special tokens; at most 2^24. */
  vocabSize: number;
  /** What cuts a text into words; GPT-2's unless given. */
  pattern?: string;
  /** Names of special tokens, which get the last ids; none unless given. */
  specialTokens?: Iterable<string>;
  /** Which of two equally frequent pairs is merged first; `lowest-id` unless given. */
  ties?: Ties;
}

// cell: word-encoder-limits 0427f06d
/** Words longer than this are not remembered: of shorter ones V8 makes copies, of longer ones it keeps the whole text. */
const LONGEST_REMEMBERED = 12;
/** How many words are remembered. */
const MOST_REMEMBERED = 2 ** 17;

// cell: word-encoder d652d07c
/** Encodes text without special tokens, and remembers the words it has met. */
class WordEncoder {
  readonly #forEachWord: (text: string, visit: (word: string) => void) => void;
  readonly #byteIds = new Int32Array(256);
  readonly #remembered = new Map<string, number | TokenIds>();

  constructor(readonly parts: TokenizerParts) {
    const { cut, pattern } = parts.file?.preTokenizer ?? parts as { cut?: Cut; pattern: string };
    const splitter = pattern === undefined ? undefined : compilePattern(pattern);
    this.#forEachWord = (text, visit) =>
      splitter ? forEachWord(text, splitter, visit) : cut!(text).forEach(visit);
    parts.tokens.forEach((token, id) => {
      if (token?.length === 1) this.#byteIds[token.charCodeAt(0)] = id;
    });
  }

  /** Adds the ids of a text to `ids`. */
  encodeInto(text: string, ids: TokenIds): void {
    this.#forEachWord(text, (word) => {
      const encoded = this.#remembered.get(word) ?? this.#encodeWord(word);
      if (typeof encoded === "number") ids.push(encoded);
      else for (const id of encoded) ids.push(id);
    });
  }

  #encodeWord(word: string): number | TokenIds {
    const binary = binaryOf(word);
    const encoded = this.parts.wholeWords?.get(binary) ?? this.#mergeWord(binary);
    if (word.length <= LONGEST_REMEMBERED) {
      if (this.#remembered.size >= MOST_REMEMBERED) this.#remembered.clear();
      this.#remembered.set(word, encoded);
    }
    return encoded;
  }

  #mergeWord(binary: string): number | TokenIds {
    const bytes: TokenIds = [];
    for (let i = 0; i < binary.length; i++) bytes.push(this.#byteIds[binary.charCodeAt(i)]);
    const { merges } = this.parts;
    const made = (bytes.length < LONG_WORD ? mergeByRank : mergeLongWord)(bytes, merges);
    const ids = merges.idOf ? made.map(merges.idOf) : made;
    return ids.length === 1 ? ids[0] : ids;
  }
}

// cell: tokenizer 40640797
/**
 * Byte-level byte pair encoding (Sennrich et al. 2016; Radford et al. 2019).
 *
 * `decode(encode(text))` is `text`, for every text, unless a tokenizer.json says otherwise (a normalizer; words that are removed);
 * half of a surrogate pair, which is no character, becomes U+FFFD.
 */
export class Tokenizer extends TokenizerBase {
  readonly vocabSize: number;
  readonly specialTokens: ReadonlyMap<string, number>;
  readonly #parts: TokenizerParts;
  readonly #words: WordEncoder;
  readonly #added: AddedTokens;
  readonly #addedNames: ReadonlyMap<number, string>;

  /** From its parts; `train`, `load` and `fromTiktoken` are easier. */
  constructor(parts: TokenizerParts) {
    super();
    this.#parts = parts;
    this.specialTokens = parts.specialTokens;
    this.#words = new WordEncoder(parts);
    const specials = Array.from(parts.specialTokens, ([name, id]) => specialToken(name, id));
    this.#added = parts.file?.added ?? new AddedTokens(specials);
    this.#addedNames = new Map(
      this.#added.tokens.map((token) => [token.id, binaryOf(this.#added.textOf(token))]),
    );
    this.vocabSize = Math.max(parts.tokens.length - 1, ...this.#addedNames.keys()) + 1;
  }

  /** What cuts a text into words. */
  get pattern(): string {
    return this.#parts.pattern;
  }

  /**
   * Learns a vocabulary. Ids 0 to 255 are the bytes, then come the merges, then the special tokens.
   *
   * @param texts each string is a text of its own; for Hugging Face's result, feed `linesOf(text)`
   * @returns a tokenizer of at most `vocabSize` tokens; fewer if every word has become one token
   * @throws RangeError or SyntaxError naming the option that is wrong, or the special token that is also a token of the texts
   * @example const tokenizer = await Tokenizer.train(text, { vocabSize: 1024 });
   */
  static async train(texts: Texts, options: TrainOptions): Promise<Tokenizer> {
    const { vocabSize, pattern = PATTERNS.gpt2, ties = "lowest-id" } = options;
    const specialTokens = specialNames(options.specialTokens ?? []);
    const least = 256 + specialTokens.length;
    if (!(Number.isInteger(vocabSize) && vocabSize >= least && vocabSize <= 2 ** 24)) {
      throw new RangeError(`vocabSize must be an integer in [${least}, 2^24], got ${vocabSize}`);
    }
    if (ties !== "lowest-id" && ties !== "first-seen") {
      throw new RangeError(`ties must be "lowest-id" or "first-seen", got ${JSON.stringify(ties)}`);
    }
    const words = new Map<string, number>(), splitter = compilePattern(pattern);
    for await (const text of typeof texts === "string" ? [texts] : texts) {
      countWords(text, splitter, words);
    }
    const merges = learnMerges(words, vocabSize - least, ties);
    return Tokenizer.fromMerges(merges, { pattern, specialTokens });
  }

  /** From merges that were learned before, as by `learnMerges`. */
  static fromMerges(
    learned: Iterable<Merge>,
    options: Pick<TrainOptions, "pattern" | "specialTokens"> = {},
  ): Tokenizer {
    const tokens = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));
    const merges = new PairMap();
    for (const [left, right] of learned) {
      merges.set(left, right, tokens.length);
      tokens.push(tokens[left] + tokens[right]);
    }
    const names = specialNames(options.specialTokens ?? []);
    refuseTaken(names, tokens);
    const specialTokens = new Map(names.map((name, i) => [name, tokens.length + i]));
    return new Tokenizer({
      tokens,
      merges,
      pattern: options.pattern ?? PATTERNS.gpt2,
      specialTokens,
    });
  }

  /**
   * A vocabulary of OpenAI's, with exactly tiktoken's ids.
   *
   * @param ranks npm js-tiktoken's `js-tiktoken/ranks/gpt2` (or its `bpe_ranks`), the list of npm gpt-tokenizer's `bpeRanks`,
   *   or the text of a `.tiktoken` file
   * @param pattern one of `PATTERNS`; may be left out if the ranks carry theirs
   * @param specialTokens ids by name; may be left out if the ranks carry them
   * @throws TokenizerFormatError if the ranks cannot be read
   */
  static fromTiktoken(
    ranks: TiktokenRanks,
    pattern?: string,
    specialTokens?: Record<string, number> | Iterable<readonly [string, number]>,
  ): Tokenizer {
    return new Tokenizer(partsFromTiktoken(ranks, pattern, specialTokens));
  }

  /**
   * From a Hugging Face tokenizer.json of a byte-level BPE: what `toJSON` gives, GPT-2's, Llama 3's.
   *
   * @throws TokenizerFormatError naming what is wrong or not supported
   */
  static fromJSON(json: unknown): Tokenizer {
    return new Tokenizer(partsFromJSON(json));
  }

  /**
   * Reads a tokenizer.json.
   *
   * @throws TokenizerFormatError naming the file and what is wrong or not supported
   */
  static load(path: string): Promise<Tokenizer> {
    return readTokenizerFile(path, Tokenizer.fromJSON);
  }

  toJSON(): TokenizerJSON {
    const { file } = this.#parts;
    return file
      ? structuredClone(file.json) as unknown as TokenizerJSON
      : jsonFromParts(this.#parts);
  }

  /** @throws Error naming a special token in the text that is not allowed, and its position */
  encode(text: string, options: EncodeOptions = {}): TokenIds {
    const { allowedSpecial = [], addSpecialTokens = false } = options;
    const allowed = new Set(
      allowedSpecial === "all" ? this.specialTokens.keys() : allowedSpecial,
    );
    refuseSpecialTokens(text, this.#added.specialsIn(text), allowed);
    const ids = this.#encode(text, allowed);
    return addSpecialTokens && this.#parts.file ? this.#parts.file.postProcess(ids) : ids;
  }

  #encode(text: string, allowed: ReadonlySet<string>): TokenIds {
    const ids: TokenIds = [];
    for (const part of this.#added.split(text, (name) => allowed.has(name))) {
      if (typeof part === "string") this.#words.encodeInto(part, ids);
      else ids.push(part.id);
    }
    return ids;
  }

  /** The ids of a text in which special tokens are ordinary characters. */
  encodeOrdinary(text: string): TokenIds {
    return this.#encode(text, new Set());
  }

  tokenBinary(id: number): string {
    const token = this.#parts.tokens[id] ?? this.#addedNames.get(id);
    if (token !== undefined) return token;
    throw new RangeError(`no token has id ${id}; ids run from 0 to ${this.vocabSize - 1}`);
  }
}

// cell: special-names b47b54fe
/** @throws RangeError naming a name that is empty or there twice */
function specialNames(names: Iterable<string>): string[] {
  const list = [...names];
  const wrong = list.find((name, i) => !name || list.indexOf(name) !== i);
  if (wrong === undefined) return list;
  throw new RangeError(
    `specialTokens must be distinct and not empty, got ${JSON.stringify(wrong)}` +
      (wrong ? " twice" : ""),
  );
}

function standInsOf(binary: string): string {
  return Array.from(binary, (byte) => STAND_INS[byte.charCodeAt(0)]).join("");
}

/** In a tokenizer.json, a name has one id. */
function refuseTaken(names: Iterable<string>, tokens: readonly (string | undefined)[]): void {
  for (const name of names) {
    if (!tokens.some((token) => token?.length === name.length && standInsOf(token) === name)) {
      continue;
    }
    throw new RangeError(
      `the special token ${JSON.stringify(name)} is also a word or a byte that texts have: ` +
        `give it a name that no text has, such as "<|${name}|>"`,
    );
  }
}

// cell: joined-merges ad008fb9
/** Merges of a vocabulary that lists its tokens only: two neighbours become the token that has the bytes of both. */
class JoinedMerges implements Merges {
  #seen = new PairMap();

  /** @param ids id of each token by its bytes; the lowest is learned first */
  constructor(
    readonly tokens: readonly (string | undefined)[],
    readonly ids: ReadonlyMap<string, number>,
  ) {}

  get(left: number, right: number): number | undefined {
    const seen = this.#seen.get(left, right);
    if (seen !== undefined) return seen === 0 ? undefined : seen - 1;
    const made = this.ids.get(this.tokens[left]! + this.tokens[right]);
    if (this.#seen.size >= 2 ** 20) this.#seen = new PairMap();
    this.#seen.set(left, right, made === undefined ? 0 : made + 1);
    return made;
  }

  *entries(): Generator<[left: number, right: number, made: number]> {
    for (const [made, token = ""] of this.tokens.entries()) {
      for (let cut = 1; cut < token.length; cut++) {
        const left = this.ids.get(token.slice(0, cut)), right = this.ids.get(token.slice(cut));
        if (left !== undefined && right !== undefined) yield [left, right, made];
      }
    }
  }
}

// cell: tiktoken-types c6f21386
/** The forms in which OpenAI's vocabularies are published; see `Tokenizer.fromTiktoken`. */
export type TiktokenRanks =
  | string
  | readonly (string | readonly number[] | Uint8Array | undefined)[]
  | { bpe_ranks: string; pat_str?: string; special_tokens?: Record<string, number> };

// cell: tiktoken-parts 4fefedf1
function partsFromTiktoken(
  ranks: TiktokenRanks,
  pattern?: string,
  specialTokens?: Record<string, number> | Iterable<readonly [string, number]>,
): TokenizerParts {
  const carried = typeof ranks === "object" && "bpe_ranks" in ranks ? ranks : undefined;
  const tokens = tokensByRank(carried?.bpe_ranks ?? ranks as string | readonly string[]);
  pattern ??= carried?.pat_str;
  demand(pattern !== undefined, "these ranks carry no pattern: name one of PATTERNS");
  const given = specialTokens ?? carried?.special_tokens ?? {};
  const specials = new Map(Symbol.iterator in given ? given : Object.entries(given));
  const wholeWords = demandRanks(tokens, new Map(Array.from(specials, ([name, id]) => [id, name])));
  const merges = new JoinedMerges(tokens, wholeWords);
  return { tokens, merges, pattern: oniguruma(pattern), specialTokens: specials, wholeWords };
}

/** Each rank is that of a token, or of a special one. @returns the ids of the tokens */
function demandRanks(
  tokens: (string | undefined)[],
  specials: ReadonlyMap<number, string>,
): Map<string, number> {
  const ids = new Map<string, number>();
  for (const [id, token] of tokens.entries()) {
    const special = specials.get(id);
    if (token !== undefined) ids.set(token, id);
    else {demand(
        special !== undefined,
        `ranks are missing: neither a token nor a special one is ${id}`,
      );}
    demand(!token || !special, `the special token ${special} has the rank of another one, ${id}`);
  }
  demandBytes(tokens);
  refuseTaken(specials.values(), tokens);
  return ids;
}

// cell: tiktoken-ranks 5cf56e9a
/** The tokens in the order of their ranks, as strings of characters 0 to 255; holes where special tokens may have their ids. */
function tokensByRank(
  ranks: string | readonly (string | ArrayLike<number> | undefined)[],
): (string | undefined)[] {
  if (typeof ranks !== "string") {
    return Array.from(
      ranks,
      (token) =>
        typeof token === "string"
          ? binaryOf(token)
          : token && String.fromCharCode(...Array.from(token)),
    );
  }
  const tokens: (string | undefined)[] = [];
  for (const line of ranks.split("\n").filter((line) => line.trim())) {
    const fields = line.trim().split(" ");
    // "IQ== 0" in a .tiktoken file; "! 0 IQ== Ig== …", the first rank and then the tokens, in js-tiktoken
    const [first, ...list] = fields.length === 2 ? fields.toReversed() : fields.slice(1);
    demand(
      /^\d{1,8}$/.test(first),
      `ranks must be numbers, they are not numbers in ${JSON.stringify(line.slice(0, 80))}`,
    );
    list.forEach((token, i) => tokens[Number(first) + i] = fromBase64(token));
  }
  return tokens;
}

function fromBase64(text: string): string {
  try {
    return atob(text);
  } catch {
    demand(false, `not base 64: ${JSON.stringify(text)}`);
  }
}

// cell: json-type 473b74dc
/** A tokenizer.json, as Hugging Face's libraries write and read it. */
export interface TokenizerJSON {
  version: "1.0";
  truncation: Record<string, unknown> | null;
  padding: Record<string, unknown> | null;
  added_tokens: AddedToken[];
  normalizer: Record<string, unknown> | null;
  pre_tokenizer: Record<string, unknown>;
  post_processor: Record<string, unknown> | null;
  decoder: Record<string, unknown>;
  model: {
    type: "BPE";
    dropout: 0 | null;
    unk_token: string | null;
    continuing_subword_prefix: "" | null;
    end_of_word_suffix: "" | null;
    fuse_unk: boolean;
    byte_fallback: boolean;
    ignore_merges: boolean;
    vocab: Record<string, number>;
    merges: string[];
  };
}

// cell: json-parts a4332fba
function jsonFromParts(parts: TokenizerParts): TokenizerJSON {
  const names = parts.tokens.map((token) => token && standInsOf(token));
  const vocab = names.flatMap((name, id): [string, number][] =>
    name === undefined ? [] : [[name, id]]
  );
  const merges = [...parts.merges.entries()].sort((a, b) =>
    a[2] - b[2] || a[0] - b[0] || a[1] - b[1]
  );
  return {
    ...jsonFrame(parts.specialTokens),
    pre_tokenizer: preTokenizer(parts.pattern),
    post_processor: byteLevel({ trim_offsets: false }),
    decoder: byteLevel({ add_prefix_space: true }),
    model: bpeModel(
      [...vocab, ...parts.specialTokens],
      merges.map(([left, right]) => `${names[left]} ${names[right]}`),
      parts.wholeWords !== undefined,
    ),
  };
}

// cell: json-stand-ins bcd2b15e
function byteLevel(options: Record<string, boolean>): Record<string, unknown> {
  return {
    type: "ByteLevel",
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: true,
    ...options,
  };
}

// cell: json-pre-tokenizer 107a7ebb
function preTokenizer(pattern: string): Record<string, unknown> {
  if (pattern === PATTERNS.gpt2) return byteLevel({});
  const split = { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
  return { type: "Sequence", pretokenizers: [split, byteLevel({ use_regex: false })] };
}

// cell: json-frame ac2380a0
function jsonFrame(specialTokens: ReadonlyMap<string, number>) {
  return {
    version: "1.0" as const,
    truncation: null,
    padding: null,
    added_tokens: Array.from(specialTokens, ([name, id]) => specialToken(name, id)),
    normalizer: null,
  };
}

// cell: json-model 2410ecdf
function bpeModel(vocab: [string, number][], merges: string[], ignoreMerges: boolean) {
  return {
    type: "BPE" as const,
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    ignore_merges: ignoreMerges,
    vocab: Object.fromEntries(vocab),
    merges,
  };
}

// cell: json-read 77428e64
function partsFromJSON(json: unknown): TokenizerParts {
  const file = parseTokenizerJSON(json, { pattern: PATTERNS.gpt2, standIns: STAND_INS });
  const { tokens, added, preTokenizer, ignoresMerges } = file;
  const specials = added.tokens.filter(({ special }) => special);
  return {
    tokens,
    merges: areInOrder(file.merges) ? mergesOf(file) : new RankedMerges(tokens.length, file.merges),
    pattern: preTokenizer.pattern ?? JSON.stringify(file.json.pre_tokenizer),
    specialTokens: new Map(specials.map(({ content, id }) => [content, id])),
    wholeWords: ignoresMerges
      ? new Map(tokens.flatMap((token, id) => token === undefined ? [] : [[token, id]]))
      : undefined,
    file,
  };
}

function mergesOf(file: ReadTokenizer): PairMap {
  const merges = new PairMap();
  for (const merge of file.merges) merges.set(...merge);
  return merges;
}

// cell: lines ba041005
/**
 * The lines of a text, each with its line end. Hugging Face's trainers read files this way, so that no word reaches over
 * the end of a line.
 *
 * @param chunks a text, or a stream of pieces cut anywhere
 * @example const tokenizer = await Tokenizer.train(linesOf(text), { vocabSize: 1024 });
 */
export async function* linesOf(chunks: Texts): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of typeof chunks === "string" ? [chunks] : chunks) {
    rest += chunk;
    if (!chunk.includes("\n")) continue;
    const lines = rest.split(/(?<=\n)/);
    rest = rest.endsWith("\n") ? "" : lines.pop()!;
    yield* lines;
  }
  if (rest) yield rest;
}

// cell: character 7d258dea
/** One token per character (code point), in the order of their code points, as in nanoGPT's shakespeare_char. */
export class CharacterTokenizer extends TokenizerBase {
  readonly specialTokens: ReadonlyMap<string, number> = new Map();
  readonly #ids: ReadonlyMap<string, number>;

  /**
   * @param characters the vocabulary, in the order of the ids
   * @throws RangeError naming an entry that is not one character, or there twice
   */
  constructor(readonly characters: readonly string[]) {
    super();
    this.#ids = new Map(characters.map((character, id) => [character, id]));
    const wrong = characters.find((character, id) =>
      [...character].length !== 1 || this.#ids.get(character) !== id
    );
    if (wrong !== undefined) {
      throw new RangeError(
        `the vocabulary must be distinct characters, got ${JSON.stringify(wrong)}`,
      );
    }
  }

  get vocabSize(): number {
    return this.characters.length;
  }

  /** The vocabulary of all characters in the texts. */
  static async train(texts: Texts): Promise<CharacterTokenizer> {
    const found = new Set<string>();
    for await (const text of typeof texts === "string" ? [texts] : texts) {
      for (const character of text.toWellFormed()) found.add(character);
    }
    const inOrder = [...found].sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!);
    return new CharacterTokenizer(inOrder);
  }

  /** @throws RangeError naming a character that is not in the vocabulary, and its position */
  encode(text: string): TokenIds {
    let position = 0;
    return Array.from(text.toWellFormed(), (character) => {
      const id = this.#ids.get(character);
      if (id === undefined) {
        const code = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
        throw new RangeError(
          `the vocabulary has no character ${
            JSON.stringify(character)
          } (U+${code}), at position ${position}`,
        );
      }
      position += character.length;
      return id;
    });
  }

  tokenBinary(id: number): string {
    const character = this.characters[id];
    if (character !== undefined) return binaryOf(character);
    throw new RangeError(`no token has id ${id}; ids run from 0 to ${this.vocabSize - 1}`);
  }

  toJSON(): TokenizerJSON {
    const everySign = { Regex: "[\\s\\S]" };
    return {
      ...jsonFrame(this.specialTokens),
      pre_tokenizer: { type: "Split", pattern: everySign, behavior: "Isolated", invert: false },
      post_processor: null,
      decoder: { type: "Fuse" },
      model: bpeModel([...this.#ids], [], false),
    };
  }

  /**
   * From what `toJSON` gives.
   *
   * @throws TokenizerFormatError naming what is wrong
   */
  static fromJSON(json: unknown): CharacterTokenizer {
    const vocab = Object.entries(
      fields(fields(fields(json, "the file").model, "model").vocab, "model.vocab"),
    );
    const characters: string[] = [];
    for (const [character, id] of vocab) {
      demandId(id, character);
      characters[id] = character;
    }
    const isWhole = characters.length === vocab.length && !characters.includes(undefined!);
    const isSingle = vocab.every(([character]) => [...character].length === 1);
    demand(isWhole && isSingle, "model.vocab must number single characters, from 0 on");
    const tokenizer = new CharacterTokenizer(characters);
    demandSame(json, tokenizer.toJSON(), ["vocab"]);
    return tokenizer;
  }

  /**
   * Reads a tokenizer.json that `save` wrote.
   *
   * @throws TokenizerFormatError naming the file and what is wrong
   */
  static load(path: string): Promise<CharacterTokenizer> {
    return readTokenizerFile(path, CharacterTokenizer.fromJSON);
  }
}

// cell: load-either 6110f6f2
/**
 * Reads a tokenizer.json of either kind.
 *
 * @throws TokenizerFormatError naming the file and what is wrong or not supported
 */
export function loadTokenizer(path: string): Promise<Tokenizer | CharacterTokenizer> {
  return readTokenizerFile(path, (json) => {
    const decoder = fields(json, "the file").decoder as { type?: unknown } | null | undefined;
    return decoder?.type === "Fuse" ? CharacterTokenizer.fromJSON(json) : Tokenizer.fromJSON(json);
  });
}
