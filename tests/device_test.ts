/** The graphics card goes away in the middle of a run. Runs on software Vulkan, too. */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertNotEquals,
  assertRejects,
} from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import { join } from "node:path";
import { availableBackends, replaceLostDevice, useBackend } from "lib/engine/backend.ts";
import { Random } from "lib/engine/random.ts";
import { CharacterTokenizer } from "lib/tokenizer.ts";
import { type RunOptions, Trainer } from "lib/train.ts";
import { GPT } from "lib/transformer.ts";
import { SHARED_DEVICE, testIf } from "./optional.ts";

const [{ available, why }] = await availableBackends();
const tokenizer = new CharacterTokenizer([..."abcdefghij"]);
const train = Uint16Array.from({ length: 500 }, (_, i) => (i * i) % 10);

function newTrainer(): Trainer {
  const shape = { vocabSize: 10, blockSize: 8, nLayer: 1, nHead: 2, nEmbd: 8, dropout: 0.1 };
  const model = new GPT(shape, new Random(1));
  return new Trainer({ model, train, tokenizer, steps: 24, batchSize: 2, evaluateEvery: 6 });
}

/** The driver crashes after step 12, once. */
function crashing(): RunOptions {
  let isDone = false;
  const onStep: RunOptions["onStep"] = ({ step }) => {
    if (step !== 12 || isDone) return;
    isDone = true;
    (tf.backend() as unknown as { device: GPUDevice }).device.destroy();
  };
  return { onStep };
}

/** What `body` prints. */
async function printed(body: () => Promise<unknown>): Promise<string> {
  const lines: string[] = [], { log } = console;
  console.log = (...words) => void lines.push(words.join(" "));
  await body().finally(() => console.log = log);
  return lines.join("\n");
}

function deviceTest(name: string, body: (folder: string) => Promise<void>): void {
  testIf(available ? "" : why, name, async () => {
    const folder = await Deno.makeTempDir();
    await useBackend("webgpu");
    await body(join(folder, "run")).finally(() => Deno.remove(folder, { recursive: true }));
  }, SHARED_DEVICE);
}

deviceTest(
  "a run goes on from its checkpoint on a new device, and comes out the same",
  async (folder) => {
    const whole = newTrainer(), cut = newTrainer();
    await whole.run();
    const save = { folder, everySeconds: 0 };
    const said = await printed(() => cut.run({ save, ...crashing() }));
    const line =
      "the graphics card was lost after step 12: going on from step 6, on backend webgpu";
    assert(said.startsWith(line) && said.split("\n").length === 1, said);
    assertEquals([cut.step, tf.getBackend()], [24, "webgpu"]);
    cut.history.loss.forEach((loss, i) => assertAlmostEquals(loss, whole.history.loss[i], 1e-4));
  },
);

deviceTest("without a folder to go back to, a lost device ends the run and says why", async () => {
  const message = "was lost after step 12, and this run is saved nowhere";
  await assertRejects(() => newTrainer().run(crashing()), Error, message);
});

deviceTest("an error of another kind replaces nothing", async () => {
  assertEquals(await replaceLostDevice(), undefined);
  const onStep = () => Promise.reject(new Error("the reader's own"));
  await assertRejects(() => newTrainer().run({ onStep }), Error, "the reader's own");
  assertEquals(tf.getBackend(), "webgpu");
});

deviceTest("weights that were read before a step are read anew after it", async () => {
  const one = newTrainer();
  const weight = one.model.parameters.get("transformer.wte.weight");
  const read = async () => [...await weight.data()];
  await one.run({ until: 6 });
  const before = await read();
  await one.run({ until: 12 });
  const copy = tf.tidy(() => weight.mul(1)); // what is on the device
  assertEquals(await read(), [...await copy.data()]);
  assertNotEquals(await read(), before);
});

deviceTest("if the card stays away, the processor takes over", async (folder) => {
  const { requestAdapter } = navigator.gpu;
  const one = newTrainer();
  const said = await printed(() => {
    navigator.gpu.requestAdapter = () => Promise.resolve(null);
    return one.run({ ...crashing(), save: { folder, everySeconds: 0 } });
  }).finally(() => navigator.gpu.requestAdapter = requestAdapter);
  assert(/lost after step 12: going on from step 6, on backend (simd|cpu)/.test(said), said);
  assertEquals(one.step, 24);
});
