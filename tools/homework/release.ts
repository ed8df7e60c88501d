/** `homework release`: a folder for learners (or teachers, or nbgrader) made of the book's chapters. */
import { basename, dirname, join, relative } from "node:path";
import { existsSync } from "node:fs";
import { readChapter } from "../export/chapter.ts";
import { moduleText } from "../export/module.ts";
import {
  formatNotebook,
  listChapters,
  type Notebook,
  readNotebook,
  ROOT,
  writeWhole,
} from "../notebook.ts";
import { UsageError } from "../cli.ts";
import { AGENTS, agentsText } from "./agents.ts";
import { checksumOf } from "./checksum.ts";
import { exercisesOf, gradeIdOf, stub, visibleCheck } from "./exercises.ts";
import { fingerprint, MANIFEST, type Manifest, readManifest } from "./manifest.ts";

/** What to release. */
export interface ReleaseOptions {
  /** Paths of the chapters to assign. */
  files: string[];
  to: string;
  /** Paths of later chapters that learners get complete. */
  given?: string[];
  kind?: Manifest["kind"];
  /** Overwrite also what learners have changed. */
  force?: boolean;
}

/** What was done to the files of a folder. */
export interface Released {
  written: string[];
  unchanged: string[];
  /** Changed by a learner, and left alone. */
  kept: string[];
}

/** A learner's notebook: stubs for solutions, no hidden tests, checks locked and checksummed, no outputs. */
export function learnerNotebook(file: string, chapter: Notebook): Notebook {
  const owner = new Map(
    exercisesOf(file, chapter).flatMap(({ name, solutions }) => solutions.map((id) => [id, name])),
  );
  const cells = chapter.cells.map((original) => {
    const cell = structuredClone(original);
    const info = cell.metadata.nbgrader;
    if (cell.cell_type === "code") Object.assign(cell, { outputs: [], execution_count: null });
    if (cell.cell_type === "markdown") cell.source = withoutSolutionText(cell.source);
    if (info?.solution) cell.source = stub(cell.source, owner.get(gradeIdOf(cell))!);
    if (info?.grade) cell.source = visibleCheck(cell.source);
    if (!info) return cell;
    const { nbgrader: _, ...others } = cell.metadata;
    const locked = info.solution ? {} : { deletable: false, editable: false };
    const checksum = checksumOf(cell);
    const nbgrader = { cell_type: cell.cell_type, checksum, ...info };
    return { ...cell, metadata: { ...locked, nbgrader, ...others } };
  });
  return { ...chapter, cells };
}

/** A text without the `<details>` that show solutions; hints stay. */
export function withoutSolutionText(source: string): string {
  const parts = /\n*<details>\s*<summary>\s*(?:The )?solution\b[^]*?<\/details>/gi;
  return source.replace(parts, "").trimEnd();
}

/** A chapter for nbgrader: as it is, without outputs and without the solutions in its text. */
function nbgraderSource(chapter: Notebook): Notebook {
  const cells = chapter.cells.map((cell) =>
    cell.cell_type === "code"
      ? { ...cell, outputs: [], execution_count: null }
      : { ...cell, source: withoutSolutionText(cell.source) }
  );
  return { ...chapter, cells };
}

/**
 * Writes a folder in which the chapters can be worked on.
 *
 * Chapters before the assigned ones are there as modules; the modules of assigned chapters are what the stubs export. A file
 * that a learner has changed stays as it is, unless `force` is given.
 *
 * @throws UsageError if the folder was made for somebody else
 */
export async function release(
  { files, to, given = [], kind = "learner", force = false }: ReleaseOptions,
  root = ROOT,
): Promise<Released> {
  const before = readManifest(to);
  if (before && before.kind !== kind) {
    throw new UsageError(`${to} was released for a ${before.kind}; choose another folder`);
  }
  if (!before && existsSync(join(to, "deno.json"))) {
    throw new UsageError(`${to} holds a project of its own; choose another folder`);
  }
  const wanted = await filesOf({ files, given, kind, before, to }, root);
  const outcome: Released = { written: [], unchanged: [], kept: [] };
  const known = before?.files ?? {};
  for (const [path, bytes] of wanted) {
    outcome[put(join(to, path), bytes, known[path], force)].push(path);
  }
  const assigned = assignedIn({ files, given, kind, before, to });
  const hashes = { ...known };
  for (const [path, bytes] of wanted) hashes[path] = fingerprint(bytes);
  const sorted = Object.fromEntries(Object.entries(hashes).sort(([a], [b]) => a < b ? -1 : 1));
  const manifest: Manifest = { kind, assigned, files: sorted };
  writeIfNew(join(to, MANIFEST), JSON.stringify(manifest, null, 1) + "\n");
  return outcome;
}

function nameOf(file: string): string {
  return basename(file, ".ipynb");
}

/** Writes a file unless it is there already and is not what an earlier release wrote. */
function put(
  file: string,
  bytes: Uint8Array,
  known: string | undefined,
  force: boolean,
): keyof Released {
  let there: Uint8Array | undefined;
  try {
    there = Deno.readFileSync(file);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  if (there && fingerprint(there) === fingerprint(bytes)) return "unchanged";
  if (there && !force && fingerprint(there) !== known) return "kept";
  Deno.mkdirSync(dirname(file), { recursive: true });
  const temporary = `${file}.${crypto.randomUUID().slice(0, 8)}.tmp`;
  Deno.writeFileSync(temporary, bytes);
  Deno.renameSync(temporary, file);
  return "written";
}

function writeIfNew(file: string, text: string): void {
  if (existsSync(file) && Deno.readTextFileSync(file) === text) return;
  writeWhole(file, text);
}

interface Wanted {
  files: string[];
  given: string[];
  kind: Manifest["kind"];
  before: Manifest | undefined;
  to: string;
}

/** All files of the folder, by their paths in it. */
async function filesOf(wanted: Wanted, root: string): Promise<Map<string, Uint8Array>> {
  const { files, given, kind, to } = wanted;
  const all = new Map<string, Uint8Array>();
  const put = (path: string, text: string) => all.set(path, new TextEncoder().encode(text));
  for (const path of houseFiles(root)) all.set(path, Deno.readFileSync(join(root, path)));
  for (const file of listChapters(join(root, "notebooks"))) {
    const module = await moduleOf(file, wanted, root);
    if (module) put(`lib/${module.name}.ts`, module.text);
  }
  for (const file of [...files, ...given]) put(...notebookOf(file, wanted));
  const isThere = (path: string) => all.has(path) || existsSync(join(to, path));
  put("lib/mod.ts", moduleList(Deno.readTextFileSync(join(root, "lib/mod.ts")), isThere));
  put("deno.json", settings(root));
  put("README.md", readme(kind, assignedIn(wanted), files.map(nameOf)));
  const assigned = listChapters(join(root, "notebooks")).filter((file) =>
    assignedIn(wanted).includes(nameOf(file))
  );
  if (assigned.length) {
    put(AGENTS, agentsText(assigned, "`deno task homework check` in this folder"));
  }
  if (kind === "nbgrader") {
    for (const file of files) {
      put(`source/${nameOf(file)}/${AGENTS}`, agentsText([file], "the check's cell"));
    }
    const config = "nbgrader_config.py";
    all.set(config, Deno.readFileSync(join(root, "tools/homework", config)));
  }
  return all;
}

/** Names of the chapters that learners are to write, now and from earlier releases. */
function assignedIn({ files, given, kind, before }: Wanted): string[] {
  if (kind !== "learner") return [];
  const names = new Set([...before?.assigned ?? [], ...files.map(nameOf)]);
  given.forEach((file) => names.delete(nameOf(file)));
  return [...names].sort();
}

/** What a chapter exports, for this folder: complete, or with stubs, or nothing at all. */
async function moduleOf(
  file: string,
  wanted: Wanted,
  root: string,
): Promise<{ name: string; text: string } | undefined> {
  const { files, given, kind } = wanted;
  const notebook = readNotebook(file);
  const chapter = readChapter(file, notebook);
  if (!chapter) return undefined;
  const complete = async () => ({ name: chapter.module, text: await moduleText(chapter, root) });
  if (kind !== "learner" || given.includes(file)) return await complete();
  if (files.includes(file)) {
    const stubs = readChapter(file, learnerNotebook(file, notebook))!;
    return { name: chapter.module, text: await moduleText(stubs, root) };
  }
  const isEarlier = isBefore(nameOf(file), [...files, ...given]);
  return isEarlier && !assignedIn(wanted).includes(nameOf(file)) ? await complete() : undefined;
}

/** Path and text of a chapter's notebook in this folder. */
function notebookOf(file: string, { given, kind }: Wanted): [path: string, text: string] {
  const notebook = readNotebook(file);
  if (kind === "nbgrader") {
    const path = `source/${nameOf(file)}/${basename(file)}`;
    return [path, formatNotebook(nbgraderSource(notebook))];
  }
  const isComplete = kind === "teacher" || given.includes(file);
  const shown = isComplete ? notebook : learnerNotebook(file, notebook);
  return [`notebooks/${basename(file)}`, formatNotebook(shown)];
}

/** Whether a chapter comes before one of those in the folder. */
function isBefore(name: string, files: string[]): boolean {
  return files.some((file) => name < nameOf(file));
}

/** Programs that a released folder has; what they import comes along. */
const PROGRAMS = [
  "tools/homework.ts",
  "tools/homework/check.ts",
  "tools/export.ts",
  "tools/run.ts",
  "tools/install-kernel.ts",
  "tools/jupyter/front.ts", // which it copies into the kernel's folder
];

/** What every folder gets, apart from chapters and their modules. */
function houseFiles(root: string): string[] {
  const below = (folder: string) =>
    filesBelow(join(root, folder)).map((file) => relative(root, file).replaceAll("\\", "/"));
  const house = ["lib/engine", "lib/host", "lib/notebook", "lib/data"].flatMap(below);
  const isSource = (path: string) => path.startsWith("lib/engine/simd/assembly/");
  const code = house.filter((path) => path.endsWith(".ts") && !isSource(path));
  const text = code.map((path) => Deno.readTextFileSync(join(root, path))).join("\n");
  // Sources of the kernels in .wasm are needed to build them only, but for what the engine itself imports.
  const needed = house.filter((path) =>
    !isSource(path) || text.includes(`/assembly/${basename(path)}"`)
  );
  const programs = imported([...PROGRAMS, "tools/homework/harness.ts"], root);
  const rest = ["deno.lock", "LICENSE", ".gitignore"].filter((path) =>
    existsSync(join(root, path))
  );
  return [...new Set([...needed, ...below("tools/assert"), ...programs, ...rest])].sort();
}

function filesBelow(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) => {
    const path = join(folder, name);
    return isDirectory ? name === "node_modules" ? [] : filesBelow(path) : [path];
  });
}

/** Files of tools/ that these import, and they themselves. */
function imported(entries: string[], root: string): string[] {
  const found = new Set<string>();
  const queue = [...entries];
  while (queue.length) {
    const path = queue.pop()!;
    if (found.has(path)) continue;
    found.add(path);
    const text = Deno.readTextFileSync(join(root, path));
    for (const [, specifier] of text.matchAll(/^(?:import|export|\} from)\b[^;]*?"([^"]+)";/gm)) {
      const target = specifier.startsWith(".")
        ? join(dirname(path), specifier).replaceAll("\\", "/")
        : specifier;
      if (target.startsWith("tools/") && target.endsWith(".ts")) queue.push(target);
    }
  }
  return [...found];
}

/** lib/mod.ts with only the modules that are there. */
function moduleList(text: string, isThere: (path: string) => boolean): string {
  return text.split("\n").filter((line) => {
    const path = /^export \* from "\.\/(.+)";$/.exec(line)?.[1];
    return path === undefined || isThere(`lib/${path}`);
  }).join("\n");
}

const TASKS = {
  homework: ["Check what you have written: deno task homework check 03", "tools/homework.ts"],
  export: ["Write what the chapters export into lib", "tools/export.ts"],
  run: ["Run chapters on the Deno kernel: deno task run 03", "tools/run.ts"],
  kernel: ["Install the Deno kernel for JupyterLab and VS Code", "tools/install-kernel.ts"],
};

function settings(root: string): string {
  const { imports, links, nodeModulesDir, fmt } = JSON.parse(
    Deno.readTextFileSync(join(root, "deno.json")),
  );
  const tasks = Object.fromEntries(
    Object.entries(TASKS).map(([name, [description, program]]) => [
      name,
      { description, command: `deno run -A ${program}` },
    ]),
  );
  return JSON.stringify({ tasks, imports, links, nodeModulesDir, fmt }, null, 2) + "\n";
}

function readme(kind: Manifest["kind"], assigned: string[], files: string[]): string {
  if (kind !== "learner") {
    return `# nano-llm, for the teacher

Chapters ${files.join(", ")}, with solutions: not for learners.
`;
  }
  return `# Homework: ${assigned.join(", ")}

You need [Node](https://nodejs.org) 20 or newer, or [Deno](https://deno.com) 2.9.6 (then leave out \`npx -y\`).

\`\`\`sh
npx -y deno@2.9.6 task kernel              # once: tells JupyterLab and VS Code about the Deno kernel
npx -y deno@2.9.6 task homework check      # how your exercises stand; save the notebook first
\`\`\`

Open a notebook in \`notebooks/\`, with the kernel *Deno*. Write your code where it says so; the cells that check it are locked. When
an exercise passes here, further cases that you do not see may still fail when it is graded. Hand in the \`.ipynb\` file.

Assistants that write code read \`AGENTS.md\`: it asks them to explain and to ask back, and to leave the exercises to you.

What a chapter's last cell exports to \`lib/\` is what the next chapter imports: your own code, as far as you have written it.
`;
}

/** A release in words, and whether every file is as it should be. */
export function describeRelease(
  { written, unchanged, kept }: Released,
  to: string,
  files: string[],
): { text: string; isClean: boolean } {
  const isOwnModule = (path: string) => files.length > 0 && /^lib\/[a-z-]+\.ts$/.test(path);
  const surprising = kept.filter((path) => !isOwnModule(path));
  const head = `${to}: ${
    files.map(nameOf).join(", ")
  }; ${written.length} files written, ${unchanged.length} unchanged`;
  const lines = kept.map((path) => `  kept, because it was changed there: ${path}`);
  const advice = surprising.length ? ["  (--force overwrites what was changed)"] : [];
  return { text: [head, ...lines, ...advice].join("\n"), isClean: surprising.length === 0 };
}
