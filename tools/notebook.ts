/**
 * Jupyter notebooks as files: find one by name, read and check it, write it back.
 * Format: nbformat 4.5, https://nbformat.readthedocs.io/en/latest/format_description.html
 */
import { existsSync } from "node:fs";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { formatNotebook, type Notebook } from "./nbformat.ts";
import { taskCommand } from "./task.ts";

export { formatNotebook };
export type { Cell, GradeInfo, Notebook, Output } from "./nbformat.ts";

/** Folder of the project: the one that holds deno.json. */
export const ROOT: string = fileURLToPath(new URL("..", import.meta.url));

/** Folder of the book's chapters. */
export const NOTEBOOKS: string = join(ROOT, "notebooks");

/** What a notebook of the book says about its kernel. */
export const NOTEBOOK_METADATA: Record<string, unknown> = {
  kernelspec: { display_name: "Deno", language: "typescript", name: "deno" },
  language_info: {
    codemirror_mode: "typescript",
    file_extension: ".ts",
    mimetype: "text/x.typescript",
    name: "typescript",
    nbconvert_exporter: "script",
    pygments_lexer: "typescript",
    version: "6.0.3",
  },
};

/** A notebook that cannot be used as it is; the message names the file and, where there is one, the cell. */
export class NotebookError extends Error {
  override name = "NotebookError";
  constructor(readonly file: string, problem: string, readonly cell?: string) {
    super(`${basename(file)}${cell ? `, cell "${cell}"` : ""}: ${problem}`);
  }
}

/** How a chapter's file is named, for people. */
export const CHAPTER_NAMES = "two digits, a dash and a word, as in 03-attention.ipynb";

/** Whether a file is a chapter by its name; other notebooks may lie beside the chapters. */
export function isChapterName(file: string): boolean {
  return /^\d\d-.+\.ipynb$/.test(basename(file));
}

/** Paths of the book's chapters, in order. */
export function listChapters(folder = NOTEBOOKS): string[] {
  return listNotebooks(folder).filter(isChapterName);
}

/** Paths of all notebooks in a folder, in order. */
export function listNotebooks(folder = NOTEBOOKS): string[] {
  if (!existsSync(folder)) return [];
  return [...Deno.readDirSync(folder)]
    .filter((entry) => entry.isFile && entry.name.endsWith(".ipynb"))
    .map((entry) => join(folder, entry.name)).sort();
}

/**
 * Path of a chapter from what a person types: `03`, `3`, `attention`, `03-attention`, or a path. Of other notebooks in the
 * folder: their name, with or without `.ipynb`.
 *
 * @throws Error naming the chapters there are, if none or several fit
 */
export function findChapter(name: string, folder = NOTEBOOKS): string {
  const beside = join(folder, basename(name));
  if (name.endsWith(".ipynb")) {
    const path = isAbsolute(name) ? name : resolve(name);
    return !existsSync(path) && name === basename(name) && existsSync(beside) ? beside : path;
  }
  const chapters = listChapters(folder);
  const wanted = /^\d$/.test(name) ? `0${name}` : name;
  const found = chapters.filter((path) => {
    const stem = basename(path, ".ipynb");
    return stem === wanted || stem.slice(0, 2) === wanted || stem.slice(3) === wanted;
  });
  if (found.length === 1) return found[0];
  if (found.length === 0 && name === basename(name) && existsSync(`${beside}.ipynb`)) {
    return `${beside}.ipynb`;
  }
  const known = chapters.map((path) => basename(path, ".ipynb")).join(", ");
  if (found.length > 1) {
    const which = found.map((path) => basename(path, ".ipynb")).join(" and ");
    throw new Error(`"${name}" may be ${which}: write it in full`);
  }
  throw new Error(`no chapter "${name}": there is ${known || "none yet"}`);
}

/**
 * Reads a notebook and checks that it is nbformat 4.5 with usable cell ids.
 *
 * @throws NotebookError naming the file, the cell and what is wrong
 */
export function readNotebook(file: string): Notebook {
  const text = readWhole(file);
  if (!text.startsWith("\uFEFF")) return parseNotebook(text, file);
  const cure = isChapterName(file)
    ? `"${taskCommand("fmt")}" takes it away`
    : "save it without one";
  throw new NotebookError(file, `begins with a byte order mark, which Jupyter refuses: ${cure}`);
}

/**
 * The text of a notebook file, with its byte order mark if it has one.
 *
 * @throws NotebookError if it is not UTF-8, as every notebook is: nothing in it is replaced in silence
 */
export function readWhole(file: string): string {
  const bytes = readBytes(file);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new NotebookError(file, "is not UTF-8, as a notebook must be: save it again as UTF-8");
  }
}

/**
 * The bytes of a file.
 *
 * @throws NotebookError if it cannot be read: it is not there, is a folder, or belongs to somebody else
 */
export function readBytes(file: string): Uint8Array {
  try {
    return Deno.readFileSync(file);
  } catch (error) {
    const why = (error as Error).message.replace(/ \(os error.*$/, "");
    throw new NotebookError(file, `cannot be read: ${why}`);
  }
}

/** `readNotebook` on text that is already in memory; `file` is used in errors only. */
export function parseNotebook(text: string, file: string): Notebook {
  const raw = parseJson(text.replace(/^\uFEFF/, ""), file);
  if (raw?.nbformat !== 4 || !(raw?.nbformat_minor >= 5) || !Array.isArray(raw?.cells)) {
    throw new NotebookError(file, versionProblem(raw));
  }
  if (!isRecord(raw.metadata ??= {})) {
    throw new NotebookError(file, "the notebook's metadata must be an object");
  }
  const seen = new Set<string>();
  for (const [index, cell] of raw.cells.entries()) {
    const where = typeof cell?.id === "string" ? cell.id : `number ${index + 1}`;
    const problem = cellProblem(cell) ?? (seen.has(cell.id) ? "two cells have this id" : undefined);
    if (problem) throw new NotebookError(file, problem, where);
    seen.add(cell.id);
    cell.source = [cell.source].flat().join("");
  }
  return raw as Notebook;
}

// deno-lint-ignore no-explicit-any -- whatever the file holds
function parseJson(text: string, file: string): any {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new NotebookError(file, jsonProblem(text, (error as Error).message));
  }
}

/** Says where the text stops being JSON, and what to do; quotes nothing of it, for it may be anybody's file. */
function jsonProblem(text: string, message: string): string {
  if (text.trim() === "") return "is empty: take back an older version, or save it again";
  if (/^(<{7}|>{7}) /m.test(text)) {
    return "holds both sides of a git merge: take one (git checkout --ours or --theirs), or merge with nbdime";
  }
  return `not valid JSON: ${
    whereNot(text, message)
  }. Take back an older version (git restore, or the folder ` +
    ".ipynb_checkpoints beside it), or save it again from where it is still open";
}

/** From V8's message, which names a position for some errors only. */
function whereNot(text: string, message: string): string {
  const at = /at position (\d+)/.exec(message)?.[1];
  const isCut = /end of JSON|Unterminated/.test(message) || Number(at) >= text.trimEnd().length;
  if (isCut) return "it ends in the middle";
  const line = text.slice(0, Number(at)).split("\n").length;
  return at ? `line ${line} is the first that is not` : "something else stands in it";
}

function versionProblem(raw: { nbformat?: unknown; nbformat_minor?: unknown } | null): string {
  if (typeof raw?.nbformat !== "number") return "is JSON, but no notebook: it has no nbformat";
  const found = `${raw.nbformat}.${raw.nbformat_minor ?? "?"}`;
  return `nbformat ${found}; needed is 4.5 (save it again in a current Jupyter)`;
}

function isRecord(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isText(value: unknown): boolean {
  return [value].flat().every((part) => typeof part === "string");
}

/** What is wrong with a cell, or undefined. */
// deno-lint-ignore no-explicit-any -- whatever the file holds
function cellProblem(cell: any): string | undefined {
  if (typeof cell?.id !== "string" || !/^[a-zA-Z0-9-_]{1,64}$/.test(cell.id)) {
    return `cell id must be 1-64 of a-z A-Z 0-9 - _, got ${JSON.stringify(cell?.id)}`;
  }
  if (!["code", "markdown", "raw"].includes(cell.cell_type)) {
    return `unknown cell_type ${JSON.stringify(cell.cell_type)}`;
  }
  if (!isText(cell.source)) return "source must be text or a list of lines";
  if (!isRecord(cell.metadata ??= {})) return "metadata must be an object";
  if (cell.attachments !== undefined && !isRecord(cell.attachments)) {
    return "attachments must be an object";
  }
  if (cell.cell_type === "code" && ![cell.outputs ?? []].flat().every(isRecord)) {
    return "outputs must be a list of objects";
  }
}

/** Writes a notebook whole or not at all. */
export function writeNotebook(file: string, notebook: Notebook): void {
  writeWhole(file, formatNotebook(notebook));
}

/** Writes a file whole or not at all: to a temporary one beside it, then renamed. Makes its folder if need be. */
export function writeWhole(file: string, text: string): void {
  const temporary = `${file}.${Deno.pid}.${crypto.randomUUID().slice(0, 8)}.tmp`;
  Deno.mkdirSync(dirname(file), { recursive: true });
  try {
    Deno.writeTextFileSync(temporary, text);
    Deno.renameSync(temporary, file);
  } catch (error) {
    try {
      Deno.removeSync(temporary);
    } catch { /* it was never written */ }
    throw error;
  }
}
