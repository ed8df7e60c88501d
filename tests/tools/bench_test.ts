import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { join } from "node:path";
import { benchTable, listBenches, loadBench, machine, readCommand } from "tools/bench.ts";
import { count, folder, positive, UsageError } from "tools/cli.ts";

Deno.test("the command line is split between the runner and the bench", () => {
  assertEquals(readCommand([]), { name: undefined, json: undefined, rest: [] });
  const expected = { name: "loss", json: "out.json", rest: ["--steps", "5"] };
  assertEquals(readCommand(["loss", "--json", "out.json", "--steps", "5"]), expected);
  assertEquals(readCommand(["--json=out.json", "loss", "--steps", "5"]), expected);
  assertThrows(() => readCommand(["loss", "--json"]), UsageError, "--json");
});

Deno.test("numbers from flags are numbers, and counts are whole", async () => {
  const wrong = ["NaN", "Infinity", "-Infinity", "-1", "0", "", " ", "soon", "1e9", "null", "3px"];
  for (const value of wrong) {
    assertThrows(() => positive("--seconds", value), UsageError, `got "${value}"`);
    assertThrows(() => count("--steps", value), UsageError, `--steps must be a whole number`);
  }
  assertThrows(() => count("--steps", "1.5"), UsageError, "from 1 to 1000000, got");
  assertEquals([positive("--s", "0.5"), count("--s", "20"), count("--seed", "0", 0)], [0.5, 20, 0]);
  assertThrows(() => folder("--to", " "), UsageError, `--to must be a folder, got " "`);
  assertEquals(folder("--to", "/a/b/../c/"), "/a/c");
  const flags: [string, string[], string][] = [
    ["loss", ["--steps", "1.5"], "--steps must be"],
    ["loss", ["--seed", "abc"], "--seed must be"],
    ["loss", ["--seed=-1"], "--seed must be"],
    ["train", ["--steps", "NaN"], "--steps must be"],
    ["tokenizer", ["--rounds", "0.5"], "--rounds must be"],
    ["tokenizer", ["--times", "Infinity"], "--times must be"],
  ];
  for (const [name, args, message] of flags) {
    const { bench } = await loadBench(name);
    await assertRejects(() => bench(args), UsageError, message);
  }
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
