/** What the bench `train --only peers` gives other programs, and what it makes of their answers. */
import { assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import { join } from "node:path";
import { AdamW, trainStep } from "lib/train.ts";
import { GPT } from "lib/transformer.ts";
import { type Prepared, prepareJob } from "tools/bench/train/peers/job.ts";
import { writeCheckpoint } from "tools/bench/train/peers/llmc.ts";
import { readBatches, readWeights } from "tools/bench/train/peers/serve.ts";
import { PROGRAMS } from "tools/bench/train/peers/programs.ts";
import { Contestant } from "tools/bench/train/race.ts";
import { findPython } from "tools/programs.ts";
import { testIf } from "../optional.ts";

const size = {
  label: "tiny",
  model: { vocabSize: 17, blockSize: 5, nLayer: 2, nHead: 3, nEmbd: 21, bias: false },
  batchSize: 3,
};

async function withJob(steps: number, body: (prepared: Prepared) => Promise<void>): Promise<void> {
  const prepared = await prepareJob(size, steps);
  await body(prepared).finally(() => Deno.remove(prepared.folder, { recursive: true }));
}

Deno.test("a job holds a new model's weights, and batches whose targets are one token on", async () => {
  await withJob(4, async ({ job }) => {
    const model = new GPT(size.model), weights = await readWeights(job);
    assertEquals([...weights.keys()], model.parameters.entries().map(([name]) => name));
    for (const [name, variable] of model.parameters.entries()) {
      assertEquals(weights.get(name)!.values, await variable.data());
    }
    model.dispose();
    const batches = await readBatches(job);
    assertEquals(batches.length, 4);
    for (const { inputs, targets } of batches) {
      assertEquals([inputs.length, targets.length], [15, 15]);
      for (let row = 0; row < 15; row += 5) {
        assertEquals(targets.slice(row, row + 4), inputs.slice(row + 1, row + 5));
      }
    }
  });
});

Deno.test("llm.c's checkpoint has every weight in its place, matrices turned, biases 0", async () => {
  await withJob(1, async ({ folder, job }) => {
    const file = join(folder, "model.bin");
    await writeCheckpoint(file, job, 3);
    const { buffer } = await Deno.readFile(file);
    assertEquals([...new Int32Array(buffer, 0, 8)], [20240326, 3, 5, 17, 2, 3, 21, 17]);
    const numbers = new Float32Array(buffer, 1024), weights = await readWeights(job);
    const biases = 2 * (1 + 3 + 1 + 1 + 4 + 1) * 21 + 21;
    const count = [...weights.values()].reduce((sum, { values }) => sum + values.length, 0);
    assertEquals(numbers.length, count + biases);
    // After both tables and the first norms of both layers, with biases: layer 0's queries, keys and values, [3C, C].
    const start = (17 + 5) * 21 + 4 * 21;
    const { values } = weights.get("transformer.h.0.attn.c_attn.weight")!;
    assertEquals(numbers[start + 40 * 21 + 2], values[2 * 63 + 40]);
    const gain = numbers.length - 2 * 21;
    assertEquals([...numbers.slice(gain)], [...Array(21).fill(1), ...Array(21).fill(0)]);
  });
});

Deno.test("a program that is not there, or fails, is refused by name with its reason", async () => {
  const start = (program: string, ...args: string[]) =>
    Contestant.startWith(size, { program, args });
  await assertRejects(() => start("no-such-program"), Error, "no-such-program");
  const script = `console.log('{"error":"no graphics adapter"}')`;
  await assertRejects(
    () => start(Deno.execPath(), "eval", script),
    Error,
    "tiny: no graphics adapter",
  );
  await assertRejects(() => start(Deno.execPath(), "eval", ""), Error, "tiny: the process ended");
});

testIf(
  (await findPython("torch")).problem,
  "PyTorch makes of a job the losses that we make of it",
  () =>
    withJob(6, async ({ job }) => {
      const { command } = PROGRAMS.find(({ label }) => label === "PyTorch, one thread")!;
      const contestant = await Contestant.startWith(size, await command(job));
      const { losses } = await contestant.ask("steps", { count: 6, untimed: 0 });
      await contestant.close();
      const model = new GPT(size.model), optimizer = new AdamW(model.parameters);
      assertEquals(contestant.started, model.parameters.count);
      for (const [step, { inputs, targets }] of (await readBatches(job)).entries()) {
        const shape: [number, number] = [3, 5];
        const batch = {
          inputs: tf.tensor2d(inputs, shape, "int32"),
          targets: tf.tensor2d(targets, shape, "int32"),
        };
        const { loss } = trainStep(model, optimizer, [batch], job);
        assertAlmostEquals(losses[step], loss.dataSync()[0], 1e-5);
      }
    }),
);
