/** What grading writes: points, a page for each learner, a page for the teacher; whole after every submission. */
import { dirname, join, relative, resolve } from "node:path";
import { writeWhole } from "../notebook.ts";
import { feedbackPage } from "./feedback.ts";
import { type LeftOut, pageNames, type Submission } from "./folder.ts";
import type { Grade } from "./grade.ts";
import { summaryPage } from "./summary.ts";
import { csvText } from "./table.ts";

/** Where to write; what is not named is not written. */
export interface Places {
  json?: string;
  csv?: string;
  /** Folder for one page per learner. */
  feedback?: string;
  /** The teacher's page; `<feedback>-summary.html` unless told. */
  summary?: string;
}

/** The results so far, in memory and on the disk. */
export class Results {
  readonly #grades: (Grade | undefined)[];
  readonly #pages: string[];
  readonly #leftOut: LeftOut[];
  readonly #places: Places;

  constructor(submissions: Submission[], leftOut: LeftOut[], places: Places) {
    this.#grades = submissions.map(() => undefined);
    this.#pages = pageNames(submissions);
    this.#leftOut = leftOut;
    const { json, csv, feedback, summary = feedback && `${resolve(feedback)}-summary.html` } =
      places;
    this.#places = { json, csv, feedback, summary };
  }

  /** The grades there are, in the order of the submissions. */
  get grades(): Grade[] {
    return this.#grades.filter((one) => one !== undefined);
  }

  /** The files and folders that are written. */
  get files(): string[] {
    const { json, csv, feedback, summary } = this.#places;
    return [json, csv, feedback, summary].filter((one) => one !== undefined);
  }

  /** Takes the grade of one submission and writes everything that it changes. */
  add(at: number, grade: Grade): void {
    this.#grades[at] = grade;
    const { feedback } = this.#places;
    if (feedback) writeWhole(join(resolve(feedback), this.#pages[at]), feedbackPage(grade));
    this.#writeTables();
  }

  #writeTables(): void {
    const { json, csv, summary } = this.#places;
    const { grades } = this;
    if (json) writeWhole(resolve(json), this.#json());
    if (csv) writeWhole(resolve(csv), csvText(grades));
    if (summary) writeWhole(resolve(summary), summaryPage(grades, this.#leftOut, this.#links()));
  }

  #json(): string {
    const { grades } = this;
    const all = { submissions: this.#grades.length, graded: grades.length };
    return JSON.stringify({ ...all, leftOut: this.#leftOut, grades }, null, 2) + "\n";
  }

  /** The learners' pages, seen from the teacher's. */
  #links(): string[] | undefined {
    const { feedback, summary } = this.#places;
    if (!feedback) return undefined;
    const to = relative(dirname(resolve(summary!)), resolve(feedback)).replaceAll("\\", "/");
    return this.#pages.filter((_, at) => this.#grades[at]).map((name) => `${to}/${name}`);
  }
}
