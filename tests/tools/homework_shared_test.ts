/** What a submission shares with its judge cannot be changed, and honest code does not notice. */
import { assertEquals } from "@std/assert";
import { basename, join } from "node:path";
import { findSubmissions } from "tools/homework/folder.ts";
import { type Grade, gradeAll } from "tools/homework/grade.ts";
import { readMaster } from "tools/homework/program.ts";
import { learnerNotebook } from "tools/homework/release.ts";
import {
  findChapter,
  formatNotebook,
  listChapters,
  type Notebook,
  readNotebook,
  ROOT,
} from "tools/notebook.ts";
import {
  onEngine,
  onEverything,
  onFunctions,
  onTensors,
  type Try,
} from "../homework/attacks/shared.ts";
import { onPlatform, onTfjs } from "../homework/honest.ts";

const file = findChapter("03");

/** Names of those tries that gave what is true, and what the others threw: found out in a cell that is graded. */
async function triedInCell(tries: Record<string, Try>): Promise<Record<string, string>> {
  const stubs = learnerNotebook(file, readNotebook(file));
  const cell = stubs.cells.find(({ metadata }) => metadata.nbgrader?.grade_id === "causal-mask")!;
  cell.source = `//| export
import * as tf from "@tensorflow/tfjs";
import * as assert from "@std/assert";
import { Random } from "lib/engine/random.ts";
import { Parameters } from "lib/engine/parameters.ts";
const tries = { ${
    Object.entries(tries).map(([name, one]) => propertyText(name, one)).join(",\n")
  } };
const results = {};
for (const [name, one] of Object.entries(tries)) {
  try {
    const result = await one({ tf, assert, engine: { Random, Parameters } });
    results[name] = result ? "worked: " + String(result).slice(0, 300) : "no";
  } catch (error) {
    results[name] = String(error);
  }
}
export function causalMask(queries: number, keys: number): tf.Tensor2D {
  throw new Error(JSON.stringify(results));
}
`;
  const { exercises } = await graded(file, stubs);
  return JSON.parse(exercises[0].diagnosis!);
}

async function graded(chapter: string, notebook: Notebook): Promise<Grade> {
  const folder = await Deno.makeTempDir();
  try {
    Deno.writeTextFileSync(join(folder, "one.ipynb"), formatNotebook(notebook));
    const { found } = findSubmissions(folder);
    return (await gradeAll(found, { folder, chapters: [chapter] }))[0];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function propertyText(name: string, one: Try): string {
  const text = one.toString();
  return /^(async )?\(/.test(text) ? `${JSON.stringify(name)}: ${text}` : text;
}

async function someTries(tries: Record<string, Try>): Promise<Record<string, string>> {
  const names = Object.keys(tries), results = {};
  // A diagnosis has room for 2,000 characters.
  for (let i = 0; i < names.length; i += 12) {
    const some = Object.fromEntries(names.slice(i, i + 12).map((name) => [name, tries[name]]));
    Object.assign(results, await triedInCell(some));
  }
  return results;
}

for (const [what, tries] of Object.entries({ onEngine, onFunctions, onTensors, onEverything })) {
  Deno.test(`attacks ${what.replace("on", "on ").toLowerCase()}: none works`, async () => {
    const results = await someTries(tries);
    assertEquals(Object.keys(results), Object.keys(tries));
    assertEquals(Object.entries(results).filter(([, result]) => result.startsWith("worked")), []);
  });
}

for (const [what, tries] of Object.entries({ onPlatform, onTfjs })) {
  Deno.test(`honest code ${what.replace("on", "on ").toLowerCase()}: all works`, async () => {
    const results = await someTries(tries);
    assertEquals(Object.entries(results).filter(([, result]) => !result.startsWith("worked")), []);
    assertEquals(Object.keys(results), Object.keys(tries));
  });
}

for (const path of listChapters()) {
  const name = basename(path, ".ipynb");
  Deno.test(`${name}: nothing that a submission can reach can be changed`, async () => {
    const script = join(ROOT, "tests", "homework", "mutable.ts");
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", script, ...importsOf(path, name)],
      cwd: ROOT,
    }).output();
    const text = new TextDecoder().decode(stdout);
    assertEquals(text || new TextDecoder().decode(stderr), "[]");
  });
}

/** Every module that a cell of a chapter has, or may have, names from. */
function importsOf(path: string, name: string): string[] {
  const { cells } = readMaster(path, name, readNotebook(path));
  const own = cells.flatMap(({ imports }) => imports)
    .filter(({ isType }) => !isType).map(({ from }) => JSON.parse(from.split(" with ")[0]));
  const always = ["random", "parameters", "profile"].map((one) => `lib/engine/${one}.ts`);
  return [...new Set(["@tensorflow/tfjs", "@std/assert", ...always, ...own])];
}

/** Makes of a function one that gives the same, and spoils every tensor that it was given. */
const VANDAL = `
const spoiling = (real) => (...given) => {
  const result = real(...given);
  for (const one of given.flatMap((one) => one?.dataSync ? [one] : Object.values(one ?? {}))) {
    if (!one?.dataSync) continue;
    try { one.dataSync().fill(7); } catch {}
    try { one.shape.fill(7); } catch {}
    try { one.array = one.dataSync = () => [7]; } catch {}
  }
  return result;
};`;

for (const path of listChapters()) {
  const name = basename(path, ".ipynb");
  Deno.test(`${name}: a right solution that spoils what it was given is still right`, async () => {
    const solved = readNotebook(path);
    for (const cell of solved.cells.filter(({ metadata }) => metadata.nbgrader?.solution)) {
      const names = [...cell.source.matchAll(/^(?:export )?function (\w+)/gm)].map((one) => one[1]);
      if (names.length) {
        cell.source += VANDAL + names.map((name) => `\n${name} = spoiling(${name});`).join("");
      }
    }
    const { exercises, points, max } = await graded(path, solved);
    assertEquals(exercises.filter(({ status }) => status !== "passed"), []);
    assertEquals(points, max);
  });
}
