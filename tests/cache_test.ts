import { assert, assertEquals, assertThrows } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import { fusedCachedAttention, hasFusedKernels, KERNELS } from "lib/engine/kernels.ts";
import { useKernels, verifyOperators } from "lib/engine/ops.ts";
import { Random } from "lib/engine/random.ts";
import { generate, KVCache, nextLogits } from "lib/sample.ts";
import { GPT, type GPTConfig } from "lib/transformer.ts";
import { assertTensor, testOnBackends } from "./support.ts";

/** Sizes of attention on a cache. */
interface Sizes {
  batch: number;
  heads: number;
  kvHeads: number;
  width: number;
  rotary: boolean;
}

/** A vector turned by the angles of its position, pair by pair. */
function turned(x: number[], position: number): number[] {
  const half = x.length / 2;
  return x.map((value, i) => {
    const angle = position * 10000 ** (-2 * (i % half) / x.length);
    const partner = i < half ? -x[i + half] : x[i - half];
    return value * Math.cos(angle) + partner * Math.sin(angle);
  });
}

/** Causal attention of all tokens at once, by loops over single numbers: rows[batch][token] is one row of qkv. */
function attendByLoops(rows: number[][][], { heads, kvHeads, width, rotary }: Sizes): number[][][] {
  const vector = (row: number[], head: number) => row.slice(head * width, (head + 1) * width);
  const placed = (row: number[], head: number, t: number) =>
    rotary ? turned(vector(row, head), t) : vector(row, head);
  const query = (text: number[][], t: number, head: number) => {
    const shared = Math.floor(head / (heads / kvHeads));
    const q = placed(text[t], head, t);
    const exps = text.slice(0, t + 1).map((row, s) => {
      const k = placed(row, heads + shared, s);
      return Math.exp(q.reduce((sum, x, i) => sum + x * k[i], 0) / Math.sqrt(width));
    });
    const total = exps.reduce((sum, x) => sum + x);
    const values = text.map((row) => vector(row, heads + kvHeads + shared));
    return values[0].map((_, i) => exps.reduce((sum, e, s) => sum + e / total * values[s][i], 0));
  };
  return rows.map((text) =>
    text.map((_, t) => Array.from({ length: heads }, (_, head) => query(text, t, head)).flat())
  );
}

const CASES: (Sizes & { pieces: number[] })[] = [
  { batch: 1, heads: 4, kvHeads: 4, width: 32, rotary: false, pieces: [1, 1, 1, 1] },
  { batch: 1, heads: 3, kvHeads: 3, width: 5, rotary: false, pieces: [7, 1, 3, 1] },
  { batch: 2, heads: 4, kvHeads: 2, width: 6, rotary: true, pieces: [2, 1, 5] },
  { batch: 1, heads: 2, kvHeads: 1, width: 70, rotary: true, pieces: [66, 1, 4] },
  { batch: 1, heads: 1, kvHeads: 1, width: 1, rotary: false, pieces: [129, 1] },
];

for (const sizes of CASES) {
  const { pieces, batch, heads, kvHeads, width, rotary } = sizes;
  testOnBackends(
    `attention on a cache is attention by loops: ${JSON.stringify(sizes)}`,
    async () => {
      if (!hasFusedKernels()) return;
      const random = new Random(5), columns = (heads + 2 * kvHeads) * width;
      const length = pieces.reduce((a, b) => a + b);
      const rows = Array.from(
        { length: batch },
        () => Array.from({ length }, () => [...random.normals(columns)]),
      );
      const room = () => tf.fill([batch, kvHeads, length + 3, width], NaN); // never read before it is written
      const cache = { k: room(), v: room() };
      let start = 0;
      const outputs = pieces.map((count) => {
        const piece = rows.map((text) => text.slice(start, start + count));
        const y = fusedCachedAttention(tf.tensor3d(piece), cache, { heads, start, rotary });
        start += count;
        return y;
      });
      await assertTensor(tf.concat(outputs, 1), attendByLoops(rows, sizes), 2e-6);
      const rest = cache.k.slice([0, 0, length, 0], [-1, -1, -1, -1]);
      await assertTensor(rest, new Float32Array(rest.size).fill(NaN));
    },
  );
}

testOnBackends("a NaN among the keys is not hidden, and stays in its head", async () => {
  if (!hasFusedKernels()) return;
  const cache = { k: tf.zeros([1, 2, 5, 4]), v: tf.zeros([1, 2, 5, 4]) };
  const qkv = tf.buffer([1, 3, 24], "float32", new Float32Array(72).fill(0.5));
  qkv.set(NaN, 0, 1, 9); // the second token's key, first head
  const y = fusedCachedAttention(qkv.toTensor(), cache, { heads: 2, start: 0, rotary: false });
  const half = [0.5, 0.5, 0.5, 0.5], none = half.map(() => NaN);
  await assertTensor(y, [[...half, ...half], [...none, ...half], [...none, ...half]]);
});

Deno.test("more tokens than there is room for are refused", async () => {
  const { registerSimdBackend } = await import("lib/engine/simd/mod.ts");
  await registerSimdBackend({ threads: 1 });
  await tf.setBackend("simd");
  const cache = { k: tf.zeros([1, 1, 4, 2]), v: tf.zeros([1, 1, 4, 2]) };
  const attributes = { heads: 1, start: 3, rotary: false };
  assertThrows(
    () => fusedCachedAttention(tf.zeros([1, 2, 6]), cache, attributes),
    RangeError,
    "2 tokens after 3 are more than the 4",
  );
  await tf.setBackend("cpu");
});

const SCRIBBLE = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9];

const VARIANTS: Partial<GPTConfig>[] = [{}, { nKVHead: 2 }, { nKVHead: 1, position: "rotary" }];

/** A GPT with room for some 90 tokens, whose weights are large enough that positions and neighbours matter. */
function wideModel(config: Partial<GPTConfig>): GPT {
  const sizes = { vocabSize: 31, blockSize: 90, nLayer: 2, nHead: 4, nEmbd: 24 };
  const model = new GPT({ ...sizes, ...config }, new Random(3));
  const random = new Random(4);
  for (const variable of model.parameters.variables()) {
    tf.tidy(() => variable.assign(tf.tensor(random.normals(variable.size, 0.2), variable.shape)));
  }
  return model;
}

for (const config of VARIANTS) {
  testOnBackends(
    `a long prompt at once, then token by token, past the block: ${JSON.stringify(config)}`,
    async () => {
      const model = wideModel(config), cache = new KVCache(model.config), random = new Random(6);
      const ids = Array.from({ length: 93 }, () => random.integer(31));
      for (const length of [70, 71, 72, 79, 88, 89, 90, 91, 93]) {
        const quick = await nextLogits(model, ids.slice(0, length), cache);
        const slow = await nextLogits(model, ids.slice(0, length));
        await assertTensor(tf.tensor1d(quick), slow, 1e-5);
      }
      cache.dispose();
      model.dispose();
    },
  );

  testOnBackends(
    `greedy text is the same with and without cache: ${JSON.stringify(config)}`,
    async () => {
      const model = wideModel(config);
      const tokenizer = {
        vocabSize: 31,
        encode: () => [3, 1, 4],
        tokenBytes: (id: number) => Uint8Array.of(65 + id),
      };
      const texts: string[] = [];
      for (const useCache of [true, false]) {
        const options = { temperature: 0, maxTokens: 40, useCache };
        let text = "";
        for await (const token of generate(model, tokenizer, "", options)) text += token.text;
        texts.push(text);
      }
      assertEquals(texts[0], texts[1]);
      model.dispose();
    },
  );
}

testOnBackends("whose code fills the cache may change from token to token", async () => {
  const model = wideModel({ nKVHead: 2, position: "rotary" }), cache = new KVCache(model.config);
  const ids = SCRIBBLE;
  const kernels = new Set<string>();
  try {
    for (const [i] of ids.entries()) {
      useKernels(i % 4 < 2 ? "fused" : "reference");
      const { kernelNames } = await tf.profile(async () => {
        const quick = await nextLogits(model, ids.slice(0, i + 1), cache);
        return tf.tensor1d(quick);
      });
      kernelNames.forEach((name) => kernels.add(name));
    }
    const length = ids.length;
    const whole = await nextLogits(model, [...ids, 7]);
    await assertTensor(tf.tensor1d(await nextLogits(model, [...ids, 7], cache)), whole, 1e-5);
    assertEquals(cache.length, length + 1);
    assertEquals(kernels.has(KERNELS.cachedAttention), hasFusedKernels());
  } finally {
    useKernels("fused");
    cache.dispose();
    model.dispose();
  }
});

testOnBackends(
  "what the cache held is kept when it grows, and not shared by keys and values",
  async () => {
    const cache = new KVCache({ nLayer: 1 }).layer(0);
    const rows = (tokens: number) => tf.ones<tf.Rank.R4>([1, 1, tokens, 2]);
    cache.append(rows(2).mul(3), rows(2).mul(4));
    const first = cache.reserve!([1, 1, 1, 2]);
    assertEquals(cache.length, 3);
    await assertTensor(first.k.slice([0, 0, 0, 0], [1, 1, 2, 2]), [3, 3, 3, 3]);
    await assertTensor(first.v.slice([0, 0, 0, 0], [1, 1, 2, 2]), [4, 4, 4, 4]);
    const second = cache.reserve!([1, 1, 1, 2]);
    assert(second.k === first.k, "there was room for it");
    if (!hasFusedKernels()) return;
    const fresh = new KVCache({ nLayer: 1 }).layer(0).reserve!([1, 1, 1, 2]);
    fusedCachedAttention(tf.tensor3d([[[0, 0, 1, 2, 5, 6]]]), fresh, {
      heads: 1,
      start: 0,
      rotary: false,
    });
    await assertTensor(fresh.k.slice([0, 0, 0, 0], [1, 1, 1, 2]), [1, 2]);
    await assertTensor(fresh.v.slice([0, 0, 0, 0], [1, 1, 1, 2]), [5, 6]);
  },
);

testOnBackends("under a gradient the function itself runs", async () => {
  await verifyOperators();
  const model = wideModel({});
  const ids = tf.tensor2d([[1, 2, 3]], [1, 3], "int32");
  const cache = new KVCache(model.config);
  const { grads } = tf.variableGrads(
    () => model.forward(ids, { cache }).square().mean() as tf.Scalar,
    [model.embeddings.wte],
  );
  const direct = tf.variableGrads(
    () => model.forward(ids).square().mean() as tf.Scalar,
    [model.embeddings.wte],
  );
  const name = model.embeddings.wte.name;
  await assertTensor(grads[name], await direct.grads[name].data() as Float32Array, 1e-5);
  cache.dispose();
  model.dispose();
});
