/** Notebook files as people really have them: damaged, half written, saved by something else. */
import { assertEquals, assertThrows } from "@std/assert";
import { join } from "node:path";
import { chapterFiles, UsageError } from "tools/cli.ts";
import { formatNotebooks } from "tools/format.ts";
import { NotebookError, readNotebook } from "tools/notebook.ts";
import { Book } from "./book.ts";

const WHOLE = JSON.stringify({ nbformat: 4, nbformat_minor: 5, metadata: {}, cells: [] }, null, 1);
const withCell = (cell: unknown) =>
  JSON.stringify({ nbformat: 4, nbformat_minor: 5, metadata: {}, cells: [cell] });
const CELL = { id: "a", cell_type: "code", metadata: {}, source: "1" };
const bytes = (text: string) => new TextEncoder().encode(text);

const DAMAGED: [what: string, content: string | Uint8Array, problem: string][] = [
  ["empty", "", "is empty: take back an older version"],
  ["blank", " \n", "is empty"],
  [
    "cut off",
    WHOLE.slice(0, 30),
    "not valid JSON: it ends in the middle. Take back an older version",
  ],
  ["cut off in a string", '{\n "cells', "it ends in the middle"],
  ["an HTML page", "<!doctype html>\n<p>secret", "not valid JSON: something else"],
  ["with a comma too many", '{\n "a": 1,\n}', "line 3 is the first that is not"],
  [
    "in a merge",
    `{\n<<<<<<< HEAD\n "a": 1\n=======\n "a": 2\n>>>>>>> b\n}`,
    "both sides of a git merge",
  ],
  [
    "with a byte order mark",
    "\uFEFF" + WHOLE,
    "a byte order mark, which Jupyter refuses",
  ],
  ["in Latin-1", bytes(WHOLE).map((byte) => byte === 0x34 ? 0xe9 : byte), "is not UTF-8"],
  ["in UTF-16", new Uint8Array([0xff, 0xfe, 0x7b, 0, 0x7d, 0]), "is not UTF-8"],
  ["a number", "3", "is JSON, but no notebook"],
  ["null", "null", "is JSON, but no notebook"],
  ["of an old format", '{"nbformat": 3, "worksheets": []}', "nbformat 3.?; needed is 4.5"],
  [
    "with a text for metadata",
    WHOLE.replace('"metadata": {}', '"metadata": "x"'),
    "must be an object",
  ],
  ["with null for a cell", withCell(null), "cell id must be"],
  ["with numbers for lines", withCell({ ...CELL, source: ["a", 1] }), "source must be text"],
  ["with a list for metadata", withCell({ ...CELL, metadata: [] }), "metadata must be an object"],
  ["with outputs that are none", withCell({ ...CELL, outputs: ["a"] }), "outputs must be a list"],
  ["with attachments that are none", withCell({ ...CELL, attachments: 1 }), "attachments must be"],
];

for (const [what, content, problem] of DAMAGED) {
  Deno.test(`a notebook that is ${what} is refused in a sentence`, () => {
    using book = new Book({});
    const file = book.notebook("01-words");
    Deno.writeFileSync(file, typeof content === "string" ? bytes(content) : content);
    const error = assertThrows(() => readNotebook(file), NotebookError, problem);
    assertEquals(/secret|doctype/.test(error.message), false, "it quotes the file");
  });
}

Deno.test("fmt takes a byte order mark away, and what cannot be read stops no other", async () => {
  using book = new Book({ "01-a": "%% one code\n1;\n", "02-b": "%% one code\n2;\n" });
  const marked = "\uFEFF" + book.read("notebooks/02-b.ipynb");
  book.write("notebooks/02-b.ipynb", marked);
  book.write("notebooks/01-a.ipynb", "{");
  const folder = join(book.root, "notebooks");
  const torn = "notebooks/01-a.ipynb: not valid JSON: it ends in the middle. ";
  const check = await formatNotebooks(true, folder);
  assertEquals(check.map((line) => line.startsWith(torn) ? torn : line.split(": ")[0]), [
    torn,
    "notebooks/02-b.ipynb is not formatted",
  ]);
  assertEquals((await formatNotebooks(false, folder)).length, 1);
  assertEquals(book.read("notebooks/02-b.ipynb"), marked.slice(1));
});

Deno.test("a notebook is found by every name that a person gives it", () => {
  using book = new Book({ "01-words": "%% a code\n1;\n", "01-verbs": "%% a code\n1;\n" });
  const folder = join(book.root, "notebooks");
  book.write("notebooks/my words, old.ipynb", WHOLE);
  const found = (name: string) =>
    chapterFiles([name], folder).map((file) => file.slice(folder.length + 1));
  assertEquals(found("01-words"), ["01-words.ipynb"]);
  assertEquals(found("words,verbs"), ["01-words.ipynb", "01-verbs.ipynb"]);
  assertEquals(found("01-words.ipynb"), ["01-words.ipynb"]);
  assertEquals(found("my words, old.ipynb"), ["my words, old.ipynb"]);
  assertEquals(found(book.notebook("my words, old")), ["my words, old.ipynb"]);
  assertThrows(
    () => found("01"),
    UsageError,
    '"01" may be 01-verbs and 01-words: write it in full',
  );
  assertThrows(() => found("9"), UsageError, 'no chapter "9": there is 01-verbs, 01-words');
});
