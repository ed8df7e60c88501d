/** Grades as comma-separated values, for a spreadsheet. */
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

/** A field in quotes where it must be; text that a spreadsheet would take for a formula gets an apostrophe. */
function field(value: string | number): string {
  if (typeof value === "number") return String(value);
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
