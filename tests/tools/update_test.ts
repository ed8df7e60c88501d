import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { moduleText } from "tools/export/module.ts";
import { carryLines } from "tools/export/update.ts";
import { exportOne, main, readChapters, updateOne } from "tools/export.ts";
import { formatNotebook, NotebookError, parseNotebook } from "tools/notebook.ts";
import { Book, printed } from "./book.ts";

const WORDS = `%% title markdown
# Words

%% ex-count code solution
//| default_exp words
//| export
import { sep } from "node:path";

/** How many words a text has. */
export function countWords(text: string): number {
  if (text === "") throw new RangeError("text is empty");
  // BEGIN SOLUTION
  const words = text.split(sep);
  return words.length;
  // END SOLUTION
}

%% longest code
//| export
/** The longest word. */
export function longest(words: string[]): string {
  return words.reduce((a, b) => a.length > b.length ? a : b);
}

%% look code
console.log(countWords("a b"));
`;

/** A book whose lib is what its chapter exports; without a type check, for speed. */
async function exportedBook(text = WORDS): Promise<Book> {
  const book = new Book({ "01-words": text });
  const [words] = readChapters([], book.root);
  book.write("lib/words.ts", await moduleText(words, book.root));
  return book;
}

async function update(book: Book): Promise<string[]> {
  const { cells } = await updateOne(readChapters([], book.root)[0], book.root);
  return cells ?? [];
}

async function assertClean(book: Book): Promise<void> {
  const { state, diff } = await exportOne(
    readChapters([], book.root)[0],
    { check: true },
    book.root,
  );
  assertEquals(state, "unchanged", diff);
}

async function assertRefused(book: Book, problem: string): Promise<void> {
  const files = ["lib/words.ts", "notebooks/01-words.ipynb"];
  const before = files.map((file) => book.read(file));
  await assertRejects(() => update(book), NotebookError, problem);
  assertEquals(files.map((file) => book.read(file)), before);
}

Deno.test("--update carries edits into their cells and leaves the rest of the notebook alone", async () => {
  using book = await exportedBook();
  const notebook = JSON.parse(book.read("notebooks/01-words.ipynb"));
  notebook.metadata.mine = { deep: [1, "é"] };
  notebook.cells[1].metadata.tags = ["kept"];
  notebook.cells[3].outputs = [{ output_type: "stream", name: "stdout", text: ["2\n"] }];
  notebook.cells[3].execution_count = 7;
  book.write("notebooks/01-words.ipynb", JSON.stringify(notebook, null, 2));
  book.edit("lib/words.ts", "return words.length;", "return words.length + 1;");
  book.edit("lib/words.ts", "a.length > b.length", "a.length >= b.length");

  const update = await printed(() => main(["--update"], book.root));
  assertEquals(update, {
    result: 0,
    text: "lib/words.ts -> 01-words: carried back into ex-count, longest",
  });
  const replace = (index: number, from: string, to: string) => {
    notebook.cells[index].source = notebook.cells[index].source.map((line: string) =>
      line.replace(from, to)
    );
  };
  replace(1, "return words.length;", "return words.length + 1;");
  replace(2, "a.length > b.length", "a.length >= b.length");
  assertEquals(JSON.parse(book.read("notebooks/01-words.ipynb")), notebook);
  const text = book.read("notebooks/01-words.ipynb");
  assertEquals(formatNotebook(parseNotebook(text, "01-words.ipynb")), text);
  await assertClean(book);
});

Deno.test("--update without edits writes nothing, even if the notebook has changed", async () => {
  using book = await exportedBook();
  book.chapter("01-words", WORDS.replace("longest word.", "longest."));
  const { text } = await printed(() => main(["--update"], book.root));
  assertEquals(text, "lib/words.ts -> 01-words: no edits to carry back");
  assertStringIncludes(book.read("lib/words.ts"), "The longest word.");
});

Deno.test("--update takes along what the notebook has changed elsewhere", async () => {
  using book = await exportedBook();
  book.chapter("01-words", WORDS.replace("longest word.", "longest of all."));
  book.edit("lib/words.ts", "text is empty", "no text");
  assertEquals(await update(book), ["ex-count"]);
  assertStringIncludes(book.read("lib/words.ts"), "The longest of all.");
  await assertClean(book);
});

Deno.test("--update refuses a cell that changed on both sides", async () => {
  using book = await exportedBook();
  book.chapter("01-words", WORDS.replace("text is empty", "text has no words"));
  book.edit("lib/words.ts", "text is empty", "no text");
  await assertRefused(
    book,
    '01-words.ipynb, cell "ex-count": changed both here and in lib/words.ts since the last export',
  );
});

Deno.test("--update refuses an edit of a cell that is gone", async () => {
  using book = await exportedBook();
  book.chapter("01-words", WORDS.replace("%% longest code\n//| export", "%% longest code"));
  book.edit("lib/words.ts", "The longest word", "The long word");
  await assertRefused(
    book,
    'cell "longest": edited in lib/words.ts, but the chapter exports no such cell any more',
  );
});

Deno.test("--update refuses imports that changed on both sides", async () => {
  using book = await exportedBook();
  book.chapter("01-words", WORDS.replace("import { sep }", 'import "node:fs";\nimport { sep }'));
  book.edit("lib/words.ts", "import {", 'import "node:os";\nimport {');
  await assertRefused(
    book,
    "the imports changed both here and in lib/words.ts since the last export",
  );
});

Deno.test("--update puts an added import into the first cell that uses it", async () => {
  using book = await exportedBook();
  book.edit(
    "lib/words.ts",
    "return words.reduce",
    "assert(words.length > 0);\n  return words.reduce",
  );
  book.edit("lib/words.ts", "import {", 'import assert from "node:assert";\nimport {');
  assertEquals(await update(book), ["longest"]);
  assertStringIncludes(
    book.cell("01-words", "longest"),
    '//| export\nimport assert from "node:assert";\n/** The',
  );
  await assertClean(book);
});

Deno.test("--update keeps an added import below those that a cell has", async () => {
  using book = await exportedBook();
  book.edit("lib/words.ts", "text.split(sep)", "text.split(sep + EOL)");
  book.edit("lib/words.ts", "import {", 'import { EOL } from "node:os";\nimport {');
  assertEquals(await update(book), ["ex-count"]);
  const cell = book.cell("01-words", "ex-count");
  assertStringIncludes(cell, '"node:path";\nimport { EOL } from "node:os";\n\n/** How');
  await assertClean(book);
});

const REFUSED: [what: string, from: string, to: string, problem: string][] = [
  [
    "an import that nothing uses",
    "import {",
    'import assert from "node:assert";\nimport {',
    "no block there uses it",
  ],
  ["an import taken away", 'import { sep } from "node:path";', "", "was removed from lib/words.ts"],
  [
    "an import inside a block",
    "/** The longest",
    'import "node:os";\n/** The longest',
    "move it up to the other imports",
  ],
  ["another header", "Exported from", "Taken from", "was edited above its blocks"],
  [
    "code above the blocks",
    "// cell: ex-count",
    "const a = 1;\n// cell: ex-count",
    "was edited above its blocks",
  ],
  [
    "a text that does not parse",
    "return words.reduce(",
    "return words.reduce((",
    "lib/words.ts cannot be formatted",
  ],
  ["a type error", "return words.length;", "return words;", 'cell "ex-count", line 10\n'],
  [
    "a name exported twice",
    "/** The longest",
    "export const countWords = 1;\n/** The longest",
    'cell "ex-count" exports already',
  ],
];

for (const [what, from, to, problem] of REFUSED) {
  Deno.test(`--update refuses ${what}`, async () => {
    using book = await exportedBook();
    book.edit("lib/words.ts", from, to);
    await assertRefused(book, problem);
  });
}

Deno.test("--update refuses blocks moved, and modules of others", async () => {
  using book = await exportedBook();
  const whole = book.read("lib/words.ts");
  const [head, first, second] = whole.split(/(?=^\/\/ cell: )/m);
  book.write("lib/words.ts", head + second + "\n" + first);
  await assertRefused(
    book,
    "the cells in lib/words.ts are longest, ex-count, those of the notebook ex-count, longest",
  );
  book.chapter("02-verbs", "%% one code\n1;\n");
  book.write(
    "lib/words.ts",
    whole.replace("notebooks/01-words.ipynb\n", "notebooks/02-verbs.ipynb\n"),
  );
  await assertRefused(book, "lib/words.ts was exported from 02-verbs.ipynb");
  book.write("lib/words.ts", "const mine = 1;\n");
  await assertRefused(book, "lib/words.ts was not written by the exporter");
  Deno.removeSync(`${book.root}/lib/words.ts`);
  await assertRejects(() => update(book), NotebookError, "lib/words.ts is not there");
});

Deno.test("--update works on a cell that is not formatted", async () => {
  const text = WORDS.replace(
    "const words = text.split(sep);\n  return",
    "const words=text.split(sep)\n  return",
  )
    .replace("a.length > b.length ? a : b", "a.length>b.length?a:b");
  using book = await exportedBook(text);
  book.edit("lib/words.ts", "text.split(sep)", 'text.split(" ")');
  book.edit("lib/words.ts", "? a : b", "? b : a");
  assertEquals(await update(book), ["ex-count", "longest"]);
  assertStringIncludes(
    book.cell("01-words", "ex-count"),
    '  // BEGIN SOLUTION\n  const words = text.split(" ");\n',
  );
  await assertClean(book);
});

/** What carryLines makes of a cell in which `|` lines are exported and the others are not. */
function carried(cell: string, edited: string): string | undefined {
  const lines = cell.split(" ");
  const exported = lines.flatMap((text, index) =>
    /^[a-z]+$/.test(text) ? [{ text, line: index + 1 }] : []
  );
  const full = lines.map((line) =>
    line === "BEGIN" || line === "END" ? `// ${line} SOLUTION` : line
  );
  const result = carryLines(full, exported, exported.map(({ text }) => text), edited.split(" "));
  return result?.replace(/\/\/ (BEGIN|END) SOLUTION/g, "$1").replaceAll("\n", " ");
}

const CARRIED: [what: string, cell: string, edited: string, result: string | undefined][] = [
  ["a line changed before a solution", "# a BEGIN b c END d", "x b c d", "# x BEGIN b c END d"],
  ["a line changed in it", "# a BEGIN b c END d", "a x c d", "# a BEGIN x c END d"],
  ["a solution of another length", "# a BEGIN b c END d", "a x y z d", "# a BEGIN x y z END d"],
  ["a shorter solution", "# a BEGIN b c END d", "a x d", "# a BEGIN x END d"],
  ["a line put first in it", "# a BEGIN b c END d", "a x b c d", "# a BEGIN x b c END d"],
  ["a line put last in it", "# a BEGIN b c END d", "a b c x d", "# a BEGIN b c x END d"],
  [
    "a line between two solutions",
    "a BEGIN b END BEGIN c END",
    "a b x c",
    "a BEGIN b END BEGIN x c END",
  ],
  ["a line in front of all", "# a b", "x a b", "# x a b"],
  ["a line behind all", "# a b", "a b x", "# a b x"],
  ["lines on both sides of a marker", "# a BEGIN b c END d", "x y c d", "# x BEGIN y c END d"],
  ["lines taken away on both sides", "# a BEGIN b c END d", "c d", "# BEGIN c END d"],
  ["more lines across a marker", "# a BEGIN b c END d", "x y z c d", undefined],
];

for (const [what, cell, edited, result] of CARRIED) {
  Deno.test(`carryLines: ${what}`, () => assertEquals(carried(cell, edited), result));
}

Deno.test("carryLines finds no place beside a line that formatting changed", () => {
  const cell = ["a", "b=1", "c"];
  const exported = cell.map((text, index) => ({ text, line: index + 1 }));
  const base = ["a", "b = 1", "c"];
  assertEquals(carryLines(cell, exported, base, ["a", "b = 1", "x", "c"]), undefined);
  assertEquals(carryLines(cell, exported, base, ["a", "b = 2", "c"]), undefined);
  assertEquals(carryLines(cell, exported, base, ["a", "b = 1", "d"]), "a\nb=1\nd");
});

Deno.test("an edit across a solution marker is refused, naming the cell", async () => {
  using book = await exportedBook();
  const from =
    '  if (text === "") throw new RangeError("text is empty");\n  const words = text.split(sep);\n';
  book.edit("lib/words.ts", from, '  const words = text.split("");\n');
  await assertRefused(
    book,
    'cell "ex-count": the edit in lib/words.ts has no clear place here, for it crosses',
  );
});
