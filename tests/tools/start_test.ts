import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { taskCommand } from "tools/task.ts";
import { existsSync } from "node:fs";
import { cp, symlink } from "node:fs/promises";
import { join } from "node:path";
import { readNotebook, ROOT } from "tools/notebook.ts";
import { reportText } from "tools/start.ts";
import { runTool, withFolder, writeSmall } from "./kernel_support.ts";

const TRAIN = {
  steps: 20,
  trainLoss: 4.4,
  valLoss: 3.1,
  bitsPerByte: 2.2,
  bigramValLoss: 3.3,
  tokensPerSecond: 1234,
};

/** A project of our own: the tools and the lower floors of lib, with small chapters. */
async function writeProject(root: string): Promise<void> {
  for (const name of ["deno.json", "deno.lock", "tools"]) {
    await cp(join(ROOT, name), join(root, name), { recursive: true });
  }
  for (const name of ["engine", "data", "host", "notebook"]) {
    await cp(join(ROOT, "lib", name), join(root, "lib", name), { recursive: true });
  }
  await symlink(join(ROOT, "node_modules"), join(root, "node_modules"), "dir");
  const notebooks = join(root, "notebooks");
  await Deno.mkdir(notebooks);
  writeSmall(
    notebooks,
    "01-words",
    `//| default_exp words\nexport {};`,
    `//| export\n/** Words. */\nexport const words: string[] = ["once", "upon"];`,
    `console.log(words.length, Deno.env.get("NANO_LLM_PROFILE"));`,
  );
  const folder =
    `import { modelFolder } from "lib/data/paths.ts";\nDeno.mkdirSync(modelFolder(), { recursive: true });\n`;
  const report = JSON.stringify({ ...TRAIN, parameters: 12345, corpus: "tales" });
  writeSmall(
    notebooks,
    "05-train",
    `import { words } from "lib/words.ts";\nif (words.length !== 2) throw new Error("not exported");`,
    `${folder}Deno.writeTextFileSync(modelFolder() + "/report.json", ${JSON.stringify(report)});`,
  );
  writeSmall(
    notebooks,
    "06-sample",
    `${folder}Deno.writeTextFileSync(modelFolder() + "/sample.txt", "Once upon a time");`,
  );
}

Deno.test("start: exports, runs the chapters in order, reports", async (test) => {
  await withFolder(async (root) => {
    await writeProject(root);
    const start = (args: string[], env = {}) => runTool("start.ts", args, env, root);
    const report = async () =>
      JSON.parse(await Deno.readTextFile(join(root, "build", "report.json")));

    await test.step("everything", async () => {
      const { code, stdout, stderr } = await start(["--profile", "smoke"]);
      assertEquals(code, 0, stdout + stderr);
      assert(existsSync(join(root, "lib", "words.ts")), "exported");
      const { chapters, ...rest } = await report();
      assertEquals(rest, {
        profile: "smoke",
        backend: rest.backend,
        train: TRAIN,
        sample: "Once upon a time",
      });
      assert(["webgpu", "wasm", "cpu", "simd"].includes(rest.backend));
      assertEquals(
        chapters.map((
          one: { name: string; ok: boolean; cells: number },
        ) => [one.name, one.ok, one.cells]),
        [
          ["01-words", true, 3],
          ["05-train", true, 2],
          ["06-sample", true, 1],
        ],
      );
      for (
        const text of [
          "✓ 05-train",
          "12,345 parameters",
          "0.200 better",
          "  | Once upon a time",
          "3.100 nats",
        ]
      ) {
        assertStringIncludes(stdout, text);
      }
      const copy = readNotebook(join(root, "build", "notebooks", "01-words.ipynb"));
      assertEquals(copy.cells[2].outputs![0].text, ["2 smoke\n"]);
    });

    await test.step("what an earlier run left is not reported as news", async () => {
      const { code, stdout } = await start(["--only", "1"]);
      assertEquals(code, 0, stdout);
      const { chapters, train, sample } = await report();
      assertEquals([chapters.length, train, sample], [1, null, null]);
      assert(!stdout.includes("Once upon"));
    });

    await test.step("a failing cell stops it", async () => {
      writeSmall(join(root, "notebooks"), "05-train", "const a = 1;\n\nnull!.b;");
      const { code, stdout } = await start(["--only", "05,06"]);
      assertEquals(code, 1);
      assertStringIncludes(stdout, '05-train, cell "c1", line 3');
      assertStringIncludes(stdout, "3 | null!.b;");
      assertStringIncludes(stdout, "TypeError: Cannot read properties of null");
      const { chapters, train, sample } = await report();
      assertEquals([chapters.length, chapters[0].ok, train, sample], [1, false, null, null]);
    });

    await test.step("a module edited by hand is not overwritten", async () => {
      const module = join(root, "lib", "words.ts");
      const edited = (await Deno.readTextFile(module)).replace('"upon"', '"mine"');
      await Deno.writeTextFile(module, edited);
      const { code, stderr } = await start(["--only", "01"]);
      assertEquals([code, await Deno.readTextFile(module)], [1, edited]);
      assertStringIncludes(stderr, "lib/words.ts was edited by hand");
    });

    await test.step("what would make results wrong stops it before it starts", async () => {
      const { code, stderr } = await start([], { NANO_LLM_BACKEND: "abacus" });
      assertEquals(code, 1);
      assertStringIncludes(stderr, 'got "abacus"');
    });

    await test.step("a wrong command line", async () => {
      for (
        const [args, expected] of [
          [["--onyl", "03"], "no flag --onyl; did you mean --only?"],
          [["--only", "7"], 'no chapter "7": there is 01-words, 05-train, 06-sample'],
          [["--only", "05-trian"], "did you mean 05-train?"],
          [["--profile", "smok"], "did you mean smoke?"],
        ] as [string[], string][]
      ) {
        const { code, stderr } = await start(args);
        assertEquals(code, 2);
        assertStringIncludes(stderr, expected);
      }
      assertEquals((await start([], { NANO_LLM_PROFILE: "big" })).code, 2);
      assertStringIncludes((await start(["--help"])).stdout, `usage: ${taskCommand("start")}`);
    });
  });
});

Deno.test("the report says when the model is worse than counting pairs", () => {
  const report = {
    profile: "smoke",
    backend: "cpu",
    chapters: [],
    train: { ...TRAIN, valLoss: 4 },
    sample: null,
  };
  assertStringIncludes(reportText(report, "backend cpu"), "0.700 worse");
});

Deno.test("the report counts one chapter as one, and sends nobody to install what is installed", () => {
  const chapters = [{ name: "01-words", ok: true, seconds: 1, cells: 3 }];
  const report = { profile: "smoke", backend: "cpu", chapters, train: null, sample: null };
  assertStringIncludes(reportText(report, "backend cpu"), "1 chapter in 1.0 s");
  assertStringIncludes(
    reportText(report, "backend cpu"),
    `Next: ${taskCommand("kernel")}, then open`,
  );
  assertStringIncludes(reportText(report, "backend cpu", true), "Next: open notebooks/01");
});
