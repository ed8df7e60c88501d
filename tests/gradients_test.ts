/** The gradient of every differentiable function of the chapters, against finite differences. */
import * as tf from "@tensorflow/tfjs";
import {
  attentionWeights,
  causalAttention,
  causalMask,
  dropout,
  linear,
  mergeHeads,
  scaledDotProductAttention,
  scaledScores,
  shareHeads,
  splitHeads,
  streamingAttention,
} from "lib/attention.ts";
import { applyRotary, embed, rotaryAngles, rotatePairs } from "lib/embeddings.ts";
import { Random } from "lib/engine/random.ts";
import { crossEntropy } from "lib/train.ts";
import { gelu, GPT, type GPTConfig, layerNorm, rmsNorm, silu } from "lib/transformer.ts";
import { assertTensor, finiteDifferences } from "./support.ts";

await tf.setBackend("cpu");

const random = new Random(5);
const normal = (...shape: number[]) =>
  tf.tensor(random.normals(tf.util.sizeFromShape(shape)), shape);
const ids = tf.tensor2d([[1, 0, 2], [2, 2, 1]], [2, 3], "int32");

// deno-lint-ignore no-explicit-any
type Any = any;
type Case = [name: string, f: (...inputs: Any[]) => tf.Tensor, inputs: tf.Tensor[]];

const heads = () => [normal(1, 2, 4, 2), normal(1, 2, 4, 2), normal(1, 2, 4, 2)]; // q, k, v
const mask = causalMask(4);
const angles = rotaryAngles(5, 4);

const CASES: Case[] = [
  ["embed", (table) => embed(table, ids), [normal(3, 4)]],
  [
    "rotatePairs",
    (x, y, cos, sin) => tf.stack(rotatePairs(x, y, cos, sin)),
    [normal(3, 2), normal(3, 2), normal(3, 2), normal(3, 2)],
  ],
  ["applyRotary", (x) => applyRotary(x, angles, 1), [normal(1, 2, 3, 4)]],
  ["linear", linear, [normal(2, 2, 3), normal(3, 4), normal(4)]],
  ["linear without bias", (x, w) => linear(x, w), [normal(3, 2), normal(2, 3)]],
  ["scaledScores", scaledScores, heads().slice(0, 2)],
  ["splitHeads", (x) => splitHeads(x, 2), [normal(1, 3, 4)]],
  ["mergeHeads", mergeHeads, [normal(1, 2, 3, 2)]],
  ["shareHeads", (x) => shareHeads(x, 4), [normal(1, 2, 3, 2)]],
  ["dropout", (x) => dropout(x, 0.4, new Random(2)), [normal(3, 4)]],
  ["attentionWeights", (q, k) => attentionWeights(q, k, mask), heads().slice(0, 2)],
  ["scaledDotProductAttention", (q, k, v) => scaledDotProductAttention(q, k, v, { mask }), heads()],
  [
    "scaledDotProductAttention with dropout",
    (q, k, v) => scaledDotProductAttention(q, k, v, { mask, dropout: 0.3, random: new Random(2) }),
    heads(),
  ],
  ["streamingAttention", (q, k, v) => streamingAttention(q, k, v, 3), heads()],
  ["causalAttention", (qkv) => causalAttention(qkv, { nHead: 2 }), [normal(1, 3, 12)]],
  [
    "causalAttention, shared keys, rotary",
    (qkv) => causalAttention(qkv, { nHead: 2, nKVHead: 1, rotary: true }),
    [normal(1, 3, 8)],
  ],
  ["layerNorm", layerNorm, [normal(2, 2, 5), normal(5), normal(5)]],
  ["rmsNorm", (x, gain) => rmsNorm(x, gain), [normal(2, 2, 5), normal(5)]],
  ["gelu", gelu, [normal(12)]],
  ["silu", silu, [normal(12)]],
  ["crossEntropy", (logits) => crossEntropy(logits, ids), [normal(2, 3, 4)]],
];

for (const [name, f, inputs] of CASES) {
  Deno.test(`the gradient of ${name} is that of finite differences`, async () => {
    // Weighted by different numbers, so that errors in different places cannot cancel out.
    const weights = tf.tidy(() => normal(...f(...inputs).shape));
    const scalar = (...x: tf.Tensor[]) => f(...x).mul(weights).sum() as tf.Scalar;
    const gradients = tf.grads(scalar)(inputs);
    for (const [i, gradient] of gradients.entries()) {
      const alone = (x: tf.Tensor) => scalar(...inputs.map((input, j) => j === i ? x : input));
      await assertTensor(gradient, await finiteDifferences(alone, inputs[i]), 4e-3);
    }
  });
}

const MODELS: [string, Partial<GPTConfig>][] = [
  ["GPT-2's kind", { bias: true }],
  ["Llama's kind", { norm: "rms", activation: "swiglu", position: "rotary", nKVHead: 1 }],
];

for (const [kind, config] of MODELS) {
  Deno.test(`the gradients of a whole GPT, ${kind}, are those of finite differences`, async () => {
    const shape = { vocabSize: 3, blockSize: 3, nLayer: 1, nHead: 2, nEmbd: 4, nInner: 4 };
    const model = new GPT({ ...shape, ...config }, new Random(1));
    const variables = model.parameters.variables();
    // Larger weights than a new model's, or most gradients would be smaller than the error of the comparison.
    for (const weight of variables) weight.assign(normal(...weight.shape).mul(0.5));
    const loss = () => crossEntropy(model.forward(ids), ids.reverse(1)) as tf.Scalar;
    const { grads } = tf.variableGrads(loss, variables);
    for (const weight of variables) {
      const at = (x: tf.Tensor) => {
        weight.assign(x);
        return loss();
      };
      const before = weight.clone();
      const expected = await finiteDifferences(at, before);
      weight.assign(before);
      await assertTensor(grads[weight.name], expected, 4e-3);
    }
  });
}
