/** Folders that depend on where a program stands: `.`, `..`, names without a path, and a place that is gone. */
import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { NOT_UNIX, testIf } from "../optional.ts";

const ROOT = join(import.meta.dirname!, "..", "..");

/** Saves three times into each folder and loads what is there and what was before. */
const SAVER = `
import * as tf from "@tensorflow/tfjs";
import { previousFolder } from "lib/data/folder.ts";
import { exportHuggingFace, importHuggingFace } from "lib/exchange.ts";
import { CharacterTokenizer } from "lib/tokenizer.ts";
import { loadCheckpoint, packTokens, Trainer } from "lib/train.ts";
import { GPT } from "lib/transformer.ts";
await tf.setBackend("cpu");
const tokenizer = await CharacterTokenizer.train("the cat sat");
const train = packTokens(tokenizer.encode("the cat sat"), tokenizer.vocabSize);
const model = new GPT({ vocabSize: tokenizer.vocabSize, blockSize: 4, nLayer: 1, nHead: 1, nEmbd: 4 });
for (const folder of Deno.args) {
  const one = new Trainer({ model, tokenizer, train, steps: 3, batchSize: 1 });
  await one.run({ save: { folder, everySeconds: 0 } });
  const steps = await Promise.all([folder, previousFolder(folder)].map(async (place) => (await loadCheckpoint(place)).step));
  await exportHuggingFace(folder, { model, tokenizer });
  await importHuggingFace(folder);
  console.log(folder, steps.join());
}
`;

async function saveInto(cwd: string, folders: string[], before = ""): Promise<string> {
  const program = join(ROOT, "build", `save-${crypto.randomUUID()}.ts`);
  await Deno.mkdir(join(ROOT, "build"), { recursive: true });
  await Deno.writeTextFile(program, before + SAVER);
  try {
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "--config", join(ROOT, "deno.json"), program, ...folders],
      cwd,
    }).output();
    return [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("");
  } finally {
    await Deno.remove(program);
  }
}

Deno.test("a run saves into the current folder, the one above it, and any name in it", async () => {
  const parent = await Deno.makeTempDir();
  try {
    const here = join(parent, "above", "here");
    await Deno.mkdir(here, { recursive: true });
    const names = ["out/", "./a é/", "deep/er"];
    assertEquals(await saveInto(here, names), names.map((name) => `${name} 3,3\n`).join(""));
    const empty = join(parent, "empty");
    await Deno.mkdir(empty);
    // twice, as the second time there is something to keep; the folder stays the one that a shell stands in
    const { ino } = await Deno.stat(empty);
    assertEquals(await saveInto(empty, ["."]), ". 3,3\n");
    const again = await saveInto(empty, ["./"]);
    assert(again.includes("held another run, of 3 steps: it is kept as"), again);
    assert(again.endsWith("./ 3,3\n"), again);
    assertEquals((await Deno.stat(empty)).ino, ino);
    const within = join(empty, "within");
    await Deno.mkdir(within);
    assert((await saveInto(within, [".."])).endsWith(".. 3,3\n"));
    const all = [...Deno.readDirSync(parent)].map(({ name }) => name).sort();
    assertEquals(all, ["above", "empty", "empty.1", "empty.before"]);
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
});

testIf(
  NOT_UNIX,
  "where the current folder is gone, a name in it is refused in words",
  async () => {
    const gone = await Deno.makeTempDir();
    const said = await saveInto(gone, ["out"], `Deno.removeSync(${JSON.stringify(gone)});\n`);
    assert(said.includes("cannot tell where out is: the current folder is gone"), said);
  },
);
