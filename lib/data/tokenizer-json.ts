/**
 * A tokenizer.json of a byte-level BPE: every field is obeyed, kept for the day it is written again, or refused by name.
 * https://github.com/huggingface/tokenizers/blob/main/tokenizers/src/tokenizer/serialization.rs
 */
import { AddedTokens, readAddedTokens } from "./added-tokens.ts";
import {
  demand,
  demandId,
  demandKnown,
  type Fields,
  fields,
  list,
  shown,
  TokenizerFormatError,
} from "./fields.ts";
import { readText } from "./text-file.ts";
import { readNormalizer } from "./normalizer.ts";
import { type PostProcess, readPostProcessor } from "./post-processor.ts";
import { type PreTokenizer, readPreTokenizer } from "./pre-tokenizer.ts";

/** A merge, by ids. */
export type JSONMerge = [left: number, right: number, made: number];

/** What a tokenizer.json says. */
export interface ReadTokenizer {
  /** Bytes of each token by id, as a string of characters 0 to 255; holes where no token has the id. */
  tokens: (string | undefined)[];
  /** In the order of their ranks. */
  merges: JSONMerge[];
  preTokenizer: PreTokenizer;
  added: AddedTokens;
  postProcess: PostProcess;
  /** Whether a word that is a token is taken whole. */
  ignoresMerges: boolean;
  /** The file itself, merges as "left right". */
  json: Fields;
}

/** What the reader must know of GPT-2. */
export interface GPT2 {
  pattern: string;
  /** The printable sign for each byte. */
  standIns: readonly string[];
}

const KNOWN = [
  "version",
  "truncation",
  "padding",
  "added_tokens",
  "normalizer",
  "pre_tokenizer",
  "post_processor",
  "decoder",
  "model",
];

/**
 * Reads a tokenizer.json. `truncation` and `padding` are kept and not obeyed: they are for those who cut texts to one length.
 *
 * @throws TokenizerFormatError naming what is wrong or not supported
 */
export function parseTokenizerJSON(json: unknown, gpt2: GPT2): ReadTokenizer {
  const file = fields(json, "the file");
  demandKnown(file, KNOWN, "the file");
  demandFrame(file);
  const model = readModel(file.model);
  const { vocab } = model;
  const listed = readAddedTokens(file.added_tokens, vocab);
  const normalize = readNormalizer(file.normalizer);
  const unclear = listed.find(({ special, normalized }) => special && normalized && normalize);
  demand(
    !unclear,
    `special token ${shown(unclear?.content)}: normalized is not supported beside a normalizer`,
  );
  const pairs = readMerges(model.merges);
  const tokens = readVocab(vocab, namesInUse(listed, pairs, gpt2.standIns), gpt2.standIns);
  demandBytes(tokens);
  return {
    tokens,
    merges: mergesById(pairs, vocab, tokens),
    preTokenizer: readPreTokenizer(file.pre_tokenizer, gpt2.pattern),
    added: new AddedTokens(listed, normalize),
    postProcess: readPostProcessor(file.post_processor),
    ignoresMerges: model.ignoresMerges,
    json: { ...file, model: { ...model.json, merges: pairs.map((pair) => pair.join(" ")) } },
  };
}

/** What must be, or may be kept, around the model. */
function demandFrame(file: Fields): void {
  const { version = "1.0", truncation, padding } = file;
  demand(version === "1.0", `version must be "1.0", got ${shown(version)}`);
  if (truncation) {
    demandKnown(
      fields(truncation, "truncation"),
      ["direction", "max_length", "strategy", "stride"],
      "truncation",
    );
  }
  if (padding) {
    const known = [
      "strategy",
      "direction",
      "pad_to_multiple_of",
      "pad_id",
      "pad_type_id",
      "pad_token",
    ];
    demandKnown(fields(padding, "padding"), known, "padding");
  }
  const decoder = fields(file.decoder, "decoder");
  const [first, ...more] = decoder.type === "Sequence"
    ? list(decoder.decoders, "decoders")
    : [decoder];
  const { type } = fields(first, "decoder");
  demand(
    type === "ByteLevel" && more.length === 0,
    `decoder must be ByteLevel, got ${shown(decoder)}`,
  );
}

function readModel(value: unknown) {
  const json = fields(value, "model");
  demand(json.type === "BPE", `model.type must be "BPE", got ${shown(json.type)}`);
  for (const name of ["dropout", "continuing_subword_prefix", "end_of_word_suffix"]) {
    demand(!json[name], `model.${name} is not supported, got ${shown(json[name])}`);
  }
  for (const name of ["fuse_unk", "byte_fallback", "ignore_merges"]) {
    const isFlag = typeof (json[name] ?? false) === "boolean";
    demand(isFlag, `model.${name} must be true or false, got ${shown(json[name])}`);
  }
  const vocab = new Map(Object.entries(fields(json.vocab, "model.vocab")));
  return { json, vocab, merges: json.merges, ignoresMerges: json.ignore_merges === true };
}

function readMerges(value: unknown): [string, string][] {
  return list(value, "model.merges").map((entry, i) => {
    const pair = typeof entry === "string" ? entry.split(" ") : list(entry, `merge ${i}`);
    const isPair = pair.length === 2 && pair.every((name) => typeof name === "string");
    demand(isPair, `merge ${i}, ${shown(entry)}, is not two tokens that make a token`);
    return pair as [string, string];
  });
}

/** The names that are never words of the vocabulary: added tokens that are no byte and that no merge makes. */
function namesInUse(
  added: { content: string }[],
  merges: [string, string][],
  standIns: readonly string[],
): Set<string> {
  const names = new Set(added.map(({ content }) => content));
  if (names.size === 0) return names;
  for (const standIn of standIns) names.delete(standIn);
  for (const [left, right] of merges) {
    for (const name of [left, right, left + right]) names.delete(name);
  }
  return names;
}

/** The tokens by id, as strings of characters 0 to 255, without those of these names. */
function readVocab(
  vocab: Map<string, unknown>,
  without: Set<string>,
  standIns: readonly string[],
): (string | undefined)[] {
  const tokens: (string | undefined)[] = [], seen = new Set<number>();
  const byteOf = new Map(standIns.map((standIn, byte) => [standIn, String.fromCharCode(byte)]));
  for (const [name, id] of vocab) {
    demandId(id, name);
    demand(!seen.has(id), `two tokens have the id ${id}`);
    seen.add(id);
    if (without.has(name)) continue;
    const bytes = Array.from(name, (letter) => byteOf.get(letter));
    demand(
      name !== "" && !bytes.includes(undefined),
      `token ${shown(name)} is not in byte stand-ins`,
    );
    tokens[id] = bytes.join("");
  }
  return tokens;
}

/** @throws TokenizerFormatError unless there is a token for each of the 256 bytes */
export function demandBytes(tokens: readonly (string | undefined)[]): void {
  const known = new Set(tokens);
  for (let byte = 0; byte < 256; byte++) {
    demand(known.has(String.fromCharCode(byte)), `byte ${byte} has no token`);
  }
}

function mergesById(
  pairs: [string, string][],
  vocab: Map<string, unknown>,
  tokens: readonly (string | undefined)[],
): JSONMerge[] {
  return pairs.map(([left, right], i) => {
    const ids = [left, right, left + right].map((name) => vocab.get(name) as number);
    const isKnown = ids.every((id) => tokens[id] !== undefined);
    demand(
      isKnown,
      `merge ${i}, ${shown(`${left} ${right}`)}, is not two tokens that make a token`,
    );
    return ids as JSONMerge;
  });
}

/** Whether each merge makes a higher id than the one before, so that ids tell their order. */
export function areInOrder(merges: readonly JSONMerge[]): boolean {
  return merges.every(([, , made], i) => i === 0 || made > merges[i - 1][2]);
}

/**
 * Makes sure that a file says what another one says.
 *
 * @param except names of fields, anywhere, that may differ
 * @throws TokenizerFormatError naming the first field that does
 */
export function demandSame(
  json: unknown,
  expected: unknown,
  except: readonly string[],
  path = "",
): void {
  if (typeof expected !== "object" || expected === null || Array.isArray(expected)) {
    const isSame = JSON.stringify(json ?? null) === JSON.stringify(expected);
    return demand(isSame, `${path} must be ${shown(expected)}, got ${shown(json)}`);
  }
  const file = fields(json, path || "the file");
  const names = Object.keys(expected).filter((name) => !except.includes(name));
  demandKnown(file, [...names, ...except], path || "the file");
  for (const name of names) {
    demandSame(file[name], (expected as Fields)[name], except, path ? `${path}.${name}` : name);
  }
}

/**
 * Reads and parses a file.
 *
 * @param read makes a tokenizer of its JSON
 * @throws TokenizerFormatError naming the file and what is wrong
 */
export async function readTokenizerFile<T>(path: string, read: (json: unknown) => T): Promise<T> {
  try {
    return read(JSON.parse(await readText(path)));
  } catch (error) {
    throw new TokenizerFormatError(`${path}: ${(error as Error).message}`, { cause: error });
  }
}
