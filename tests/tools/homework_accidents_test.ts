/** Honest accidents: `grade` and `check` give the same points, those that the work is worth. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { checkOne } from "tools/homework/check.ts";
import { findSubmissions } from "tools/homework/folder.ts";
import { type Grade, gradeAll } from "tools/homework/grade.ts";
import { findChapter, formatNotebook, type Notebook, readNotebook } from "tools/notebook.ts";
import { accidents, pointsOf } from "../homework/accidents.ts";

const file = findChapter("03");
const book = readNotebook(file);
for (const cell of book.cells) cell.outputs &&= [];

const texts = accidents.map(({ change }) => {
  const notebook: Notebook = structuredClone(book);
  change(notebook);
  return formatNotebook(notebook);
});

async function graded(): Promise<Grade[]> {
  const folder = await Deno.makeTempDir();
  try {
    texts.forEach((text, i) =>
      Deno.writeTextFileSync(join(folder, `${String(i).padStart(3, "0")}.ipynb`), text)
    );
    const { found } = findSubmissions(folder);
    return await gradeAll(found, { folder, chapters: [file], cpuSeconds: 5 });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("accidents: grade gives what the work is worth, check the same", async (t) => {
  assert(accidents.length > 50);
  const grades = await graded();
  for (const [i, accident] of accidents.entries()) {
    await t.step(accident.name, async () => {
      const { exercises, problem, notes } = grades[i];
      assertEquals(problem, undefined);
      const said = JSON.stringify([exercises, notes]);
      assertEquals(exercises.map(({ points }) => points), pointsOf(accident), said);
      if (accident.says) assertMatch(said, accident.says);
      const { results } = await checkOne(file, texts[i]);
      assertEquals(
        results.map(({ points }) => points),
        pointsOf(accident),
        JSON.stringify(results),
      );
    });
  }
});
