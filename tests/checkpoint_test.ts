/** Runs that are cut off, checkpoints that are damaged, losses that are no numbers. */
import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { join } from "node:path";
import {
  findFolder,
  placeOf,
  previousFolder,
  replaceFile,
  replaceFolder,
} from "lib/data/folder.ts";
import { SafetensorsError } from "lib/data/safetensors.ts";
import { Random } from "lib/engine/random.ts";
import { CharacterTokenizer } from "lib/tokenizer.ts";
import { TokenizerFormatError } from "lib/data/fields.ts";
import {
  CheckpointError,
  continueRun,
  DivergedError,
  loadCheckpoint,
  packTokens,
  saveCheckpoint,
  Trainer,
  type TrainerOptions,
} from "lib/train.ts";
import { GPT, type GPTConfig } from "lib/transformer.ts";
import { testOnBackends } from "./support.ts";
import { NOT_UNIX, testIf } from "./optional.ts";

await tf.setBackend("cpu"); // what the tests without a backend of their own compute on

const SPEECH = "the cat sat on the mat and the rat sat on the cat. ".repeat(20);
const tokenizer = await CharacterTokenizer.train(SPEECH);
const { vocabSize } = tokenizer;
const train = packTokens(tokenizer.encode(SPEECH), vocabSize);

const tiny = (more: Partial<GPTConfig> = {}) =>
  new GPT({ vocabSize, blockSize: 8, nLayer: 1, nHead: 2, nEmbd: 8, ...more }, new Random(1));

const options = (more: Partial<TrainerOptions> = {}): TrainerOptions => ({
  model: tiny({ dropout: 0.1 }),
  train,
  tokenizer,
  steps: 200,
  batchSize: 2,
  learningRate: 0.01,
  ...more,
});

/** Runs `body` with a folder of its own, which is gone afterwards. */
async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  await body(folder).finally(() => Deno.remove(folder, { recursive: true }));
}

// --- resuming

testOnBackends("200 steps in one go are 100, a checkpoint and 100 more", async (backend) => {
  await inFolder(async (folder) => {
    const steps = backend === "cpu" || backend === "simd" ? 200 : 24; // the others are slow here
    const make = () => options({ steps });
    const whole = new Trainer(make()), cut = new Trainer(make());
    await whole.run();
    await cut.run({ until: steps / 2, save: { folder: join(folder, "run") } });
    cut.optimizer.dispose();
    cut.model.dispose();
    const resumed = await continueRun(join(folder, "run"), make());
    assertEquals(resumed.step, steps / 2);
    await resumed.run();
    const [ours, theirs] = [resumed.history.loss, whole.history.loss];
    if (backend !== "webgpu") assertEquals(ours, theirs);
    else ours.forEach((loss, i) => assertAlmostEquals(loss, theirs[i], 1e-4));
  });
});

Deno.test("a run is saved every so often, and a finished one is not gone on with", async () => {
  await inFolder(async (folder) => {
    const run = join(folder, "run");
    const one = new Trainer(options({ steps: 6 }));
    const saved: number[] = [];
    await one.run({
      save: { folder: run, everySeconds: 0 },
      onStep: async () => {
        const at = await loadCheckpoint(run).catch(() => undefined);
        if (at) saved.push(at.step);
      },
    });
    assertEquals(saved, [0, 1, 2, 3, 4, 5]); // seen at the end of the step after
    assertEquals((await loadCheckpoint(run)).step, 6);
    assertEquals((await loadCheckpoint(previousFolder(run))).step, 6);
    assertEquals((await continueRun(run, options({ steps: 6 }))).step, 0);
  });
});

Deno.test("only the same model, text, tokenizer and settings go on with a run", async () => {
  await inFolder(async (folder) => {
    const run = join(folder, "run");
    await new Trainer(options()).run({ until: 2, save: { folder: run } });
    assertEquals((await continueRun(run, options())).step, 2);
    const others: Partial<TrainerOptions>[] = [
      { model: tiny({ nEmbd: 16 }) },
      { learningRate: 0.02 },
      { steps: 100 },
      { train: train.subarray(0, 500) },
      { train: train.toReversed() },
      { tokenizer: new CharacterTokenizer(tokenizer.characters.toReversed()) },
    ];
    for (const other of others) {
      assertEquals((await continueRun(run, options(other))).step, 0, Object.keys(other)[0]);
    }
    assertEquals((await continueRun(join(folder, "none"), options())).step, 0);
    const checkpoint = await loadCheckpoint(run, { withOptimizer: true });
    assertThrows(
      () => Trainer.resume(checkpoint, { train: train.toReversed() }),
      Error,
      "another text of the same length",
    );
  });
});

Deno.test("stopping saves", async () => {
  await inFolder(async (folder) => {
    const one = new Trainer(options());
    const { stopped } = await one.run({ stop: () => one.step === 3, save: { folder } });
    assertEquals([stopped, (await loadCheckpoint(folder)).step], [true, 3]);
  });
});

Deno.test("a finished run goes on when more steps are asked for, and its curve stays", async () => {
  await inFolder(async (folder) => {
    const run = join(folder, "run");
    const first = new Trainer(options({ steps: 6 }));
    await first.run({ save: { folder: run } });
    const more = await continueRun(run, options({ steps: 10 }));
    assertEquals([more.step, more.settings.steps], [6, 10]);
    await more.run({ save: { folder: run, everySeconds: 0 } });
    assertEquals(more.history.loss.slice(0, 6), first.history.loss);
    assertEquals((await loadCheckpoint(run)).step, 10);
    // the learning rate is the longer run's from there on
    const longer = new Trainer(options({ steps: 10 }));
    await longer.run();
    assertEquals(more.history.learningRate.slice(6), longer.history.learningRate.slice(6));
    // what does not follow from the length must be the same
    assertEquals((await continueRun(run, options({ steps: 20, learningRate: 0.02 }))).step, 0);
  });
});

Deno.test("another run's checkpoint is kept, once, whoever saves over it", async () => {
  await inFolder(async (folder) => {
    const run = join(folder, "run"), save = { folder: run, everySeconds: 0 };
    const stepsIn = async (name: string) => (await loadCheckpoint(join(folder, name))).step;
    await new Trainer(options({ steps: 6 })).run({ save });
    await new Trainer(options({ steps: 4, learningRate: 0.02 })).run({ save });
    assertEquals([await stepsIn("run"), await stepsIn("run.1")], [4, 6]);
    // the same run once more: what it would lose is kept, and a second time it is there already
    for (let i = 0; i < 2; i++) {
      await new Trainer(options({ steps: 4, learningRate: 0.02 })).run({ save });
      assertEquals([await stepsIn("run"), await stepsIn("run.2")], [4, 4]);
    }
    // a model that somebody saved, of no run
    await saveCheckpoint(run, { model: tiny(), tokenizer });
    await new Trainer(options({ steps: 3 })).run({ save });
    assertEquals([await stepsIn("run"), await stepsIn("run.3")], [3, 0]);
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    assertEquals(names, ["run", "run.1", "run.2", "run.3", "run.before"]);
  });
});

Deno.test("a run that goes on in its own folder keeps no copies", async () => {
  await inFolder(async (folder) => {
    const run = join(folder, "run"), save = { folder: run, everySeconds: 0 };
    await new Trainer(options({ steps: 6 })).run({ until: 3, save });
    await (await continueRun(run, options({ steps: 6 }))).run({ save });
    await (await continueRun(run, options({ steps: 8 }))).run({ save });
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    assertEquals(names, ["run", "run.before"]);
  });
});

Deno.test("two runs in one folder: the second to come says so, and the first one's work stays", async () => {
  await inFolder(async (folder) => {
    const run = join(folder, "run");
    const one = new Trainer(options()), two = new Trainer(options({ learningRate: 0.02 }));
    await one.run({ until: 2, save: { folder: run } });
    await two.run({ until: 3, save: { folder: run } });
    await assertRejects(
      () => one.run({ until: 4, save: { folder: run } }),
      Error,
      `another run saves into ${run}, too: give each a folder of its own`,
    );
    assertEquals((await loadCheckpoint(run)).step, 3);
    assertEquals((await loadCheckpoint(`${run}.1`)).step, 2);
    await one.save(join(folder, "elsewhere"));
  });
});

Deno.test("a save in between that fails does not end the run, the last one does", async () => {
  await inFolder(async (folder) => {
    const run = join(folder, "run");
    let isFull = false;
    const disk = {
      toJSON: () => {
        if (isFull) throw new Error("no space left");
        return tokenizer.toJSON();
      },
    };
    const one = new Trainer(options({ steps: 5, tokenizer: disk as never }));
    const warned: string[] = [], { warn } = console;
    console.warn = (line: string) => warned.push(line);
    const onStep = ({ step }: { step: number }) => void (isFull = step === 2 || step === 3);
    await one.run({ save: { folder: run, everySeconds: 0 }, onStep }).finally(() => {
      console.warn = warn;
    });
    assertEquals([(await loadCheckpoint(run)).step, warned.length], [5, 2]);
    assert(
      warned[0].includes("no space left; what was saved before is untouched. Training goes on"),
    );
    isFull = true;
    await assertRejects(() => one.save(run), Error, "no space left");
    assertEquals((await loadCheckpoint(run)).step, 5);
  });
});

// --- losses that are no numbers

testOnBackends(
  "a loss that is no number names step, rate and tensor, and is not saved",
  async (backend) => {
    await inFolder(async (folder) => {
      const run = join(folder, "run");
      const one = new Trainer(options());
      await one.run({ until: 20, save: { folder: run } });
      const name = "transformer.h.0.mlp.c_fc.weight";
      const weight = one.model.parameters.get(name);
      weight.assign(weight.mul(NaN));
      const error = await assertRejects(
        () => one.run({ save: { folder: run } }),
        DivergedError,
        "the loss is NaN at step 21, learning rate 0.0",
      );
      // On a graphics card ten steps are made before their losses are read, and the NaN has spread.
      if (backend !== "webgpu") assertEquals(error.tensor, `the weight "${name}"`);
      assert(error.message.includes("Try a lower learningRate"), error.message);
      assertEquals((await loadCheckpoint(run)).step, 20);
      assertEquals(one.step, 20);
    });
  },
);

Deno.test("a gradient that overflows is caught before the weights move", async () => {
  const model = tiny();
  const table = model.parameters.get("transformer.wte.weight");
  table.assign(table.mul(1e25));
  const before = await table.data();
  const error = await assertRejects(() => new Trainer(options({ model })).run(), DivergedError);
  assert(/at step 1, learning rate/.test(error.message), error.message);
  assertEquals(await table.data(), before);
});

// --- what is on the disk

Deno.test("a save that fails leaves what was there, and says why", async () => {
  await inFolder(async (parent) => {
    const folder = join(parent, "model");
    await saveCheckpoint(folder, { model: tiny(), tokenizer });
    const failing = {
      toJSON: () => ({
        get model() {
          throw new Error("no space left");
        },
      }),
    };
    await assertRejects(
      () => saveCheckpoint(folder, { model: tiny(), tokenizer: failing as never }),
      Error,
      `cannot save into ${folder}: no space left; what was saved before is untouched`,
    );
    await loadCheckpoint(folder);
    assertEquals([...Deno.readDirSync(parent)].map(({ name }) => name), ["model"]);
  });
});

Deno.test("the last two are kept, with files of the reader's own", async () => {
  await inFolder(async (parent) => {
    const folder = join(parent, "kept");
    const save = (text: string) =>
      replaceFolder(folder, ["a"], (fresh) => Deno.writeTextFile(join(fresh, "a"), text));
    const read = (place: string, name: string) => Deno.readTextFile(join(place, name));
    await save("1");
    await Deno.writeTextFile(join(folder, "notes"), "mine");
    await Deno.mkdir(join(folder, "deep"));
    await Deno.writeTextFile(join(folder, "deep", "notes"), "mine, too");
    await save("2");
    await save("3");
    assertEquals([await read(folder, "a"), await read(previousFolder(folder), "a")], ["3", "2"]);
    assertEquals(await read(folder, "notes"), "mine");
    assertEquals(await read(folder, "deep/notes"), "mine, too");
    // died between the two renames: nothing is where it should be, and the next save must not lose what there is
    await Deno.rename(folder, `${folder}.saving`);
    assertEquals(await findFolder(folder, "a"), previousFolder(folder));
    await assertRejects(() =>
      replaceFolder(folder, ["a"], () => Promise.reject(new Error("again")))
    );
    assertEquals(await read((await findFolder(folder, "a"))!, "a"), "2");
    await save("4");
    assertEquals([await read(folder, "a"), await read(folder, "notes")], ["4", "mine"]);
  });
});

Deno.test("a folder may be named in any way", async () => {
  await inFolder(async (parent) => {
    const names = [
      "out/",
      "out//",
      "./out",
      "deep/../out/.",
      "a é b",
      "q?#%20",
      "x.before",
      ".hidden/",
    ];
    for (const name of names) {
      const folder = `${parent}/${name}`;
      for (const _ of [1, 2, 3]) await saveCheckpoint(folder, { model: tiny(), tokenizer });
      assertEquals((await loadCheckpoint(folder)).step, 0, name);
      assertEquals((await loadCheckpoint(previousFolder(folder))).step, 0, name);
    }
    const url = new URL(`file://${parent}/by%20url/`);
    for (const folder of [url, url.href]) {
      await saveCheckpoint(folder, { model: tiny(), tokenizer });
      await loadCheckpoint(folder);
    }
    assertEquals(placeOf(url), join(parent, "by url"));
    const found = [...Deno.readDirSync(parent)].map(({ name }) => name).sort();
    const made = [".hidden", "a é b", "by url", "out", "q?#%20", "x.before"];
    assertEquals(found, made.flatMap((name) => [name, `${name}.before`]).sort());
    for (const nameless of ["", undefined, null, "a\0b"]) {
      const save = () => saveCheckpoint(nameless as string, { model: tiny(), tokenizer });
      await assertRejects(save, Error, "a folder must have a name");
    }
  });
});

testIf(
  NOT_UNIX,
  "a folder that is a link stays one, and what it leads to is saved into",
  () =>
    inFolder(async (parent) => {
      const large = join(parent, "large disk"), link = join(parent, "link");
      await Deno.mkdir(large);
      await Deno.symlink(large, link);
      for (const _ of [1, 2]) await saveCheckpoint(link, { model: tiny(), tokenizer });
      assert((await Deno.lstat(link)).isSymlink);
      await loadCheckpoint(large);
      assertEquals(await findFolder(link, "config.json"), large);
      assertEquals(previousFolder(link), `${large}.before`);
      await loadCheckpoint(previousFolder(link));
    }),
);

Deno.test("at every moment of a save one of the two folders is whole", async () => {
  await inFolder(async (parent) => {
    const folder = join(parent, "f"), own = ["first", "second", "third"];
    const save = (text: string, names = own) =>
      replaceFolder(folder, own, async (fresh) => {
        for (const name of names) await Deno.writeTextFile(join(fresh, name), text);
      });
    const read = async () => {
      const place = (await findFolder(folder, "first"))!;
      return await Promise.all(own.map((name) => Deno.readTextFile(join(place, name))));
    };
    await save("1");
    await save("2");
    // died while the new files moved in: the first is out of the way, one of the others is new
    await Deno.remove(join(folder, "first"));
    await Deno.writeTextFile(join(folder, "second"), "half");
    await Deno.remove(join(folder, "third"));
    assertEquals(await read(), ["1", "1", "1"]);
    await assertRejects(() => replaceFolder(folder, own, () => Promise.reject(new Error("full"))));
    assertEquals(await read(), ["1", "1", "1"]);
    await save("3");
    assertEquals(await read(), ["3", "3", "3"]);
    await save("4", ["first", "second"]); // what is not written anew does not stay from before
    await assertRejects(read, Deno.errors.NotFound);
  });
});

Deno.test("a file that cannot be written is named, and leaves no rest", async () => {
  await inFolder(async (folder) => {
    await Deno.mkdir(join(folder, "is-a-folder"));
    await assertRejects(() => replaceFile(join(folder, "is-a-folder"), "x"), Error, "cannot write");
    assertEquals([...Deno.readDirSync(folder)].length, 1);
  });
});

Deno.test("a damaged checkpoint is loaded right or refused by a typed error", async () => {
  await inFolder(async (folder) => {
    const run = join(folder, "run");
    await new Trainer(options({ steps: 3 })).run({ save: { folder: run } });
    const names = [...Deno.readDirSync(run)].map(({ name }) => name).sort();
    const whole = await Promise.all(names.map((name) => Deno.readFile(join(run, name))));
    const damage = fc.record({
      which: fc.nat(names.length - 1),
      at: fc.double({ min: 0, max: 0.999, noNaN: true }),
      text: fc.constantFrom("9", "-", "999999999", "null", "{", "[]", "e9", '"', "\0", ""),
      cut: fc.boolean(),
    });
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(damage, async ({ which, at, text, cut }) => {
        const file = join(run, names[which]);
        const place = Math.floor(at * Math.min(whole[which].length, 3000));
        const rest = whole[which].subarray(place + text.length);
        const parts = [whole[which].subarray(0, place), new TextEncoder().encode(text)];
        await Deno.writeFile(file, await bytesOf(cut ? parts : [...parts, rest]));
        try {
          const { model, optimizer } = await loadCheckpoint(run, { withOptimizer: true });
          optimizer?.dispose();
          model.dispose();
        } catch (error) {
          refused++;
          const typed = [CheckpointError, SafetensorsError, TokenizerFormatError];
          assert(typed.some((type) => error instanceof type), (error as Error).stack);
        } finally {
          await Deno.writeFile(file, whole[which]);
        }
      }),
      { numRuns: 250 },
    );
    assert(refused > 120, `${refused} refused`);
  });
});

async function bytesOf(parts: Uint8Array[]): Promise<Uint8Array> {
  return new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer());
}

Deno.test("each part of a checkpoint that makes no sense is named", async () => {
  await inFolder(async (folder) => {
    const run = join(folder, "run");
    await new Trainer(options({ steps: 2 })).run({ save: { folder: run } });
    const config = JSON.parse(await Deno.readTextFile(join(run, "config.json")));
    const state = JSON.parse(await Deno.readTextFile(join(run, "state.json")));
    const { trainer, optimizer } = state;
    const cases: [string, unknown, string][] = [
      ["config.json", [], "shape must be [undefined,undefined]"],
      ["config.json", 3, "must hold an object"],
      ["config.json", { ...config, nEmbd: 1e9 }, "shape must be"],
      ["config.json", { ...config, nHead: 1e9 }, "nHead must be at most nEmbd 8"],
      ["config.json", { ...config, nLayer: 1e9 }, "transformer.h.999999999.ln_1.weight"],
      ["config.json", { ...config, nInner: 1e6 }, "mlp.c_fc.weight"],
      ["config.json", { ...config, blockSize: 1e6 }, "transformer.wpe.weight"],
      ["config.json", { ...config, more: 1 }, `no setting "more"`],
      ["state.json", { ...state, step: -1 }, "step must be a whole number, got -1"],
      ["state.json", { ...state, optimizer: { ...optimizer, steps: 1.5 } }, "optimizer.steps"],
      [
        "state.json",
        { ...state, optimizer: { ...optimizer, options: { betas: [1, 1], eps: 0 } } },
        "betas",
      ],
      ["state.json", { ...state, trainer: { ...trainer, seconds: "x" } }, "trainer.seconds"],
      ["state.json", { ...state, trainer: { ...trainer, history: {} } }, "state.json"],
      [
        "state.json",
        { ...state, trainer: { ...trainer, settings: { steps: 0 } } },
        "steps must be",
      ],
      [
        "state.json",
        { ...state, trainer: { ...trainer, random: { batches: { generator: [1] } } } },
        "random",
      ],
    ];
    for (const [name, json, message] of cases) {
      const before = await Deno.readTextFile(join(run, name));
      await Deno.writeTextFile(join(run, name), JSON.stringify(json));
      await assertRejects(() => loadCheckpoint(run, { withOptimizer: true }), Error, message);
      await Deno.writeTextFile(join(run, name), before);
    }
  });
});

Deno.test("weights that are no numbers never replace a good checkpoint", async () => {
  await inFolder(async (folder) => {
    const model = tiny();
    await saveCheckpoint(join(folder, "model"), { model, tokenizer });
    const name = "transformer.ln_f.weight";
    model.parameters.get(name).assign(tf.fill([8], NaN));
    const save = () => saveCheckpoint(join(folder, "model"), { model, tokenizer });
    await assertRejects(
      save,
      SafetensorsError,
      `tensor "${name}": holds values that are not finite`,
    );
    await loadCheckpoint(join(folder, "model"));
  });
});
