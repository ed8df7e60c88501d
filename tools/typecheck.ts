/** Type checks with `deno check`, with errors told in terms of notebooks and cells. */
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import type { Tangled } from "./tangle.ts";
import { taskCommand } from "./task.ts";

/** Something that the type checker found. */
export interface TypeProblem {
  /** `notebooks/03-attention.ipynb, cell "ex-mask", line 4` or `lib/engine/random.ts:12:5`. */
  place: string;
  /** The source line, "" if it is not known. */
  source: string;
  message: string;
  /** Id of the cell, if it is in a notebook. */
  cell?: string;
}

/** A tangled module and where to put it for the check, relative to the root. */
export interface Staged {
  path: string;
  tangled: Tangled;
}

/**
 * Type checks files and tangled notebooks in one run of `deno check`.
 *
 * Tangled modules are written below `root`, so that deno.json's import map holds for them.
 *
 * @param paths files and folders, relative to `root`
 */
export async function typeProblems(
  root: string,
  paths: string[],
  staged: Staged[],
): Promise<TypeProblem[]> {
  for (const { path, tangled } of staged) {
    Deno.mkdirSync(dirname(join(root, path)), { recursive: true });
    Deno.writeTextFileSync(join(root, path), tangled.text);
  }
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "check",
      "--quiet",
      "--config",
      join(root, "deno.json"),
      ...paths,
      ...staged.map(({ path }) => path),
    ],
    cwd: root,
    env: { NO_COLOR: "1" },
  }).output();
  if (success) return [];
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  return readProblems(
    text,
    root,
    new Map(staged.map(({ path, tangled }) => [path.replaceAll("\\", "/"), tangled])),
  );
}

/** Reads what `deno check` prints: a message, the source line underlined, `at file:///…:line:column`. */
function readProblems(text: string, root: string, tangled: Map<string, Tangled>): TypeProblem[] {
  const problems: TypeProblem[] = [];
  let message: string[] = [];
  for (const line of text.split("\n")) {
    const at = /^\s+at (file:\/\/\S+):(\d+):(\d+)$/.exec(line);
    if (!at) {
      message.push(line);
      continue;
    }
    const problem = problemAt(message, at, root, tangled);
    // An indented message belongs to the one before: "'past2' is declared here."
    const isRelated = problems.length > 0 &&
      message.find((line) => line.trim())?.startsWith("    ");
    if (isRelated) problems.at(-1)!.message += `\n(${problem.place}: ${problem.message})`;
    else problems.push(problem);
    message = [];
  }
  if (problems.length) return withoutEchoes(problems);
  return [{ place: "deno check", source: "", message: text.trim() }];
}

/** Where an import was not found, what comes from it has no type: the first says enough. */
function withoutEchoes(problems: TypeProblem[]): TypeProblem[] {
  const file = ({ place }: TypeProblem) => place.split(/[,:]/)[0];
  const isLost = ({ message }: TypeProblem) => message.startsWith("Cannot find module");
  const torn = new Set(problems.filter(isLost).map(file));
  const isEcho = (one: TypeProblem) =>
    /implicitly has an 'any' type|^Untyped function calls/.test(one.message);
  return problems.filter((one) => !(torn.has(file(one)) && isEcho(one))).map((one) =>
    isLost(one) && /lib\/[a-z-]+\.ts'/.test(one.message)
      ? { ...one, message: `${one.message}\nIf a chapter exports it: ${taskCommand("export")}` }
      : one
  );
}

function problemAt(
  text: string[],
  at: RegExpExecArray,
  root: string,
  tangled: Map<string, Tangled>,
): TypeProblem {
  const path = relative(root, fileURLToPath(at[1])).replaceAll("\\", "/");
  const lines = text.filter((line) => line.trim() !== "");
  // The last two lines are the source and the underline, if there is one.
  const underlined = /^\s*[~^]+\s*$/.test(lines.at(-1) ?? "");
  const message = (underlined ? lines.slice(0, -2) : lines).join("\n").replace(
    /^(error|TS\d+ \[ERROR\]): /,
    "",
  ).trim();
  const source = underlined ? lines.at(-2)!.trim() : "";
  const chapter = tangled.get(path);
  const origin = chapter?.origins[Number(at[2]) - 1];
  if (!chapter || !origin) return { place: `${path}:${at[2]}:${at[3]}`, source, message };
  const notebook = relative(root, chapter.file).replaceAll("\\", "/");
  return {
    place: `${notebook}, cell "${origin.cell}", line ${origin.line}`,
    source: chapter.sources.get(origin.cell)?.split("\n")[origin.line - 1].trim() ?? source,
    message,
    cell: origin.cell,
  };
}

/** A problem as a person reads it. */
export function problemLines({ place, source, message }: TypeProblem): string {
  return [place, source && `    ${source}`, `  ${message.replaceAll("\n", "\n  ")}`].filter(Boolean)
    .join("\n");
}
