import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { taskCommand } from "tools/task.ts";
import { join } from "node:path";
import { brokenDeno, TESTED_DENO } from "tools/deno-version.ts";
import { denoVersion } from "tools/doctor.ts";
import { featuresOf } from "tools/doctor/engine.ts";
import { runTool, withFolder } from "./kernel_support.ts";

Deno.test("what is known of a version of Deno", () => {
  assertEquals(denoVersion(TESTED_DENO).sign, "✓");
  for (const version of ["2.7.14", "2.8.0", "2.8.1"]) {
    assertStringIncludes(denoVersion(version).text, "nbclient");
  }
  for (const version of ["2.7.13", "2.8.4", "2.9.5", "2.10.0", "3.0.0", "2.9.6-rc.1"]) {
    const { sign, text, cure } = denoVersion(version);
    assertEquals(sign, "!");
    assert(!text.includes("nbclient"), version);
    assertStringIncludes(cure!, TESTED_DENO);
  }
});

Deno.test("versions whose kernel hides that a cell threw are refused by name", () => {
  for (const version of ["2.8.2", "2.8.3", "2.8.3+abc"]) {
    const { sign, text, fatal } = denoVersion(version);
    assertEquals([sign, fatal], ["✗", true]);
    assertStringIncludes(text, `Deno ${version} reports a cell that throws as finished`);
  }
  for (const version of ["2.8.1", "2.8.4", "2.8.20", "2.9.6", "12.8.2"]) {
    assertEquals(brokenDeno(version), undefined);
  }
});

Deno.test("the doctor probes each backend and says what is missing, with a cure", async () => {
  await withFolder(async (folder) => {
    const env = { JUPYTER_DATA_DIR: folder, NANO_LLM_BACKEND: "" };
    const { code, stdout } = await runTool("doctor.ts", [], env);
    assertEquals(code, 0, stdout);
    const lines = stdout.trimEnd().split("\n");
    for (const line of lines) assertMatch(line, /^([✓!✗] | {4}→ )/);
    for (const backend of ["wasm", "cpu"]) {
      assertStringIncludes(stdout, `✓ ${backend} computes matmul, softmax, a gradient right`);
    }
    assertStringIncludes(
      stdout,
      `! the Jupyter kernel is not installed\n    → ${taskCommand("kernel")}`,
    );

    assertEquals((await runTool("install-kernel.ts", [], env)).code, 0);
    const spec = JSON.parse(
      await Deno.readTextFile(join(folder, "kernels", "deno", "kernel.json")),
    );
    assertEquals(spec.argv.slice(1, 3), ["run", "-A"]);
    assertEquals(spec.argv.at(-1), "{connection_file}");
    assertEquals(spec.env, { NO_COLOR: "1" });
    assert((await Deno.stat(spec.argv[0])).isFile);
    const version = await new Deno.Command(spec.argv[0], { args: ["--version"] }).output();
    assertStringIncludes(new TextDecoder().decode(version.stdout), Deno.version.deno);
    assertStringIncludes(
      (await runTool("doctor.ts", [], env)).stdout,
      "✓ Jupyter kernel installed",
    );

    const front = spec.argv.at(-2);
    await Deno.writeTextFile(front, (await Deno.readTextFile(front)) + "// an earlier version");
    assertStringIncludes(
      (await runTool("doctor.ts", [], env)).stdout,
      "! the Jupyter kernel is another program's, or an earlier version's",
    );

    spec.argv[0] = "/gone/deno";
    await Deno.writeTextFile(join(folder, "kernels", "deno", "kernel.json"), JSON.stringify(spec));
    assertStringIncludes(
      (await runTool("doctor.ts", [], env)).stdout,
      "✗ the Jupyter kernel starts /gone/deno, which is gone",
    );
  });
});

Deno.test("the doctor names the features of an adapter that it has and lacks", () => {
  assertEquals(
    featuresOf(new Set(["timestamp-query", "texture-compression-bc"])),
    "has timestamp-query, lacks shader-f16, subgroups",
  );
  assertEquals(
    featuresOf(new Set(["shader-f16", "subgroups", "timestamp-query"])),
    "has shader-f16, subgroups, timestamp-query",
  );
  assertEquals(featuresOf(new Set()), "lacks shader-f16, subgroups, timestamp-query");
});

Deno.test("a backend that is none stops the doctor", async () => {
  const { code, stdout } = await runTool("doctor.ts", [], { NANO_LLM_BACKEND: "abacus" });
  assertEquals(code, 1);
  assertStringIncludes(stdout, "✗ the backend must be one of");
});
