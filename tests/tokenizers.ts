/** Compares ours with what tests/fixtures/tokenizer-json.py says of Hugging Face's tokenizers. */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { readPreTokenizer } from "lib/data/pre-tokenizer.ts";
import { findPattern, translatePattern } from "lib/data/regex.ts";
import { PATTERNS, splitWords, Tokenizer } from "lib/tokenizer.ts";
import { TokenizerFormatError } from "lib/data/fields.ts";

type Fields = Record<string, unknown>;

/** What the program prints. */
export interface Theirs {
  texts: string[];
  patterns: { pattern: string; words?: string[][]; error?: string }[];
  steps: { step: Fields; words: string[][] }[];
  plain: Fields & { model: Fields };
  files: FileCase[];
}

/** What they make of a tokenizer.json. */
export interface FileCase {
  name: string;
  file: Fields;
  error?: string;
  texts: string[];
  ids: number[][];
  with_special?: number[][];
  decoded: string[];
  ordinary?: number[][];
}

/** What of theirs is not ours, and the word that the refusal must have. Everything else must be the same. */
export const NOT_OURS: Record<string, string> = {
  "added: id out of turn": "gives it 290",
  "added: other id than the vocabulary's": "added token",
  "added: twice": "twice",
  "normalizer NFKC": "NFKC",
  "normalizer NFKD": "NFKD",
  "normalizer StripAccents": "StripAccents",
  "normalizer Prepend": "Prepend",
  "pre_tokenizer prefix space": "add_prefix_space",
  "pre_tokenizer Metaspace": "Metaspace",
  "pre_tokenizer after ByteLevel": "ByteLevel",
  "pre_tokenizer none": "pre_tokenizer",
  "decoder none": "decoder",
  "decoder Fuse": "decoder",
  "model dropout=0.5": "dropout",
};
const NO_PATTERN = [
  "(?i)é|ss",
  "\\X",
  "\\K",
  "\\G.",
  "\\y",
  "(?<n>a)\\k<n>",
  "(\\w)\\1",
  "\\p{Word}+",
]
  .concat(["(?i:st)", "(?i:σ)", "(?i:µ|é)", "(?i:ſ)", "(?~|ab)", "(?i:ss|fi)", "(?{x})"]);

/** A pattern cuts as Oniguruma does, or is refused by name. */
export function comparePattern(
  { texts }: Theirs,
  { pattern, words, error }: Theirs["patterns"][number],
): void {
  if (error !== undefined || NO_PATTERN.includes(pattern)) {
    const refusal = assertThrows(() => translatePattern(pattern), SyntaxError);
    assertStringIncludes(refusal.message, JSON.stringify(pattern));
    assertThrows(() => findPattern(pattern), SyntaxError);
    return;
  }
  for (const [i, text] of texts.entries()) {
    assertEquals(splitWords(text, pattern), words![i], JSON.stringify(text));
  }
}

/** A step of a pre_tokenizer cuts as theirs. */
export function compareStep({ texts }: Theirs, { step, words }: Theirs["steps"][number]): void {
  const bytes = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
  const steps = { type: "Sequence", pretokenizers: [step, bytes] };
  const { cut } = readPreTokenizer(steps, PATTERNS.gpt2);
  for (const [i, text] of texts.entries()) {
    assertEquals(text === "" ? [] : cut(text), words[i], JSON.stringify(text));
  }
}

/** The file of a case, of which only what differs from the plain one is written down. */
export function wholeFile({ plain }: Theirs, { file }: FileCase): Fields & { model: Fields } {
  return structuredClone({ ...plain, ...file, model: { ...plain.model, ...file.model as Fields } });
}

/** A file gives their ids and texts, read once or saved and read again, and is written as it was; or it is refused by name. */
export function compareFile(theirs: Theirs, one: FileCase): void {
  const file = wholeFile(theirs, one);
  const refusal = one.error === undefined ? NOT_OURS[one.name] : "";
  if (refusal !== undefined) {
    const error = assertThrows(() => Tokenizer.fromJSON(file), TokenizerFormatError);
    assertStringIncludes(error.message, refusal);
    return;
  }
  const read = Tokenizer.fromJSON(file);
  for (const tokenizer of [read, Tokenizer.fromJSON(JSON.parse(JSON.stringify(read)))]) {
    one.texts.forEach((_, i) => compareText(tokenizer, one, i));
  }
  const { merges, ...model } = file.model;
  const pairs = (merges as string[][]).map((pair) => pair.join(" "));
  assertEquals(read.toJSON() as unknown, { ...file, model: { ...model, merges: pairs } });
}

function compareText(tokenizer: Tokenizer, one: FileCase, i: number): void {
  const { texts, ids, with_special = ids, ordinary = ids, decoded } = one;
  const where = JSON.stringify(texts[i]), all = { allowedSpecial: "all" } as const;
  assertEquals(tokenizer.encode(texts[i], all), ids[i], where);
  const around = tokenizer.encode(texts[i], { ...all, addSpecialTokens: true });
  assertEquals(around, with_special[i], where);
  assertEquals(tokenizer.encodeOrdinary(texts[i]), ordinary[i], where);
  assertEquals(tokenizer.decode(ids[i]), decoded[i], where);
}
