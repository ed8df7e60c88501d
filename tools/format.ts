/**
 * Formats everything: `deno fmt`, and the notebooks, which `deno fmt --check` of Deno 2.9 calls unformatted whatever it does
 * to them (it wants a line end after the last line of a cell; Jupyter writes none).
 *
 *     deno task fmt [--check]
 */
import { basename, join } from "node:path";
import { formatNotebook, listChapters, readNotebook, ROOT } from "./notebook.ts";

const USAGE = "usage: deno task fmt [--check]";

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
 * Formats a notebook's cells with the project's settings, and the file as Jupyter writes it.
 *
 * @returns the text of the formatted notebook file
 */
export async function formatted(file: string): Promise<string> {
  const folder = await Deno.makeTempDir();
  try {
    const copy = join(folder, basename(file));
    await Deno.copyFile(file, copy);
    const settings = ["--no-config", "--line-width", "100", "--prose-wrap", "preserve", "--quiet"];
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["fmt", ...settings, copy],
    }).output();
    if (!success) throw new Error(`${basename(file)}: ${new TextDecoder().decode(stderr)}`);
    return formatNotebook(readNotebook(copy));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Formats the notebooks, or only names those that are not formatted. */
async function formatNotebooks(isCheck: boolean): Promise<boolean> {
  let isFine = true;
  for (const file of listChapters()) {
    const text = await formatted(file);
    if (text === await Deno.readTextFile(file)) continue;
    if (isCheck) {
      console.error(`notebooks/${basename(file)} is not formatted: deno task fmt`);
      isFine = false;
    } else {
      await Deno.writeTextFile(file, text);
    }
  }
  return isFine;
}

if (import.meta.main) {
  const isCheck = Deno.args[0] === "--check";
  if (Deno.args.length > (isCheck ? 1 : 0)) {
    console.error(`${USAGE}\nunknown: ${Deno.args.join(" ")}`);
    Deno.exit(2);
  }
  const files = await deno("fmt", ...Deno.args);
  const notebooks = await formatNotebooks(isCheck);
  Deno.exit(files && notebooks ? 0 : 1);
}
