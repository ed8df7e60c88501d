/**
 * Jupyter notebooks as files: find one by name, read and check it, write it back.
 * Format: nbformat 4.5, https://nbformat.readthedocs.io/en/latest/format_description.html
 */
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { formatNotebook, type Notebook } from "./nbformat.ts";

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

/** Paths of the book's chapters, in order. */
export function listChapters(folder = NOTEBOOKS): string[] {
  return [...Deno.readDirSync(folder)]
    .filter((entry) => entry.isFile && /^\d\d-.*\.ipynb$/.test(entry.name))
    .map((entry) => join(folder, entry.name)).sort();
}

/**
 * Path of a chapter from what a person types: `03`, `3`, `attention`, `03-attention`, or a path.
 *
 * @throws Error naming the chapters there are, if none or several fit
 */
export function findChapter(name: string, folder = NOTEBOOKS): string {
  if (name.endsWith(".ipynb")) return isAbsolute(name) ? name : resolve(name);
  const chapters = listChapters(folder);
  const wanted = /^\d$/.test(name) ? `0${name}` : name;
  const found = chapters.filter((path) => {
    const stem = basename(path, ".ipynb");
    return stem === wanted || stem.slice(0, 2) === wanted || stem.slice(3) === wanted;
  });
  if (found.length === 1) return found[0];
  const known = chapters.map((path) => basename(path, ".ipynb")).join(", ");
  throw new Error(`no chapter "${name}": there is ${known || "none yet"}`);
}

/**
 * Reads a notebook and checks that it is nbformat 4.5 with usable cell ids.
 *
 * @throws NotebookError naming the file, the cell and what is wrong
 */
export function readNotebook(file: string): Notebook {
  return parseNotebook(Deno.readTextFileSync(file), file);
}

/** `readNotebook` on text that is already in memory; `file` is used in errors only. */
export function parseNotebook(text: string, file: string): Notebook {
  let raw;
  try {
    raw = JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (error) {
    throw new NotebookError(file, `not valid JSON: ${(error as Error).message}`);
  }
  if (raw?.nbformat !== 4 || !(raw?.nbformat_minor >= 5) || !Array.isArray(raw?.cells)) {
    const found = `${raw?.nbformat ?? "?"}.${raw?.nbformat_minor ?? "?"}`;
    throw new NotebookError(
      file,
      `nbformat ${found}; needed is 4.5 (save it again in a current Jupyter)`,
    );
  }
  const seen = new Set<string>();
  for (const [index, cell] of raw.cells.entries()) {
    const where = typeof cell?.id === "string" ? cell.id : `number ${index + 1}`;
    if (typeof cell?.id !== "string" || !/^[a-zA-Z0-9-_]{1,64}$/.test(cell.id)) {
      throw new NotebookError(
        file,
        `cell id must be 1-64 of a-z A-Z 0-9 - _, got ${JSON.stringify(cell?.id)}`,
        where,
      );
    }
    if (seen.has(cell.id)) throw new NotebookError(file, "two cells have this id", where);
    seen.add(cell.id);
    if (!["code", "markdown", "raw"].includes(cell.cell_type)) {
      throw new NotebookError(file, `unknown cell_type ${JSON.stringify(cell.cell_type)}`, where);
    }
    if (typeof cell.source !== "string" && !Array.isArray(cell.source)) {
      throw new NotebookError(file, "source must be text or a list of lines", where);
    }
    cell.source = [cell.source].flat().join("");
    cell.metadata ??= {};
  }
  return raw as Notebook;
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
