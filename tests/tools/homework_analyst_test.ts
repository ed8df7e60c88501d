/** Notebooks that are written to keep the grader's own parsers busy: each costs what it spoils, and nobody else waits. */
import { assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { findSubmissions } from "tools/homework/folder.ts";
import { gradeAll } from "tools/homework/grade.ts";
import { type Cell, findChapter, formatNotebook, readNotebook } from "tools/notebook.ts";

const file = findChapter("03");
const solved = readNotebook(file);
for (const cell of solved.cells) cell.outputs &&= [];

/** 60 open type arguments or comparisons: every parser of TypeScript tries both, each time. */
const EXPONENTIAL = `const x = ${"<a>(".repeat(60)}1${")".repeat(60)};`;

function own(id: string, source: string): Cell {
  return { id, cell_type: "code", source, metadata: {}, outputs: [], execution_count: null };
}

/** What is done to the notebook with all solutions, given the first exercise's cell and all cells. */
const notebooks: Record<string, (mask: Cell, cells: Cell[]) => void> = {
  "a-honest": () => {},
  "b-exponential": (mask) => mask.source += `\n${EXPONENTIAL}`,
  "c-exponential-elsewhere": (_, cells) => cells.splice(5, 0, own("mine", EXPONENTIAL)),
  "d-deep": (mask) => mask.source += `\nconst deep = a${".b".repeat(15_000)};`,
  "e-many": (_, cells) => {
    for (let i = 0; i < 1800; i++) cells.push(own(`m${i}`, `const n${i} = n${i - 1};\nlet k${i};`));
  },
  "z-honest": () => {},
};

Deno.test("cells that take for ever to read cost their own exercise", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, change] of Object.entries(notebooks)) {
      const copy = structuredClone(solved);
      change(copy.cells.find(({ id }) => id === "causal-mask")!, copy.cells);
      await Deno.writeTextFile(join(folder, `${name}.ipynb`), formatNotebook(copy));
    }
    const { found } = findSubmissions(folder);
    const grades = await gradeAll(found, { folder, chapters: [file] });
    const points = grades.map(({ points, student }) => [student, points]);
    assertEquals(points, [
      ["a-honest", 8],
      ["b-exponential", 6],
      ["c-exponential-elsewhere", 8],
      ["d-deep", 6],
      ["e-many", 8],
      ["z-honest", 8],
    ]);
    assertMatch(
      grades[1].exercises[0].diagnosis!,
      /takes too long, or too much memory, to be read/,
    );
    assertMatch(grades[3].exercises[0].diagnosis!, /nested too deeply/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
