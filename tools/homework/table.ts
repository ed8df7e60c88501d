/** Grades as comma-separated values, for a spreadsheet. */
import { oneLine } from "./clean.ts";
import type { Grade } from "./grade.ts";

/** One line for each submission: learner, chapter, points for each exercise, sum, remarks. */
export function csvText(grades: Grade[]): string {
  const exercises = [
    ...new Set(grades.flatMap((one) => one.exercises.map(({ exercise }) => exercise))),
  ];
  const head = ["student", "chapter", ...exercises, "points", "max", "remarks"];
  const rows = grades.map((grade) => {
    const points = new Map(grade.exercises.map((one) => [one.exercise, one.points]));
    const remarks = [...grade.problem ? [grade.problem] : [], ...grade.notes].join(" ");
    const each = exercises.map((name) => points.get(name) ?? "");
    return [grade.student, grade.chapter, ...each, grade.points, grade.max, remarks];
  });
  return [head, ...rows].map((row) => row.map(field).join(",")).join("\r\n") + "\r\n";
}

/** What spreadsheets take for a formula, also after what they trim; the wide forms count in East Asian ones. */
const FORMULA = /^[\s\p{Z}\p{Cf}\ufffd']*[=+\-@|＝＋－＠]/u;

/** A field in quotes where it must be, for commas as for semicolons; text that looks like a formula gets an apostrophe. */
function field(value: string | number): string {
  if (typeof value === "number") return String(value);
  const line = oneLine(value);
  const safe = FORMULA.test(line) ? `'${line}` : line;
  return /[",;]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
