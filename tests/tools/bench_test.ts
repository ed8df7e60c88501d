import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { join } from "node:path";
import { benchTable, listBenches, loadBench, machine, readCommand } from "tools/bench.ts";
import { UsageError } from "tools/cli.ts";

Deno.test("the command line is split between the runner and the bench", () => {
  assertEquals(readCommand([]), { name: undefined, json: undefined, rest: [] });
  const expected = { name: "loss", json: "out.json", rest: ["--steps", "5"] };
  assertEquals(readCommand(["loss", "--json", "out.json", "--steps", "5"]), expected);
  assertEquals(readCommand(["--json=out.json", "loss", "--steps", "5"]), expected);
  assertThrows(() => readCommand(["loss", "--json"]), UsageError, "--json");
});

Deno.test("every bench has one line of description", async () => {
  const names = listBenches();
  assert(names.includes("loss"));
  for (const name of names) {
    const { description, bench } = await loadBench(name);
    assert(/^.+$/.test(description), `${name} has no description of one line`);
    assertEquals(typeof bench, "function");
  }
});

Deno.test("a bench that is not there is answered with those that are", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(join(folder, "speed.ts"), "");
    await Deno.writeTextFile(join(folder, "notes.md"), "");
    assertEquals(listBenches(folder), ["speed"]);
    await assertRejects(() => loadBench("sped", folder), UsageError, "did you mean speed?");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the table is aligned and shows a ratio where there is one", () => {
  const table = benchTable([
    { label: "ours", value: 1.5, unit: "s", ratio: 0.75 },
    { label: "the others", value: 2, unit: "s" },
  ]);
  assertEquals(table.split("\n").slice(2), [
    "ours          1.5  s     0.750",
    "the others      2  s",
  ]);
});

Deno.test("a result says what machine it was measured on", async () => {
  const here = await machine();
  assert(here.cpus >= 1 && here.memory > 1e8);
  assertEquals([here.os, here.deno], [Deno.build.os, Deno.version.deno]);
});
