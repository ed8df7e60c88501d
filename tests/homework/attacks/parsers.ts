/**
 * Attacks on the border between a learner's cell and its check: texts that one parser takes for something else than another.
 * Each stands for the cell `causal-mask` of chapter 03, and answers with zeros where it answers at all.
 */

/** Cells, by what they try. */
export const onParsers: Record<string, string> = {
  "leaves its function by a comment of HTML": `//| export
let a = 1, b = {}, c = {};
a as any
<!--b[async () => { a(function () { {
return {};
}} , []);
return;
(function () {})(1, async function () { {
a
<!--c[0] }}); }];
export function causalMask(queries, keys = queries) { return 1; }`,
};

const WRONG = `
export function causalMask(queries: number, keys = queries): any { return tf.zeros([queries, keys]); }
`;

/** Ways out of a function, however it is wrapped. */
const WAYS_OUT = [
  "}); return; (async () => {",
  "} }); return; (async function () { {",
];

/** Before and behind a way out: what makes one parser see it and another not. */
const DISGUISES: Record<string, [before: string, behind: string]> = {
  "nothing at all": ["", ""],
  "as and <!--": ["1 as any\n<!-- ", "\n"],
  "satisfies and <!--": ["1 satisfies any\n<!-- ", "\n"],
  "an assertion and <!--": ["(1)!\n<!-- ", "\n"],
  "--> on a new line": ["let arrow = 1;\narrow\n--> ", "\n"],
  "--> behind a comment": ["/* */ --> ", "\n"],
  "--> behind a comment of two lines": ["/*\n*/ --> ", "\n"],
  "a line separator in a comment": ["// \u2028", "\n"],
  "a paragraph separator in a comment": ["// \u2029", "\n"],
  "a line separator in <!--": ["1 as any\n<!-- \u2028", "\n"],
  "a carriage return in a comment": ["// \r", "\n"],
  "a hashbang": ["#! ", "\n"],
  "a comment without an end": ["/* ", ""],
  "a template without an end": ["`", ""],
  "a template in a template": ["`${`", "`}`"],
  "a regular expression behind as": ["1 as any\n/ ", "/ 1;\n"],
  "a regular expression behind a bracket": ["if (0) /", "/.test('');\n"],
  "a regular expression behind a type": ["type T = 1\n/", "/;\n"],
  "a division behind a brace": ["let o = {} / 1; ({}) /", "/ 1;\n"],
  "a generic call": ["let f: any, g: any; f<g>(0); f < g > /", "/;\n"],
  "a generic arrow": ["const h = <T,>(x: T) => x; /*", "*/\n"],
  "a type of a template": ["type U = `${'", "'}`;\n"],
  "a mapped type": ['type V = { [k in "', '"]: 1 };\n'],
  "a comment in a type": ["let t: /* ", "*/ any;\n"],
  "a declared module": ['declare module "x', '" {}\n'],
  "a string with a line separator": ["const s = '\u2028", "';\n"],
  "a string with an escape": ["const s = '\\", "';\n"],
  "a name with an escape": ["const \\u{7d} = 1; ", "\n"],
  "a label": ["out: { break out; } ", "\n"],
  JSX: ["const j = <b>", "</b>;\n"],
};

for (const [name, [before, behind]] of Object.entries(DISGUISES)) {
  WAYS_OUT.forEach((out, i) => {
    onParsers[`way out ${i + 1}, in ${name}`] = `//| export\n${before}${out}${behind}${WRONG}`;
  });
}

/** Other texts around the wrong answer. */
const AROUND: Record<string, [before: string, behind: string]> = {
  "returns at once": ["return;", ""],
  "returns a promise that answers": ["return { then(ok) { ok({ causalMask: 1 }); } };", ""],
  "yields": ["yield 1;", ""],
  "a comment at the very end": ["", "//"],
  "an open comment at the very end": ["", "/*"],
  "an open comment of HTML at the very end": ["", "<!--"],
  "an open string at the very end": ["", "'"],
  "a backslash at the very end": ["", "\\"],
  "a name for its source": ["", "//# sourceURL=exercise-0-3"],
  "a map for its source": ["", "//# sourceMappingURL=data:application/json,{}"],
  "export =": ["", "export = causalMask;"],
  "import =": ["import fs = require('node:fs');", "fs.readFileSync('x');"],
  "export as namespace": ["", "export as namespace N;"],
  "export *": ["export * from 'node:fs';", ""],
  "a decorator": ["function d(x: any) { return x; }\n@d class A {}", ""],
  "an accessor": ["class A { accessor x = 1; }", ""],
  "a broken regular expression": ["const r = /(/;", ""],
  "a group named twice": ["const r = /(?<a>x)(?<a>y)/;", ""],
  "a long chain": [`const x = () => tf${".a".repeat(15_000)};`, ""],
  "deep brackets": [`const x = ${"[".repeat(10_000)}${"]".repeat(10_000)};`, ""],
  "with": ["with (tf) { zeros = 1; }", ""],
  "deletes a name": ["delete assertEquals;", ""],
  "an octal number": ["const x = 010;", ""],
  "arguments of the wrapper": ["arguments[0] = arguments[1] = () => {};", ""],
  "callee of the wrapper": ["arguments.callee.caller();", ""],
  "imports between two halves": ["throwing\nimport 'lib/attention.ts'\n(0);", ""],
  "escapes in a keyword": ["retu\\u0072n;", ""],
  "await as a name": ["var await = 1;", ""],
  "a private name outside": ["#x in tf;", ""],
};

for (const [name, [before, behind]] of Object.entries(AROUND)) {
  onParsers[name] = `//| export\n${before}\n${WRONG}${behind}`;
}
