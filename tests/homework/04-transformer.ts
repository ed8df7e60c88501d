/** Wrong solutions of chapter 04. */
import type { Wrong } from "./wrong.ts";

const layerNorm = (
  {
    mean = "x.mean(-1, true)",
    variance = "centred.square().mean(-1, true)",
    scale = "variance.add(eps).rsqrt()",
    end = "bias ? scaled.mul(gain).add(bias) : scaled.mul(gain)",
  },
) => `
  const centred = x.sub(${mean});
  const variance = ${variance};
  const scaled = centred.mul(${scale});
  return ${end};`;
const gradients = (
  {
    x = "push.sub(useless).mul(scale)",
    gain = "overVectors(dy.mul(normal))",
    bias = "overVectors(dy)",
    push = "dy.mul(gain)",
  },
) => `
  const centred = x.sub(perVector(x));
  const scale = perVector(centred.square()).add(eps).rsqrt();
  const normal = centred.mul(scale);
  const push = ${push};
  const useless = perVector(push).add(normal.mul(perVector(push.mul(normal))));
  return { x: ${x}, gain: ${gain}, bias: ${bias} };`;
const mlp = (bent: string, narrow = "linear(bent, this.#proj.weight, this.#proj.bias)") => `
    const wide = linear(x, this.#fc.weight, this.#fc.bias);
    const gate = this.#gate ? linear(x, this.#gate.weight, this.#gate.bias) : undefined;
    const bent = ${bent};
    return dropout(${narrow}, this.#dropout, random);`;
const block = (heard: string, thought: string, end = "h.add(thought)", h = "x.add(heard)") => `
    const heard = ${heard};
    const h = ${h};
    const thought = ${thought};
    return ${end};`;
const [attends, thinks] = [
  "this.attention.forward(this.ln1.forward(x), { random, cache })",
  "this.mlp.forward(this.ln2.forward(h), { random })",
];
const count = (
  {
    total = "V * C + positions + L * (2 * norm + attention + mlp) + norm",
    gated = "(isGated ? 2 : 1)",
    keys = "2 * K",
    positions = "config.position === 'learned' ? T * C : 0",
  },
) => `
  const norm = config.norm === "layer" ? C * (1 + withBias) : C;
  const attention = (C + withBias) * (C + ${keys}) + (C + withBias) * C;
  const mlp = ${gated} * (C + withBias) * F + (F + withBias) * C;
  const positions = ${positions};
  return ${total};`;

/** Mistakes, by exercise. */
export const wrong: Wrong[] = [
  {
    exercise: "ex-layer-norm",
    name: "epsilon outside the root",
    code: layerNorm({ scale: "tf.scalar(1).div(variance.sqrt().add(eps))" }),
    says: "outside the root",
  },
  {
    exercise: "ex-layer-norm",
    name: "mean across the vectors",
    code: layerNorm({ mean: "x.mean(0, true)", variance: "centred.square().mean(0, true)" }),
    says: "a single vector became 0",
  },
  {
    exercise: "ex-layer-norm",
    name: "mean over everything",
    code: layerNorm({ mean: "x.mean()", variance: "centred.square().mean()" }),
    says: "one vector changed another",
  },
  {
    exercise: "ex-layer-norm",
    name: "divides the variance by C - 1",
    code: layerNorm({ variance: "centred.square().sum(-1, true).div(x.shape.at(-1) - 1)" }),
    says: "divides by C - 1",
  },
  {
    exercise: "ex-layer-norm",
    name: "does not divide",
    code: layerNorm({ scale: "1" }),
    says: "the spread stayed 3",
  },
  {
    exercise: "ex-layer-norm",
    name: "bias before gain",
    code: layerNorm({ end: "(bias ? scaled.add(bias) : scaled).mul(gain)" }),
    says: "before multiplying by the gain",
  },
  {
    exercise: "ex-layer-norm",
    name: "forgets the bias",
    code: layerNorm({ end: "scaled.mul(gain)" }),
    says: "the bias is not used",
  },
  {
    exercise: "ex-norm-gradient",
    name: "mean and variance as constants",
    code: gradients({ x: "push.mul(scale)" }),
    says: "took mean and variance for constants",
  },
  {
    exercise: "ex-norm-gradient",
    name: "variance as a constant",
    code: gradients({ x: "push.sub(perVector(push)).mul(scale)" }),
    says: "take out the part along normal",
  },
  {
    exercise: "ex-norm-gradient",
    name: "does not divide by the root",
    code: gradients({ x: "push.sub(useless)" }),
    says: "the last step is missing",
  },
  {
    exercise: "ex-norm-gradient",
    name: "forgets the gain",
    code: gradients({ push: "dy" }),
    says: "the gain is missing",
  },
  {
    exercise: "ex-norm-gradient",
    name: "gradient of gain from x",
    code: gradients({ gain: "overVectors(dy.mul(x))" }),
    says: "the gain multiplied normal, not x",
  },
  {
    exercise: "ex-norm-gradient",
    name: "averages the gradient of the bias",
    code: gradients({ bias: "dy.reshape([-1, gain.size]).mean(0)" }),
    says: "their gradients add up",
  },
  {
    exercise: "ex-init",
    name: "depth has no effect",
    code: "return INIT_STD;",
    says: "the depth has no effect",
  },
  {
    exercise: "ex-init",
    name: "divides by the number",
    code: "return INIT_STD / (2 * nLayer);",
    says: "variances add",
  },
  {
    exercise: "ex-init",
    name: "one write per block",
    code: "return INIT_STD / Math.sqrt(nLayer);",
    says: "each block writes twice",
  },
  {
    exercise: "ex-init",
    name: "multiplies",
    code: "return INIT_STD * Math.sqrt(2 * nLayer);",
    says: "divide, do not multiply",
  },
  {
    exercise: "ex-mlp",
    name: "bends nothing",
    code: mlp("gate ? wide.mul(silu(gate)) : wide"),
    says: "nothing is bent",
  },
  {
    exercise: "ex-mlp",
    name: "ReLU",
    code: mlp("gate ? wide.mul(silu(gate)) : wide.relu()"),
    says: "that is ReLU",
  },
  {
    exercise: "ex-mlp",
    name: "no biases",
    code: mlp("gate ? wide.mul(silu(gate)) : gelu(wide)", "linear(bent, this.#proj.weight)"),
    says: "the biases are not used",
  },
  {
    exercise: "ex-mlp",
    name: "does not look at the gate",
    code: mlp("gelu(wide)"),
    says: "the gate must count",
  },
  {
    exercise: "ex-mlp",
    name: "SiLU on the wrong side",
    code: mlp("gate ? gate.mul(silu(wide)) : gelu(wide)"),
    says: "not on the wide values",
  },
  {
    exercise: "ex-mlp",
    name: "gate not bent",
    code: mlp("gate ? wide.mul(gate) : gelu(wide)"),
    says: "the gate is not bent",
  },
  {
    exercise: "ex-block",
    name: "no residual at the MLP",
    code: block(attends, thinks, "thought"),
    says: "a plus is missing (or both)",
  },
  {
    exercise: "ex-block",
    name: "no residual at the attention",
    code: block(attends, thinks, "h.add(thought)", "heard"),
    says: "the first plus is missing",
  },
  {
    exercise: "ex-block",
    name: "the MLP reads x",
    code: block(attends, "this.mlp.forward(this.ln2.forward(x), { random })"),
    says: "your MLP reads x",
  },
  {
    exercise: "ex-block",
    name: "no first norm",
    code: block("this.attention.forward(x, { random, cache })", thinks),
    says: "without ln_1",
  },
  {
    exercise: "ex-block",
    name: "no second norm",
    code: block(attends, "this.mlp.forward(h, { random })"),
    says: "without ln_2",
  },
  {
    exercise: "ex-block",
    name: "post-norm",
    code: block(
      "this.attention.forward(x, { random, cache })",
      "this.mlp.forward(h, { random })",
      "this.ln2.forward(h.add(thought))",
      "this.ln1.forward(x.add(heard))",
    ),
    says: "post-norm",
  },
  {
    exercise: "ex-count",
    name: "counts the tied table twice",
    code: count({ total: "2 * V * C + positions + L * (2 * norm + attention + mlp) + norm" }),
    says: "the token table twice",
  },
  {
    exercise: "ex-count",
    name: "no position table",
    code: count({ positions: "0" }),
    says: "the position table is missing",
  },
  {
    exercise: "ex-count",
    name: "no last norm",
    code: count({ total: "V * C + positions + L * (2 * norm + attention + mlp)" }),
    says: "ln_f, is missing",
  },
  {
    exercise: "ex-count",
    name: "one norm per block",
    code: count({ total: "V * C + positions + L * (norm + attention + mlp) + norm" }),
    says: "each block has two norms",
  },
  {
    exercise: "ex-count",
    name: "rotary table",
    code: count({ positions: "T * C" }),
    says: "rotary positions learn nothing",
  },
  {
    exercise: "ex-count",
    name: "no gate",
    code: count({ gated: "1" }),
    says: "SwiGLU has a third matrix",
  },
  {
    exercise: "ex-count",
    name: "all heads have keys",
    code: count({ keys: "2 * C" }),
    says: "one key head serves two",
  },
  {
    exercise: "ex-layer-norm",
    name: "an epsilon of its own",
    code: layerNorm({ scale: "variance.add(1e-5).rsqrt()" }),
    says: "eps is a parameter",
    isSubtle: true,
  },
  {
    exercise: "ex-layer-norm",
    name: "outside of tfjs",
    code: layerNorm({ mean: "tf.tensor(x.mean(-1, true).arraySync())" }).replace(
      "x.sub",
      "tf.tensor(x.arraySync()).sub",
    ),
    says: "no gradient comes through",
    isSubtle: true,
  },
  {
    exercise: "ex-mlp",
    name: "no bias of c_fc",
    code: mlp("gate ? wide.mul(silu(gate)) : gelu(wide)").replace(
      "linear(x, this.#fc.weight, this.#fc.bias)",
      "linear(x, this.#fc.weight)",
    ),
    says: "the bias of c_fc is not used",
    isSubtle: true,
  },
  {
    exercise: "ex-mlp",
    name: "no bias of the gate",
    code: mlp("gate ? wide.mul(silu(gate)) : gelu(wide)").replace(", this.#gate.bias)", ")"),
    says: "the bias of c_gate is not used",
    isSubtle: true,
  },
  {
    exercise: "ex-mlp",
    name: "no dropout",
    code: mlp("gate ? wide.mul(silu(gate)) : gelu(wide)").replace("dropout(", "((y, ..._) => y)("),
    says: "goes through dropout",
    isSubtle: true,
  },
  {
    exercise: "ex-block",
    name: "random reaches the attention only",
    code: block(attends, "this.mlp.forward(this.ln2.forward(h))"),
    says: "random must reach both parts",
    isSubtle: true,
  },
  {
    exercise: "ex-block",
    name: "forgets the cache",
    code: block("this.attention.forward(this.ln1.forward(x), { random })", thinks),
    says: "the cache must reach the attention",
    isSubtle: true,
  },
];
