import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import cl100kRanks from "js-tiktoken/ranks/cl100k_base";
import gpt2Ranks from "js-tiktoken/ranks/gpt2";
import o200kRanks from "js-tiktoken/ranks/o200k_base";
import p50kBaseRanks from "js-tiktoken/ranks/p50k_base";
import p50kEditRanks from "js-tiktoken/ranks/p50k_edit";
import p50kBaseList from "gpt-tokenizer/bpeRanks/p50k_base";
import r50kList from "gpt-tokenizer/bpeRanks/r50k_base";
import { get_encoding, type TiktokenEncoding } from "tiktoken";
import { loadCorpus } from "lib/data/corpus.ts";
import {
  binaryOf,
  bytesOf,
  bytesOfBinary,
  CharacterTokenizer,
  compilePattern,
  countPairs,
  countWords,
  Heap,
  learnMerges,
  learnMergesSlowly,
  linesOf,
  loadTokenizer,
  type Merge,
  mergeByRank,
  mergeLongWord,
  mergePair,
  mostFrequent,
  PairMap,
  PATTERNS,
  refuseSpecialTokens,
  splitAtSpecials,
  splitWords,
  STAND_INS,
  Tokenizer,
} from "lib/tokenizer.ts";
import { TokenizerFormatError } from "lib/data/fields.ts";
import huggingFace from "./fixtures/tokenizer.json" with { type: "json" };

/** What tokenizers are known to get wrong: joiners, marks, odd blanks, odd line ends, digits of other scripts, halves. */
const TORTURE = [
  "\uFEFFA byte order mark\uFEFF in the text \uFEFF.",
  "👩‍👩‍👧‍👦 👨🏽‍🚀 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ✈️ 1️⃣",
  "日本語の文章。漢字とカナ、 한국어 문장, 中文句子!",
  "مرحبا بالعالم ١٢٣٤٥ ‏שלום עולם‎ ",
  "e\u0301 n\u0303 Z\u0351\u036b\u0343 नमस्ते ภาษาไทย",
  "DON'T don'T I'LL i'll it'S 'ſ 'ſo we'RE x'sT 's'S",
  "\r\n\r\n \r \n\n  \t\t\n   x   \u00a0\u2003\u3000\u0085 \u200b\u2028\u2029end   ",
  "for (let i=0;i<10;++i) {\n\t\treturn a[i] ?? `${b}//c`;\n}\n\n\n",
  "1234567 3.14159 0x1F600 ½ Ⅷ ٣ 𝟘𝟙𝟚𝟛 12,345",
  "ǅǈ ʰʷ ªº ÀÉ ßẞ ﬁ 𝓗𝓮𝓵𝓵𝓸 𐐷𐑆",
  "…—–!!!???***///\\\\\\ \n/ .\n//",
  "lone \ud83d high, \ude00 low, \ude00\ud83d swapped, \ud83d\ude00 whole",
  " ".repeat(100) + "a" + " ".repeat(65) + "\n".repeat(33) + "b" + "=".repeat(100) +
  "z".repeat(300),
  "\0\x01\x7f\x1b[0m __proto__ constructor",
].join("\n");

const OPENAI = [
  { name: "gpt2", ranks: gpt2Ranks, pattern: PATTERNS.gpt2 },
  { name: "cl100k_base", ranks: cl100kRanks, pattern: PATTERNS.cl100k },
  { name: "o200k_base", ranks: o200kRanks, pattern: PATTERNS.o200k },
] as const;

type TokenList = (string | number[] | undefined)[];

/** As they are published, with nothing at the rank of a special token; both have the same tokens. */
const HOLES = {
  p50k_base: { ranks: p50kBaseRanks, list: p50kBaseList as TokenList },
  p50k_edit: { ranks: p50kEditRanks, list: p50kBaseList as TokenList },
};

const anyString = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.string({ unit: "grapheme", maxLength: 40 }),
  fc.string({ unit: fc.constantFrom(..." \n\r\t'stSLl.é1日\uFEFF\u0085\u00a0"), maxLength: 40 }),
);
const anyWellFormed = anyString.map((text) => text.toWellFormed());

const alice = (await loadCorpus("carroll-alice")).text;
const smallText = alice.slice(0, 5000);
const small = await Tokenizer.train(smallText, { vocabSize: 300, specialTokens: ["<|end|>"] });
const gpt2 = Tokenizer.fromTiktoken(gpt2Ranks);

for (const { name, ranks, pattern } of OPENAI) {
  Deno.test(`${name}: the same ids as tiktoken`, async (t) => {
    const ours = Tokenizer.fromTiktoken(ranks, pattern);
    const theirs = get_encoding(name as TiktokenEncoding);
    const same = (text: string) => {
      const expected = [...theirs.encode(text, [], [])];
      const ids = ours.encodeOrdinary(text);
      const at = expected.findIndex((id, i) => id !== ids[i]);
      assert(at === -1 && ids.length === expected.length, `differs at token ${at}`);
    };
    for (const book of ["carroll-alice", "chesterton-ball", "milton-paradise", "whitman-leaves"]) {
      await t.step(book, async () => same((await loadCorpus(book)).text));
    }
    await t.step("a page of nasty Unicode", () => {
      for (const line of TORTURE.split("\n")) same(line);
      same(TORTURE);
    });
    await t.step("any string", () => {
      fc.assert(fc.property(anyString, (text) => same(text)), { numRuns: 4000 });
    });
    await t.step("long words", () => {
      for (const unit of ["a", "ab", "é", "日本", "=", "1", " "]) same(unit.repeat(500));
      same("dermatoglyphicsuncopyrightable".repeat(40));
    });
    await t.step("special tokens, names, number of ids", () => {
      const text = "one<|endoftext|> two  <|endoftext|>\n";
      const allowed = [...theirs.encode(text, ["<|endoftext|>"], [])];
      assertEquals(ours.encode(text, { allowedSpecial: ["<|endoftext|>"] }), allowed);
      assertEquals(ours.decode(allowed), text);
      assertEquals(Object.fromEntries(ours.specialTokens), ranks.special_tokens);
      const last = Math.max(...Object.values(ranks.special_tokens as Record<string, number>));
      assertEquals(ours.vocabSize, last + 1);
    });
    theirs.free();
  });
}

Deno.test("fromTiktoken: each published form gives the same tokenizer", () => {
  const listed = Tokenizer.fromTiktoken(r50kList, PATTERNS.gpt2, { "<|endoftext|>": 50256 });
  const file = r50kList.map((token, rank) => {
    const bytes = typeof token === "string" ? bytesOf(token) : token;
    return `${btoa(String.fromCharCode(...bytes))} ${rank}`;
  }).join("\n") + "\n";
  const fromFile = Tokenizer.fromTiktoken(file, PATTERNS.gpt2, [["<|endoftext|>", 50256]]);
  for (const tokenizer of [listed, fromFile]) {
    assertEquals(tokenizer.encode(TORTURE), gpt2.encode(TORTURE));
    assertEquals(tokenizer.vocabSize, 50257);
  }
});

Deno.test("fromTiktoken: what cannot be read is named", () => {
  const bad = (ranks: string, pattern?: string) =>
    assertThrows(() => Tokenizer.fromTiktoken(ranks, pattern), TokenizerFormatError).message;
  assertStringIncludes(bad("IQ== 0\n", PATTERNS.gpt2), "byte 0 has no token");
  assertStringIncludes(bad("%% 0\n", PATTERNS.gpt2), "%%");
  assertStringIncludes(bad("IQ== 7\n", PATTERNS.gpt2), "missing");
  assertStringIncludes(bad("IQ== x\n", PATTERNS.gpt2), "not numbers");
  assertStringIncludes(bad(gpt2Ranks.bpe_ranks), "PATTERNS");
  const bytes = Array.from({ length: 256 }, (_, byte) => [byte]);
  const special = (specials: Record<string, number>) =>
    assertThrows(() =>
      Tokenizer.fromTiktoken([...bytes, "ab", undefined, "cd"], PATTERNS.gpt2, specials)
    ).message;
  assertStringIncludes(special({}), "257");
  assertStringIncludes(special({ "<a>": 257, "<b>": 258 }), "<b>");
  assertStringIncludes(special({ "<a>": 257, "ab": 259 }), '"ab"');
});

for (const name of ["p50k_base", "p50k_edit"] as const) {
  Deno.test(`${name}: ranks with holes where special tokens sit give tiktoken's ids, in each form`, () => {
    const theirs = get_encoding(name);
    const { ranks, list } = HOLES[name];
    const specials = ranks.special_tokens;
    const file = list.flatMap((token, rank) => {
      if (token === undefined) return [];
      return `${
        btoa(typeof token === "string" ? binaryOf(token) : String.fromCharCode(...token))
      } ${rank}\r\n`;
    }).join("");
    const forms = [
      Tokenizer.fromTiktoken(ranks),
      Tokenizer.fromTiktoken(list, PATTERNS.gpt2, specials),
      Tokenizer.fromTiktoken(file, PATTERNS.gpt2, specials),
    ];
    const texts = [
      ...TORTURE.split("\n"),
      "    indented\n        more",
      "a<|endoftext|>b<|endoftext|>",
    ];
    for (const ours of [...forms, Tokenizer.fromJSON(JSON.parse(JSON.stringify(forms[1])))]) {
      for (const text of texts) {
        const expected = [...theirs.encode(text, "all")];
        assertEquals(ours.encode(text, { allowedSpecial: "all" }), expected);
        assertEquals(ours.decode(expected), text.toWellFormed());
      }
      assertEquals(ours.vocabSize, 50281 + (name === "p50k_edit" ? 3 : 0));
    }
    assertThrows(() => Tokenizer.fromTiktoken(list, PATTERNS.gpt2), TokenizerFormatError, "50256");
    theirs.free();
  });
}

Deno.test("PATTERNS are the published ones", async () => {
  const folder = new URL("encoders/", import.meta.resolve("tiktoken"));
  for (const { name, pattern } of OPENAI) {
    const published = JSON.parse(await Deno.readTextFile(new URL(`${name}.json`, folder)));
    assertEquals(pattern, published.pat_str);
  }
});

Deno.test("countPairs, mergePair and mostFrequent do by hand what the book says", () => {
  assertEquals([...countPairs([1, 2, 3, 1, 2])], [["1,2", 2], ["2,3", 1], ["3,1", 1]]);
  assertEquals([...countPairs([1, 1, 1], 4)], [["1,1", 8]]);
  assertEquals(mergePair([1, 2, 3, 1, 2], 1, 2, 9), [9, 3, 9]);
  assertEquals(mergePair([1, 1, 1], 1, 1, 9), [9, 1]);
  // " " is 32 and "!" is 33, but the stand-in of " " comes after that of "!"
  assertEquals(mostFrequent(countPairs([32, 7, 33, 7]), "lowest-id"), [33, 7]);
  assertEquals(mostFrequent(countPairs([32, 7, 33, 7]), "first-seen"), [32, 7]);
  assertEquals(mostFrequent(new Map(), "lowest-id"), undefined);
});

Deno.test("STAND_INS are GPT-2's", () => {
  assertEquals(new Set(STAND_INS).size, 256);
  assertEquals(
    [32, 10, 33, 126, 127, 161, 173, 255].map((byte) => STAND_INS[byte]).join(""),
    "ĠĊ!~ġ¡Ńÿ",
  );
});

Deno.test("splitWords: joined, the words are the text, for any pattern", () => {
  const patterns = [...Object.values(PATTERNS), "[a-z]+", "x*", "\\d{2}", "[\\s\\S]+"];
  fc.assert(fc.property(anyWellFormed, fc.constantFrom(...patterns), (text, pattern) => {
    assertEquals(splitWords(text, pattern).join(""), text);
  }));
});

Deno.test("compilePattern: blanks are Unicode's, possessive signs are read, gaps are words", () => {
  assertEquals(splitWords("a\uFEFF\u0085b", "\\s+"), ["a\uFEFF", "\u0085", "b"]);
  assertEquals(splitWords("ab12-c", "\\p{L}++|\\p{N}{1,2}+|[+]?+-"), ["ab", "12", "-", "c"]);
  assertEquals(splitWords("+\\s", "\\\\s|\\++"), ["+", "\\s"]);
  assertEquals(splitWords("aXXb", "[a-z]"), ["a", "XX", "b"]);
  const endless = `x ${"中".repeat(2 ** 24)}`;
  assertStringIncludes(assertThrows(() => splitWords(endless), RangeError).message, "position 1 ");
  const error = assertThrows(() => compilePattern("(oops"), SyntaxError);
  assertStringIncludes(error.message, "(oops");
});

/** minbpe's training, as plainly as it can be written: every word by itself, everything counted again each time. */
function minbpe(words: string[], howMany: number): Merge[] {
  let lists = words.map(bytesOf);
  const merges: Merge[] = [];
  while (merges.length < howMany) {
    const stats = new Map<number, number>();
    for (const ids of lists) {
      ids.slice(1).forEach((right, i) => {
        const key = ids[i] * 100_000 + right;
        stats.set(key, (stats.get(key) ?? 0) + 1);
      });
    }
    if (stats.size === 0) break;
    const most = Math.max(...stats.values());
    const [key] = [...stats].find(([, count]) => count === most)!;
    const pair: Merge = [Math.floor(key / 100_000), key % 100_000];
    lists = lists.map((ids) => {
      const out: number[] = [];
      for (let i = 0; i < ids.length; i++) {
        const isPair = ids[i] === pair[0] && ids[i + 1] === pair[1];
        out.push(isPair ? 256 + merges.length : ids[i]);
        if (isPair) i++;
      }
      return out;
    });
    merges.push(pair);
  }
  return merges;
}

Deno.test("learnMerges with first-seen learns minbpe's merges", () => {
  const text = alice.slice(0, 20_000);
  const words = countWords(text, compilePattern(PATTERNS.cl100k));
  assertEquals(
    learnMerges(words, 200, "first-seen"),
    minbpe(splitWords(text, PATTERNS.cl100k), 200),
  );
});

Deno.test("learnMerges learns what learnMergesSlowly learns, from any text", () => {
  const text = fc.string({ unit: fc.constantFrom(..."aab c.é"), maxLength: 60 });
  const ties = fc.constantFrom("lowest-id" as const, "first-seen" as const);
  fc.assert(
    fc.property(text, ties, (text, ties) => {
      const words = countWords(text, compilePattern(PATTERNS.gpt2));
      assertEquals(learnMerges(words, 30, ties), learnMergesSlowly(words, 30, ties));
    }),
    { numRuns: 500 },
  );
});

Deno.test("learnMerges: one word that is a whole text", () => {
  const text = smallText.repeat(4);
  const words = new Map([[text, 1]]);
  assertEquals(learnMerges(words, 60), learnMergesSlowly(words, 60));
});

for (const name of ["gpt2", "cl100k"] as const) {
  Deno.test(`${name}: Hugging Face's trainer learns the same, and its file gives its ids here`, async () => {
    const { json, ids } = huggingFace[name];
    const options = { vocabSize: 800, pattern: PATTERNS[name], specialTokens: ["<|endoftext|>"] };
    const ours = await Tokenizer.train(linesOf(alice), options);
    assertEquals(ours.vocabSize, 800);
    const theirMerges = json.model.merges.map((pair) => pair.join(" "));
    assertEquals(ours.toJSON().model.merges, theirMerges);
    const theirs = Tokenizer.fromJSON(json);
    assertEquals(theirs.pattern, PATTERNS[name]);
    assertEquals(
      huggingFace.texts.map((text) => theirs.encode(text, { allowedSpecial: "all" })),
      ids,
    );
    assertEquals(theirs.encodeBatch(huggingFace.texts, { allowedSpecial: "all" }), ids);
    assertEquals(
      huggingFace.texts.map((text, i) => theirs.decode(ids[i]) === text),
      ids.map(() => true),
    );
  });
}

Deno.test("train: the size is what was asked, or less where there is nothing more to learn", async () => {
  assertEquals((await Tokenizer.train("", { vocabSize: 1000 })).vocabSize, 256);
  assertEquals((await Tokenizer.train("abab", { vocabSize: 256 })).encode("ab"), [97, 98]);
  const whole = await Tokenizer.train("abab", { vocabSize: 10_000_000 });
  assertEquals(whole.encode("abab"), [257]);
  assertEquals(small.vocabSize, 300);
  assertEquals(small.specialTokens.get("<|end|>"), 299);
});

Deno.test("train: a special token spelled like a byte or a word of the texts is refused, and what trains loads again", async () => {
  const text = "User: the cat. User: the mat. 0 0 Ġx\n".repeat(9);
  for (const name of ["User", "the", ".", "0", "Ġthe", "é"]) {
    const train = () => Tokenizer.train(text, { vocabSize: 290, specialTokens: ["<a>", name] });
    const error = await assertRejects(train, RangeError);
    assertStringIncludes(error.message, JSON.stringify(name));
  }
  for (const name of ["<|User|>", "User ", "thx", "éé", "«fin»", "\n\n"]) {
    const tokenizer = await Tokenizer.train(text, { vocabSize: 290, specialTokens: [name] });
    const again = Tokenizer.fromJSON(JSON.parse(JSON.stringify(tokenizer)));
    const all = { allowedSpecial: "all" } as const;
    const ids = again.encode(`the ${name}cat`, all);
    assertEquals(ids, tokenizer.encode(`the ${name}cat`, all));
    assert(ids.includes(tokenizer.specialTokens.get(name)!));
    assertEquals(again.decode(ids), `the ${name}cat`);
  }
});

Deno.test("train: texts come one, many, or streamed", async () => {
  const parts = ["the cat", " sat on", " the mat"];
  async function* stream() {
    await Promise.resolve();
    yield* parts;
  }
  const [list, streamed] = [
    await Tokenizer.train(parts, { vocabSize: 270 }),
    await Tokenizer.train(stream(), { vocabSize: 270 }),
  ];
  assertEquals(streamed.toJSON(), list.toJSON());
});

Deno.test("train: wrong options are named", async () => {
  for (const vocabSize of [255, 256.5, NaN, -1, 2 ** 24 + 1]) {
    const error = await assertRejects(() => Tokenizer.train("a", { vocabSize }), RangeError);
    assertStringIncludes(error.message, `got ${vocabSize}`);
  }
  const rejects = async (options: object, kind: typeof RangeError | typeof SyntaxError) =>
    (await assertRejects(() => Tokenizer.train("a", { vocabSize: 300, ...options }), kind)).message;
  assertStringIncludes(await rejects({ vocabSize: 256, specialTokens: ["x"] }, RangeError), "[257");
  assertStringIncludes(await rejects({ specialTokens: ["x", "x"] }, RangeError), '"x" twice');
  assertStringIncludes(await rejects({ specialTokens: [""] }, RangeError), '""');
  assertStringIncludes(await rejects({ ties: "random" }, RangeError), "random");
  assertStringIncludes(await rejects({ pattern: "[" }, SyntaxError), '"["');
});

Deno.test("linesOf: the lines, wherever the chunks are cut", async () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "\n"), maxLength: 20 });
  await fc.assert(fc.asyncProperty(fc.array(text), async (chunks) => {
    const lines = await Array.fromAsync(linesOf(chunks));
    assertEquals(lines.join(""), chunks.join(""));
    assert(lines.slice(0, -1).every((line) => line.indexOf("\n") === line.length - 1));
    assert(lines.at(-1) !== "");
  }));
  assertEquals(await Array.fromAsync(linesOf("a\n\nb")), ["a\n", "\n", "b"]);
});

Deno.test("PairMap is a map", () => {
  const id = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 2 ** 24 - 1 }));
  const entries = fc.array(fc.tuple(id, id, fc.integer({ min: 0, max: 2 ** 31 - 1 })), {
    maxLength: 400,
  });
  fc.assert(fc.property(entries, (entries) => {
    const ours = new PairMap(), plain = new Map<string, number>();
    for (const [left, right, value] of entries) {
      ours.set(left, right, value);
      plain.set(`${left},${right}`, value);
    }
    assertEquals(ours.size, plain.size);
    for (const [left, right] of entries) {
      assertEquals(ours.get(left, right), plain.get(`${left},${right}`));
      assertEquals(ours.get(right, left), plain.get(`${right},${left}`));
    }
    const listed = [...ours.entries()].map(([left, right, value]) => [`${left},${right}`, value]);
    assertEquals(new Map(listed as [string, number][]), plain);
  }));
});

Deno.test("Heap gives its items in order", () => {
  fc.assert(fc.property(fc.array(fc.integer()), (numbers) => {
    const heap = new Heap<number>((a, b) => a < b);
    for (const number of numbers) heap.push(number);
    const sorted = numbers.toSorted((a, b) => a - b);
    assertEquals(heap.first, sorted[0]);
    assertEquals(sorted.map(() => heap.pop()), sorted);
    assertEquals(heap.pop(), undefined);
  }));
});

Deno.test("mergeByRank: lowest rank first, leftmost of equals, input untouched", () => {
  const merges = new PairMap();
  for (const [l, r, made] of [[2, 3, 10], [1, 2, 11], [10, 4, 12], [1, 1, 13]]) {
    merges.set(l, r, made);
  }
  const word = [1, 1, 1, 2, 3, 4];
  assertEquals(mergeByRank(word, merges), [13, 1, 12]);
  assertEquals(word, [1, 1, 1, 2, 3, 4]);
});

Deno.test("mergeLongWord does what mergeByRank does, even where merges come out of order", () => {
  const id = fc.integer({ min: 0, max: 5 });
  const entries = fc.array(fc.tuple(id, id, id), { maxLength: 20 });
  fc.assert(
    fc.property(fc.array(id, { maxLength: 40 }), entries, (word, entries) => {
      const merges = new PairMap();
      for (const [left, right, made] of entries) merges.set(left, right, made);
      assertEquals(mergeLongWord(word, merges), mergeByRank(word, merges));
    }),
    { numRuns: 2000 },
  );
});

Deno.test("mergeLongWord: equal ranks from left to right, whenever they turned up", () => {
  const merged = (word: number[], ...entries: [number, number, number][]) => {
    const merges = new PairMap();
    for (const [left, right, made] of entries) merges.set(left, right, made);
    return mergeLongWord(word, merges);
  };
  assertEquals(merged([5, 6, 1, 2], [5, 6, 7], [7, 1, 20], [1, 2, 20]), [20, 2]);
  assertEquals(merged([1, 3, 3, 0], [1, 3, 1], [3, 0, 1]), [1, 0]);
  assertEquals(merged([4, 5, 6, 4, 5], [4, 5, 30], [30, 6, 20], [20, 30, 40]), [40]);
});

Deno.test("a word of a million letters takes no longer than a text of a million letters might", () => {
  const start = performance.now();
  const word = "etaoinshrdlucmf".repeat(66_667).slice(0, 1_000_000);
  const ids = gpt2.encode(word);
  // Under a second on an idle machine (bench tokenizer); a quadratic method would take an hour.
  assert(performance.now() - start < 15_000);
  assertEquals(gpt2.decode(ids), word);
});

Deno.test("decode(encode(text)) is the text; half a surrogate pair becomes U+FFFD", () => {
  for (const tokenizer of [small, gpt2]) {
    fc.assert(fc.property(anyString, (text) => {
      assertEquals(tokenizer.decode(tokenizer.encode(text)), text.toWellFormed());
    }));
    assertEquals(tokenizer.decode(tokenizer.encode(TORTURE)), TORTURE.toWellFormed());
  }
  assertEquals(small.decode(small.encode("\uD83D!")), "\uFFFD!");
  assertEquals(small.decode(small.encode("\uFEFFx")), "\uFEFFx");
});

Deno.test("any bytes come back from decodeBytes", () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => {
    assertEquals(small.decodeBytes(bytes), bytes);
    assertEquals(bytesOfBinary(String.fromCharCode(...bytes)), bytes);
  }));
  assertEquals(small.decode([0xff, 65]), "\uFFFDA");
});

Deno.test("decodeStream never emits half a character, wherever tokens are cut", async () => {
  async function* arriving(ids: Iterable<number>) {
    for (const id of ids) yield await Promise.resolve(id);
  }
  await fc.assert(fc.asyncProperty(anyWellFormed, async (text) => {
    for (const ids of [bytesOf(text), small.encode(text)]) {
      const pieces = await Array.fromAsync(small.decodeStream(ids));
      assertEquals(pieces.join(""), text);
      assert(pieces.every((piece) => piece !== "" && piece.isWellFormed()));
      assert(text.includes("\uFFFD") || !pieces.join("").includes("\uFFFD"));
      assertEquals(await Array.fromAsync(small.decodeStream(arriving(ids))), pieces);
    }
  }));
  assertEquals(await Array.fromAsync(small.decodeStream([0xf0, 0x9f])), ["\uFFFD"]);
});

Deno.test("an id that no token has is named", () => {
  for (const id of [300, -1, 1.5, NaN]) {
    assertStringIncludes(
      assertThrows(() => small.decode([65, id]), RangeError).message,
      `id ${id}`,
    );
    assertThrows(() => small.tokenBytes(id), RangeError);
  }
  assertStringIncludes(assertThrows(() => small.decode([300]), RangeError).message, "0 to 299");
});

Deno.test("special tokens in text are refused unless allowed", () => {
  const error = assertThrows(() => small.encode("the end<|end|>"), Error);
  assertStringIncludes(error.message, "<|end|> at position 7");
  const ids = [...small.encode("the end"), 299, ...small.encode("the")];
  for (const allowedSpecial of ["all", ["<|end|>"], new Set(["<|end|>"])] as const) {
    assertEquals(small.encode("the end<|end|>the", { allowedSpecial }), ids);
  }
  const plain = small.encodeOrdinary("<|end|>");
  assert(!plain.includes(299));
  assertEquals(small.decode(plain), "<|end|>");
});

Deno.test("refuseSpecialTokens names the first that is not allowed", () => {
  const names = ["<a>", "<b>"];
  const message = (text: string, allowed: string[]) =>
    assertThrows(() => refuseSpecialTokens(text, names, new Set(allowed)), Error).message;
  assertStringIncludes(message("..<b><a>", []), "<b> at position 2");
  assertStringIncludes(message("..<b><a>", ["<b>"]), "<a> at position 5");
  refuseSpecialTokens("..<b><a>", names, new Set(names));
});

Deno.test("splitAtSpecials takes the longest, whatever signs are in the names", () => {
  assertEquals(splitAtSpecials("a<|x|>b", ["<|x|>"]), ["a", "<|x|>", "b"]);
  assertEquals(splitAtSpecials("a.*b", [".", ".*"]), ["a", ".*", "b"]);
  assertEquals(splitAtSpecials("plain", []), ["plain"]);
  assertEquals(splitAtSpecials("[^$]", ["[", "$"]), ["", "[", "^", "$", "]"]);
});

Deno.test("tokenizer.json: whole key set, and back to the same tokenizer", () => {
  const cl100k = Tokenizer.fromTiktoken(cl100kRanks, PATTERNS.cl100k);
  for (const tokenizer of [small, gpt2, cl100k]) {
    const json = JSON.parse(JSON.stringify(tokenizer));
    assertEquals(Object.keys(json), [
      "version",
      "truncation",
      "padding",
      "added_tokens",
      "normalizer",
      "pre_tokenizer",
      "post_processor",
      "decoder",
      "model",
    ]);
    const { vocab, merges, ...flags } = json.model;
    assertEquals(flags, {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: tokenizer !== small,
    });
    assertEquals(vocab["Ġthe"], tokenizer.encode(" the")[0]);
    assert(merges.includes("i n"));
    const again = Tokenizer.fromJSON(json);
    assertEquals(again.vocabSize, tokenizer.vocabSize);
    assertEquals(again.pattern, tokenizer.pattern);
    assertEquals(again.encode(TORTURE), tokenizer.encode(TORTURE));
    assertEquals(again.specialTokens, tokenizer.specialTokens);
  }
  assertEquals(small.toJSON().pre_tokenizer.type, "ByteLevel");
  assertEquals(cl100k.toJSON().pre_tokenizer.type, "Sequence");
});

Deno.test("a word that is a token is taken whole, though no merges lead to it", () => {
  const bytes = Array.from({ length: 256 }, (_, byte) => [byte]);
  const tokenizer = Tokenizer.fromTiktoken([...bytes, " wxyz", "z!"], PATTERNS.gpt2);
  assertEquals(tokenizer.encode(" wxyz wxy"), [256, 32, 119, 120, 121]);
  const json = tokenizer.toJSON();
  assertEquals(json.model.ignore_merges, true);
  assertEquals(json.model.merges, ["z !"]);
  assertEquals(Tokenizer.fromJSON(json).encode(" wxyz"), [256]);
  json.model.ignore_merges = false;
  assertEquals(Tokenizer.fromJSON(json).encode(" wxyz").length, 5);
});

Deno.test("tokenizer.json: tokens that JavaScript's objects have names for", async () => {
  const text = "__proto__ constructor __proto__ constructor toString 2024";
  const tokenizer = await Tokenizer.train(text, { vocabSize: 400, pattern: "\\S+" });
  assertEquals(tokenizer.encode("__proto__").length, 1);
  const again = Tokenizer.fromJSON(JSON.parse(JSON.stringify(tokenizer)));
  assertEquals(again.encode(text), tokenizer.encode(text));
  assertEquals(again.vocabSize, tokenizer.vocabSize);
});

Deno.test("save and load, of either kind", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/tokenizer.json`;
    await small.save(path);
    assertEquals((await Tokenizer.load(path)).toJSON(), small.toJSON());
    assertInstanceOf(await loadTokenizer(path), Tokenizer);
    const characters = await CharacterTokenizer.train("héllo");
    await characters.save(path);
    assertEquals((await CharacterTokenizer.load(path)).characters, characters.characters);
    assertInstanceOf(await loadTokenizer(path), CharacterTokenizer);
    for (
      const [text, problem] of [
        ["{ half", "JSON"],
        ["version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git-LFS pointer"],
        ["<!DOCTYPE html>\n<html></html>", "web page"],
      ]
    ) {
      await Deno.writeTextFile(path, text);
      const error = await assertRejects(() => loadTokenizer(path), TokenizerFormatError);
      assertStringIncludes(error.message, path);
      assertStringIncludes(error.message, problem);
    }
    assertEquals([...Deno.readDirSync(folder)].length, 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** A copy of `small`'s file with one field set, by its path. */
function broken(path: string, value: unknown): unknown {
  const json = JSON.parse(JSON.stringify(small));
  const keys = path.split("/");
  let at = json;
  for (const key of keys.slice(0, -1)) at = at[key];
  at[keys.at(-1)!] = value;
  return json;
}

Deno.test("fromJSON: what is wrong or not supported is named", () => {
  const cases: [string, unknown, string][] = [
    ["model", null, "model must be an object"],
    ["model/type", "Unigram", "Unigram"],
    ["model/dropout", 0.1, "model.dropout"],
    ["model/end_of_word_suffix", "</w>", "</w>"],
    ["normalizer", { type: "StripAccents" }, "StripAccents"],
    ["pre_tokenizer", { type: "Metaspace" }, "pre_tokenizer"],
    ["pre_tokenizer/add_prefix_space", true, "add_prefix_space must be false"],
    ["added_tokens", {}, "added_tokens"],
    ["added_tokens/0/id", -1, "[0, 2^24)"],
    ["added_tokens/0/content", "", "content"],
    ["model/vocab/a", 1e9, "2^24"],
    ["model/vocab/a", 98, "98"],
    ["model/vocab/a", "97", '"a"'],
    ["model/vocab/▁a", 400, "▁a"],
    ["model/merges", "a b", "model.merges"],
    ["model/merges/0", "q", "merge 0"],
    ["model/merges/0", ["q", "qqq"], "merge 0"],
    ["model/merges/0", 5, "merge 0"],
    ["model/ignore_merges", 1, "ignore_merges"],
    ["version", "2.0", "version"],
    ["extra", 1, "extra"],
    ["decoder", { type: "Metaspace" }, "Metaspace"],
    ["post_processor", { type: "Other" }, "Other"],
    ["truncation", { length: 3 }, "truncation.length"],
    ["padding", { to: 3 }, "padding.to"],
    ["pre_tokenizer", { type: "Digits", individual_digits: true }, "ByteLevel"],
    ["added_tokens/0/lstrip", 1, "lstrip"],
  ];
  for (const [path, value, problem] of cases) {
    const read = () => Tokenizer.fromJSON(broken(path, value));
    const error = assertThrows(read, TokenizerFormatError, undefined, path);
    assertStringIncludes(error.message, problem);
  }
  const split = structuredClone(huggingFace.cl100k.json);
  split.pre_tokenizer.pretokenizers[0].pattern!.Regex = "(";
  assertStringIncludes(
    assertThrows(() => Tokenizer.fromJSON(split), TokenizerFormatError).message,
    "Regex",
  );
  split.pre_tokenizer.pretokenizers[0].pattern!.Regex = "(a)\\1";
  assertThrows(() => Tokenizer.fromJSON(split), TokenizerFormatError, "\\1 is not supported");
  for (const json of [undefined, null, 7, "text", []]) {
    assertThrows(() => Tokenizer.fromJSON(json), TokenizerFormatError);
  }
});

Deno.test("fromJSON: a file with anything in any place loads or is refused, never crashes", () => {
  const paths = ["model", "model/vocab", "model/merges", "pre_tokenizer", "added_tokens", "decoder"]
    .concat(["added_tokens/0", "model/merges/3", "model/vocab/Ġ", "model/ignore_merges"])
    .concat(["pre_tokenizer/type", "pre_tokenizer/use_regex", "model/continuing_subword_prefix"]);
  fc.assert(
    fc.property(fc.constantFrom(...paths), fc.jsonValue(), (path, value) => {
      for (const read of [Tokenizer.fromJSON, CharacterTokenizer.fromJSON]) {
        try {
          read(broken(path, value));
        } catch (error) {
          assertInstanceOf(error, TokenizerFormatError);
        }
      }
    }),
    { numRuns: 300 },
  );
});

Deno.test("CharacterTokenizer: one id per code point, in their order", async () => {
  const tokenizer = await CharacterTokenizer.train(["banana", " 🙂é\n"]);
  assertEquals(tokenizer.characters, ["\n", " ", "a", "b", "n", "é", "🙂"]);
  assertEquals(tokenizer.vocabSize, 7);
  assertEquals(tokenizer.encode("nab🙂"), [4, 2, 3, 6]);
  assertEquals(tokenizer.decode([4, 2, 3, 6]), "nab🙂");
  assertEquals(await Array.fromAsync(tokenizer.decodeStream([6, 2])), ["🙂", "a"]);
  const error = assertThrows(() => tokenizer.encode("🙂 x"), RangeError);
  assertStringIncludes(error.message, '"x" (U+0078), at position 3');
  assertThrows(() => tokenizer.decode([7]), RangeError);
  assertThrows(() => new CharacterTokenizer(["a", "a"]), RangeError);
  const json = JSON.parse(JSON.stringify(tokenizer));
  assertEquals(CharacterTokenizer.fromJSON(json).encode("nab🙂"), [4, 2, 3, 6]);
  json.model.vocab.z = 99;
  assertThrows(() => CharacterTokenizer.fromJSON(json), TokenizerFormatError);
  const changed = { ...JSON.parse(JSON.stringify(tokenizer)), normalizer: { type: "Lowercase" } };
  assertThrows(() => CharacterTokenizer.fromJSON(changed), TokenizerFormatError, "normalizer");
});

Deno.test("binaryOf gives UTF-8 bytes as characters", () => {
  fc.assert(fc.property(anyString, (text) => {
    assertEquals([...bytesOfBinary(binaryOf(text))], bytesOf(text));
  }));
  assertEquals(binaryOf("é".repeat(10_000)).length, 20_000);
});
