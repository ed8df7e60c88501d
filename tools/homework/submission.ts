/** A stranger's notebook: read leniently, complained about in words, never trusted. */
import { basename } from "node:path";
import type { Cell, GradeInfo, Notebook } from "../notebook.ts";

/** Files above this are not opened; a chapter with all its pictures has 2 MB. */
export const MAX_FILE_BYTES: number = 100 * 2 ** 20;

/** Characters of one cell, and of all code cells together, that are looked at; the book's longest cell has 10,000. */
const MAX_CELL = 50_000;
const MAX_CODE = 2_000_000;

/** A submission that cannot be graded at all; the message is for its author. */
export class SubmissionError extends Error {
  override name = "SubmissionError";
}

/**
 * Reads a submission; outputs are dropped, line ends made `\n`.
 *
 * @throws SubmissionError if it is too large, no JSON, or no notebook
 */
export function readSubmission(file: string): Notebook {
  const { size } = Deno.statSync(file);
  if (size > MAX_FILE_BYTES) {
    throw new SubmissionError(
      `the file has ${megabytes(size)}; ${megabytes(MAX_FILE_BYTES)} are allowed. ` +
        "Clear the outputs, save, and submit again.",
    );
  }
  if (size === 0) throw new SubmissionError("the file is empty.");
  return parseSubmission(Deno.readTextFileSync(file), basename(file));
}

/** `readSubmission` on text that is in memory. */
export function parseSubmission(text: string, name: string): Notebook {
  let raw: unknown;
  try {
    raw = JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (error) {
    throw new SubmissionError(
      `${name} is not a notebook: it is not valid JSON (${plain((error as Error).message)}).`,
    );
  }
  const cells = isRecord(raw) ? raw.cells : undefined;
  if (!Array.isArray(cells)) {
    throw new SubmissionError(`${name} is JSON, but not a notebook: it has no list of cells.`);
  }
  const used = new Set<string>();
  const readable = cells.map((cell, index) => cellOf(cell, index, used)).filter((one) =>
    one !== undefined
  );
  refuseTooMuchCode(readable);
  return { nbformat: 4, nbformat_minor: 5, metadata: {}, cells: readable };
}

function refuseTooMuchCode(cells: Cell[]): void {
  const code = cells.filter(({ cell_type }) => cell_type === "code");
  const long = code.find(({ source }) => source.length > MAX_CELL);
  if (long) {
    const size = long.source.length.toLocaleString("en");
    throw new SubmissionError(
      `cell "${long.id}" has ${size} characters; ${MAX_CELL.toLocaleString("en")} are allowed.`,
    );
  }
  const all = code.reduce((sum, { source }) => sum + source.length, 0);
  if (all > MAX_CODE) throw new SubmissionError(`its code has more than ${MAX_CODE / 1e6} MB.`);
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MB`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A cell with the fields that grading looks at, or undefined if it has no readable source. */
function cellOf(raw: unknown, index: number, used: Set<string>): Cell | undefined {
  if (!isRecord(raw)) return undefined;
  const lines = [raw.source].flat();
  if (!lines.every((line) => typeof line === "string")) return undefined;
  const type = raw.cell_type === "code" ? "code" : "markdown";
  const own = typeof raw.id === "string" && /^[\w-]{1,64}$/.test(raw.id) ? raw.id : "";
  const id = own && !used.has(own) ? own : `cell-${index + 1}`;
  used.add(id);
  const info = isRecord(raw.metadata) ? gradeInfo(raw.metadata.nbgrader) : undefined;
  const source = lines.join("").replace(/\r\n?/g, "\n");
  return { id, cell_type: type, source, metadata: info ? { nbgrader: info } : {} };
}

function gradeInfo(raw: unknown): GradeInfo | undefined {
  if (!isRecord(raw) || typeof raw.grade_id !== "string") return undefined;
  return {
    schema_version: 3,
    grade_id: raw.grade_id,
    grade: raw.grade === true,
    solution: raw.solution === true,
    locked: raw.locked === true,
    task: raw.task === true,
    ...typeof raw.points === "number" ? { points: raw.points } : {},
  };
}

/** A foreign text on one line of a terminal. */
function plain(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\0-\x1f\x7f-\x9f]/g, " ").slice(0, 120);
}
