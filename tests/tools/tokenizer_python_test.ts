/** Hugging Face's own tokenizers, asked now: fresh random texts, and files that ours have written. */
import { assert, assertEquals } from "@std/assert";
import cl100kRanks from "js-tiktoken/ranks/cl100k_base";
import p50kRanks from "js-tiktoken/ranks/p50k_base";
import { join } from "node:path";
import { loadCorpus } from "lib/data/corpus.ts";
import { PATTERNS, Tokenizer } from "lib/tokenizer.ts";
import fixture from "../fixtures/tokenizer-json.json" with { type: "json" };
import {
  compareFile,
  comparePattern,
  compareStep,
  NOT_OURS,
  type Theirs,
  wholeFile,
} from "../tokenizers.ts";

const theirs = fixture as unknown as Theirs;

const { program: python, problem } = await findPython("tokenizers");

async function inPython(...args: string[]): Promise<string> {
  const { ok, stdout, stderr } = await ask(python, args);
  assert(ok, stderr);
  return stdout;
}

const READ = `
import json, sys
from tokenizers import Tokenizer
folder = sys.argv[1]
texts = json.load(open(folder + "/texts.json", encoding="utf8"))
answers = {}
for name in json.load(open(folder + "/names.json", encoding="utf8")):
    t = Tokenizer.from_file(f"{folder}/{name}.json")
    t.no_truncation(), t.no_padding()
    ids = [t.encode(text, add_special_tokens=False).ids for text in texts]
    answers[name] = {"ids": ids, "decoded": [t.decode(some, skip_special_tokens=False) for some in ids],
        "skipped": t.decode([id for some in ids for id in some], skip_special_tokens=True), "size": t.get_vocab_size()}
print(json.dumps(answers))
`;
import { ask, findPython } from "tools/programs.ts";
import { testIf } from "../optional.ts";

const PROGRAM = decodeURIComponent(
  new URL("../fixtures/tokenizer-json.py", import.meta.url).pathname,
);

testIf(
  problem,
  `texts that nobody has seen are cut, numbered and read back as theirs`,
  async () => {
    const seed = `${Date.now() % 1_000_000}`;
    const fresh: Theirs = JSON.parse(await inPython(PROGRAM, seed));
    const withSeed = (what: string, compare: () => void) => {
      try {
        compare();
      } catch (error) {
        throw new Error(`seed ${seed}, ${what}`, { cause: error });
      }
    };
    for (const one of fresh.patterns) withSeed(one.pattern, () => comparePattern(fresh, one));
    for (const one of fresh.steps) {
      withSeed(JSON.stringify(one.step), () => compareStep(fresh, one));
    }
    for (const one of fresh.files) withSeed(one.name, () => compareFile(fresh, one));
  },
);

testIf(
  problem,
  `what ours save, Python reads: the same ids and texts`,
  async () => {
    const { text } = await loadCorpus("carroll-alice");
    const tokenizers = new Map<string, Tokenizer>([
      [
        "trained",
        await Tokenizer.train(text, { vocabSize: 400, specialTokens: ["<pad>", "<eos>"] }),
      ],
      [
        "pattern",
        await Tokenizer.train(text, { vocabSize: 400, pattern: "\\h+|[[:alpha:]]++|\\s$" }),
      ],
      ["cl100k", Tokenizer.fromTiktoken(cl100kRanks, PATTERNS.cl100k)],
      ["p50k", Tokenizer.fromTiktoken(p50kRanks)],
    ]);
    const accepted = theirs.files.filter(({ name, error }) =>
      error === undefined && !(name in NOT_OURS)
    );
    for (const one of accepted) {
      const tokenizer = Tokenizer.fromJSON(wholeFile(theirs, one));
      tokenizers.set(`file ${tokenizers.size}`, tokenizer);
    }
    const some = accepted.flatMap(({ texts }) => texts.slice(2, 5));
    const texts = [...new Set(some), text.slice(0, 3000)];
    const folder = await Deno.makeTempDir();
    try {
      for (const [name, tokenizer] of tokenizers) {
        await tokenizer.save(join(folder, `${name}.json`));
      }
      await Deno.writeTextFile(join(folder, "texts.json"), JSON.stringify(texts));
      await Deno.writeTextFile(join(folder, "names.json"), JSON.stringify([...tokenizers.keys()]));
      const answers = JSON.parse(await inPython("-c", READ, folder) ?? "{}");
      for (const [name, tokenizer] of tokenizers) {
        const ids = texts.map((text) => tokenizer.encode(text, { allowedSpecial: "all" }));
        assertEquals(answers[name].ids, ids, name);
        assertEquals(answers[name].decoded, ids.map((some) => tokenizer.decode(some)), name);
        const specials = new Set(tokenizer.specialTokens.values());
        const plain = ids.flat().filter((id) => !specials.has(id));
        assertEquals(answers[name].skipped, tokenizer.decode(plain), name);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);
