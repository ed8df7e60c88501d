/**
 * The bench's model as @genai-fi/nanogpt has it (its first version with learned positions: RMS norm where ours has layer norm, so
 * as many weights, but another loss), trained by its own trainer. The environment names its backend, NANOGPT_BACKEND, and a
 * folder where npm has installed it, NANO_LLM_NANOGPT.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { PeerJob } from "../protocol.ts";
import { type Peer, readBatches, serve } from "./serve.ts";

// deno-lint-ignore no-explicit-any
type Any = any;

async function load(name: string): Promise<Any> {
  const folder = Deno.env.get("NANO_LLM_NANOGPT");
  if (!folder) throw new Error("NANO_LLM_NANOGPT names no folder");
  return await import(pathToFileURL(createRequire(join(folder, "x.js")).resolve(name)).href);
}

async function make(job: PeerJob): Promise<Peer> {
  // The package has tfjs in itself, which shares the engine of a tfjs that is there before. By itself it would take Deno for Node.
  const tf = await load("@tensorflow/tfjs-core");
  tf.env().set("IS_NODE", false);
  const { TeachableLLM } = await load("@genai-fi/nanogpt");
  await TeachableLLM.selectBackend(Deno.env.get("NANOGPT_BACKEND"));
  const llm = TeachableLLM.create("char", configOf(job));
  const variables: Any[] = Object.values(tf.engine().state.registeredVariables);
  const weights = variables.reduce((sum, { size }) => sum + size, 0);
  const trainer = trainerOf(llm, job);
  const shape = [job.batchSize, job.model.blockSize];
  const batches = (await readBatches(job)).map(({ inputs, targets }) => ({
    xs: tf.tensor2d(inputs, shape, "int32"),
    ys: tf.tensor2d(targets, shape, "int32"),
  }));
  let done = 0;
  return {
    weights,
    async step() {
      const loss = trainer.trainStep({}, batches[done++ % batches.length]);
      const [value] = await loss.data();
      loss.dispose();
      return value;
    },
  };
}

function configOf({ model: { vocabSize, blockSize, nLayer, nHead, nEmbd } }: PeerJob) {
  const shape = { vocabSize, blockSize, nLayer, nHead, nEmbed: nEmbd, mlpFactor: 4 };
  return { ...shape, modelType: "GenAI_NanoGPT_v1", useRope: false };
}

/**
 * A trainer that nobody has started: the one of a run that is taken up again after no step. It does not clip: for that there is
 * no kernel on cpu, and on software Vulkan the loss stands still with the one for webgpu.
 */
function trainerOf(llm: Any, job: PeerJob): Any {
  const { batchSize, learningRate, betas: [beta1, beta2], eps: epsilon, weightDecay } = job;
  const options = {
    ...{ method: { type: "pretraining" }, batchSize, learningRate, minLearningRate: learningRate },
    ...{ beta1, beta2, epsilon, weightDecay, warmupSteps: 0 },
  };
  const log = [{ step: 0, duration: 0, totalTokens: 0, trainingMetrics: { loss: 0 } }];
  const { trainer } = llm.training.restore(options, log, undefined, [{
    id: "bench",
    name: "bench",
  }]);
  trainer.configure(options);
  return trainer;
}

await serve(make);
