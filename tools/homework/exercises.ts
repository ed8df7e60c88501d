/** The exercises of a chapter: which cells hold a solution, which cell checks them, for how many points. */
import { type Cell, type Notebook, NotebookError } from "../notebook.ts";

/** One exercise. */
export interface Exercise {
  /** `ex-mask`: the id of its check without "-check". */
  name: string;
  /** `Exercise 1 · difficulty 2 of 5 · 10 minutes`, or the name. */
  title: string;
  points: number;
  /** Ids of the cells that learners write in. */
  solutions: string[];
  /** Id of the cell that checks them. */
  check: string;
}

/** Marks around what learners write. */
export const SOLUTION_BEGIN = "BEGIN SOLUTION";
/** Marks around what learners write. */
export const SOLUTION_END = "END SOLUTION";
/** Marks around the cases that learners do not see. */
export const HIDDEN_BEGIN = "BEGIN HIDDEN TESTS";
/** Marks around the cases that learners do not see. */
export const HIDDEN_END = "END HIDDEN TESTS";

/** What tells a cell in nbgrader: its grade_id, else its own id. */
export function gradeIdOf(cell: Cell): string {
  return cell.metadata.nbgrader?.grade_id ?? cell.id;
}

/**
 * The exercises of a chapter, in order: each check belongs to the solution cells since the check before.
 *
 * @throws NotebookError for a check without a solution or without points, or a solution that nothing checks
 */
export function exercisesOf(file: string, notebook: Notebook): Exercise[] {
  const found: Exercise[] = [];
  let open: Cell[] = [];
  let title = "";
  for (const cell of notebook.cells) {
    title = /^### (Exercise .*)$/m.exec(cell.cell_type === "markdown" ? cell.source : "")?.[1] ??
      title;
    const info = cell.metadata.nbgrader;
    if (info?.solution && !info.grade) open.push(cell);
    if (!info?.grade) continue;
    const id = gradeIdOf(cell);
    if (open.length === 0) throw new NotebookError(file, "checks no solution cell", cell.id);
    if (!(info.points! > 0)) throw new NotebookError(file, "a check needs points", cell.id);
    const name = id.replace(/-check$/, "");
    const solutions = open.map(gradeIdOf);
    found.push({ name, title: title.trim() || name, points: info.points!, solutions, check: id });
    open = [];
    title = "";
  }
  if (open.length) throw new NotebookError(file, "no check cell follows this solution", open[0].id);
  return found;
}

/** A source without the lines from a mark to its end, both included, as nbgrader cuts them. */
export function withoutRegion(
  source: string,
  begin: string,
  end: string,
  replacement: (indent: string) => string[] = () => [],
): string {
  const kept: string[] = [];
  let isInside = false;
  for (const line of source.split("\n")) {
    if (line.includes(begin)) {
      isInside = true;
      kept.push(...replacement(/^\s*/.exec(line)![0]));
    } else if (line.includes(end)) isInside = false;
    else if (!isInside) kept.push(line);
  }
  return kept.join("\n");
}

/** A check as learners see it. */
export function visibleCheck(source: string): string {
  return withoutRegion(source, HIDDEN_BEGIN, HIDDEN_END);
}

/** A solution cell as learners get it: the region throws `not implemented: <exercise>`. */
export function stub(source: string, exercise: string): string {
  return withoutRegion(source, SOLUTION_BEGIN, SOLUTION_END, (indent) => [
    `${indent}// Your code here, in place of the next line.`,
    `${indent}throw new Error("not implemented: ${exercise}");`,
  ]);
}

/** Whether a source still holds a stub, ours or nbgrader's. */
export function hasStub(source: string): boolean {
  return /^[ \t]*throw new Error\("not implemented(: [\w-]+)?"\);?[ \t]*$/m.test(source);
}
