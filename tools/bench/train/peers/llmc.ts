/** Makes llm.c (https://github.com/karpathy/llm.c) ready to train the bench's model: compiles it, and writes its checkpoint. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ask } from "tools/programs.ts";
import type { PeerJob } from "../protocol.ts";
import type { Command } from "../race.ts";
import { readWeights } from "./serve.ts";

const DRIVER = fileURLToPath(new URL("llmc.c", import.meta.url));

/** The flags of its own Makefile. */
const FLAGS = ["-Ofast", "-march=native", "-fopenmp", "-DOMP", "-w"];

/** Its tensors in the order of its checkpoint, each over all layers: our name, or a bias, which ours lack, of so many widths. */
const TENSORS: (string | number)[] = [
  ...["wte", "wpe", "h.*.ln_1", 1, "h.*.attn.c_attn", 3, "h.*.attn.c_proj", 1],
  ...["h.*.ln_2", 1, "h.*.mlp.c_fc", 4, "h.*.mlp.c_proj", 1, "ln_f", 1],
];

/**
 * The command that trains with llm.c.
 *
 * @throws Error if NANO_LLM_LLMC names no folder with train_gpt2.c, or no C compiler takes it
 */
export async function llmcCommand(job: PeerJob, threads?: number): Promise<Command> {
  const source = Deno.env.get("NANO_LLM_LLMC");
  if (!source) throw new Error("NANO_LLM_LLMC names no folder");
  const folder = dirname(job.weights), program = join(folder, "llmc");
  const text = await Deno.readTextFile(join(source, "train_gpt2.c"));
  const args = [...FLAGS, `-I${source}`, DRIVER, "-o", program, "-lm"];
  const { ok, stderr, problem } = await ask("cc", args);
  if (!ok) throw new Error(`cc: ${stderr.split("\n")[0] || problem}`);
  const checkpoint = join(folder, "llmc.bin");
  await writeCheckpoint(checkpoint, job, text.includes("padded_vocab_size") ? 3 : 1);
  const { batches, steps, batchSize, model: { blockSize }, learningRate, betas, eps, weightDecay } =
    job;
  const numbers = [steps, batchSize, blockSize, learningRate, ...betas, eps, weightDecay];
  const env: Record<string, string> = threads ? { OMP_NUM_THREADS: `${threads}` } : {};
  return { program, args: [checkpoint, batches, ...numbers.map(String)], env };
}

/**
 * Writes the job's weights as llm.c reads them: a header of 256 int32, then its tensors, float32; biases are 0.
 *
 * @param version 1 of the checkpoints before the vocabulary was padded, 3 after
 */
export async function writeCheckpoint(file: string, job: PeerJob, version: number): Promise<void> {
  const { vocabSize, blockSize, nLayer, nHead, nEmbd } = job.model;
  const header = new Int32Array(256);
  header.set([20240326, version, blockSize, vocabSize, nLayer, nHead, nEmbd, vocabSize]);
  const weights = await readWeights(job);
  const parts = TENSORS.flatMap((what, place) => {
    const name = typeof what === "string" ? what : TENSORS[place - 1] as string;
    const copies = name.includes("*") ? nLayer : 1;
    return Array.from({ length: copies }, (_, layer) => {
      if (typeof what === "number") return new Float32Array(what * nEmbd);
      const { shape, values } = weights.get(`transformer.${name.replace("*", `${layer}`)}.weight`)!;
      return name.includes(".c_") ? transposed(values, shape) : values;
    });
  });
  await Deno.writeFile(file, new Blob([header, ...parts]).stream());
}

/** llm.c's matrices are [to, from]. */
function transposed(values: Float32Array, [rows, columns]: number[]): Float32Array<ArrayBuffer> {
  return Float32Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]);
}
