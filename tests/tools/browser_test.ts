/** The library in a browser: one import, a tokenizer, a model that trains and writes. Skipped where there is no Chromium. */
import { assertEquals } from "@std/assert";
import { join } from "node:path";

const ROOT = join(import.meta.dirname!, "..", "..");

const PROGRAM = `
import { generate, GPT, packTokens, Tokenizer, Trainer, useBackend } from "lib/mod.ts";
try {
  const { name } = await useBackend("cpu");
  const text = "the cat sat on the mat ".repeat(20);
  const tokenizer = await Tokenizer.train(text, { vocabSize: 270 });
  const { vocabSize } = tokenizer;
  const model = new GPT({ vocabSize, blockSize: 8, nLayer: 1, nHead: 2, nEmbd: 8 });
  const train = packTokens(tokenizer.encode(text), vocabSize);
  const trainer = new Trainer({ model, train, steps: 5, batchSize: 2 });
  await trainer.run();
  const tokens = await Array.fromAsync(generate(model, tokenizer, "the", { maxTokens: 5 }));
  document.body.textContent = \`\${name}: \${trainer.step} steps, \${tokens.length} tokens\`;
} catch (error) {
  document.body.textContent = error.stack;
}
`;

async function findBrowser(): Promise<string | undefined> {
  for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
    const command = new Deno.Command(name, { args: ["--version"] });
    const found = await command.output().catch(() => undefined);
    if (found?.success) return name;
  }
}

const browser = await findBrowser();

/** The page's text after its program has ended. */
async function textOf(browser: string, address: string): Promise<string> {
  const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=30000"];
  const args = [...flags, "--dump-dom", address];
  const { stdout } = await new Deno.Command(browser, { args, stderr: "null" }).output();
  return new TextDecoder().decode(stdout).replace(/<[^>]*>/g, "").trim();
}

Deno.test({
  name: `lib/mod.ts runs in a browser${browser ? "" : ": skipped, there is no Chromium"}`,
  ignore: !browser,
  fn: async () => {
    const folder = join(ROOT, "build", "browser");
    await Deno.mkdir(folder, { recursive: true });
    const [program, bundle] = [join(folder, "page.ts"), join(folder, "page.js")];
    await Deno.writeTextFile(program, PROGRAM);
    const args = ["bundle", "--quiet", "--platform", "browser", "-o", bundle, program];
    const { success, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT })
      .output();
    assertEquals(success, true, new TextDecoder().decode(stderr));
    const page =
      '<!doctype html><body>loading<script type="module" src="/page.js"></script></body>';
    const server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen() {} },
      async ({ url }) => {
        const isPage = new URL(url).pathname === "/";
        const headers = { "content-type": isPage ? "text/html" : "text/javascript" };
        return new Response(isPage ? page : await Deno.readFile(bundle), { headers });
      },
    );
    const text = await textOf(browser!, `http://127.0.0.1:${server.addr.port}/`);
    await server.shutdown();
    assertEquals(text, "cpu: 5 steps, 5 tokens");
  },
});
