/** What a peer is given: the first weights of our own model and the batches of our own run, in files of plain numbers. */
import * as tf from "@tensorflow/tfjs";
import { join } from "node:path";
import { AdamW } from "lib/train.ts";
import { GPT } from "lib/transformer.ts";
import { benchBatches, STEP } from "../batches.ts";
import type { Entrant, PeerJob } from "../protocol.ts";

/** The folder where a job's files lie, and the job itself. */
export interface Prepared {
  folder: string;
  job: PeerJob;
}

/**
 * Writes the files for as many steps as will be made.
 *
 * @returns the job; the caller removes its folder
 */
export async function prepareJob(
  { model: config, batchSize }: Omit<Entrant, "label">,
  steps: number,
): Promise<Prepared> {
  await tf.setBackend("cpu");
  const folder = await Deno.makeTempDir({ prefix: "nano-llm-peers-" });
  const model = new GPT(config);
  const optimizer = new AdamW(model.parameters);
  const job = {
    model: model.config,
    batchSize,
    steps,
    parameters: model.parameters.entries().map(([name, { shape }]) => ({
      name,
      shape,
    })),
    weights: await writeNumbers(join(folder, "weights.f32"), model.parameters.variables()),
    batches: await writeNumbers(
      join(folder, "batches.i32"),
      await drawBatches(model, batchSize, steps),
    ),
    ...STEP,
    ...optimizer.options,
  };
  optimizer.dispose();
  model.dispose();
  return { folder, job };
}

/** For each step, inputs [B, T] and targets [B, T]. */
async function drawBatches(model: GPT, batchSize: number, steps: number): Promise<tf.Tensor[]> {
  const batches = await benchBatches(model.config, batchSize);
  return Array.from({ length: steps }, () => batches.next()).flatMap((
    { inputs, targets },
  ) => [inputs, targets]);
}

/** Writes tensors one after the other, 4 bytes a number, lowest byte first; returns the file. */
async function writeNumbers(file: string, tensors: tf.Tensor[]): Promise<string> {
  const parts = await Promise.all(tensors.map((tensor) => tensor.data()));
  await Deno.writeFile(file, new Blob(parts as BlobPart[]).stream());
  return file;
}
