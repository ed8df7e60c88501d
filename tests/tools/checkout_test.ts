/** Checkouts in which nothing can run: the first command says so in words, and what helps. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { missingFolders, unwritable } from "tools/doctor/checkout.ts";
import { ROOT } from "tools/notebook.ts";
import { ask } from "tools/programs.ts";
import { runTool, withFolder } from "./kernel_support.ts";

/** A copy of some of the project, in which a command is run; the packages are not there, and cannot be had. */
async function inCopy(
  parts: string[],
  use: (doctor: (...args: string[]) => ReturnType<typeof runTool>) => Promise<void>,
): Promise<void> {
  await withFolder(async (root) => {
    for (const part of ["deno.json", "deno.lock", ...parts]) {
      await cp(join(ROOT, part), join(root, part), { recursive: true });
    }
    const env = { DENO_DIR: join(root, "cache"), HTTPS_PROXY: "http://127.0.0.1:9" };
    await use((...args) => runTool("doctor.ts", args, env, root));
  });
}

Deno.test("without lib the doctor names what is missing, and how to get it back", async () => {
  await inCopy(["tools", "notebooks"], async (doctor) => {
    for (const args of [[], ["--quick"]]) {
      const { code, stdout, stderr } = await doctor(...args);
      assertEquals(code, 1);
      assertStringIncludes(
        stdout + stderr,
        "✗ lib/data, lib/engine, lib/host, lib/notebook missing",
      );
      assertStringIncludes(
        stdout + stderr,
        "→ git restore lib/data lib/engine lib/host lib/notebook",
      );
      assert(!(stdout + stderr).includes("file:///"), stdout + stderr);
    }
  });
});

Deno.test("without packages, and no way to them, the doctor says what to set", async () => {
  await inCopy(["tools", "notebooks", "lib"], async (doctor) => {
    const { code, stdout, stderr } = await doctor();
    assertEquals(code, 1, stdout + stderr);
    assertStringIncludes(stdout, "✗ the packages are not here, and https://registry.npmjs.org/");
    assertStringIncludes(stdout, "cannot be reached");
    assertStringIncludes(stdout, "→ behind a proxy set HTTPS_PROXY=");
    assertEquals((await doctor("--quick")).code, 0, "packages are not its matter");
  });
});

Deno.test("a whole checkout has nothing missing, and can be written", () => {
  assertEquals([...missingFolders(), ...unwritable()], []);
});

Deno.test("where results cannot be written, that is said", async () => {
  await withFolder(async (root) => {
    await Deno.writeTextFile(join(root, "build"), "in the way");
    const [{ sign, text, cure, fatal }] = unwritable(root);
    assertEquals([sign, fatal], ["✗", true]);
    assertStringIncludes(text, `nothing can be written to ${join(root, "build")}`);
    assertStringIncludes(cure!, "NANO_LLM_BUILD");
  });
});

Deno.test("a disk that takes nothing ends a command with a sentence", async () => {
  const program = `import { runProgram } from "tools/cli.ts";
    const full = Object.assign(new Error("No space left: writefile 'x'"), { code: "ENOSPC" });
    await runProgram("usage", () => Promise.reject(full));`;
  const { ok, stderr } = await ask(Deno.execPath(), ["eval", program], { cwd: ROOT });
  assertEquals([ok, stderr.split("\n").length], [false, 2], stderr);
  assertStringIncludes(stderr, "No space left: writefile 'x'\n→ the disk is full");
});
