import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import type { LayerCache, ModelCache } from "lib/attention.ts";
import { Random } from "lib/engine/random.ts";
import {
  gelu,
  GPT,
  type GPTConfig,
  gptConfig,
  layerNorm,
  layerNormGradients,
  loadWeights,
  parameterCount,
  parameterShapes,
  PRESETS,
  residualStd,
  rmsNorm,
  silu,
} from "lib/transformer.ts";
import functions from "./fixtures/transformer-functions.json" with { type: "json" };
import tinyGpt2 from "./fixtures/transformer-gpt2.json" with { type: "json" };
import tinyLlama from "./fixtures/transformer-llama.json" with { type: "json" };
import published from "./fixtures/transformer-shapes.json" with { type: "json" };
import { assertTensor, finiteDifferences, testOnBackends } from "./support.ts";

const x = () => tf.tensor2d(functions.x, [3, 5]);
const gain = () => tf.tensor1d(functions.gain);
const bias = () => tf.tensor1d(functions.bias);
const dy = () => tf.tensor2d(functions.dy, [3, 5]);

/** Value and gradients of `f` against PyTorch's. */
async function assertLikeTorch(
  f: (...inputs: tf.Tensor[]) => tf.Tensor,
  inputs: tf.Tensor[],
  expected: { y: number[]; gradients: number[][] },
) {
  await assertTensor(f(...inputs), expected.y);
  const gradients = tf.grads(f)(inputs, dy());
  for (const [i, gradient] of gradients.entries()) {
    assertEquals(gradient.shape, inputs[i].shape);
    await assertTensor(gradient, expected.gradients[i], 2e-5);
  }
}

testOnBackends("layerNorm and its gradients equal PyTorch's layer_norm", async () => {
  await assertLikeTorch(
    (x, g, b) => layerNorm(x, g, b),
    [x(), gain(), bias()],
    functions.layerNorm,
  );
});

testOnBackends("layerNorm without bias leaves the bias out", async () => {
  await assertTensor(layerNorm(tf.tensor3d([[[1, 3], [5, 5]]]), tf.tensor1d([2, 4])), [
    -2,
    4,
    0,
    0,
  ]);
});

testOnBackends("layerNormGradients, by hand, equals PyTorch's three gradients", async () => {
  const { x: dx, gain: dGain, bias: dBias } = layerNormGradients(x(), gain(), dy());
  const [wantedX, wantedGain, wantedBias] = functions.layerNorm.gradients;
  await assertTensor(dx, wantedX);
  await assertTensor(dGain, wantedGain);
  await assertTensor(dBias, wantedBias);
  assertEquals([dx.shape, dGain.shape, dBias.shape], [[3, 5], [5], [5]]);
});

testOnBackends("layerNormGradients sums gain and bias over all leading axes", async () => {
  const deep = layerNormGradients(x().reshape([1, 3, 5]), gain(), dy().reshape([1, 3, 5]));
  assertEquals([deep.x.shape, deep.gain.shape, deep.bias.shape], [[1, 3, 5], [5], [5]]);
  await assertTensor(deep.gain, functions.layerNorm.gradients[1]);
});

testOnBackends("rmsNorm and its gradients equal PyTorch's rms_norm", async () => {
  await assertLikeTorch((x, g) => rmsNorm(x, g), [x(), gain()], functions.rmsNorm);
});

testOnBackends("gelu and silu and their gradients equal PyTorch's", async () => {
  await assertLikeTorch(gelu, [x()], functions.gelu);
  await assertLikeTorch(silu, [x()], functions.silu);
});

testOnBackends("gelu of large numbers is 0 or the number, never NaN", async () => {
  await assertTensor(gelu(tf.tensor1d(functions.geluWide.x)), functions.geluWide.y);
});

testOnBackends("the gradients of norms and gelu agree with finite differences", async () => {
  const small = tf.tensor2d([0.3, -1.2, 0.8, 2.1, -0.4, 0.1], [2, 3]);
  const g = tf.tensor1d([1.5, -0.5, 2]);
  const weight = tf.tensor2d([1, -2, 0.5, 3, 1, -1], [2, 3]);
  for (
    const f of [
      (x: tf.Tensor) => layerNorm(x, g),
      (x: tf.Tensor) => rmsNorm(x, g),
      gelu,
      silu,
    ]
  ) {
    const scalar = (x: tf.Tensor) => f(x).mul(weight).sum();
    await assertTensor(tf.grad(scalar)(small), await finiteDifferences(scalar, small), 5e-3);
  }
});

Deno.test("a gain of the wrong width is refused by name", () => {
  assertThrows(
    () => layerNorm(tf.ones([2, 3]), tf.ones([2])),
    RangeError,
    "gain must have shape [3]",
  );
  assertThrows(() => rmsNorm(tf.ones([2, 3]), tf.ones([1, 3])), RangeError, "got [1,3]");
});

/** A GPT with the weights of a tiny GPT2LMHeadModel. */
function tinyModel(): GPT {
  const size = { vocabSize: 11, blockSize: 6, nLayer: 2, nHead: 2, nEmbd: 8, bias: true };
  const model = new GPT(size);
  loadWeights(model, tinyGpt2.weights);
  return model;
}

const tinyIds = () => tf.tensor2d(tinyGpt2.ids, undefined, "int32");

testOnBackends("a GPT-2 checkpoint from Hugging Face gives Hugging Face's logits", async () => {
  const model = tinyModel();
  await assertTensor(model.forward(tinyIds()), tinyGpt2.logits, 1e-5);
  model.dispose();
});

testOnBackends(
  "with RMS norm, SwiGLU, rotary and shared keys it is Hugging Face's Llama",
  async () => {
    const size = { vocabSize: 11, blockSize: 6, nLayer: 2, nHead: 2, nKVHead: 1, nEmbd: 8 };
    const model = new GPT({ ...size, norm: "rms", activation: "swiglu", position: "rotary" });
    loadWeights(model, tinyLlama.weights);
    await assertTensor(model.forward(tinyIds()), tinyLlama.logits);
    model.dispose();
  },
);

testOnBackends("the gradients of every GPT-2 parameter have PyTorch's norms", async () => {
  const model = tinyModel();
  const targets = tf.oneHot(tinyIds().slice([0, 1]), 11);
  const loss = () => {
    const logits = model.forward(tinyIds()).slice([0, 0, 0], [-1, 5, -1]);
    return logits.logSoftmax().mul(targets).sum(-1).mean().neg() as tf.Scalar;
  };
  const { value, grads } = tf.variableGrads(loss, model.parameters.variables());
  await assertTensor(value, tinyGpt2.loss);
  for (const [name, variable] of model.parameters.entries()) {
    const wanted = tinyGpt2.gradientNorms[name as keyof typeof tinyGpt2.gradientNorms];
    const [norm] = await grads[variable.name].norm().data();
    assertAlmostEquals(norm, wanted, 1e-4 * Math.max(1, wanted), name);
  }
  model.dispose();
});

testOnBackends("lastOnly gives the last position's logits", async () => {
  const model = tinyModel();
  const last = model.forward(tinyIds(), { lastOnly: true });
  assertEquals(last.shape, [2, 1, 11]);
  await assertTensor(last, tinyGpt2.logits.map((rows) => rows.slice(-1)));
  model.dispose();
});

/** The plainest cache there is: everything, joined. */
class PlainCache implements ModelCache {
  #layers: { k: tf.Tensor4D; v: tf.Tensor4D }[] = [];
  get length() {
    return this.#layers[0]?.k.shape[2] ?? 0;
  }
  layer(index: number): LayerCache {
    const layers = this.#layers;
    const length = layers[index]?.k.shape[2] ?? 0;
    const append = (k: tf.Tensor4D, v: tf.Tensor4D) => {
      const past = layers[index];
      const all = past
        ? { k: tf.concat([past.k, k], 2), v: tf.concat([past.v, v], 2) }
        : { k: k.clone(), v: v.clone() };
      return layers[index] = { k: tf.keep(all.k), v: tf.keep(all.v) };
    };
    return { length, append };
  }
}

const variants: Partial<GPTConfig>[] = [
  { bias: true },
  { bias: false },
  { norm: "rms", bias: true },
  { activation: "swiglu", bias: true },
  { norm: "rms", activation: "swiglu", position: "rotary", nKVHead: 1 },
];
const small = { vocabSize: 7, blockSize: 8, nLayer: 2, nHead: 2, nEmbd: 8 };

for (const variant of variants) {
  const label = JSON.stringify(variant);

  testOnBackends(`changing token t changes no logits before t: ${label}`, async () => {
    const model = new GPT({ ...small, ...variant });
    const random = new Random(5);
    const ids = Array.from({ length: 8 }, () => random.integer(7));
    const logits = async (ids: number[]) =>
      await model.forward(tf.tensor2d([ids], [1, 8], "int32")).data();
    const before = await logits(ids);
    for (const t of [0, 3, 7]) {
      const after = await logits(ids.with(t, (ids[t] + 1 + random.integer(6)) % 7));
      assertEquals(
        after.slice(0, 7 * t),
        before.slice(0, 7 * t),
        `a token before ${t} saw token ${t}`,
      );
      const moved = after.slice(7 * t).some((value, i) => value !== before[7 * t + i]);
      assert(moved, `token ${t} changed nothing`);
    }
    model.dispose();
  });

  testOnBackends(`gradients reach every parameter: ${label}`, async () => {
    const model = new GPT({ ...small, ...variant });
    const ids = tf.tensor2d([[1, 2, 3, 4, 5, 6, 0, 1]], [1, 8], "int32");
    const loss = () =>
      model.forward(ids).logSoftmax().slice([0, 0, 0], [1, 8, 1]).sum() as tf.Scalar;
    const { grads } = tf.variableGrads(loss, model.parameters.variables());
    for (const [name, variable] of model.parameters.entries()) {
      const [largest] = await grads[variable.name].abs().max().data();
      assert(largest > 0, `the gradient of ${name} is 0`);
    }
    model.dispose();
  });

  testOnBackends(
    `a text in two pieces through a cache gives the logits of the whole: ${label}`,
    async () => {
      const model = new GPT({ ...small, ...variant });
      const ids = [1, 2, 3, 4, 5, 6];
      const whole = model.forward(tf.tensor2d([ids], [1, 6], "int32"));
      const cache = new PlainCache();
      const pieces = [ids.slice(0, 4), ids.slice(4, 5), ids.slice(5)].map((piece) =>
        model.forward(tf.tensor2d([piece], [1, piece.length], "int32"), { cache })
      );
      await assertTensor(tf.concat(pieces, 1), await whole.array());
      model.dispose();
    },
  );

  Deno.test(`names, shapes and count are known before the model is made: ${label}`, async () => {
    await tf.setBackend("cpu");
    const config = { ...small, ...variant };
    const model = new GPT(config);
    const real = Object.fromEntries(
      model.parameters.entries().map(([name, { shape }]) => [name, shape]),
    );
    assertEquals(parameterShapes(config), real);
    assertEquals(parameterCount(config), model.parameters.count);
    const biases = Object.keys(real).filter((name) => name.endsWith(".bias"));
    assertEquals(biases.length > 0, Boolean(variant.bias), `biases: ${biases}`);
    model.dispose();
  });
}

Deno.test("the four GPT-2 sizes have the published number of parameters", () => {
  assertEquals(parameterCount(PRESETS.gpt2), 124_439_808);
  for (const name of ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"] as const) {
    assertEquals(parameterCount(PRESETS[name]), published[name].count, name);
  }
});

Deno.test("gpt2's names and shapes are those of the published checkpoint", () => {
  assertEquals(parameterShapes(PRESETS.gpt2), published.gpt2.shapes);
});

testOnBackends("a new model starts near ln V, spread as GPT-2's", async () => {
  const model = new GPT({ ...small, vocabSize: 50, nEmbd: 32, nLayer: 8 });
  const random = new Random(2);
  const ids = (shift: number) =>
    tf.tensor2d(Array.from({ length: 64 }, (_, i) => draws[i + shift]), [8, 8], "int32");
  const draws = Array.from({ length: 65 }, () => random.integer(50));
  const loss = model.forward(ids(0)).logSoftmax().mul(tf.oneHot(ids(1), 50)).sum(-1).mean().neg();
  assertAlmostEquals((await loss.data())[0], Math.log(50), 0.1);
  for (
    const [part, std] of [["attn.c_attn", 0.02], ["mlp.c_fc", 0.02], ["attn.c_proj", 0.005], [
      "mlp.c_proj",
      0.005,
    ]] as const
  ) {
    const { variance } = tf.moments(model.parameters.get(`transformer.h.3.${part}.weight`));
    assertAlmostEquals(Math.sqrt((await variance.data())[0]), std, std * 0.1, part);
  }
  model.dispose();
});

testOnBackends("dropout acts only where random is given, and repeats with its seed", async () => {
  const model = new GPT({ ...small, dropout: 0.5 });
  const ids = tf.tensor2d([[1, 2, 3, 4, 5, 6, 0, 1]], [1, 8], "int32");
  const calm = await model.forward(ids).array();
  const run = async (seed: number) =>
    await model.forward(ids, { random: new Random(seed) }).array();
  assertEquals(await model.forward(ids).array(), calm);
  assertEquals(await run(1), await run(1));
  assert(`${await run(1)}` !== `${calm}`, "dropout did nothing");
  assert(`${await run(1)}` !== `${await run(2)}`, "the seed did nothing");
  model.dispose();

  const deaf = new GPT({ ...small, dropout: 0.999999 });
  const nothing = deaf.forward(ids, { random: new Random(1) });
  await assertTensor(nothing, Array(8 * 7).fill(0)); // embeddings, attention and MLP: all are dropped
  deaf.dispose();
});

testOnBackends("forward leaves one tensor, dispose none", () => {
  const before = tf.memory().numTensors;
  const model = new GPT(small);
  const ids = tf.tensor2d([[1, 2]], [1, 2], "int32");
  const withModel = tf.memory().numTensors;
  model.forward(ids).dispose();
  assertEquals(tf.memory().numTensors, withModel);
  model.dispose();
  assertEquals(tf.memory().numTensors, before + 1); // ids
});

Deno.test("forward refuses what does not fit into the block", async () => {
  await tf.setBackend("cpu");
  const model = new GPT(small);
  const ids = (...shape: [number, number]) => tf.zeros(shape, "int32") as tf.Tensor2D;
  assertThrows(
    () => model.forward(ids(1, 9)),
    RangeError,
    "T must be at most blockSize 8, got T 9",
  );
  assertThrows(() => model.forward(ids(1, 0)), RangeError, "at least one token");
  assertThrows(() => model.forward(tf.zeros([3], "int32") as never), RangeError, "[B, T], got [3]");
  const cache = { length: 7, layer: () => assert(false, "must not be reached") as never };
  assertThrows(
    () => model.forward(ids(1, 2), { cache }),
    RangeError,
    "got T 2 after 7 in the cache",
  );
  model.dispose();
});

Deno.test("a config that makes no sense is refused with field, value and what is allowed", () => {
  const cases: [Record<string, unknown>, string][] = [
    [{}, "vocabSize must be a whole number from 2 to 16777216, got undefined"],
    [{ vocabSize: 7, nLayer: 0 }, "nLayer must be a whole number from 1 to 16777216, got 0"],
    [
      { vocabSize: 7, nEmbd: 6, nHead: 4 },
      "nHead must be a divisor of nEmbd 6 (1, 2, 3, 6), got 4",
    ],
    [{ vocabSize: 7, nKVHead: 3 }, "nKVHead must be a divisor of nHead 4 (1, 2, 4), got 3"],
    [{ vocabSize: 7, dropout: 1 }, "dropout must be in [0, 1), got 1"],
    [{ vocabSize: 7, bias: 1 }, "bias must be true or false, got 1"],
    [{ vocabSize: 7, norm: "batch" }, 'norm must be "layer" or "rms", got "batch"'],
    [{ vocabSize: 7, activation: "relu" }, 'activation must be "gelu" or "swiglu", got "relu"'],
    [
      { vocabSize: 7, position: "rotary", nEmbd: 6, nHead: 2 },
      '"learned" where a head has an odd width (3)',
    ],
    [{ vocabSize: 7, n_head: 4 }, 'there is no setting "n_head": did you mean nHead?'],
    [{ vocabSize: 7, rope: 4 }, 'there is no setting "rope": there is vocabSize, blockSize'],
    [{ vocabSize: 1 }, "vocabSize must be a whole number from 2 to 16777216, got 1"],
    [{ vocabSize: 7, nEmbd: 1e9 }, "nEmbd must be a whole number from 1 to 16777216"],
  ];
  for (const [given, message] of cases) assertThrows(() => gptConfig(given), RangeError, message);
});

Deno.test("gptConfig completes: a full config is its own completion", () => {
  const sizes = fc.record({
    vocabSize: fc.integer({ min: 2, max: 999 }),
    nHead: fc.constantFrom(1, 2, 4),
    nEmbd: fc.constantFrom(8, 16, 64),
    activation: fc.constantFrom("gelu" as const, "swiglu" as const),
    bias: fc.boolean(),
  }, { requiredKeys: ["vocabSize"] });
  fc.assert(fc.property(sizes, (given) => {
    const config = gptConfig(given);
    assertEquals(gptConfig(config), config);
    for (const [field, value] of Object.entries(given)) {
      assertEquals(config[field as keyof GPTConfig], value);
    }
  }));
  assertEquals(gptConfig({ vocabSize: 7, nHead: undefined }).nHead, 4);
});

Deno.test("residualStd is 0.02 / √(2 nLayer)", () => {
  assertAlmostEquals(residualStd(12), 0.004082482904638631);
  assertThrows(
    () => residualStd(0),
    RangeError,
    "nLayer must be a whole number of at least 1, got 0",
  );
});

Deno.test("loadWeights takes the hub's own spelling and names what does not fit", async () => {
  await tf.setBackend("cpu");
  const model = tinyModel();
  const short = Object.entries(tinyGpt2.weights).map((
    [name, value],
  ) => [name.replace("transformer.", ""), value]);
  const mask = { shape: [1, 1, 6, 6], data: [] };
  loadWeights(model, {
    ...Object.fromEntries(short),
    "h.0.attn.bias": mask,
    "h.1.attn.masked_bias": mask,
  });
  await assertTensor(model.forward(tinyIds()), tinyGpt2.logits);

  const { "transformer.wte.weight": wte, "lm_head.weight": head, ...rest } = tinyGpt2.weights;
  const load = (tensors: Parameters<typeof loadWeights>[1]) => () => loadWeights(model, tensors);
  load({ ...rest, "_orig_mod.lm_head.weight": head })(); // the other half of a tied pair
  assertThrows(load(rest), RangeError, "transformer.wte.weight is missing");
  assertThrows(load({ ...rest, wte: wte }), RangeError, "transformer.wte is unknown");
  assertThrows(
    load({ ...rest, "wte.weight": { ...wte, shape: [8, 11] } }),
    RangeError,
    "is [8,11], not [11,8]",
  );
  await assertTensor(model.forward(tinyIds()), tinyGpt2.logits);
  model.dispose();
});
