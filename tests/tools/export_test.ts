import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { taskCommand } from "tools/task.ts";
import { join } from "node:path";
import { UsageError } from "tools/cli.ts";
import { exportChapter, exportOne, main, readChapters } from "tools/export.ts";
import { moduleText } from "tools/export/module.ts";
import { NotebookError } from "tools/notebook.ts";
import { Book, printed } from "./book.ts";

const WORDS = `%% title markdown
# Words, and how to count them.

%% setup code
//| default_exp words
import { basename } from "node:path";
console.log(basename("a/b"));

%% ex-count code solution
//| export
/**
 * How many words a text has. Words are what blanks part.
 *
 * @param text any text
 */
export function countWords(text: string): number {
  if (text === "") throw new RangeError("text is empty");
  // BEGIN SOLUTION
  const words = text.split(" ");
  return words.length;
  // END SOLUTION
}

%% ex-count-check code test 1
{
  // BEGIN HIDDEN TESTS
  if (countWords("a b") !== 2) throw new Error("wrong");
  // END HIDDEN TESTS
}

%% path code
//| export
import { type ParsedPath, sep } from "node:path";
export const SEPARATOR: string = sep;
export type Path = ParsedPath;
`;

/** A chapter with one exported cell. */
function chapter(cell: string, setup = "//| default_exp words"): string {
  return `%% setup code\n${setup}\n\n%% one code\n${cell}\n`;
}

/** Two exported cells. */
function two(first: string, second: string): string {
  return `${chapter(`//| export\n${first}`)}\n%% two code\n//| export\n${second}\n`;
}

async function exported(book: Book, ...args: string[]): Promise<{ code: number; text: string }> {
  const { result, text } = await printed(() => main(args, book.root));
  return { code: result, text };
}

async function moduleOf(text: string): Promise<string> {
  using book = new Book({ "01-words": text });
  return await moduleText(readChapters([], book.root)[0], book.root);
}

Deno.test("export writes header, imports and blocks, without markers, and says so", async () => {
  using book = new Book({ "01-words": WORDS });
  const first = await exported(book);
  assertEquals(first, { code: 0, text: "01-words -> lib/words.ts: written" });
  const text = book.read("lib/words.ts").replace(/[0-9a-f]{8}/g, "########");
  assertEquals(
    text,
    `/**
 * Words, and how to count them.
 *
 * Exported from notebooks/01-words.ipynb: edit there and run \`deno task export\`,
 * or edit here, between the markers, and run \`deno task export --update 01-words\`.
 *
 * @module words
 */
// export: ########, from notebooks/01-words.ipynb

import { type ParsedPath, sep } from "node:path";

// cell: ex-count ########
/**
 * How many words a text has. Words are what blanks part.
 *
 * @param text any text
 */
export function countWords(text: string): number {
  if (text === "") throw new RangeError("text is empty");
  const words = text.split(" ");
  return words.length;
}

// cell: path ########
export const SEPARATOR: string = sep;
export type Path = ParsedPath;
`,
  );
  const { mtime } = Deno.statSync(join(book.root, "lib/words.ts"));
  assertEquals((await exported(book)).text, "01-words -> lib/words.ts: unchanged");
  assertEquals(Deno.statSync(join(book.root, "lib/words.ts")).mtime, mtime);
});

const DIRECTIVES: [what: string, text: string, cell: string, problem: string][] = [
  ["misspelt", chapter("//| exports\nconst a = 1;"), "one", 'did you mean "//| export"?'],
  ["spaced", chapter("// | export\nconst a = 1;"), "one", 'did you mean "//| export"?'],
  ["python's", chapter("#| export\nconst a = 1;"), "one", 'did you mean "//| export"?'],
  ["without a bar", chapter("// export\nconst a = 1;"), "one", 'did you mean "//| export"?'],
  ["upper-case", chapter("//| Export\nconst a = 1;"), "one", 'did you mean "//| export"?'],
  ["indented", chapter(" //| export\nconst a = 1;"), "one", "a blank stands before the directive"],
  ["unknown", chapter("//| hide\nconst a = 1;"), "one", 'unknown directive "//| hide"'],
  [
    "misspelt default_exp",
    chapter("//| export\nconst a = 1;", "//| default_export words"),
    "setup",
    'did you mean "//| default_exp <module>"?',
  ],
  [
    "default_exp without a name",
    chapter("//| export\nconst a = 1;", "//| default_exp"),
    "setup",
    "needs one lower-case word",
  ],
  [
    "default_exp of mod",
    chapter("//| export\nconst a = 1;", "//| default_exp mod"),
    "setup",
    'got "mod"',
  ],
  [
    "default_exp missing",
    chapter("//| export\nconst a = 1;", "const b = 1;"),
    "one",
    'has no "//| default_exp <module>"',
  ],
  [
    "default_exp too late",
    chapter("//| default_exp words", "const b = 1;"),
    "one",
    'belongs into the first code cell, "setup"',
  ],
  [
    "default_exp twice",
    chapter("//| export\nconst a = 1;", "//| default_exp words\n//| default_exp verbs"),
    "setup",
    "default_exp stands twice",
  ],
  [
    "default_exp and nothing exported",
    chapter("const a = 1;"),
    "setup",
    'names the module "words", but no cell has',
  ],
  ["after code", chapter("const a = 1;\n//| export"), "one", "line 2: the directive //| export"],
  [
    "after a comment",
    chapter("// the words\n//| export\nconst a = 1;"),
    "one",
    "line 2: the directive //| export stands after code",
  ],
];

for (const [what, text, cell, problem] of DIRECTIVES) {
  Deno.test(`a directive that is ${what} is refused`, () => {
    using book = new Book({ "01-words": text });
    const error = assertThrows(() => readChapters([], book.root), NotebookError, problem);
    assertStringIncludes(error.message, `01-words.ipynb, cell "${cell}"`);
  });
}

Deno.test("a directive needs no blank, and default_exp may stand with export", async () => {
  const text = "%% one code\n//|default_exp words\n//|export\nexport const ONE = 1;\n";
  assertStringIncludes(await moduleOf(text), "export const ONE = 1;");
});

Deno.test("a comment with bars, and a directive in a string, are no directives", async () => {
  const code = "//| export\n// | token | id |\nexport const TEXT = `\n//| exports\n`;";
  assertStringIncludes(await moduleOf(chapter(code)), "// | token | id |");
});

const CELLS: [what: string, text: string, cell: string, problem: string][] = [
  [
    "a syntax error",
    chapter("//| export\nexport const a = ;"),
    "one",
    "line 2, column 18: Unexpected token\n    export const a = ;",
  ],
  [
    "a name exported twice in one cell",
    chapter("//| export\nexport const a = 1;\nexport const a = 2;"),
    "one",
    "line 3, column 14: Identifier 'a' has already been declared",
  ],
  [
    "a name exported in two cells",
    two("export const a = 1;", "export function a(): void {}"),
    "two",
    'exports `a`, which cell "one" exports already',
  ],
  [
    "a name declared in two cells",
    two("const a = 1;", "type a = number;"),
    "two",
    'declares `a`, which cell "one" declares already',
  ],
  [
    "a name imported in one cell and declared in another",
    two('import { sep } from "node:path";', "export const sep = 1;"),
    "two",
    'exports `sep`, which cell "one" imports already',
  ],
  [
    "two imports by one name",
    two('import { sep } from "node:path";', 'import { sep } from "node:path/win32";'),
    "two",
    'imports `sep` from "node:path/win32", but cell "one" imports `sep` from "node:path"',
  ],
  [
    "a display",
    chapter("//| export\nexport const a = 1;\nconsole.log(a);"),
    "one",
    "line 3: an exported cell holds declarations only",
  ],
  [
    "a relative import",
    chapter('//| export\nimport a from "../lib/a.ts";'),
    "one",
    'write "lib/…"',
  ],
  [
    "an import of tools",
    chapter('//| export\nimport a from "tools/a.ts";'),
    "one",
    "lib never imports tools",
  ],
  [
    "an import of its own module",
    chapter('//| export\nimport { a } from "lib/words.ts";'),
    "one",
    "which this chapter exports",
  ],
  [
    "a solution without an end",
    chapter("//| export\n// BEGIN SOLUTION\nexport const a = 1;"),
    "one",
    "BEGIN SOLUTION has no END SOLUTION",
  ],
  [
    "a solution ended as a test",
    chapter("//| export\n// BEGIN SOLUTION\nexport const a = 1;\n// END HIDDEN TESTS"),
    "one",
    "line 4: END HIDDEN TESTS has no partner",
  ],
  [
    "a line like the exporter's own",
    chapter("//| export\nexport const a = `\n// cell: one 01234567\n`;"),
    "one",
    "looks like the exporter's own",
  ],
];

for (const [what, text, cell, problem] of CELLS) {
  Deno.test(`a cell with ${what} is refused`, async () => {
    const error = await assertRejects(() => moduleOf(text), NotebookError, problem);
    assertStringIncludes(error.message, `01-words.ipynb, cell "${cell}"`);
  });
}

Deno.test("imports are merged: values win over types, comments come along", async () => {
  const text = await moduleOf(two(
    `import type { ParsedPath } from "node:path";
// for Windows
import * as win from "node:path/win32";
import type { Stats } from "node:fs";
import "node:process";
import path, { sep as separator } from "node:path"; // both kinds
export const a = [path, win, separator];`,
    `import { sep, ParsedPath } from "node:path";
import type { Dirent } from "node:fs";
import * as win from "node:path/win32";
import process from "node:process";
import data from "./data.json" with { type: "json" };
export const b = [sep, win, process];`.replace(
      'import data from "./data.json"',
      'import data from "data/a.json"',
    ),
  ));
  const imports = text.split("\n").filter((line) => /^(import|\/\/ (for|both))/.test(line));
  assertEquals(imports, [
    "// both kinds",
    'import path, { ParsedPath, sep, sep as separator } from "node:path";',
    "// for Windows",
    'import * as win from "node:path/win32";',
    'import type { Dirent, Stats } from "node:fs";',
    'import process from "node:process";',
    'import data from "data/a.json" with { type: "json" };',
  ]);
});

Deno.test("an import for its effect stays beside one of types only", async () => {
  const text = await moduleOf(
    two('import "node:fs";\nconst a = 1;', 'import type { Stats } from "node:fs";\nlet b: Stats;'),
  );
  assertStringIncludes(text, 'import "node:fs";\nimport type { Stats } from "node:fs";\n');
});

Deno.test("two chapters that export one module are refused, whichever is asked for", () => {
  const text = chapter("//| export\nexport const a = 1;");
  using book = new Book({ "01-words": text, "02-verbs": text });
  for (const names of [[], ["02"], ["01"]]) {
    assertThrows(
      () => readChapters(names, book.root),
      NotebookError,
      'cell "setup": exports "words", as 0',
    );
  }
});

Deno.test("a chapter imports from chapters before it only", () => {
  using book = new Book({
    "01-words": chapter('//| export\nimport { b } from "lib/verbs.ts";\nexport const a = b;'),
    "02-verbs": chapter("//| export\nexport const b = 1;", "//| default_exp verbs"),
  });
  const problem = 'line 2: imports "lib/verbs.ts", which a later chapter (02-verbs) exports';
  assertThrows(() => readChapters([], book.root), NotebookError, problem);
});

Deno.test("what is wrong in another chapter does not stop an export", async () => {
  using book = new Book({ "01-words": WORDS, "02-broken": chapter("//| exports") });
  book.write("notebooks/03-torn.ipynb", "{");
  assertEquals((await exported(book, "01", "--check")).code, 1);
  assertThrows(
    () => readChapters(["03"], book.root),
    NotebookError,
    "03-torn.ipynb: not valid JSON",
  );
  book.write("notebooks/03-torn.ipynb", '{"nbformat": 4, "nbformat_minor": 2, "cells": []}');
  assertThrows(
    () => readChapters(["torn"], book.root),
    NotebookError,
    "nbformat 4.2; needed is 4.5",
  );
});

Deno.test("--check shows a diff, writes nothing and ends with 1", async () => {
  using book = new Book({ "01-words": WORDS });
  await exported(book);
  assertEquals(await exported(book, "--check"), {
    code: 0,
    text: "01-words -> lib/words.ts: unchanged",
  });
  book.chapter("01-words", WORDS.replace('split(" ")', 'split(".")'));
  const before = book.read("lib/words.ts");
  const { code, text } = await exported(book, "--check");
  assertEquals(code, 1);
  assertStringIncludes(
    text,
    '\n-  const words = text.split(" ");\n+  const words = text.split(".");\n',
  );
  assertEquals(book.read("lib/words.ts"), before);
});

Deno.test("a module that no chapter exports any more is named; deleted is only what nothing imports", async () => {
  using book = new Book({ "01-words": WORDS });
  await exported(book);
  book.chapter("01-words", WORDS.replace("default_exp words", "default_exp terms"));
  await exported(book);
  book.write("lib/by-hand.ts", "export const a = 1;\n");
  const { code, text } = await exported(book, "--check");
  assertEquals(code, 1);
  assertStringIncludes(
    text,
    "lib/words.ts: no chapter exports it and nothing imports it: delete it",
  );
  assert(!text.includes("by-hand"));
  const users: Record<string, string> = {
    "lib/mod.ts": 'export * from "./words.ts";\n',
    "lib/data/file.ts": 'import { countWords } from "../words.ts";\n',
    "tests/words_test.ts": "import { countWords } from 'lib/words.ts';\n",
    "notebooks/my own.ipynb": JSON.stringify({ source: 'import { a } from "lib/words.ts";' }),
  };
  for (const [path, source] of Object.entries(users)) {
    book.write(path, source);
    const { text } = await exported(book, "--check");
    assertStringIncludes(text, `lib/words.ts: no chapter exports it, but ${path} imports it: keep`);
    assertStringIncludes(text, '"//| default_exp words"');
    assert(!text.includes("delete"), text);
    Deno.removeSync(join(book.root, path));
  }
});

Deno.test("a chapter that was renamed keeps its module, or is told how chapters are named", async () => {
  using book = new Book({ "01-words": WORDS });
  await exported(book);
  const rename = (from: string, to: string) =>
    Deno.renameSync(book.notebook(from), book.notebook(to));
  rename("01-words", "my words");
  const { code, text } = await exported(book, "--check");
  assertEquals(code, 1);
  const names = "two digits, a dash and a word, as in 03-attention.ipynb";
  assertStringIncludes(
    text,
    `lib/words.ts: "my words.ipynb" exports it, but is no chapter by its name: rename it (${names})`,
  );
  for (const name of ["my words", "my words.ipynb", book.notebook("my words")]) {
    const problem = `my words.ipynb: is no chapter by its name, which must be ${names}`;
    await assertRejects(() => main([name], book.root), NotebookError, problem);
  }
  rename("my words", "02-my words");
  const line = "02-my words -> lib/words.ts";
  assertEquals(await exported(book), { code: 0, text: `${line}: written` });
  assertEquals(await exported(book), { code: 0, text: `${line}: unchanged` });
  book.edit("lib/words.ts", "words.length", "words.length + 1");
  rename("02-my words", "01-words");
  const { result } = await printed(() => main(["--update"], book.root));
  assertEquals(result, 0);
  assertStringIncludes(book.cell("01-words", "ex-count"), "words.length + 1");
});

Deno.test("a cell's lines may end in any way; what only some programs take for a line end is refused", async () => {
  const lines = [
    "//| export",
    'import { sep } from "node:path";',
    "// the sign",
    "export const S = sep;",
  ];
  for (const end of ["\r\n", "\r"]) {
    using book = new Book({ "01-words": chapter("1;") });
    const notebook = JSON.parse(book.read("notebooks/01-words.ipynb"));
    notebook.cells[1].source = lines.join(end);
    book.write("notebooks/01-words.ipynb", JSON.stringify(notebook));
    const text = await moduleText(readChapters([], book.root)[0], book.root);
    assertStringIncludes(text, "\n// the sign\nexport const S = sep;\n");
    assertStringIncludes(text, '\nimport { sep } from "node:path";\n');
  }
  const cell = '//| export\nexport const S = "a\u2028b";';
  const problem = "line 2: holds an invisible U+2028 or U+2029";
  await assertRejects(() => moduleOf(chapter(cell)), NotebookError, problem);
});

Deno.test("in a notebook an export that fails says a sentence, without a stack", async () => {
  using book = new Book({
    "01-words": WORDS.replace("= sep;", "= spe;"),
    "02-torn": chapter("//| export\nexport const a = ;"),
  });
  const problems: [name: string, sentence: string][] = [
    ["01-words", "Cannot find name 'spe'"],
    ["02-torn", '02-torn.ipynb, cell "one": line 2, column 18: Unexpected token'],
    ["03-wrods", 'no chapter "03-wrods": there is 01-words, 02-torn'],
  ];
  for (const [name, sentence] of problems) {
    const error = await assertRejects(() => exportChapter(name, book.root), Error, sentence);
    assertEquals(error.stack, `NotExported: ${error.message}`);
  }
});

Deno.test("work in lib is not overwritten without --force", async () => {
  using book = new Book({ "01-words": WORDS });
  const refused = async (problem: string) => {
    const before = book.read("lib/words.ts");
    const [words] = readChapters([], book.root);
    await assertRejects(() => exportOne(words, {}, book.root), NotebookError, problem);
    assertEquals(book.read("lib/words.ts"), before);
  };
  book.write("lib/words.ts", "// mine\n");
  await refused("lib/words.ts was not written by the exporter: move it away");
  assertEquals((await exported(book, "--force")).code, 0);
  book.edit("lib/words.ts", "words.length", "words.length + 1");
  await refused(
    `was edited by hand, in cell "ex-count". Keep the edit: "${
      taskCommand("export --update 01-words")
    }"`,
  );
  await exported(book, "--force");
  book.edit("lib/words.ts", "// export", "// my words\n// export");
  await refused("was edited by hand, above or between its cells");
  await exported(book, "--force");
  book.edit("lib/words.ts", "notebooks/01-words.ipynb\n", "notebooks/09-other.ipynb\n");
  book.chapter("09-other", "%% one code\n1;\n");
  await refused("lib/words.ts was exported from 09-other.ipynb");
});

Deno.test("an edit that the notebook has made too is no reason to refuse", async () => {
  using book = new Book({ "01-words": WORDS });
  await exported(book);
  book.edit("lib/words.ts", 'split(" ")', 'split(".")');
  book.chapter("01-words", WORDS.replace('split(" ")', 'split(".")'));
  assertEquals((await exported(book)).text, "01-words -> lib/words.ts: written");
});

Deno.test("a type error names notebook, cell and line, and nothing is written", async () => {
  using book = new Book({
    "01-words": WORDS.replace("= sep;", "= sep + basename(1);\nconst n: number = sep;"),
  });
  const [words] = readChapters([], book.root);
  const error = await assertRejects(() => exportOne(words, {}, book.root), NotebookError);
  assertStringIncludes(
    error.message,
    'notebooks/01-words.ipynb, cell "path", line 3\n    export const SEPARATOR',
  );
  assertStringIncludes(error.message, "Cannot find name 'basename'");
  assertStringIncludes(
    error.message,
    'cell "setup" imports `basename`, but is not exported: import it in this cell too',
  );
  assertStringIncludes(
    error.message,
    "cell \"path\", line 4\n    const n: number = sep;\n  Type 'string' is not assignable",
  );
  assertThrows(() => book.read("lib/words.ts"), Deno.errors.NotFound);
  assertEquals([...Deno.readDirSync(join(book.root, "build/tangled"))], []);
});

Deno.test("a chapter imports what one before it has just exported", async () => {
  const verbs = chapter(
    '//| export\nimport { a } from "lib/words.ts";\nexport const b: number = a;',
    "//| default_exp verbs",
  );
  using book = new Book({
    "01-words": chapter("//| export\nexport const a = 1;"),
    "02-verbs": verbs,
  });
  assertEquals((await exported(book)).code, 0);
});

Deno.test("the command line is checked", async () => {
  using book = new Book({ "01-words": WORDS, "02-plain": "%% one code\nconst a = 1;\n" });
  const refused = (problem: string, ...args: string[]) =>
    assertRejects(() => main(args, book.root), UsageError, problem);
  await refused("no flag --chekc; did you mean --check?", "--chekc");
  await refused("exclude one another", "--check", "--force");
  await refused('no chapter "wrods": there is 01-words, 02-plain', "wrods");
  await refused("no file", "notebooks/none.ipynb");
  assertStringIncludes((await exported(book, "--help")).text, `usage: ${taskCommand("export")}`);
  await assertRejects(
    () => main(["02"], book.root),
    NotebookError,
    "02-plain.ipynb: exports nothing",
  );
});

Deno.test("a wrong command line ends with 2 and the usage", async () => {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "tools/export.ts", "--frce"],
    cwd: new URL("../..", import.meta.url),
  }).output();
  assertEquals(code, 2);
  assertStringIncludes(new TextDecoder().decode(stderr), `usage: ${taskCommand("export")}`);
});

Deno.test("exportChapter says what it wrote and how to import it", async () => {
  using book = new Book({ "01-words": WORDS });
  const text = await exportChapter("words", book.root);
  assertEquals(
    text,
    `Wrote lib/words.ts from what is saved on disk.

It exports:
  countWords(text: string): number
      How many words a text has.
  const SEPARATOR: string
  types: Path

The next chapter imports it, for example:
  import { countWords, SEPARATOR } from "lib/words.ts";
A kernel that has imported it before keeps the old one until you restart it.`,
  );
  assertStringIncludes(await exportChapter("01-words", book.root), "nothing to write.");
});

/** Runs lines in the session that the kernel also uses, `deno repl`. */
async function session(lines: string[]): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["repl", "-A", "--quiet"],
    cwd: new URL("../..", import.meta.url),
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(lines.join("\n") + "\n"));
  await writer.close();
  return new TextDecoder().decode((await child.output()).stdout);
}

Deno.test("exportChapter names what was run and is not saved", async () => {
  using book = new Book({ "01-words": WORDS });
  const cell = book.cell("01-words", "ex-count");
  // The session reads line by line; the comments must not matter, so they stay.
  const oneLine = (text: string) =>
    text.replace(/^ *\/\/(.*)$/gm, "/*$1 */").replace(/\s*\n\s*/g, " ");
  const run = `console.log(await exportChapter("01", ${JSON.stringify(book.root)}));`;
  const text = await session([
    'import { exportChapter } from "tools/export.ts";',
    oneLine(cell),
    run,
    'console.log("---");',
    oneLine(cell.replace('split(" ")', 'split(".")')),
    run,
  ]);
  const [saved, changed] = text.split("---");
  assertStringIncludes(saved, "Wrote lib/words.ts");
  assert(!saved.includes("NOT SAVED"), saved);
  assertStringIncludes(
    changed,
    'NOT SAVED: the `countWords` that you ran (cell "ex-count") is not the one in the file.',
  );
});
