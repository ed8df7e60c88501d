/** The teacher's page: how the points are distributed, which exercise was hardest, which diagnosis commonest. */
import { oneLine } from "./clean.ts";
import type { LeftOut } from "./folder.ts";
import type { Grade } from "./grade.ts";
import { escape, page } from "./html.ts";

/** The page; `links` are the learners' pages, in the order of the grades. */
export function summaryPage(grades: Grade[], leftOut: LeftOut[], links?: string[]): string {
  const chapters = [...new Set(grades.map(({ chapter }) => chapter))].sort();
  const body = [
    "<h1>Homework</h1>",
    ...chapters.flatMap((chapter) =>
      ofChapter(chapter, grades.filter((one) => one.chapter === chapter))
    ),
    "<h2>Everyone</h2>",
    everyone(grades, links),
    ...leftOut.length
      ? [
        "<h2>Left out</h2>",
        table(["file", "because"], leftOut.map(({ file, why }) => [oneLine(file, 300), why])),
      ]
      : [],
  ];
  return page("Homework: summary", body.join("\n"));
}

function ofChapter(chapter: string, all: Grade[]): string[] {
  const graded = all.filter(({ problem }) => !problem);
  const points = graded.map((one) => one.points).sort((a, b) => a - b);
  const max = all[0].max;
  const mean = points.reduce((sum, one) => sum + one, 0) / Math.max(1, points.length);
  const rows = exerciseRows(graded);
  const hardest = rows.toSorted((a, b) => a.share - b.share)[0];
  const diagnoses = commonest(graded);
  return [
    `<h2>${escape(chapter)}</h2>`,
    `<p>${graded.length} graded, ${all.length - graded.length} could not be. Mean ${
      mean.toFixed(1)
    } of ${max}, median ${points[points.length >> 1] ?? 0}.</p>`,
    histogram(points, max),
    ...hardest
      ? [
        `<p>Hardest: <b>${escape(hardest.exercise)}</b>, ${
          percent(hardest.share)
        } of its points.</p>`,
      ]
      : [],
    table(
      ["exercise", "points won", "passed", "failed", "not started"],
      rows.map((row) => [row.exercise, percent(row.share), row.passed, row.failed, row.open]),
    ),
    "<h2>Commonest diagnoses</h2>",
    diagnoses.length
      ? table(
        ["times", "exercise", "diagnosis"],
        diagnoses.slice(0, 10).map((one) => [one.times, one.exercise, one.text]),
      )
      : "<p>None.</p>",
  ];
}

function exerciseRows(grades: Grade[]) {
  return (grades[0]?.exercises ?? []).map(({ exercise, max }, index) => {
    const all = grades.map((one) => one.exercises[index]);
    const count = (status: string) => all.filter((one) => one.status === status).length;
    const won = all.reduce((sum, one) => sum + one.points, 0);
    return {
      exercise,
      share: won / (max * all.length),
      passed: count("passed"),
      failed: count("failed"),
      open: count("not started"),
    };
  });
}

/** What learners were told, most often first; for hidden cases what the case says. */
function commonest(grades: Grade[]): { times: number; exercise: string; text: string }[] {
  const failed = grades.flatMap((one) => one.exercises).filter(({ diagnosis }) => diagnosis);
  const groups = Map.groupBy(
    failed,
    ({ exercise, diagnosis, hidden }) =>
      JSON.stringify([exercise, hidden ? `(hidden) ${hidden}` : diagnosis]),
  );
  return [...groups].map(([key, { length: times }]) => {
    const [exercise, text] = JSON.parse(key);
    return { times, exercise, text: text ?? "" };
  }).sort((a, b) => b.times - a.times || (a.text < b.text ? -1 : 1));
}

function histogram(points: number[], max: number): string {
  const counts = Array.from(
    { length: Math.floor(max) + 1 },
    (_, i) => points.filter((one) => Math.floor(one) === i).length,
  );
  const largest = Math.max(1, ...counts);
  const rows = counts.map((count, i) =>
    `<tr><td class="number">${i}</td><td class="number">${count}</td><td style="width: 80%"><div class="bar" style="width: ${
      (100 * count / largest).toFixed(1)
    }%"></div></td></tr>`
  );
  return `<table><tr><th class="number">points</th><th class="number">learners</th><th></th></tr>${
    rows.join("")
  }</table>`;
}

function everyone(grades: Grade[], links?: string[]): string {
  const rows = grades.map(({ student, chapter, points, max, notes, problem }, i) => {
    const name = links
      ? `<a href="${escape(links[i].split("/").map(encodeURIComponent).join("/"))}">${
        escape(student)
      }</a>`
      : escape(student);
    const remarks = [...problem ? [problem] : [], ...notes].map(escape).join("<br>");
    return `<tr><td>${name}</td><td>${
      escape(chapter)
    }</td><td class="number">${points} of ${max}</td><td>${remarks}</td></tr>`;
  });
  return `<table><tr><th>learner</th><th>chapter</th><th class="number">points</th><th>remarks</th></tr>${
    rows.join("\n")
  }</table>`;
}

function table(head: string[], rows: (string | number)[][]): string {
  const cell = (value: string | number) =>
    `<td${typeof value === "number" ? ' class="number"' : ""}>${escape(String(value))}</td>`;
  return `<table><tr>${head.map((one) => `<th>${escape(one)}</th>`).join("")}</tr>${
    rows.map((row) => `<tr>${row.map(cell).join("")}</tr>`).join("\n")
  }</table>`;
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}
