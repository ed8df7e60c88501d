/**
 * Models of ours in other programs, and theirs here: llama.cpp (npm node-llama-cpp) and Hugging Face's transformers (Python).
 * Each test is skipped where its program cannot be had, and says so.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import { join } from "node:path";
import { useBackend } from "lib/engine/backend.ts";
import { Random } from "lib/engine/random.ts";
import { exportGGUF, exportHuggingFace, importHuggingFace } from "lib/exchange.ts";
import { generate } from "lib/sample.ts";
import { Tokenizer } from "lib/tokenizer.ts";
import { packTokens, Trainer } from "lib/train.ts";
import { GPT } from "lib/transformer.ts";
import { ask, findPython } from "tools/programs.ts";
import { testIf } from "../optional.ts";
import { assertTensor } from "../support.ts";

const ROOT = join(import.meta.dirname!, "..", "..");
const TALE = "Once upon a time there was a rabbit who was late. It's late, said the rabbit, " +
  "and ran down 2 holes. Then a cat came by, très vite!\n\n";
const PROMPT = "Once upon a time";
/** What a tokenizer can get wrong: contractions, digits, runs of blanks, letters and signs of all kinds. */
const HARD = [
  PROMPT,
  "It's 1234 rabbits' holes,  they'd  say.\n\n\tNo!!  ",
  "très naïve; 日本語 and 🦊👩‍👩‍👧, \u00a0\ufeffdone\r\n x",
];

await useBackend("simd").catch(() => useBackend("cpu"));

/** A small model that has learnt the tale by heart, so that what it writes is no matter of the last digit. */
const learned = learn();

async function learn(): Promise<{ model: GPT; tokenizer: Tokenizer }> {
  const text = TALE.repeat(12);
  const options = { vocabSize: 320, specialTokens: ["<|endoftext|>"] };
  const tokenizer = await Tokenizer.train(text, options);
  const { vocabSize } = tokenizer;
  const shape = { blockSize: 64, nLayer: 2, nHead: 2, nEmbd: 32 };
  const model = new GPT({ vocabSize, ...shape }, new Random(3));
  const train = packTokens(tokenizer.encode(text), vocabSize);
  await new Trainer({ model, train, steps: 80, batchSize: 3, learningRate: 8e-3 }).run();
  return { model, tokenizer };
}

async function greedy(model: GPT, tokenizer: Tokenizer): Promise<number[]> {
  const tokens = generate(model, tokenizer, PROMPT, { maxTokens: 32, temperature: 0 });
  return (await Array.fromAsync(tokens)).map(({ id }) => id);
}

// --- llama.cpp

const LLAMA = "3.22.1";
const LLAMA_PROGRAM = `
import { getLlama } from "node-llama-cpp";
const [file, prompt, ...texts] = process.argv.slice(2);
const llama = await getLlama({
  build: "never", skipDownload: true, gpu: false, maxThreads: 1, logLevel: "error", progressLogs: false,
});
const model = await llama.loadModel({ modelPath: file });
const context = await model.createContext({ contextSize: 64, threads: 1 });
const written = [];
for await (const token of context.getSequence().evaluate(JSON.parse(prompt), { temperature: 0 })) {
  if (written.push(token) === 32) break;
}
console.log(JSON.stringify({ ids: texts.map((text) => [...model.tokenize(text, false)]), written }));
process.exit(0);
`;

/** A folder in which node-llama-cpp is installed without its packages for graphics cards; or why there is none. */
async function installLlama(): Promise<{ folder: string; problem: string }> {
  const folder = join(ROOT, "build", "llama");
  const platform = ({ darwin: "mac", windows: "win" } as Record<string, string>)[Deno.build.os] ??
    Deno.build.os;
  const cpu = Deno.build.arch === "x86_64" ? "x64" : "arm64";
  const binaries = platform === "mac" && cpu === "arm64" ? "mac-arm64-metal" : `${platform}-${cpu}`;
  const packages = [`node-llama-cpp@${LLAMA}`, `@node-llama-cpp/${binaries}@${LLAMA}`];
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(join(folder, "package.json"), `{"private":true,"type":"module"}`);
  await Deno.writeTextFile(join(folder, "run.js"), LLAMA_PROGRAM);
  const installed = await Deno.stat(
    join(folder, "node_modules", packages[1].replace(/@[\d.]+$/, "")),
  )
    .then(() => true, () => false);
  if (installed) return { folder, problem: "" };
  const flags = ["--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"];
  const { problem } = await ask("npm", ["install", ...flags, ...packages], { cwd: folder });
  return { folder, problem: problem && `node-llama-cpp could not be installed: ${problem}` };
}

const llama = await installLlama();

testIf(llama.problem, "llama.cpp reads our GGUF: same ids, same 32 tokens", async () => {
  const { model, tokenizer } = await learned;
  const file = join(llama.folder, "model.gguf");
  await exportGGUF(file, { model, tokenizer });
  const prompt = tokenizer.encode(PROMPT);
  const args = ["run.js", file, JSON.stringify(prompt), ...HARD];
  const { ok, stdout, problem } = await ask("node", args, { cwd: llama.folder });
  assert(ok, problem);
  const { ids, written } = JSON.parse(stdout);
  assertEquals(ids, HARD.map((text) => tokenizer.encode(text)));
  assertEquals(written, await greedy(model, tokenizer));
});

// --- transformers

const transformers = await findPython("torch", "transformers");

const READ = `
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, prompt, *texts = sys.argv[1:]
model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
ids = torch.tensor([tokenizer(prompt)["input_ids"]])
with torch.no_grad():
    logits = model(ids).logits.flatten().tolist()
    written = model.generate(ids, max_new_tokens=32, do_sample=False)[0, ids.shape[1]:].tolist()
print(json.dumps({"kind": type(model).__name__, "ids": [tokenizer(t)["input_ids"] for t in texts],
    "decoded": [tokenizer.decode(tokenizer(t)["input_ids"]) for t in texts], "logits": logits, "written": written}))
`;

const WRITE = `
import json, sys, torch
from transformers import GPT2Config, GPT2LMHeadModel
torch.manual_seed(11)
config = GPT2Config(vocab_size=301, n_positions=48, n_embd=24, n_layer=3, n_head=4, n_inner=40, initializer_range=0.4)
model = GPT2LMHeadModel(config).eval()
for p in model.parameters():
    if p.dim() == 1: p.data += 0.3 * torch.randn(p.shape)
model.save_pretrained(sys.argv[1])
ids = torch.arange(0, 300, 7).unsqueeze(0)
with torch.no_grad(): print(json.dumps({"ids": ids[0].tolist(), "logits": model(ids).logits.flatten().tolist()}))
`;

async function inPython(program: string, ...args: string[]) {
  const { ok, stdout, stderr } = await ask(transformers.program, ["-c", program, ...args]);
  assert(ok, stderr);
  return JSON.parse(stdout);
}

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  await body(folder).finally(() => Deno.remove(folder, { recursive: true }));
}

testIf(
  transformers.problem,
  "transformers loads our folder: same ids, logits and 32 tokens",
  () =>
    inFolder(async (folder) => {
      const { model, tokenizer } = await learned;
      await exportHuggingFace(folder, { model, tokenizer });
      const { kind, ids, decoded, logits, written } = await inPython(READ, folder, PROMPT, ...HARD);
      assertEquals(kind, "GPT2LMHeadModel");
      assertEquals(ids, HARD.map((text) => tokenizer.encode(text)));
      assertEquals(decoded, HARD);
      const prompt = tokenizer.encode(PROMPT);
      const ours = model.forward(tf.tensor2d([prompt], [1, prompt.length], "int32"));
      await assertTensor(ours, logits, 1e-4);
      assertEquals(written, await greedy(model, tokenizer));
    }),
);

testIf(
  transformers.problem,
  "a GPT-2 that transformers has just made has its logits here",
  () =>
    inFolder(async (folder) => {
      const { ids, logits } = await inPython(WRITE, folder);
      const { model } = await importHuggingFace(folder);
      await assertTensor(model.forward(tf.tensor2d([ids], [1, ids.length], "int32")), logits, 1e-4);
    }),
);

/** The files that people make of one tied model, under the names and in the halves that their programs store. */
const SPELLINGS = `
import json, os, sys, torch
from transformers import GPT2Config, GPT2LMHeadModel
from safetensors.torch import save_file, save_model
torch.manual_seed(3)
config = GPT2Config(vocab_size=24, n_positions=16, n_embd=8, n_layer=2, n_head=2)
model = GPT2LMHeadModel(config).eval()
def folder(name, fields):
    path = os.path.join(sys.argv[1], name)
    os.makedirs(path, exist_ok=True)
    json.dump(fields, open(path + "/config.json", "w"))
    return path + "/model.safetensors"
fields = config.to_dict()
save_model(model, folder("half", fields))
save_model(torch.compile(model), folder("compiled", fields))
save_model(torch.nn.DataParallel(model), folder("parallel", fields))
aliases = {**fields, **{alias: fields[name] for alias, name in config.attribute_map.items()}}
for name in config.attribute_map.values(): del aliases[name]
assert GPT2Config.from_dict(aliases).n_head == 2
save_model(model, folder("aliases", aliases))
model.save_pretrained(sys.argv[1] + "/shards", max_shard_size="2KB")
untied = GPT2LMHeadModel(GPT2Config.from_dict({**fields, "tie_word_embeddings": False}))
untied.save_pretrained(sys.argv[1] + "/untied")
ids = torch.arange(0, 16).unsqueeze(0)
with torch.no_grad(): print(json.dumps({"ids": ids[0].tolist(), "logits": model(ids).logits.flatten().tolist()}))
`;

testIf(
  transformers.problem,
  "what PyTorch's programs store of one model is one model here, and an untied one is refused",
  () =>
    inFolder(async (folder) => {
      const { ids, logits } = await inPython(SPELLINGS, folder);
      for (const name of ["half", "compiled", "parallel", "aliases", "shards"]) {
        const { model } = await importHuggingFace(join(folder, name));
        const ours = model.forward(tf.tensor2d([ids], [1, ids.length], "int32"));
        await assertTensor(ours, logits, 1e-5);
      }
      const untied = () => importHuggingFace(join(folder, "untied"));
      await assertRejects(untied, Error, "differs from the token table");
    }),
);
