/** The tests of the tests: each check passes on the book's solution, and names the mistake in each wrong one. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { basename, join } from "node:path";
import {
  type Exercise,
  SOLUTION_BEGIN,
  SOLUTION_END,
  withoutRegion,
} from "tools/homework/exercises.ts";
import { mayImport } from "tools/homework/judge.ts";
import { Judge, type Master, readMaster } from "tools/homework/program.ts";
import { learnerNotebook } from "tools/homework/release.ts";
import { runSandboxed, type Verdict } from "tools/homework/sandbox.ts";
import { listChapters, type Notebook, NOTEBOOKS, readNotebook } from "tools/notebook.ts";
import { wrong as wrong01 } from "../homework/01-tokenizer.ts";
import { wrong as wrong02 } from "../homework/02-embeddings.ts";
import { wrong as wrong03 } from "../homework/03-attention.ts";
import { wrong as wrong04 } from "../homework/04-transformer.ts";
import { wrong as wrong05 } from "../homework/05-train.ts";
import { wrong as wrong06 } from "../homework/06-sample.ts";
import type { Wrong } from "../homework/wrong.ts";

const WRONG: Record<string, Wrong[]> = {
  "01-tokenizer": wrong01,
  "02-embeddings": wrong02,
  "03-attention": wrong03,
  "04-transformer": wrong04,
  "05-train": wrong05,
  "06-sample": wrong06,
};

/** Verdicts of the check that learners see, and of the whole one, for some versions of a notebook. */
async function verdicts(
  master: Master,
  cases: { learner: Notebook; exercise: Exercise }[],
): Promise<{ shown: Verdict; full: Verdict }[]> {
  const programs = cases.flatMap(({ learner, exercise }) => {
    const judge = new Judge(master, learner, mayImport(master));
    assertEquals(judge.problem(exercise), undefined);
    return [false, true].map((hidden) => judge.program(exercise, { hidden }));
  });
  const all = await runSandboxed(programs, programs.flatMap(({ modules }) => modules));
  return cases.map((_, i) => ({ shown: all[2 * i], full: all[2 * i + 1] }));
}

function withSolution(notebook: Notebook, { exercise, cell = exercise, code }: Wrong): Notebook {
  const copy = structuredClone(notebook);
  const found = copy.cells.find(({ metadata }) => metadata.nbgrader?.grade_id === cell);
  assert(found, `no solution cell "${cell}"`);
  found.source = withoutRegion(found.source, SOLUTION_BEGIN, SOLUTION_END, () => code.split("\n"));
  return copy;
}

for (const file of listChapters()) {
  const name = basename(file, ".ipynb");
  Deno.test(`${name}: solutions pass, stubs do not, each mistake is named`, async (t) => {
    const notebook = readNotebook(join(NOTEBOOKS, `${name}.ipynb`));
    const master = readMaster(file, name, notebook);
    const stubs = learnerNotebook(file, notebook);
    const wrong = WRONG[name] ?? [];
    const exerciseOf = (name: string) => master.exercises.find((one) => one.name === name)!;
    const results = await verdicts(master, [
      ...master.exercises.map((exercise) => ({ learner: notebook, exercise })),
      ...master.exercises.map((exercise) => ({ learner: stubs, exercise })),
      ...wrong.map((one) => ({
        learner: withSolution(notebook, one),
        exercise: exerciseOf(one.exercise),
      })),
    ]);
    const count = master.exercises.length;
    for (const [i, exercise] of master.exercises.entries()) {
      await t.step(exercise.name, () => {
        assertEquals(results[i].full, { ok: true }, "the book's own solution");
        assert(!results[count + i].shown.ok && !results[count + i].full.ok, "the stub passes");
        const own = wrong.filter((one) => one.exercise === exercise.name);
        assert(own.filter((one) => !one.isSubtle).length >= 3, "fewer than three wrong solutions");
        const said = own.map((one) => {
          const { shown, full } = results[2 * count + wrong.indexOf(one)];
          assertEquals(shown.ok, one.isSubtle === true, `${one.name}: ${shown.message}`);
          const { ok, message } = one.isSubtle ? full : shown;
          assert(!ok, `passes: ${one.name}`);
          assertStringIncludes(message ?? "", one.says, one.name);
          return message!;
        });
        for (const [j, { says, name }] of own.entries()) {
          const others = said.filter((text, k) => k !== j && text.includes(says));
          assertEquals(others, [], `${name} is not told from another mistake`);
        }
      });
    }
  });
}
