/** Wrong solutions of chapter 05. */
import type { Wrong } from "./wrong.ts";

const batch = (targets: string, from = "start + shift") => `
  const cut = (shift) => {
    const rows = new Int32Array(starts.length * length);
    starts.forEach((start, row) => rows.set(tokens.subarray(${from}, ${from} + length), row * length));
    return tf.tensor2d(rows, [starts.length, length], "int32");
  };
  return { inputs: cut(0), targets: ${targets} };`;
const loss = (end: string) => `
    const rows = logits.reshape([-1, vocabSize]);
    const right = tf.oneHot(targets.flatten(), vocabSize).toFloat();
    return ${end};`;
const adamw = (
  {
    m = "state.m.mul(beta1).add(g.mul(1 - beta1))",
    v = "state.v.mul(beta2).add(g.square().mul(1 - beta2))",
    size = "v.sqrt().div(Math.sqrt(1 - beta2 ** step)).add(eps)",
    move = "m.div(size).mul(learningRate / (1 - beta1 ** step))",
    weight = "state.weight.mul(1 - learningRate * weightDecay).sub(move)",
    g = "gradient",
  },
) => `
  const g = ${g};
  const m = ${m};
  const v = ${v};
  const size = ${size};
  const move = ${move};
  return { weight: ${weight}, m, v };`;
const schedule = (
  {
    warm = "peak * (step + 1) / (warmup + 1)",
    late = "if (step >= steps) return floor;",
    share = "(step - warmup) / (steps - warmup)",
    end = "floor + 0.5 * (peak - floor) * (1 + Math.cos(Math.PI * share))",
  },
) => `
    if (step < warmup) return ${warm};
    ${late}
    const share = ${share};
    return ${end};`;

/** Mistakes, by exercise. */
export const wrong: Wrong[] = [
  {
    exercise: "ex-batch",
    cell: "next-token-batch",
    name: "targets are the inputs",
    code: batch("cut(0)"),
    says: "only learn to copy",
  },
  {
    exercise: "ex-batch",
    cell: "next-token-batch",
    name: "targets off by one more",
    code: batch("cut(2)"),
    says: "two tokens ahead",
  },
  {
    exercise: "ex-batch",
    cell: "next-token-batch",
    name: "turns the row around",
    code: batch("tf.concat([cut(0).slice([0, 1]), cut(0).slice([0, 0], [starts.length, 1])], 1)"),
    says: "from the text after the row",
  },
  {
    exercise: "ex-batch",
    cell: "next-token-batch",
    name: "rows one after the other",
    code: batch("cut(1)", "starts[0] + row + shift"),
    says: "use the start that was given",
  },
  {
    exercise: "ex-ce",
    cell: "cross-entropy",
    name: "no minus",
    code: loss("tf.logSoftmax(rows).mul(right).sum().div(targets.size)"),
    says: "a minus sign is missing",
  },
  {
    exercise: "ex-ce",
    cell: "cross-entropy",
    name: "no softmax",
    code: loss("rows.mul(right).sum().div(-targets.size)"),
    says: "softmax is missing",
  },
  {
    exercise: "ex-ce",
    cell: "cross-entropy",
    name: "no logarithm",
    code: loss("tf.softmax(rows).mul(right).sum().div(-targets.size)"),
    says: "its logarithm is missing",
  },
  {
    exercise: "ex-ce",
    cell: "cross-entropy",
    name: "sum instead of mean",
    code: loss("tf.logSoftmax(rows).mul(right).sum().neg()"),
    says: "you summed over the rows",
  },
  {
    exercise: "ex-ce",
    cell: "cross-entropy",
    name: "mean over all scores",
    code: loss("tf.logSoftmax(rows).mul(right).mean().neg()"),
    says: "divided by the number of scores",
  },
  {
    exercise: "ex-ce",
    cell: "cross-entropy",
    name: "overflows",
    code: loss("rows.exp().div(rows.exp().sum(-1, true)).mul(right).sum(-1).log().mean().neg()"),
    says: "large scores overflow",
  },
  {
    exercise: "ex-adamw",
    cell: "adamw-step",
    name: "epsilon inside the root",
    code: adamw({ size: "v.div(1 - beta2 ** step).add(eps).sqrt()" }),
    says: "ε is inside the root",
  },
  {
    exercise: "ex-adamw",
    cell: "adamw-step",
    name: "climbs",
    code: adamw({ weight: "state.weight.mul(1 - learningRate * weightDecay).add(move)" }),
    says: "moved up the slope",
  },
  {
    exercise: "ex-adamw",
    cell: "adamw-step",
    name: "no bias correction",
    code: adamw({ size: "v.sqrt().add(eps)", move: "m.div(size).mul(learningRate)" }),
    says: "both bias corrections are missing",
  },
  {
    exercise: "ex-adamw",
    cell: "adamw-step",
    name: "betas swapped",
    code: adamw({ m: "state.m.mul(1 - beta1).add(g.mul(beta1))" }),
    says: "betas are swapped",
  },
  {
    exercise: "ex-adamw",
    cell: "adamw-step",
    name: "v averages the gradient",
    code: adamw({ v: "state.v.mul(beta2).add(g.mul(1 - beta2))" }),
    says: "v averages the squared gradient",
  },
  {
    exercise: "ex-adamw",
    cell: "adamw-step",
    name: "decay as L2",
    code: adamw({
      g: "gradient.add(state.weight.mul(weightDecay))",
      weight: "state.weight.sub(move)",
    }),
    says: "that is L2",
  },
  {
    exercise: "ex-adamw",
    cell: "adamw-step",
    name: "decay without the learning rate",
    code: adamw({ weight: "state.weight.mul(1 - weightDecay).sub(move)" }),
    says: "not multiplied by the learning rate",
  },
  {
    exercise: "ex-schedule",
    cell: "cosine-schedule",
    name: "the first step is lost",
    code: schedule({ warm: "peak * step / warmup" }),
    says: "the first step would be lost",
  },
  {
    exercise: "ex-schedule",
    cell: "cosine-schedule",
    name: "counts the cosine from 0",
    code: schedule({ share: "step / steps" }),
    says: "count from there",
  },
  {
    exercise: "ex-schedule",
    cell: "cosine-schedule",
    name: "falls to 0",
    code: schedule({
      end: "0.5 * peak * (1 + Math.cos(Math.PI * share))",
      late: "if (step >= steps) return 0;",
    }),
    says: "must end at the floor",
  },
  {
    exercise: "ex-schedule",
    cell: "cosine-schedule",
    name: "a straight line",
    code: schedule({ end: "peak + (floor - peak) * share" }),
    says: "a straight line down",
  },
  {
    exercise: "ex-schedule",
    cell: "cosine-schedule",
    name: "rises again",
    code: schedule({ late: "" }),
    says: "rises again",
  },
  {
    exercise: "ex-ce",
    cell: "cross-entropy",
    name: "outside of tfjs",
    code: loss("tf.scalar(-tf.logSoftmax(rows).mul(right).sum().dataSync()[0] / targets.size)"),
    says: "no gradient reaches the logits",
    isSubtle: true,
  },
  {
    exercise: "ex-adamw",
    cell: "adamw-step",
    name: "epsilon before the bias correction",
    code: adamw({ size: "v.sqrt().add(eps).div(Math.sqrt(1 - beta2 ** step))" }),
    says: "after the bias correction",
    isSubtle: true,
  },
];
