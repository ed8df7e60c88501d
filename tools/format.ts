/**
 * Formats everything: `deno fmt`, and the notebooks, which `deno fmt --check` of Deno 2.9 calls unformatted whatever it does
 * to them (it wants a line end after the last line of a cell; Jupyter writes none).
 *
 *     deno task fmt [--check]
 */
import { basename, join } from "node:path";
import { readFlags, runProgram, sentenceOf, UsageError } from "./cli.ts";
import {
  formatNotebook,
  listChapters,
  NotebookError,
  NOTEBOOKS,
  parseNotebook,
  readNotebook,
  readWhole,
  ROOT,
  writeWhole,
} from "./notebook.ts";
import { taskCommand } from "./task.ts";

const USAGE = `usage: ${taskCommand("fmt")} [--check]`;

async function deno(...args: string[]): Promise<boolean> {
  const command = new Deno.Command(Deno.execPath(), {
    args,
    cwd: ROOT,
    stdout: "inherit",
    stderr: "inherit",
  });
  return (await command.spawn().status).success;
}

/**
 * Formats a notebook's cells with the project's settings, and the file as Jupyter writes it: without a byte order mark, too.
 *
 * @returns the text of the formatted notebook file
 * @throws NotebookError if the file is no usable notebook
 */
export async function formatted(file: string): Promise<string> {
  const notebook = parseNotebook(readWhole(file), file);
  const folder = await Deno.makeTempDir();
  try {
    const copy = join(folder, basename(file));
    await Deno.writeTextFile(copy, formatNotebook(notebook));
    const settings = ["--no-config", "--line-width", "100", "--prose-wrap", "preserve", "--quiet"];
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["fmt", ...settings, copy],
      env: { NO_COLOR: "1" },
    }).output();
    if (!success) throw new NotebookError(file, new TextDecoder().decode(stderr).trim());
    return formatNotebook(readNotebook(copy));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/**
 * Formats notebooks, or only names those that are not formatted; one that cannot be read stops none of the others.
 *
 * @returns one line for each that is not as it must be
 */
export async function formatNotebooks(isCheck: boolean, folder = NOTEBOOKS): Promise<string[]> {
  const problems: string[] = [];
  for (const file of listChapters(folder)) {
    try {
      const text = await formatted(file);
      if (text === readWhole(file)) continue;
      if (!isCheck) writeWhole(file, text);
      else problems.push(`notebooks/${basename(file)} is not formatted: ${taskCommand("fmt")}`);
    } catch (error) {
      const sentence = sentenceOf(error);
      if (sentence === undefined) throw error;
      problems.push(`notebooks/${sentence}`);
    }
  }
  return problems;
}

async function main(): Promise<number> {
  const flags = { check: { type: "boolean" }, help: { type: "boolean" } } as const;
  const { values, positionals } = readFlags(Deno.args, flags);
  if (positionals.length) throw new UsageError(`unknown: ${positionals.join(" ")}`);
  if (values.help) return console.log(USAGE), 0;
  const files = await deno("fmt", ...values.check ? ["--check"] : []);
  const problems = await formatNotebooks(values.check ?? false);
  for (const problem of problems) console.error(problem);
  return files && problems.length === 0 ? 0 : 1;
}

if (import.meta.main) await runProgram(USAGE, main);
