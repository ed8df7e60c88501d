import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import { join } from "node:path";
import { decodeSafetensors, encodeSafetensors, SafetensorsError } from "lib/data/safetensors.ts";
import { Parameters } from "lib/engine/parameters.ts";
import { Random } from "lib/engine/random.ts";
import { CharacterTokenizer } from "lib/tokenizer.ts";
import {
  AdamW,
  adamWStep,
  BatchSampler,
  bigramLoss,
  bitsPerByte,
  clipByGlobalNorm,
  cosineSchedule,
  crossEntropy,
  evaluate,
  loadCheckpoint,
  lossAndGradients,
  nextTokenBatch,
  packTokens,
  readTokens,
  saveCheckpoint,
  smooth,
  Trainer,
  trainSettings,
  writeTokens,
} from "lib/train.ts";
import { GPT, type GPTConfig } from "lib/transformer.ts";
import torch from "./fixtures/train.json" with { type: "json" };
import { assertTensor, finiteDifferences, testOnBackends } from "./support.ts";

await tf.setBackend("cpu"); // what the tests without a backend of their own compute on

const SPEECH = "the cat sat on the mat and the rat sat on the cat. ".repeat(20);
const letters = await CharacterTokenizer.train(SPEECH);
const speech = packTokens(letters.encode(SPEECH), letters.vocabSize);

const tiny = (more: Partial<GPTConfig> = {}, seed = 1) =>
  new GPT(
    { vocabSize: letters.vocabSize, blockSize: 8, nLayer: 1, nHead: 2, nEmbd: 8, ...more },
    new Random(seed),
  );

/** A trainer of a very small model, and what must be freed afterwards. */
function trainer(more: Partial<ConstructorParameters<typeof Trainer>[0]> = {}): Trainer {
  const base = { model: tiny(), train: speech, tokenizer: letters, steps: 8, batchSize: 2 };
  return new Trainer({ ...base, learningRate: 0.01, ...more });
}

/** Runs `body` with a folder of its own, which is gone afterwards. */
async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

// --- tokens and batches

Deno.test("tokens take two bytes where the vocabulary allows, and survive the disk", async () => {
  await inFolder(async (folder) => {
    for (const [vocabSize, width] of [[65_536, 2], [65_537, 4]]) {
      const ids = [0, 1, 65_535, 7];
      const packed = packTokens(ids, vocabSize);
      assertEquals(packed.BYTES_PER_ELEMENT, width);
      const file = join(folder, "a", `${vocabSize}.bin`);
      await writeTokens(file, packed.subarray(1), vocabSize);
      assertEquals((await Deno.stat(file)).size, 3 * width);
      assertEquals([...await readTokens(file, vocabSize)], ids.slice(1));
    }
  });
});

Deno.test("tokens of any type, also such as can be read once, come back as they were", async () => {
  const ids = Array.from({ length: 3000 }, (_, i) => i % 7);
  const kinds: (() => Iterable<number>)[] = [
    () => ids,
    () => Uint32Array.from(ids),
    () => Int32Array.from(ids),
    () => Uint8Array.from(ids),
    () => ids.values(),
    () => new Set([3, 1, 2]),
  ];
  await inFolder(async (folder) => {
    const file = join(folder, "t.bin");
    for (const kind of kinds) {
      for (const vocabSize of [7, 65_536, 65_537]) {
        assertEquals([...packTokens(kind(), vocabSize)], [...kind()]);
        await writeTokens(file, kind(), vocabSize);
        assertEquals([...await readTokens(file, vocabSize)], [...kind()]);
      }
    }
    const wrong = () => [1, 2, 9].values();
    assertThrows(
      () => packTokens(wrong(), 9),
      RangeError,
      "token 2 must be an id in [0, 9), got 9",
    );
    await assertRejects(() => writeTokens(file, wrong(), 9), RangeError, "got 9");
    await assertRejects(() => writeTokens(file, [1], undefined!), RangeError, "got 1");
  });
});

Deno.test("an id outside the vocabulary is named, in memory and from a file", async () => {
  assertThrows(() => packTokens([1, 5], 5), RangeError, "token 1 must be an id in [0, 5), got 5");
  assertThrows(() => packTokens([-1], 5), RangeError, "got -1");
  assertThrows(() => packTokens([1.5], 5), RangeError, "got 1.5");
  assertThrows(() => packTokens([65_536], 10), RangeError, "got 65536");
  await inFolder(async (folder) => {
    const file = join(folder, "t.bin");
    await writeTokens(file, Uint16Array.of(3, 9), 10);
    await assertRejects(() => readTokens(file, 9), RangeError, "got 9");
    await Deno.writeFile(file, new Uint8Array(3));
    await assertRejects(() => readTokens(file, 9), Error, "3 bytes");
  });
});

Deno.test("targets are the inputs, one token on", async () => {
  const { inputs, targets } = nextTokenBatch(Uint16Array.of(5, 6, 7, 8), [0, 1], 2);
  assertEquals(await inputs.array(), [[5, 6], [6, 7]]);
  assertEquals(await targets.array(), [[6, 7], [7, 8]]);
  assertEquals([inputs.dtype, targets.dtype], ["int32", "int32"]);
  for (const start of [-1, 2, 0.5]) {
    assertThrows(
      () => nextTokenBatch(Uint16Array.of(5, 6, 7, 8), [start], 2),
      RangeError,
      `${start}`,
    );
  }
});

Deno.test("a sampler reaches every place, the last too, and its stream can be resumed", async () => {
  const text = Int32Array.from({ length: 10 }, (_, i) => i);
  const options = { batchSize: 200, blockSize: 4, random: new Random(2) };
  const sampler = new BatchSampler(text, options);
  const first = await sampler.next().inputs.array();
  assertEquals(new Set(first.map(([start]) => start)), new Set([0, 1, 2, 3, 4, 5]));
  const random = Random.fromState(options.random.state);
  const again = await new BatchSampler(text, { ...options, random }).next().targets.array();
  assertEquals(again, await sampler.next().targets.array());
  assertThrows(
    () => new BatchSampler(text, { ...options, blockSize: 10 }),
    RangeError,
    "at least 11, got 10",
  );
});

// --- loss

/** Cross-entropy by its definition, in 64 bits. */
function entropyByHand(logits: number[], targets: number[], classes: number): number {
  let sum = 0;
  for (const [row, target] of targets.entries()) {
    let total = 0;
    for (let j = 0; j < classes; j++) total += Math.exp(logits[row * classes + j]);
    sum -= Math.log(Math.exp(logits[row * classes + target]) / total);
  }
  return sum / targets.length;
}

testOnBackends("cross-entropy and its gradient are PyTorch's, and the definition's", async () => {
  const { logits, targets, loss, gradient } = torch.crossEntropy;
  const x = tf.tensor3d(logits, [2, 3, 5]), ids = tf.tensor2d(targets, [2, 3], "int32");
  await assertTensor(crossEntropy(x, ids), loss);
  await assertTensor(crossEntropy(x, ids), entropyByHand(logits, targets, 5));
  await assertTensor(crossEntropy(x.reshape([6, 5]), ids.flatten()), loss);
  await assertTensor(tf.grad((z) => crossEntropy(z, ids))(x), gradient);
  await assertTensor(
    tf.grad((z) => crossEntropy(z, ids))(x),
    await finiteDifferences((z) => crossEntropy(z, ids), x),
    1e-3,
  );
});

testOnBackends("cross-entropy bears scores of any size", async () => {
  const loss = (rows: number[][], ids: number[]) =>
    crossEntropy(tf.tensor2d(rows), tf.tensor1d(ids, "int32"));
  await assertTensor(loss([[1e4, 0]], [0]), 0);
  await assertTensor(loss([[1e4, 0]], [1]), 1e4);
  await assertTensor(loss([[-1e4, -1e4]], [1]), Math.LN2);
  assertThrows(() => loss([[1, 2], [3, 4]], [0]), RangeError, "[2,2]");
});

// --- AdamW, clipping, schedule

/** The parameters of the fixture: a matrix and a vector. */
function torchParameters(): Parameters {
  const parameters = new Parameters();
  parameters.zeros("w", [2, 3]).assign(tf.tensor2d(torch.adamw.start.w, [2, 3]));
  parameters.zeros("b", [3]).assign(tf.tensor1d(torch.adamw.start.b));
  return parameters;
}

testOnBackends("clipping and AdamW make PyTorch's steps; only the matrix decays", async () => {
  const parameters = torchParameters();
  const optimizer = new AdamW(parameters, { betas: [0.9, 0.99], weightDecay: 0.1 });
  for (const { rate, gradient, norm, clipped, w, b } of torch.adamw.steps) {
    const found = clipByGlobalNorm(
      { w: tf.tensor2d(gradient.w, [2, 3]), b: tf.tensor1d(gradient.b) },
      2,
    );
    await assertTensor(found.norm, norm);
    await assertTensor(found.gradients.w, clipped.w);
    await assertTensor(found.gradients.b, clipped.b);
    optimizer.step(found.gradients, rate);
    await assertTensor(parameters.get("w"), w);
    await assertTensor(parameters.get("b"), b);
  }
  assertEquals(optimizer.steps, 3);
});

testOnBackends("AdamW leaves alone what has no gradient, and leaks nothing", async () => {
  const parameters = torchParameters();
  const optimizer = new AdamW(parameters);
  const gradients = { b: tf.tensor1d([1, 1, 1]) };
  optimizer.step(gradients, 0.1);
  const before = tf.memory().numTensors;
  optimizer.step(gradients, 0.1);
  assertEquals(tf.memory().numTensors, before);
  await assertTensor(parameters.get("w"), torch.adamw.start.w);
  optimizer.dispose();
  assertEquals(tf.memory().numTensors, before - 4);
});

testOnBackends("AdamW goes on from what it saved", async () => {
  const gradients = { w: tf.tensor2d([[1, -2, 3], [0, 1, 4]]), b: tf.tensor1d([1, 0, -1]) };
  const [whole, cut] = [torchParameters(), torchParameters()];
  const first = new AdamW(whole), second = new AdamW(cut), third = new AdamW(cut);
  for (const optimizer of [first, second]) optimizer.step(gradients, 0.1);
  third.load(await second.save(), second.steps);
  for (const optimizer of [first, third]) optimizer.step(gradients, 0.1);
  for (const name of ["w", "b"]) {
    assertEquals(await cut.get(name).data(), await whole.get(name).data());
  }
  assertThrows(() => third.load({}, 1), Error, `"w.m"`);
});

Deno.test("AdamW refuses options that make no sense", () => {
  const one = tf.ones([1]);
  const state = { weight: one, m: one, v: one };
  const options = { betas: [0.9, 0.99] as [number, number], eps: 1e-8, weightDecay: 0 };
  assertThrows(() => adamWStep(state, one, 0, 0.1, options), RangeError, "got 0");
  assertThrows(() => new AdamW(new Parameters(), { betas: [1, 0.9] }), RangeError, "[1,0.9]");
  assertThrows(() => new AdamW(new Parameters(), { eps: -1 }), RangeError, "eps");
  assertThrows(() => new AdamW(new Parameters(), { weightDecay: NaN }), RangeError, "weightDecay");
});

testOnBackends("clipping leaves short gradients and zeros as they are", async () => {
  const short = clipByGlobalNorm({ a: tf.tensor1d([0.3]), b: tf.tensor1d([0.4]) }, 1);
  await assertTensor(short.gradients.a, 0.3);
  const zero = clipByGlobalNorm({ a: tf.zeros([2]) }, 1);
  await assertTensor(zero.gradients.a, [0, 0]);
  assertThrows(() => clipByGlobalNorm({ a: tf.zeros([2]) }, 0), RangeError, "got 0");
});

Deno.test("the schedule is nanoGPT's", () => {
  // get_lr of nanoGPT's train.py, with its names
  const nano = (it: number, lr: number, min: number, warm: number, end: number) => {
    if (it < warm) return lr * (it + 1) / (warm + 1);
    if (it > end) return min;
    const coeff = 0.5 * (1.0 + Math.cos(Math.PI * ((it - warm) / (end - warm))));
    return min + coeff * (lr - min);
  };
  for (const [lr, min, warm, end] of [[1e-3, 1e-4, 100, 2000], [0.5, 0, 0, 7], [1, 1, 3, 9]]) {
    const rate = cosineSchedule({ peak: lr, floor: min, warmup: warm, steps: end });
    for (let it = 0; it <= end + 5; it++) {
      assertAlmostEquals(rate(it), nano(it, lr, min, warm, end), 1e-12);
    }
  }
  const good = { peak: 1, floor: 0.1, warmup: 2, steps: 10 };
  for (const bad of [{ peak: 0 }, { floor: 2 }, { floor: -1 }, { warmup: 10 }, { warmup: -1 }]) {
    const [[name, value]] = Object.entries(bad);
    assertThrows(
      () => cosineSchedule({ ...good, ...bad }),
      RangeError,
      `${name} must be`,
      `${value}`,
    );
  }
});

// --- model: gradients and evaluation

testOnBackends("accumulated gradients are the big batch's, and the batches are freed", async () => {
  const model = tiny({ bias: true });
  const starts = [3, 40, 77];
  const big = lossAndGradients(model, [nextTokenBatch(speech, starts, 8)]);
  const before = tf.memory().numTensors;
  const small = lossAndGradients(model, starts.map((start) => nextTokenBatch(speech, [start], 8)));
  assertEquals(tf.memory().numTensors - before, 1 + model.parameters.entries().length);
  await assertTensor(small.loss, (await big.loss.data())[0]);
  assertEquals(Object.keys(big.gradients), model.parameters.entries().map(([name]) => name));
  for (const [name, gradient] of Object.entries(big.gradients)) {
    await assertTensor(small.gradients[name], await gradient.data() as Float32Array, 1e-5);
  }
  assertThrows(() => lossAndGradients(model, []), RangeError, "no batch");
});

/** Loss of each asked token of a text, one window at a time, from the logits. */
async function lossesByHand(model: GPT, tokens: Uint16Array, width: number): Promise<number[]> {
  const losses: number[] = [];
  for (let start = 0; start < tokens.length - 1; start += width) {
    const seen = [...tokens.subarray(start, Math.min(start + width, tokens.length - 1))];
    const rows = await model.forward(tf.tensor2d([seen], [1, seen.length], "int32")).array();
    rows[0].forEach((row, i) =>
      losses.push(entropyByHand(row, [tokens[start + i + 1]], row.length))
    );
  }
  return losses;
}

const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;

testOnBackends("evaluate asks every token but the first once", async () => {
  const model = tiny();
  for (const length of [2, 8, 9, 21]) {
    const text = speech.subarray(5, 5 + length) as Uint16Array;
    const expected = mean(await lossesByHand(model, text, 8));
    assertAlmostEquals(await evaluate(model, text, { batchSize: 2 }), expected, 1e-5);
  }
  await assertRejects(() => evaluate(model, speech.subarray(0, 1)), RangeError, "got 1");
});

testOnBackends("evaluate on some windows spreads them over the text", async () => {
  const model = tiny();
  const text = speech.subarray(0, 8 * 10 + 3) as Uint16Array;
  const all = await lossesByHand(model, text, 8);
  const windows = [0, 5].flatMap((window) => all.slice(8 * window, 8 * window + 8));
  const before = tf.memory().numTensors;
  assertAlmostEquals(await evaluate(model, text, { windows: 2 }), mean(windows), 1e-5);
  assertAlmostEquals(await evaluate(model, text, { windows: 10 }), mean(all.slice(0, 80)), 1e-5);
  assertEquals(tf.memory().numTensors, before);
});

Deno.test("the bigram baseline is the formula, at its best strength", () => {
  const train = Int32Array.of(0, 1, 0, 1, 0, 2), validation = Int32Array.of(2, 0, 1);
  const usual = [4 / 9, 3 / 9, 2 / 9]; // counts 3, 2, 1, each with one more, of 6 + 3
  const at = (k: number) =>
    -(Math.log((0 + k * usual[0]) / (1 + k)) + Math.log((2 + k * usual[1]) / (3 + k))) / 2;
  const strengths = [1, 3, 10, 30, 100, 300, 1000, 3000];
  assertAlmostEquals(bigramLoss(train, validation, 3), Math.min(...strengths.map(at)), 1e-12);
});

Deno.test("the bigram baseline hears order, and is finite on what it never saw", () => {
  const random = new Random(4);
  const noise = Int32Array.from({ length: 4000 }, () => random.integer(8));
  assertAlmostEquals(
    bigramLoss(noise.subarray(0, 3000), noise.subarray(3000), 8),
    Math.log(8),
    0.02,
  );
  const clock = Int32Array.from({ length: 4000 }, (_, i) => i % 8);
  assert(bigramLoss(clock.subarray(0, 3000), clock.subarray(3000), 8) < 0.02);
  assert(Number.isFinite(bigramLoss(Int32Array.of(0, 1), Int32Array.of(2, 3, 4), 5)));
});

Deno.test("bits per byte", () => {
  assertEquals(bitsPerByte(Math.LN2, 100, 50), 2);
  assertAlmostEquals(bitsPerByte(Math.log(256), 10, 10), 8);
  assertThrows(() => bitsPerByte(1, 1, 0), RangeError, "got 0");
});

Deno.test("smooth is the mean of the last values", () => {
  assertEquals(smooth([4, 2, 6, 0], 2), [4, 3, 4, 3]);
  assertEquals(smooth([], 3), []);
  assertThrows(() => smooth([1], 0), RangeError, "got 0");
});

// --- the trainer

testOnBackends("a trainer learns, reports every step, and leaks nothing", async (backend) => {
  const reported: number[] = [];
  const one = trainer({ steps: 30, validation: speech.subarray(0, 100), evaluateEvery: 12 });
  await one.run({ until: 1 });
  const before = tf.memory().numTensors;
  const { stopped } = await one.run({ onStep: ({ step }) => void reported.push(step) });
  assertEquals(tf.memory().numTensors, before);
  assertEquals([stopped, one.step, reported.at(-1)], [false, 30, 30]);
  if (backend !== "webgpu") assertEquals(reported.length, 29);
  const { loss, learningRate, gradientNorm, validation } = one.history;
  assertEquals([loss.length, learningRate.length, gradientNorm.length], [30, 30, 30]);
  assertEquals(validation.map(({ step }) => step), [0, 12, 24, 30]);
  assertAlmostEquals(loss[0], Math.log(letters.vocabSize), 0.15);
  assert(mean(loss.slice(-5)) < loss[0] - 0.4, `${loss[0]} fell only to ${mean(loss.slice(-5))}`);
  assertEquals(
    learningRate[3],
    cosineSchedule({ peak: 0.01, floor: 0.001, warmup: 1, steps: 30 })(3),
  );
  assert(one.tokensPerSecond > 0 && one.seconds > 0);
});

testOnBackends("a trainer's step is clip and AdamW on the sampler's rows", async () => {
  const one = trainer({ steps: 1, clip: 0.1, seed: 9 });
  const twin = tiny();
  const random = new Random(9);
  random.fork();
  const batch = new BatchSampler(speech, { batchSize: 2, blockSize: 8, random }).next();
  const { loss, gradients } = lossAndGradients(twin, [batch]);
  const clipped = clipByGlobalNorm(gradients, 0.1);
  new AdamW(twin.parameters).step(clipped.gradients, 0.01);
  await one.run();
  assertAlmostEquals(one.history.loss[0], (await loss.data())[0], 1e-6);
  assertAlmostEquals(one.history.gradientNorm[0], (await clipped.norm.data())[0], 1e-5);
  const name = "transformer.h.0.mlp.c_fc.weight";
  await assertTensor(
    one.model.parameters.get(name),
    await twin.parameters.get(name).data() as Float32Array,
  );
});

testOnBackends("cut off, saved, loaded and resumed: the same curve to the last digit", async () => {
  await inFolder(async (folder) => {
    const dropping = { validation: speech.subarray(0, 60), evaluateEvery: 3, accumulate: 2 };
    const make = () => trainer({ ...dropping, model: tiny({ dropout: 0.2 }) });
    const whole = make(), cut = make();
    await whole.run();
    await cut.run({ until: 4 });
    await cut.save(join(folder, "run"));
    const checkpoint = await loadCheckpoint(join(folder, "run"), { withOptimizer: true });
    assertEquals(checkpoint.step, 4);
    const texts = { train: speech, validation: speech.subarray(0, 60) };
    const resumed = Trainer.resume(checkpoint, texts);
    assert(resumed.seconds > 0);
    await resumed.run();
    assertEquals(resumed.history, whole.history);
    for (const [name, weight] of whole.model.parameters.entries()) {
      assertEquals(await resumed.model.parameters.get(name).data(), await weight.data(), name);
    }
  });
});

testOnBackends("stop ends a run after the step under way, and it can go on", async () => {
  const one = trainer();
  assertEquals(await one.run({ stop: () => one.step >= 1 }), { stopped: true });
  const { step } = one;
  assert(step >= 1);
  await one.run();
  assertEquals(one.step, 8);
});

Deno.test("a loss that is no number ends the run, with a reason", async () => {
  const model = tiny();
  model.parameters.get("transformer.ln_f.weight").assign(tf.fill([8], NaN));
  await assertRejects(() => trainer({ model }).run(), Error, "the loss is NaN at step 1");
});

Deno.test("settings have defaults, and what makes no sense is named", () => {
  const settings = trainSettings({ steps: 200, blockSize: 16, learningRate: 0.01 });
  assertEquals([settings.minLearningRate, settings.warmup, settings.evaluateEvery], [
    0.001,
    10,
    20,
  ]);
  for (const name of ["steps", "batchSize", "accumulate", "evaluateEvery"]) {
    assertThrows(
      () => trainSettings({ steps: 10, blockSize: 8, [name]: 0 }),
      RangeError,
      `${name} must be a whole number`,
    );
  }
});

// --- checkpoints

/** A saved checkpoint of a very small model, and its folder. */
async function withCheckpoint(body: (folder: string, model: GPT) => Promise<void>): Promise<void> {
  await inFolder(async (parent) => {
    const folder = join(parent, "model");
    const model = tiny({ bias: true });
    await saveCheckpoint(folder, { model, tokenizer: letters });
    await body(folder, model);
  });
}

Deno.test("a checkpoint brings back weights, shape and tokenizer, under GPT-2's names", async () => {
  await withCheckpoint(async (folder, model) => {
    const loaded = await loadCheckpoint(folder);
    assertEquals(loaded.model.config, model.config);
    assertEquals(loaded.step, 0);
    assertEquals(loaded.optimizer, undefined);
    assertEquals(loaded.tokenizer.decode(loaded.tokenizer.encode("the cat")), "the cat");
    const { tensors } = decodeSafetensors(await Deno.readFile(join(folder, "model.safetensors")));
    assertEquals(tensors["transformer.h.0.attn.c_attn.weight"].shape, [8, 24]);
    for (const [name, weight] of model.parameters.entries()) {
      assertEquals(await loaded.model.parameters.get(name).data(), await weight.data(), name);
    }
  });
});

Deno.test("saving again replaces a checkpoint and keeps other files", async () => {
  await withCheckpoint(async (folder, model) => {
    await Deno.writeTextFile(join(folder, "notes.txt"), "mine");
    const optimizer = new AdamW(model.parameters);
    await saveCheckpoint(folder, { model, tokenizer: letters, optimizer });
    await saveCheckpoint(folder, { model, tokenizer: letters });
    assertEquals(await Deno.readTextFile(join(folder, "notes.txt")), "mine");
    const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
    const own = ["config.json", "model.safetensors", "state.json", "tokenizer.json"];
    assertEquals(names, [...own, "notes.txt"].sort());
    const around = await Array.fromAsync(Deno.readDir(join(folder, "..")));
    assertEquals(around.map(({ name }) => name).sort(), ["model", "model.before"]);
  });
});

Deno.test("a folder that is no checkpoint is never replaced", async () => {
  await withCheckpoint(async (folder, model) => {
    const home = join(folder, "..", "home");
    await Deno.mkdir(home);
    await Deno.writeTextFile(join(home, "thesis.txt"), "years");
    await assertRejects(
      () => saveCheckpoint(home, { model, tokenizer: letters }),
      Error,
      "thesis.txt",
    );
    assertEquals(await Deno.readTextFile(join(home, "thesis.txt")), "years");
  });
});

Deno.test("a program that died while saving leaves a checkpoint that loads", async () => {
  await withCheckpoint(async (folder, model) => {
    await Deno.mkdir(`${folder}.saving`);
    await Deno.writeTextFile(join(`${folder}.saving`, "model.safetensors"), "half a fi");
    assertEquals((await loadCheckpoint(folder)).model.config, model.config);
    await Deno.rename(folder, `${folder}.before`); // died between the two renames
    assertEquals((await loadCheckpoint(folder)).model.config, model.config);
    await saveCheckpoint(folder, { model, tokenizer: letters });
    assertEquals((await loadCheckpoint(folder)).model.config, model.config);
  });
});

Deno.test("a checkpoint that does not fit says which tensor", async () => {
  await withCheckpoint(async (folder) => {
    const file = join(folder, "model.safetensors");
    const { tensors } = decodeSafetensors(await Deno.readFile(file));
    const name = "transformer.ln_f.weight";
    const save = (changed: typeof tensors) => Deno.writeFile(file, encodeSafetensors(changed));
    await save({ ...tensors, [name]: { ...tensors[name], shape: [2, 4] } });
    await assertRejects(() => loadCheckpoint(folder), SafetensorsError, name);
    const { [name]: _gone, ...rest } = tensors;
    await save(rest);
    await assertRejects(() => loadCheckpoint(folder), SafetensorsError, `"${name}": is missing`);
  });
});

Deno.test("what cannot be loaded, resumed or saved says why", async () => {
  await withCheckpoint(async (folder, model) => {
    await assertRejects(() => loadCheckpoint(`${folder}-none`), Error, `${folder}-none`);
    const bare = await loadCheckpoint(folder, { withOptimizer: true });
    assertThrows(() => Trainer.resume(bare, { train: speech }), Error, "holds no run");
    const untold = trainer({ model, tokenizer: undefined });
    await assertRejects(() => untold.save(folder), Error, "tokenizer");
    const run = trainer({ model });
    await run.save(folder);
    const other = { train: speech.subarray(0, 50) };
    const loaded = await loadCheckpoint(folder, { withOptimizer: true });
    assertThrows(() => Trainer.resume(loaded, other), Error, "this one has 50");
  });
});
