/** `homework grade`: a folder of strangers' notebooks into points, diagnoses and pages. */
import { basename, dirname, join, relative, resolve } from "node:path";
import { UsageError } from "../cli.ts";
import { listChapters, type Notebook, readNotebook, ROOT, writeWhole } from "../notebook.ts";
import { duration, LiveLine } from "../terminal.ts";
import { Analyst } from "./analyst.ts";
import { feedbackPage } from "./feedback.ts";
import { judge, type Result, tampering } from "./judge.ts";
import { type Master, readMaster } from "./program.ts";
import { LIMITS, type Limits, SandboxError } from "./sandbox.ts";
import { readSubmission, SubmissionError } from "./submission.ts";
import { summaryPage } from "./summary.ts";
import { csvText } from "./table.ts";

/** What to grade and where to write what comes of it. */
export interface GradeOptions {
  folder: string;
  /** Paths of the chapters that were assigned; unless told, the one that most notebooks are. */
  chapters?: string[];
  json?: string;
  csv?: string;
  /** Folder for one page per learner. */
  feedback?: string;
  /** The teacher's page; `<feedback>-summary.html` unless told. */
  summary?: string;
  jobs?: number;
  cpuSeconds?: number;
  memoryMB?: number;
}

/** One notebook that was handed in. */
export interface Submission {
  student: string;
  /** Path below the folder of submissions. */
  file: string;
  path: string;
  /** Chapter that its place says it is, in nbgrader's layout. */
  expected?: string;
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
 * Grades a folder and writes what is asked for.
 *
 * @returns exit code: 0, also if some submissions could not be graded (they are reported)
 * @throws UsageError if there is nothing to grade
 */
export async function grade(options: GradeOptions, root = ROOT): Promise<number> {
  const start = performance.now();
  const folder = resolve(options.folder);
  const { found, ignored } = findSubmissions(folder);
  if (found.length === 0) throw new UsageError(`no notebook in ${folder}`);
  const live = new LiveLine();
  let done = 0;
  live.start(() => `graded ${done} of ${found.length}`);
  const grades = await gradeAll(found, { ...options, folder }, root, () => done++);
  live.stop();
  write(grades, options);
  grades.forEach((one) => console.log(line(one)));
  ignored.forEach((file) => console.log(`! ${file}: no notebook (.ipynb), left out`));
  const seconds = duration((performance.now() - start) / 1000);
  console.log(`${grades.length} submissions graded in ${seconds}`);
  for (const file of writtenFiles(options)) console.log(`  ${file}`);
  return 0;
}

/** Grades submissions, several at a time; the result has their order. */
export async function gradeAll(
  submissions: Submission[],
  options: GradeOptions,
  root = ROOT,
  onDone: () => void = () => {},
): Promise<Grade[]> {
  const masters = listChapters(join(root, "notebooks")).map((file) =>
    readMaster(file, basename(file, ".ipynb"), readNotebook(file))
  ).filter(({ exercises }) => exercises.length > 0);
  const assigned = options.chapters?.map((file) => basename(file, ".ipynb")) ??
    commonest(submissions, masters);
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
    while (next < submissions.length) {
      const at = next++;
      grades[at] = await gradeOne(submissions[at], { masters, assigned, limits, root, analyst });
      onDone();
    }
    analyst.close();
  };
  const jobs = Math.min(submissions.length, options.jobs ?? navigator.hardwareConcurrency);
  await Promise.all(Array.from({ length: jobs }, worker));
  return grades;
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
    if (error instanceof SandboxError) throw error;
    const problem = error instanceof SubmissionError
      ? error.message
      : `it could not be graded: ${error instanceof Error ? error.message : error}`;
    const master = masters.find(({ name }) => name === fallback)!;
    return { ...summed(submission, master, notGraded(master)), notes: [], problem };
  }
}

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

/**
 * The notebooks in a folder: `<learner>.ipynb`, `<learner>/<chapter>.ipynb`, or nbgrader's
 * `<learner>/<assignment>/<chapter>.ipynb`, also below `submitted/`.
 */
export function findSubmissions(folder: string): { found: Submission[]; ignored: string[] } {
  const ignored: string[] = [];
  const found: Submission[] = [];
  let info: Deno.FileInfo | undefined;
  try {
    info = Deno.statSync(folder);
  } catch { /* said below */ }
  if (!info?.isDirectory) throw new UsageError(`no folder ${folder}`);
  for (const path of walk(folder)) {
    const file = relative(folder, path).replaceAll("\\", "/");
    if (!file.endsWith(".ipynb")) {
      ignored.push(file);
      continue;
    }
    const parts = file.split("/");
    if (parts[0] === "submitted" && parts.length > 2) parts.shift();
    const stem = basename(file, ".ipynb");
    const student = parts.length === 1 ? stem : parts[0];
    const expected = parts.length > 1 && /^\d\d-[a-z]+$/.test(stem) ? stem : undefined;
    found.push({ student, file, path, ...expected ? { expected } : {} });
  }
  found.sort((a, b) => a.file < b.file ? -1 : 1);
  return { found, ignored: ignored.sort() };
}

function walk(folder: string): string[] {
  return [...Deno.readDirSync(folder)].filter(({ name }) => !name.startsWith(".")).flatMap(
    ({ name }) => {
      const path = join(folder, name);
      try {
        return Deno.statSync(path).isDirectory ? walk(path) : [path];
      } catch {
        return []; // a link that leads nowhere
      }
    },
  );
}

function write(grades: Grade[], { json, csv, feedback, summary }: GradeOptions): void {
  if (json) writeWhole(resolve(json), JSON.stringify({ grades }, null, 2) + "\n");
  if (csv) writeWhole(resolve(csv), csvText(grades));
  const names = pageNames(grades);
  if (feedback) {
    grades.forEach((grade, i) =>
      writeWhole(join(resolve(feedback), names[i]), feedbackPage(grade))
    );
  }
  const page = summaryFile({ feedback, summary });
  if (page) {
    const to = feedback
      ? relative(dirname(page), resolve(feedback)).replaceAll("\\", "/")
      : undefined;
    writeWhole(
      page,
      summaryPage(grades, to === undefined ? undefined : names.map((n) => `${to}/${n}`)),
    );
  }
}

function summaryFile(
  { feedback, summary }: Pick<GradeOptions, "feedback" | "summary">,
): string | undefined {
  if (summary) return resolve(summary);
  return feedback ? `${resolve(feedback)}-summary.html` : undefined;
}

function writtenFiles(options: GradeOptions): string[] {
  const { json, csv, feedback } = options;
  return [json, csv, feedback, summaryFile(options)].filter((file) => file !== undefined);
}

/** A file name for each learner's page; safe on every system, and no two the same. */
function pageNames(grades: Grade[]): string[] {
  const used = new Set<string>();
  const count = (student: string) => grades.filter((one) => one.student === student).length;
  return grades.map(({ student, chapter }) => {
    const plain = (count(student) > 1 ? `${student}-${chapter}` : student)
      .replace(/[^\p{L}\p{N}._ -]/gu, "_").replace(/^\.+/, "_").slice(0, 100);
    let name = plain;
    for (let i = 2; used.has(name.toLowerCase()); i++) name = `${plain}-${i}`;
    used.add(name.toLowerCase());
    return `${name}.html`;
  });
}

function line({ student: name, chapter, points, max, exercises, notes, problem }: Grade): string {
  // deno-lint-ignore no-control-regex
  const student = name.replace(/[\0-\x1f\x7f-\x9f]/g, "?");
  const each = exercises.map(({ exercise, points, max }) => `${exercise} ${points}/${max}`).join(
    ", ",
  );
  const head = `${student.padEnd(20)} ${chapter}  ${points} of ${max}   ${problem ? "" : each}`;
  const rest = problem ? [problem] : notes;
  return [head.trimEnd(), ...rest.map((text) => `    ! ${text}`)].join("\n");
}
