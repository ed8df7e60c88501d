/** Models that nobody tuned the engine for train on every backend, step for step as plain tfjs ops do on `cpu`. */
import { assert } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import { KERNELS } from "lib/engine/kernels.ts";
import { useKernels, verifyOperators } from "lib/engine/ops.ts";
import { Random } from "lib/engine/random.ts";
import { AdamW, BatchSampler, packTokens, trainStep } from "lib/train.ts";
import { GPT, type GPTConfig } from "lib/transformer.ts";
import { OwnGPT } from "./own-model.ts";
import { testOnBackends } from "./support.ts";

type Config = Partial<GPTConfig> & { vocabSize: number };
type Make = () => GPT;

/** How far a loss may be from the referee's, in nats: rounding, which every step makes larger. */
const TOLERANCE = 5e-4;

interface Run {
  steps: number;
  learningRate: number;
  /** How many nats the loss must fall. */
  fall: number;
}

const LONG: Run = { steps: 50, learningRate: 3e-3, fall: 2 };
const SHORT: Run = { steps: 20, learningRate: 6e-3, fall: 1 };

/** The loss of each step, on the backend that tfjs is set to. */
async function lossCurve(make: Make, { steps, learningRate }: Run): Promise<number[]> {
  await verifyOperators();
  const model = make(), optimizer = new AdamW(model.parameters);
  const { vocabSize, blockSize } = model.config;
  const apart = Math.floor(vocabSize / 9); // few tokens, from all over the vocabulary
  const text = Array.from({ length: 500 }, (_, i) => vocabSize - 1 - (i * i % 9) * apart);
  const tokens = packTokens(text, vocabSize);
  const sampler = new BatchSampler(tokens, { batchSize: 2, blockSize, random: new Random(3) });
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const { loss, norm } = trainStep(model, optimizer, [sampler.next()], {
      learningRate,
      clip: 1,
    });
    losses.push((await loss.data())[0]);
    tf.dispose([loss, norm]);
  }
  optimizer.dispose();
  model.dispose();
  return losses;
}

async function withoutKernels<T>(work: () => Promise<T>): Promise<T> {
  useKernels("reference");
  return await work().finally(() => useKernels("fused"));
}

/** One test per backend: `cpu` is the referee, and its loss falls; the others' losses are its, step by step. */
function testCurve(name: string, make: Make, run = SHORT): void {
  let referee: number[] | undefined;
  testOnBackends(`${run.steps} steps as on cpu: ${name}`, async (backend) => {
    await tf.setBackend("cpu");
    referee ??= await withoutKernels(() => lossCurve(make, run));
    const [first, last] = [referee[0], referee[run.steps - 1]];
    assert(first - last > run.fall, `the loss falls from ${first} to ${last} only`);
    if (backend === "cpu") return;
    await tf.setBackend(backend);
    for (const [i, loss] of (await lossCurve(make, run)).entries()) {
      const apart = Math.abs(loss - referee[i]);
      assert(apart <= TOLERANCE, `step ${i + 1}: loss ${loss}, on cpu ${referee[i]}`);
    }
  });
}

const plain = { vocabSize: 37, blockSize: 13, nLayer: 2, nHead: 3, nEmbd: 21 };
const odd = { ...plain, blockSize: 7, bias: false, norm: "rms" } as const;
const llama = { ...odd, activation: "swiglu", nKVHead: 1 } as const;

const MODELS: Record<string, Config> = {
  "3 heads of 7, 1,021 tokens, no bias, RMS norm": { ...odd, vocabSize: 1021 },
  "rotary, heads of 6": { ...odd, nEmbd: 18, position: "rotary" },
  "layer norm without bias, rotary, one head of 34": {
    ...{ ...odd, norm: "layer", nEmbd: 34, nHead: 1, position: "rotary", nInner: 45 },
  },
  "SwiGLU, three heads sharing one of keys, 1,021 tokens": { ...llama, vocabSize: 1021 },
  "SwiGLU, rotary, four heads sharing two of keys": {
    ...{ ...llama, nHead: 4, nKVHead: 2, nEmbd: 24, position: "rotary" },
  },
};

testCurve("GPT-2's kind", () => new GPT({ ...plain, bias: true }, new Random(1)), LONG);
for (const [name, config] of Object.entries(MODELS)) {
  testCurve(name, () => new GPT(config, new Random(1)));
}
testCurve("a reader's own mask and activation", () => new OwnGPT(plain, new Random(1)));

/** Names of the kernels that a step runs. */
async function kernelsOf(make: Make): Promise<string[]> {
  await verifyOperators();
  const model = make();
  const ids = tf.zeros([2, 13], "int32") as tf.Tensor2D;
  const { kernelNames } = await tf.profile(() => tf.tidy(() => model.forward(ids)));
  model.dispose();
  return kernelNames;
}

testOnBackends("the kernels run for what they compute, and for nothing else", async () => {
  const usual = await kernelsOf(() => new GPT(plain)),
    own = await kernelsOf(() => new OwnGPT(plain));
  for (const name of [KERNELS.linear, KERNELS.layerNorm, KERNELS.embedding]) {
    assert(usual.includes(name) && own.includes(name), `${name} is not used`);
  }
  for (const name of [KERNELS.gelu, KERNELS.causalAttention]) {
    assert(usual.includes(name), `${name} is not used`);
    assert(!own.includes(name), `${name} stands in for another function`);
  }
}, ["webgpu", "simd"]);
