/**
 * A notebook as plain text, for editing in any editor and for reading a change.
 *
 *     deno task text 03 > /tmp/03.txt       write it out
 *     deno task text 03 --from /tmp/03.txt  take it back: ids stay, outputs of unchanged cells stay
 *
 * Each cell starts with a line `%% <id> <markdown|code> [solution | test <points>]`; what follows is its source.
 */
import { parseArgs } from "node:util";
import { basename, join } from "node:path";
import { formatted } from "./format.ts";
import {
  type Cell,
  findChapter,
  type GradeInfo,
  type Notebook,
  NOTEBOOK_METADATA,
  NotebookError,
  NOTEBOOKS,
  parseNotebook,
  readNotebook,
  writeNotebook,
} from "./notebook.ts";

const MARKER = /^%% ([a-zA-Z0-9-_]{1,64}) (markdown|code)(?: (solution)| (test) (\d+(?:\.\d+)?))?$/;

/** The text form of a notebook; outputs are left out. */
export function toText(notebook: Notebook): string {
  return notebook.cells.map((cell) =>
    `%% ${cell.id} ${cell.cell_type}${gradeWords(cell)}\n${cell.source}\n`
  ).join("\n");
}

/**
 * The notebook that a text describes. Cells of `previous` that have the same id and source keep their outputs.
 *
 * @throws NotebookError naming the line that is not understood
 */
export function fromText(text: string, file: string, previous?: Notebook): Notebook {
  const before = new Map(previous?.cells.map((cell) => [cell.id, cell]));
  const cells: Cell[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (!line.startsWith("%% ")) {
      const cell = cells.at(-1);
      if (cell) cell.source += line + "\n";
      else if (line.trim()) {
        throw new NotebookError(file, `line ${index + 1}: text before the first "%%" line`);
      }
      continue;
    }
    const match = MARKER.exec(line);
    if (!match) {
      throw new NotebookError(
        file,
        `line ${index + 1}: expected "%% <id> <markdown|code> [solution | test <points>]", got ${
          JSON.stringify(line)
        }`,
      );
    }
    const [, id, type, solution, test, points] = match;
    const cell: Cell = { id, cell_type: type as Cell["cell_type"], source: "", metadata: {} };
    if (solution) cell.metadata.nbgrader = gradeInfo(id, false);
    if (test) cell.metadata.nbgrader = gradeInfo(id, true, Number(points));
    cells.push(cell);
  }
  for (const cell of cells) {
    cell.source = cell.source.replace(/^\n+|\s+$/g, "");
    const old = before.get(cell.id);
    if (cell.cell_type !== "code") continue;
    const same = old?.source === cell.source;
    cell.outputs = same ? old?.outputs ?? [] : [];
    cell.execution_count = same ? old?.execution_count ?? null : null;
  }
  const metadata = previous?.metadata ?? NOTEBOOK_METADATA;
  const notebook: Notebook = { nbformat: 4, nbformat_minor: 5, metadata, cells };
  return parseNotebook(JSON.stringify(notebook), file);
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

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    args: Deno.args,
    allowPositionals: true,
    options: { from: { type: "string" } },
  });
  if (positionals.length !== 1) {
    console.error("usage: deno task text <chapter> [--from <file>]");
    Deno.exit(2);
  }
  if (values.from) {
    const name = positionals[0];
    const isNew = /^\d\d-[a-z]+$/.test(name);
    const file = isNew ? join(NOTEBOOKS, `${name}.ipynb`) : findChapter(name);
    const previous = await Deno.stat(file).then(() => readNotebook(file), () => undefined);
    writeNotebook(file, fromText(await Deno.readTextFile(values.from), values.from, previous));
    await Deno.writeTextFile(file, await formatted(file));
    console.log(`wrote ${basename(file)}`);
  } else {
    console.log(toText(readNotebook(findChapter(positionals[0]))));
  }
}
