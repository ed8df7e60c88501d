/** Notebooks as Python's nbformat writes them, byte for byte: what it makes of a file, and what we make of it. */
import { assertEquals } from "@std/assert";
import { basename } from "node:path";
import { formatNotebook, listChapters, parseNotebook } from "tools/notebook.ts";
import { ask, findPython } from "tools/programs.ts";
import { testIf } from "../optional.ts";
import { withFolder } from "./kernel_support.ts";

const { program: python, problem } = await findPython("nbformat");

const WRITE = `
import nbformat, sys
nbformat.write(nbformat.read(sys.argv[1], as_version=4), sys.argv[2])
`;

/** What nbformat writes after it has read `text`. */
async function asPythonWrites(text: string): Promise<string> {
  let written = "";
  await withFolder(async (folder) => {
    const [before, after] = ["before", "after"].map((name) => `${folder}/${name}.ipynb`);
    await Deno.writeTextFile(before, text);
    const { ok, stderr } = await ask(python, ["-c", WRITE, before, after]);
    assertEquals(ok, true, stderr);
    written = await Deno.readTextFile(after);
  });
  return written;
}

const DATA = {
  "text/plain": ["one ", "line\ntwo", "\n"],
  "text/x-none": "",
  "image/png": ["aGk=", "aGk=\n"],
  "image/svg+xml": "<svg>\r\n</svg>\u2029",
  "application/javascript": "a();\nb();",
  "application/json": ["kept", "apart"],
  "application/vnd.odd+json": {
    "\u{1F600}": 1,
    "\uFFEE": 2,
    "é": { b: [[], {}, [[]]], a: null, c: [true, false] },
    "": '\b\f\v\u0000\u001f\u007f\u0085"\\/é\u{1F600}',
  },
  "text/list": [1, 2],
};

const NUMBERS = [
  0,
  1,
  -1,
  0.5,
  1e-4,
  9.99e-5,
  1e-5,
  -1.5e-7,
  5e-324,
  1e15,
  123456789012345,
  0.1 + 0.2,
]
  .concat([1e21, 1.5e300, 1.7976931348623157e308, -2.5, 1 / 3, 1e-10, 2 ** 53]);

const ODD = {
  nbformat: 4,
  nbformat_minor: 5,
  metadata: { signature: "s", orig_nbformat: 3, orig_nbformat_minor: 1, z: 1, a: { c: 1, b: [] } },
  cells: [
    {
      cell_type: "markdown",
      id: "text",
      metadata: { trusted: true, collapsed: false },
      source: ["one\r\ntwo\r", "three\u2028four\ffive\x85six\x1cseven", "\v"],
      attachments: { "b.svg": DATA, "a.png": { "image/png": "aGk=" } },
    },
    { cell_type: "raw", id: "raw", metadata: {}, source: "" },
    {
      cell_type: "code",
      id: "code",
      metadata: { tags: [] },
      source: "1",
      execution_count: null,
      outputs: [
        { output_type: "stream", name: "stdout", text: ["a\n\n", "b", "c\r\nd"] },
        { output_type: "display_data", data: DATA, metadata: { numbers: NUMBERS } },
        { output_type: "execute_result", execution_count: 2, data: {}, metadata: {} },
        { output_type: "error", ename: "E", evalue: "v\nw", traceback: ["a\nb", "c"] },
      ],
    },
  ],
};

testIf(problem, "an odd notebook is written as nbformat writes it", async () => {
  const text = JSON.stringify(ODD);
  assertEquals(formatNotebook(parseNotebook(text, "odd.ipynb")), await asPythonWrites(text));
});

for (const file of listChapters()) {
  testIf(problem, `${basename(file)} is left as it is by nbformat`, async () => {
    const text = await Deno.readTextFile(file);
    assertEquals(await asPythonWrites(text) === text, true, "deno task fmt");
  });
}
