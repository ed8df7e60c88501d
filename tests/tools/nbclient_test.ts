/** Python's nbclient, which nbconvert, nbgrader and papermill stand on, with the kernel that we install. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { delimiter, dirname, join } from "node:path";
import { type Output, readNotebook, ROOT, writeNotebook } from "tools/notebook.ts";
import { ask, findPython } from "tools/programs.ts";
import { testIf } from "../optional.ts";
import { installInto } from "./client.ts";
import { notebookOf, withFolder } from "./kernel_support.ts";

const { program: python, problem } = await findPython("nbclient");

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
  const PATH = [dirname(python), Deno.env.get("PATH")].join(delimiter);
  const env = { JUPYTER_DATA_DIR: folder, PATH };
  const { ok, stderr } = await ask(python, ["-c", program, file], { env, cwd: ROOT });
  assertEquals(ok, true, stderr);
  return readNotebook(file).cells.map(({ outputs }) => outputs!);
}

testIf(
  problem,
  "nbclient gets every line, and the reason why a cell was refused",
  async () => {
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
);
