/** Every setting with every kind of wrong value, and random settings: refused in words, or what comes out are numbers. */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { Parameters } from "lib/engine/parameters.ts";
import { Random } from "lib/engine/random.ts";
import { nearest, quoted } from "lib/engine/settings.ts";
import {
  generate,
  logProbabilities,
  nextTokenCandidates,
  type PromptTokenizer,
  sampleToken,
} from "lib/sample.ts";
import {
  AdamW,
  BatchSampler,
  bigramLoss,
  DivergedError,
  evaluate,
  Trainer,
  type TrainerOptions,
  trainSettings,
  trainStep,
} from "lib/train.ts";
import { GPT, gptConfig } from "lib/transformer.ts";
import { testOnBackends } from "./support.ts";

await tf.setBackend("cpu");

const text = Uint16Array.from({ length: 300 }, (_, i) => i * i % 7);
const tiny = () =>
  new GPT({ vocabSize: 7, blockSize: 8, nLayer: 1, nHead: 2, nEmbd: 8 }, new Random(1));
const tokenizer: PromptTokenizer = {
  vocabSize: 7,
  encode: (text) => [...text].map(Number),
  tokenBytes: (id) => new TextEncoder().encode(`${id}`),
};
const row = Float32Array.of(1, 3, 2, 0);

type Try = (settings: Record<string, unknown>) => unknown;
const given = <T>(settings: object) => settings as T;

/** Who takes settings, and for each the values beyond the usual ones that are right (✓) or wrong. */
const takers: Record<string, { attempt: Try; settings: Record<string, Allowed> }> = {
  trainSettings: {
    attempt: (more) => trainSettings({ steps: 10, blockSize: 8, ...more }),
    settings: {
      steps: {},
      batchSize: {},
      blockSize: {},
      accumulate: {},
      learningRate: { fraction: true },
      minLearningRate: { zero: true },
      warmup: { zero: true },
      betas: { list: true },
      eps: { fraction: true },
      weightDecay: { zero: true, fraction: true },
      clip: { zero: true, fraction: true },
      evaluateEvery: {},
      evaluateWindows: {},
      seed: { zero: true, negative: true },
    },
  },
  AdamW: {
    attempt: (more) => new AdamW(new Parameters(), given(more)),
    settings: {
      betas: { list: true },
      eps: { fraction: true },
      weightDecay: { zero: true, fraction: true },
    },
  },
  gptConfig: {
    attempt: (more) => gptConfig({ vocabSize: 7, ...more }),
    settings: {
      vocabSize: {},
      blockSize: {},
      nLayer: {},
      nHead: {},
      nKVHead: {},
      nEmbd: {},
      nInner: {},
      dropout: { zero: true, fraction: true },
      bias: {},
      norm: {},
      activation: {},
      position: {},
    },
  },
  evaluate: {
    attempt: (more) => evaluate(tiny(), text.subarray(0, 30), more),
    settings: { batchSize: {}, windows: {} },
  },
  sampleToken: {
    attempt: (more) => sampleToken(row, { random: new Random(1), ...more }),
    settings: {
      temperature: { zero: true, fraction: true },
      topK: {},
      topP: { fraction: true },
      minP: { zero: true, fraction: true },
      repetitionPenalty: { fraction: true },
      previous: { list: true, text: true },
      random: {},
    },
  },
  nextTokenCandidates: {
    attempt: (more) => nextTokenCandidates(row, more),
    settings: { temperature: { zero: true, fraction: true }, topK: {} },
  },
  generate: {
    attempt: (more) => generate(tiny(), tokenizer, "1", more),
    settings: {
      temperature: { zero: true, fraction: true },
      topP: { fraction: true },
      maxTokens: {},
      stop: {},
      seed: { zero: true, negative: true },
      useCache: {},
    },
  },
  logProbabilities: {
    attempt: (more) => logProbabilities(tiny(), tokenizer, "123", given(more)),
    settings: { stride: {} },
  },
  run: {
    attempt: (more) =>
      new Trainer({ model: tiny(), train: text, steps: 1 }).run({ stop: () => true, ...more }),
    settings: { until: { zero: true }, stop: {}, save: {}, onStep: {}, onEvaluation: {} },
  },
  save: {
    attempt: (more) =>
      new Trainer({ model: tiny(), train: text, steps: 1 }).run(
        given({ save: { folder: "/nowhere/x", ...more } }),
      ),
    settings: { everySeconds: { zero: true, fraction: true, infinity: true } },
  },
  BatchSampler: {
    attempt: (more) =>
      new BatchSampler(text, { batchSize: 2, blockSize: 8, random: new Random(1), ...more }),
    settings: { batchSize: {}, blockSize: {} },
  },
};

interface Allowed {
  zero?: true;
  fraction?: true;
  negative?: true;
  infinity?: true;
  list?: true;
  text?: true;
}

const wrong: [unknown, (allowed: Allowed) => true | undefined][] = [
  [NaN, () => undefined],
  [Infinity, ({ infinity }) => infinity],
  [-Infinity, () => undefined],
  [-1, ({ negative }) => negative],
  [0, ({ zero }) => zero],
  [0.5, ({ fraction }) => fraction],
  ["3", ({ text }) => text],
  [null, () => undefined],
  [{}, () => undefined],
  [[0.9], ({ list, text }) => list && text],
  [[0.9, 0.9, 0.9], ({ list, text }) => list && text],
];

for (const [who, { attempt, settings }] of Object.entries(takers)) {
  Deno.test(`${who}: each setting with each kind of wrong value`, async () => {
    const attempted = async (more: Record<string, unknown>) => await attempt(more);
    for (const [name, allowed] of Object.entries(settings)) {
      for (const [value, isAllowed] of wrong) {
        if (isAllowed(allowed)) continue;
        if (name === "save" && String(value) === "[object Object]") continue; // has a test of its own
        const error = await assertRejects(
          () => attempted({ [name]: value }),
          RangeError,
          undefined,
          `${name}: ${quoted(value)}`,
        );
        if (name === "save" && Array.isArray(value)) continue;
        assertMatch(error.message, new RegExp(`^${name} must be .+, got `));
        assert(error.message.endsWith(`got ${quoted(value)}`), error.message);
      }
    }
  });
}

Deno.test("a setting that is undefined was not given", async () => {
  for (const { attempt, settings } of Object.values(takers)) {
    for (const name of Object.keys(settings)) {
      if (["steps", "vocabSize", "random", "stop"].includes(name)) continue; // must be given, or end the test
      if (attempt === takers.BatchSampler.attempt || attempt === takers.save.attempt) continue;
      if (attempt === takers.trainSettings.attempt && name === "blockSize") continue;
      await attempt({ [name]: undefined });
    }
  }
  const options = { model: tiny(), train: text, steps: 40, blockSize: undefined, betas: undefined };
  const { settings } = new Trainer({ ...options, warmup: undefined, validation: undefined });
  assertEquals([settings.blockSize, settings.betas, settings.warmup], [8, [0.9, 0.99], 2]);
});

Deno.test("a name that does not exist is refused with the nearest that does", async () => {
  const refused: [string, string, string][] = [
    ["trainSettings", "learningrate", "did you mean learningRate?"],
    ["trainSettings", "batch_size", "did you mean batchSize?"],
    ["trainSettings", "weigthDecay", "did you mean weightDecay?"],
    ["trainSettings", "lr", "there is steps, batchSize, blockSize"],
    ["AdamW", "beta", "did you mean betas?"],
    ["gptConfig", "n_embd", "did you mean nEmbd?"],
    ["evaluate", "window", "did you mean windows?"],
    ["sampleToken", "top_k", "did you mean topK?"],
    ["sampleToken", "temprature", "did you mean temperature?"],
    ["generate", "max_tokens", "did you mean maxTokens?"],
    ["generate", "random", "there is temperature, topK"],
    ["logProbabilities", "strides", "did you mean stride?"],
    ["run", "onstep", "did you mean onStep?"],
    ["save", "everySecond", "did you mean everySeconds?"],
  ];
  for (const [who, name, words] of refused) {
    const message = `there is no setting "${name}": ${words}`;
    const attempt = async () => await takers[who].attempt({ [name]: 1 });
    await assertRejects(attempt, RangeError, message, `${who} ${name}`);
  }
  const trainer = () => new Trainer(given({ model: tiny(), train: text, steps: 1, batch: 3 }));
  assertThrows(trainer, RangeError, `there is no setting "batch"`);
  assertEquals(nearest("constructor", ["steps"]), undefined);
});

Deno.test("what depends on another setting says so", () => {
  const cases: [object, string][] = [
    [{ learningRate: 0.01, minLearningRate: 0.1 }, "minLearningRate must be in [0, 0.01], got 0.1"],
    [{ learningRate: 0 }, "learningRate must be a finite number > 0, got 0"],
    [{ warmup: 10 }, "warmup must be a whole number from 0 to 9, got 10"],
    [{ warmup: 1.5 }, "warmup must be a whole number from 0 to 9, got 1.5"],
    [{ betas: [0.9] }, "betas must be two numbers in [0, 1), got [0.9]"],
    [{ clip: -1 }, "clip must be a finite number ≥ 0 (0 is off), got -1"],
    [{ batchSize: 1e9 }, "batchSize must be a whole number from 1 to 65536"],
  ];
  for (const [more, message] of cases) {
    const attempt = () => trainSettings({ steps: 10, blockSize: 8, ...more });
    assertThrows(attempt, RangeError, message);
  }
  const longer = () => new Trainer({ model: tiny(), train: text, steps: 1, blockSize: 9 });
  assertThrows(longer, RangeError, "blockSize must be a whole number from 1 to 8, got 9");
});

Deno.test("a huge size is refused at once, and no list of its divisors is made", () => {
  const start = performance.now();
  assertThrows(() => gptConfig({ vocabSize: 7, nEmbd: 1e9, nHead: 7 }), RangeError, "nEmbd");
  const large = { vocabSize: 7, nEmbd: 2 ** 24, nHead: 7 };
  const { message } = assertThrows(() => gptConfig(large), RangeError, "nHead must be a divisor");
  assert(message.length < 400, message);
  assert(performance.now() - start < 500);
  const table = () => new GPT({ vocabSize: 2 ** 24, nEmbd: 2 ** 10 });
  assertThrows(table, RangeError, "wte.weight must have at most 1073741824 numbers");
  const heads = { vocabSize: 7, nEmbd: 720720, nHead: 17 };
  assert(assertThrows(() => gptConfig(heads), RangeError).message.endsWith(" …), got 17"));
});

Deno.test("texts that are too short, or of another vocabulary, are refused before the first step", async () => {
  const make = (more: Partial<TrainerOptions>) => () =>
    new Trainer({ model: tiny(), train: text, steps: 2, ...more });
  const one = text.subarray(0, 1), foreign = Uint16Array.from(text, (id, i) => i === 99 ? 7 : id);
  const least = "must hold at least 2 tokens, got 1",
    ids = "must hold ids of the model, in [0, 7), got 7";
  assertThrows(make({ validation: one }), RangeError, `validation ${least}`);
  assertThrows(make({ train: foreign }), RangeError, `train ${ids}`);
  assertThrows(make({ validation: foreign }), RangeError, `validation ${ids}`);
  assertThrows(make(given({ train: [1, 2, 3] })), RangeError, "train must be packed ids");
  assertThrows(make(given({ model: undefined })), RangeError, "model must be a GPT, got undefined");
  await assertRejects(() => evaluate(tiny(), one), RangeError, `tokens ${least}`);
  await assertRejects(() => evaluate(tiny(), foreign), RangeError, `tokens ${ids}`);
  assertThrows(() => bigramLoss(text, one, 7), RangeError, `validation ${least}`);
  assertThrows(() => bigramLoss(foreign, text, 7), RangeError, `train ${ids}`);
  assert(Number.isFinite(bigramLoss(text, text.subarray(0, 2), 7)));
});

testOnBackends(
  "a validation text of two tokens is measured, a vocabulary of one refused",
  async () => {
    const model = tiny();
    assert(Number.isFinite(await evaluate(model, text.subarray(0, 2))));
    assert(Number.isFinite(await evaluate(model, text.subarray(0, 2), { windows: 3 })));
    assertThrows(() => new GPT({ vocabSize: 1 }), RangeError, "vocabSize must be");
    model.dispose();
  },
);

testOnBackends("clip 0 is off: the same weights as with a limit that nothing reaches", async () => {
  const weights = await Promise.all([0, 1e6].map(async (clip) => {
    const model = tiny();
    const one = new Trainer({
      model,
      train: text,
      steps: 3,
      learningRate: 0.01,
      clip,
      batchSize: 2,
    });
    await one.run();
    return Array.from(await model.parameters.get("transformer.wte.weight").data());
  }));
  const before = Array.from(await tiny().parameters.get("transformer.wte.weight").data());
  weights[0].forEach((value, i) => assert(Math.abs(value - weights[1][i]) <= 2e-6));
  assert(weights[0].some((value, i) => Math.abs(value - before[i]) > 1e-3));
});

Deno.test("one step refuses a learning rate or a limit that is no number", () => {
  const model = tiny(), optimizer = new AdamW(model.parameters);
  for (const bad of [NaN, Infinity, -1]) {
    const step = (more: object) => () => {
      trainStep(model, optimizer, [], { learningRate: 0.1, clip: 1, ...more });
    };
    assertThrows(step({ learningRate: bad }), RangeError, `learningRate must be`);
    assertThrows(step({ clip: bad }), RangeError, `clip must be`);
    assertThrows(() => optimizer.step({}, bad), RangeError, "learningRate must be");
  }
  assertEquals(optimizer.steps, 0);
});

Deno.test("a run that begins with weights that are no numbers does not blame the learning rate", async () => {
  const model = tiny();
  model.parameters.get("transformer.ln_f.weight").assign(tf.fill([8], NaN));
  const one = new Trainer({ model, train: text, steps: 2 });
  const { message } = await assertRejects(() => one.run(), DivergedError);
  assertMatch(message, /Nothing was learnt yet: look at the weights/);
  assert(!message.includes("lower learningRate"), message);
});

// --- random settings

const anyNumber = fc.oneof(
  fc.double(),
  fc.integer({ min: -3, max: 40 }),
  fc.constantFrom(0, NaN, Infinity, -Infinity, 1e-300, 1e300, -0, 0.5, 1, 2),
);
const anyValue = fc.oneof(
  { weight: 8, arbitrary: anyNumber },
  { weight: 1, arbitrary: fc.tuple(anyNumber, anyNumber) },
  { weight: 1, arbitrary: fc.anything({ withBigInt: true, withNullPrototype: true }) },
);
const someOf = (names: string[]) =>
  fc.array(fc.tuple(fc.constantFrom(...names, "learningrate"), anyValue), { maxLength: 3 })
    .map((entries) => Object.fromEntries(entries));

const isRefusal = (error: unknown) => error instanceof RangeError || error instanceof DivergedError;

Deno.test("random training settings are refused in words, or the losses are numbers", async () => {
  const names = Object.keys(takers.trainSettings.settings);
  let ran = 0;
  await fc.assert(
    fc.asyncProperty(someOf(names), async (more) => {
      const model = tiny();
      try {
        const options = { model, train: text, validation: text.subarray(0, 40), steps: 3 };
        const one = new Trainer({ batchSize: 1, ...options, ...more });
        if (one.settings.batchSize * one.settings.accumulate > 100) return;
        await one.run({ until: 2 });
        const { loss, validation } = one.history;
        assert([...loss, ...validation.map((look) => look.loss)].every(Number.isFinite));
        ran++;
      } catch (error) {
        assert(isRefusal(error), `${error}`);
      } finally {
        model.dispose();
      }
    }),
    { numRuns: 250 },
  );
  assert(ran > 8, `${ran} runs`);
});

Deno.test("random evaluation and sampling settings are refused in words, or what comes out is a number", async () => {
  const model = tiny();
  await fc.assert(
    fc.asyncProperty(
      someOf(["batchSize", "windows"]),
      someOf(Object.keys(takers.sampleToken.settings)),
      someOf(Object.keys(takers.gptConfig.settings)),
      async (evaluation, sampling, config) => {
        const found = await evaluate(model, text.subarray(0, 30), evaluation).catch((error) => {
          assert(error instanceof RangeError, `${error}`);
        });
        assert(found === undefined || Number.isFinite(found), `${found}`);
        try {
          const id = sampleToken(row, { random: new Random(1), ...sampling });
          assert(id in row, `${id}`);
          for (const { probability } of nextTokenCandidates(row, sampling)) {
            assert(probability > 0 && probability <= 1, `${probability}`);
          }
        } catch (error) {
          const isMissing = error instanceof TypeError &&
            /random must be given/.test(error.message);
          assert(isMissing || error instanceof RangeError, `${error}`);
        }
        try {
          gptConfig({ vocabSize: 7, ...config });
        } catch (error) {
          assert(error instanceof RangeError, `${error}`);
        }
      },
    ),
    { numRuns: 2000 },
  );
  model.dispose();
});
