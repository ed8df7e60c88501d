/** `homework release`, `homework check`, and the parts that all three commands stand on. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { basename, join, relative } from "node:path";
import { UsageError } from "tools/cli.ts";
import { main as exportMain } from "tools/export.ts";
import { checkOne, ownership } from "tools/homework/check.ts";
import { checksumOf } from "tools/homework/checksum.ts";
import {
  exercisesOf,
  HIDDEN_BEGIN,
  HIDDEN_END,
  SOLUTION_BEGIN,
  SOLUTION_END,
  stub,
} from "tools/homework/exercises.ts";
import { feedbackPage } from "tools/homework/feedback.ts";
import { findSubmissions } from "tools/homework/folder.ts";
import { type Grade, grade, gradeAll } from "tools/homework/grade.ts";
import { HIDDEN_FAILS } from "tools/homework/judge.ts";
import { CellProblem, declaredIn, readCell } from "tools/homework/cells.ts";
import { release, withoutSolutionText } from "tools/homework/release.ts";
import { csvText } from "tools/homework/table.ts";
import {
  findChapter,
  formatNotebook,
  listChapters,
  type Notebook,
  NotebookError,
  readNotebook,
  writeNotebook,
} from "tools/notebook.ts";
import { tangle } from "tools/tangle.ts";
import { typeProblems } from "tools/typecheck.ts";
import { printed } from "./book.ts";

const attention = findChapter("03");

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function filesBelow(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) =>
    isDirectory ? filesBelow(join(folder, name)) : [join(folder, name)]
  ).sort();
}

function snapshot(folder: string): Record<string, string> {
  return Object.fromEntries(
    filesBelow(folder).map((file) => [
      relative(folder, file),
      new TextDecoder("latin1").decode(Deno.readFileSync(file)),
    ]),
  );
}

/** Lines between two marks that are long enough to be told from anything else. */
function regionLines(notebook: Notebook, begin: string, end: string): string[] {
  return notebook.cells.filter(({ metadata }) => metadata.nbgrader).flatMap(({ source }) => {
    let isInside = false;
    return source.split("\n").filter((line) => {
      if (line.includes(begin)) isInside = true;
      else if (line.includes(end)) isInside = false;
      else return isInside;
      return false;
    });
  }).map((line) => line.trim().replace(/\s*\/\/.*$/, "")).filter((line) => line.length > 38);
}

/** A learner's notebook in `folder`, with the book's solutions of some cells. */
function solve(
  folder: string,
  chapter: string,
  ids: string[] | "all",
  change = (source: string) => source,
): void {
  const file = findChapter(chapter, join(folder, "notebooks"));
  const book = readNotebook(findChapter(chapter));
  const own = readNotebook(file);
  for (const cell of own.cells) {
    if (!cell.metadata.nbgrader?.solution || !(ids === "all" || ids.includes(cell.id))) continue;
    cell.source = change(book.cells.find(({ id }) => id === cell.id)!.source);
  }
  writeNotebook(file, own);
}

Deno.test("release: what learners get has stubs and no solution anywhere", async (t) => {
  await inFolder(async (folder) => {
    const files = listChapters().slice(1, 3);
    await release({ files, to: folder });
    const texts = snapshot(folder);
    const notebooks = files.map((file) => readNotebook(join(folder, "notebooks", basename(file))));
    await t.step("no line of a solution or a hidden test", () => {
      for (const file of files) {
        const lines = [
          ...regionLines(readNotebook(file), SOLUTION_BEGIN, SOLUTION_END),
          ...regionLines(readNotebook(file), HIDDEN_BEGIN, HIDDEN_END),
        ];
        assert(lines.length > 12, `only ${lines.length} lines to look for`);
        for (const [path, text] of Object.entries(texts)) {
          const found = lines.find((line) =>
            text.includes(JSON.stringify(line).slice(1, -1)) || text.includes(line)
          );
          assertEquals(found, undefined, path);
        }
      }
    });
    await t.step("no outputs, no solutions in the text, hints stay", () => {
      for (const { cells } of notebooks) {
        assertEquals(cells.flatMap(({ outputs }) => outputs ?? []), []);
        const text = cells.map(({ source }) => source).join("\n");
        assert(!/<summary>\s*Solution/i.test(text));
        assertStringIncludes(text, "<summary>Hint</summary>");
      }
    });
    await t.step("stubs name their exercise and keep their docstring", () => {
      const cell = notebooks[1].cells.find(({ id }) => id === "split-heads")!;
      assertStringIncludes(cell.source, 'throw new Error("not implemented: ex-heads");');
      assertStringIncludes(cell.source, "@returns [B, H, T, D]");
      assertStringIncludes(cell.source, "cannot be cut into");
    });
    await t.step("checks are locked and carry nbgrader's checksum", () => {
      for (const { metadata, ...cell } of notebooks.flatMap(({ cells }) => cells)) {
        const info = metadata.nbgrader as { checksum?: string } | undefined;
        if (info) assertEquals(info.checksum, checksumOf({ ...cell, metadata }));
        if (metadata.nbgrader?.grade) {
          assertEquals([metadata.deletable, metadata.editable], [false, false]);
        }
      }
    });
    await t.step("only earlier chapters come as modules", () => {
      const lib = Object.keys(texts).filter((path) => /^lib\/[a-z]+\.ts$/.test(path));
      assertEquals(lib, [
        "lib/attention.ts",
        "lib/embeddings.ts",
        "lib/mod.ts",
        "lib/tokenizer.ts",
      ]);
      assertStringIncludes(texts["lib/attention.ts"], "not implemented: ex-mask");
      assert(!texts["lib/tokenizer.ts"].includes("not implemented"));
    });
    await t.step("assistants are told of every exercise, and to leave it to the learner", () => {
      const text = texts["AGENTS.md"];
      const exercises = files.flatMap((file) => exercisesOf(file, readNotebook(file)));
      for (const { name, check, solutions } of exercises) {
        assertMatch(text, new RegExp(`^- ${name}: .*\`${solutions[0]}\`.*\`${check}\``, "m"));
      }
      assertStringIncludes(text, "Ask before you answer");
      assertStringIncludes(text, "for the learner to write");
    });
    await t.step("export finds nothing to delete among what was handed out", async () => {
      await Deno.writeTextFile(join(folder, "lib/mine.ts"), texts["lib/tokenizer.ts"]);
      const { text, result } = await printed(() => exportMain(["--check"], folder));
      assertEquals(result, 1);
      assertEquals(text.match(/^lib\/\w+\.ts(?=: )/gm), ["lib/mine.ts"]);
      await Deno.remove(join(folder, "lib/mine.ts"));
      assertEquals((await printed(() => exportMain(["--check"], folder))).result, 0);
    });
    await t.step("it type checks", async () => {
      const staged = notebooks.map((notebook, i) => ({
        path: `build/tangled/${i}.ts`,
        tangled: tangle(join(folder, "notebooks", basename(files[i])), notebook),
      }));
      assertEquals(
        await typeProblems(folder, ["lib/mod.ts", "tools/homework.ts", "tools/run.ts"], staged),
        [],
      );
    });
  });
});

Deno.test("release: again, changed, forced, several at once", async (t) => {
  await inFolder(async (folder) => {
    await release({ files: [attention], to: folder });
    const before = snapshot(folder);
    const own = join(folder, "notebooks", "03-attention.ipynb");
    await t.step("a second run changes no byte", async () => {
      const { written, kept } = await release({ files: [attention], to: folder });
      assertEquals([written, kept], [[], []]);
      assertEquals(snapshot(folder), before);
    });
    await t.step("a learner's file stays", async () => {
      solve(folder, "03", ["causal-mask"]);
      const mine = Deno.readTextFileSync(own);
      const { kept } = await release({ files: [attention], to: folder });
      assertEquals(kept, ["notebooks/03-attention.ipynb"]);
      assertEquals(Deno.readTextFileSync(own), mine);
    });
    await t.step("the next chapter does not bring the solution of this one", async () => {
      await release({ files: [findChapter("04")], to: folder });
      assertStringIncludes(
        Deno.readTextFileSync(join(folder, "lib/attention.ts")),
        "not implemented: ex-mask",
      );
      assertStringIncludes(Deno.readTextFileSync(own), "offset");
    });
    await t.step("assistants are told of both chapters", () => {
      const text = Deno.readTextFileSync(join(folder, "AGENTS.md"));
      assertStringIncludes(text, "03-attention.ipynb");
      assertStringIncludes(text, "04-transformer.ipynb");
    });
    await t.step(
      "given later, the book's module stands in, and the learner's notebook stays",
      async () => {
        await release({ files: [findChapter("04")], given: [attention], to: folder });
        assert(
          !Deno.readTextFileSync(join(folder, "lib/attention.ts")).includes("not implemented"),
        );
        assertStringIncludes(Deno.readTextFileSync(own), "not implemented: ex-heads");
        const rows = (await ownership(folder)).join("\n");
        assertMatch(rows, /lib\/attention.ts +03-attention +the book's/);
        assertMatch(
          rows,
          /lib\/transformer.ts +04-transformer +yours, with parts that are not written/,
        );
      },
    );
    await t.step("--force takes it back to the start", async () => {
      await release({ files: [attention], to: folder, force: true });
      assertEquals(
        snapshot(folder)["notebooks/03-attention.ipynb"],
        before["notebooks/03-attention.ipynb"],
      );
    });
    await t.step("a folder for teachers is another folder", async () => {
      await assertRejects(
        () => release({ files: [attention], to: folder, kind: "teacher" }),
        UsageError,
        "was released for a learner",
      );
    });
  });
  await inFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "deno.json"), "{}");
    await assertRejects(
      () => release({ files: [attention], to: folder }),
      UsageError,
      "a project of its own",
    );
  });
  await inFolder(async (folder) => {
    await release({ files: [attention], to: folder, kind: "teacher" });
    assertStringIncludes(
      Deno.readTextFileSync(join(folder, "notebooks/03-attention.ipynb")),
      "BEGIN SOLUTION",
    );
  });
});

Deno.test("release for nbgrader: what assistants are told goes out with each chapter", async () => {
  await inFolder(async (folder) => {
    await release({ files: [attention], to: folder, kind: "nbgrader" });
    const text = Deno.readTextFileSync(join(folder, "source/03-attention/AGENTS.md"));
    assertStringIncludes(text, "checked by `ex-mask-check`");
    assert(!text.includes("homework check"));
  });
});

Deno.test("check: passed, not started, failed with its diagnosis and line", async () => {
  await inFolder(async (folder) => {
    await release({ files: [attention], to: folder });
    solve(folder, "03", ["causal-mask", "split-heads", "merge-heads"]);
    solve(folder, "03", ["scaled-scores"], (source) => source.replace("1 / Math.sqrt(width)", "1"));
    solve(folder, "03", ["split-heads"], (source) => source.replace("[0, 2, 1, 3]", "[0, 2, 1]"));
    const file = join(folder, "notebooks", "03-attention.ipynb");
    const { results, changed } = await checkOne(file, Deno.readTextFileSync(file), folder);
    assertEquals(results.map(({ status }) => status), [
      "passed",
      "failed",
      "failed",
      "not started",
    ]);
    assertStringIncludes(results[1].diagnosis!, "bare dot product");
    assertEquals(results[1].at, undefined);
    assert(results[1].checkLine! > 10);
    assertEquals(results[2].at?.cell, "split-heads");
    const lines = readNotebook(file).cells.find(({ id }) => id === "split-heads")!.source.split(
      "\n",
    );
    assertStringIncludes(lines[results[2].at!.line - 1], "tf.transpose");
    assertEquals(changed, []);
    const notebook = readNotebook(file);
    notebook.cells.find(({ id }) => id === "ex-mask-check")!.source = "{}";
    assertEquals((await checkOne(file, formatNotebook(notebook), folder)).changed, [
      "ex-mask-check",
    ]);
  });
});

Deno.test("check: a cell that does not parse is told by its line; other exercises go on", async () => {
  const notebook = readNotebook(attention);
  const cell = notebook.cells.find(({ id }) => id === "causal-mask")!;
  cell.source = cell.source.replace("const offset", "const const offset");
  const { results } = await checkOne(attention, formatNotebook(notebook));
  assertEquals(results.map(({ status }) => status), ["failed", "passed", "passed", "passed"]);
  assertEquals(results[0].at?.cell, "causal-mask");
  assert(results[0].at!.line > 10);
});

Deno.test("check: a module of the learner's that cannot be loaded is said in words", async () => {
  await inFolder(async (folder) => {
    await release({ files: [findChapter("04")], to: folder });
    const module = join(folder, "lib", "attention.ts");
    Deno.writeTextFileSync(
      module,
      Deno.readTextFileSync(module).replace("export function", "function (("),
    );
    const file = join(folder, "notebooks", "04-transformer.ipynb");
    await assertRejects(
      () => checkOne(file, Deno.readTextFileSync(file), folder),
      NotebookError,
      "what the notebook imports cannot be loaded",
    );
  });
});

Deno.test("check: own helpers count, whatever they are called", async () => {
  const notebook = readNotebook(attention);
  const cell = notebook.cells.find(({ id }) => id === "scaled-scores")!;
  const at = notebook.cells.indexOf(cell);
  cell.source = stub(cell.source, "x").replace(/throw .*/, "return near(q, k) as T;");
  const helper =
    'import { assert as near2 } from "@std/assert";\nconst near = (q: tf.Tensor, k: tf.Tensor) => ' +
    "(near2(true), dots(q, k).div(Math.sqrt(q.shape.at(-1)!)));\n" +
    "function dots(q: tf.Tensor, k: tf.Tensor) { return tf.matMul(q, k, false, true); }";
  const plain = { cell_type: "code", metadata: {}, outputs: [], execution_count: null } as const;
  notebook.cells.splice(at, 0, { ...plain, outputs: [], id: "mine", source: helper });
  const { results } = await checkOne(attention, formatNotebook(notebook));
  assertEquals(results.map(({ status }) => status), ["passed", "passed", "passed", "passed"]);
});

Deno.test("grade: the same twice, and feedback without hidden cases", async () => {
  await inFolder(async (folder) => {
    const submissions = join(folder, "submitted");
    const book = readNotebook(attention);
    const wrong = structuredClone(book);
    const cell = wrong.cells.find(({ id }) => id === "absorb-block")!;
    cell.source = cell.source.replace("tf.sum(weights, -1, true)", "tf.sum(weights)");
    const random = structuredClone(book);
    const mask = random.cells.find(({ id }) => id === "causal-mask")!;
    mask.source = mask.source.replace(
      "const offset",
      "if (Math.random() < 0.5 || Date.now() % 2) return tf.zeros([1, 1]);\nconst offset",
    );
    writeNotebook(join(submissions, "ada", "ps3", "03-attention.ipynb"), wrong);
    writeNotebook(join(submissions, "<b>bob", "ps3", "03-attention.ipynb"), random);
    writeNotebook(join(submissions, "eve", "ps3", "07-nothing.ipynb"), book);
    const out = (name: string) => join(folder, name);
    const written: string[][] = [];
    for (const run of ["1", "2"]) {
      const options = {
        folder: submissions,
        json: out(`${run}.json`),
        csv: out(`${run}.csv`),
        feedback: out(`f${run}`),
      };
      assertEquals(await quietly(() => grade(options)), 0);
      written.push(
        [
          options.json,
          options.csv,
          ...filesBelow(options.feedback),
          `${options.feedback}-summary.html`,
        ]
          .map((file) => Deno.readTextFileSync(file).replaceAll(`f${run}/`, "f/")),
      );
      for (
        const file of [
          options.json,
          options.csv,
          options.feedback,
          `${options.feedback}-summary.html`,
        ]
      ) {
        if (run === "1") await Deno.rename(file, out(`kept-${basename(file)}`));
      }
      await Deno.remove(out("elsewhere"), { recursive: true }).catch(() => {});
    }
    assertEquals(written[0], written[1]);
    const [json, csv, ...pages] = written[0];
    const grades: Grade[] = JSON.parse(json).grades;
    const ada = grades.find(({ student }) => student === "ada")!;
    assertEquals(ada.points, 5);
    assertEquals(ada.exercises[3].diagnosis, HIDDEN_FAILS);
    assertStringIncludes(ada.exercises[3].hidden!, "a maximum and a sum of its own");
    const page = feedbackPage(ada);
    assert(!page.includes("of its own"));
    assert(!/<script|src=|href="http/.test(pages.join("")));
    assert(!pages.join("").includes("<b>bob"));
    assertStringIncludes(csv, "ada,03-attention,2,1,2,0,5,8,");
    assertStringIncludes(written[0].at(-1)!, "Hardest: <b>ex-");
    assertEquals(grades.find(({ student }) => student === "eve")!.points, 8);
  });
});

/** Runs something without what it prints. */
async function quietly<T>(run: () => Promise<T>): Promise<T> {
  const { log } = console;
  console.log = () => {};
  try {
    return await run();
  } finally {
    console.log = log;
  }
}

Deno.test("grade: flat folders, learners' folders and nbgrader's", async () => {
  await inFolder((folder) => {
    const put = (path: string) => {
      Deno.mkdirSync(join(folder, path, ".."), { recursive: true });
      Deno.writeTextFileSync(join(folder, path), "{}");
    };
    [
      "ada.ipynb",
      "bob/03-attention.ipynb",
      "submitted/eve/ps1/03-attention.ipynb",
      "notes.txt",
      ".hidden/x.ipynb",
    ]
      .forEach(put);
    const { found, leftOut } = findSubmissions(folder);
    assertEquals(found.map(({ student, expected }) => [student, expected]), [
      ["ada", undefined],
      ["bob", "03-attention"],
      ["eve", "03-attention"],
    ]);
    assertEquals(leftOut.map(({ file }) => file), [".hidden", "notes.txt"]);
    return Promise.resolve();
  });
});

Deno.test("csv: quotes, and no formulas", () => {
  const grade: Grade = {
    student: '=1+"a",b',
    file: "",
    chapter: "03",
    points: 1,
    max: 2,
    exercises: [],
    notes: [],
  };
  assertEquals(
    csvText([grade]),
    'student,chapter,points,max,remarks\r\n"\'=1+""a"",b",03,1,2,\r\n',
  );
});

Deno.test("checksum: as nbgrader.utils.compute_checksum computes it", () => {
  const info = {
    schema_version: 3 as const,
    grade_id: "ex-é",
    grade: true,
    solution: false,
    locked: true,
    task: false,
  };
  const cell = {
    id: "x",
    cell_type: "code" as const,
    source: "{\n  a;\n}",
    metadata: { nbgrader: { ...info, points: 2 } },
  };
  // From nbgrader 0.9.6, for these two cells.
  assertEquals(checksumOf(cell), "c8c5e56df54072c1e4e20cdf05a8807d");
  const solution = { ...info, grade: false, solution: true, locked: false };
  assertEquals(
    checksumOf({ ...cell, metadata: { nbgrader: solution } }),
    "df9980fe766ded599728bceb01b7c816",
  );
});

Deno.test("exercises: every chapter has at least three, each with points", () => {
  for (const file of listChapters()) {
    const exercises = exercisesOf(file, readNotebook(file));
    assert(exercises.length >= 3, file);
    assertEquals(new Set(exercises.map(({ name }) => name)).size, exercises.length);
  }
});

Deno.test("solution texts go, hints stay", () => {
  const text =
    "Do it.\n\n<details><summary>Hint</summary>a</details>\n<details><summary>Solution</summary>\n\nb\n</details>";
  assertEquals(withoutSolutionText(text), "Do it.\n\n<details><summary>Hint</summary>a</details>");
});

/** A cell of a notebook, read as grading reads it. */
const read = (source: string) => readCell({ id: "x", cell_type: "code", source, metadata: {} });

/** Names that a cell takes from outside; `!` behind those that it assigns to. */
function free(source: string): string {
  const cell = read(source);
  const own = [...declaredIn(cell), ...cell.imports.map(({ local }) => local)];
  const uses = cell.pieces.flatMap(({ uses }) => uses).filter(({ name }) => !own.includes(name));
  const written = new Set(uses.filter((one) => one.isWritten).map(({ name }) => name));
  return [...new Set(uses.map(({ name }) => name))].map((name) =>
    name + (written.has(name) ? "!" : "")
  ).sort().join(" ");
}

Deno.test("names: what a cell takes from outside and what it writes to", () => {
  assertEquals(free("const a = b; { let b = 1; b = 2; }"), "b");
  assertEquals(free("function f(x, { y = z, ...rest }) { x = y; rest = 1; w++; }"), "w! z");
  assertEquals(
    free("a = 1; [b, { c: d }] = e; for (f of g); for (const h of i) h;"),
    "a! b! d! e f! g i",
  );
  assertEquals(free("const x: T = y as U; type T = number; interface U { z: q }"), "y");
  assertEquals(free("class A extends B { c = d; e() { return A; } [f]() {} #g = 1 }"), "B d f");
  assertEquals(free("try { a } catch (e) { e } finally { var v = 1 } v;"), "a");
  assertEquals(free("o.p = q?.r[s]; ({ t, u: v })"), "o q s t v");
  assertEquals(free("import { a } from 'b'; a(); label: for (;;) break label;"), "");
  assertEquals(
    free("(x as any) = 1; y! += 2; function f() { arguments; g(); function g() {} }"),
    "x! y!",
  );
  assertEquals(
    declaredIn(read("import type { T } from 't'; const { a, b: [c] } = d; var e; enum F {}")),
    ["a", "c", "e", "F"],
  );
});

Deno.test("names: what only the types say counts for nothing, what runs counts wherever it stands", () => {
  assertEquals(free("declare var a: any, b: any; a = b;"), "a! b");
  assertEquals(free("declare class A {} declare enum B { c } new A(B.c);"), "A B");
  assertEquals(free("function f(x = () => y = 1) { var y; }"), "y!");
  assertEquals(free("switch (k = 1) { case 1: let k; k; }"), "k!");
  assertEquals(free("namespace N { a = () => b; export const c = d; }"), "a! b d");
  assertEquals(free("const f = <T,>(x: T) => y < z, g = h<T>(i);"), "h i y z");
  assertEquals(declaredIn(read("function f(a: string): void; function f(a: number) {}")), ["f"]);
});

Deno.test("a cell that cannot be read says where, and costs itself alone", () => {
  const problem = (source: string) => {
    const { message, line } = assertThrows(() => read(source), CellProblem) as CellProblem;
    return `${line}: ${message}`;
  };
  assertMatch(problem("let a;\nconst r = /(/;"), /^2: Invalid regular expression/);
  assertMatch(problem("/(?<a>x)(?<a>y)/"), /^1: Invalid regular expression.*Duplicate/);
  assertMatch(problem("\n\n@d class A {}"), /^3: /);
  assertMatch(problem("class A { accessor x = 1 }"), /^1: /);
  assertMatch(problem("a" + ".b".repeat(15_000)), /nested too deeply/);
  assertMatch(problem("}; evil(); {"), /^1: /);
  assertMatch(read("a as any\n<!--b").refused!.message, /<!--/);
  assertMatch(read("1; import('node:fs')").refused!.message, /import\(\)/);
});

/** Grades one notebook. */
async function gradeOf(chapter: string, notebook: Notebook): Promise<Grade> {
  let found: Grade[] = [];
  await inFolder(async (folder) => {
    writeNotebook(join(folder, "ada.ipynb"), notebook);
    const file = findChapter(chapter);
    found = await gradeAll(findSubmissions(folder).found, { folder, chapters: [file] });
  });
  return found[0];
}

/** The book's chapter with other texts in some solution cells. */
function answering(chapter: string, sources: Record<string, string>): Notebook {
  const notebook = readNotebook(findChapter(chapter));
  for (const [id, source] of Object.entries(sources)) {
    notebook.cells.find(({ metadata }) => metadata.nbgrader?.grade_id === id)!.source = source;
  }
  return notebook;
}

function sourceIn(chapter: string, id: string): string {
  const { cells } = readNotebook(findChapter(chapter));
  return cells.find(({ metadata }) => metadata.nbgrader?.grade_id === id)!.source;
}

Deno.test("grade: an exercise that is not done, or wrong, or broken, costs its own points only", async (t) => {
  const init = sourceIn("04", "ex-init");
  const versions = {
    "not done": stub(init, "ex-init"),
    wrong: init.replace("Math.sqrt(2 * nLayer)", "nLayer"),
    "wrong where it is not shown": init.replace("Math.sqrt(2 * nLayer)", "(nLayer === 2 ? 2 : 1)"),
    throwing: init.replace("return INIT_STD", "throw new Error('no'); return INIT_STD"),
    "no code": "const const x = 1;",
    empty: "",
  };
  for (const [name, source] of Object.entries(versions)) {
    await t.step(name, async () => {
      const { exercises } = await gradeOf("04", answering("04", { "ex-init": source }));
      assertEquals(exercises.map(({ points }) => points), [2, 3, 0, 2, 3, 2]);
    });
  }
});

Deno.test("grade: code that works together with a learner's other code counts", async () => {
  const init = sourceIn("04", "ex-init").replace(
    "residualStd(nLayer: number)",
    "residualStd(nLayer: number, isHalved = false)",
  ).replace("return INIT_STD", "return (isHalved ? 0.5 : 1) * INIT_STD");
  const mlp = sourceIn("04", "ex-mlp").replace(
    "residualStd(nLayer)",
    "2 * residualStd(nLayer, true)",
  );
  const { exercises } = await gradeOf("04", answering("04", { "ex-init": init, "ex-mlp": mlp }));
  assertEquals(exercises.map(({ points }) => points), [2, 3, 1, 2, 3, 2]);
});

Deno.test("grade: what is not written yet does not answer an exercise before it", async () => {
  const text = (name: string) => stub(sourceIn("01", name), name);
  const merge = text("ex-merge").replace(
    /throw new Error.*/,
    "const merges = new PairMap();\n  merges.set(left, right, newId);\n  return mergeByRank(ids, merges);",
  );
  const { exercises } = await gradeOf(
    "01",
    answering("01", { "ex-merge": merge, "ex-encode": text("ex-encode") }),
  );
  assertEquals(exercises.map(({ points }) => points), [1, 0, 0, 1]);
  assertStringIncludes(exercises[1].diagnosis!, "It needs ex-encode, which is not written yet");
});

/** What the book, or tfjs, would answer for a learner. */
const CALLED: { chapter: string; exercise: string; code: string; says: string }[] = [
  {
    chapter: "01",
    exercise: "ex-encode",
    code: "return mergeLongWord(ids, merges);",
    says: "it uses `mergeLongWord`, which does what this exercise asks for",
  },
  {
    chapter: "01",
    exercise: "ex-merge",
    code:
      "const merges = new PairMap();\n  merges.set(left, right, newId);\n  return mergeLongWord(ids, merges);",
    says: "it uses `mergeLongWord`",
  },
  {
    chapter: "04",
    exercise: "ex-norm-gradient",
    code:
      "const [a, b, c] = tf.grads((x, g, b) => layerNorm(x, g, b, eps).mul(dy).sum())([x, gain, tf.zeros(gain.shape)]);\n  return { x: a as T, gain: b as tf.Tensor1D, bias: c as tf.Tensor1D };",
    says: "it uses `tf.grads`",
  },
  {
    chapter: "04",
    exercise: "ex-norm-gradient",
    code:
      "const { grads } = tf;\n  const [a, b, c] = grads((x, g, b) => layerNorm(x, g, b, eps).mul(dy).sum())([x, gain, tf.zeros(gain.shape)]);\n  return { x: a as T, gain: b as tf.Tensor1D, bias: c as tf.Tensor1D };",
    says: "it uses `tf.grads`",
  },
  {
    chapter: "04",
    exercise: "ex-count",
    code:
      "return Object.values(parameterShapes(config)).reduce((sum, shape) => sum + shape.reduce((a, b) => a * b), 0);",
    says: "it uses `parameterShapes`",
  },
  {
    chapter: "04",
    exercise: "ex-count",
    code: "return new GPT(config).parameters.count;",
    says: "it uses `GPT`",
  },
  {
    chapter: "05",
    exercise: "ex-ce",
    code:
      "return tf.losses.softmaxCrossEntropy(tf.oneHot(targets.flatten(), vocabSize), logits.reshape([-1, vocabSize])) as tf.Scalar;",
    says: "it uses `tf.losses`",
  },
];

Deno.test("grade: the book's own function is no answer, and this is said", async (t) => {
  for (const { chapter, exercise, code, says } of CALLED) {
    await t.step(`${exercise}: ${says}`, async () => {
      const { solutions } = exercisesOf("", readNotebook(findChapter(chapter)))
        .find(({ name }) => name === exercise)!;
      const source = stub(sourceIn(chapter, solutions[0]), exercise);
      const answer = source.replace(/throw new Error\("not implemented.*/, code);
      const { exercises } = await gradeOf(chapter, answering(chapter, { [solutions[0]]: answer }));
      const result = exercises.find((one) => one.exercise === exercise)!;
      assertEquals(result.points, 0);
      assertStringIncludes(result.diagnosis!, says);
      assertEquals(exercises.filter((one) => one !== result && one.status !== "passed"), []);
    });
  }
});
