/** Programs that are not ours: a missing one is an answer, and Python is found by rules. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { delimiter, join } from "node:path";
import { ROOT } from "tools/notebook.ts";
import { ask, findProgram } from "tools/programs.ts";
import { testIf } from "../optional.ts";
import { withFolder } from "./kernel_support.ts";

const DENO = Deno.execPath();

Deno.test("a program that is not there is an answer, not an exception", async () => {
  const { ok, problem } = await ask("no-such-program", ["--version"]);
  assertEquals([ok, problem], [false, "there is no no-such-program"]);
});

Deno.test("what a program prints, how it fails, and that it takes too long", async () => {
  assertEquals((await ask(DENO, ["eval", "console.log(1 + 1)"])).stdout, "2");
  const failed = await ask(DENO, ["eval", "console.error('one\\ntwo'); Deno.exit(3)"]);
  assertEquals([failed.ok, failed.problem, failed.stderr], [false, "two", "one\ntwo"]);
  const silent = await ask(DENO, ["eval", "Deno.exit(3)"]);
  assertEquals(silent.problem, "it ended with exit code 3");
  const slow = await ask(DENO, ["eval", "setTimeout(() => {}, 60_000)"], { limit: 1 });
  assertEquals([slow.ok, slow.problem], [false, "no answer in 1 s"]);
});

Deno.test("the first program that is there is found", async () => {
  assertEquals(await findProgram(["no-such-program", DENO]), DENO);
  assertEquals(await findProgram(["no-such-program"]), undefined);
});

/** What `findPython` finds in an environment of its own. */
async function found(env: Record<string, string>, ...modules: string[]) {
  const program = `import { findPython } from "tools/programs.ts";
    console.log(JSON.stringify(await findPython(...${JSON.stringify(modules)})));`;
  const { ok, stdout, stderr } = await ask(DENO, ["eval", program], { cwd: ROOT, env });
  assert(ok, stderr);
  return JSON.parse(stdout) as { program: string; problem: string };
}

/** Runs `use` with a folder for a PATH, in which programs are written as shell scripts. */
async function withPrograms(
  scripts: Record<string, string>,
  use: (folder: string) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    for (const [name, script] of Object.entries(scripts)) {
      await Deno.mkdir(join(folder, name, ".."), { recursive: true });
      await Deno.writeTextFile(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    }
    await use(folder);
  });
}

const NO_SHELL = Deno.build.os === "windows" ? "Windows has no /bin/sh" : "";

testIf(NO_SHELL, "the first Python on the PATH that can import what is needed", async () => {
  await withPrograms({ "a/python3": "exit 1", "b/python3": "exit 0" }, async (folder) => {
    const PATH = [join(folder, "a"), join(folder, "b")].join(delimiter);
    const { program, problem } = await found({ PATH, NANO_LLM_PYTHON: "" }, "torch");
    assertEquals([program, problem], [join(folder, "b", "python3"), ""]);
  });
});

testIf(NO_SHELL, "NANO_LLM_PYTHON is taken at its word, and named if it cannot", async () => {
  await withPrograms({ "a/python3": "exit 0", mine: "exit 1" }, async (folder) => {
    const mine = join(folder, "mine");
    const env = { PATH: join(folder, "a"), NANO_LLM_PYTHON: mine };
    const { program, problem } = await found(env, "torch", "peft");
    assertEquals(program, mine);
    assertEquals(problem, `${mine}, which NANO_LLM_PYTHON names, cannot import torch, peft`);
  });
});

Deno.test("without Python the reason says what would help", async () => {
  const { problem } = await found({ PATH: "", NANO_LLM_PYTHON: "" }, "torch");
  assertStringIncludes(problem, "no Python on the PATH can import torch");
  assertStringIncludes(problem, "NANO_LLM_PYTHON");
});
