/** `homework check`: the visible checks on a notebook as it is saved, exercise by exercise. */
import { basename, join } from "node:path";
import { chapterFiles } from "../cli.ts";
import { readChapter } from "../export/chapter.ts";
import { moduleText, readModule } from "../export/module.ts";
import { listChapters, NotebookError, parseNotebook, readNotebook, ROOT } from "../notebook.ts";
import { checksumOf } from "./checksum.ts";
import { visible } from "./clean.ts";
import { hasStub } from "./exercises.ts";
import { judge, planner, type Result } from "./judge.ts";
import { fingerprint, readManifest } from "./manifest.ts";
import { readOwnMaster } from "./program.ts";
import { SandboxError } from "./sandbox.ts";
import { parseSubmission, SubmissionError } from "./submission.ts";
import { taskCommand } from "../task.ts";

/**
 * Checks chapters and says on the terminal how each exercise stands.
 *
 * @param names chapters as a person types them; all notebooks with exercises if there are none
 * @returns exit code: 0 if nothing failed and nothing is left to do
 */
export async function check(names: string[], root = ROOT): Promise<number> {
  const folder = join(root, "notebooks");
  const assigned = readManifest(root)?.assigned;
  const mine = (file: string) => !assigned || assigned.includes(basename(file, ".ipynb"));
  const files = names.length ? chapterFiles(names, folder) : listChapters(folder).filter(mine);
  let open = 0;
  for (const file of files) {
    const text = await Deno.readTextFile(file);
    const { results, changed } = await checkOne(file, text, root);
    if (results.length === 0 && !names.length) continue;
    console.log(`\n${basename(file, ".ipynb")}, as it is saved`);
    results.forEach((result) => console.log(lines(result, basename(file))));
    changed.forEach((id) =>
      console.log(`  ! the check "${id}" was changed; the original counts when it is graded`)
    );
    console.log(`  ${summary(results)}`);
    open += results.filter(({ status }) => status !== "passed").length;
  }
  console.log(`\n${(await ownership(root)).join("\n")}`);
  return open ? 1 : 0;
}

/**
 * Runs the visible checks of one notebook.
 *
 * @returns results, and the ids of checks that are not as they were handed out
 * @throws NotebookError if the file is no notebook
 */
export async function checkOne(
  file: string,
  text: string,
  root = ROOT,
): Promise<{ results: Result[]; changed: string[] }> {
  try {
    const learner = parseSubmission(text, basename(file));
    const notebook = parseNotebook(text, file);
    for (const cell of notebook.cells) cell.source = cell.source.replace(/\r\n?/g, "\n");
    const master = readOwnMaster(file, basename(file, ".ipynb"), notebook);
    const plan = planner(master, learner);
    const results = await judge(master.exercises, plan, { withHidden: false, root });
    const changed = notebook.cells.filter(({ metadata }) => {
      const info = metadata.nbgrader as { checksum?: string; grade?: boolean } | undefined;
      return info?.grade && info.checksum;
    }).filter((cell) =>
      (cell.metadata.nbgrader as unknown as { checksum: string }).checksum !== checksumOf(cell)
    ).map(({ id }) => id);
    return { results, changed };
  } catch (error) {
    if (error instanceof SubmissionError || error instanceof SandboxError) {
      throw new NotebookError(file, error.message);
    }
    throw error;
  }
}

function lines(
  { exercise, title, points, max, status, diagnosis, at, checkLine }: Result,
  file: string,
): string {
  const sign = { passed: "✓", failed: "✗", "not started": "·" }[status];
  const head = `  ${sign} ${exercise.padEnd(18)} ${
    status.padEnd(12)
  } ${points} of ${max}   ${title}`;
  if (!diagnosis) return head;
  const place = at
    ? `${file}, cell "${at.cell}", line ${at.line}`
    : checkLine === undefined
    ? undefined
    : `said by cell "${exercise}-check", line ${checkLine}`;
  const rest = visible(diagnosis).split("\n").map((line) => `      ${line}`);
  return [head, ...rest, ...place ? [`      (${place})`] : []].join("\n");
}

function summary(results: Result[]): string {
  const sum = (field: "points" | "max") => results.reduce((total, one) => total + one[field], 0);
  const count = (status: string) => results.filter((one) => one.status === status).length;
  return `${count("passed")} passed, ${count("failed")} failed, ${
    count("not started")
  } not started; ` +
    `${sum("points")} of ${sum("max")} points in the checks that you can see`;
}

/** Which of the book's modules are the learner's own, and which are the book's. */
export async function ownership(root = ROOT): Promise<string[]> {
  const manifest = readManifest(root);
  if (!manifest) return [];
  const rows: string[] = [];
  for (const file of Deno.readDirSync(join(root, "lib"))) {
    const path = `lib/${file.name}`;
    const bytes = file.isFile ? Deno.readFileSync(join(root, path)) : new Uint8Array();
    const module = readModule(new TextDecoder().decode(bytes));
    if (!module) continue;
    const isAsReleased = manifest.files[path] === fingerprint(bytes);
    const isBook = isAsReleased && !manifest.assigned.includes(module.chapter);
    const whose = isBook ? "the book's" : `yours, ${await stateOf(module.chapter, bytes, root)}`;
    rows.push(`  ${path.padEnd(20)} ${module.chapter.padEnd(15)} ${whose}`);
  }
  return ["What your notebooks import from one another:", ...rows.sort(byChapter)];
}

function byChapter(a: string, b: string): number {
  return a.slice(23) < b.slice(23) ? -1 : 1;
}

/** How a learner's module stands against the notebook that it was exported from. */
async function stateOf(chapter: string, bytes: Uint8Array, root: string): Promise<string> {
  const text = new TextDecoder().decode(bytes);
  const current = await exported(join(root, "notebooks", `${chapter}.ipynb`), root);
  if (current === undefined) return "but its notebook cannot be exported as it is";
  if (current !== text) {
    return `but older than your notebook: run its last cell, or "${
      taskCommand(`export ${chapter}`)
    }"`;
  }
  return hasStub(text) ? "with parts that are not written yet" : "complete";
}

async function exported(file: string, root: string): Promise<string | undefined> {
  try {
    return await moduleText(readChapter(file, readNotebook(file))!, root);
  } catch {
    return undefined;
  }
}
