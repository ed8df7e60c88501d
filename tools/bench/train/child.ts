/**
 * The process of one variant: builds the model, then does what each line from stdin asks for and answers with a line.
 * Its one argument is the variant as JSON.
 */
import * as tf from "@tensorflow/tfjs";
import { useKernels, verifyOperators } from "lib/engine/ops.ts";
import { generate } from "lib/sample.ts";
import { AdamW, type BatchSampler, trainStep } from "lib/train.ts";
import { GPT } from "lib/transformer.ts";
import { benchBatches, STEP } from "./batches.ts";
import { measureProducts } from "./gemm.ts";
import { readLines, toLine } from "./lines.ts";
import type { Memory, Reply, Requests, Variant } from "./protocol.ts";

/** Stands for a loss that is no number: JSON has no NaN. */
const BROKEN = 1e30;

type Answers = {
  [K in keyof Requests]: (ask: Requests[K]["ask"]) => Promise<Requests[K]["answer"]>;
};

async function chooseBackend({ backend, isStock, storage, threads }: Variant): Promise<void> {
  tf.enableProdMode();
  if (backend === "simd") {
    const { registerSimdBackend } = await import("lib/engine/simd/mod.ts");
    await registerSimdBackend({ threads });
  } else if (backend === "wasm") {
    const { registerWasmBackend } = await import("lib/engine/wasm.ts");
    await registerWasmBackend(isStock ? "stock" : "ours");
  } else if (backend === "webgpu" && isStock) {
    await import("@tensorflow/tfjs-backend-webgpu");
    const { registerAddN } = await import("lib/engine/webgpu/stock.ts");
    registerAddN();
  } else if (backend === "webgpu") {
    const { useBackend } = await import("lib/engine/backend.ts");
    await useBackend("webgpu", { storage });
  }
  if (!await tf.setBackend(backend)) throw new Error(`backend "${backend}" does not start here`);
  await tf.ready();
  if (backend === "simd") {
    const { simdBackend } = await import("lib/engine/simd/mod.ts");
    await simdBackend()!.pool.ready();
  }
}

/** Model, optimizer and batches of a variant; the same seeds everywhere, so that every variant sees the same. */
class Training {
  private constructor(
    readonly model: GPT,
    readonly optimizer: AdamW,
    readonly batches: BatchSampler,
  ) {}

  static async start({ model: config, batchSize }: Variant): Promise<Training> {
    const model = new GPT(config);
    const batches = await benchBatches(model.config, batchSize);
    return new Training(model, new AdamW(model.parameters), batches);
  }

  /** One step; its loss stays on the device. */
  step(): tf.Scalar {
    const { loss, norm } = trainStep(this.model, this.optimizer, [this.batches.next()], STEP);
    norm.dispose();
    return loss;
  }

  async timedStep(): Promise<{ milliseconds: number; loss: number }> {
    const start = performance.now();
    const scalar = this.step();
    const [loss] = await scalar.data();
    scalar.dispose();
    return { milliseconds: performance.now() - start, loss };
  }
}

function answersOf(variant: Variant, training: Training): Answers {
  return {
    async steps({ count, untimed }) {
      const all = [];
      for (let i = 0; i < untimed + count; i++) all.push(await training.timedStep());
      return {
        milliseconds: all.slice(untimed).map(({ milliseconds }) => milliseconds),
        losses: all.map(({ loss }) => Number.isFinite(loss) ? loss : BROKEN),
      };
    },
    memory: () => peakMemory(variant, training),
    host: ({ count }) => hostTime(training, count),
    gemm: ({ rounds }) => Promise.resolve(measureProducts(rounds)),
    generate: (ask) => write(training.model, ask),
  };
}

async function peakMemory({ backend }: Variant, training: Training): Promise<Memory> {
  await training.timedStep();
  const memory = tf.memory() as tf.MemoryInfo & {
    peakBytesInHeap?: number;
    numBytesAllocatedInGPU?: number;
  };
  if (backend === "webgpu") return { reserved: memory.numBytesAllocatedInGPU };
  const { peakBytes } = await tf.profile(() => {
    training.step().dispose();
    return tf.scalar(0);
  });
  return { reserved: memory.peakBytesInHeap, tensors: peakBytes };
}

/** Afterwards the weights are worthless: this is the last thing to ask a process for. */
async function hostTime(training: Training, count: number): Promise<Requests["host"]["answer"]> {
  await training.timedStep();
  const { prototype } = GPUComputePassEncoder;
  let dispatches = 0;
  prototype.dispatchWorkgroups = () => void dispatches++;
  prototype.dispatchWorkgroupsIndirect = () => void dispatches++;
  const milliseconds = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    training.step().dispose();
    milliseconds.push(performance.now() - start);
  }
  return { dispatches: dispatches / count, milliseconds };
}

async function write(
  model: GPT,
  { tokens, useCache }: Requests["generate"]["ask"],
): Promise<Requests["generate"]["answer"]> {
  await verifyOperators();
  const { vocabSize } = model.config;
  const tokenizer = {
    vocabSize,
    encode: (text: string) => Array.from(text, (letter) => letter.charCodeAt(0) % vocabSize),
    tokenBytes: (id: number) => Uint8Array.of(id + 32),
  };
  const start = performance.now();
  const ids = [];
  const options = { maxTokens: tokens, useCache, seed: 1 };
  for await (const { id } of generate(model, tokenizer, "O", options)) ids.push(id);
  return { seconds: (performance.now() - start) / 1000, ids };
}

async function main(variant: Variant): Promise<void> {
  console.log = console.info = console.error; // stdout belongs to the answers
  await chooseBackend(variant);
  useKernels(variant.kernels);
  await verifyOperators();
  const answers = answersOf(variant, await Training.start(variant));
  say({ answer: "ready" });
  for await (const line of readLines(Deno.stdin.readable)) {
    const { what, ask } = JSON.parse(line) as { what: keyof Requests; ask: never };
    say({ answer: await answers[what](ask) });
  }
}

function say(reply: Reply): void {
  Deno.stdout.writeSync(toLine(reply));
}

await main(JSON.parse(Deno.args[0])).catch((error) =>
  say({ error: String(error?.stack ?? error) })
);
Deno.exit(0);
