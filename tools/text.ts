/**
 * A notebook as plain text, for editing in any editor and for reading a change.
 *
 *     deno task text 03 > /tmp/03.txt       write it out
 *     deno task text 03 --from /tmp/03.txt  take it back: ids stay, outputs of unchanged cells stay
 *
 * Each cell starts with a line `%% <id> <markdown|code|raw> [solution | test <points>]`; what follows is its source.
 */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { chapterFiles, readFlags, runProgram, UsageError } from "./cli.ts";
import { formatted } from "./format.ts";
import {
  type Cell,
  type GradeInfo,
  type Notebook,
  NOTEBOOK_METADATA,
  NotebookError,
  NOTEBOOKS,
  parseNotebook,
  readBytes,
  readNotebook,
  writeNotebook,
  writeWhole,
} from "./notebook.ts";
import { taskCommand } from "./task.ts";

const USAGE = `usage: ${taskCommand("text")} <chapter> [--from <file>]

  chapter   03, attention, 03-attention or a path; with --from also a new one, as 07-finetune
  --from    take the text in a file back into the chapter
  --help    this text`;

const MARKER =
  /^%% ([a-zA-Z0-9-_]{1,64}) (markdown|code|raw)(?: (solution)| (test) (\d+(?:\.\d+)?))?$/;

/**
 * The text form of a notebook; outputs are left out.
 *
 * @throws NotebookError if a line of a cell looks like the start of one
 */
export function toText(notebook: Notebook, file = "notebook"): string {
  for (const { id, source } of notebook.cells) {
    const line = source.split("\n").findIndex((line) => line.startsWith("%% "));
    if (line < 0) continue;
    const problem = `line ${line + 1}: begins with "%% ", as a cell does in the text form`;
    throw new NotebookError(file, problem, id);
  }
  return notebook.cells.map((cell) =>
    `%% ${cell.id} ${cell.cell_type}${gradeWords(cell)}\n${cell.source}\n`
  ).join("\n");
}

/**
 * The notebook that a text describes. Cells of `previous` that have the same id keep what the text does not show: tags,
 * attachments and, if their source is the same, outputs.
 *
 * @throws NotebookError naming the line that is not understood
 */
export function fromText(text: string, file: string, previous?: Notebook): Notebook {
  const before = new Map(previous?.cells.map((cell) => [cell.id, cell]));
  const cells: Cell[] = [];
  for (const [index, line] of text.replace(/\r\n?/g, "\n").split("\n").entries()) {
    const cell = cells.at(-1);
    if (line.startsWith("%% ")) cells.push(cellOf(line, index, file, before));
    else if (cell) cell.source += line + "\n";
    else if (line.trim()) {
      throw new NotebookError(file, `line ${index + 1}: text before the first "%%" line`);
    }
  }
  if (cells.length === 0) throw new NotebookError(file, 'holds no cell: none begins with "%% "');
  for (const cell of cells) {
    cell.source = cell.source.replace(/^\n+|\s+$/g, "");
    if (cell.cell_type === "code") keepOutputs(cell, before.get(cell.id));
  }
  const metadata = previous?.metadata ?? NOTEBOOK_METADATA;
  const notebook: Notebook = { nbformat: 4, nbformat_minor: 5, metadata, cells };
  return parseNotebook(JSON.stringify(notebook), file);
}

/** The cell that a `%%` line begins, still without its source. */
function cellOf(line: string, index: number, file: string, before: Map<string, Cell>): Cell {
  const match = MARKER.exec(line.trimEnd());
  if (!match) {
    const form = '"%% <id> <markdown|code|raw> [solution | test <points>]"';
    const problem = `line ${index + 1}: expected ${form}, got ${JSON.stringify(line)}`;
    throw new NotebookError(file, problem);
  }
  const [, id, type, solution, test, points] = match;
  const { metadata: { nbgrader: _, ...metadata } = {}, attachments } = before.get(id) ?? {};
  const cell: Cell = { id, cell_type: type as Cell["cell_type"], source: "", metadata };
  if (attachments && type !== "code") cell.attachments = attachments;
  if (solution) cell.metadata.nbgrader = gradeInfo(id, false);
  if (test) cell.metadata.nbgrader = gradeInfo(id, true, Number(points));
  return cell;
}

function keepOutputs(cell: Cell, old?: Cell): void {
  const isSame = old?.source === cell.source;
  cell.outputs = isSame ? old.outputs ?? [] : [];
  cell.execution_count = isSame ? old.execution_count ?? null : null;
}

function gradeInfo(id: string, isTest: boolean, points?: number): GradeInfo {
  const info = {
    schema_version: 3 as const,
    grade_id: id,
    grade: isTest,
    solution: !isTest,
    locked: isTest,
    task: false,
  };
  return isTest ? { ...info, points } : info;
}

function gradeWords(cell: Cell): string {
  const info = cell.metadata.nbgrader;
  if (!info) return "";
  return info.grade ? ` test ${info.points}` : " solution";
}

/** The text of a file, also in UTF-16, in which PowerShell writes what `>` redirects. */
function readText(file: string): string {
  const bytes = readBytes(file);
  const [a, b] = bytes;
  const encoding = a === 0xff && b === 0xfe
    ? "utf-16le"
    : a === 0xfe && b === 0xff
    ? "utf-16be"
    : "utf-8";
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw new NotebookError(file, "is neither UTF-8 nor UTF-16: save it as UTF-8");
  }
}

/**
 * The command.
 *
 * @returns its exit code
 * @throws UsageError for a command line that makes no sense
 * @throws NotebookError for a notebook or a text that cannot be used
 */
export async function main(args: string[], folder = NOTEBOOKS): Promise<number> {
  const flags = { from: { type: "string" }, help: { type: "boolean" } } as const;
  const { values: { from, help }, positionals } = readFlags(args, flags);
  if (help) return console.log(USAGE), 0;
  if (positionals.length !== 1) {
    throw new UsageError(`one chapter is needed, got ${positionals.length || "none"}`);
  }
  if (from === undefined) {
    const [file] = chapterFiles(positionals, folder);
    console.log(toText(readNotebook(file), file));
    return 0;
  }
  if (!existsSync(from)) throw new UsageError(`no file ${from}`);
  await takeBack(chapterOrNew(positionals[0], folder), readText(from), from);
  return 0;
}

function chapterOrNew(name: string, folder: string): string {
  const isNew = /^\d\d-[\w-]+$/.test(name);
  return isNew ? join(folder, `${name}.ipynb`) : chapterFiles([name], folder)[0];
}

async function takeBack(file: string, text: string, from: string): Promise<void> {
  const previous = existsSync(file) ? readNotebook(file) : undefined;
  writeNotebook(file, fromText(text, from, previous));
  writeWhole(file, await formatted(file));
  console.log(`wrote ${basename(file)}`);
}

if (import.meta.main) await runProgram(USAGE, () => main(Deno.args));
