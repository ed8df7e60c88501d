/** The real nbgrader and `homework grade`, side by side. */
import { assert, assertEquals } from "@std/assert";
import { basename, delimiter, dirname, join } from "node:path";
import { SOLUTION_BEGIN, SOLUTION_END, withoutRegion } from "tools/homework/exercises.ts";
import { findSubmissions } from "tools/homework/folder.ts";
import { gradeAll } from "tools/homework/grade.ts";
import { learnerNotebook, release } from "tools/homework/release.ts";
import { accidents, pointsOf } from "../homework/accidents.ts";
import { findChapter, type Notebook, readNotebook, writeNotebook } from "tools/notebook.ts";
import { ask, findPython } from "tools/programs.ts";
import { testIf } from "../optional.ts";

const { program: python, problem } = await findPython("nbgrader");

const file = findChapter("03");
const name = basename(file, ".ipynb");
const solved = readNotebook(file);
for (const cell of solved.cells) cell.outputs &&= [];
const stubs = learnerNotebook(file, solved);

function cellOf(notebook: Notebook, id: string) {
  return notebook.cells.find(({ metadata }) => metadata.nbgrader?.grade_id === id)!;
}

/** A learner who has solved everything, but for these bodies. */
function learner(
  bodies: Record<string, string>,
  change: (notebook: Notebook) => void = () => {},
): Notebook {
  const copy = structuredClone(stubs);
  for (const { metadata } of copy.cells) {
    const id = metadata.nbgrader?.solution ? metadata.nbgrader.grade_id : undefined;
    if (!id) continue;
    const { source } = cellOf(solved, id);
    cellOf(copy, id).source = bodies[id] === undefined
      ? source
      : withoutRegion(source, SOLUTION_BEGIN, SOLUTION_END, () => [bodies[id]]);
  }
  change(copy);
  return copy;
}

const inPlace = "return x.reshape([batch, nHead, length, width / nHead]) as tf.Tensor4D;";
const ten: Record<string, Notebook> = {
  perfect: learner({}),
  stub: stubs,
  "mask-off-by-one": learner({
    "causal-mask":
      "for (let q = 0; q < queries; q++) for (let k = q + 2; k < keys; k++) mask[q * keys + k] = -1e9;",
  }),
  "only-hidden-fails": learner({
    "absorb-block": `
  const max = tf.maximum(state.max, tf.max(scores, -1, true));
  const grown = tf.exp(tf.sub(scores, state.max)), back = tf.exp(tf.sub(state.max, max));
  const sum = tf.mul(tf.add(state.sum, grown.sum(-1, true)), back);
  return { max, sum, total: tf.mul(tf.add(state.total, tf.matMul(grown, values)), back) };`,
  }),
  "two-wrong": learner({
    "split-heads": inPlace,
    "scaled-scores": "return tf.matMul(q, k, false, true) as T;",
  }),
  "half-done": learner({}, (copy) => {
    for (const id of ["merge-heads", "absorb-block"]) {
      cellOf(copy, id).source = cellOf(stubs, id).source;
    }
  }),
  "syntax-error": learner({ "scaled-scores": "return tf.matMul(q, k;" }),
  "deletes-a-check": learner({ "causal-mask": "" }, (copy) => {
    copy.cells = copy.cells.filter(({ metadata }) =>
      !["ex-mask-check", "ex-heads-check"].includes(metadata.nbgrader?.grade_id ?? "")
    );
  }),
  "doctors-checks": learner({ "causal-mask": "" }, (copy) => {
    const check = cellOf(copy, "ex-mask-check");
    Object.assign(check, { source: "{}" });
    check.metadata.nbgrader!.points = 100;
  }),
  "own-helper": learner(
    { "scaled-scores": "return divided(tf.matMul(q, k, false, true), q) as T;" },
    (copy) => {
      const at = copy.cells.indexOf(cellOf(copy, "scaled-scores"));
      copy.cells.splice(at, 0, {
        id: "mine",
        cell_type: "code",
        metadata: {},
        source:
          "function divided(x: tf.Tensor, q: tf.Tensor) {\n  console.log(1);\n  return x.div(Math.sqrt(q.shape.at(-1)!));\n}",
        outputs: [],
        execution_count: null,
      });
      const twice = { ...structuredClone(cellOf(stubs, "causal-mask")), id: "again" };
      copy.cells.splice(copy.cells.indexOf(cellOf(copy, "ex-mask-check")), 0, twice);
    },
  ),
};

const accidental = accidents.filter(({ isRun }) => isRun);
const nameOf = (accident: string) => accident.replace(/[^a-z]+/gi, "-");
const learners: Record<string, Notebook> = {
  ...ten,
  ...Object.fromEntries(accidental.map(({ name, change }) => [nameOf(name), learner({}, change)])),
};

const READ_POINTS = `
import json
from nbgrader.api import Gradebook
with Gradebook("sqlite:///gradebook.db") as book:
    print(json.dumps({s.student.id: {g.cell.name: g.auto_score or 0 for n in s.notebooks for g in n.grades}
                      for s in book.assignment_submissions("${name}")}))
`;

testIf(
  problem,
  "nbgrader and homework grade give the same points",
  async (t) => {
    const course = await Deno.realPath(await Deno.makeTempDir());
    const data = join(course, "jupyter");
    const kernel = join(data, "kernels", "deno", "kernel.json");
    await Deno.mkdir(join(data, "kernels", "deno"), { recursive: true });
    await Deno.writeTextFile(
      kernel,
      JSON.stringify({
        argv: [Deno.execPath(), "jupyter", "--kernel", "--conn", "{connection_file}"],
        display_name: "Deno",
        language: "typescript",
        env: { NO_COLOR: "1" },
      }),
    );
    const run = async (args: string[]) => {
      const { ok, stdout, stderr } = await ask(python, args, {
        cwd: course,
        env: {
          JUPYTER_DATA_DIR: data,
          JUPYTER_CONFIG_DIR: data,
          XDG_RUNTIME_DIR: course,
          HOME: course,
          DENO_DIR: denoDir(),
          // nbgrader starts its own helper, alembic, by name.
          PATH: [dirname(python), Deno.env.get("PATH")].join(delimiter),
        },
      });
      assert(ok, stderr);
      return stdout;
    };
    try {
      await release({ files: [file], to: course, kind: "nbgrader" });
      await run(["-m", "nbgrader", "generate_assignment", name]);
      await t.step("generate_assignment and release lock the checks alike", () => {
        const theirs = readNotebook(join(course, "release", name, `${name}.ipynb`));
        for (const cell of theirs.cells.filter(({ metadata }) => metadata.nbgrader?.grade)) {
          const ours = cellOf(stubs, cell.metadata.nbgrader!.grade_id);
          assertEquals(ours.source, cell.source);
          assertEquals(ours.metadata, cell.metadata);
        }
      });
      for (const [student, notebook] of Object.entries(learners)) {
        writeNotebook(join(course, "submitted", student, name, `${name}.ipynb`), notebook);
      }
      await run(["-m", "nbgrader", "autograde", name]);
      await run(["-m", "nbgrader", "generate_feedback", name]);
      const theirs = JSON.parse((await run(["-c", READ_POINTS])).split("\n").at(-1)!);
      const { found } = findSubmissions(join(course, "submitted"));
      const grades = await gradeAll(found, { folder: course });
      for (const { student, exercises } of grades) {
        await t.step(student, () => {
          const ours = Object.fromEntries(
            exercises.map((one) => [`${one.exercise}-check`, one.points]),
          );
          assertEquals(ours, theirs[student]);
          Deno.statSync(join(course, "feedback", student, name, `${name}.html`));
        });
      }
      assertEquals(grades.length, Object.keys(learners).length);
      for (const accident of accidental) {
        const { exercises } = grades.find(({ student }) => student === nameOf(accident.name))!;
        assertEquals(exercises.map(({ points }) => points), pointsOf(accident), accident.name);
      }
    } finally {
      await Deno.remove(course, { recursive: true });
    }
  },
);

/** Deno's cache, which lies below HOME unless told. */
function denoDir(): string {
  const told = Deno.env.get("DENO_DIR");
  if (told) return told;
  const home = Deno.env.get("HOME") ?? "";
  return Deno.build.os === "darwin" ? join(home, "Library/Caches/deno") : join(home, ".cache/deno");
}
