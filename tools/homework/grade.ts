/** `homework grade`: a folder of strangers' notebooks into points, diagnoses and pages. */
import { basename, join, resolve } from "node:path";
import { UsageError } from "../cli.ts";
import { listChapters, type Notebook, readNotebook, ROOT } from "../notebook.ts";
import { duration, LiveLine } from "../terminal.ts";
import { Analyst } from "./analyst.ts";
import { oneLine } from "./clean.ts";
import { findSubmissions, type LeftOut, type Submission } from "./folder.ts";
import { judge, type Result, tampering } from "./judge.ts";
import { type Master, readMaster } from "./program.ts";
import { type Places, Results } from "./results.ts";
import { endSandboxes, LIMITS, type Limits, SandboxError } from "./sandbox.ts";
import { readSubmission, SubmissionError } from "./submission.ts";

/** What to grade and where to write what comes of it. */
export interface GradeOptions extends Places {
  folder: string;
  /** Paths of the chapters that were assigned; unless told, the one that most notebooks are. */
  chapters?: string[];
  jobs?: number;
  cpuSeconds?: number;
  memoryMB?: number;
}

/** The grade of one submission. */
export interface Grade {
  student: string;
  file: string;
  chapter: string;
  points: number;
  max: number;
  exercises: Result[];
  /** What was done to cells that are not the learner's. */
  notes: string[];
  /** Why it could not be graded at all. */
  problem?: string;
}

/**
 * Grades a folder and writes what is asked for, after each submission: a run that is stopped leaves what it has.
 *
 * @returns exit code: 0, also if some submissions could not be graded (they are reported); 1 if this machine is to blame
 * @throws UsageError if there is nothing to grade
 */
export async function grade(options: GradeOptions, root = ROOT): Promise<number> {
  const start = performance.now();
  const folder = resolve(options.folder);
  const { found, leftOut } = findSubmissions(folder);
  if (found.length === 0) throw new UsageError(`no notebook in ${folder}`);
  const results = new Results(found, leftOut, options);
  const live = new LiveLine();
  const stop = () => {
    endSandboxes();
    live.stop();
    console.log(`stopped: ${results.grades.length} of ${found.length} graded; theirs is written`);
    Deno.exit(130);
  };
  Deno.addSignalListener("SIGINT", stop);
  live.start(() => `graded ${results.grades.length} of ${found.length}`);
  try {
    await gradeAll(found, { ...options, folder }, root, (at, one) => results.add(at, one));
  } finally {
    live.stop();
    Deno.removeSignalListener("SIGINT", stop);
  }
  results.grades.forEach((one) => console.log(line(one)));
  leftOutLines(leftOut).forEach((text) => console.log(text));
  const seconds = duration((performance.now() - start) / 1000);
  console.log(`${found.length} submissions graded in ${seconds}`);
  for (const file of results.files) console.log(`  ${file}`);
  return results.grades.some(({ problem }) => problem?.startsWith(NOT_ITS_FAULT)) ? 1 : 0;
}

/** Lines on the terminal; the rest stands on the teacher's page. */
const MOST_LEFT_OUT = 30;

function leftOutLines(leftOut: LeftOut[]): string[] {
  const lines = leftOut.slice(0, MOST_LEFT_OUT).map(({ file, why }) =>
    `! ${oneLine(file, 150)}: ${why}, left out`
  );
  const more = leftOut.length - lines.length;
  return more > 0 ? [...lines, `! and ${more} more, named on the teacher's page`] : lines;
}

/** Grades submissions, several at a time; the result has their order. */
export async function gradeAll(
  submissions: Submission[],
  options: GradeOptions,
  root = ROOT,
  onDone: (at: number, grade: Grade) => void = () => {},
): Promise<Grade[]> {
  const masters = listChapters(join(root, "notebooks")).map((file) =>
    readMaster(file, basename(file, ".ipynb"), readNotebook(file))
  ).filter(({ exercises }) => exercises.length > 0);
  const assigned = options.chapters
    ? options.chapters.map((file) => withExercises(file, masters))
    : commonest(submissions, masters);
  const limits: Limits = { ...LIMITS };
  if (options.cpuSeconds) {
    limits.cpuSeconds = options.cpuSeconds;
    limits.wallSeconds = 3 * options.cpuSeconds;
  }
  if (options.memoryMB) limits.memoryMB = options.memoryMB;
  const grades: Grade[] = [];
  let next = 0;
  const worker = async () => {
    const analyst = new Analyst(root);
    try {
      while (next < submissions.length) {
        const at = next++;
        grades[at] = await gradeOne(submissions[at], { masters, assigned, limits, root, analyst });
        onDone(at, grades[at]);
      }
    } finally {
      analyst.close();
    }
  };
  const jobs = Math.min(submissions.length, options.jobs ?? navigator.hardwareConcurrency);
  await Promise.all(Array.from({ length: jobs }, worker));
  return grades;
}

/** @throws UsageError for a chapter that has nothing to grade */
function withExercises(file: string, masters: Master[]): string {
  const name = basename(file, ".ipynb");
  if (masters.some((one) => one.name === name)) return name;
  throw new UsageError(`chapter ${name} has no exercises`);
}

interface Setting {
  masters: Master[];
  assigned: string[];
  limits: Limits;
  root: string;
  analyst: Analyst;
}

async function gradeOne(submission: Submission, setting: Setting): Promise<Grade> {
  const { masters, assigned } = setting;
  const isNamed = masters.some(({ name }) => name === submission.expected);
  const fallback = isNamed ? submission.expected : assigned[0];
  try {
    const learner = readSubmission(submission.path);
    const master = wanted(submission, learner, setting);
    const options = { withHidden: true, limits: setting.limits, root: setting.root };
    const plan = setting.analyst.open(master.name, learner);
    const exercises = await judge(master.exercises, plan, options);
    return { ...summed(submission, master, exercises), notes: tampering(master, learner) };
  } catch (error) {
    const master = masters.find(({ name }) => name === fallback)!;
    return { ...summed(submission, master, notGraded(master)), notes: [], problem: inWords(error) };
  }
}

/** Whatever happens with one submission, the others are graded. */
function inWords(error: unknown): string {
  if (error instanceof SubmissionError) return error.message;
  const message = error instanceof Error ? error.message : String(error);
  return error instanceof SandboxError
    ? `${NOT_ITS_FAULT}: ${message}`
    : `it could not be graded: ${message}`;
}

/** Begins what is said where this machine is to blame. */
const NOT_ITS_FAULT = "it could not be graded, which is not its author's fault";

function summed({ student, file }: Submission, { name }: Master, exercises: Result[]) {
  const sum = (field: "points" | "max") => exercises.reduce((total, one) => total + one[field], 0);
  return { student, file, chapter: name, points: sum("points"), max: sum("max"), exercises };
}

function notGraded({ exercises }: Master): Result[] {
  return exercises.map(({ name, title, points }) => ({
    exercise: name,
    title,
    points: 0,
    max: points,
    status: "not started" as const,
  }));
}

/** @throws SubmissionError if the notebook is not what was assigned */
function wanted(submission: Submission, learner: Notebook, { masters, assigned }: Setting): Master {
  const found = chapterOf(learner, masters);
  const isNamed = masters.some(({ name }) => name === submission.expected);
  const allowed = isNamed ? [submission.expected!] : assigned;
  if (found && allowed.includes(found.name)) return found;
  throw new SubmissionError(
    found
      ? `this is a notebook of chapter ${found.name}; ${allowed.join(" or ")} was assigned.`
      : `none of the exercises of ${allowed.join(" or ")} is in this notebook.`,
  );
}

/** The chapter that shares most cells with a notebook; undefined if none shares any. */
function chapterOf(learner: Notebook, masters: Master[]): Master | undefined {
  const ids = new Set(
    learner.cells.flatMap(({ id, metadata }) => [id, metadata.nbgrader?.grade_id ?? id]),
  );
  const counted = masters.map((master) => ({
    master,
    shared: master.exercises.flatMap(({ check, solutions }) => [check, ...solutions])
      .filter((id) => ids.has(id)).length,
  }));
  const best = counted.toSorted((a, b) => b.shared - a.shared)[0];
  return best?.shared ? best.master : undefined;
}

/** What was assigned, as far as the notebooks tell: the chapter that most of them are. */
function commonest(submissions: Submission[], masters: Master[]): string[] {
  const counts = new Map<string, number>();
  for (const { path, expected } of submissions) {
    let name = masters.find((one) => one.name === expected)?.name;
    try {
      name ??= chapterOf(readSubmission(path), masters)?.name;
    } catch { /* it is reported when it is graded */ }
    if (name) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const [most] = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  if (!most) throw new UsageError("no notebook here is one of the book's chapters: use --chapter");
  return [most[0]];
}

function line({ student, chapter, points, max, exercises, notes, problem }: Grade): string {
  const each = exercises.map(({ exercise, points, max }) => `${exercise} ${points}/${max}`);
  const name = oneLine(student, 60).padEnd(20);
  const head = `${name} ${chapter}  ${points} of ${max}   ${problem ? "" : each.join(", ")}`;
  const rest = problem ? [problem] : notes;
  return [head.trimEnd(), ...rest.map((text) => `    ! ${oneLine(text, 300)}`)].join("\n");
}
