/**
 * Chapters as homework: hand out, check, grade.
 *
 *     deno task homework release 03 --to ../course/03
 *     deno task homework check 03
 *     deno task homework grade submissions/ --json grades.json --csv grades.csv --feedback feedback/
 */
import {
  chapterFiles,
  count,
  folder,
  positive,
  readFlags,
  runProgram,
  suggest,
  UsageError,
} from "./cli.ts";
import { refuseBrokenDeno } from "./deno-version.ts";
import { check } from "./homework/check.ts";
import { readManifest } from "./homework/manifest.ts";
import { listChapters, ROOT } from "./notebook.ts";
import { taskCommand } from "./task.ts";

const USAGE = `usage: ${
  taskCommand("homework")
} release [chapters…] --to FOLDER [--with CHAPTERS] [--solutions | --nbgrader] [--force]
       ${taskCommand("homework")} check [chapters…]
       ${
  taskCommand("homework")
} grade FOLDER [--chapter CHAPTERS] [--json FILE] [--csv FILE] [--feedback FOLDER] [--summary FILE]

  release      writes a folder for learners: stubs instead of solutions, no hidden tests, locked checks.
               All chapters unless told. What learners have changed in it stays.
    --to         the folder
    --with       later chapters that they get complete, such as 04,05,06
    --solutions  a teacher's folder instead: everything
    --nbgrader   a course folder for nbgrader instead
    --force      overwrite also what learners have changed
  check        runs the checks that learners see on the notebook as it is saved; no chapter: all that are here
  grade        runs all checks on each notebook of FOLDER (one for each learner, or submitted/<learner>/<assignment>/)
    --chapter    what was assigned, such as 03; unless told, what most of the notebooks are
    --json, --csv, --feedback, --summary   where to write points, a page for each learner, a page for the teacher
    --jobs       how many at a time; as many as the machine has cores unless told
    --seconds, --memory   limits for one check: processor seconds (10), MB (1500)`;

async function main(): Promise<number> {
  refuseBrokenDeno();
  const [command, ...rest] = Deno.args;
  if (command === "release") return await releaseCommand(rest);
  if (command === "check") return await checkCommand(rest);
  if (command === "grade") return await gradeCommand(rest);
  if (command === undefined || command === "--help" || command === "help") {
    console.log(USAGE);
    return command === undefined ? 2 : 0;
  }
  throw new UsageError(`no command "${command}"${suggest(command, ["release", "check", "grade"])}`);
}

/** @throws UsageError in a released folder, which has neither solutions nor hidden tests */
function needBook(command: string): void {
  if (!readManifest(ROOT)) return;
  throw new UsageError(
    `"homework ${command}" works in the book's own folder; here there is "homework check"`,
  );
}

async function releaseCommand(args: string[]): Promise<number> {
  needBook("release");
  const flag = { type: "boolean", default: false } as const;
  const { values, positionals } = readFlags(args, {
    to: { type: "string" },
    with: { type: "string" },
    solutions: flag,
    nbgrader: flag,
    force: flag,
    help: flag,
  });
  if (values.help) return console.log(USAGE), 0;
  if (values.to === undefined) throw new UsageError("release needs --to FOLDER");
  if (values.solutions && values.nbgrader) {
    throw new UsageError("--solutions and --nbgrader exclude one another");
  }
  const names = positionals.filter((name) => name !== "all");
  const files = names.length ? chapterFiles(names) : listChapters();
  const given = values.with
    ? chapterFiles([values.with]).filter((file) => !files.includes(file))
    : [];
  const kind = values.solutions ? "teacher" : values.nbgrader ? "nbgrader" : "learner";
  const { release, describeRelease } = await import("./homework/release.ts");
  const to = folder("--to", values.to);
  const released = await release({ files, to, given, kind, force: values.force });
  const { text, isClean } = describeRelease(released, to, files);
  console.log(text);
  return isClean ? 0 : 1;
}

async function checkCommand(args: string[]): Promise<number> {
  const { values, positionals } = readFlags(args, { help: { type: "boolean" } });
  if (values.help) return console.log(USAGE), 0;
  return await check(positionals);
}

async function gradeCommand(args: string[]): Promise<number> {
  needBook("grade");
  const text = { type: "string" } as const;
  const { values, positionals } = readFlags(args, {
    chapter: text,
    json: text,
    csv: text,
    feedback: text,
    summary: text,
    jobs: text,
    seconds: text,
    memory: text,
    help: { type: "boolean" },
  });
  if (values.help) return console.log(USAGE), 0;
  if (positionals.length !== 1) throw new UsageError("grade needs one folder of submissions");
  const number = (name: "jobs" | "seconds" | "memory") => {
    const read = name === "jobs" ? count : positive;
    return values[name] === undefined ? undefined : read(`--${name}`, values[name]);
  };
  const { grade } = await import("./homework/grade.ts");
  return await grade({
    folder: positionals[0],
    chapters: values.chapter ? chapterFiles([values.chapter]) : undefined,
    json: values.json,
    csv: values.csv,
    feedback: values.feedback,
    summary: values.summary,
    jobs: number("jobs"),
    cpuSeconds: number("seconds"),
    memoryMB: number("memory"),
  });
}

if (import.meta.main) await runProgram(USAGE, main);
