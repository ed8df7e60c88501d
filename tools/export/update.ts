/** Edits made in a module of lib, carried back into the cells that they belong to. */
import { diffArrays } from "diff";
import {
  type Notebook,
  NotebookError,
  parseNotebook,
  readNotebook,
  writeNotebook,
} from "../notebook.ts";
import { parseModule, visit } from "../syntax.ts";
import { type Chapter, exportedLines, isMarker, readChapter } from "./chapter.ts";
import { type ImportedName, importLine, importsIn } from "./imports.ts";
import {
  type Block,
  type ExportedModule,
  format,
  isEdited,
  isHeadEdited,
  isOwn,
  moduleText,
  readModule,
} from "./module.ts";
import { taskCommand } from "../task.ts";

/** What `carryBack` found. */
export interface Update {
  /** Cells whose source changes, by id. */
  sources: Map<string, string>;
  /** The chapter with these changes. */
  chapter: Chapter;
  /** The module that the changed chapter exports. */
  text: string;
}

/**
 * Works out the sources of cells that make the chapter export what stands in lib. Writes nothing.
 *
 * An edit inside a block goes to its cell line by line, solution markers staying where they are. An import added above
 * the blocks goes to the first cell that uses it.
 *
 * @param edited what stands in lib/<module>.ts
 * @returns undefined if nothing was edited
 * @throws NotebookError naming the cell, where both sides changed or an edit has no clear place
 */
export async function carryBack(
  notebook: Notebook,
  chapter: Chapter,
  edited: string,
  root: string,
): Promise<Update | undefined> {
  const lib = await readEdited(chapter, edited, root);
  const blocks = lib.blocks.filter(isEdited);
  if (blocks.length === 0 && !isHeadEdited(lib)) return undefined;
  const fresh = readModule(await moduleText(chapter, root))!;
  refuseBothChanged(chapter, lib, fresh, blocks);
  const trial = new Trial(chapter.file, notebook, root);
  for (const block of blocks) await carryBlock(trial, chapter, fresh, block);
  if (isHeadEdited(lib)) addImports(trial, chapter, lib, fresh);
  return await trial.finish(chapter, lib);
}

async function readEdited(chapter: Chapter, text: string, root: string): Promise<ExportedModule> {
  const path = `lib/${chapter.module}.ts`;
  const refuse = (problem: string) => {
    throw new NotebookError(chapter.file, problem);
  };
  if (!readModule(text)) {
    refuse(`${path} was not written by the exporter: there are no blocks to carry back`);
  }
  const formatted = await format(text, root).catch((error) =>
    refuse(`${path} cannot be formatted:\n${error.message}`)
  ) as string;
  const lib = readModule(formatted)!;
  if (!isOwn(chapter, lib)) refuse(`${path} was exported from ${lib.chapter}.ipynb`);
  return lib;
}

function refuseBothChanged(
  chapter: Chapter,
  lib: ExportedModule,
  fresh: ExportedModule,
  edited: Block[],
): void {
  const path = `lib/${chapter.module}.ts`;
  for (const { cell, hash, text } of edited) {
    const now = fresh.blocks.find((block) => block.cell === cell);
    if (!now) {
      throw new NotebookError(
        chapter.file,
        `edited in ${path}, but the chapter exports no such cell any more`,
        cell,
      );
    }
    if (now.hash === hash || now.text === text) continue;
    const problem =
      `changed both here and in ${path} since the last export: make one like the other, or drop the edit in ` +
      `${path} with "${taskCommand(`export --force ${chapter.name}`)}"`;
    throw new NotebookError(chapter.file, problem, cell);
  }
  if (!isHeadEdited(lib)) return;
  const ids = (module: ExportedModule) => module.blocks.map(({ cell }) => cell).join(", ");
  if (ids(lib) !== ids(fresh)) {
    const problem = `the cells in ${path} are ${ids(lib)}, those of the notebook ${ids(fresh)}: ` +
      "add, move and remove cells in the notebook, and leave their marker lines in lib alone";
    throw new NotebookError(chapter.file, problem);
  }
  if (fresh.hash === lib.hash) return;
  const problem =
    `the imports changed both here and in ${path} since the last export: put those of ${path} into the cells ` +
    `that need them, then run "${taskCommand(`export --force ${chapter.name}`)}"`;
  throw new NotebookError(chapter.file, problem);
}

/** The notebook with some sources changed, and what it would export. */
class Trial {
  readonly sources = new Map<string, string>();
  constructor(readonly file: string, readonly notebook: Notebook, readonly root: string) {}

  /** The chapter with the changes so far, and those given. */
  chapter(changes: [string, string][] = []): Chapter {
    const sources = new Map([...this.sources, ...changes]);
    const cells = this.notebook.cells.map((cell) => ({
      ...cell,
      source: sources.get(cell.id) ?? cell.source,
    }));
    return readChapter(
      this.file,
      parseNotebook(JSON.stringify({ ...this.notebook, cells }), this.file),
    )!;
  }

  /** Compares the outcome with what stands in lib: an update that would lose something is none. */
  async finish(before: Chapter, lib: ExportedModule): Promise<Update> {
    const chapter = this.chapter();
    const text = await moduleText(chapter, this.root);
    const now = readModule(text)!;
    const path = `lib/${before.module}.ts`;
    for (const block of lib.blocks.filter(isEdited)) {
      if (now.blocks.find(({ cell }) => cell === block.cell)?.text === block.text) continue;
      throw new NotebookError(
        this.file,
        `the edit in ${path} has no clear place here: make it in the notebook`,
        block.cell,
      );
    }
    if (isHeadEdited(lib)) refuseOtherEdits(this.file, path, lib, now);
    return { sources: this.sources, chapter, text };
  }
}

async function carryBlock(
  trial: Trial,
  chapter: Chapter,
  fresh: ExportedModule,
  block: Block,
): Promise<void> {
  const cell = chapter.cells.find(({ id }) => id === block.cell)!;
  const base = fresh.blocks.find((one) => one.cell === block.cell)!.text;
  if (base === block.text) return;
  const refuse = (problem: string) => {
    throw new NotebookError(chapter.file, problem, block.cell);
  };
  if (importsIn(block.text).length) {
    refuse(
      `an import was added inside its block in lib/${chapter.module}.ts: move it up to the other imports there`,
    );
  }
  // A cell that is not formatted shares few lines with its block: formatted it does.
  for (const source of [cell.source, (await format(cell.source, trial.root)).trimEnd()]) {
    const formatted = trial.chapter([[cell.id, source]]).cells.find(({ id }) => id === cell.id)!;
    const exported = exportedLines(chapter.file, formatted);
    const changed = carryLines(
      source.split("\n"),
      exported,
      base.split("\n"),
      block.text.split("\n"),
    );
    if (changed === undefined) continue;
    trial.sources.set(cell.id, changed);
    return;
  }
  refuse(
    `the edit in lib/${chapter.module}.ts has no clear place here, for it crosses a solution marker or another line that ` +
      "is not exported: make it in the notebook",
  );
}

/** A run of lines that an edit replaces: `removed` lines of the base from `at` by `added`. */
interface Hunk {
  at: number;
  removed: number;
  added: string[];
}

function hunksBetween(base: string[], edited: string[]): Hunk[] {
  const hunks: Hunk[] = [];
  let at = 0;
  let open: Hunk | undefined;
  for (const { value, added, removed } of diffArrays(base, edited)) {
    if (!added && !removed) {
      at += value.length;
      open = undefined;
      continue;
    }
    if (!open) hunks.push(open = { at, removed: 0, added: [] });
    if (added) open.added.push(...value);
    else [open.removed, at] = [open.removed + value.length, at + value.length];
  }
  return hunks;
}

/**
 * Does to a cell what was done to its block.
 *
 * @param cell lines of the cell
 * @param exported those of them that are exported
 * @param base lines of the block as exported
 * @param edited lines of the block as it is now
 * @returns the new source, or undefined if an edit has no clear place
 */
export function carryLines(
  cell: string[],
  exported: { text: string; line: number }[],
  base: string[],
  edited: string[],
): string | undefined {
  const places = placesOf(exported, base);
  const isLost = (line: number) => line >= 0 && line < base.length && places[line] === undefined;
  const lines: (string | undefined)[] = [...cell];
  const inserted = new Map<number, string[]>();
  for (const hunk of hunksBetween(base, edited)) {
    const own = Array.from({ length: hunk.removed }, (_, i) => places[hunk.at + i]);
    if (own.includes(undefined)) return undefined;
    const taken = own as number[];
    const isWhole = taken.length === 0 || taken.at(-1)! - taken[0] === taken.length - 1;
    if (!isWhole && hunk.added.length !== taken.length && hunk.added.length > 0) return undefined;
    if (taken.length === hunk.added.length) {
      taken.forEach((place, i) => lines[place] = hunk.added[i]);
    } else {
      if (taken.length === 0 && (isLost(hunk.at - 1) || isLost(hunk.at))) return undefined;
      const place = taken[0] ?? placeBetween(cell, places[hunk.at - 1], places[hunk.at]);
      taken.forEach((one) => lines[one] = undefined);
      inserted.set(place, hunk.added);
    }
  }
  const out = lines.flatMap((
    line,
    index,
  ) => [...(inserted.get(index) ?? []), ...(line === undefined ? [] : [line])]);
  return [...out, ...(inserted.get(cell.length) ?? [])].join("\n");
}

/** For each line of the base, its index in the cell; undefined where formatting changed it. */
function placesOf(
  exported: { text: string; line: number }[],
  base: string[],
): (number | undefined)[] {
  const places: (number | undefined)[] = [];
  let index = 0;
  for (const { value, added, removed } of diffArrays(exported.map(({ text }) => text), base)) {
    if (added) places.push(...value.map(() => undefined));
    else if (removed) index += value.length;
    else places.push(...value.map(() => exported[index++].line - 1));
  }
  return places;
}

/** Where new lines go between two lines of a cell: at a marker, to its inner side, so that no solution leaks out. */
function placeBetween(
  cell: string[],
  before: number | undefined,
  after: number | undefined,
): number {
  const from = before === undefined ? 0 : before + 1;
  const to = after ?? (before === undefined ? 0 : from);
  const end = cell.slice(from, to).findLastIndex((line) =>
    isMarker(line) && line.includes("BEGIN")
  );
  if (end >= 0) return from + end + 1;
  return before === undefined ? to : from;
}

/** Puts each import that was added in lib into the first cell that uses it. */
function addImports(
  trial: Trial,
  chapter: Chapter,
  lib: ExportedModule,
  fresh: ExportedModule,
): void {
  const known = new Set(importsIn(fresh.head).map(importLine));
  const added = importsIn(lib.head).filter((one) => !known.has(importLine(one)));
  for (const one of added) {
    const user = lib.blocks.find(({ text }) => uses(text, one));
    if (!user) {
      const problem = `\`${
        importLine(one)
      }\` was added to lib/${chapter.module}.ts, and no block there uses it: remove it`;
      throw new NotebookError(chapter.file, problem);
    }
    const cell = trial.chapter().cells.find(({ id }) => id === user.cell)!;
    const last = Math.max(cell.directives.lines, ...importsIn(cell.source).map(({ last }) => last));
    trial.sources.set(
      cell.id,
      cell.source.split("\n").toSpliced(last, 0, importLine(one)).join("\n"),
    );
  }
}

function uses(text: string, { local }: ImportedName): boolean {
  let found = false;
  visit(parseModule(text).program, (node) => {
    found ||= node.type === "Identifier" && node.name === local;
  });
  return found;
}

function refuseOtherEdits(
  file: string,
  path: string,
  lib: ExportedModule,
  now: ExportedModule,
): void {
  const imports = (module: ExportedModule) => importsIn(module.head).map(importLine).sort();
  const lost = imports(now).filter((line) => !imports(lib).includes(line));
  if (lost.length) {
    throw new NotebookError(
      file,
      `\`${lost[0]}\` was removed from ${path}: remove it from its cell instead`,
    );
  }
  if (plainHead(lib) === plainHead(now)) return;
  throw new NotebookError(
    file,
    `${path} was edited above its blocks, where only added imports can be carried back`,
  );
}

/** The head without imports, blank lines and hash. */
function plainHead({ head, hash }: ExportedModule): string {
  const lines = head.replace(hash, "").split("\n");
  for (const { first, last } of importsIn(head)) lines.fill("", first - 1, last);
  return lines.filter((line) => line.trim()).join("\n");
}

/** Changes the sources of cells in a notebook file; the rest stays, written as Jupyter writes it. */
export function writeSources(file: string, sources: Map<string, string>): void {
  const notebook = readNotebook(file);
  for (const cell of notebook.cells) cell.source = sources.get(cell.id) ?? cell.source;
  writeNotebook(file, notebook);
}
