/**
 * Chapters into lib: the notebook is the source, `lib/<module>.ts` is what it exports.
 *
 *     deno task export [chapter…]             write what has changed
 *     deno task export --check                write nothing, show the differences, exit 1 if there are any
 *     deno task export --update [chapter…]    carry edits made in lib back into their cells
 */
import { createTwoFilesPatch } from "diff";
import { basename, join } from "node:path";
import { chapterFiles, readFlags, runProgram, sentenceOf, UsageError } from "./cli.ts";
import { type Chapter, readChapter } from "./export/chapter.ts";
import type { Declaration } from "./export/declarations.ts";
import { specifierOf } from "./export/imports.ts";
import { isEdited, isHeadEdited, isOwn, moduleText, readModule, sealed } from "./export/module.ts";
import { orphans } from "./export/orphans.ts";
import { staleNames } from "./export/session.ts";
import { carryBack, writeSources } from "./export/update.ts";
import {
  CHAPTER_NAMES,
  findChapter,
  isChapterName,
  listChapters,
  NotebookError,
  readNotebook,
  ROOT,
  writeWhole,
} from "./notebook.ts";
import { tangleExported } from "./tangle.ts";
import { problemLines, type TypeProblem, typeProblems } from "./typecheck.ts";
import { taskCommand } from "./task.ts";

const HELP = `Writes what the chapters export into lib.

usage: ${taskCommand("export")} [chapter…] [--check | --update | --force]

  chapter    03, attention, 03-attention or a path; all of them if none is named
  --check    write nothing; show where lib differs, and exit 1 if it does
  --update   carry edits made in lib back into the cells that they belong to, solution markers staying where
             they are; an added import goes to the first cell that uses it; refused where both sides changed
  --force    overwrite a module in lib even if it was edited by hand
  --help     this text`;

/** What became of one chapter. */
export interface Exported {
  chapter: Chapter;
  /** `lib/attention.ts`. */
  path: string;
  state: "written" | "unchanged" | "differs" | "updated";
  /** With `differs`: unified diff from what lib has to what the chapter exports. */
  diff?: string;
  /** With `updated`: the cells that changed. */
  cells?: string[];
}

/**
 * Reads chapters, and checks what can only be seen of all together: that no two export one module, and that each imports
 * only from chapters before it.
 *
 * @param names chapters as a person types them; all of the book if there are none
 * @throws NotebookError for the first thing that is wrong in a chapter that is asked for
 */
export function readChapters(names: string[], root = ROOT): Chapter[] {
  const notebooks = join(root, "notebooks");
  const all = listChapters(notebooks);
  const wanted = names.length
    ? [...new Set(names.map((name) => findChapter(name, notebooks)))]
    : all;
  const asked = wanted.map((file) => {
    const chapter = readChapter(file, readNotebook(file));
    if (chapter && !isChapterName(file)) {
      throw new NotebookError(file, `is no chapter by its name, which must be ${CHAPTER_NAMES}`);
    }
    if (chapter || names.length === 0) return chapter;
    throw new NotebookError(
      file,
      'exports nothing: its first code cell has no "//| default_exp <module>"',
    );
  }).filter((chapter) => chapter !== undefined);
  const others = all.filter((file) => !wanted.includes(file)).map(readOther).filter((one) =>
    one !== undefined
  );
  asked.forEach((chapter, index) => {
    refuseTwin(chapter, [...asked.slice(0, index), ...others]);
    refuseLaterChapters(chapter, [...asked, ...others]);
  });
  return asked;
}

/** A chapter that nobody asked for: what is wrong in it must not stop another's export. */
function readOther(file: string): Chapter | undefined {
  try {
    return readChapter(file, readNotebook(file));
  } catch {
    return undefined;
  }
}

function refuseTwin(chapter: Chapter, others: Chapter[]): void {
  const twin = others.find(({ module }) => module === chapter.module);
  if (!twin) return;
  const problem = `exports "${chapter.module}", as ${
    basename(twin.file)
  } does: each chapter needs a module of its own`;
  const first = [...chapter.rest, ...chapter.cells].find(({ directives }) => directives.module);
  throw new NotebookError(chapter.file, problem, first?.id);
}

function refuseLaterChapters(chapter: Chapter, all: Chapter[]): void {
  const later = new Map(
    all.filter(({ name }) => name > chapter.name).map((one) => [`lib/${one.module}.ts`, one.name]),
  );
  for (const one of chapter.imports) {
    const name = later.get(specifierOf(one));
    if (!name) continue;
    const problem = `line ${one.line}: imports "${
      specifierOf(one)
    }", which a later chapter (${name}) exports`;
    throw new NotebookError(chapter.file, problem, one.cell);
  }
}

/**
 * Exports one chapter: composes its module, and writes it if it differs, type checks and would overwrite nobody's work.
 *
 * @param options.check write nothing, say whether it differs
 * @param options.force overwrite what was edited by hand
 * @throws NotebookError if the chapter cannot be exported, or lib holds work that would be lost
 */
export async function exportOne(
  chapter: Chapter,
  { check = false, force = false } = {},
  root = ROOT,
): Promise<Exported> {
  const path = `lib/${chapter.module}.ts`;
  const text = await moduleText(chapter, root);
  const before = readIfThere(join(root, path));
  if (before === text) return { path, state: "unchanged", chapter };
  if (check) {
    return { path, state: "differs", diff: difference(chapter, path, before ?? "", text), chapter };
  }
  if (before !== undefined && !force) refuseOverwriting(chapter, path, before, text);
  await refuseTypeErrors(chapter, root);
  writeWhole(join(root, path), text);
  return { path, state: "written", chapter };
}

function readIfThere(file: string): string | undefined {
  try {
    return Deno.readTextFileSync(file).replaceAll("\r\n", "\n");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function difference({ name }: Chapter, path: string, before: string, after: string): string {
  const patch = createTwoFilesPatch(
    path,
    `notebooks/${name}.ipynb`,
    before,
    after,
    "as it is",
    "as exported",
  );
  return patch.replace(/^=+\n/, "").trimEnd();
}

function refuseOverwriting(
  chapter: Chapter,
  path: string,
  before: string,
  text: string,
): void {
  const { file, name } = chapter;
  const module = readModule(before);
  if (!module) {
    throw new NotebookError(
      file,
      `${path} was not written by the exporter: move it away, or overwrite it with --force`,
    );
  }
  if (!isOwn(chapter, module)) {
    const problem =
      `${path} was exported from ${module.chapter}.ipynb, which is still there: give one of the two another ` +
      `"//| default_exp", or overwrite it with --force`;
    throw new NotebookError(file, problem);
  }
  const edited = module.blocks.filter(isEdited).map(({ cell }) => `"${cell}"`);
  if ((edited.length === 0 && !isHeadEdited(module)) || sealed(before) === text) return;
  const where = edited.length
    ? `in ${edited.length > 1 ? "cells" : "cell"} ${edited.join(", ")}`
    : "above or between its cells";
  const problem =
    `${path} was edited by hand, ${where}. Keep the edit: "${
      taskCommand(`export --update ${name}`)
    }". ` +
    `Throw it away: "${taskCommand(`export --force ${name}`)}".`;
  throw new NotebookError(file, problem);
}

async function refuseTypeErrors(chapter: Chapter, root: string): Promise<void> {
  const tangled = tangleExported(chapter.file, chapter.cells, chapter.imports);
  const path = `build/tangled/${chapter.module}-${crypto.randomUUID().slice(0, 8)}.ts`;
  try {
    const problems = await typeProblems(root, [], [{ path, tangled }]);
    if (problems.length === 0) return;
    const texts = problems.map((one) => problemLines(one) + advice(one, chapter));
    const text = [...new Set(texts)].join("\n\n");
    throw new NotebookError(
      chapter.file,
      `lib/${chapter.module}.ts would not type check:\n\n${text}`,
    );
  } finally {
    Deno.removeSync(join(root, path));
  }
}

/** The commonest cause: a name that is there in the notebook, from a cell that is not exported. */
function advice({ message }: TypeProblem, { rest }: Chapter): string {
  const name = /Cannot find (?:name|namespace) '([\w$]+)'/.exec(message)?.[1];
  const importer = rest.find(({ imports }) => imports.some(({ local }) => local === name));
  if (importer) {
    return `\n  cell "${importer.id}" imports \`${name}\`, but is not exported: import it in this cell too`;
  }
  const owner = rest.find(({ declarations }) => declarations.some((one) => one.name === name));
  return owner
    ? `\n  cell "${owner.id}" declares \`${name}\`, but is not exported: start it with "//| export"`
    : "";
}

/**
 * Carries edits made in lib/<module>.ts back into the chapter's cells; outputs, ids and metadata stay as they are.
 *
 * @throws NotebookError where both sides changed, an edit has no clear place, or the result does not type check
 */
export async function updateOne(chapter: Chapter, root = ROOT): Promise<Exported> {
  const path = `lib/${chapter.module}.ts`;
  const before = readIfThere(join(root, path));
  if (before === undefined) {
    throw new NotebookError(
      chapter.file,
      `${path} is not there: run "${taskCommand(`export ${chapter.name}`)}"`,
    );
  }
  const update = await carryBack(readNotebook(chapter.file), chapter, before, root);
  if (!update) return { path, state: "unchanged", chapter };
  await refuseTypeErrors(update.chapter, root);
  if (update.sources.size) writeSources(chapter.file, update.sources);
  writeWhole(join(root, path), update.text);
  return { path, state: "updated", chapter: update.chapter, cells: [...update.sources.keys()] };
}

/**
 * Exports a chapter from one of its own cells: `await show(await exportChapter("03-attention"))`.
 *
 * It exports what is saved on disk. Functions and classes that were run in this kernel and differ from that are named, for
 * then the notebook was not saved.
 *
 * @param name the chapter: `03-attention`, `03`, `attention` or a path
 * @returns what was written, what it exports and how the next chapter imports it, as text
 * @throws Error whose message is a sentence, and which has no stack, if the chapter cannot be exported
 */
export async function exportChapter(name: string, root = ROOT): Promise<string> {
  try {
    const [file] = chapterFiles([name], join(root, "notebooks"));
    return await exportSaved(file, root);
  } catch (error) {
    throw withoutStack(error);
  }
}

/** What is wrong with a notebook is told in a sentence; where in our code it was found helps nobody. */
function withoutStack(error: unknown): unknown {
  const sentence = sentenceOf(error);
  if (sentence === undefined) return error;
  const told = new Error(sentence, { cause: error });
  told.name = "NotExported";
  told.stack = `${told.name}: ${sentence}`;
  return told;
}

async function exportSaved(file: string, root: string): Promise<string> {
  const [chapter] = readChapters([file], root);
  const { state, path } = await exportOne(chapter, {}, root);
  const stale = await staleNames(chapter, join(root, path));
  return [
    ...stale.map(({ name, cell }) =>
      `NOT SAVED: the \`${name}\` that you ran (cell "${cell}") is not the one in the file.`
    ),
    ...stale.length ? ["Save the notebook (Ctrl+S), then run this cell again.\n"] : [],
    state === "written"
      ? `Wrote ${path} from what is saved on disk.`
      : `${path} is what is saved on disk: nothing to write.`,
    "",
    ...describe(chapter),
  ].join("\n");
}

function describe({ module, cells }: Chapter): string[] {
  const all = cells.flatMap(({ declarations }) => declarations).filter((one) => one.isExported);
  const exported = [...new Map(all.map((one) => [one.name, one])).values()];
  const types = exported.filter(({ signature }) => /^(interface|type) /.test(signature));
  const values = exported.filter((one) => !types.includes(one));
  const classes = values.filter(({ signature }) => signature.startsWith("class "));
  const shown = classes.length ? classes.slice(-1) : [...values, ...types].slice(0, 2);
  return [
    "It exports:",
    ...values.flatMap(apiLines),
    ...types.length ? [`  types: ${types.map(({ name }) => name).join(", ")}`] : [],
    "",
    "The next chapter imports it, for example:",
    `  import { ${shown.map(({ name }) => name).join(", ")} } from "lib/${module}.ts";`,
    "A kernel that has imported it before keeps the old one until you restart it.",
  ];
}

function apiLines({ signature, summary }: Declaration): string[] {
  const short = (text: string) => text.length > 100 ? `${text.slice(0, 99)}…` : text;
  return [`  ${short(signature)}`, ...summary ? [`      ${short(summary)}`] : []];
}

/**
 * The command.
 *
 * @returns its exit code: 1 if lib differs
 * @throws UsageError for a command line that makes no sense
 * @throws NotebookError for what is wrong in a chapter
 */
export async function main(args: string[], root = ROOT): Promise<number> {
  const flag = { type: "boolean", default: false } as const;
  const flags = { check: flag, update: flag, force: flag, help: flag };
  const { values, positionals } = readFlags(args, flags);
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const chosen = [values.check, values.update, values.force].filter(Boolean);
  if (chosen.length > 1) throw new UsageError("--check, --update and --force exclude one another");
  const files = chapterFiles(positionals, join(root, "notebooks"));
  return await run({ ...values, names: files }, root);
}

interface Options {
  names: string[];
  check: boolean;
  update: boolean;
  force: boolean;
}

async function run({ names, check, update, force }: Options, root: string): Promise<number> {
  const chapters = readChapters(names, root);
  let differing = 0;
  for (const chapter of chapters) {
    const outcome = update
      ? await updateOne(chapter, root)
      : await exportOne(chapter, { check, force }, root);
    console.log(outcomeLine(outcome, update));
    if (outcome.diff) console.log(`${outcome.diff}\n`);
    if (outcome.state === "differs") differing++;
  }
  const lost = names.length ? [] : orphans(chapters, root);
  for (const { path, advice } of lost) console.log(`${path}: ${advice}`);
  if (chapters.length === 0) console.log("no chapter exports anything yet");
  if (differing) {
    console.log(`${differing} of ${chapters.length} differ: run "${taskCommand("export")}"`);
  }
  return differing || (check && lost.length) ? 1 : 0;
}

function outcomeLine({ path, state, chapter, cells }: Exported, isUpdate: boolean): string {
  if (!isUpdate) return `${chapter.name} -> ${path}: ${state}`;
  if (state === "unchanged") return `${path} -> ${chapter.name}: no edits to carry back`;
  return `${path} -> ${chapter.name}: carried back into ${cells!.join(", ") || "no cell"}`;
}

if (import.meta.main) await runProgram(HELP, () => main(Deno.args));
