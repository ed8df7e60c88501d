/** What a chapter says where an earlier one was not exported, or is not what it was. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { taskCommand } from "tools/task.ts";
import { basename, join } from "node:path";
import { afterChapters, lookBack } from "tools/earlier.ts";
import { codeCells } from "tools/export/chapter.ts";
import { moduleText } from "tools/export/module.ts";
import { readChapters } from "tools/export.ts";
import { executeNotebook } from "tools/jupyter/execute.ts";
import { listChapters, NOTEBOOKS, readNotebook } from "tools/notebook.ts";
import { Book } from "./book.ts";
import { notebookOf, outputsOf } from "./kernel_support.ts";

const WORDS = `%% setup code
//| default_exp words

%% count code
//| export
/** How many. */
export function count(text: string): number {
  return text.length;
}
/** What is counted. */
export type Text = string;
`;

const VERBS = `%% setup code
//| default_exp verbs
import { count, type Text } from "lib/words.ts";

%% verbs code
//| export
import { count } from "lib/words.ts";
/** Twice as many. */
export const twice = (text: string): number => 2 * count(text);
`;

const NOUNS = `%% setup code
import { twice } from "lib/verbs.ts";
import * as everything from "lib/words.ts";
import { taskCommand } from "tools/task.ts";

%% broken code
const a = ;
`;

/** Three chapters, of which two are exported. */
async function threeChapters(): Promise<Book> {
  const book = new Book({ "01-words": WORDS, "02-verbs": VERBS, "03-nouns": NOUNS });
  for (const chapter of readChapters(["01", "02"], book.root)) {
    book.write(`lib/${chapter.module}.ts`, await moduleText(chapter, book.root));
  }
  return book;
}

const look = (book: Book, name: string) => lookBack(book.notebook(name), book.root);

Deno.test("a chapter whose earlier modules are as exported is told nothing", async () => {
  using book = await threeChapters();
  for (const name of ["01-words", "02-verbs", "03-nouns"]) {
    assertEquals(await look(book, name), { missing: [], stale: [] });
  }
});

Deno.test("a name that is missing, and a module, are told with the chapter to run; through others too", async () => {
  using book = await threeChapters();
  book.edit("lib/words.ts", "export function count", "function count");
  const command = taskCommand("export 01");
  const cure = `run the last cell of 01-words (or: ${command}), then restart this kernel`;
  const missing = [`lib/words.ts has no \`count\`: ${cure}`];
  assertEquals(await look(book, "02-verbs"), { missing, stale: [] });
  assertEquals((await look(book, "03-nouns")).missing, missing);
  Deno.removeSync(join(book.root, "lib/words.ts"));
  const error = await assertRejects(() => afterChapters("02-verbs", book.root));
  assert(error instanceof Error);
  assertEquals(error.message, `lib/words.ts is not there: ${cure}`);
  assertEquals(error.stack, `ChapterMissing: ${error.message}`);
});

Deno.test("a module that is not what its chapter exports now is told", async () => {
  using book = await threeChapters();
  book.chapter("01-words", WORDS.replace("text.length", "text.length + 1"));
  const { missing, stale: [first, ...more] } = await look(book, "03-nouns");
  assertEquals([missing, more], [[], []]);
  assertStringIncludes(first, "lib/words.ts is not what 01-words.ipynb exports now");
  assertStringIncludes(first, taskCommand("export 01"));
});

Deno.test("a module whose chapter cannot be exported is told with what is wrong there", async () => {
  using book = await threeChapters();
  book.chapter("01-words", WORDS.replace("return", "retrun"));
  const { stale: [first] } = await look(book, "02-verbs");
  assertStringIncludes(
    first,
    'lib/words.ts may be out of date, for its chapter cannot be exported: 01-words.ipynb, cell "count": line 4, column 9',
  );
});

Deno.test("a module whose chapter is no notebook any more is told, too", async () => {
  using book = await threeChapters();
  book.write("notebooks/01-words.ipynb", book.read("notebooks/01-words.ipynb").slice(0, 200));
  const { stale: [first] } = await look(book, "03-nouns");
  assertStringIncludes(first, "lib/words.ts may be out of date");
  assertStringIncludes(first, "01-words.ipynb: not valid JSON: it ends in the middle");
});

for (const file of listChapters()) {
  const name = basename(file, ".ipynb");
  const cells = codeCells(file, readNotebook(file));

  Deno.test(`${name}: the export cell runs alone in a fresh kernel`, async () => {
    const { source } = cells.find(({ id }) => id === "export")!;
    const execution = await executeNotebook(notebookOf(source), { cwd: NOTEBOOKS });
    assertEquals(execution.problem, undefined);
    const [{ data }] = outputsOf(execution, 1);
    const text = [(data as Record<string, string>)["text/plain"]].flat().join("");
    assertStringIncludes(text, "is what is saved on disk: nothing to write.");
  });

  const imported = cells.flatMap(({ imports }) => imports).map(({ from }) => from);
  if (!imported.some((from) => /^"lib\/[\w-]+\.ts"$/.test(from))) continue;
  Deno.test(`${name}: the first cell looks back at earlier chapters`, () => {
    assertStringIncludes(cells[0].source, `await afterChapters("${name}");`);
  });
}
