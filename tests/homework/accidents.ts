/** What honest learners do around a right solution: all of it is worth full points, unless it says otherwise. */
import type { Cell, Notebook } from "tools/notebook.ts";

/** Something that happens to a solved notebook of chapter 03. */
export interface Accident {
  name: string;
  change(notebook: Notebook): void;
  /** Points for ex-mask, ex-scores, ex-heads and ex-online. */
  points?: number[];
  /** A case in which the whole notebook runs in nbgrader, too. */
  isRun?: true;
  /** A part of what is said to the learner, or to the teacher. */
  says?: RegExp;
}

const FULL = [2, 1, 2, 3];

export function pointsOf({ points = FULL }: Accident): number[] {
  return points;
}

function cellOf(notebook: Notebook, id: string): Cell {
  return notebook.cells.find((cell) => (cell.metadata.nbgrader?.grade_id ?? cell.id) === id)!;
}

let made = 0;

function codeCell(source: string): Cell {
  const id = `mine-${++made}`;
  return { id, cell_type: "code", metadata: {}, source, outputs: [], execution_count: null };
}

function add(notebook: Notebook, before: string, ...sources: string[]): void {
  const at = notebook.cells.indexOf(cellOf(notebook, before));
  notebook.cells.splice(at, 0, ...sources.map(codeCell));
}

function end(notebook: Notebook, ...sources: string[]): void {
  notebook.cells.push(...sources.map(codeCell));
}

const SCORES = "scaled-scores";
const scores = (body: string, before = "", behind = "") =>
  `//| export\n${before}\nexport function scaledScores<T extends tf.Tensor>(q: T, k: T): T {\n  ${body}\n}\n${behind}`;

/** A learner whose scores need cells of their own. */
const needing = (body: string, ...cells: string[]) => (notebook: Notebook) => {
  cellOf(notebook, SCORES).source = scores(body);
  add(notebook, SCORES, ...cells);
};

const BODY = "return tf.matMul(q, k, false, true).div(Math.sqrt(q.shape.at(-1)!)) as T;";
const USES_ROOT = "return tf.matMul(q, k, false, true).div(root(q.shape.at(-1)!)) as T;";
const ROOT = "const root = (x: number) => Math.sqrt(x);";
const MASK = (text: string) => `//| export\n${text}`;
const RIGHT_MASK = `
  const offset = keys - queries;
  const mask = new Float32Array(queries * keys);
  for (let q = 0; q < queries; q++) for (let k = q + offset + 1; k < keys; k++) mask[q * keys + k] = -1e9;
  return tf.tensor2d(mask, [queries, keys]);`;
const mask = (text: string) => (notebook: Notebook) =>
  cellOf(notebook, "causal-mask").source = MASK(text);
const maskWith = (before: string, behind = "") =>
  mask(
    `${before}\nexport function causalMask(queries: number, keys = queries): tf.Tensor2D {${RIGHT_MASK}\n}\n${behind}`,
  );
const everywhere = (change: (source: string) => string) => (notebook: Notebook) => {
  for (const cell of notebook.cells) cell.source = change(cell.source);
};

export const accidents: Accident[] = [
  // Own cells.
  {
    name: "a helper in two cells, the later one right",
    change: needing(USES_ROOT, "const root = (x: number) => x;", ROOT),
    isRun: true,
  },
  {
    name: "a helper in two cells, both used",
    change: needing(USES_ROOT, ROOT, `${ROOT}\nconsole.log(root(4));`),
  },
  {
    name: "a constant in two cells",
    change: needing(
      "return tf.matMul(q, k, false, true).mul(q.shape.at(-1)! ** power) as T;",
      "const power = 2;",
      "const power = -0.5;",
    ),
  },
  {
    name: "a helper twice in one cell",
    change: needing(
      USES_ROOT,
      "function root(x: number) { return x; }\nfunction root(x: number) { return Math.sqrt(x); }",
    ),
  },
  {
    name: "a helper after the solution",
    change: (notebook) => {
      cellOf(notebook, SCORES).source = scores(USES_ROOT);
      add(notebook, "ex-scores-check", ROOT);
    },
  },
  {
    name: "a constant beside a print",
    change: needing(USES_ROOT, `${ROOT}\nconsole.log("root", root(16));\nconsole.error("done");`),
    isRun: true,
  },
  {
    name: "a constant beside a plot",
    change: needing(
      USES_ROOT,
      `${ROOT}\nawait plot([{ x: [1, 2], y: [root(1), root(2)] }], { title: "root" });`,
    ),
  },
  {
    name: "a constant beside an import of what shows",
    change: needing(
      USES_ROOT,
      `import { show } from "lib/notebook/show.ts";\nimport { plot } from "lib/notebook/plot.ts";\n${ROOT}\nawait show(String(root(4)));`,
    ),
    isRun: true,
  },
  {
    name: "a constant beside the choice of a backend",
    change: needing(
      USES_ROOT,
      `import { useBackend } from "lib/engine/backend.ts";\nimport * as tf from "@tensorflow/tfjs";\nawait useBackend();\n${ROOT}`,
    ),
    isRun: true,
  },
  {
    name: "a constant beside tf.setBackend",
    change: needing(USES_ROOT, `await tf.setBackend("cpu");\nawait tf.ready();\n${ROOT}`),
  },
  {
    name: "a constant beside a file that is read",
    change: needing(
      USES_ROOT,
      `import { readFileSync } from "node:fs";\nconst size = readFileSync("../deno.json").length;\n${ROOT}`,
    ),
  },
  {
    name: "a helper that shows something when it is called",
    change: needing(
      USES_ROOT,
      `import { show } from "lib/notebook/show.ts";\nfunction root(x: number) { if (x < 0) show("negative"); return Math.sqrt(x); }`,
    ),
  },
  {
    name: "a table that a loop fills",
    change: needing(
      "return tf.matMul(q, k, false, true).div(table[q.shape.at(-1)!]) as T;",
      "const table: number[] = [];\nfor (let i = 0; i < 100; i++) {\n  table.push(Math.sqrt(i));\n  if (i === 99) console.log(table.length);\n}",
    ),
  },
  {
    name: "a table that a function fills",
    change: needing(
      "return tf.matMul(q, k, false, true).div(table[q.shape.at(-1)!]) as T;",
      "const table: number[] = [];\nfunction fill() { for (let i = 0; i < 100; i++) table.push(Math.sqrt(i)); }\nfill();",
    ),
  },
  {
    name: "a table that another cell fills",
    change: needing(
      "return tf.matMul(q, k, false, true).div(table[q.shape.at(-1)!]) as T;",
      "const table: number[] = [];",
      "for (let i = 0; i < 100; i++) table.push(Math.sqrt(i));",
    ),
    isRun: true,
  },
  {
    name: "a counter of its own",
    change: needing(`calls++;\n  ${BODY}`, "let calls = 0;"),
    isRun: true,
  },
  {
    name: "a memory of its own",
    change: needing(
      "const d = q.shape.at(-1)!;\n  if (!known.has(d)) known.set(d, Math.sqrt(d));\n  return tf.matMul(q, k, false, true).div(known.get(d)!) as T;",
      "const known = new Map<number, number>();",
    ),
  },
  {
    name: "a value that is awaited",
    change: needing(USES_ROOT, "const root = await Promise.resolve(Math.sqrt);"),
  },
  {
    name: "helpers that call one another across cells",
    change: needing(
      "return tf.matMul(q, k, false, true).div(even(q.shape.at(-1)!)) as T;",
      "function even(n: number): number { return n === 1 ? 1 : n % 2 === 0 ? odd(n + 1) : odd(n); }",
      "function odd(n: number): number { return n % 2 ? Math.sqrt(n - 1) : even(n); }",
    ),
  },
  {
    name: "a helper in a cell of its own class",
    change: needing(
      "return new Scaler(q.shape.at(-1)!).apply(tf.matMul(q, k, false, true)) as T;",
      "class Scaler {\n  constructor(private readonly width: number) {}\n  apply(x: tf.Tensor) { return x.div(Math.sqrt(this.width)); }\n}",
    ),
  },
  {
    name: "names that the check has, too",
    change: (notebook) => {
      add(notebook, "causal-mask", "const sees = 1, square = 2, pattern = 3, near = 4, cell = 5;");
      maskWith("const pattern = 1;\nfunction sees() { return pattern; }")(notebook);
    },
  },
  {
    name: "a name that the chapter has, too",
    change: needing(
      USES_ROOT,
      `const tf2 = tf;\nconst queries = 3, values = 4, mask = 5;\n${ROOT}`,
    ),
  },
  // Cells for trying things out.
  {
    name: "a cell behind the check that redefines the solution",
    change: (notebook) =>
      end(notebook, "function causalMask() { return 'playing'; }\nconst scaledScores = 3;"),
    isRun: true,
  },
  {
    name: "cells for trying things out, which do not parse, or throw",
    change: (notebook) => {
      add(notebook, "causal-mask", "const const = 1;", "throw new Error('oops');", "what is this?");
      end(notebook, "for (;;) ", "}}}");
    },
  },
  {
    name: "a cell for trying things out, which never ends",
    change: (notebook) => end(notebook, "while (true) causalMask(3);"),
  },
  {
    name: "a cell of another language",
    change: (notebook) => add(notebook, "causal-mask", "%%bash\nls", "!pip install x", "?help"),
  },
  {
    name: "a cell of the chapter with a print in it",
    change: everywhere((source) =>
      source.includes("interface StreamState") ? `${source}\nconsole.log("here");` : source
    ),
  },
  // Solution cells.
  { name: "a print below", change: maskWith("", "console.log(causalMask(2));") },
  {
    name: "a display below",
    change: maskWith("", "await show(String(await causalMask(3).array()));"),
  },
  {
    name: "a try below that throws",
    change: maskWith("", "causalMask(3, 4).reshape([5]);"),
    isRun: true,
  },
  {
    name: "an arrow function",
    change: mask(
      `export const causalMask = (queries: number, keys = queries): tf.Tensor2D => {${RIGHT_MASK}\n};`,
    ),
  },
  {
    name: "a var",
    change: mask(
      `export var causalMask = function (queries: number, keys = queries) {${RIGHT_MASK}\n};`,
    ),
  },
  {
    name: "a let that is set later",
    change: mask(
      `export let causalMask: (q: number, k?: number) => tf.Tensor2D;\ncausalMask = (queries, keys = queries) => {${RIGHT_MASK}\n};`,
    ),
  },
  {
    name: "the function in a cell of its own",
    change: (notebook) => {
      const { source } = cellOf(notebook, "causal-mask");
      cellOf(notebook, "causal-mask").source = "//| export\n// see below";
      add(notebook, "ex-mask-check", source.replace("//| export\n", ""));
    },
    isRun: true,
  },
  {
    name: "a second try below the first",
    change: (notebook) => {
      const { source } = cellOf(notebook, "causal-mask");
      cellOf(notebook, "causal-mask").source = maskText("return tf.zeros([queries, keys]);");
      add(notebook, "ex-mask-check", source.replace("//| export\n", ""));
    },
    isRun: true,
  },
  { name: "imports again", change: maskWith('import * as tf from "@tensorflow/tfjs";') },
  {
    name: "imports for a type, and for an effect",
    change: maskWith(
      'import type { Random } from "lib/engine/random.ts";\nimport { type Parameters } from "lib/engine/parameters.ts";\nimport "@std/assert";',
    ),
  },
  {
    name: "types of its own",
    change: maskWith(
      "type Rows<T> = T[];\ninterface Shape { rows: number }\nenum Sight { No, Yes }\nnamespace Own { export const x = 1; }\ndeclare const nothing: never;\nabstract class Base<T> { abstract f(): T; }\nfunction over(x: number): number;\nfunction over(x: string): string;\nfunction over(x: any) { return x; }\nconst shape = { rows: 1 } satisfies Shape;\nconst rows = [<number> shape.rows!, over(Sight.Yes), Own.x] as const;",
    ),
  },
  {
    name: "signs that look like others",
    change: maskWith(
      "let n = 3;\nwhile (n --> 0);\nconst a = 1, b = 2, c = 3, f = (...x: any[]) => x;\nf(a < b, c > (1));\nconst s = '<!-- no comment -->', r = /[/]\\/(?<x>a)|(?<y>b)/u, t = `${`}`}`;\nconst d = a / b / c, e = a!/b/c;\n/* --> */ // <!-- x",
    ),
  },
  {
    name: "a comment as in HTML",
    change: maskWith("/*\n<!-- a note -->\n*/\n// <!-- another -->"),
  },
  {
    name: "separators of lines in strings",
    change: maskWith("const s = '\u2028\u2029'; // \u2028const t = 1;"),
  },
  {
    name: "names from elsewhere",
    change: maskWith("const größe = 1, 學 = 2, \\u0061bc = 3, $ = 4, _ = 5, ünï = größe + 學;"),
  },
  { name: "emoji and combining signs", change: maskWith("const s = '👩‍👩‍👧 é ‮'; // 🎉") },
  {
    name: "labels and destructuring",
    change: maskWith("const { sqrt: w, ...rest } = Math;\nout: for (;;) { break out; }"),
  },
  {
    name: "no semicolons",
    change: mask(
      `const a = 1\nconsole.log(a)\n;[1, 2].forEach((x) => x + a)\nconst b = 1\nawait show("x")\nexport function causalMask(queries: number, keys = queries): tf.Tensor2D {${RIGHT_MASK}\n}\nconsole.log(2)`,
    ),
  },
  {
    name: "an import in between, without semicolons",
    change: maskWith('const a = Math.sqrt\nimport { assert } from "@std/assert"\n(a)(4)'),
  },
  { name: "a directive with blanks", change: (notebook) => everyDirective(notebook, "//|export") },
  {
    name: "a directive that is misspelt",
    change: (notebook) => everyDirective(notebook, "//| exports"),
  },
  { name: "no directive", change: (notebook) => everyDirective(notebook, "// mine") },
  {
    name: "a directive that is not the first line",
    change: (n) => everyDirective(n, "// mine\n//| export"),
  },
  // Files.
  { name: "line ends of Windows", change: everywhere((s) => s.replaceAll("\n", "\r\n")) },
  { name: "line ends of old Macs", change: everywhere((s) => s.replaceAll("\n", "\r")) },
  {
    name: "mixed line ends",
    change: everywhere((s) => s.replace("\n", "\r").replace("\n", "\r\n")),
  },
  { name: "a blank at each end of line", change: everywhere((s) => s.replaceAll("\n", "  \n")) },
  { name: "tabs", change: everywhere((s) => s.replaceAll("  ", "\t")) },
  { name: "blanks that do not break", change: maskWith("const\u00a0x =\u20031;") },
  { name: "a byte order mark in a cell", change: maskWith("const x = 1;", "\ufeff") },
  {
    name: "cells in another order",
    change: (notebook) => {
      const cell = cellOf(notebook, "causal-mask");
      notebook.cells.splice(notebook.cells.indexOf(cell), 1);
      notebook.cells.splice(notebook.cells.indexOf(cellOf(notebook, "ex-mask-check")), 0, cell);
    },
  },
  // What is lost is lost for its own exercise only, and said.
  {
    name: "a solution turned into Markdown",
    change: (notebook) => cellOf(notebook, "causal-mask").cell_type = "markdown",
    says: /was turned into text; it was run as code/,
    isRun: true,
  },
  {
    name: "a solution turned into raw text",
    change: (notebook) => cellOf(notebook, SCORES).cell_type = "raw",
    says: /was turned into text; it was run as code/,
  },
  {
    name: "a broken regular expression",
    change: maskWith("const r = /(/;"),
    points: [0, 1, 2, 3],
    says: /Unterminated group.*"line":2/,
    isRun: true,
  },
  {
    name: "a decorator",
    change: maskWith("const d = (x: any) => x;\n@d class A {}"),
    points: [0, 1, 2, 3],
    says: /decorator.*"line":3/,
  },
  {
    name: "a bracket too many",
    change: maskWith("", "}"),
    points: [0, 1, 2, 3],
    says: /"line":\d/,
  },
  {
    name: "an answer that calls itself for ever",
    change: mask("export function causalMask(q: number, k = q): any { return causalMask(q, k); }"),
    points: [0, 1, 2, 3],
    says: /call stack/,
  },
];

function maskText(body: string): string {
  return `//| export\nexport function causalMask(queries: number, keys = queries): any { ${body} }`;
}

function everyDirective(notebook: Notebook, text: string): void {
  for (const { metadata, ...cell } of notebook.cells) {
    if (!metadata.nbgrader?.solution) continue;
    const own = cellOf(notebook, metadata.nbgrader.grade_id);
    own.source = cell.source.replace("//| export", text);
  }
}
