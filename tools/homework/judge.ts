/** From a learner's notebook to points and diagnoses. */
import type { Notebook } from "../notebook.ts";
import type { Origin } from "../tangle.ts";
import { type Exercise, gradeIdOf, hasStub, visibleCheck } from "./exercises.ts";
import { readCell } from "./cells.ts";
import { Judge, type Master, originOf, type Program } from "./program.ts";
import { type Limits, runSandboxed, type Verdict } from "./sandbox.ts";

/** How an exercise stands. */
export type Status = "passed" | "failed" | "not started";

/** What came of one exercise. */
export interface Result {
  exercise: string;
  title: string;
  points: number;
  max: number;
  status: Status;
  /** What is wrong, for the learner: nothing of the cases that are not shown. */
  diagnosis?: string;
  /** What the failing hidden case says, for the teacher. */
  hidden?: string;
  /** Where in the learner's own code it went wrong, if it did there. */
  at?: Origin;
  /** Which line of the check says so. */
  checkLine?: number;
}

/** How to judge. */
export interface JudgeOptions {
  /** Also the cases between BEGIN and END HIDDEN TESTS; they decide about the points. */
  withHidden: boolean;
  limits?: Limits;
  root?: string;
}

/** What learners are told when only a hidden case fails. */
export const HIDDEN_FAILS =
  "Every case that is shown passes; one of the further cases, which are not shown, does not. Think of the limits: nothing, one, " +
  "equal values, large ones, other shapes.";

/** What an exercise may import: tensors, assertions, plain helpers of the engine, earlier chapters. */
export function mayImport(master: Master): (specifier: string) => boolean {
  const own = new Set(
    master.cells.flatMap(({ imports }) =>
      imports.map(({ from }) => JSON.parse(from.split(" with ")[0]))
    ),
  );
  return (specifier) =>
    ["@std/assert", "@tensorflow/tfjs"].includes(specifier) ||
    /^lib\/engine\/(random|parameters|profile)\.ts$/.test(specifier) ||
    (own.has(specifier) && /^lib\/[a-z-]+\.ts$/.test(specifier) &&
      specifier !== `lib/${master.module}.ts`);
}

/** What is known of an exercise before anything runs. */
export interface Planned {
  /** Why it cannot be run. */
  problem?: { cell: string; message: string; line?: number };
  /** The learner's text of its solution cells. */
  sources: string[];
  /** The program of the cases that learners see, and that of all. */
  shown?: Program;
  full?: Program;
  /** That of all cases for each of its cells by itself: nothing else that the check sees is the learner's. */
  alone?: { cell: string; program: Program }[];
}

/** Makes programs of a learner's notebook: for these exercises, with the chapter's answers to those. */
export type Planner = (exercises: string[], standIns: string[]) => Promise<Planned[]>;

/** A planner in this process. */
export function planner(master: Master, learner: Notebook, read = readCell): Planner {
  const judge = new Judge(master, learner, mayImport(master), read);
  return (names, standIns) =>
    Promise.resolve(
      names.map((name) => {
        const exercise = master.exercises.find((one) => one.name === name)!;
        const sources = exercise.solutions.map((id) => judge.source(id));
        const problem = judge.problem(exercise);
        if (problem) return { problem, sources };
        const [shown, full] = [false, true].map((hidden) =>
          judge.program(exercise, { hidden, standIns })
        );
        const isAlone = exercise.solutions.length === 1 && full.uses.length === 0;
        const alone = (isAlone || !master.hasSolutions ? [] : exercise.solutions).map((cell) => ({
          cell,
          program: judge.program(exercise, { hidden: true, standIns, alone: cell }),
        }));
        return { sources, shown, full, alone };
      }),
    );
}

/** Runs the checks of a chapter on a learner's notebook. */
export async function judge(
  exercises: Exercise[],
  plan: Planner,
  options: JudgeOptions,
): Promise<Result[]> {
  const planned = await plan(exercises.map(({ name }) => name), []);
  const first = await judgeAll(exercises, planned, options);
  // An exercise that needs another one, not done or wrong, is judged by itself: the chapter's answer stands in for the other.
  const failed = first.flatMap(({ exercise, status }) => status === "passed" ? [] : [exercise]);
  const again = exercises.filter(({ name }, i) =>
    failed.includes(name) && planned[i].full?.uses.some((one) => failed.includes(one))
  );
  if (!options.withHidden || again.length === 0) return first;
  const second = await judgeAll(again, await plan(again.map(({ name }) => name), failed), options);
  return first.map((result) => second.find((one) => one.exercise === result.exercise) ?? result);
}

async function judgeAll(
  exercises: Exercise[],
  planned: Planned[],
  { withHidden, limits, root }: JudgeOptions,
): Promise<Result[]> {
  const runnable = planned.filter(({ problem }) => !problem);
  const shown = runnable.map((one) => one.shown!);
  const full = withHidden ? runnable.map((one) => one.full!) : [];
  const alone = withHidden ? runnable.map((one) => one.alone!) : [];
  const programs = [...shown, ...full, ...alone.flat().map(({ program }) => program)];
  const count = runnable.length;
  const before = [
    ...shown.map(() => undefined),
    ...full.map((_, i) => i),
    ...alone.flatMap((list, i) => list.map(() => count + i)),
  ];
  const tasks = programs.map(({ parts }, i) => ({ parts, onlyAfter: before[i] }));
  const modules = programs.flatMap((one) => one.modules);
  const verdicts = await runSandboxed(tasks, modules, { limits, root });
  let next = 2 * count;
  return exercises.map((exercise, i) => {
    const { problem, sources, alone = [] } = planned[i];
    if (problem) return broken(exercise, problem);
    const at = runnable.indexOf(planned[i]);
    const first = resultOf(exercise, verdicts[at], shown[at], sources);
    if (!withHidden) return first;
    const byItself = alone.map(({ cell, program }) => ({
      cell,
      result: resultOf(exercise, verdicts[next++], program, sources),
    }));
    if (first.status !== "passed") return first;
    const all = resultOf(exercise, verdicts[at + count], full[at], sources);
    if (all.status !== "passed") return withoutHidden(all);
    const helped = byItself.find(({ result }) => result.status !== "passed");
    return helped ? onlyTogether(helped) : all;
  });
}

/** A result of code that passes only where other code of the learner's helps it. */
function onlyTogether({ cell, result }: { cell: string; result: Result }): Result {
  const { exercise, title, points, max, diagnosis: hidden } = result;
  const diagnosis =
    `Cell "${cell}" passes only together with your other cells, and not where the book's own solutions stand in for them.`;
  return { exercise, title, points, max, status: "failed", diagnosis, hidden };
}

/** A result of all cases: what the further ones say is for the teacher. */
function withoutHidden(result: Result): Result {
  if (result.status === "passed") return result;
  const { exercise, title, points, max, diagnosis: hidden } = result;
  return { exercise, title, points, max, status: "failed", diagnosis: HIDDEN_FAILS, hidden };
}

function broken(
  { name, title, points }: Exercise,
  { cell, message, line }: { cell: string; message: string; line?: number },
): Result {
  const base = { exercise: name, title, points: 0, max: points, status: "failed" as const };
  const diagnosis = `Cell "${cell}" cannot be used: ${message}`;
  return { ...base, diagnosis, ...line === undefined ? {} : { at: { cell, line } } };
}

function resultOf(
  exercise: Exercise,
  verdict: Verdict,
  program: Program,
  sources: string[],
): Result {
  const { name, title, points: max, check, solutions } = exercise;
  const base = { exercise: name, title, max };
  if (verdict.ok && !verdict.hasWarned) {
    const points = verdict.value === undefined ? max : Math.min(max, Math.max(0, verdict.value));
    if (points === max) return { ...base, points, status: "passed" };
    return {
      ...base,
      points,
      status: "failed",
      diagnosis: `Part of it: ${points} of ${max} points.`,
    };
  }
  if (sources.every(hasStub)) return { ...base, points: 0, status: "not started" };
  const places = (verdict.places ?? []).map(([part, line]) => originOf(program.parts[part], line));
  const at = places.find((place) => place && solutions.includes(place.cell));
  const first = places.find((place) => place !== undefined);
  const checkLine = places.find((place) => place?.cell === check)?.line;
  return {
    ...base,
    points: 0,
    status: "failed",
    diagnosis: diagnosisOf(verdict, name),
    // A check that threw itself points at its own line; an error inside the solution at the line there.
    ...at && first?.cell !== check ? { at } : {},
    ...checkLine === undefined ? {} : { checkLine },
  };
}

function diagnosisOf({ ok, stopped, message = "" }: Verdict, own: string): string {
  if (stopped) return `Stopped: ${stopped}.`;
  if (ok) {
    return "It writes to the error stream (console.error or console.warn); a check must stay silent.";
  }
  const missing = /^not implemented(?:: ([\w-]+))?$/.exec(message);
  if (missing?.[1] && missing[1] !== own) {
    return `It needs ${missing[1]}, which is not written yet.`;
  }
  if (missing) return "A part of it is still not implemented.";
  return message.trim() || "It threw an error without a message.";
}

/** What was done to cells that a learner was not to change so, in words. */
export function tampering(master: Master, learner: Notebook): string[] {
  const notes: string[] = [];
  const count = (id: string) =>
    learner.cells.filter(({ metadata }) => metadata.nbgrader?.grade_id === id).length;
  for (const { check, solutions, points } of master.exercises) {
    const original = master.cells.find(({ id, kind }) => kind === "check" && id === check)!;
    const cell = learner.cells.findLast((one) => gradeIdOf(one) === check);
    const same = [visibleCheck(original.source), original.source].includes(cell?.source ?? "");
    if (!cell) notes.push(`The check "${check}" is missing; the original was used.`);
    else if (!same) notes.push(`The check "${check}" was changed; the original was used.`);
    const claimed = cell?.metadata.nbgrader?.points;
    if (claimed !== undefined && claimed !== points) {
      notes.push(`The check "${check}" says ${claimed} points; it is worth ${points}.`);
    }
    for (const id of solutions) {
      const own = learner.cells.findLast((one) => gradeIdOf(one) === id);
      if (!own) notes.push(`The solution cell "${id}" is missing.`);
      else if (own.cell_type !== "code") {
        notes.push(`The solution cell "${id}" was turned into text; it was run as code.`);
      }
    }
    for (const id of [check, ...solutions]) {
      if (count(id) > 1) notes.push(`${count(id)} cells are called "${id}"; the last one counts.`);
    }
  }
  return notes;
}
