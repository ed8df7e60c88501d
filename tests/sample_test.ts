import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { Random } from "lib/engine/random.ts";
import {
  type Candidate,
  drawToken,
  generate,
  type GenerateOptions,
  greedyToken,
  holdBack,
  idsToFeed,
  keepMinP,
  keepTopK,
  keepTopP,
  KVCache,
  type LanguageModel,
  logProbabilities,
  nextLogits,
  nextTokenCandidates,
  penalizeRepeats,
  perplexity,
  type PromptTokenizer,
  rankTokens,
  sampleToken,
  type SamplingOptions,
  temperedSoftmax,
} from "lib/sample.ts";
import { GPT, type GPTConfig } from "lib/transformer.ts";
import fixture from "./fixtures/sample.json" with { type: "json" };
import { assertTensor, testOnBackends } from "./support.ts";

const row = (...logits: number[]) => new Float32Array(logits);

/** The textbook softmax, in doubles and without tricks. */
function plainSoftmax(logits: ArrayLike<number>, temperature = 1): number[] {
  const weights = Array.from(logits, (logit) => Math.exp(logit / temperature));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / total);
}

const listOf = (logit: fc.Arbitrary<number>) =>
  fc.array(logit, { minLength: 1, maxLength: 7 }).map((values) => Float32Array.from(values));

/** Logits in steps of 1/8: different ones differ by more than rounding. */
const someLogits = listOf(fc.integer({ min: -64, max: 64 }).map((n) => n / 8));
const anyLogits = listOf(fc.float({ min: -8, max: 8, noNaN: true }));

// ---- one token ------------------------------------------------------------------------------------------------

Deno.test("nextTokenCandidates gives the chances of Hugging Face's processors, whatever is combined", () => {
  for (const { logits, previous, options, probabilities } of fixture.cases) {
    const candidates = nextTokenCandidates(row(...logits), { ...options, previous });
    const chances = new Map(candidates.map(({ id, probability }) => [id, probability]));
    for (const [id, expected] of probabilities.entries()) {
      const said = `token ${id} under ${JSON.stringify(options)}`;
      assertAlmostEquals(chances.get(id) ?? 0, expected, 1e-6, said);
      assertEquals(chances.has(id), expected > 0, said);
    }
  }
});

Deno.test("sampleToken draws each token as often as its chance says", () => {
  const logits = row(1.5, -0.5, 0.3, 2.2, 0, -3);
  const draws = 20_000;
  for (const temperature of [0.7, 1, 1.8]) {
    const random = new Random(11);
    const counts = new Array(logits.length).fill(0);
    for (let i = 0; i < draws; i++) counts[sampleToken(logits, { temperature, random })]++;
    const expected = plainSoftmax(logits, temperature).map((chance) => chance * draws);
    const chiSquare = expected.reduce(
      (sum, wanted, i) => sum + (counts[i] - wanted) ** 2 / wanted,
      0,
    );
    // 5 degrees of freedom: a fair sampler passes 25.7 once in ten thousand seeds.
    assert(chiSquare < 25.7, `chi-square ${chiSquare} at temperature ${temperature}: ${counts}`);
  }
});

Deno.test("sampleToken never draws what a filter cut or what has no chance", () => {
  const random = new Random(2);
  const drawn = (options: SamplingOptions, logits = row(3, 2, 1, 0, -1)) =>
    new Set(Array.from({ length: 2000 }, () => sampleToken(logits, { ...options, random })));
  assertEquals(drawn({ topK: 2 }), new Set([0, 1]));
  assertEquals(drawn({ topP: 0.8 }), new Set([0, 1]));
  assertEquals(drawn({ minP: 0.1 }), new Set([0, 1, 2]));
  assertEquals(drawn({ temperature: 5 }, row(-Infinity, 0, -Infinity)), new Set([1]));
});

Deno.test("sampleToken: same seed, same tokens; another seed, others", () => {
  const draw = (seed: number) => {
    const random = new Random(seed);
    return Array.from({ length: 40 }, () => sampleToken(row(1, 1.2, 0.9, 1), { random }));
  };
  assertEquals(draw(5), draw(5));
  assert(draw(5).join() !== draw(6).join());
});

Deno.test("temperature 0 and topK 1 both take the best token, the lowest id among equals", () => {
  const logits = row(0, 2, 2, 1);
  assertEquals(greedyToken(logits), 1);
  assertEquals(sampleToken(logits, { temperature: 0 }), 1);
  assertEquals(sampleToken(logits, { topK: 1, random: new Random(1) }), 1);
  assertEquals(sampleToken(logits, { temperature: 0, repetitionPenalty: 2, previous: [1, 2] }), 1);
  assertEquals(sampleToken(logits, { temperature: 0, repetitionPenalty: 3, previous: [1, 2] }), 3);
});

Deno.test("temperedSoftmax is the plain softmax where that can be computed", () => {
  fc.assert(
    fc.property(
      anyLogits,
      fc.double({ min: 0.1, max: 10, noNaN: true }),
      (logits, temperature) => {
        const expected = plainSoftmax(logits, temperature);
        temperedSoftmax(logits, temperature).forEach((chance, i) =>
          assertAlmostEquals(chance, expected[i], 1e-9)
        );
      },
    ),
  );
});

Deno.test("temperedSoftmax survives its limits", () => {
  assertEquals([...temperedSoftmax(row(1, 5, 5), 0)], [0, 1, 0]);
  assertEquals([...temperedSoftmax(row(1, 5, 4), 5e-324)], [0, 1, 0]);
  temperedSoftmax(row(1, 5, 4), 1e300).forEach((chance) => assertAlmostEquals(chance, 1 / 3, 1e-9));
  assertEquals([...temperedSoftmax(row(3e38, -3e38))], [1, 0]);
  assertEquals([...temperedSoftmax(row(-Infinity, 7))], [0, 1]);
});

Deno.test("rankTokens asked for a few gives the first of all, equals included", () => {
  const random = new Random(12);
  const logits = Float32Array.from({ length: 200 }, () => random.integer(40) - 20);
  logits[7] = -Infinity;
  const all = rankTokens(logits, 0.7);
  for (const most of [1, 2, 39, 199, 200, 500]) {
    const few = rankTokens(logits, 0.7, most);
    assert(few.length >= Math.min(most, 199), `${few.length} of ${most}`);
    assertEquals(few, all.slice(0, few.length));
  }
  assert(rankTokens(logits, 0.7, 5).length < 20, "it need not rank all");
});

Deno.test("rankTokens sorts, keeps ids of equals in order and leaves out what has no chance", () => {
  const ids = (logits: Float32Array) => rankTokens(logits).map(({ id }) => id);
  assertEquals(ids(row(0, 2, 1, 2)), [1, 3, 2, 0]);
  assertEquals(ids(row(-Infinity, 0, -2000)), [1]);
});

Deno.test("keepTopK keeps those that fewer than k others beat", () => {
  fc.assert(fc.property(anyLogits, fc.integer({ min: 1, max: 9 }), (logits, k) => {
    const beats = (a: number, b: number) =>
      logits[a] > logits[b] || (logits[a] === logits[b] && a < b);
    const ids = [...logits.keys()];
    const expected = ids.filter((id) => ids.filter((other) => beats(other, id)).length < k);
    assertSameTokens(keepTopK(rankTokens(logits), k), expected, logits);
  }));
});

Deno.test("keepTopP keeps the smallest set that holds p, found by trying all sets", () => {
  fc.assert(
    fc.property(someLogits, fc.double({ min: 0.001, max: 0.999, noNaN: true }), (logits, p) => {
      const chances = plainSoftmax(logits);
      let best = { size: Infinity, mass: 0, ids: [] as number[] };
      for (let bits = 1; bits < 1 << logits.length; bits++) {
        const ids = [...logits.keys()].filter((id) => bits & (1 << id));
        const mass = ids.reduce((sum, id) => sum + chances[id], 0);
        fc.pre(Math.abs(mass - p) > 1e-9);
        const isBetter = ids.length < best.size ||
          (ids.length === best.size && mass > best.mass + 1e-12);
        if (mass >= p && isBetter) best = { size: ids.length, mass, ids };
      }
      fc.pre(new Set(logits).size === logits.length);
      assertSameTokens(keepTopP(rankTokens(logits), p), best.ids, logits);
    }),
  );
});

Deno.test("keepTopP at 1 keeps even what rounding hides", () => {
  assertEquals(keepTopP(rankTokens(row(0, -40, -80)), 1).length, 3);
});

Deno.test("keepMinP keeps those at least minP times as likely as the best", () => {
  fc.assert(
    fc.property(someLogits, fc.double({ min: 0, max: 0.999, noNaN: true }), (logits, minP) => {
      const chances = plainSoftmax(logits);
      const bar = minP * Math.max(...chances);
      fc.pre(chances.every((chance) => Math.abs(chance - bar) > 1e-12));
      const expected = [...logits.keys()].filter((id) => chances[id] >= bar);
      assertSameTokens(keepMinP(rankTokens(logits), minP), expected, logits);
    }),
  );
});

/** The candidates are these ids, in order of their chance, with the plain softmax over them alone. */
function assertSameTokens(candidates: Candidate[], ids: number[], logits: Float32Array): void {
  assertEquals(
    candidates.map(({ id }) => id).toSorted((a, b) => a - b),
    ids.toSorted((a, b) => a - b),
  );
  const chances = plainSoftmax(candidates.map(({ id }) => logits[id]));
  candidates.forEach(({ probability }, i) => {
    assertAlmostEquals(probability, chances[i], 1e-9);
    assert(i === 0 || probability <= candidates[i - 1].probability);
  });
}

Deno.test("penalizeRepeats makes every token that occurred less likely, once, and leaves its input alone", () => {
  const logits = row(2, -2, 1, 0);
  assertEquals([...penalizeRepeats(logits, [0, 1, 0, 3], 2)], [1, -4, 1, 0]);
  assertEquals([...logits], [2, -2, 1, 0]);
});

Deno.test("drawToken falls back on the last candidate where chances do not reach 1", () => {
  const almostOne = { uniform: () => 1 - 2 ** -32 } as Random;
  assertEquals(
    drawToken([{ id: 8, probability: 0.5 }, { id: 9, probability: 0.4999 }], almostOne),
    9,
  );
  assertThrows(() => drawToken([], almostOne), RangeError, "at least one candidate");
});

Deno.test("each option that is not allowed is refused with its name, its value and what is allowed", () => {
  const wrong: [keyof SamplingOptions, number, string][] = [
    ["temperature", -0.1, "≥ 0"],
    ["temperature", NaN, "≥ 0"],
    ["temperature", Infinity, "finite"],
    ["topK", 0, "a whole number of at least 1"],
    ["topK", 1.5, "a whole number of at least 1"],
    ["topK", -3, "a whole number of at least 1"],
    ["topP", 0, "(0, 1]"],
    ["topP", 1.01, "(0, 1]"],
    ["topP", NaN, "(0, 1]"],
    ["minP", -0.01, "[0, 1)"],
    ["minP", 1, "[0, 1)"],
    ["repetitionPenalty", 0, "> 0"],
    ["repetitionPenalty", -1, "> 0"],
    ["repetitionPenalty", NaN, "> 0"],
  ];
  const random = new Random(1);
  for (const [name, value, allowed] of wrong) {
    const tries = [
      () => sampleToken(row(1, 2), { [name]: value, random }),
      () => sampleToken(row(1, 2), { temperature: 0, ...{ [name]: value } }),
      () => generate(scripted([0]), bytes, "a", { [name]: value }),
    ];
    for (const attempt of tries) {
      const { message } = assertThrows(attempt, RangeError);
      for (const part of [name, String(value), allowed]) assertStringIncludes(message, part);
    }
  }
  assertThrows(
    () => sampleToken(row(1), { temperature: "hot" as unknown as number }),
    RangeError,
    '"hot"',
  );
});

Deno.test("functions on their own refuse the same", () => {
  const list = rankTokens(row(1, 2));
  assertThrows(
    () => temperedSoftmax(row(1), -1),
    RangeError,
    "temperature must be a finite number ≥ 0, got -1",
  );
  assertThrows(() => keepTopK(list, 0), RangeError, "topK must be an integer ≥ 1, got 0");
  assertThrows(() => keepTopP(list, 0), RangeError, "topP must be in (0, 1], got 0");
  assertThrows(() => keepMinP(list, 1), RangeError, "minP must be in [0, 1), got 1");
  assertThrows(() => penalizeRepeats(row(1), [], 0), RangeError, "repetitionPenalty must be");
  assertThrows(() => penalizeRepeats(row(1, 2), [2], 2), RangeError, "[0, 2), got 2");
});

Deno.test("logits that are no scores are refused", () => {
  const random = new Random(1);
  assertThrows(() => sampleToken(row(1, NaN), { random }), RangeError, "got NaN for token 1");
  assertThrows(
    () => sampleToken(row(Infinity, 1), { random }),
    RangeError,
    "got Infinity for token 0",
  );
  assertThrows(
    () => sampleToken(row(-Infinity, -Infinity), { random }),
    RangeError,
    "must be finite",
  );
  assertThrows(() => greedyToken(row()), RangeError, "must be finite");
  assertThrows(() => sampleToken(row(1, 2)), TypeError, "random must be given");
});

// ---- text -----------------------------------------------------------------------------------------------------

/** One token per byte. */
const bytes: PromptTokenizer = {
  vocabSize: 256,
  encode: (text) => [...new TextEncoder().encode(text)],
  tokenBytes: (id) => Uint8Array.of(id),
};

/** A model that is sure of its script: after one token of prompt it writes `script`, then token 0. */
function scripted(script: number[], vocabSize = 256): LanguageModel {
  return {
    config: { vocabSize, blockSize: 1000, nLayer: 1 },
    forward: (ids) => {
      const [batch, length] = ids.shape;
      const next = Array.from({ length }, (_, position) => script[position] ?? 0);
      return tf.tidy(() =>
        tf.oneHot([next], vocabSize).mul<tf.Tensor3D>(50).reshape([batch, length, vocabSize])
      );
    },
  };
}

async function texts(
  model: LanguageModel,
  tokenizer: PromptTokenizer,
  options: GenerateOptions,
): Promise<string[]> {
  const pieces: string[] = [];
  for await (const { text } of generate(model, tokenizer, "?", { temperature: 0, ...options })) {
    pieces.push(text);
  }
  return pieces;
}

function script(text: string): number[] {
  return bytes.encode(text);
}

Deno.test("generate emits whole characters, and replaces what is left unfinished at the end", async () => {
  await tf.setBackend("cpu");
  const written = script("né🎉!");
  assertEquals(await texts(scripted(written), bytes, { maxTokens: written.length }), [
    ...["n", "", "é", "", "", "", "🎉", "!"],
  ]);
  assertEquals(await texts(scripted(script("aé")), bytes, { maxTokens: 2 }), ["a", "\ufffd"]);
});

Deno.test("generate emits nothing of a stop sequence that is split over tokens", async () => {
  const model = scripted(script("One. The End of it"));
  const options = { maxTokens: 18, stop: ["The End"] };
  const pieces = await texts(model, bytes, options);
  assertEquals(pieces.join(""), "One. ");
  assertEquals(
    pieces.length,
    "One. The End".length,
    "it stops with the token that completes the stop sequence",
  );
  const nearly = scripted(script("The Enemy"));
  assertEquals(
    (await texts(nearly, bytes, { maxTokens: 9, stop: ["The End"] })).join(""),
    "The Enemy",
  );
  const cutOff = await texts(scripted(script("x The E")), bytes, {
    maxTokens: 7,
    stop: ["The End"],
  });
  assertEquals(cutOff.join(""), "x The E", "text held back is let go when no token can follow");
});

Deno.test("generate: however a text is cut into tokens, it ends where the text says", async () => {
  const letters = fc.constantFrom("a", "b", "é", "🎉");
  const word = fc.array(letters, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(""));
  const property = fc.asyncProperty(
    fc.array(letters, { minLength: 1, maxLength: 14 }).map((parts) => parts.join("")),
    fc.array(word, { maxLength: 3 }),
    fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }),
    async (text, stop, sizes) => {
      const pieces: Uint8Array[] = [new Uint8Array()];
      for (let rest = new TextEncoder().encode(text), n = 0; rest.length > 0; n++) {
        pieces.push(rest.slice(0, sizes[n % sizes.length]));
        rest = rest.slice(sizes[n % sizes.length]);
      }
      const tokenizer = {
        vocabSize: pieces.length,
        encode: () => [0],
        tokenBytes: (id: number) => pieces[id],
      };
      const order = pieces.slice(1).map((_, i) => i + 1);
      const written = await texts(scripted(order, pieces.length), tokenizer, {
        maxTokens: order.length,
        stop,
      });
      assertEquals(written.join(""), upToStop(text, stop));
    },
  );
  await fc.assert(property, { numRuns: 60 });
});

/** The text before the stop sequence that is complete first, one more character read at a time. */
function upToStop(text: string, stop: string[]): string {
  for (let end = 1; end <= text.length; end++) {
    const starts = stop.filter((one) => text.slice(0, end).endsWith(one)).map((one) =>
      end - one.length
    );
    if (starts.length) return text.slice(0, Math.min(...starts));
  }
  return text;
}

Deno.test("holdBack loses nothing and holds only what may become a stop sequence", () => {
  const short = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 8 });
  const stops = fc.array(
    fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 4 }),
    { maxLength: 3 },
  );
  fc.assert(
    fc.property(short, stops, (text, stop) => {
      const { shown, held, stopped } = holdBack(text, stop);
      assertEquals(stopped, stop.some((one) => text.includes(one)));
      if (stopped) return assertEquals([shown, held], [upToStop(text, stop), ""]);
      assertEquals(shown + held, text);
      const ends = [...text].map((_, start) => text.slice(start)).filter((end) =>
        stop.some((one) => one.startsWith(end))
      );
      assertEquals(held, ends[0] ?? "");
    }),
    { numRuns: 500 },
  );
  assertEquals(holdBack("abcd", ["abcd", "bc"]).shown, "a", "complete first");
  assertEquals(
    holdBack("abc", ["bc", "abc"]).shown,
    "",
    "of two that end together, the one that began first",
  );
  assertThrows(() => holdBack("a", [""]), RangeError, "stop sequence");
});

Deno.test("generate refuses what makes no sense at once, before the first token", () => {
  const model = scripted([1]);
  const refuse = (message: string, options: GenerateOptions, prompt: string | number[] = "a") =>
    assertThrows(() => generate(model, bytes, prompt, options), RangeError, message);
  refuse("maxTokens must be a whole number of at least 1, got 0", { maxTokens: 0 });
  refuse("seed must be an integer, got 1.5", { seed: 1.5 });
  refuse("stop must be a list of texts", { stop: [""] });
  refuse('got "The End"', { stop: "The End" as unknown as string[] });
  refuse("prompt must hold at least one token", {}, "");
  refuse("[0, 256), got 256", {}, [256]);
  const tooMany = { ...bytes, vocabSize: 300 };
  assertThrows(
    () => generate(model, tooMany, "a"),
    RangeError,
    "the tokenizer has 300 tokens and the model 256",
  );
});

Deno.test("generate never draws a token that the tokenizer does not have", async () => {
  const model = scripted([5, 5, 5, 5], 8);
  const tokenizer: PromptTokenizer = {
    vocabSize: 4,
    encode: () => [1],
    tokenBytes: (id) => Uint8Array.of(script("abcd")[id]),
  };
  for await (const { id, logProbability } of generate(model, tokenizer, "?", { maxTokens: 4 })) {
    assert(id < 4);
    assertAlmostEquals(logProbability, Math.log(1 / 4), 1e-6);
  }
});

// ---- the cache ------------------------------------------------------------------------------------------------

const variants: Record<string, Partial<GPTConfig>> = {
  "GPT-2's parts": { bias: true },
  "grouped-query": { nKVHead: 2 },
  "rotary": { position: "rotary" },
  "Llama's parts": { nKVHead: 1, position: "rotary", norm: "rms", activation: "swiglu" },
};

/** A small GPT whose weights are large enough that positions and neighbours matter. */
function smallModel(config: Partial<GPTConfig> = {}): GPT {
  const model = new GPT(
    { vocabSize: 17, blockSize: 10, nLayer: 2, nHead: 4, nEmbd: 16, ...config },
    new Random(3),
  );
  const random = new Random(4);
  for (const variable of model.parameters.variables()) {
    tf.tidy(() => variable.assign(tf.tensor(random.normals(variable.size, 0.3), variable.shape)));
  }
  return model;
}

const SCRIBBLE = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9];

for (const [name, config] of Object.entries(variants)) {
  testOnBackends(
    `with the cache, token by token, logits are those of one pass: ${name}`,
    async () => {
      const model = smallModel(config);
      const cache = new KVCache(model.config);
      const ids = SCRIBBLE.slice(0, 10);
      const whole = model.forward(tf.tensor2d([ids], [1, 10], "int32")); // [1, 10, 17]
      const steps: Float32Array[] = [];
      for (const length of ids.keys()) {
        steps.push(await nextLogits(model, ids.slice(0, length + 1), cache));
      }
      assertEquals(cache.length, 10);
      await assertTensor(whole, steps.map((step) => [...step]), 1e-5);
      cache.dispose();
      whole.dispose();
      model.dispose();
    },
  );
}

testOnBackends(
  "a cache that is several tokens behind, or full, gives what recomputing gives",
  async () => {
    const model = smallModel();
    const cache = new KVCache(model.config);
    for (const length of [4, 5, 8, 10, 11, 12, 13]) {
      const ids = SCRIBBLE.slice(0, length);
      const quick = await nextLogits(model, ids, cache);
      const window = ids.slice(-10);
      const fresh = model.forward(tf.tensor2d([window], [1, window.length], "int32"));
      await assertTensor(fresh.slice([0, window.length - 1, 0]), quick, 1e-5);
      assertEquals(cache.length, Math.min(length, 10));
      fresh.dispose();
    }
    cache.dispose();
    model.dispose();
  },
);

testOnBackends(
  "generate writes the same with and without cache, past the end of the context",
  async () => {
    const model = smallModel();
    const tokenizer: PromptTokenizer = {
      vocabSize: 17,
      encode: (text) => [...text].map(Number),
      tokenBytes: () => Uint8Array.of(46),
    };
    const write = async (options: GenerateOptions) => {
      const ids: number[] = [];
      for await (
        const { id } of generate(model, tokenizer, "314", { maxTokens: 14, ...options })
      ) ids.push(id);
      return ids;
    };
    const settings = { temperature: 1.2, topP: 0.9, repetitionPenalty: 1.3, seed: 8 };
    const cached = await write(settings);
    assertEquals(cached.length, 14);
    assertEquals(await write({ ...settings, useCache: false }), cached);
    assertEquals(await write(settings), cached);
    assert((await write({ ...settings, seed: 9 })).join() !== cached.join());
    model.dispose();
  },
);

Deno.test("generate is the loop that a beginner would write", async () => {
  await tf.setBackend("cpu");
  const model = smallModel();
  const tokenizer: PromptTokenizer = {
    vocabSize: 17,
    encode: () => [],
    tokenBytes: () => Uint8Array.of(46),
  };
  const ids = [3, 1];
  const options = { temperature: 0.9, topK: 9, minP: 0.02, repetitionPenalty: 1.6 };
  const random = new Random(21);
  for (let n = 0; n < 20; n++) {
    ids.push(sampleToken(await nextLogits(model, ids), { ...options, random, previous: ids }));
  }
  const written = [3, 1];
  for await (
    const { id } of generate(model, tokenizer, [3, 1], { ...options, seed: 21, maxTokens: 20 })
  ) {
    written.push(id);
  }
  assertEquals(written, ids);
  model.dispose();
});

testOnBackends("nothing leaks: finished, stopped, abandoned or failed", async () => {
  const model = smallModel();
  const tokenizer: PromptTokenizer = {
    vocabSize: 17,
    encode: (text) => [...text].map(Number),
    tokenBytes: (id) => Uint8Array.of(65 + id),
  };
  const before = tf.memory().numTensors;
  const run = async (options: GenerateOptions, limit = Infinity) => {
    let count = 0;
    for await (const _ of generate(model, tokenizer, "31", options)) if (++count === limit) break;
    assertEquals(tf.memory().numTensors, before, JSON.stringify(options));
  };
  await run({ maxTokens: 12 });
  await run({ maxTokens: 12, useCache: false });
  await run({ maxTokens: 12, stop: [..."ABCDEFGH"] });
  await run({ maxTokens: 100 }, 3);
  const broken = {
    ...tokenizer,
    tokenBytes: () => {
      throw new Error("no bytes");
    },
  };
  await assertRejects(() => generate(model, broken, "31").next(), Error, "no bytes");
  await logProbabilities(model, tokenizer, SCRIBBLE);
  assertEquals(tf.memory().numTensors, before);
  const cache = new KVCache(model.config);
  await nextLogits(model, [1, 2], cache);
  assertEquals(tf.memory().numTensors, before + 2 * model.config.nLayer);
  cache.dispose();
  cache.dispose();
  assertEquals([tf.memory().numTensors, cache.length], [before, 0]);
  model.dispose();
});

Deno.test("KVCache refuses a layer it does not have, nextLogits ids it has seen", async () => {
  const cache = new KVCache({ nLayer: 2 });
  assertThrows(() => cache.layer(2), RangeError, "[0, 2), got 2");
  assertThrows(
    () => new KVCache({ nLayer: 0 }),
    RangeError,
    "nLayer must be a whole number from 1 to 16777216, got 0",
  );
  await assertRejects(() => nextLogits(scripted([1]), []), RangeError, "cached");
  assertThrows(
    () => idsToFeed([1, 2], 2, 8),
    RangeError,
    "cached must be an integer in [0, 2), got 2",
  );
});

Deno.test("idsToFeed feeds what the cache has not seen, and the last block once the text is longer", () => {
  assertEquals(idsToFeed([5, 6, 7], 0, 4), { feed: [5, 6, 7], restart: false });
  assertEquals(idsToFeed([5, 6, 7, 8], 3, 4), { feed: [8], restart: false });
  assertEquals(idsToFeed([5, 6, 7, 8, 9], 4, 4), { feed: [6, 7, 8, 9], restart: true });
  assertEquals(idsToFeed([5, 6, 7, 8, 9], 0, 4), { feed: [6, 7, 8, 9], restart: true });
});

// ---- how likely a text is -------------------------------------------------------------------------------------

testOnBackends(
  "logProbabilities are the logarithms of the plain softmax, windows included",
  async () => {
    const model = smallModel({ blockSize: 6 });
    const tokenizer: PromptTokenizer = {
      vocabSize: 17,
      encode: (text) => [...text].map(Number),
      tokenBytes: (id) => Uint8Array.of(65 + id),
    };
    const scored = await logProbabilities(model, tokenizer, SCRIBBLE, { stride: 4 });
    assertEquals(scored.map(({ id }) => id), SCRIBBLE.slice(1));
    assertEquals(
      scored.map(({ text }) => text).join(""),
      SCRIBBLE.slice(1).map((id) => "ABCDEFGHIJ"[id]).join(""),
    );
    // Targets 1-6 are read in the window that starts at 0, 7-10 from 4, 11-12 from 8.
    const startOf = (target: number) => target <= 6 ? 0 : target <= 10 ? 4 : 8;
    for (const [i, { logProbability }] of scored.entries()) {
      const logits = await nextLogits(model, SCRIBBLE.slice(startOf(i + 1), i + 1));
      assertAlmostEquals(logProbability, Math.log(plainSoftmax(logits)[SCRIBBLE[i + 1]]), 1e-5);
    }
    const mean = scored.reduce((sum, { logProbability }) => sum + logProbability, 0) /
      scored.length;
    assertAlmostEquals(
      await perplexity(model, tokenizer, SCRIBBLE, { stride: 4 }),
      Math.exp(-mean),
      1e-4,
    );
    model.dispose();
  },
);

Deno.test("every stride scores every token once", async () => {
  await tf.setBackend("cpu");
  const model = smallModel({ blockSize: 4 });
  const tokenizer: PromptTokenizer = {
    vocabSize: 17,
    encode: () => [],
    tokenBytes: () => Uint8Array.of(65),
  };
  for (const stride of [1, 2, 3, 4]) {
    for (let length = 2; length <= SCRIBBLE.length; length++) {
      const scored = await logProbabilities(model, tokenizer, SCRIBBLE.slice(0, length), {
        stride,
      });
      assertEquals(scored.map(({ id }) => id), SCRIBBLE.slice(1, length));
      const last = await nextLogits(model, SCRIBBLE.slice(0, 2));
      if (length > 2) {
        assertAlmostEquals(
          scored[1].logProbability,
          Math.log(plainSoftmax(last)[SCRIBBLE[2]]),
          1e-5,
        );
      }
    }
  }
  model.dispose();
});

Deno.test("generate reports the log-probabilities that logProbabilities computes", async () => {
  await tf.setBackend("cpu");
  const model = smallModel({ blockSize: 16 });
  const tokenizer: PromptTokenizer = {
    vocabSize: 17,
    encode: () => [],
    tokenBytes: () => Uint8Array.of(65),
  };
  const ids = [3, 1];
  const said: number[] = [];
  const options = { maxTokens: 10, temperature: 0.5, topK: 4, repetitionPenalty: 1.5 };
  for await (const { id, logProbability } of generate(model, tokenizer, [3, 1], options)) {
    ids.push(id);
    said.push(logProbability);
  }
  const scored = await logProbabilities(model, tokenizer, ids);
  scored.slice(1).forEach(({ logProbability }, i) =>
    assertAlmostEquals(said[i], logProbability, 1e-5)
  );
  model.dispose();
});

Deno.test("perplexity of a model that knows nothing is the size of the vocabulary", async () => {
  await tf.setBackend("cpu");
  const model: LanguageModel = {
    config: { vocabSize: 256, blockSize: 8, nLayer: 1 },
    forward: (ids) => tf.zeros([1, ids.shape[1], 256]),
  };
  assertAlmostEquals(await perplexity(model, bytes, "what do you know?"), 256, 1e-2);
});

Deno.test("logProbabilities refuses a text without a guess to judge, and a stride it cannot move by", async () => {
  const model = scripted([1]);
  await assertRejects(
    () => logProbabilities(model, bytes, "a"),
    RangeError,
    "at least two tokens long, got 1",
  );
  for (const stride of [0, 1001, 1.5]) {
    await assertRejects(
      () => perplexity(model, bytes, "abc", { stride }),
      RangeError,
      `from 1 to 1000, got ${stride}`,
    );
  }
});
