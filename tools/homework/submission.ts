/** A stranger's notebook: read leniently and within limits, complained about in words, never trusted. */
import { basename } from "node:path";
import type { Cell, GradeInfo, Notebook } from "../notebook.ts";
import { oneLine } from "./clean.ts";
import { isCutOff, lineOfFault, refuseLargeJson } from "./json.ts";

/** Files above this are not opened; a chapter with all its pictures has 2 MB. */
export const MAX_FILE_BYTES: number = 100 * 2 ** 20;

/** Cells; the book's longest chapter has 160. */
const MAX_CELLS = 2000;

/** Characters of one code cell, and of all together; the book's longest cell has 10,000, its longest chapter 120,000. */
const MAX_CELL = 50_000;
const MAX_CODE = 1_000_000;

/** A submission that cannot be graded at all; the message is for its author. */
export class SubmissionError extends Error {
  override name = "SubmissionError";
}

/**
 * Reads a submission; outputs are dropped, line ends made `\n`.
 *
 * @throws SubmissionError if it is a link or no ordinary file, too large, no JSON, or no notebook; what it says quotes nothing of
 * the file
 */
export function readSubmission(file: string): Notebook {
  return parseSubmission(textOf(bytesOf(file)), basename(file));
}

/** `readSubmission` on text that is in memory. */
export function parseSubmission(text: string, name: string): Notebook {
  const raw = jsonOf(text.replace(/^\uFEFF/, ""), oneLine(name, 60));
  const cells = isRecord(raw) ? raw.cells : undefined;
  if (!Array.isArray(cells)) {
    const old = isRecord(raw) && Array.isArray(raw.worksheets)
      ? "it is of an old format (nbformat 3): open it in JupyterLab and save it."
      : "it has no list of cells.";
    throw new SubmissionError(`${oneLine(name, 60)} is JSON, but not a notebook: ${old}`);
  }
  refuseMore("cells", cells.length, MAX_CELLS);
  const used = new Set<string>();
  const readable = cells.map((cell, index) => cellOf(cell, index, used)).filter((one) =>
    one !== undefined
  );
  refuseTooMuchCode(readable);
  return { nbformat: 4, nbformat_minor: 5, metadata: {}, cells: readable };
}

function bytesOf(file: string): Uint8Array {
  const { size, isFile, isSymlink, isDirectory } = inWords(() => Deno.lstatSync(file));
  if (isSymlink) {
    throw new SubmissionError("it is a link, and links are not followed: hand in the file itself.");
  }
  if (isDirectory) throw new SubmissionError("it is a folder, not a notebook.");
  if (!isFile) throw new SubmissionError("it is a pipe or a device, not a file.");
  if (size > MAX_FILE_BYTES) {
    throw new SubmissionError(
      `the file has ${megabytes(size)}; ${megabytes(MAX_FILE_BYTES)} are allowed. ` +
        "Clear the outputs, save, and submit again.",
    );
  }
  if (size === 0) throw new SubmissionError("the file is empty.");
  return inWords(() => Deno.readFileSync(file));
}

/** What the system refuses, without the path: on a learner's page it is nobody's business. */
function inWords<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    const why = error instanceof Deno.errors.PermissionDenied
      ? "reading it is not permitted"
      : error instanceof Deno.errors.NotFound
      ? "it is gone"
      : (error as { code?: string }).code ?? "the system does not say why";
    throw new SubmissionError(`the file cannot be read: ${why}.`);
  }
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    const other = otherKind(new TextDecoder("latin1").decode(bytes.subarray(0, 1000)));
    throw new SubmissionError(
      other ? `${other}.` : "the file is not UTF-8 text: save the notebook in JupyterLab.",
    );
  }
}

/** What files that are no notebooks begin with. */
const OTHERS: [RegExp, string][] = [
  [/^\s*<(!doctype|html)/i, "it is a web page: download the file itself"],
  [/^version https:\/\/git-lfs/, "it is a pointer of Git LFS, not the file: run git lfs pull"],
  [/^PK/, "it is a zip archive: unpack it"],
  [/^%PDF/, "it is a PDF"],
  [/^[<=>]{7}/m, "it has marks of a Git merge (<<<<<<<): resolve them"],
];

function otherKind(text: string): string | undefined {
  return OTHERS.find(([begins]) => begins.test(text))?.[1];
}

/** @throws SubmissionError that names a place, and quotes nothing */
function jsonOf(text: string, name: string): unknown {
  const refuse = (why: string) => {
    throw new SubmissionError(`${name} is not a notebook: ${why}.`);
  };
  try {
    refuseLargeJson(text);
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof RangeError) return refuse(error.message);
    const other = otherKind(text);
    if (other) return refuse(other);
    if (isCutOff(text, error as Error)) {
      return refuse("it is not valid JSON: it ends in the middle; perhaps it was cut off");
    }
    return refuse(`it is not valid JSON, line ${lineOfFault(text)}`);
  }
}

function refuseMore(what: string, count: number, allowed: number): void {
  if (count <= allowed) return;
  const [has, most] = [count, allowed].map((one) => one.toLocaleString("en"));
  throw new SubmissionError(`it has ${has} ${what}; ${most} are allowed.`);
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
  refuseMore("characters of code", all, MAX_CODE);
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MB`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A name of a cell that can be shown as it is, such as nbformat and nbgrader allow. */
function isName(value: unknown): value is string {
  return typeof value === "string" && /^[\w-]{1,64}$/.test(value);
}

/** A cell with the fields that grading looks at, or undefined if it has no readable source. */
function cellOf(raw: unknown, index: number, used: Set<string>): Cell | undefined {
  if (!isRecord(raw)) return undefined;
  const lines = [raw.source].flat();
  if (!lines.every((line) => typeof line === "string")) return undefined;
  const type = raw.cell_type === "code" ? "code" : "markdown";
  const own = isName(raw.id) ? raw.id : "";
  const id = own && !used.has(own) ? own : `cell-${index + 1}`;
  used.add(id);
  const info = isRecord(raw.metadata) ? gradeInfo(raw.metadata.nbgrader) : undefined;
  const source = lines.join("").replace(/\r\n?/g, "\n");
  return { id, cell_type: type, source, metadata: info ? { nbgrader: info } : {} };
}

function gradeInfo(raw: unknown): GradeInfo | undefined {
  if (!isRecord(raw) || !isName(raw.grade_id)) return undefined;
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
