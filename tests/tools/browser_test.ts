/**
 * The library in a browser: one import, a tokenizer, a model that trains and writes, on the backends that a page can have.
 * Skipped where there is no Chromium.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import * as book from "lib/mod.ts";
import { findProgram } from "tools/programs.ts";
import { testIf } from "../optional.ts";

const ROOT = join(import.meta.dirname!, "..", "..");

const { generate, GPT, packTokens, Random, saveCheckpoint, Tokenizer, Trainer, useBackend } = book;

/** The page's program: trains and writes on the backend named in the address, and sends what it found. */
const PROGRAM = `
import * as book from "lib/mod.ts";
import { verifyOperators } from "lib/engine/ops.ts";
import { simdBackend } from "lib/engine/simd/mod.ts";

const { generate, GPT, loadCheckpoint, packTokens, Tokenizer, Trainer, useBackend } = book;

/** What a model writes that was trained and saved elsewhere. */
async function loaded() {
  const saved = await loadCheckpoint(new URL("model/", location.href).href);
  const written = await Array.fromAsync(
    generate(saved.model, saved.tokenizer, "the c", { maxTokens: 20, temperature: 0 }),
  );
  return written.map(({ text }) => text).join("");
}

async function found() {
  const { name, line } = await useBackend(location.search.slice(1) || undefined);
  const text = "the cat sat on the mat ".repeat(20);
  const tokenizer = await Tokenizer.train(text, { vocabSize: 270 });
  const { vocabSize } = tokenizer;
  const model = new GPT({ vocabSize, blockSize: 8, nLayer: 1, nHead: 2, nEmbd: 8 });
  const train = packTokens(tokenizer.encode(text), vocabSize);
  const trainer = new Trainer({ model, train, steps: 5, batchSize: 2 });
  await trainer.run();
  const tokens = await Array.fromAsync(generate(model, tokenizer, "the", { maxTokens: 5 }));
  const verdicts = await verifyOperators();
  await simdBackend()?.pool.ready();
  return {
    name,
    line,
    exports: Object.keys(book).length,
    text: await loaded(),
    lost: await loadCheckpoint(new URL("nowhere", location.href).href).catch((error) => error.message),
    steps: trainer.step,
    tokens: tokens.length,
    kernels: verdicts.filter(({ same }) => same).length,
    wrong: verdicts.filter(({ same }) => !same).map(({ operator }) => operator),
    workers: simdBackend()?.pool.workers,
    cores: navigator.hardwareConcurrency,
  };
}

const body = JSON.stringify(await found().catch((error) => ({ error: error.stack })));
await fetch("/found", { method: "POST", body });
`;

/** What the page sends. */
interface Found {
  error?: string;
  name: string;
  line: string;
  exports: number;
  /** What the model writes that the test has saved. */
  text: string;
  lost: string;
  steps: number;
  tokens: number;
  /** Fused kernels that compute what the chapters' functions do, and operators whose kernels do not. */
  kernels: number;
  wrong: string[];
  workers?: number;
  cores: number;
}

const browser = await findProgram(["chromium", "chromium-browser", "google-chrome"]);

/** What a page needs to share memory with workers. */
const ISOLATED = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
};

/** A software graphics card, where this Chromium brings one. */
const SOFTWARE_GPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/** Milliseconds after which a page counts as hanging. */
const PATIENCE = 120_000;

/** The folder of a site: the bundle, and beside it the engine's kernels and shaders. */
async function buildSite(): Promise<string> {
  const folder = join(ROOT, "build", "browser");
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(join(folder, "page.ts"), PROGRAM);
  const args = ["bundle", "--quiet", "--platform", "browser", "-o", "page.js", "page.ts"];
  const { success, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd: folder })
    .output();
  assert(success, new TextDecoder().decode(stderr));
  for (const part of ["simd", "webgpu"]) {
    const source = join(ROOT, "lib", "engine", part);
    const names = [...Deno.readDirSync(source)].map(({ name }) => name);
    for (const name of names.filter((name) => /\.(wasm|wgsl)$/.test(name))) {
      await Deno.copyFile(join(source, name), join(folder, name));
    }
  }
  return folder;
}

/** Trains a small model, saves it for the site, and gives what it writes here. */
async function saveModel(folder: string): Promise<string> {
  await useBackend("cpu");
  const text = "the cat sat on the mat and the dog ran ".repeat(20);
  const tokenizer = await Tokenizer.train(text, { vocabSize: 280 });
  const { vocabSize } = tokenizer;
  const model = new GPT(
    { vocabSize, blockSize: 16, nLayer: 1, nHead: 2, nEmbd: 16 },
    new Random(3),
  );
  const train = packTokens(tokenizer.encode(text), vocabSize);
  await new Trainer({ model, train, steps: 60, batchSize: 4, learningRate: 0.01 }).run();
  await saveCheckpoint(folder, { model, tokenizer });
  const written = await Array.fromAsync(
    generate(model, tokenizer, "the c", { maxTokens: 20, temperature: 0 }),
  );
  return written.map(({ text }) => text).join("");
}

let site: Promise<string> | undefined;
let written: Promise<string> | undefined;

async function answer(request: Request, headers: HeadersInit): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname === "/") {
    const page = '<!doctype html><script type="module" src="/page.js"></script>';
    return new Response(page, { headers: { ...headers, "content-type": "text/html" } });
  }
  const file = await Deno.readFile(join(await site!, pathname)).catch(() => undefined);
  if (!file) return new Response("not here", { status: 404 });
  const type = pathname.endsWith(".js") ? "text/javascript" : "application/octet-stream";
  return new Response(file, { headers: { ...headers, "content-type": type } });
}

/** Opens the page in a browser of its own, and gives what it sends. */
async function visit(
  backend: string,
  { headers = {}, flags = [] }: { headers?: HeadersInit; flags?: string[] } = {},
): Promise<Found> {
  const folderOfSite = await (site ??= buildSite());
  const text = await (written ??= saveModel(join(folderOfSite, "model")));
  const sent = Promise.withResolvers<Found>();
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    if (request.method !== "POST") return await answer(request, headers);
    sent.resolve(await request.json());
    return new Response();
  });
  const folder = await Deno.makeTempDir();
  const address = `http://127.0.0.1:${server.addr.port}/?${backend}`;
  const settings = ["--headless", "--no-sandbox", `--user-data-dir=${folder}`, ...flags, address];
  const process = new Deno.Command(browser!, {
    args: settings,
    env: { TMPDIR: folder }, // where it leaves things when it is killed
    stdout: "null",
    stderr: "null",
  }).spawn();
  const timer = setTimeout(() => sent.reject(new Error("the page sends nothing")), PATIENCE);
  try {
    const found = await sent.promise;
    assertEquals(found.error, undefined);
    assertEquals([found.steps, found.tokens], [5, 5]);
    assertEquals([found.text, found.exports], [text, Object.keys(book).length]);
    assertMatch(found.lost, /no checkpoint in http/);
    return found;
  } finally {
    clearTimeout(timer);
    process.kill("SIGKILL");
    await process.status;
    await server.shutdown();
    await Deno.remove(folder, { recursive: true }).catch(() => {}); // its helpers may still write there
  }
}

function browserTest(name: string, fn: () => Promise<void>): void {
  testIf(browser ? "" : "there is no Chromium", `in a browser: ${name}`, fn);
}

browserTest("lib/mod.ts trains and writes on cpu", async () => {
  assertEquals((await visit("cpu")).name, "cpu");
});

browserTest("simd has workers where memory can be shared", async () => {
  const { name, wrong, kernels, workers, cores } = await visit("simd", { headers: ISOLATED });
  assertEquals([name, wrong], ["simd", []]);
  assert(kernels > 0);
  assert(workers! > 0 || cores === 1, `${workers} workers on ${cores} cores`);
});

browserTest("simd has one thread where memory cannot be shared", async () => {
  const { name, wrong, kernels, workers } = await visit("simd");
  assertEquals([name, wrong, workers], ["simd", [], 0]);
  assert(kernels > 0);
});

browserTest("without a graphics card the choice falls on simd, and says why", async () => {
  const { name, line } = await visit("", { flags: ["--disable-gpu", "--disable-features=WebGPU"] });
  assertEquals(name, "simd");
  assertMatch(line, /not webgpu: no graphics adapter found/);
});

browserTest(
  "the shaders compute what the functions do, if Chromium brings an adapter",
  async () => {
    const found = await visit("webgpu", { flags: SOFTWARE_GPU }).catch((error) => error as Error);
    if (found instanceof Error) assertMatch(found.message, /no graphics adapter found/);
    else assertEquals([found.name, found.wrong], ["webgpu", []]);
  },
);
