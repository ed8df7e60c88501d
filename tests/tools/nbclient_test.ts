/** Python's nbclient, which nbconvert, nbgrader and papermill stand on, with the kernel that we install. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { delimiter, dirname, join } from "node:path";
import { type Output, readNotebook, ROOT, writeNotebook } from "tools/notebook.ts";
import { installInto } from "./client.ts";
import { notebookOf, withFolder } from "./kernel_support.ts";

const python = Deno.env.get("NANO_LLM_PYTHON") ?? "python3";

async function isThere(): Promise<boolean> {
  try {
    const args = ["-c", "import nbclient"];
    return (await new Deno.Command(python, { args, stderr: "null" }).output()).success;
  } catch {
    return false;
  }
}

const program = `
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, kernel_name="deno", allow_errors=True, timeout=60).execute()
nbformat.write(notebook, sys.argv[1])
`;

/** Runs cells with nbclient; gives what each of them shows. */
async function execute(folder: string, sources: string[]): Promise<Output[][]> {
  const file = join(folder, "a.ipynb");
  writeNotebook(file, notebookOf(...sources));
  const { success, stderr } = await new Deno.Command(python, {
    args: ["-c", program, file],
    env: {
      JUPYTER_DATA_DIR: folder,
      PATH: [dirname(python), Deno.env.get("PATH")].join(delimiter),
    },
    cwd: ROOT,
    stdout: "null",
    stderr: "piped",
  }).output();
  assertEquals(success, true, new TextDecoder().decode(stderr));
  return readNotebook(file).cells.map(({ outputs }) => outputs!);
}

Deno.test({
  name: "nbclient gets every line, and the reason why a cell was refused",
  ignore: !await isThere(),
  fn: async () => {
    await withFolder(async (folder) => {
      await installInto(folder);
      const twenty = `for (let i = 0; i < 20; i++) console.log(i); "end"`;
      const sources = ["const a = 1;\nlet b = ;", ...Array(60).fill(twenty)];
      const [refused, ...rest] = await execute(folder, sources);
      assertEquals(refused.map(({ ename }) => ename), ["SyntaxError"]);
      assertStringIncludes(refused[0].evalue as string, "(line 2)");
      for (const outputs of rest) {
        const lines = outputs.flatMap(({ text }) => text ?? []).join("");
        assertEquals(lines, Array.from({ length: 20 }, (_, i) => `${i}\n`).join(""));
        assertEquals(outputs.at(-1)!.data, { "text/plain": ['"end"'] });
      }
    });
  },
});
