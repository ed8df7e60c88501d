import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { add, countLine, readSkip, readSummary, skipLines, unlisted } from "tools/test.ts";
import { runTool, withFolder, writeSmall } from "./kernel_support.ts";

Deno.test("the summary of deno test is read, with steps, left-out tests and colours", () => {
  const cases = [
    ["ok | 12 passed | 0 failed (2s)", [12, 0, 0]],
    ["noise\nok | 12 passed (3 steps) | 0 failed | 4 ignored (1m2s)\n\n", [12, 0, 4]],
    ["\x1b[31mFAILED\x1b[0m | 1 passed | 2 failed (1 step) \x1b[38;5;245m(3s)\x1b[0m", [1, 2, 0]],
    ["ok | 1 passed | 0 failed | 0 measured | 7 filtered out (1ms)", [1, 0, 0]],
  ] as const;
  for (const [output, [passed, failed, skipped]] of cases) {
    assertEquals(readSummary(output), { passed, failed, skipped });
  }
  assertEquals(readSummary("error: Type checking failed."), undefined);
});

Deno.test("a skipped test is read with its reason, and skips are counted by reason", () => {
  const line =
    "\x1b[0mgelu [webgpu]: skipped, no adapter: none\x1b[0m ... \x1b[33mignored\x1b[0m (0ms)";
  const gelu = { name: "gelu [webgpu]", reason: "no adapter: none" };
  assertEquals(readSkip(line), gelu);
  const silent = { name: "  a step", reason: "no reason given" };
  assertEquals(readSkip("  a step ... ignored (0ms)"), silent);
  assertEquals(readSkip("gelu [webgpu] ... ok (2ms)"), undefined);
  assertEquals(skipLines([silent, gelu, gelu]), [
    "    2  no adapter: none",
    "    1  no reason given",
  ]);
  assertEquals(unlisted([silent, gelu], ["no adapter: none"]), [silent]);
});

Deno.test("a test that is left out says why, and Python is looked for in one place", () => {
  const tests = join(import.meta.dirname!, "..");
  for (const folder of [tests, join(tests, "tools")]) {
    for (const { name } of Deno.readDirSync(folder)) {
      if (!name.endsWith("_test.ts")) continue;
      const text = Deno.readTextFileSync(join(folder, name));
      assert(
        !/^ *ignore:|Deno\.test\.ignore/m.test(text),
        `${name}: use testIf of tests/optional.ts`,
      );
      assert(!/get\("NANO_LLM_PYTHON/.test(text), `${name}: use findPython of tools/programs.ts`);
    }
  }
});

Deno.test("counts are added up, and skipped tests are mentioned only if there are any", () => {
  const sum = add({ passed: 1, failed: 2, skipped: 0 }, { passed: 3, failed: 0, skipped: 0 });
  assertEquals(countLine(sum), "4 passed, 2 failed");
  assertEquals(countLine({ ...sum, skipped: 5 }), "4 passed, 2 failed, 5 skipped");
});

Deno.test("the last line counts notebooks; a failing one makes the exit code 1", async () => {
  await withFolder(async (folder) => {
    const good = writeSmall(folder, "01-good", "1;");
    const bad = writeSmall(folder, "02-bad", "throw new Error('bad');");
    const { code, stdout } = await runTool("test.ts", ["notebooks", "--only", good, "--only", bad]);
    assertEquals(stdout.trimEnd().split("\n").at(-1), "1 passed, 1 failed");
    assertEquals(code, 1);
    assertStringIncludes(stdout, '02-bad, cell "c1", line 1');
  });
});

Deno.test("an unknown step is refused with the nearest", async () => {
  const { code, stderr } = await runTool("test.ts", ["notebook"]);
  assertEquals(code, 2);
  assertStringIncludes(stderr, 'no step "notebook"');
  assertStringIncludes(stderr, "did you mean notebooks?");
});
