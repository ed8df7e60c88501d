/** Programs that die while they save: killed at any moment, out of disk, without permission. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import { join } from "node:path";
import { loadCheckpoint, saveCheckpoint } from "lib/train.ts";
import { CharacterTokenizer } from "lib/tokenizer.ts";
import { GPT } from "lib/transformer.ts";
import { Random } from "lib/engine/random.ts";
import { NOT_UNIX, testIf } from "../optional.ts";

const ROOT = join(import.meta.dirname!, "..", "..");
const KILLS = 50;

await tf.setBackend("cpu");

/** Saves again and again; in the n-th checkpoint every gain of the last norm is n, and so is the step. */
const SAVE_FOR_EVER = `
import * as tf from "@tensorflow/tfjs";
import { AdamW, loadCheckpoint, saveCheckpoint } from "lib/train.ts";
await tf.setBackend("cpu");
const [folder, rounds] = Deno.args;
const { model, tokenizer, step } = await loadCheckpoint(folder);
const optimizer = new AdamW(model.parameters);
const gain = model.parameters.get("transformer.ln_f.weight");
console.log("ready");
for (let n = step + 1; n <= step + Number(rounds); n++) {
  gain.assign(tf.fill(gain.shape, n));
  optimizer.load(await optimizer.save(), n);
  await saveCheckpoint(folder, { model, tokenizer, optimizer });
}
`;

const tokenizer = await CharacterTokenizer.train("the cat sat on the mat");

function newModel(): GPT {
  const shape = { blockSize: 16, nLayer: 2, nHead: 2, nEmbd: 32 };
  return new GPT({ vocabSize: tokenizer.vocabSize, ...shape }, new Random(1));
}

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  await body(folder).finally(() => Deno.remove(folder, { recursive: true }));
}

/** The command that runs the program above, in a shell if there is something to do before. */
async function saver(folder: string, rounds: number, before = ""): Promise<Deno.Command> {
  const program = join(folder, "save.ts");
  await Deno.writeTextFile(program, SAVE_FOR_EVER);
  const args = ["run", "-A", "--no-check", "--config", join(ROOT, "deno.json"), program];
  const all = [...args, join(folder, "model"), String(rounds)];
  const options = { cwd: ROOT, stdout: "piped", stderr: "piped" } as const;
  if (!before) return new Deno.Command(Deno.execPath(), { ...options, args: all });
  const line = `${before} exec "$0" "$@"`;
  return new Deno.Command("bash", { ...options, args: ["-c", line, Deno.execPath(), ...all] });
}

/** Starts the program, lets it save for a while, and kills it as a power cut would. */
async function killedAfter(command: Deno.Command, milliseconds: number): Promise<void> {
  const child = command.spawn();
  const reader = child.stdout.getReader();
  const { done } = await reader.read();
  assert(!done, "the program that saves did not start");
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  child.kill("SIGKILL");
  await Promise.all([reader.cancel(), child.stderr.cancel(), child.status]);
}

testIf(
  NOT_UNIX,
  `killed ${KILLS} times while it saves, there is always a whole checkpoint`,
  () =>
    inFolder(async (parent) => {
      const folder = join(parent, "model");
      await saveCheckpoint(folder, { model: newModel(), tokenizer });
      const command = await saver(parent, 1e9);
      const random = new Random(Date.now());
      let last = 0, moved = 0, patience = 60; // milliseconds; on a busy machine a save takes longer
      for (let i = 0; i < KILLS; i++) {
        await killedAfter(command, patience * random.uniform());
        const { step, model, optimizer } = await loadCheckpoint(folder, { withOptimizer: true });
        const gains = await model.parameters.get("transformer.ln_f.weight").data();
        assert(step >= last, `step ${step} came after ${last}`);
        if (step > 0) assertEquals([...gains], Array(32).fill(step), "weights of another step");
        if (optimizer) assertEquals(optimizer.steps, step);
        if (step > last) moved++;
        else patience = Math.min(1.2 * patience, 3000);
        last = step;
        optimizer?.dispose();
        model.dispose();
      }
      assert(moved > KILLS / 4, `only ${moved} of ${KILLS} programs came to save anything`);
    }),
);

testIf(
  NOT_UNIX,
  "a full disk ends the save with a reason; what was there stays",
  () =>
    inFolder(async (parent) => {
      const folder = join(parent, "model");
      await saveCheckpoint(folder, { model: newModel(), tokenizer });
      // No file may become longer than 16 kB; the shell's trap makes that an error of write() and not a signal.
      const command = await saver(parent, 1, "trap '' XFSZ; ulimit -f 16;");
      const { code, stderr } = await command.output();
      const said = new TextDecoder().decode(stderr);
      assert(code !== 0 && said.includes("cannot save into"), said);
      assert(said.includes("what was saved before is untouched"), said);
      assertEquals((await loadCheckpoint(folder)).step, 0);
      const names = [...Deno.readDirSync(parent)].map(({ name }) => name).sort();
      assertEquals(names, ["model", "save.ts"]);
    }),
);

testIf(
  NOT_UNIX,
  "a folder that may not be written is named",
  () =>
    inFolder(async (parent) => {
      // Root may write everywhere but here.
      const folder = Deno.uid() === 0 ? "/sys/model" : join(parent, "locked", "model");
      if (Deno.uid() !== 0) await Deno.mkdir(join(parent, "locked"), { mode: 0o555 });
      const contents = { model: newModel(), tokenizer };
      await assertRejects(
        () => saveCheckpoint(folder, contents),
        Error,
        `cannot save into ${folder}`,
      );
    }),
);
