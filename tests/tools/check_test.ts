import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { taskCommand } from "tools/task.ts";
import { check, main } from "tools/check.ts";
import { NotebookError, readNotebook } from "tools/notebook.ts";
import { codeTokens, syntaxErrors } from "tools/syntax.ts";
import { tangle } from "tools/tangle.ts";
import { Book, printed } from "./book.ts";

const WORDS = `%% one code
//| default_exp words
import { sep } from "node:path";
const words = ["a", "b"]; // here

%% text markdown
const not = "code";

%% two code
import { sep, type ParsedPath } from "node:path";
console.log(await Promise.resolve(words.join(sep)));
let parsed: ParsedPath;
`;

Deno.test("a tangled chapter has each import once, and knows where each line is from", () => {
  using book = new Book({ "01-words": WORDS });
  const file = book.notebook("01-words");
  const { text, origins } = tangle(file, readNotebook(file));
  const lines = text.trimEnd().split("\n").map((line, i) =>
    `${origins[i] ? `${origins[i].cell}:${origins[i].line}` : "-"} ${line}`.trimEnd()
  );
  assertEquals(lines, [
    'one:2 import { sep } from "node:path";',
    'two:1 import { type ParsedPath } from "node:path";',
    "one:1",
    "one:2",
    'one:3 const words = ["a", "b"]; // here',
    "two:1",
    "two:2 console.log(await Promise.resolve(words.join(sep)));",
    "two:3 let parsed: ParsedPath;",
    "- export {};",
  ]);
});

Deno.test("two cells may not import different things by one name", () => {
  using book = new Book({ "01-words": WORDS.replace("import { sep, type", "import sep, { type") });
  const file = book.notebook("01-words");
  assertThrows(
    () => tangle(file, readNotebook(file)),
    NotebookError,
    'cell "two": imports `default as sep`',
  );
});

Deno.test("check tells errors of cells, of lib, and of chapters that do not parse, in one run", async () => {
  using book = new Book({
    "01-words": WORDS.replace("words.join", "words.jion").replace(
      "type ParsedPath",
      "type PrasedPath",
    ),
    "02-broken": "%% one code\nconst a = ;\n",
    "03-lost": '%% one code\nimport { a } from "lib/lost.ts";\na.map((b) => b);\n',
    "04-plain": "%% one code\nawait Promise.resolve(1);\n",
  });
  book.write("lib/engine/bad.ts", 'export const bad: number = "text";\n');
  book.write("lib/engine/assembly/other.ts", "export function f(): i32 { return 1; }\n");
  const { problems, chapters } = await check([], book.root);
  assertEquals(chapters, 4);
  const found = (part: string) => problems.filter((problem) => problem.includes(part)).length;
  assertEquals(found('02-broken.ipynb, cell "one": line 1, column 11: Unexpected token'), 1);
  assertEquals(
    found(
      'notebooks/01-words.ipynb, cell "two", line 2\n    console.log(await Promise.resolve(words.jion(sep)));\n' +
        "  Property 'jion' does not exist on type 'string[]'",
    ),
    1,
  );
  assertEquals(
    found('notebooks/01-words.ipynb, cell "two", line 1\n    import { sep, type PrasedPath }'),
    1,
  );
  assertEquals(found('notebooks/03-lost.ipynb, cell "one", line 1\n'), 1);
  assertEquals(found(`If a chapter exports it: ${taskCommand("export")}`), 1);
  assertEquals(found("lib/engine/bad.ts:1:14\n"), 1);
  assertEquals(found("Cannot find name 'ParsedPath'"), 1);
  assertEquals(problems.length, 6, problems.join("\n\n"));
});

Deno.test("check of one chapter ends with 0 if it is right, with 1 if not", async () => {
  using book = new Book({
    "01-words": WORDS,
    "02-bad": '%% one code\nlet n = 1;\nn = "";\ntotl();\nfunction total() {}\n',
  });
  const right = await printed(() => main(["01"], book.root));
  assertEquals(right, { result: 0, text: "type check of 1 chapter: 0 problems" });
  const wrong = await printed(() => main(["bad"], book.root));
  assertEquals(wrong.result, 1);
  assertStringIncludes(
    wrong.text,
    'notebooks/02-bad.ipynb, cell "one", line 2\n    n = "";\n  Type',
  );
  const related = "(notebooks/02-bad.ipynb, cell \"one\", line 4: 'total' is declared here.)";
  assertStringIncludes(wrong.text, related);
  assertStringIncludes(wrong.text, "type check of 1 chapter: 2 problems");
});

const ACCEPTED = [
  "",
  "const a: number = await Promise.resolve(1);",
  'import { sep } from "node:path";\nexport const a = sep;',
  "export function f(): void {}\nexport { f as g };",
  "function f() {}\nfunction f() {}",
  "type A = 1;\ntype A = 2;",
  "enum A { B }\nnamespace N { export const a = 1; }",
  "function f(a: number): void;\nfunction f(a: string): void;\nfunction f(a: unknown) {}",
  "{ a: 1, b: 2 }",
  "const a = <div>text</div>;",
  "const a = <number>b;",
  "@dec\nclass A { accessor x = 1; constructor(readonly y: number) {} }",
  "using a = b();\nawait using c = d();",
  "export { earlier };",
  "for await (const a of b) console.log(a);",
  'import data from "./a.json" with { type: "json" };',
];

for (const source of ACCEPTED) {
  Deno.test(`syntaxErrors accepts ${JSON.stringify(source)}`, () =>
    assertEquals(syntaxErrors(source), []));
}

const REJECTED: [source: string, line: number, column: number, message: string][] = [
  ["const a = 1;\nconst b = ;", 2, 11, "Unexpected token"],
  ["const a = 1;\nconst a = 2;", 2, 7, "Identifier 'a' has already been declared"],
  ["const a;", 1, 8, "Missing initializer in const declaration"],
  ["return 1;", 1, 1, "'return' outside of function"],
  ["function f() {\n  await g();\n}", 2, 3, "await"],
  ["let a = `x${1;", 1, 14, "Unexpected token"],
  ["if (a) {\n  b();\n", 3, 1, "Unexpected token"],
  ["break;", 1, 1, "break"],
  ["const here = import.meta.url;", 1, 14, "no import.meta"],
  ["{ a: 1, b: }", 1, 10, "Unexpected token"],
];

for (const [source, line, column, message] of REJECTED) {
  Deno.test(`syntaxErrors rejects ${JSON.stringify(source)}`, () => {
    const [first] = syntaxErrors(source);
    assertEquals([first?.line, first?.column], [line, column], JSON.stringify(first));
    assertStringIncludes(first.message, message);
  });
}

Deno.test("code tokens are the same for the same code, however laid out", () => {
  const tokens = codeTokens("function f(a) {\n  return a /* why */ + 1; // what\n}");
  assertEquals(codeTokens("function f(a) { return a + 1; }"), tokens);
  assertEquals(codeTokens("function f(a) { return a + 2; }") === tokens, false);
});
