/**
 * Type checks everything: lib, tools, tests, benches, and the code cells of each chapter, in one run of `deno check`.
 *
 *     deno task check [chapter…]
 */
import { basename, join } from "node:path";
import { chapterFiles, readFlags, runProgram } from "./cli.ts";
import { listChapters, NotebookError, readNotebook, ROOT } from "./notebook.ts";
import { tangle } from "./tangle.ts";
import { problemLines, type Staged, typeProblems } from "./typecheck.ts";
import { taskCommand } from "./task.ts";

const HELP = `Type checks lib, tools, tests, benches, and the code cells of the chapters.

usage: ${taskCommand("check")} [chapter…]

  chapter   03, attention, 03-attention or a path: check only the cells of these`;

const FOLDERS = ["lib", "tools", "tests", "bench"];

/** What a check found. */
export interface Checked {
  /** One text for each problem, as a person reads it. */
  problems: string[];
  chapters: number;
}

/**
 * Type checks chapters and, if none is named, all code of the project.
 *
 * @param names chapters as a person types them
 * @throws UsageError if there is no such chapter
 */
export async function check(names: string[] = [], root = ROOT): Promise<Checked> {
  const notebooks = join(root, "notebooks");
  const files = names.length ? chapterFiles(names, notebooks) : listChapters(notebooks);
  const problems: string[] = [];
  const staged: Staged[] = [];
  for (const file of new Set(files)) {
    try {
      const path = `build/tangled/${basename(file, ".ipynb")}.ts`;
      staged.push({ path, tangled: tangle(file, readNotebook(file)) });
    } catch (error) {
      if (!(error instanceof NotebookError)) throw error;
      problems.push(error.message);
    }
  }
  const paths = names.length ? [] : FOLDERS.flatMap((folder) => sources(root, folder));
  if (paths.length || staged.length) {
    problems.push(...(await typeProblems(root, paths, staged)).map(problemLines));
  }
  return { problems: [...new Set(problems)], chapters: files.length };
}

/** Paths of the TypeScript below a folder, relative to the root; AssemblyScript, which ends alike, is another language. */
function sources(root: string, folder: string): string[] {
  let entries: Deno.DirEntry[] = [];
  try {
    entries = [...Deno.readDirSync(join(root, folder))];
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return entries.flatMap(({ name, isDirectory }) => {
    if (isDirectory) return name === "assembly" ? [] : sources(root, `${folder}/${name}`);
    return name.endsWith(".ts") ? [`${folder}/${name}`] : [];
  });
}

/**
 * The command.
 *
 * @returns its exit code: 1 if there are problems
 * @throws UsageError for a command line that makes no sense
 */
export async function main(args: string[], root = ROOT): Promise<number> {
  const { values, positionals } = readFlags(args, { help: { type: "boolean" } });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const { problems, chapters } = await check(positionals, root);
  if (problems.length) console.error(problems.join("\n\n") + "\n");
  const all = positionals.length ? "" : `${FOLDERS.join(", ")} and `;
  const what = `${all}${chapters} chapter${chapters === 1 ? "" : "s"}`;
  console.log(
    `type check of ${what}: ${problems.length} problem${problems.length === 1 ? "" : "s"}`,
  );
  return problems.length ? 1 : 0;
}

if (import.meta.main) await runProgram(HELP, () => main(Deno.args));
