/** What hostile submissions try. Each is put into an exercise of a notebook that is otherwise not done: worth 0 points. */

/** One attack. */
export interface Attack {
  name: string;
  /** Stands in the solution cell, above the function. */
  top?: string;
  /** Body of `causalMask(queries, keys)`. */
  body: string;
  /** A part of what the report says. */
  says: RegExp;
}

/** Patches something that checks rely on, then answers with zeros. */
const patched = (patch: string): string => `
  try { ${patch} } catch {}
  return tf.zeros([queries, keys]);`;
const WRONG_ANSWER = /Nothing is hidden/;

/** Programs; `@SECRET@` is replaced by the path of a file that only the teacher may read. */
export const attacks: Attack[] = [
  {
    name: "reads a file",
    body: 'throw new Error(Deno.readTextFileSync("@SECRET@"));',
    says: /Deno.readTextFileSync is not there/,
  },
  {
    name: "imports a file as JSON",
    top: 'import secret from "@SECRET@" with { type: "json" };',
    body: "throw new Error(JSON.stringify(secret));",
    says: /imports "@SECRET@", which an exercise may not/,
  },
  {
    name: "imports at run time",
    body: 'import("@SECRET@"); return tf.zeros([queries, keys]);',
    says: /uses import\(\)/,
  },
  {
    name: "imports the reference",
    top: 'import { causalMask as reference } from "lib/attention.ts";',
    body: "return reference(queries, keys);",
    says: /imports "lib\/attention.ts"/,
  },
  {
    name: "imports a kernel of the engine",
    top: 'import * as kernels from "lib/engine/kernels.ts";',
    body: "return kernels.x;",
    says: /imports "lib\/engine\/kernels.ts"/,
  },
  {
    name: "imports node:fs",
    top: 'import { readFileSync } from "node:fs";',
    body: 'throw new Error(readFileSync("@SECRET@", "utf8"));',
    says: /imports "node:fs"/,
  },
  {
    name: "gets node:fs from process",
    body: 'throw new Error(process.getBuiltinModule("node:fs").readFileSync("@SECRET@", "utf8"));',
    says: /process is not defined/,
  },
  {
    name: "writes a file",
    body: 'Deno.writeTextFileSync("@SECRET@", "harmed"); return tf.zeros([queries, keys]);',
    says: /Deno.writeTextFileSync is not there/,
  },
  {
    name: "stores for the next learner",
    body: 'localStorage.setItem("a", "b"); return tf.zeros([queries, keys]);',
    says: /localStorage is not defined/,
  },
  {
    name: "opens a socket",
    body: 'Deno.connect({ hostname: "127.0.0.1", port: 80 }); return tf.zeros([queries, keys]);',
    says: /Deno.connect is not there/,
  },
  {
    name: "fetches",
    body: 'fetch("http://127.0.0.1/"); return tf.zeros([queries, keys]);',
    says: /fetch is not defined/,
  },
  {
    name: "spawns a process",
    body: 'new Deno.Command("sh").outputSync(); return tf.zeros([queries, keys]);',
    says: /not (there|a constructor)/,
  },
  {
    name: "reads the environment",
    body: 'throw new Error("home: " + Deno.env.get("HOME") + Deno.env.get("PATH"));',
    says: /home: undefinedundefined/,
  },
  {
    name: "loads a native library",
    body: 'Deno.dlopen("libc.so.6", {}); return tf.zeros([queries, keys]);',
    says: /Deno.dlopen is not there/,
  },
  {
    name: "starts a worker",
    body: 'new Worker("data:text/javascript,0", { type: "module" });',
    says: /Worker is not defined/,
  },
  { name: "loops for ever", body: "for (;;);", says: /computed for more than|not finished after/ },
  {
    name: "waits for ever",
    body: "return { array: () => new Promise(() => setInterval(() => {}, 50)) };",
    says: /not finished after/,
  },
  {
    name: "waits for nothing",
    body: "return { array: () => new Promise(() => {}) };",
    says: /waits for something that never comes|ended before/,
  },
  {
    name: "fills the heap",
    body: "const all = []; for (;;) all.push(new Array(1e6).fill(all.length));",
    says: /of memory|not finished/,
  },
  {
    name: "fills memory outside the heap",
    body: "const all = []; for (;;) all.push(new Uint8Array(5e7).fill(1));",
    says: /of memory|invalid array/i,
  },
  {
    name: "prints a gigabyte",
    body: 'const line = "x".repeat(1e6); for (let i = 0; i < 1000; i++) console.log(line);',
    says: /printed more than/,
  },
  { name: "leaves with code 0", body: "Deno.exit(0);", says: /Deno.exit is not there/ },
  { name: "leaves through process", body: "globalThis.process.exit(0);", says: /undefined/ },
  {
    name: "throws later",
    body: 'setTimeout(() => { throw new Error("done"); }); return tf.zeros([queries, keys]);',
    says: WRONG_ANSWER,
  },
  {
    name: "rejects later",
    body: 'Promise.reject(new Error("done")); return tf.zeros([queries, keys]);',
    says: WRONG_ANSWER,
  },
  {
    name: "own assertEquals",
    top: "const assertEquals = () => {};",
    body: patched("assertEquals()"),
    says: WRONG_ANSWER,
  },
  {
    name: "replaces assertEquals",
    body: "assertEquals = () => {}; return tf.zeros([queries, keys]);",
    says: /assigns to `assertEquals`/,
  },
  {
    name: "replaces Math",
    top: "globalThis.Math = { abs: () => 0 };",
    body: "return tf.zeros([queries, keys]);",
    says: WRONG_ANSWER,
  },
  { name: "patches Math.abs", body: patched("Math.abs = () => 0;"), says: WRONG_ANSWER },
  {
    name: "patches Array.prototype.map",
    body: patched('Array.prototype.map = () => ["100", "110", "111"];'),
    says: WRONG_ANSWER,
  },
  {
    name: "patches Array.prototype.join by definition",
    body: patched(
      'Object.defineProperty(Array.prototype, "join", { value: () => "100 110 111" });',
    ),
    says: WRONG_ANSWER,
  },
  {
    name: "patches JSON.stringify",
    body: patched("JSON.stringify = () => '{\"ok\":true}';"),
    says: WRONG_ANSWER,
  },
  {
    name: "patches promises",
    body: patched("Promise.prototype.then = (ok) => ok();"),
    says: WRONG_ANSWER,
  },
  {
    name: "patches iteration",
    body: patched("Array.prototype[Symbol.iterator] = function* () {};"),
    says: WRONG_ANSWER,
  },
  {
    name: "patches Error",
    body: patched("globalThis.Error = function () { return undefined; };"),
    says: WRONG_ANSWER,
  },
  {
    name: "patches Object.prototype",
    body: patched('Object.defineProperty(Object.prototype, "ok", { value: true });'),
    says: WRONG_ANSWER,
  },
  {
    name: "patches tensors",
    body: patched(
      "tf.Tensor.prototype.array = async () => [[0, -1e9, -1e9], [0, 0, -1e9], [0, 0, 0]];",
    ),
    says: WRONG_ANSWER,
  },
  {
    name: "patches the backend",
    body: patched("tf.backend().read = () => [0];"),
    says: WRONG_ANSWER,
  },
  {
    name: "patches the engine it finds",
    body: patched(
      "globalThis._tfengine.registry.cpu.read = () => [0]; globalThis._tfengine.registry = {};",
    ),
    says: WRONG_ANSWER,
  },
  {
    name: "registers its own kernel",
    body: patched(
      'tf.registerKernel({ kernelName: "Sub", backendName: "cpu", kernelFunc: () => {} });',
    ),
    says: WRONG_ANSWER,
  },
  {
    name: "evaluates text",
    body: 'return eval("tf.zeros([queries, keys])");',
    says: /eval is not defined/,
  },
  {
    name: "makes code from text",
    body: "return (() => {}).constructor(\"return import('@SECRET@')\")();",
    says: /code cannot be made out of text/,
  },
  {
    name: "makes async code from text",
    body: "return (async () => {}).constructor(\"return import('@SECRET@')\")();",
    says: /code cannot be made out of text/,
  },
  {
    name: "prints a result of its own",
    body: 'console.log(\'{"ok":true,"value":100}\'); return tf.zeros([queries, keys]);',
    says: WRONG_ANSWER,
  },
  {
    name: "throws what cannot be read",
    body: 'throw new Proxy({}, { get() { throw new Error("no"); } });',
    says: /cannot be read/,
  },
  {
    name: "throws a stack that traps",
    body: 'throw { message: "m", get stack() { for (;;); } };',
    says: /computed for more than|not finished after/,
  },
  {
    name: "closes the cell's brackets",
    top: "} } }); { {",
    body: "return 1;",
    says: /Unexpected token/,
  },
  {
    name: "replaces the grader's own parts",
    body: "$begin = $cell = () => {}; return tf.zeros([queries, keys]);",
    says: /\$(begin|cell) is not defined/,
  },
  { name: "grows without end", body: `return [${"1 + ".repeat(10_000)}1];`, says: /./ },
  {
    name: "wastes the parser's time",
    top: `${"\n".repeat(40_000)}//| export${" ".repeat(5_000)}x`,
    body: "return 1;",
    says: /./,
  },
];
