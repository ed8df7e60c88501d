/** Wrong solutions of chapter 03. */
import type { Wrong } from "./wrong.ts";

const mask = (hidden: string, value = "-1e9") => `
  const offset = keys - queries;
  for (let query = 0; query < queries; query++) {
    for (let key = 0; key < keys; key++) if (${hidden}) mask[query * keys + key] = ${value};
  }`;
const absorb = (
  {
    max = "tf.maximum(state.max, tf.max(scores, -1, true))",
    correction = "tf.exp(tf.sub(state.max, max))",
    weights = "tf.exp(tf.sub(scores, max))",
    oldSum = "state.sum.mul(correction)",
    oldTotal = "state.total.mul(correction)",
    added = "tf.matMul(weights, values)",
  },
) => `
  const max = ${max};
  const correction = ${correction};
  const weights = ${weights};
  const sum = tf.add(${oldSum}, weights.sum(-1, true));
  const total = tf.add(${oldTotal}, ${added});
  return { max, sum, total };`;

/** Mistakes, by exercise. */
export const wrong: Wrong[] = [
  {
    exercise: "ex-mask",
    cell: "causal-mask",
    name: "hides the token itself",
    code: mask("key >= query + offset"),
    says: "cannot see itself",
  },
  {
    exercise: "ex-mask",
    cell: "causal-mask",
    name: "shows the next token",
    code: mask("key > query + offset + 1"),
    says: "sees the next one",
  },
  {
    exercise: "ex-mask",
    cell: "causal-mask",
    name: "hides the past",
    code: mask("key < query + offset"),
    says: "Upside down",
  },
  {
    exercise: "ex-mask",
    cell: "causal-mask",
    name: "ones and zeros, to multiply",
    code: mask("key <= query + offset", "1"),
    says: "These are weights",
  },
  {
    exercise: "ex-mask",
    cell: "causal-mask",
    name: "forgets that queries are the last",
    code: mask("key > query"),
    says: "the queries are the last two tokens",
  },
  {
    exercise: "ex-mask",
    cell: "causal-mask",
    name: "minus infinity",
    code: mask("key > query + offset", "-Infinity"),
    says: "The future gets -1e9",
  },
  {
    exercise: "ex-scores",
    cell: "scaled-scores",
    name: "no scaling",
    code: "return tf.matMul(q, k, false, true);",
    says: "bare dot product",
  },
  {
    exercise: "ex-scores",
    cell: "scaled-scores",
    name: "divides by D",
    code: "return tf.matMul(q, k, false, true).div(q.shape.at(-1));",
    says: "Divided by D = 4",
  },
  {
    exercise: "ex-scores",
    cell: "scaled-scores",
    name: "does not transpose the keys",
    code: "return tf.matMul(q, k).div(Math.sqrt(q.shape.at(-1)));",
    says: "Is the key transposed",
  },
  {
    exercise: "ex-scores",
    cell: "scaled-scores",
    name: "multiplies by the root",
    code: "return tf.matMul(q, k, false, true).mul(Math.sqrt(q.shape.at(-1)));",
    says: "Multiplied by √D",
  },
  {
    exercise: "ex-scores",
    cell: "scaled-scores",
    name: "takes T for D",
    code: "return tf.matMul(q, k, false, true).div(Math.sqrt(q.shape.at(-2)));",
    says: "root of the number of queries",
  },
  {
    exercise: "ex-scores",
    cell: "scaled-scores",
    name: "always divides by 2",
    code: "return tf.matMul(q, k, false, true).div(2);",
    says: "For D = 16 you divide by 2",
  },
  {
    exercise: "ex-heads",
    cell: "split-heads",
    name: "reshapes straight",
    code: "return x.reshape([batch, nHead, length, width / nHead]);",
    says: "you reshaped straight",
  },
  {
    exercise: "ex-heads",
    cell: "split-heads",
    name: "forgets the transpose",
    code: "return x.reshape([batch, length, nHead, width / nHead]);",
    says: "the heads must come before the tokens",
  },
  {
    exercise: "ex-heads",
    cell: "split-heads",
    name: "takes every other column",
    code: "return x.reshape([batch, length, width / nHead, nHead]).transpose([0, 3, 1, 2]);",
    says: "columns lie side by side",
  },
  {
    exercise: "ex-heads",
    cell: "merge-heads",
    name: "merges heads in the wrong order",
    code: "return x.reshape([batch, length, heads * width]);",
    says: "mergeHeads only reshaped",
  },
  {
    exercise: "ex-online",
    cell: "absorb-block",
    name: "does not measure against the maximum",
    code: absorb({ weights: "tf.exp(scores)" }),
    says: "not measured against the maximum",
  },
  {
    exercise: "ex-online",
    cell: "absorb-block",
    name: "does not correct the old sum",
    code: absorb({ oldSum: "state.sum" }),
    says: "The old sum was not corrected",
  },
  {
    exercise: "ex-online",
    cell: "absorb-block",
    name: "does not correct the old total",
    code: absorb({ oldTotal: "state.total" }),
    says: "the total is not",
  },
  {
    exercise: "ex-online",
    cell: "absorb-block",
    name: "correction upside down",
    code: absorb({ correction: "tf.exp(tf.sub(max, state.max))" }),
    says: "upside down",
  },
  {
    exercise: "ex-online",
    cell: "absorb-block",
    name: "takes the block's own maximum",
    code: absorb({ max: "tf.max(scores, -1, true)" }),
    says: "The maximum went down",
  },
  {
    exercise: "ex-online",
    cell: "absorb-block",
    name: "keeps the old maximum",
    code: absorb({ max: "state.max" }),
    says: "The maximum stayed at 1",
  },
  {
    exercise: "ex-online",
    cell: "absorb-block",
    name: "forgets the values",
    code: absorb({ added: "weights.sum(-1, true)" }),
    says: "without their values",
  },
  {
    exercise: "ex-scores",
    cell: "scaled-scores",
    name: "computes outside of tfjs",
    code:
      "return tf.tensor(tf.matMul(q, k, false, true).div(Math.sqrt(q.shape.at(-1))).arraySync());",
    says: "No gradient reaches the queries",
    isSubtle: true,
  },
  {
    exercise: "ex-heads",
    cell: "merge-heads",
    name: "merges outside of tfjs",
    code:
      "return tf.tensor3d(x.transpose([0, 2, 1, 3]).dataSync(), [batch, length, heads * width]);",
    says: "No gradient comes through",
    isSubtle: true,
  },
  {
    exercise: "ex-online",
    cell: "absorb-block",
    name: "one sum for all queries",
    code: absorb({}).replace("weights.sum(-1, true)", "weights.sum()"),
    says: "a maximum and a sum of its own",
    isSubtle: true,
  },
];
