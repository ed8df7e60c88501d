import { assertEquals, assertStringIncludes } from "@std/assert";
import { runtimeProblem } from "tools/jupyter/explain.ts";
import { Kernel } from "tools/jupyter/kernel.ts";
import { ROOT } from "tools/notebook.ts";
import { execute, notebookOf, outputsOf } from "./kernel_support.ts";

/** What may stand above a line that throws: each shape changes the lines on the way to the kernel. */
const ABOVE = [
  "",
  "\n\n",
  "// a\n",
  "/** a\n * b\n */\n",
  "import { join } from 'node:path';\n",
  "// c\nimport * as path from 'node:path'; // trailing\n",
  "import {\n  join,\n  basename,\n} from 'node:path';\n",
  "import type { ParsedPath } from 'node:path';\n",
  "//| export\nimport type { ParsedPath } from 'node:path';\n\n/** doc\n * more */\nexport interface Q { a: 1 }\n\n" +
  "/** doc\n * more */\nexport function f(\n q: Q): Q { return q; }\n\n// b\nconst aa = 1;\n",
  "/** doc\n * two */\nexport class Foo {\n  a: number = 1;\n\n  /** m */\n  m(\n    x: number,\n  ): number {\n    return x;\n  }\n}\n",
  "/** a */\nfunction g1() {}\n/** b */\nexport function g2() {}\n// c\nfunction g3() {}\n",
  "export function k10() {\n  // why\n  return 1; // c\n}\n\n/** f\n * g */\nexport const k11 = () => {\n  return 1;\n};\n// h\n",
  "let k = 1; // t\n// d\n\n// e \nexport async function later() {\n\n  return 1;\n}\n",
  "let k = 1;\n/** d\n * e */\nexport const k2 = 1;\n/** f\n */\nexport class K {}\n/** g\n */\nexport enum E1 {A}\n",
  "/** t */\nimport type { ParsedPath } from 'node:path';\n/** d\n * e */\nexport type T2 = ParsedPath;\n",
  "/** T */\nexport type T1 = number;\n",
  "enum E { A,\n B }\n",
  "const o = {\n  // c\n  a: 1,\n  b: [1,\n 2],\n};\n",
  "const s = `a\n\nb`;\n",
];
const THROWS = [
  "throw new Error('x');",
  "await Promise.resolve(1);\n// k\nnull!.x;",
  "{\n  const u = 1;\n\n  throw new Error('y' + u);\n}",
];

Deno.test("an error is traced to its line of the cell", async () => {
  const kernel = await Kernel.start({ cwd: ROOT });
  for (const source of ABOVE.flatMap((above) => THROWS.map((line) => above + line))) {
    const [cell] = notebookOf(source).cells;
    const problem = await runtimeProblem(kernel, cell, [], await kernel.execute(source));
    const expected = source.split("\n").findIndex((line) => /throw|null!/.test(line)) + 1;
    assertEquals(problem.line, expected, source);
  }
  await kernel.shutdown();
});

Deno.test("a function of an earlier cell is named with that cell and its line", async () => {
  const first =
    "/** doc */\nexport function deep(n: number): number {\n\n  if (n === 0) throw new RangeError('bottom');\n  return deep(n - 1);\n}";
  const execution = await execute([first, "const a = 1;", "\n// call\ndeep(1);"]);
  const { line, source, name, message, trace } = execution.problem!;
  assertEquals([line, source, name, message], [3, "deep(1);", "RangeError", "bottom"]);
  assertEquals(trace, ['deep, cell "c1", line 4', 'deep, cell "c1", line 5', 'cell "c3", line 3']);
  const [error] = outputsOf(execution, 3);
  assertEquals([error.ename, error.evalue], ["RangeError", "bottom"]);
});

Deno.test("a cell that is no TypeScript is never sent; its line is shown", async () => {
  const execution = await execute(["1", "console.log('not run');\nlet b = ;\n"]);
  const { cell, line, source, name } = execution.problem!;
  assertEquals([cell, line, source, name], ["c2", 2, "let b = ;", "SyntaxError"]);
  assertEquals(outputsOf(execution, 2).map(({ output_type }) => output_type), ["error"]);
});

Deno.test("an import that cannot be resolved is named, although the kernel says nothing", async () => {
  const execution = await execute([
    "import { join } from 'node:path';\nimport x from 'npm:nano-llm-no-such-package@1';",
  ]);
  const { line, name, message } = execution.problem!;
  assertEquals([line, name], [2, "ImportError"]);
  assertStringIncludes(message, "nano-llm-no-such-package");
  assertEquals(outputsOf(execution, 1)[0].evalue, message);
});

Deno.test("a module that is not there is named with its line", async () => {
  const { problem } = await execute(["// first\n\nimport y from './n.ts';\ny;"]);
  assertEquals(problem!.line, 3);
  assertStringIncludes(problem!.message, "n.ts");
});

Deno.test("a thrown value that is no Error is shown", async () => {
  const { problem } = await execute(["throw 'words';"]);
  assertEquals([problem!.name, problem!.message], ["Error", "words"]);
});

Deno.test("the output before an error stays, the error is last", async () => {
  const execution = await execute([
    `for (let i = 0; i < 200; i++) console.log(i);\nthrow new Error("end");`,
  ]);
  const types = outputsOf(execution, 1).map(({ output_type }) => output_type);
  assertEquals(types, ["stream", "error"]);
  assertStringIncludes(outputsOf(execution, 1)[0].text as string, "199\n");
});
