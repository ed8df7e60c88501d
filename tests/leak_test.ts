/** 1,000 steps of training need what two need: counted in tensors, their bytes and the backend's own memory. */
import { assertEquals } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import { verifyOperators } from "lib/engine/ops.ts";
import { Random } from "lib/engine/random.ts";
import { simdBackend } from "lib/engine/simd/mod.ts";
import { AdamW, BatchSampler, trainStep } from "lib/train.ts";
import { GPT, type GPTConfig } from "lib/transformer.ts";
import { testOnBackends } from "./support.ts";

const STEPS = 1000;
const shape = { vocabSize: 11, blockSize: 5, nLayer: 1, nHead: 3, nEmbd: 9 };

/** What is in use now. On `simd`, also what the heap has handed out, at most so far, and the size of its memory. */
function memoryInUse(): Record<string, number> {
  const { numTensors, numBytes, numDataBuffers } = tf.memory();
  const tensors = { numTensors, numBytes, numDataBuffers };
  if (tf.getBackend() !== "simd") return tensors;
  const { bytesInUse, peakBytes, size } = simdBackend()!.heap;
  return { ...tensors, bytesInUse, peakBytes, size };
}

function train(config: Partial<GPTConfig>): void {
  const model = new GPT({ ...shape, ...config }, new Random(1));
  const optimizer = new AdamW(model.parameters);
  const tokens = Uint16Array.from({ length: 99 }, (_, i) => i * i % 11);
  const { blockSize } = model.config;
  const batches = new BatchSampler(tokens, { batchSize: 2, blockSize, random: new Random(2) });
  const options = { learningRate: 1e-3, clip: 1, random: new Random(3) };
  let after2: Record<string, number> | undefined;
  for (let step = 1; step <= STEPS; step++) {
    const { loss, norm } = trainStep(model, optimizer, [batches.next()], options);
    tf.dispose([loss, norm]);
    if (step === 2) after2 = memoryInUse();
    else if (after2) assertEquals(memoryInUse(), after2, `after step ${step}`);
  }
  model.dispose();
  optimizer.dispose();
}

testOnBackends(`${STEPS} steps leak nothing`, async () => {
  await verifyOperators();
  train({ bias: true, dropout: 0.1 });
}, ["simd", "cpu"]);

testOnBackends(`${STEPS} steps of operators that have no kernel leak nothing`, () => {
  train({ norm: "rms", activation: "swiglu", nKVHead: 1, position: "rotary", nEmbd: 6 });
}, ["simd"]);
