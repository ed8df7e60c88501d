/** Attacks on the grader: none gains a point, harms a file, or keeps another learner from being graded. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { basename, join } from "node:path";
import { SOLUTION_BEGIN, SOLUTION_END, withoutRegion } from "tools/homework/exercises.ts";
import { findSubmissions } from "tools/homework/folder.ts";
import { type Grade, gradeAll } from "tools/homework/grade.ts";
import { learnerNotebook } from "tools/homework/release.ts";
import { findChapter, formatNotebook, type Notebook, readNotebook } from "tools/notebook.ts";
import { type Attack, attacks } from "../homework/attacks.ts";

const file = findChapter("03");
const solved = readNotebook(file);
for (const cell of solved.cells) cell.outputs &&= [];
const stubs = learnerNotebook(file, solved);
const MASK = "causal-mask";

function edited(notebook: Notebook, change: (notebook: Notebook) => void): Notebook {
  const copy = structuredClone(notebook);
  change(copy);
  return copy;
}

function cellOf(notebook: Notebook, id: string) {
  return notebook.cells.find(({ metadata }) => metadata.nbgrader?.grade_id === id)!;
}

/** A notebook whose exercise on the mask is an attack. */
function attacking(base: Notebook, { top = "", body }: Attack, secret: string): Notebook {
  return edited(base, (copy) => {
    const cell = cellOf(copy, MASK);
    const original = cellOf(solved, MASK).source;
    const source = withoutRegion(original, SOLUTION_BEGIN, SOLUTION_END, () => [body]);
    const text = source.replace("//| export\n", () => `//| export\n${top}\n`);
    cell.source = text.replaceAll("@SECRET@", secret);
  });
}

async function graded(folder: string): Promise<Map<string, Grade>> {
  const { found } = findSubmissions(folder);
  const options = { folder, chapters: [file], cpuSeconds: 2, memoryMB: 700 };
  const grades = await gradeAll(found, options);
  return new Map(grades.map((one) => [one.student, one]));
}

Deno.test("attacking programs: 0 points, in words, and nobody else is touched", async (t) => {
  const folder = await Deno.makeTempDir();
  const secret = join(folder, "secret.json");
  const write = (name: string, notebook: Notebook) =>
    Deno.writeTextFileSync(join(folder, "in", `${name}.ipynb`), formatNotebook(notebook));
  Deno.mkdirSync(join(folder, "in"));
  Deno.writeTextFileSync(secret, '{"word": "xyzzy"}');
  try {
    write("honest-first", solved);
    attacks.forEach((attack, i) => write(`mean-${i}`, attacking(stubs, attack, secret)));
    const loops = attacks.find(({ name }) => name === "loops for ever")!;
    write("half-honest", attacking(solved, loops, secret));
    write("zz-honest-last", solved);
    const grades = await graded(join(folder, "in"));
    await t.step("honest learners get all their points", () => {
      for (const name of ["honest-first", "zz-honest-last"]) {
        assertEquals(grades.get(name)!.points, 8);
      }
      assertEquals(grades.get("half-honest")!.exercises.map(({ points }) => points), [0, 1, 2, 3]);
    });
    for (const [i, { name, says }] of attacks.entries()) {
      await t.step(name, () => {
        const grade = grades.get(`mean-${i}`)!;
        const report = JSON.stringify(grade);
        assertEquals(grade.points, 0, report);
        assertEquals(
          grade.exercises.slice(1).map(({ status }) => status),
          Array(3).fill("not started"),
        );
        const { diagnosis = "", status } = grade.exercises[0];
        assertEquals(status, "failed");
        assertMatch(diagnosis.replaceAll(secret, "@SECRET@"), says);
        assert(!report.includes("xyzzy"), "the secret is in the report");
      });
    }
    await t.step("no file was harmed", () => {
      assertEquals(Deno.readTextFileSync(secret), '{"word": "xyzzy"}');
      assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), [
        "in",
        "secret.json",
      ]);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Notebooks that are damaged or doctored: what they are worth, and what is said. */
const doctored: { name: string; text: () => string; points: number; says: RegExp }[] = [
  {
    name: "gives itself 100 points",
    text: () =>
      formatNotebook(edited(stubs, (copy) => {
        for (const { metadata } of copy.cells) {
          if (metadata.nbgrader?.grade) metadata.nbgrader.points = 100;
        }
      })),
    points: 0,
    says: /says 100 points; it is worth 2/,
  },
  {
    name: "empties a locked cell",
    text: () =>
      formatNotebook(edited(stubs, (copy) => cellOf(copy, "ex-mask-check").source = "{}")),
    points: 0,
    says: /"ex-mask-check" was changed; the original was used/,
  },
  {
    name: "deletes the checks",
    text: () =>
      formatNotebook(edited(stubs, (copy) => {
        copy.cells = copy.cells.filter(({ metadata }) => !metadata.nbgrader?.grade);
      })),
    points: 0,
    says: /"ex-mask-check" is missing/,
  },
  {
    name: "deletes its solutions",
    text: () =>
      formatNotebook(edited(solved, (copy) => {
        copy.cells = copy.cells.filter(({ metadata }) => !metadata.nbgrader?.solution);
      })),
    points: 0,
    says: /the cell is not in the notebook/,
  },
  {
    name: "renames a check",
    text: () =>
      formatNotebook(edited(stubs, (copy) => {
        const cell = cellOf(copy, "ex-mask-check");
        Object.assign(cell.metadata.nbgrader!, { grade_id: "mine", points: 50 });
        Object.assign(cell, { id: "mine", source: "{}" });
      })),
    points: 0,
    says: /"ex-mask-check" is missing/,
  },
  {
    name: "calls everything a check of its own",
    text: () =>
      formatNotebook(edited(stubs, (copy) => {
        const cell = cellOf(copy, "ex-mask-check");
        copy.cells.push({ ...structuredClone(cell), id: "again", source: "{}" });
      })),
    points: 0,
    says: /2 cells are called "ex-mask-check"/,
  },
  {
    name: "duplicates a solution, wrong one last",
    text: () =>
      formatNotebook(edited(solved, (copy) => {
        copy.cells.push({ ...structuredClone(cellOf(stubs, MASK)), id: "again" });
      })),
    points: 6,
    says: /2 cells are called "causal-mask"/,
  },
  { name: "invalid JSON", text: () => '{"cells": [', points: 0, says: /not valid JSON/ },
  { name: "JSON, but no notebook", text: () => '{"a": 1}', points: 0, says: /no list of cells/ },
  {
    name: "cells that are no cells",
    text: () => '{"cells": [1, null, {"source": 5}, {"metadata": []}]}',
    points: 0,
    says: /none of the exercises/,
  },
  { name: "an empty file", text: () => "", points: 0, says: /empty/ },
  {
    name: "another chapter",
    text: () => Deno.readTextFileSync(findChapter("06")),
    points: 0,
    says: /chapter 06-sample; 03-attention was assigned/,
  },
  {
    name: "Windows line ends",
    text: () =>
      formatNotebook(edited(solved, (copy) => {
        for (const cell of copy.cells) cell.source = cell.source.replaceAll("\n", "\r\n");
      })).replaceAll("\n", "\r\n"),
    points: 8,
    says: /^\[\]$/,
  },
  {
    name: "a byte order mark",
    text: () => `\uFEFF${formatNotebook(solved)}`,
    points: 8,
    says: /^\[\]$/,
  },
  {
    name: "50 MB of output",
    text: () =>
      formatNotebook(edited(solved, (copy) => {
        cellOf(copy, MASK).outputs = [{
          output_type: "stream",
          name: "stdout",
          text: "x".repeat(5e7),
        }];
      })),
    points: 8,
    says: /^\[\]$/,
  },
];

Deno.test("damaged and doctored notebooks are worth what they are, and the rest is graded", async (t) => {
  const folder = await Deno.makeTempDir();
  try {
    doctored.forEach(({ text }, i) => Deno.writeTextFileSync(join(folder, `${i}.ipynb`), text()));
    Deno.writeTextFileSync(join(folder, "zz-honest.ipynb"), formatNotebook(solved));
    const grades = await graded(folder);
    for (const [i, { name, points, says }] of doctored.entries()) {
      await t.step(name, () => {
        const { notes, problem, exercises, points: got } = grades.get(String(i))!;
        assertEquals(got, points);
        const said = [problem, ...notes, ...exercises.map(({ diagnosis }) => diagnosis)].filter(
          Boolean,
        );
        assertMatch(JSON.stringify(said).replaceAll('\\"', '"'), says);
      });
    }
    await t.step("the honest one", () => assertEquals(grades.get("zz-honest")!.points, 8));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a file above the limit is refused in words", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "large.ipynb");
    await Deno.writeTextFile(path, "");
    await Deno.truncate(path, 101 * 2 ** 20);
    const grade = (await graded(folder)).get("large")!;
    assertEquals(grade.points, 0);
    assertMatch(grade.problem!, /101 MB; 100 MB are allowed/);
    assertEquals(basename(path), grade.file);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
