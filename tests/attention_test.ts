import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import {
  attentionWeights,
  causalAttention,
  causalMask,
  CausalSelfAttention,
  dropout,
  type LayerCache,
  linear,
  mergeHeads,
  scaledDotProductAttention,
  scaledScores,
  shareHeads,
  splitHeads,
  splitQueriesKeysValues,
  streamingAttention,
} from "lib/attention.ts";
import { Parameters } from "lib/engine/parameters.ts";
import { Random } from "lib/engine/random.ts";
import fixture from "./fixtures/attention.json" with { type: "json" };
import { assertTensor, finiteDifferences, testOnBackends } from "./support.ts";

const normals = (seed: number, ...shape: number[]) =>
  tf.tensor(new Random(seed).normals(tf.util.sizeFromShape(shape)), shape);
const normals3 = (seed: number, ...shape: number[]) => normals(seed, ...shape) as tf.Tensor3D;
const normals4 = (seed: number, ...shape: number[]) => normals(seed, ...shape) as tf.Tensor4D;

/** Attention of one head, written with loops: the reference. */
function attendByLoops(q: number[][], k: number[][], v: number[][]): number[][] {
  const dot = (a: number[], b: number[]) => a.reduce((sum, x, i) => sum + x * b[i], 0);
  const offset = k.length - q.length;
  return q.map((query, i) => {
    const seen = k.slice(0, offset + i + 1);
    const exps = seen.map((key) => Math.exp(dot(query, key) / Math.sqrt(query.length)));
    const total = exps.reduce((sum, x) => sum + x);
    return v[0].map((_, column) => exps.reduce((sum, e, j) => sum + e / total * v[j][column], 0));
  });
}

/** A cache that only concatenates. */
class PlainCache implements LayerCache {
  #kept?: { k: tf.Tensor4D; v: tf.Tensor4D };
  get length() {
    return this.#kept?.k.shape[2] ?? 0;
  }
  append(k: tf.Tensor4D, v: tf.Tensor4D) {
    const [before, after] = [this.#kept, { k, v }];
    const join = (x: "k" | "v") =>
      before ? tf.concat([before[x], after[x]], 2) : tf.clone(after[x]);
    this.#kept = { k: tf.keep(join("k")), v: tf.keep(join("v")) };
    return this.#kept;
  }
}

testOnBackends("linear multiplies every vector and adds the bias", async () => {
  const x = tf.tensor3d([[[1, 2], [3, 4]], [[5, 6], [7, 8]]]);
  const weight = tf.tensor2d([[1, 0, -1], [2, 1, 0]]);
  const out = linear(x, weight, tf.tensor1d([10, 20, 30]));
  assertEquals(out.shape, [2, 2, 3]);
  await assertTensor(out, [15, 22, 29, 21, 24, 27, 27, 26, 25, 33, 28, 23]);
  await assertTensor(linear(tf.tensor1d([1, 2]), weight), [5, 2, -1]);
});

Deno.test("linear names the two widths that do not fit", () => {
  const weight = tf.zeros([4, 2]);
  assertThrows(() => linear(tf.zeros([2, 3]), weight), RangeError, "vectors of 3 numbers");
});

testOnBackends("causalMask hides the future, also with keys from a cache", async () => {
  const no = -1e9;
  await assertTensor(causalMask(3), [[0, no, no], [0, 0, no], [0, 0, 0]], 0);
  await assertTensor(causalMask(2, 4), [[0, 0, 0, no], [0, 0, 0, 0]], 0);
  await assertTensor(causalMask(1, 3), [[0, 0, 0]], 0);
});

Deno.test("causalMask refuses fewer keys than queries", () => {
  assertThrows(() => causalMask(3, 2), RangeError, "at least queries (3), got 2");
});

testOnBackends("scaledScores are dot products divided by the root of the width", async () => {
  const q = tf.tensor4d([1, 2, 3, 4, 0, 0, 0, 2], [1, 1, 2, 4]);
  const k = tf.tensor4d([1, 1, 1, 1, 4, 3, 2, 1, 1, 0, 0, 0], [1, 1, 3, 4]);
  await assertTensor(scaledScores(q, k), [5, 10, 0.5, 1, 1, 0]);
});

for (const [name, kvHeads] of [["attention", 4], ["grouped", 2]] as const) {
  const { q, k, v, weight, out, gradient } = fixture[name];
  testOnBackends(
    `scaledDotProductAttention (${name}) and its gradients are PyTorch's`,
    async () => {
      const inputs = [
        tf.tensor4d(q, [2, 4, 5, 3]),
        tf.tensor4d(k, [2, kvHeads, 5, 3]),
        tf.tensor4d(v, [2, kvHeads, 5, 3]),
      ];
      const attend = (...[q, k, v]: tf.Tensor[]) =>
        scaledDotProductAttention(q as tf.Tensor4D, k as tf.Tensor4D, v as tf.Tensor4D, {
          mask: causalMask(5),
        });
      await assertTensor(attend(...inputs), out);
      const loss = (...x: tf.Tensor[]) =>
        tf.sum(tf.mul(attend(...x), tf.tensor(weight, [2, 4, 5, 3])));
      const [dq, dk, dv] = tf.grads(loss)(inputs);
      await assertTensor(dq, gradient.q);
      await assertTensor(dk, gradient.k);
      await assertTensor(dv, gradient.v);
    },
  );
}

testOnBackends("attention with keys from before is the loop's", async () => {
  const [q, k, v] = [normals4(1, 1, 1, 2, 3), normals4(2, 1, 1, 5, 3), normals4(3, 1, 1, 5, 3)];
  const [rows, keys, values] = [await q.array(), await k.array(), await v.array()];
  const wanted = attendByLoops(rows[0][0], keys[0][0], values[0][0]);
  await assertTensor(scaledDotProductAttention(q, k, v, { mask: causalMask(2, 5) }), wanted);
});

testOnBackends(
  "attentionWeights: rows sum to 1, nothing on the future, even for huge scores",
  async () => {
    const [q, k] = [normals4(4, 2, 3, 6, 8), normals4(5, 2, 3, 6, 8)];
    const heads = (await attentionWeights(tf.mul(q, 100), k, causalMask(6)).array()).flat();
    for (const [query, row] of heads.flatMap((head) => [...head.entries()])) {
      assertAlmostEquals(row.reduce((sum, x) => sum + x), 1, 1e-5);
      assert(row.slice(query + 1).every((x) => x === 0), `query ${query} sees the future: ${row}`);
    }
  },
);

testOnBackends("shareHeads gives neighbouring query heads the same keys", async () => {
  const x = tf.tensor4d([1, 2, 3, 4, 5, 6, 7, 8], [2, 2, 1, 2]);
  await assertTensor(shareHeads(x, 4), [1, 2, 1, 2, 3, 4, 3, 4, 5, 6, 5, 6, 7, 8, 7, 8]);
  assertThrows(() => shareHeads(x, 3), RangeError, "multiple of 2, got 3");
});

testOnBackends("splitHeads cuts columns, and mergeHeads undoes it", async () => {
  const x = tf.tensor3d([[[1, 2, 3, 4], [5, 6, 7, 8]], [[9, 10, 11, 12], [13, 14, 15, 16]]]);
  const split = splitHeads(x, 2);
  assertEquals(split.shape, [2, 2, 2, 2]);
  await assertTensor(split, [1, 2, 5, 6, 3, 4, 7, 8, 9, 10, 13, 14, 11, 12, 15, 16]);
  await assertTensor(mergeHeads(split), await x.array());
  assertThrows(() => splitHeads(x, 3), RangeError, "4 columns cannot be cut into 3");
});

testOnBackends(
  "dropout zeroes its share, keeps the mean, and its gradient has the same holes",
  async () => {
    const x = tf.ones([100, 100]);
    const dropped = Array.from(await dropout(x, 0.3, new Random(1)).data());
    const zeros = dropped.filter((value) => value === 0).length;
    assertAlmostEquals(zeros / 10000, 0.3, 0.02);
    for (const value of dropped) assert(value === 0 || Math.abs(value - 1 / 0.7) < 1e-6);
    await assertTensor(tf.grad((x) => dropout(x, 0.3, new Random(1)))(x), dropped);
  },
);

testOnBackends("dropout without chance or with rate 0 changes nothing", async () => {
  const x = normals(1, 4, 4);
  await assertTensor(dropout(x, 0.5), Array.from(await x.data()), 0);
  await assertTensor(dropout(x, 0, new Random(1)), Array.from(await x.data()), 0);
  assertThrows(() => dropout(x, 1, new Random(1)), RangeError, "got 1");
});

testOnBackends(
  "dropout takes attention weights away, in the function and in the layer",
  async () => {
    const [q, k] = [normals4(15, 1, 2, 16, 4), normals4(16, 1, 2, 16, 4)];
    const ones = tf.ones<tf.Rank.R4>([1, 2, 16, 4]);
    const whole = scaledDotProductAttention(q, k, ones, { dropout: 0.5 });
    await assertTensor(whole, Array(128).fill(1));
    const random = new Random(17);
    const dropped = Array.from(
      await scaledDotProductAttention(q, k, ones, { dropout: 0.5, random }).data(),
    );
    assert(new Set(dropped).size > 20, "the values that came through are all alike");
    assertAlmostEquals(dropped.reduce((sum, x) => sum + x) / 128, 1, 0.3);

    const config = { nEmbd: 8, nHead: 2, dropout: 0.5 };
    const layer = new CausalSelfAttention(new Parameters(new Random(18)), "attn", config);
    const x = normals3(19, 1, 6, 8);
    const plain = await layer.forward(x).data();
    const trained = await layer.forward(x, { random }).data();
    // Dropping outputs alone would give 0 or twice the plain value.
    const others = [...trained].filter((value, i) =>
      value !== 0 && Math.abs(value - 2 * plain[i]) > 1e-6
    );
    assert(others.length > 5, "only the outputs were dropped, not the weights");
  },
);

testOnBackends("streamingAttention is the loop's, whatever the block", async () => {
  const [q, k, v] = [6, 7, 8].map((seed) => normals4(seed, 1, 2, 7, 4));
  const [rows, keys, values] = [await q.array(), await k.array(), await v.array()];
  const wanted = [0, 1].map((h) => attendByLoops(rows[0][h], keys[0][h], values[0][h]));
  for (const blockSize of [1, 3, 7, 50]) {
    await assertTensor(streamingAttention(q, k, v, blockSize), wanted);
  }
  assertThrows(() => streamingAttention(q, k, v, 0), RangeError, "got 0");
});

testOnBackends("streamingAttention keeps huge scores finite", async () => {
  const [q, k, v] = [6, 7, 8].map((seed) => normals4(seed, 1, 1, 5, 4));
  const big = tf.mul<tf.Tensor4D>(q, 500);
  const direct = scaledDotProductAttention(big, k, v, { mask: causalMask(5) });
  await assertTensor(streamingAttention(big, k, v, 2), await direct.array());
});

testOnBackends("causalAttention leaves the past alone when the future changes", async () => {
  const before = normals3(9, 1, 6, 12);
  const change = tf.concat([tf.zeros([1, 4, 12]), tf.ones([1, 2, 12])], 1) as tf.Tensor3D;
  for (const options of [{ nHead: 4 }, { nHead: 4, rotary: false }, { nHead: 2, nKVHead: 1 }]) {
    const [a, b] = [before, tf.add<tf.Tensor3D>(before, change)].map((x) =>
      causalAttention(x, options)
    );
    const moved = await tf.max(tf.abs(tf.sub(a, b)), [0, 2]).data();
    const words = [...moved].map((x) => x <= 1e-6 ? "same" : x < Infinity ? "moved" : x);
    assertEquals(words, ["same", "same", "same", "same", "moved", "moved"]);
  }
});

Deno.test("columns that cannot be shared out are refused", () => {
  const qkv = tf.zeros<tf.Rank.R3>([1, 2, 10]);
  assertThrows(() => splitQueriesKeysValues(qkv, { nHead: 2 }), RangeError, "10 columns");
});

/** An attention layer whose parameters are given. */
function layerWith(
  config: ConstructorParameters<typeof CausalSelfAttention>[2],
  values: number[][],
) {
  const parameters = new Parameters(new Random(1));
  const layer = new CausalSelfAttention(parameters, "attn", config);
  parameters.variables().forEach((variable, i) =>
    variable.assign(tf.tensor(values[i], variable.shape))
  );
  return layer;
}

testOnBackends("CausalSelfAttention is GPT-2's layer in transformers", async () => {
  const { x, parameters, out } = fixture.gpt2Layer;
  const values = ["c_attn.weight", "c_attn.bias", "c_proj.weight", "c_proj.bias"] as const;
  const layer = layerWith({ nEmbd: 12, nHead: 3 }, values.map((name) => parameters[name]));
  await assertTensor(layer.forward(tf.tensor3d(x, [2, 6, 12])), out);
});

testOnBackends(
  "CausalSelfAttention with rotary positions and shared heads is Llama's",
  async () => {
    const { x, attn, proj, out } = fixture.llamaLayer;
    const config = { nEmbd: 16, nHead: 4, nKVHead: 2, bias: false, rotary: true };
    const layer = layerWith(config, [attn, proj]);
    await assertTensor(layer.forward(tf.tensor3d(x, [1, 5, 16])), out);
  },
);

testOnBackends(
  "CausalSelfAttention token by token with a cache is the same as at once",
  async () => {
    const x = normals3(10, 1, 7, 16);
    for (const rotary of [false, true]) {
      const layer = new CausalSelfAttention(new Parameters(new Random(2)), "attn", {
        nEmbd: 16,
        nHead: 4,
        nKVHead: 2,
        rotary,
      });
      const cache = new PlainCache();
      const pieces = [[0, 3], [3, 1], [4, 2], [6, 1]].map(([start, length]) =>
        layer.forward(tf.slice(x, [0, start, 0], [1, length, 16]), { cache })
      );
      assertEquals(cache.length, 7);
      // The outputs are small (weights start at 0.02), so the tolerance is too.
      await assertTensor(tf.concat(pieces, 1), Array.from(await layer.forward(x).data()), 1e-7);
    }
  },
);

testOnBackends("gradients reach every parameter, and that of the bias is right", async () => {
  const parameters = new Parameters(new Random(3));
  const config = { nEmbd: 8, nHead: 2, nKVHead: 1, rotary: true };
  const layer = new CausalSelfAttention(parameters, "attn", config);
  for (const variable of parameters.variables()) {
    variable.assign(tf.mul(normals(variable.size, ...variable.shape), 0.5));
  }
  const [x, weight] = [normals3(11, 1, 3, 8), normals(12, 1, 3, 8)];
  const loss = () => tf.sum(tf.mul(layer.forward(x), weight)) as tf.Scalar;
  const { grads } = tf.variableGrads(loss, parameters.variables());
  for (const [name, variable] of parameters.entries()) {
    const [largest] = await tf.max(tf.abs(grads[variable.name])).data();
    assert(largest > 1e-3, `no gradient reaches ${name}`);
  }
  // The bias of c_attn passes through everything: heads, rotation, softmax, shared keys, projection.
  const bias = parameters.get("attn.c_attn.bias");
  const lossAt = (value: tf.Tensor) => {
    bias.assign(value);
    return loss();
  };
  await assertTensor(grads[bias.name], await finiteDifferences(lossAt, tf.clone(bias)), 2e-3);
});

Deno.test("CausalSelfAttention has GPT-2's names, shapes and initial spread", async () => {
  const parameters = new Parameters(new Random(4));
  const config = { nEmbd: 64, nHead: 4, nKVHead: 2, nLayer: 8 };
  new CausalSelfAttention(parameters, "transformer.h.0.attn", config);
  assertEquals(parameters.entries().map(([name, { shape }]) => [name, shape]), [
    ["transformer.h.0.attn.c_attn.weight", [64, 128]],
    ["transformer.h.0.attn.c_attn.bias", [128]],
    ["transformer.h.0.attn.c_proj.weight", [64, 64]],
    ["transformer.h.0.attn.c_proj.bias", [64]],
  ]);
  const spread = async (name: string) => {
    const values = Array.from(await parameters.get(`transformer.h.0.attn.${name}`).data());
    return Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
  };
  assertAlmostEquals(await spread("c_attn.weight"), 0.02, 1e-3);
  assertAlmostEquals(await spread("c_proj.weight"), 0.02 / 4, 2.5e-4);
});

Deno.test("CausalSelfAttention refuses sizes that do not divide, naming them", () => {
  const make = (config: ConstructorParameters<typeof CausalSelfAttention>[2]) => () =>
    new CausalSelfAttention(new Parameters(), "attn", config);
  assertThrows(make({ nEmbd: 10, nHead: 4 }), RangeError, "nEmbd (10)");
  assertThrows(make({ nEmbd: 12, nHead: 4, nKVHead: 3 }), RangeError, "nKVHead (3)");
  assertThrows(make({ nEmbd: 12, nHead: 4, rotary: true }), RangeError, "even width");
});

testOnBackends(
  "training drops, generating does not, and the weights are the layer's own",
  async () => {
    const parameters = new Parameters(new Random(5));
    const layer = new CausalSelfAttention(parameters, "attn", { nEmbd: 8, nHead: 2, dropout: 0.5 });
    const x = normals3(13, 1, 6, 8);
    const zeros = async (out: tf.Tensor) =>
      (await out.data()).filter((value) => value === 0).length;
    assertEquals(await zeros(layer.forward(x)), 0);
    assert(await zeros(layer.forward(x, { random: new Random(6) })) > 10);
    const same = async (
      seed: number,
    ) => [...await layer.forward(x, { random: new Random(seed) }).data()];
    assertEquals(await same(7), await same(7));

    const qkv = linear(x, parameters.get("attn.c_attn.weight")) as tf.Tensor3D;
    const { q, k } = splitQueriesKeysValues(qkv, { nHead: 2 });
    const wanted = await attentionWeights(q, k, causalMask(6)).array();
    await assertTensor(layer.attentionWeights(x), wanted, 1e-6);
  },
);

testOnBackends("a forward pass leaves nothing behind but its result", () => {
  const layer = new CausalSelfAttention(new Parameters(new Random(8)), "attn", {
    nEmbd: 8,
    nHead: 2,
    rotary: true,
    dropout: 0.1,
  });
  const x = normals3(14, 1, 6, 8);
  const before = tf.memory().numTensors;
  layer.forward(x, { random: new Random(1) });
  assertEquals(tf.memory().numTensors, before + 1);
});
