/** What can go wrong from outside: texts that are no texts, sizes that are no sizes, runs that go on for long. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import v8 from "node:v8";
import vm from "node:vm";
import { loadCorpus, splitCorpus } from "lib/data/corpus.ts";
import { Random } from "lib/engine/random.ts";
import { generate, sampleToken } from "lib/sample.ts";
import { Tokenizer } from "lib/tokenizer.ts";
import { BatchSampler, cosineSchedule, packTokens, Trainer } from "lib/train.ts";
import { GPT } from "lib/transformer.ts";
import { testOnBackends } from "./support.ts";

await tf.setBackend("cpu"); // what the tests without a backend of their own compute on

const TEXT = "the cat sat on the mat. ";
const tokenizer = await Tokenizer.train(TEXT.repeat(20), { vocabSize: 270 });
const { vocabSize } = tokenizer;
const shape = { vocabSize, blockSize: 8, nLayer: 1, nHead: 2, nEmbd: 8 };

// --- long runs

/** Collects garbage, which V8 may otherwise put off for thousands of steps. */
function collectGarbage(): void {
  v8.setFlagsFromString("--expose-gc");
  vm.runInNewContext("gc")();
}

function memory() {
  collectGarbage();
  const { numTensors, numBytes } = tf.memory();
  const { heapUsed, rss } = Deno.memoryUsage();
  return { tensors: [numTensors, numBytes], heapUsed, rss };
}

testOnBackends("thousands of steps leave no tensor behind, no memory grows", async (backend) => {
  const steps = backend === "simd" ? 2400 : 180; // the others are slow here
  const train = packTokens(tokenizer.encode(TEXT.repeat(50)), vocabSize);
  const model = new GPT({ ...shape, dropout: 0.1 }, new Random(1));
  const trainer = new Trainer({ model, train, steps, batchSize: 2, evaluateEvery: steps });
  await trainer.run({ until: steps / 2 }); // the engine finds its memory, the compiler its pace
  const before = memory();
  await trainer.run();
  const after = memory();
  assertEquals(after.tensors, before.tensors);
  for (const kind of ["heapUsed", "rss"] as const) {
    const grown = after[kind] / before[kind] - 1;
    assert(grown < 0.05, `${kind} grew by ${(100 * grown).toFixed(1)} %`);
  }
});

// --- texts

async function withFile(contents: Uint8Array | string, body: (path: string) => Promise<void>) {
  const path = await Deno.makeTempFile({ suffix: ".txt" });
  const bytes = typeof contents === "string" ? new TextEncoder().encode(contents) : contents;
  await Deno.writeFile(path, bytes);
  await body(path).finally(() => Deno.remove(path));
}

Deno.test("a corpus that is empty, binary or in another encoding is refused by name", async () => {
  const refused = (contents: Uint8Array | string, message: string) =>
    withFile(contents, (path) => assertRejects(() => loadCorpus(path), Error, message).then());
  await refused("", "is empty");
  await refused(" \n\r\n ", "is empty");
  await refused(Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 0xff, 0xfe, 0, 1), "is not UTF-8");
  await refused(Uint8Array.of(99, 97, 102, 0xe9), "is not UTF-8 text, near byte 3");
});

Deno.test("a text of one line of ten million letters is a text like any other", async () => {
  const line = "abcdefghij".repeat(1e6);
  await withFile(line, async (path) => {
    const { train, validation } = splitCorpus(await loadCorpus(path));
    assertEquals(train.length + validation.length, 1e7);
    const found = await Tokenizer.train(train, { vocabSize: 260 });
    assertEquals(found.decode(found.encode(validation)), validation);
  });
});

Deno.test("a text shorter than a block is refused with both lengths", () => {
  const options = { batchSize: 1, blockSize: 8, random: new Random(1) };
  const message = "a row of 8 tokens needs a text of at least 9, got 8";
  assertThrows(() => new BatchSampler(new Uint16Array(8), options), RangeError, message);
  new BatchSampler(new Uint16Array(9), options).next();
  const trainer = () => new Trainer({ model: new GPT(shape), train: new Uint16Array(3), steps: 1 });
  assertThrows(trainer, RangeError, "got 3");
});

// --- sizes

Deno.test("a vocabulary of 256 is the bytes, one of ten million what the text has", async () => {
  const bytes = await Tokenizer.train(TEXT, { vocabSize: 256 });
  assertEquals([bytes.vocabSize, bytes.encode("é").length], [256, 2]);
  const huge = await Tokenizer.train(TEXT, { vocabSize: 10_000_000 });
  assert(huge.vocabSize < 300);
  assertEquals(huge.decode(huge.encode(TEXT)), TEXT);
  for (const vocabSize of [255, 1e9, 300.5, NaN]) {
    await assertRejects(() => Tokenizer.train(TEXT, { vocabSize }), RangeError, `${vocabSize}`);
  }
});

Deno.test("a prompt longer than the block goes on from its end", async () => {
  const model = new GPT(shape, new Random(1));
  const options = { maxTokens: 3, temperature: 0 };
  const ids = async (prompt: number[]) =>
    (await Array.fromAsync(generate(model, tokenizer, prompt, options))).map(({ id }) => id);
  const long = tokenizer.encode(TEXT.repeat(9));
  assertEquals((await ids(long))[0], (await ids(long.slice(-8)))[0]);
});

Deno.test("temperature and top-k: extreme values are taken or refused, as their docstrings say", () => {
  const logits = Float32Array.of(1, 3, 2);
  const draw = (options: Record<string, number>) =>
    sampleToken(logits, { ...options, random: new Random(1) });
  assertEquals([draw({ temperature: 0 }), draw({ topK: 1 }), draw({ temperature: 1e-9 })], [
    1,
    1,
    1,
  ]);
  assert([0, 1, 2].includes(draw({ topK: 1e9, temperature: 1e9 })));
  for (const temperature of [-1, NaN, Infinity]) {
    assertThrows(() => draw({ temperature }), RangeError, `temperature must be`);
  }
  for (const topK of [0, -1, 1.5, NaN]) {
    assertThrows(() => draw({ topK }), RangeError, "topK must be");
  }
});

// --- properties

Deno.test("a schedule stays between floor and peak, warms up and then falls", () => {
  const settings = fc.record({
    peak: fc.double({ min: 1e-6, max: 10, noNaN: true }),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    steps: fc.integer({ min: 1, max: 300 }),
    early: fc.double({ min: 0, max: 0.99, noNaN: true }),
  });
  fc.assert(fc.property(settings, ({ peak, share, steps, early }) => {
    const [floor, warmup] = [peak * share, Math.floor(early * steps)];
    const rate = cosineSchedule({ peak, floor, warmup, steps });
    for (let step = 0; step <= steps + 3; step++) {
      assert(rate(step) > 0 || floor === 0);
      assert(rate(step) <= peak * (1 + 1e-12));
      if (step >= warmup) assert(rate(step) >= floor * (1 - 1e-12));
      if (step > 0 && step < warmup) assert(rate(step) >= rate(step - 1));
      if (step > warmup) assert(rate(step) <= rate(step - 1) * (1 + 1e-12));
    }
    assertEquals(rate(steps + 1), floor);
  }));
});

Deno.test("a sampler draws a token that exists and is among the best k", () => {
  const options = fc.record({
    logits: fc.float32Array({ minLength: 1, maxLength: 30, noNaN: true, noDefaultInfinity: true }),
    topK: fc.integer({ min: 1, max: 40 }),
    topP: fc.double({ min: 0.01, max: 1, noNaN: true }),
    temperature: fc.double({ min: 0, max: 5, noNaN: true }),
    seed: fc.integer(),
  });
  fc.assert(fc.property(options, ({ logits, seed, ...sampling }) => {
    const id = sampleToken(logits, { ...sampling, random: new Random(seed) });
    assert(Number.isInteger(id) && id >= 0 && id < logits.length);
    const better = logits.filter((logit) => logit > logits[id]).length;
    assert(better < sampling.topK, `${better} of [${logits}] are better than ${id}`);
  }));
});
