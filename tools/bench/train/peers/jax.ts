/** The bench's model in jax-js, one jitted function for the whole step. Its device is named by the environment: JAX_DEVICE. */
import { type Peer, readBatches, readWeights, serve } from "./serve.ts";
import type { PeerJob } from "../protocol.ts";

// deno-lint-ignore no-explicit-any
type Any = any;

const PACKAGE = "npm:@jax-js/jax@0.1.25";

async function make(job: PeerJob): Promise<Peer> {
  const jax: Any = await import(PACKAGE);
  const device = Deno.env.get("JAX_DEVICE") ?? "wasm";
  const started = await jax.init(device);
  if (!started.includes(device)) {
    throw new Error(`jax-js has no device "${device}" here, only ${started}`);
  }
  jax.defaultDevice(device);
  const { numpy: np } = jax;
  const given = await readWeights(job);
  const zeros = () =>
    Object.fromEntries([...given].map(([name, { shape }]) => [name, np.zeros(shape)]));
  const weights = Object.fromEntries(
    [...given].map(([name, { shape, values }]) => [name, np.array(values.slice()).reshape(shape)]),
  );
  let state = { weights, m: zeros(), v: zeros() };
  const { batchSize, model: { blockSize } } = job;
  const batches = (await readBatches(job)).map((batch) =>
    Object.values(batch).map((ids) => np.array(ids.slice()).reshape([batchSize, blockSize]))
  );
  const update = jax.jit(stepFunction(jax, job));
  let done = 0;
  return {
    weights: [...given.values()].reduce((sum, { values }) => sum + values.length, 0),
    async step() {
      const [inputs, targets] = batches[done++ % batches.length];
      const corrections = job.betas.map((beta) => np.array(1 - beta ** done));
      let loss: Any;
      [loss, state] = update(state, inputs.ref, targets.ref, ...corrections);
      await jax.blockUntilReady(state);
      return (await loss.data())[0];
    },
  };
}

/** Loss of a batch. In jax-js a function uses up what it is given; `ref` keeps it for another use. */
function lossFunction({ numpy: np, nn }: Any, { model }: PeerJob) {
  const { nLayer, nHead, nEmbd, vocabSize } = model;
  const norm = (x: Any, gain: Any) => {
    const centred = x.ref.sub(np.mean(x, -1, { keepdims: true }));
    const variance = np.mean(np.square(centred.ref), -1, { keepdims: true });
    return centred.div(np.sqrt(variance.add(1e-5))).mul(gain);
  };
  return (weights: Record<string, Any>, inputs: Any, targets: Any) => {
    const weight = (name: string) => weights[`transformer.${name}.weight`].ref;
    const [rows, length] = inputs.shape;
    const attention = (x: Any, name: string) => {
      const qkv = np.matmul(x, weight(`${name}.c_attn`)).reshape([
        rows,
        length,
        3,
        nHead,
        nEmbd / nHead,
      ]);
      const [q, k, v] = np.split(qkv, 3, 2).map((part: Any) =>
        part.reshape([rows, length, nHead, nEmbd / nHead])
      );
      const heard = nn.dotProductAttention(q, k, v, { isCausal: true });
      return np.matmul(heard.reshape([rows, length, nEmbd]), weight(`${name}.c_proj`));
    };
    const mlp = (x: Any, name: string) =>
      np.matmul(
        nn.gelu(np.matmul(x, weight(`${name}.c_fc`)), { approximate: true }),
        weight(`${name}.c_proj`),
      );
    let x = np.matmul(nn.oneHot(inputs, vocabSize), weight("wte")).add(weight("wpe"));
    for (let i = 0; i < nLayer; i++) {
      x = x.ref.add(attention(norm(x, weight(`h.${i}.ln_1`)), `h.${i}.attn`));
      x = x.ref.add(mlp(norm(x, weight(`h.${i}.ln_2`)), `h.${i}.mlp`));
    }
    const logits = np.matmul(norm(x, weight("ln_f")), np.transpose(weight("wte")));
    const right = nn.oneHot(targets, vocabSize);
    for (const given of Object.values(weights)) given.dispose();
    return np.sum(nn.logSoftmax(logits).mul(right)).mul(-1 / (rows * length));
  };
}

/** One step of training: loss and gradients, clipping, AdamW. */
function stepFunction(jax: Any, job: PeerJob) {
  const { numpy: np } = jax;
  const { learningRate, clip, betas: [beta1, beta2], eps, weightDecay } = job;
  const lossAndGradients = jax.valueAndGrad(lossFunction(jax, job));
  return (
    { weights, m, v }: Any,
    inputs: Any,
    targets: Any,
    correction1: Any,
    correction2: Any,
  ) => {
    const names = Object.keys(weights);
    const [loss, gradients] = lossAndGradients(jax.tree.ref(weights), inputs, targets);
    const squares = names.map((name) => np.sum(np.square(gradients[name].ref)));
    const norm = np.sqrt(squares.reduce((a, b) => a.add(b)));
    const factor = np.minimum(np.array(clip).div(norm.add(1e-6)), 1);
    const after: Any = { weights: {}, m: {}, v: {} };
    for (const name of names) {
      const gradient = gradients[name].mul(factor.ref);
      const m1 = m[name].mul(beta1).add(gradient.ref.mul(1 - beta1));
      const v1 = v[name].mul(beta2).add(np.square(gradient).mul(1 - beta2));
      const size = np.sqrt(v1.ref.div(correction2.ref)).add(eps);
      const move = m1.ref.div(correction1.ref).div(size).mul(learningRate);
      const decay = weights[name].shape.length > 1 ? weightDecay : 0;
      after.weights[name] = weights[name].mul(1 - learningRate * decay).sub(move);
      after.m[name] = m1;
      after.v[name] = v1;
    }
    jax.tree.dispose([factor, correction1, correction2]);
    return [loss, after];
  };
}

await serve(make);
