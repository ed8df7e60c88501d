/** Modules in lib that say they come from a chapter, and that no chapter exports. */
import { existsSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { readManifest } from "../homework/manifest.ts";
import { CHAPTER_NAMES, isChapterName, listNotebooks, readNotebook } from "../notebook.ts";
import { type Chapter, readChapter } from "./chapter.ts";
import { readModule } from "./module.ts";

/** A module that is left over. */
export interface Orphan {
  /** `lib/attention.ts`. */
  path: string;
  /** Why it is one, and what to do. */
  advice: string;
}

/** The modules in `root/lib` that were exported once and that none of the book's chapters exports now. */
export function orphans(chapters: Chapter[], root: string): Orphan[] {
  const exported = new Set(chapters.map(({ module }) => module));
  const released = readManifest(root)?.files ?? {}; // a learner's folder holds modules without their chapters
  const modules = sources(join(root, "lib"), false).map((file) => basename(file, ".ts"))
    .filter((module) => !exported.has(module) && !(`lib/${module}.ts` in released))
    .filter((module) => readModule(Deno.readTextFileSync(join(root, "lib", `${module}.ts`))));
  return modules.sort().map((module) => ({
    path: `lib/${module}.ts`,
    advice: advice(module, root),
  }));
}

function advice(module: string, root: string): string {
  const misnamed = listNotebooks(join(root, "notebooks")).find((file) =>
    !isChapterName(file) && exportsModule(file, module)
  );
  if (misnamed) {
    const name = basename(misnamed);
    return `"${name}" exports it, but is no chapter by its name: rename it (${CHAPTER_NAMES})`;
  }
  const users = importers(module, root);
  if (users.length === 0) return "no chapter exports it and nothing imports it: delete it";
  const some = users.slice(0, 3).join(", ") + (users.length > 3 ? ", …" : "");
  return `no chapter exports it, but ${some} imports it: keep it, and start the first code cell of its ` +
    `chapter with "//| default_exp ${module}"`;
}

function exportsModule(file: string, module: string): boolean {
  try {
    return readChapter(file, readNotebook(file))?.module === module;
  } catch {
    return false; // it cannot be read, so it exports nothing
  }
}

/** Files that import a module of lib, as paths from the root. */
function importers(module: string, root: string): string[] {
  const isImport = new RegExp(`["'](?:lib|\\.{1,2}|\\.\\./lib)/${module}\\.ts\\\\?["']`);
  const code = ["lib", "tools", "tests"].flatMap((folder) => sources(join(root, folder), true));
  return [...code, ...listNotebooks(join(root, "notebooks"))]
    .filter((file) => isImport.test(Deno.readTextFileSync(file)))
    .map((file) => relative(root, file).replaceAll("\\", "/"));
}

function sources(folder: string, isDeep: boolean): string[] {
  if (!existsSync(folder)) return [];
  return [...Deno.readDirSync(folder)].flatMap(({ name, isFile, isDirectory }) => {
    if (isDirectory) return isDeep ? sources(join(folder, name), true) : [];
    return isFile && name.endsWith(".ts") ? [join(folder, name)] : [];
  });
}
