/** What every entrant of the bench `train` sees: the same batches, at the same learning rate. */
import { loadCorpus } from "lib/data/corpus.ts";
import { Random } from "lib/engine/random.ts";
import { BatchSampler, packTokens, type Tokens } from "lib/train.ts";
import type { GPTConfig } from "lib/transformer.ts";

/** Characters of the text that batches are cut from. */
const TEXT = 200_000;

/** How a step moves. */
export const STEP = { learningRate: 1e-3, clip: 1 };

/** A text in `vocabSize` symbols: the tales, letters folded together where there are more. */
async function symbols(vocabSize: number): Promise<Tokens> {
  const { text } = await loadCorpus("tales");
  const codes = Array.from({ length: TEXT }, (_, i) => text.charCodeAt(i) % vocabSize);
  return packTokens(codes, vocabSize);
}

/** Batches from that text, by a fixed seed. */
export async function benchBatches(
  { vocabSize, blockSize }: GPTConfig,
  batchSize: number,
): Promise<BatchSampler> {
  const random = new Random(1337);
  return new BatchSampler(await symbols(vocabSize), { batchSize, blockSize, random });
}
