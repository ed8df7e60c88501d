/** One learner's page: points, and what is wrong. It shows nothing of the cases that learners do not see. */
import type { Grade } from "./grade.ts";
import { escape, page } from "./html.ts";
import type { Result } from "./judge.ts";

/** The page, self-contained. */
export function feedbackPage(
  { student, chapter, points, max, exercises, notes, problem }: Grade,
): string {
  const body = [
    `<h1>${escape(student)}</h1>`,
    `<p class="title">${escape(chapter)}</p>`,
    `<p class="sum">${points} of ${max} points</p>`,
    ...problem ? [`<p class="note">Not graded: ${escape(problem)}</p>`] : [],
    ...notes.map((note) => `<p class="note">${escape(note)}</p>`),
    ...problem ? [] : exercises.map(section),
  ];
  return page(`${student}: ${chapter}`, body.join("\n"));
}

function section(
  { exercise, title, points, max, status, diagnosis, at, checkLine }: Result,
): string {
  const kind = status === "not started" ? "open" : status;
  const place = at
    ? `in your cell "${at.cell}", line ${at.line}`
    : checkLine === undefined
    ? undefined
    : `said by line ${checkLine} of the check`;
  return [
    `<section class="${kind}">`,
    `<h2>${escape(exercise)}: ${points} of ${max}</h2>`,
    `<p class="title">${escape(title)}${status === "not started" ? " · not started" : ""}</p>`,
    ...diagnosis ? [`<pre>${escape(diagnosis)}</pre>`] : [],
    ...place ? [`<p class="where">${escape(place)}</p>`] : [],
    "</section>",
  ].join("\n");
}
