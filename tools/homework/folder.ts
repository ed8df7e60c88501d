/** A folder of submissions: which notebooks are whose, what is left out and why. */
import { createHash } from "node:crypto";
import { basename, join, relative } from "node:path";
import { UsageError } from "../cli.ts";

/** One notebook that was handed in. */
export interface Submission {
  student: string;
  /** Path below the folder of submissions. */
  file: string;
  path: string;
  /** Chapter that its place says it is, in nbgrader's layout. */
  expected?: string;
}

/** Something in the folder that is not graded. */
export interface LeftOut {
  /** Path below the folder of submissions. */
  file: string;
  why: string;
}

/** Folders in folders: nbgrader's layout has three. */
const MAX_DEPTH = 20;

/**
 * The notebooks in a folder: `<learner>.ipynb`, `<learner>/<chapter>.ipynb`, or nbgrader's
 * `<learner>/<assignment>/<chapter>.ipynb`, also below `submitted/`. Links are not followed.
 *
 * @throws UsageError if there is no such folder
 */
export function findSubmissions(folder: string): { found: Submission[]; leftOut: LeftOut[] } {
  let info: Deno.FileInfo | undefined;
  try {
    info = Deno.statSync(folder);
  } catch { /* said below */ }
  if (!info?.isDirectory) throw new UsageError(`no folder ${folder}`);
  const all = [...entriesBelow(folder)];
  const name = (path: string) => relative(folder, path).replaceAll("\\", "/");
  const leftOut = all.flatMap(({ path, why }) => why ? [{ file: name(path), why }] : []);
  const found = all.filter(({ why }) => !why).map(({ path }) => submissionOf(name(path), path));
  const byFile = (a: { file: string }, b: { file: string }) => a.file < b.file ? -1 : 1;
  return { found: found.sort(byFile), leftOut: leftOut.sort(byFile) };
}

function submissionOf(file: string, path: string): Submission {
  const parts = file.split("/");
  if (parts[0] === "submitted" && parts.length > 2) parts.shift();
  const stem = withoutEnd(parts.at(-1)!);
  const expected = parts.length > 1 && /^\d\d-[a-z]+$/.test(stem) ? stem : undefined;
  return { student: withoutEnd(parts[0]), file, path, ...expected ? { expected } : {} };
}

function isNotebook(name: string): boolean {
  return /\.ipynb$/i.test(name);
}

function withoutEnd(name: string): string {
  return name.replace(/(?<=.)\.ipynb$/i, "");
}

/** Everything below a folder that is to be graded, and what is not, with the reason. */
function* entriesBelow(folder: string, depth = 1): Generator<{ path: string; why?: string }> {
  let entries: Deno.DirEntry[];
  try {
    entries = [...Deno.readDirSync(folder)];
  } catch {
    return yield { path: folder, why: "it cannot be read" };
  }
  for (const entry of entries) {
    const path = join(folder, entry.name);
    const why = reasonAgainst(entry, depth);
    if (why === undefined && entry.isDirectory) yield* entriesBelow(path, depth + 1);
    else yield { path, ...why ? { why } : {} };
  }
}

/** Links and pipes that are called like notebooks are somebody's submission: reading them says what they are. */
function reasonAgainst(
  { name, isDirectory, isSymlink }: Deno.DirEntry,
  depth: number,
): string | undefined {
  if (name.startsWith(".")) return "its name begins with a dot";
  if (isDirectory) return depth < MAX_DEPTH ? undefined : "it lies too deep";
  if (isNotebook(name)) return undefined;
  return isSymlink ? "it is a link, and links are not followed" : "no notebook (.ipynb)";
}

/** A file name for each learner's page: safe on every system, not too long, and no two the same. */
export function pageNames(submissions: Submission[]): string[] {
  const used = new Set<string>();
  const key = (name: string) => name.normalize("NFC").toLowerCase();
  const counts = Map.groupBy(submissions, ({ student }) => student);
  return submissions.map(({ student, file }) => {
    const isOneOfSeveral = counts.get(student)!.length > 1;
    const plain = safeName(isOneOfSeveral ? `${student}-${withoutEnd(basename(file))}` : student);
    let name = plain;
    for (let i = 2; used.has(key(name)); i++) name = `${plain}-${i}`;
    used.add(key(name));
    return `${name}.html`;
  });
}

/** Bytes of a name: systems take 255; writing needs some for a temporary name. */
const MAX_NAME = 120;

function safeName(text: string): string {
  const safe = text.replace(/[^\p{L}\p{M}\p{N}._ -]/gu, "_").replace(/^[.\s]+/, "_").trim() || "_";
  // Names of devices on Windows, whatever their ending.
  const plain = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(safe) ? `_${safe}` : safe;
  if (new TextEncoder().encode(plain).length <= MAX_NAME) return plain;
  const hash = createHash("sha256").update(text).digest("hex").slice(0, 8);
  return `${beginning(plain, MAX_NAME - 9)}-${hash}`;
}

/** As many whole characters as fit into some bytes. */
function beginning(text: string, bytes: number): string {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(bytes));
  return text.slice(0, read);
}
