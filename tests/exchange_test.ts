import { assert, assertEquals, assertRejects } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { join } from "node:path";
import { encodeGGUF } from "lib/data/gguf.ts";
import { specialToken } from "lib/data/added-tokens.ts";
import { HuggingFaceError } from "lib/data/huggingface.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  SafetensorsError,
  type StoredTensor,
} from "lib/data/safetensors.ts";
import { type NamedRoles, rolesOf } from "lib/data/token-roles.ts";
import { Random } from "lib/engine/random.ts";
import { exportGGUF, exportHuggingFace, importHuggingFace } from "lib/exchange.ts";
import { generate } from "lib/sample.ts";
import { CharacterTokenizer, Tokenizer } from "lib/tokenizer.ts";
import { TokenizerFormatError } from "lib/data/fields.ts";
import { GPT, type GPTConfig } from "lib/transformer.ts";
import torch from "./fixtures/hf-gpt2.json" with { type: "json" };
import { assertTensor, testOnBackends } from "./support.ts";
import { NOT_UNIX, testIf } from "./optional.ts";

const FIXTURES = join(import.meta.dirname!, "fixtures");
const PROMPT = "Once upon a rabbit";
const { ids, logits, greedy, text } = torch.expected["hf-gpt2"];

await tf.setBackend("cpu"); // what the tests without a backend of their own compute on

const tokenizer = await Tokenizer.train("the cat sat on the mat ".repeat(9), {
  vocabSize: 264,
  specialTokens: ["<|end|>"],
});

const tiny = (more: Partial<GPTConfig> = {}) =>
  new GPT(
    { vocabSize: tokenizer.vocabSize, blockSize: 8, nLayer: 2, nHead: 2, nEmbd: 8, ...more },
    new Random(1),
  );

/** Runs `body` with a folder of its own, which is gone afterwards. */
async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

// --- folders that transformers wrote

const asIds = (list: number[]) => tf.tensor2d([list], [1, list.length], "int32");

async function greedyIds(model: GPT, tokenizer: Tokenizer, prompt: number[]): Promise<number[]> {
  const options = { maxTokens: greedy.length, temperature: 0 };
  return (await Array.fromAsync(generate(model, tokenizer, prompt, options))).map(({ id }) => id);
}

testOnBackends(
  "a GPT-2 that transformers saved has PyTorch's logits and its greedy text",
  async () => {
    const { model, tokenizer } = await importHuggingFace(join(FIXTURES, "hf-gpt2"));
    assertEquals(tokenizer!.encode(PROMPT), ids);
    const rows = model.forward(asIds(ids)).reshape([-1]); // [T · V], of which the fixture has the end
    await assertTensor(rows.slice([rows.size - logits.length]), logits, 1e-4);
    const written = await greedyIds(model, tokenizer as Tokenizer, ids);
    assertEquals(written, greedy);
    assertEquals(tokenizer!.decode([...ids, ...written]), text);
    model.dispose();
  },
);

for (const kind of ["f16", "sharded"] as const) {
  Deno.test(`weights in half precision (${kind}) give PyTorch's logits`, async () => {
    const { logits } = torch.expected[`hf-gpt2-${kind}`];
    const { model, tokenizer } = await importHuggingFace(join(FIXTURES, `hf-gpt2-${kind}`));
    assertEquals(tokenizer, undefined);
    const rows = model.forward(asIds(ids)).reshape([-1]);
    await assertTensor(rows.slice([rows.size - logits.length]), logits, 1e-4);
  });
}

Deno.test(`names without "transformer.", mask buffers, vocab.json and merges.txt: the same model`, async () => {
  const one = await importHuggingFace(join(FIXTURES, "hf-gpt2"));
  const { model, tokenizer } = await importHuggingFace(join(FIXTURES, "hf-gpt2-bare"));
  assertEquals(model.config, one.model.config);
  for (const [name, weight] of one.model.parameters.entries()) {
    assertEquals(await model.parameters.get(name).data(), await weight.data(), name);
  }
  const sample = "The rabbit's très late!\n\n  42 <|endoftext|> 日";
  const options = { allowedSpecial: "all" } as const;
  assertEquals(tokenizer!.encode(sample, options), one.tokenizer!.encode(sample, options));
});

const readJSON = async (path: string) => JSON.parse(await Deno.readTextFile(path));

Deno.test("merges.txt with line ends of Windows gives the same tokenizer", async () => {
  await inFolder(async (folder) => {
    for (const name of ["config.json", "vocab.json", "model.safetensors"]) {
      await Deno.copyFile(join(FIXTURES, "hf-gpt2-bare", name), join(folder, name));
    }
    const merges = await Deno.readTextFile(join(FIXTURES, "hf-gpt2-bare", "merges.txt"));
    const one = await importHuggingFace(join(FIXTURES, "hf-gpt2-bare"));
    for (const end of ["\r\n", "\r"]) {
      await Deno.writeTextFile(join(folder, "merges.txt"), merges.replaceAll("\n", end));
      const { tokenizer } = await importHuggingFace(folder);
      assertEquals(tokenizer!.toJSON(), one.tokenizer!.toJSON());
    }
  });
});

Deno.test("an older folder's added tokens are read, with what its files say of them", async () => {
  await inFolder(async (folder) => {
    for (const name of ["config.json", "vocab.json", "merges.txt", "model.safetensors"]) {
      await Deno.copyFile(join(FIXTURES, "hf-gpt2-bare", name), join(folder, name));
    }
    const write = (name: string, json: unknown) =>
      Deno.writeTextFile(join(folder, name), JSON.stringify(json));
    const config = await readJSON(join(folder, "config.json"));
    const { "<|endoftext|>": end, ...vocab } = await readJSON(join(folder, "vocab.json"));
    const shorter = Object.fromEntries(
      Object.entries(vocab).filter(([, id]) => (id as number) < 288),
    );
    const merges = (await Deno.readTextFile(join(folder, "merges.txt"))).trimEnd().split("\n")
      .slice(0, -2);
    assertEquals([end, Object.keys(shorter).length], [0, 287]);
    await write("vocab.json", { "<|endoftext|>": end, ...shorter });
    await Deno.writeTextFile(join(folder, "merges.txt"), merges.join("\n"));
    await write("added_tokens.json", { "<pad>": 288, "<word>": 289 });
    await write("special_tokens_map.json", { pad_token: { content: "<pad>" } });
    await write("config.json", { ...config, bos_token_id: 0, eos_token_id: null });
    const { tokenizer, roles } = await importHuggingFace(folder);
    assertEquals(tokenizer!.encode("<word>").at(-1), 289);
    assertEquals([...tokenizer!.specialTokens], [["<|endoftext|>", 0], ["<pad>", 288]]);
    assertEquals(roles, { bos: [0], pad: [288] });
  });
});

Deno.test("a pointer or a page in place of a file is said to be one", async () => {
  await withCopy(async (folder) => {
    for (const name of ["config.json", "tokenizer.json", "model.safetensors"]) {
      const whole = await Deno.readFile(join(folder, name));
      await Deno.writeTextFile(join(folder, name), "version https://git-lfs.github.com/spec/v1\n");
      await assertRejects(() => importHuggingFace(folder), Error, `${name}: is a git-LFS pointer`);
      await Deno.writeTextFile(join(folder, name), "<html><body>404</body></html>");
      await assertRejects(() => importHuggingFace(folder), Error, `${name}: is a web page`);
      await Deno.writeFile(join(folder, name), whole);
    }
  });
});

// --- which tokens begin and end texts

const named = await Tokenizer.train("the cat sat on the mat ".repeat(9), {
  vocabSize: 266,
  specialTokens: ["<pad>", "<bos>", "<eos>"],
});
const [PAD, BOS, EOS] = named.specialTokens.values();

/** What files of a model with this tokenizer say of begin, end and padding. */
async function written(tokenizer: Tokenizer, roles?: NamedRoles) {
  const found: Record<string, unknown> = {};
  await inFolder(async (folder) => {
    const model = tiny({ vocabSize: tokenizer.vocabSize });
    await exportHuggingFace(folder, { model, tokenizer, roles });
    const [config, generation, texts] = await Promise.all(
      ["config", "generation_config", "tokenizer_config"].map((name) =>
        readJSON(join(folder, `${name}.json`))
      ),
    );
    assertEquals(generation.eos_token_id, config.eos_token_id);
    await exportGGUF(join(folder, "m.gguf"), { model, tokenizer, roles });
    const { keys } = readGGUF(await Deno.readFile(join(folder, "m.gguf")));
    for (const role of ["bos", "eos", "pad"]) {
      found[role] = config[`${role}_token_id`];
      found[`${role} text`] = texts[`${role}_token`];
    }
    found["gguf"] = ["bos", "eos", "padding"].map((role) =>
      keys[`tokenizer.ggml.${role}_token_id`]
    );
  });
  return found;
}

Deno.test("the end is the token that is called so, not the first one", async () => {
  assertEquals(await written(named), {
    ...{
      bos: BOS,
      eos: EOS,
      pad: PAD,
      "bos text": "<bos>",
      "eos text": "<eos>",
      "pad text": "<pad>",
    },
    gguf: [BOS, EOS, PAD],
  });
});

Deno.test("the caller names begin and end, by text or id; a name that is not there is refused", async () => {
  const found = await written(named, { bos: "<pad>", eos: ["<bos>", EOS], pad: EOS });
  assertEquals([found.bos, found.eos, found.pad], [PAD, [BOS, EOS], EOS]);
  assertEquals([found["eos text"], found.gguf], ["<bos>", [PAD, BOS, EOS]]);
  await assertRejects(() => written(named, { eos: "</s>" }), RangeError, 'got "</s>"');
});

Deno.test("names that tell the end, and names that do not", () => {
  const end = (...specials: string[]) => {
    const tokens = specials.map((content, id) => specialToken(content, id));
    return rolesOf(tokens).eos?.map((id) => specials[id])[0];
  };
  assertEquals(end("<unk>", "<s>", "</s>"), "</s>");
  assertEquals(end("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"), "<|end_of_text|>");
  assertEquals(end("[PAD]", "[BOS]", "[EOS]"), "[EOS]");
  assertEquals(end("<|im_start|>", "<|im_end|>"), "<|im_end|>");
  assertEquals(end("<|user|>", "<|end|>"), "<|end|>");
  assertEquals(end("<|document|>"), "<|document|>");
  assertEquals(end("<pad>"), undefined);
  assertEquals(end("<|user|>", "<|bot|>"), undefined);
  assertEquals(end(), undefined);
});

Deno.test("an imported model's begin and end are kept, also through a checkpoint's tokenizer.json", async () => {
  await withCopy(async (folder) => {
    const path = (name: string) => join(folder, `${name}.json`);
    const file = await readJSON(path("tokenizer"));
    const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
    const more = ["<a>", "<b>"].map((content, i) => ({
      id: 290 + i,
      content,
      ...flags,
      special: i === 0,
    }));
    file.added_tokens.push(...more);
    await Deno.writeTextFile(path("tokenizer"), JSON.stringify(file));
    const { tensors } = decodeSafetensors(await Deno.readFile(join(folder, "model.safetensors")));
    const table = tensors["transformer.wte.weight"];
    const data = Float32Array.from(
      { length: 292 * 8 },
      (_, i) => table.data[i % table.data.length],
    );
    tensors["transformer.wte.weight"] = { ...table, shape: [292, 8], data };
    await Deno.writeFile(join(folder, "model.safetensors"), encodeSafetensors(tensors));
    const config = {
      ...await readJSON(path("config")),
      vocab_size: 292,
      eos_token_id: 290,
      pad_token_id: 291,
    };
    await Deno.writeTextFile(path("config"), JSON.stringify(config));
    await Deno.remove(path("generation_config")).catch(() => {});
    const { model, tokenizer, roles } = await importHuggingFace(folder);
    assertEquals(roles, { bos: [0], eos: [290], pad: [291] });
    assertEquals(tokenizer!.encode("x<b>").at(-1), 291); // no special token: needs no leave
    await (tokenizer as Tokenizer).save(join(folder, "kept.json"));
    const kept = await Tokenizer.load(join(folder, "kept.json"));
    const out = join(folder, "out");
    await exportHuggingFace(out, { model, tokenizer: kept });
    const back = await readJSON(join(out, "config.json"));
    assertEquals([back.bos_token_id, back.eos_token_id, back.pad_token_id], [0, 290, 291]);
    assertEquals((await readJSON(join(out, "tokenizer.json"))).added_tokens, file.added_tokens);
    assertEquals((await importHuggingFace(out)).roles, roles);
    await exportGGUF(join(folder, "m.gguf"), { model, tokenizer: kept });
    const { keys } = readGGUF(await Deno.readFile(join(folder, "m.gguf")));
    assertEquals(keys["tokenizer.ggml.eos_token_id"], 290);
    assertEquals((keys["tokenizer.ggml.token_type"] as number[]).slice(-2), [3, 4]); // control, user defined
    assertEquals((keys["tokenizer.ggml.tokens"] as string[]).slice(-2), ["<a>", "<b>"]);
  });
});

// --- our own folders

for (const bias of [true, false]) {
  Deno.test(`a model ${bias ? "with" : "without"} biases comes back from a folder of ours`, async () => {
    await inFolder(async (folder) => {
      const model = tiny({ bias, dropout: 0.1, nInner: 24 });
      await exportHuggingFace(folder, { model, tokenizer });
      const back = await importHuggingFace(folder);
      assertEquals(back.model.config, { ...model.config, bias: true });
      const input = asIds([1, 2, 3, 4]);
      await assertTensor(
        back.model.forward(input),
        await model.forward(input).data() as Float32Array,
        1e-6,
      );
      assertEquals(back.tokenizer!.encode("the cat"), tokenizer.encode("the cat"));
      const read = async (name: string) => JSON.parse(await Deno.readTextFile(join(folder, name)));
      const end = tokenizer.specialTokens.get("<|end|>");
      assertEquals((await read("generation_config.json")).eos_token_id, end);
      assertEquals((await read("config.json")).bos_token_id, end);
      assertEquals((await read("tokenizer_config.json")).eos_token, "<|end|>");
      const file = await Deno.readFile(join(folder, "model.safetensors"));
      const { tensors, metadata } = decodeSafetensors(file);
      assertEquals(metadata, { format: "pt" });
      assert(!("lm_head.weight" in tensors) && "transformer.h.1.mlp.c_proj.bias" in tensors);
    });
  });
}

Deno.test("a tokenizer by the letter comes back, too", async () => {
  await inFolder(async (folder) => {
    const letters = await CharacterTokenizer.train("the cat");
    await exportHuggingFace(folder, {
      model: tiny({ vocabSize: letters.vocabSize }),
      tokenizer: letters,
    });
    const back = await importHuggingFace(folder);
    assertEquals(back.tokenizer!.encode("tea"), letters.encode("tea"));
  });
});

Deno.test("what a GPT-2 does not have is refused by name, and nothing is written", async () => {
  await inFolder(async (folder) => {
    const out = join(folder, "out");
    const options: [Partial<GPTConfig>, string][] = [
      [{ norm: "rms" }, "a GPT-2 has norm layer; this model's is rms"],
      [{ activation: "swiglu" }, "activation gelu"],
      [{ position: "rotary" }, "position learned"],
      [{ nKVHead: 1 }, "nKVHead 2"],
      [{ vocabSize: 100 }, "the tokenizer has 264 tokens and the model 100"],
    ];
    for (const [option, message] of options) {
      const pair = { model: tiny(option), tokenizer };
      await assertRejects(() => exportHuggingFace(out, pair), RangeError, message);
      await assertRejects(() => exportGGUF(out, pair), RangeError, message);
    }
    const letters = await CharacterTokenizer.train("the cat");
    const pair = { model: tiny(), tokenizer: letters };
    await assertRejects(() => exportGGUF(out, pair), RangeError, "one token per character");
    await assertRejects(() => Deno.stat(out), Deno.errors.NotFound);
  });
});

// --- folders that other programs wrote

const source = (name: string) => join(FIXTURES, "hf-gpt2", name);
const stored = decodeSafetensors(await Deno.readFile(source("model.safetensors"))).tensors;
const storedConfig = JSON.parse(await Deno.readTextFile(source("config.json")));
const [TABLE, HEAD] = ["transformer.wte.weight", "lm_head.weight"];

/** A folder with these tensors and config, imported: its logits, or the words with which it was refused. */
async function imported(tensors: Record<string, StoredTensor>, config: object = {}) {
  let result: number[] | string = "";
  await inFolder(async (folder) => {
    await Deno.writeFile(join(folder, "model.safetensors"), encodeSafetensors(tensors));
    const json = { ...storedConfig, ...config };
    await Deno.writeTextFile(join(folder, "config.json"), JSON.stringify(json));
    try {
      const { model } = await importHuggingFace(folder);
      result = Array.from(await model.forward(asIds(ids)).data());
      model.dispose();
    } catch (error) {
      result = (error as Error).message.replaceAll(folder, "");
    }
  });
  return result;
}

const renamed = (rename: (name: string) => string) =>
  Object.fromEntries(Object.entries(stored).map(([name, tensor]) => [rename(name), tensor]));
const without = (...names: string[]) =>
  Object.fromEntries(Object.entries(stored).filter(([name]) => !names.includes(name)));

Deno.test("names that wrappers put before the weights' make no difference", async () => {
  const expected = await imported(stored);
  assert(expected.length > 10 && typeof expected !== "string");
  const bare = (name: string) => name.replace("transformer.", "");
  const spellings: ((name: string) => string)[] = [
    bare,
    (name) => `_orig_mod.${name}`,
    (name) => `module.${name}`,
    (name) => `_orig_mod.module.${name}`,
    (name) => `module._orig_mod.${bare(name)}`,
    (name) => `model.${name}`,
    (name) => name.replace(/h\.(\d+)\./, "h.$1._orig_mod."),
  ];
  for (const spelling of spellings) {
    assertEquals(await imported(renamed(spelling)), expected, spelling("transformer.h.0.x"));
    const tensors = { ...renamed(spelling), [spelling(HEAD)]: stored[TABLE] };
    assertEquals(await imported(tensors), expected, `${spelling(HEAD)}, too`);
  }
  const twice = { ...stored, "module.wte.weight": stored[TABLE] };
  assertEquals(
    await imported(twice),
    `tensor "module.wte.weight": stands there as ${TABLE}, too`,
  );
});

Deno.test("of a tied model either half is enough; one that says it is untied needs its head", async () => {
  const expected = await imported(stored);
  const headOnly = { ...without(TABLE), [HEAD]: stored[TABLE] };
  const both = { ...stored, [HEAD]: stored[TABLE] };
  const untied = { tie_word_embeddings: false };
  assertEquals(await imported(headOnly), expected);
  assertEquals(await imported(both), expected);
  assertEquals(await imported(both, untied), expected);
  assertEquals(await imported(stored, { tie_word_embeddings: undefined }), expected);
  const refused: [Record<string, StoredTensor>, object, RegExp][] = [
    [stored, untied, /lm_head.weight": is missing, and the model says that its output is not tied/],
    [headOnly, untied, /wte.weight is not, and the model says/],
    [stored, { tie_word_embeddings: "no" }, /tie_word_embeddings must be true or false, got "no"/],
    [without(TABLE), {}, /"transformer.wte.weight": is missing; there is transformer.h.0/],
    [{}, {}, /"transformer.wte.weight": is missing; there is none/],
    [
      { ...without("transformer.h.0.ln_1.weight"), "h.0.norm.weight": stored[TABLE] },
      {},
      /ln_1.weight": is missing; it must have shape \[8\]; there is transformer.h.0.norm.weight, .* and \d+ more/,
    ],
  ];
  for (const [tensors, config, words] of refused) {
    const result = await imported(tensors, config);
    assert(typeof result === "string" && words.test(result), `${words}: ${result}`);
  }
});

Deno.test("sizes under the names of other kinds of models are read; two that disagree are refused", async () => {
  const expected = await imported(stored);
  const aliases = {
    n_embd: "hidden_size",
    n_head: "num_attention_heads",
    n_layer: "num_hidden_layers",
    n_positions: "max_position_embeddings",
  };
  const instead = Object.entries(aliases).flatMap(([name, alias]) => [
    [name, undefined],
    [alias, storedConfig[name]],
  ]);
  assertEquals(await imported(stored, Object.fromEntries(instead)), expected);
  for (const [name, alias] of Object.entries(aliases)) {
    const value = storedConfig[name];
    assertEquals(await imported(stored, { [alias]: value }), expected);
    assertEquals(
      await imported(stored, { [alias]: value + 1 }),
      `${name} is ${value} and ${alias} is ${value + 1}: they mean the same`,
    );
  }
});

testIf(
  NOT_UNIX,
  "a folder of links is read, as in Hugging Face's cache; a link to nothing is said to be one",
  () =>
    inFolder(async (cache) => {
      const blobs = join(cache, "blobs"), folder = join(cache, "snapshots", "main");
      await Deno.mkdir(blobs);
      await Deno.mkdir(folder, { recursive: true });
      const names = [...Deno.readDirSync(join(FIXTURES, "hf-gpt2-sharded"))].map((one) => one.name);
      for (const [i, name] of names.entries()) {
        await Deno.copyFile(join(FIXTURES, "hf-gpt2-sharded", name), join(blobs, `${i}`));
        await Deno.symlink(`../../blobs/${i}`, join(folder, name));
      }
      await importHuggingFace(folder);
      const url = new URL(`file://${cache}/link/`);
      await Deno.symlink(folder, join(cache, "link"));
      await importHuggingFace(url);
      const shard = names.find((name) => name.startsWith("model-00002"))!;
      const blob = join(blobs, `${names.indexOf(shard)}`);
      await Deno.remove(blob);
      const load = () => importHuggingFace(folder);
      await assertRejects(load, HuggingFaceError, `${shard} is a link to ../../blobs/`);
      await Deno.remove(join(folder, shard));
      await assertRejects(load, HuggingFaceError, `lacks ${shard}, one of the 2 files`);
    }),
);

Deno.test("a pointer of git-LFS or a web page in a file's place is said to be one", async () => {
  const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
  const page = "<!DOCTYPE html><html><body>404</body></html>";
  for (const [text, words] of [[pointer, "a git-LFS pointer"], [page, "a web page (HTML)"]]) {
    for (const name of ["model.safetensors", "config.json", "tokenizer.json"]) {
      await withCopy(async (folder) => {
        await Deno.writeTextFile(join(folder, name), text);
        await assertRejects(() => importHuggingFace(folder), Error, `${name}: is ${words}`);
      });
    }
  }
});

Deno.test("a folder to export into may be named in any way", async () => {
  await inFolder(async (parent) => {
    const model = tiny();
    for (const folder of [`${parent}/a é/`, `${parent}/./b/../c`, new URL(`file://${parent}/d/`)]) {
      await exportHuggingFace(folder, { model, tokenizer });
      (await importHuggingFace(folder)).model.dispose();
    }
    const found = [...Deno.readDirSync(parent)].map(({ name }) => name).sort();
    assertEquals(found, ["a é", "c", "d"]);
    const nameless = () => exportHuggingFace("", { model, tokenizer });
    await assertRejects(nameless, Error, "a folder must have a name");
    model.dispose();
  });
});

// --- what cannot be loaded

/** A copy of the fixture, to damage. */
async function withCopy(body: (folder: string) => Promise<void>): Promise<void> {
  await inFolder(async (folder) => {
    for (const name of ["config.json", "model.safetensors", "tokenizer.json"]) {
      await Deno.copyFile(join(FIXTURES, "hf-gpt2", name), join(folder, name));
    }
    await body(folder);
  });
}

Deno.test("a config that is not this GPT-2's is refused by field", async () => {
  const config = JSON.parse(await Deno.readTextFile(join(FIXTURES, "hf-gpt2", "config.json")));
  const cases: [Record<string, unknown>, string][] = [
    [{ model_type: "llama" }, `model_type must be "gpt2", got "llama"`],
    [{ activation_function: "gelu" }, `activation_function must be one of gelu_new`],
    [{ layer_norm_epsilon: 1e-6 }, "layer_norm_epsilon must be 0.00001, got 0.000001"],
    [{ scale_attn_by_inverse_layer_idx: true }, "scale_attn_by_inverse_layer_idx"],
    [{ n_layer: 0 }, "n_layer must be a whole number in [1, 16777216], got 0"],
    [{ n_layer: 1e6 }, "h.999999.ln_1.weight"],
    [{ n_layer: 1 }, "is not a weight of this model"],
    [{ n_head: "2" }, `n_head must be a whole number in [1, 16777216], got "2"`],
    [{ n_head: 3 }, "nHead must be a divisor"],
    [{ n_embd: 1e6 }, "shape must be [290,1000000], got [290,8]"],
    [{ vocab_size: 1e7 }, "shape must be [10000000,8]"],
    [{ vocab_size: 200 }, "the tokenizer has 290 tokens, vocab_size is 200"],
    [{ n_positions: 17 }, `"transformer.wpe.weight": shape must be [17,8], got [16,8]`],
    [{ resid_pdrop: 1 }, "resid_pdrop must be in [0, 1), got 1"],
  ];
  await withCopy(async (folder) => {
    for (const [change, message] of cases) {
      const json = JSON.stringify({ ...config, ...change });
      await Deno.writeTextFile(join(folder, "config.json"), json);
      await assertRejects(() => importHuggingFace(folder), Error, message);
    }
    await Deno.writeTextFile(join(folder, "config.json"), "[1]");
    await assertRejects(() => importHuggingFace(folder), HuggingFaceError, "must be an object");
    await Deno.remove(join(folder, "config.json"));
    await assertRejects(() => importHuggingFace(folder), HuggingFaceError, "config.json");
  });
});

Deno.test("weights that are not this model's are refused by tensor", async () => {
  await withCopy(async (folder) => {
    const file = join(folder, "model.safetensors");
    const { tensors } = decodeSafetensors(await Deno.readFile(file));
    const table = "transformer.wte.weight", gain = "transformer.ln_f.weight";
    const other = (name: string, change: Partial<StoredTensor>) => ({
      ...tensors,
      [name]: { ...tensors[name], ...change },
    });
    const { [gain]: _gain, ...without } = tensors;
    const head = { ...tensors[table], data: tensors[table].data.map((value) => value + 1) };
    const cases: [Record<string, StoredTensor>, string][] = [
      [without, `tensor "${gain}": is missing`],
      [other(gain, { shape: [2, 4] }), `tensor "${gain}": shape must be [8], got [2,4]`],
      [other(gain, { data: new Int32Array(8) }), `tensor "${gain}": dtype must be one of`],
      [other(gain, { data: new Float32Array(8).fill(NaN) }), `tensor "${gain}": value 0 is NaN`],
      [{ ...tensors, "lm_head.weight": head }, "differs from the token table"],
      [{ ...tensors, "wte.weight": tensors[table] }, `stands there as ${table}, too`],
      [{ ...tensors, "score.weight": tensors[gain] }, "is not a weight of this model"],
    ];
    for (const [changed, message] of cases) {
      await Deno.writeFile(file, encodeSafetensors(changed));
      await assertRejects(() => importHuggingFace(folder), SafetensorsError, message);
    }
    await Deno.writeFile(
      file,
      encodeSafetensors({ ...tensors, "lm_head.weight": tensors[table] }),
    );
    await importHuggingFace(folder); // an output matrix that is the token table is fine
    await Deno.remove(file);
    await assertRejects(() => importHuggingFace(folder), HuggingFaceError, "no model.safetensors");
  });
});

Deno.test("an index that lies is refused, and reads nothing outside its folder", async () => {
  const source = join(FIXTURES, "hf-gpt2-sharded");
  await inFolder(async (folder) => {
    for await (const { name } of Deno.readDir(source)) {
      await Deno.copyFile(join(source, name), join(folder, name));
    }
    const path = join(folder, "model.safetensors.index.json");
    const index = JSON.parse(await Deno.readTextFile(path));
    const name = "transformer.wte.weight";
    const cases: [unknown, string][] = [
      [{ ...index.weight_map, [name]: "../../secret.safetensors" }, "files of the folder, got"],
      [{ ...index.weight_map, [name]: 3 }, "files of the folder, got 3"],
      [
        { ...index.weight_map, [name]: "model-00003-of-00002.safetensors" },
        "lacks model-00003-of-00002.safetensors, one of the 2 files",
      ],
      [{ ...index.weight_map, more: Object.values(index.weight_map)[0] }, `tensor "more"`],
      [null, "weight_map of the index must be an object"],
    ];
    for (const [weight_map, message] of cases) {
      await Deno.writeTextFile(path, JSON.stringify({ ...index, weight_map }));
      await assertRejects(() => importHuggingFace(folder), Error, message);
    }
  });
});

Deno.test("folders with damaged files are read or refused by typed errors", async () => {
  await withCopy(async (folder) => {
    const files = ["config.json", "tokenizer.json", "model.safetensors"];
    const whole = await Promise.all(files.map((file) => Deno.readFile(join(folder, file))));
    const damage = fc.record({
      which: fc.nat(2),
      at: fc.double({ min: 0, max: 0.999 }),
      byte: fc.nat(255),
    });
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(damage, async ({ which, at, byte }) => {
        const bytes = whole[which].slice();
        bytes[Math.floor(at * (which === 2 ? 2500 : bytes.length))] = byte;
        await Deno.writeFile(join(folder, files[which]), bytes);
        try {
          const { model } = await importHuggingFace(folder);
          model.dispose();
        } catch (error) {
          refused++;
          const typed = [SafetensorsError, HuggingFaceError, TokenizerFormatError];
          assert(typed.some((type) => error instanceof type), `${(error as Error).stack}`);
        } finally {
          await Deno.writeFile(join(folder, files[which]), whole[which]);
        }
      }),
      { numRuns: 400 },
    );
    assert(refused > 100, `${refused} refused`);
  });
});

// --- GGUF

/** A reader of GGUF from the format's description, for what our writer uses. */
function readGGUF(bytes: Uint8Array) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const u32 = () => view.getUint32((at += 4) - 4, true);
  const u64 = () => Number(view.getBigUint64((at += 8) - 8, true));
  const string = () => {
    const length = u64();
    return new TextDecoder().decode(bytes.subarray(at, at += length));
  };
  const value = (type: number): unknown => {
    if (type === 4) return u32();
    if (type === 5) return view.getInt32((at += 4) - 4, true);
    if (type === 6) return view.getFloat32((at += 4) - 4, true);
    if (type === 7) return bytes[at++] === 1;
    if (type === 8) return string();
    const [item, length] = [u32(), u64()];
    return Array.from({ length }, () => value(item));
  };
  assertEquals(new TextDecoder().decode(bytes.subarray(0, at = 4)), "GGUF");
  assertEquals(u32(), 3);
  const [tensorCount, keyCount] = [u64(), u64()];
  const keys = Object.fromEntries(
    Array.from({ length: keyCount }, () => [string(), value(u32())]),
  );
  const infos = Array.from({ length: tensorCount }, () => ({
    name: string(),
    sizes: Array.from({ length: u32() }, u64),
    type: u32(),
    offset: u64(),
  }));
  const start = Math.ceil(at / 32) * 32;
  const tensors = Object.fromEntries(infos.map(({ name, sizes, type, offset }) => {
    assertEquals([type, offset % 32], [0, 0], name);
    const count = sizes.reduce((a, b) => a * b, 1);
    return [name, {
      sizes,
      at: (i: number) => view.getFloat32(start + offset + 4 * i, true),
      count,
    }];
  }));
  return { keys, tensors };
}

Deno.test("a GGUF file holds the keys that llama.cpp wants, and the weights its way round", async () => {
  await inFolder(async (folder) => {
    const model = tiny({ vocabSize: tokenizer.vocabSize + 2 }); // two rows without a token
    const file = join(folder, "m.gguf");
    await exportGGUF(file, { model, tokenizer });
    const { keys, tensors } = readGGUF(await Deno.readFile(file));
    const expected = {
      "general.architecture": "gpt2",
      "gpt2.context_length": 8,
      "gpt2.embedding_length": 8,
      "gpt2.feed_forward_length": 32,
      "gpt2.block_count": 2,
      "gpt2.attention.head_count": 2,
      "gpt2.attention.layer_norm_epsilon": Math.fround(1e-5),
      "tokenizer.ggml.model": "gpt2",
      "tokenizer.ggml.pre": "gpt-2",
      "tokenizer.ggml.eos_token_id": tokenizer.specialTokens.get("<|end|>"),
    };
    for (const [key, value] of Object.entries(expected)) assertEquals(keys[key], value, key);
    const tokens = keys["tokenizer.ggml.tokens"] as string[];
    assertEquals([tokens.length, tokens[32], tokens[97]], [266, "Ġ", "a"]);
    assertEquals(tokens[tokenizer.encode("at")[0]], "at");
    const kinds = keys["tokenizer.ggml.token_type"] as number[];
    assertEquals(kinds.slice(-4), [1, 3, 5, 5]);
    assertEquals((keys["tokenizer.ggml.merges"] as string[]).length, 264 - 256 - 1);

    assertEquals(Object.keys(tensors).length, 2 + 2 * 12 + 2);
    const weight = await model.parameters.get("transformer.h.1.mlp.c_fc.weight").data(); // [8, 32]
    const { sizes, at } = tensors["blk.1.ffn_up.weight"];
    assertEquals(sizes, [8, 32]); // innermost first: 32 rows of 8
    for (const [input, output] of [[0, 1], [7, 31], [3, 0]]) {
      assertEquals(at(output * 8 + input), weight[input * 32 + output]);
    }
    const table = await model.parameters.get("transformer.wte.weight").data();
    assertEquals(tensors["token_embd.weight"].sizes, [8, 266]);
    assertEquals(tensors["token_embd.weight"].at(9), table[9]);
    assertEquals(tensors["blk.0.attn_qkv.bias"].at(23), 0);
  });
});

Deno.test("a GGUF file larger than the writer's first buffer is whole", () => {
  const data = Float32Array.from({ length: 50_001 }, (_, i) => i);
  const bytes = encodeGGUF({}, {
    a: { shape: [50_001], data },
    b: { shape: [1], data: data.slice(7, 8) },
  });
  const { tensors } = readGGUF(bytes);
  assertEquals([tensors.a.at(50_000), tensors.b.at(0)], [50_000, 7]);
});
