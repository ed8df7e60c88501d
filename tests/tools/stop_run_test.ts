/** Stop, pressed in chapter 05's training cell at the worst moments: all cells below it still run. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { NOTEBOOKS, readNotebook } from "tools/notebook.ts";
import { type Client, installInto, KernelProgram, PLAIN_KERNEL, texts } from "./client.ts";
import { withFolder } from "./kernel_support.ts";
import { NOT_UNIX, testIf } from "../optional.ts";

const cells = readNotebook(join(NOTEBOOKS, "05-train.ipynb")).cells
  .filter(({ cell_type }) => cell_type === "code");

/** Runs the chapter; `onLive` is told when the training cell starts. Gives what each cell said, by its id. */
async function runChapter(client: Client, onLive: (text: string) => void) {
  const said = new Map<string, string>();
  for (const { id, source, metadata } of cells) {
    const answer = await client.run(source, {}, ({ type, content }) => {
      if (id !== "live") return;
      onLive(type === "execute_input" ? "" : JSON.stringify(content.data ?? {}));
    });
    const mayFail = JSON.stringify(metadata).includes("raises-exception");
    assert(answer.reply.status === "ok" || mayFail, `cell "${id}": ${answer.reply.evalue}`);
    said.set(id, texts(answer).join("\n"));
  }
  return said;
}

/** Runs the chapter with presses of Stop; `press` hears the training cell's start (as "") and what it shows. */
async function pressing(
  argv: string[],
  folder: string,
  press: (text: string, stop: () => void) => void,
) {
  const env = { NANO_LLM_BUILD: folder, NANO_LLM_PROFILE: "smoke" };
  await using program = await KernelProgram.start(argv, env);
  using client = await program.client();
  return await runChapter(client, (text) => press(text, () => program.child.kill("SIGINT")));
}

testIf(
  NOT_UNIX,
  "Stop before a run's first evaluation, and before that of its resumption",
  async () => {
    await withFolder(async (folder) => {
      const argv = await installInto(folder);
      const atOnce = (text: string, stop: () => void) => void (text === "" && setTimeout(stop, 1));
      const first = await pressing(argv, folder, atOnce);
      assertStringIncludes(first.get("save")!, "after 0 of 20 steps; the run was stopped after 0");
      assertEquals(first.get("written")!.match(/^ *\d+ /gm)?.length, 1, first.get("written"));
      let presses = 0;
      const twice = (text: string, stop: () => void) =>
        /training .* [1-9]\d*\/20/.test(text) && presses++ < 2 && stop();
      const second = await pressing(argv, folder, twice);
      assertStringIncludes(second.get("save")!, "of 20 steps; the run was stopped after");
      const third = await pressing(argv, folder, atOnce);
      assertStringIncludes(third.get("written")!, "stopped before it looked");
    });
  },
);

testIf(
  NOT_UNIX,
  "without our kernelspec: Stop between cells, and twice while training",
  async () => {
    await withFolder(async (folder) => {
      let presses = 0;
      const said = await pressing(PLAIN_KERNEL, folder, (text, stop) => {
        if (/training .* [1-9]\d*\/20/.test(text) && presses++ < 2) stop();
      });
      assertEquals(presses, 2);
      assertStringIncludes(said.get("save")!, "of 20 steps; the run was stopped after");
      assertStringIncludes(said.get("written")!, "step");
    });
  },
);

testIf(
  NOT_UNIX,
  "without our kernelspec: from the first import on, Stop outside training is survived and answered",
  async () => {
    await using program = await KernelProgram.start(PLAIN_KERNEL);
    using client = await program.client();
    await client.run(`import { show } from "lib/notebook/show.ts"; var kept = 1;`);
    setTimeout(() => program.child.kill("SIGINT"), 200);
    const wait = "await new Promise((r) => setTimeout(r, 1000)); await show(kept);";
    const said = texts(await client.run(wait)).join("");
    assertStringIncludes(said, "Stop was heard, but nothing in this cell can end early");
    assertStringIncludes(said, "1");
  },
);
