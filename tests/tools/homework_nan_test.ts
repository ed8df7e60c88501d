/** NaN is nobody's right answer: each check, as learners see it and whole, says so. */
import { assert, assertEquals } from "@std/assert";
import { basename } from "node:path";
import { judge, planner, type Result } from "tools/homework/judge.ts";
import { readMaster } from "tools/homework/program.ts";
import { listChapters, type Notebook, readNotebook } from "tools/notebook.ts";
import { FIELDS, type Spoilt, spoiltSource } from "../homework/nan.ts";

/** Exercises that give back no numbers. */
const WORDS = ["ex-special", "ex-stop"];

/** Exercises that give back one number: there is no rest of it. */
const ONE_NUMBER = ["ex-rotate", "ex-init", "ex-count", "ex-ce", "ex-schedule"];

/** The chapter with every solution spoilt. */
function spoiltNotebook(notebook: Notebook, spoilt: Spoilt): Notebook {
  const cells = notebook.cells.map((cell) => {
    const isOpen = cell.metadata.nbgrader?.solution &&
      (typeof spoilt === "string" || FIELDS[cell.id]?.includes(spoilt.field));
    return isOpen ? { ...cell, source: spoiltSource(cell, spoilt) } : cell;
  });
  return { ...notebook, cells };
}

async function results(file: string, spoilt: Spoilt, withHidden: boolean): Promise<Result[]> {
  const notebook = readNotebook(file);
  const master = readMaster(file, basename(file, ".ipynb"), notebook);
  const plan = planner(master, spoiltNotebook(notebook, spoilt));
  const all = await judge(master.exercises, plan, { withHidden });
  const left = spoilt === "rest" ? [...WORDS, ...ONE_NUMBER] : WORDS;
  return all.filter(({ exercise }) => !left.includes(exercise));
}

function assertFailed(all: Result[], what: string): void {
  const passed = all.filter(({ points }) => points > 0).map(({ exercise }) => exercise);
  assertEquals(passed, [], `pass with ${what}`);
  for (const { exercise, diagnosis = "" } of all) {
    assert(diagnosis.length > 10, `${exercise} says nothing to ${what}`);
    assert(!/Stopped|ReferenceError|TypeError|not a function/.test(diagnosis), diagnosis);
  }
}

for (const file of listChapters()) {
  const name = basename(file, ".ipynb");
  Deno.test(`${name}: no check passes NaN`, async (t) => {
    for (const withHidden of [false, true]) {
      await t.step(
        `NaN everywhere, ${withHidden ? "all cases" : "cases that are shown"}`,
        async () => assertFailed(await results(file, "all", withHidden), "NaN everywhere"),
      );
    }
    for (const spoilt of ["first", "rest"] as const) {
      await t.step(
        `NaN in the ${spoilt} of the numbers`,
        async () => assertFailed(await results(file, spoilt, true), `NaN in the ${spoilt}`),
      );
    }
    const ids = readNotebook(file).cells.map(({ id }) => id);
    const fields = new Set(ids.flatMap((id) => FIELDS[id] ?? []));
    for (const field of fields) {
      await t.step(`NaN in ${field} alone`, async () => {
        const all = await results(file, { field }, true);
        const touched = exercisesWith(file, field);
        assertFailed(all.filter(({ exercise }) => touched.includes(exercise)), field);
      });
    }
  });
}

/** Exercises whose solution gives back an object with this field. */
function exercisesWith(file: string, field: string): string[] {
  const { exercises } = readMaster(file, basename(file, ".ipynb"), readNotebook(file));
  return exercises.filter(({ solutions }) => solutions.some((id) => FIELDS[id]?.includes(field)))
    .map(({ name }) => name);
}
