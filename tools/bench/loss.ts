/**
 * Does training work as well as elsewhere? nanoGPT's settings for a CPU, its text, its published loss.
 * https://github.com/karpathy/nanoGPT#i-only-have-a-macbook
 */
import { useBackend } from "lib/engine/backend.ts";
import { loadCorpus, splitCorpus } from "lib/data/corpus.ts";
import { CharacterTokenizer } from "lib/tokenizer.ts";
import { evaluate, packTokens, smooth, startForWidth, Trainer } from "lib/train.ts";
import { GPT } from "lib/transformer.ts";
import type { BenchRow } from "../bench.ts";
import { count, oneOf, readFlags, UsageError } from "../cli.ts";

/** What the list of benches says. */
export const description =
  "validation loss at nanoGPT's shakespeare_char CPU settings [--text FILE] [--steps 2000] [--seed 1337] [--start width|gpt2]";

/** What nanoGPT's README quotes for these settings, nats per character. */
const QUOTED = 1.88;

/** What a plain PyTorch model with these settings reaches on the whole validation text (weights start as nanoGPT's, seed 1). */
const PYTORCH = 1.9145;

/** How loud the blocks' first weights are: as GPT-2's at its own width of 768, or 0.02 at any width, as nanoGPT's. */
const STARTS = ["width", "gpt2"] as const;

/** Steps between two lines of the curve. */
const EVERY = 100;

/** Trains for 2,000 steps (a quarter of an hour on a laptop), printing the curve. */
export async function bench(args: string[]): Promise<BenchRow[]> {
  const { values } = readFlags(args, {
    text: { type: "string", default: "tinyshakespeare" },
    steps: { type: "string", default: "2000" },
    seed: { type: "string", default: "1337" },
    start: { type: "string", default: "width" },
  });
  const steps = count("--steps", values.steps);
  const seed = count("--seed", values.seed, 0);
  console.log((await useBackend()).line);
  const { train, validation, vocabSize } = await characters(values.text);
  const model = new GPT({ vocabSize, nLayer: 4, nHead: 4, nEmbd: 128, blockSize: 64, bias: false });
  if (oneOf("--start", values.start, STARTS) === "width") startForWidth(model);
  const trainer = new Trainer({
    ...{ model, train, validation, steps, batchSize: 12, seed },
    ...{ learningRate: 1e-3, minLearningRate: 1e-4, warmup: Math.floor(steps / 20) },
    ...{ betas: [0.9, 0.99], weightDecay: 0.1, clip: 1, evaluateEvery: EVERY, evaluateWindows: 50 },
  });
  console.log(`${train.length} characters, ${model.parameters.count} parameters, ${steps} steps`);
  await trainer.run({ onEvaluation: (look) => console.log(curveLine(look, trainer)) });
  return rowsOf(trainer, await evaluate(model, validation));
}

/** The text in characters: the first 90 % to train on, the last 10 % to be tested on. */
async function characters(name: string) {
  const corpus = await loadCorpus(name).catch((error) => {
    throw new UsageError(`--text: ${error.message}`);
  });
  const tokenizer = await CharacterTokenizer.train(corpus.text);
  const split = splitCorpus(corpus, 0.1);
  const pack = (text: string) => packTokens(tokenizer.encode(text), tokenizer.vocabSize);
  return {
    train: pack(split.train),
    validation: pack(split.validation),
    vocabSize: tokenizer.vocabSize,
  };
}

function curveLine({ step, loss }: { step: number; loss: number }, trainer: Trainer): string {
  const train = smooth(trainer.history.loss, EVERY).at(-1)?.toFixed(4) ?? "      ";
  const minutes = (trainer.seconds / 60).toFixed(1);
  const speed = Math.round(trainer.tokensPerSecond);
  return `step ${String(step).padStart(5)}  train ${train}  validation ${
    loss.toFixed(4)
  } (a sample)` +
    `  ${speed} tokens/s  ${minutes} min`;
}

function rowsOf({ history, step, tokensPerSecond, seconds }: Trainer, loss: number): BenchRow[] {
  const unit = "nats per character";
  const curve = history.validation.map((look) => ({
    label: `validation sample, step ${look.step}`,
    value: look.loss,
    unit,
  }));
  return [
    ...curve,
    { label: `train, mean of the last ${EVERY}`, value: smooth(history.loss, EVERY).at(-1)!, unit },
    { label: "validation, whole", value: loss, unit, ratio: loss / QUOTED },
    { label: "nanoGPT, quoted (20 random batches)", value: QUOTED, unit, ratio: 1 },
    { label: "PyTorch, whole, --start gpt2", value: PYTORCH, unit, ratio: PYTORCH / QUOTED },
    { label: "steps", value: step, unit: "steps" },
    { label: "training time", value: seconds, unit: "s" },
    { label: "training speed", value: tokensPerSecond, unit: "tokens/s" },
  ];
}
