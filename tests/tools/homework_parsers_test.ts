/** Attacks on the border between a learner's cell and its check: each costs its own exercise, and nothing else. */
import { assertEquals } from "@std/assert";
import { basename, join } from "node:path";
import { findSubmissions } from "tools/homework/folder.ts";
import { type Grade, gradeAll } from "tools/homework/grade.ts";
import { findChapter, formatNotebook, type Notebook, readNotebook } from "tools/notebook.ts";
import { type NameAttack, onNames } from "../homework/attacks/names.ts";
import { onParsers } from "../homework/attacks/parsers.ts";

function solved(chapter: string): Notebook {
  const notebook = readNotebook(findChapter(chapter));
  for (const cell of notebook.cells) cell.outputs &&= [];
  return notebook;
}

function attacked(chapter: Notebook, { cells }: NameAttack): Notebook {
  const copy = structuredClone(chapter);
  for (const [id, source] of Object.entries(cells)) {
    copy.cells.find(({ metadata }) => metadata.nbgrader?.grade_id === id)!.source = source;
  }
  return copy;
}

async function graded(chapter: string, notebooks: Notebook[]): Promise<Grade[]> {
  const folder = await Deno.makeTempDir();
  try {
    notebooks.forEach((notebook, i) =>
      Deno.writeTextFileSync(
        join(folder, `${String(i).padStart(4, "0")}.ipynb`),
        formatNotebook(notebook),
      )
    );
    const { found } = findSubmissions(folder);
    return await gradeAll(found, { folder, chapters: [findChapter(chapter)], cpuSeconds: 5 });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const all: Record<string, NameAttack> = {
  ...Object.fromEntries(
    Object.entries(onParsers).map(([name, source]) => [name, {
      chapter: "03",
      exercise: "ex-mask",
      cells: { "causal-mask": source },
    }]),
  ),
  ...onNames,
};

for (const [chapter, attacks] of Map.groupBy(Object.entries(all), ([, one]) => one.chapter)) {
  const name = basename(findChapter(chapter), ".ipynb");
  Deno.test(`${name}: no text of a cell reaches its check or another exercise`, async (t) => {
    const book = solved(chapter);
    const grades = await graded(chapter, attacks.map(([, one]) => attacked(book, one)));
    for (const [i, [what, { exercise }]] of attacks.entries()) {
      await t.step(what, () => {
        const { exercises, problem } = grades[i];
        assertEquals(problem, undefined);
        const own = exercises.find((one) => one.exercise === exercise)!;
        assertEquals(own.points, 0, JSON.stringify(own));
        const others = exercises.filter((one) => one !== own && one.points < one.max);
        assertEquals(others.map(({ exercise, diagnosis }) => [exercise, diagnosis]), []);
      });
    }
  });
}
