/** A notebook's code cells as one module, for programs that know files and not notebooks: the type checker. */
import type { Notebook } from "./notebook.ts";
import { type CodeCell, codeCells, exportedLines } from "./export/chapter.ts";
import { type ImportedName, importLine, mergeImports } from "./export/imports.ts";

/** Where a line of a tangled module comes from. */
export interface Origin {
  cell: string;
  /** Line in the cell, from 1. */
  line: number;
}

/** A module made of cells. */
export interface Tangled {
  /** Path of the notebook. */
  file: string;
  text: string;
  /** For each line of `text`, from 0, where it comes from. */
  origins: (Origin | undefined)[];
  /** Sources of the cells, by id. */
  sources: Map<string, string>;
}

/**
 * All code cells of a notebook as one module: imports once and first, each other line where it was in its cell.
 *
 * @throws NotebookError if a cell does not parse, or two cells import different things by one name
 */
export function tangle(file: string, notebook: Notebook): Tangled {
  const cells = codeCells(file, notebook);
  const bodies = cells.map(({ id, code }) =>
    code.split("\n").map((text, index) => ({ text, origin: { cell: id, line: index + 1 } }))
  );
  return joined(file, cells, mergeImports(file, cells.flatMap((cell) => cell.imports)), bodies);
}

/** The exported cells of a chapter as one module, as in lib but unformatted, so that lines can be traced. */
export function tangleExported(file: string, cells: CodeCell[], imports: ImportedName[]): Tangled {
  const bodies = cells.map((cell) =>
    exportedLines(file, cell).map(({ text, line }) => ({ text, origin: { cell: cell.id, line } }))
  );
  return joined(file, cells, imports, bodies);
}

function joined(
  file: string,
  cells: CodeCell[],
  imports: ImportedName[],
  bodies: { text: string; origin?: Origin }[][],
): Tangled {
  const head = imports.map((one) => ({
    text: importLine(one),
    origin: { cell: one.cell, line: one.line },
  }));
  // Without it a chapter that neither imports nor exports would be a script, where top-level await is an error.
  const lines = [...head, ...bodies.flat(), { text: "export {};", origin: undefined }];
  return {
    file,
    text: lines.map(({ text }) => text).join("\n") + "\n",
    origins: lines.map(({ origin }) => origin),
    sources: new Map(cells.map(({ id, source }) => [id, source])),
  };
}
