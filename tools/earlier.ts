/**
 * Whether what a chapter takes from earlier ones is there. Deno's kernel makes `undefined` of a name that a module does not
 * export, and tells of it cells later, as "applyRotary is not a function".
 */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { show } from "lib/notebook/show.ts";
import { chapterFiles } from "./cli.ts";
import { type Chapter, codeCells, readChapter } from "./export/chapter.ts";
import { declarationsOf } from "./export/declarations.ts";
import { type ImportedName, importsIn, specifierOf } from "./export/imports.ts";
import { moduleText, readModule } from "./export/module.ts";
import { listChapters, type Notebook, NotebookError, readNotebook, ROOT } from "./notebook.ts";
import { parseModule } from "./syntax.ts";
import { taskCommand } from "./task.ts";

/** What was found about the modules that a chapter imports, a sentence each. */
export interface Findings {
  /** What will make a cell fail. */
  missing: string[];
  /** Modules that are not what their chapters export now. */
  stale: string[];
}

/**
 * The first cell of a chapter: says so if what earlier chapters export is not there or out of date, and which to run.
 *
 * @param name the chapter: `03-attention`
 * @throws Error naming what is missing, and the chapter to run
 */
export async function afterChapters(name: string, root = ROOT): Promise<void> {
  const [file] = chapterFiles([name], join(root, "notebooks"));
  const { missing, stale } = await lookBack(file, root);
  if (missing.length) {
    const told = new Error(missing.join("\n"));
    told.name = "ChapterMissing";
    told.stack = `${told.name}: ${told.message}`;
    throw told;
  }
  if (stale.length) await show(stale.join("\n"));
}

/** Compares what the chapter in `file` imports from other chapters, and they from one another, with what is in lib. */
export async function lookBack(file: string, root = ROOT): Promise<Findings> {
  const owners = ownersOf(root);
  const wanted = new Map<string, Set<string>>();
  want(importsOfCells(file), wanted, owners, root);
  const findings: Findings = { missing: [], stale: [] };
  await Promise.all([...wanted].map(async ([module, names]) => {
    const owner = owners.get(module)!;
    const problem = missingIn(module, owner, names, root);
    if (problem) findings.missing.push(problem);
    else findings.stale.push(...await staleness(module, owner, root));
  }));
  return { missing: findings.missing.sort(), stale: findings.stale.sort() };
}

/** The chapter's file for each module. One that cannot be read is known by the module that it exported before. */
function ownersOf(root: string): Map<string, string> {
  const owners = listChapters(join(root, "notebooks")).flatMap((file): [string, string][] => {
    const module = quietly(() => moduleNamed(readNotebook(file)));
    return module ? [[module, file]] : [];
  });
  const known = new Set(owners.map(([, file]) => file));
  const before = modulesIn(root).filter(([, file]) => !known.has(file) && existsSync(file));
  return new Map([...before, ...owners]);
}

function moduleNamed({ cells }: Notebook): string | undefined {
  const first = cells.find((cell) => cell.cell_type === "code");
  return /^\s*\/\/\|\s*default_exp\s+([\w-]+)/m.exec(first?.source ?? "")?.[1];
}

/** Exported modules in lib, each with the file of the chapter that it names. */
function modulesIn(root: string): [string, string][] {
  const lib = join(root, "lib");
  const names = existsSync(lib) ? [...Deno.readDirSync(lib)] : [];
  return names.filter(({ isFile, name }) => isFile && name.endsWith(".ts")).flatMap(({ name }) => {
    const chapter = readModule(Deno.readTextFileSync(join(lib, name)))?.chapter;
    return chapter ? [[name.slice(0, -3), join(root, "notebooks", `${chapter}.ipynb`)]] : [];
  });
}

function quietly<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof NotebookError) return undefined;
    throw error;
  }
}

/** Imports of the cells that can be read: one that cannot says so itself when it runs. */
function importsOfCells(file: string): ImportedName[] {
  const notebook = readNotebook(file);
  const alone = (cell: Notebook["cells"][number]) =>
    codeCells(file, { ...notebook, cells: [cell] });
  return notebook.cells.flatMap((cell) => quietly(() => alone(cell)) ?? [])
    .flatMap(({ imports }) => imports);
}

/** Adds what is imported from chapters' modules, and what those import from one another. */
function want(
  imports: ImportedName[],
  wanted: Map<string, Set<string>>,
  owners: Map<string, string>,
  root: string,
): void {
  for (const one of imports) {
    const module = /^lib\/([\w-]+)\.ts$/.exec(specifierOf(one))?.[1] ?? "";
    if (!owners.has(module)) continue;
    const isNew = !wanted.has(module);
    const names = wanted.get(module) ?? new Set();
    wanted.set(module, names);
    if (!one.isType && /^[\w$]+$/.test(one.imported)) names.add(one.imported);
    if (isNew) want(importsOfModule(module, root), wanted, owners, root);
  }
}

function importsOfModule(module: string, root: string): ImportedName[] {
  const path = join(root, "lib", `${module}.ts`);
  return existsSync(path) ? importsIn(Deno.readTextFileSync(path)) : [];
}

function missingIn(
  module: string,
  owner: string,
  names: Set<string>,
  root: string,
): string | undefined {
  const path = join(root, "lib", `${module}.ts`);
  const cure = `${howToExport(basename(owner, ".ipynb"))}, then restart this kernel`;
  if (!existsSync(path)) return `lib/${module}.ts is not there: ${cure}`;
  const text = Deno.readTextFileSync(path);
  const exported = new Set(
    parseModule(text).program.body.flatMap((one) => declarationsOf(one, text))
      .filter(({ isExported }) => isExported).map(({ name }) => name),
  );
  const lost = [...names].filter((name) => !exported.has(name)).map((name) => `\`${name}\``);
  return lost.length ? `lib/${module}.ts has no ${lost.join(", ")}: ${cure}` : undefined;
}

function howToExport(chapter: string): string {
  return `run the last cell of ${chapter} (or: ${taskCommand(`export ${chapter.slice(0, 2)}`)})`;
}

async function staleness(module: string, owner: string, root: string): Promise<string[]> {
  const path = `lib/${module}.ts`;
  const chapter = basename(owner, ".ipynb");
  try {
    const text = await moduleText(readChapter(owner, readNotebook(owner)) as Chapter, root);
    if (text === Deno.readTextFileSync(join(root, path)).replaceAll("\r\n", "\n")) return [];
    return [
      `${path} is not what ${chapter}.ipynb exports now: this chapter uses what stands in ${path}. ` +
      `To bring it up to date, ${howToExport(chapter)}, then restart this kernel.`,
    ];
  } catch (error) {
    if (!(error instanceof NotebookError)) throw error;
    return [`${path} may be out of date, for its chapter cannot be exported: ${error.message}`];
  }
}
