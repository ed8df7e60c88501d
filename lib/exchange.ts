/**
 * Models that other programs read, and theirs that we read: folders of Hugging Face's transformers, and GGUF files of
 * llama.cpp. Both know our default architecture as "gpt2".
 */
import * as tf from "@tensorflow/tfjs";
import { placeOf, replaceFile } from "./data/folder.ts";
import { encodeGGUF, type GGUFTensor, type GGUFValue } from "./data/gguf.ts";
import {
  gpt2Config,
  HuggingFaceError,
  readGPT2Config,
  readJSON,
  readTensors,
  roleIds,
} from "./data/huggingface.ts";
import { encodeSafetensors, type HostTensor } from "./data/safetensors.ts";
import {
  type NamedRoles,
  ROLES,
  rolesOf,
  type TokenRoles,
  withoutRoles,
} from "./data/token-roles.ts";
import { readTokenizerFolder } from "./data/tokenizer-folder.ts";
import { gpt2Weights } from "./data/weight-names.ts";
import { CharacterTokenizer, PATTERNS, Tokenizer, type TokenizerJSON } from "./tokenizer.ts";
import { gptFromWeights } from "./train.ts";
import { type GPT, type GPTConfig, parameterShapes } from "./transformer.ts";

/** A model and the tokenizer that gives it its ids. */
export interface ModelAndTokenizer {
  model: GPT;
  tokenizer: Tokenizer | CharacterTokenizer;
  /**
   * Which tokens begin (`bos`), end (`eos`) and fill (`pad`) texts and stand for the unknown (`unk`), by text or id. Unless given,
   * what the tokenizer's file said, or what the names of its special tokens say.
   */
  roles?: NamedRoles;
}

/**
 * Writes a model as a folder that transformers (Python and JavaScript) loads as a GPT-2: config.json, model.safetensors,
 * tokenizer.json, tokenizer_config.json, generation_config.json. Biases that the model does not have are written as zeros,
 * which computes the same.
 *
 * @param folder made if it is not there; files of these names are replaced
 * @throws RangeError naming the option of the model that a GPT-2 does not have
 * @throws Error naming a file that cannot be written
 * @example await exportHuggingFace("build/hf", await loadCheckpoint(modelFolder()));
 */
export async function exportHuggingFace(
  folder: string | URL,
  { model, tokenizer, roles: named }: ModelAndTokenizer,
): Promise<void> {
  requireGPT2(model.config, tokenizer);
  const place = placeOf(folder);
  const file = tokenizer.toJSON();
  const roles = rolesOf(file.added_tokens, named);
  const weights = encodeSafetensors(await gpt2Tensors(model), { format: "pt" });
  const json = (name: string, value: unknown) =>
    replaceFile(`${place}/${name}`, JSON.stringify(value, null, 2) + "\n");
  const { mkdir } = await import("node:fs/promises");
  await mkdir(place, { recursive: true });
  await json("config.json", gpt2Config(model.config, roles));
  await json("generation_config.json", { ...roleIds(roles), do_sample: true });
  await json("tokenizer.json", { ...file, added_tokens: withoutRoles(file.added_tokens) });
  await json("tokenizer_config.json", {
    tokenizer_class: "PreTrainedTokenizerFast",
    model_max_length: model.config.blockSize,
    clean_up_tokenization_spaces: false,
    ...roleTexts(file, roles),
  });
  await replaceFile(`${place}/model.safetensors`, weights);
}

/**
 * Loads a GPT-2 from a folder that transformers wrote, or `exportHuggingFace`: weights in F32, F16 or BF16, in one file or in
 * shards, also through links, with or without "transformer." before their names, with the old mask buffers, with what torch.compile and
 * data parallel training put before names; of tied models with the token table, the output matrix, or both.
 *
 * @param from the folder, a path or a file URL
 * @returns the model, the tokenizer if the folder has one, and which tokens its files say begin and end texts
 * @throws HuggingFaceError naming the file, or the field of config.json, that is missing or not supported
 * @throws SafetensorsError naming the tensor that is missing, unknown, or of a wrong type, shape or value
 * @throws TokenizerFormatError if the tokenizer is no byte-level BPE
 */
export async function importHuggingFace(
  from: string | URL,
): Promise<{ model: GPT; tokenizer?: Tokenizer | CharacterTokenizer; roles: TokenRoles }> {
  const folder = placeOf(from);
  const { isTied, ...shape } = readGPT2Config(await readJSON(`${folder}/config.json`));
  const { json, roles } = await readTokenizerFolder(folder);
  const isByLetter = (json as TokenizerJSON | undefined)?.decoder?.type === "Fuse";
  const tokenizer = json === undefined
    ? undefined
    : (isByLetter ? CharacterTokenizer : Tokenizer).fromJSON(json);
  if (tokenizer && tokenizer.vocabSize > shape.vocabSize) {
    throw new HuggingFaceError(
      `${folder}: the tokenizer has ${tokenizer.vocabSize} tokens, vocab_size is ${shape.vocabSize}`,
    );
  }
  const weights = gpt2Weights(await readTensors(folder), isTied);
  try {
    return {
      model: gptFromWeights({ ...GPT2, ...shape, nKVHead: shape.nHead }, weights),
      tokenizer,
      roles,
    };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new HuggingFaceError(`${folder}/config.json: ${error.message}`, { cause: error });
  }
}

/**
 * Writes a model as one GGUF file, which llama.cpp and the programs built on it load as a GPT-2. Numbers stay 32-bit floats.
 *
 * @throws RangeError naming the option of the model, or the tokenizer's pattern, that llama.cpp's GPT-2 does not have
 * @throws Error if the file cannot be written
 * @example await exportGGUF("build/model.gguf", await loadCheckpoint(modelFolder()));
 */
export async function exportGGUF(
  file: string,
  { model, tokenizer, roles }: ModelAndTokenizer,
): Promise<void> {
  requireGPT2(model.config, tokenizer);
  if (!(tokenizer instanceof Tokenizer) || tokenizer.pattern !== PATTERNS.gpt2) {
    const got = tokenizer instanceof Tokenizer ? tokenizer.pattern : "one token per character";
    throw new RangeError(`GGUF needs a tokenizer with the pattern PATTERNS.gpt2, got ${got}`);
  }
  const tensors: Record<string, GGUFTensor> = {};
  for (const [name, tensor] of Object.entries(await gpt2Tensors(model))) {
    // A file of llama.cpp's holds a matrix by rows of its output; GPT-2's by rows of its input.
    tensors[ggufName(name)] = /(attn|mlp)\.c_\w+\.weight$/.test(name) ? transposed(tensor) : tensor;
  }
  requireLlamaTokens(tokenizer);
  const keys = {
    ...modelKeys(model.config),
    ...tokenizerKeys(tokenizer, model.config.vocabSize, roles),
  };
  await replaceFile(file, encodeGGUF(keys, tensors));
}

/** What all GPT-2s have in common. */
const GPT2 = { bias: true, norm: "layer", activation: "gelu", position: "learned" } as const;

/** @throws RangeError naming what a GPT-2 does not have */
function requireGPT2(
  { norm, activation, position, nKVHead, nHead, vocabSize }: GPTConfig,
  tokenizer: { vocabSize: number },
): void {
  const need = (field: string, value: unknown, only: unknown) => {
    if (value !== only) {
      throw new RangeError(`a GPT-2 has ${field} ${only}; this model's is ${value}`);
    }
  };
  need("norm", norm, "layer");
  need("activation", activation, "gelu");
  need("position", position, "learned");
  need("nKVHead", nKVHead, nHead);
  if (tokenizer.vocabSize <= vocabSize) return;
  throw new RangeError(
    `the tokenizer has ${tokenizer.vocabSize} tokens and the model ${vocabSize}: they do not belong together`,
  );
}

/** Every tensor of a GPT-2, zeros for biases that the model does not have. */
async function gpt2Tensors({ config, parameters }: GPT): Promise<Record<string, GGUFTensor>> {
  const tensors: Record<string, GGUFTensor> = {};
  for (const [name, shape] of Object.entries(parameterShapes({ ...config, bias: true }))) {
    const data = parameters.has(name)
      ? Float32Array.from(await parameters.get(name).data()) // a copy: it may be the backend's own memory
      : new Float32Array(tf.util.sizeFromShape(shape));
    tensors[name] = { shape, data };
  }
  return tensors;
}

/** The texts of tokens that play a part, as tokenizer_config.json names them. */
function roleTexts({ added_tokens }: TokenizerJSON, roles: TokenRoles): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const role of ROLES) {
    const token = added_tokens.find(({ id }) => id === roles[role]?.[0]);
    if (token) texts[`${role}_token`] = token.content;
  }
  return texts;
}

/** @throws RangeError naming what llama.cpp does not do with a text */
function requireLlamaTokens(tokenizer: Tokenizer): void {
  const { added_tokens, normalizer } = tokenizer.toJSON();
  if (normalizer) {
    throw new RangeError(`GGUF has no normalizer; this tokenizer's is ${normalizer.type}`);
  }
  for (const flag of ["single_word", "lstrip", "rstrip"] as const) {
    const token = added_tokens.find((token) => token[flag]);
    if (token) throw new RangeError(`GGUF has no ${flag} for tokens; "${token.content}" has it`);
  }
}

/** GPT-2's names of the parts, and llama.cpp's. */
const GGUF_NAMES: Record<string, string> = {
  wte: "token_embd",
  wpe: "position_embd",
  ln_f: "output_norm",
  ln_1: "attn_norm",
  "attn.c_attn": "attn_qkv",
  "attn.c_proj": "attn_output",
  ln_2: "ffn_norm",
  "mlp.c_fc": "ffn_up",
  "mlp.c_proj": "ffn_down",
};

/** "transformer.h.0.attn.c_attn.weight" -> "blk.0.attn_qkv.weight" */
function ggufName(name: string): string {
  const [, block, part, kind] = /^transformer\.(?:h\.(\d+)\.)?(.+)\.(weight|bias)$/.exec(name)!;
  return `${block === undefined ? "" : `blk.${block}.`}${GGUF_NAMES[part]}.${kind}`;
}

function transposed({ shape: [rows, columns], data }: HostTensor): GGUFTensor {
  const turned = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      turned[column * rows + row] = data[row * columns + column];
    }
  }
  return { shape: [columns, rows], data: turned };
}

function modelKeys(config: GPTConfig): Record<string, GGUFValue> {
  const count = (value: number): GGUFValue => ({ type: "uint32", value });
  return {
    "general.architecture": { type: "string", value: "gpt2" },
    "general.name": { type: "string", value: "nano-llm" },
    "general.file_type": count(0), // all tensors are 32-bit floats
    "gpt2.vocab_size": count(config.vocabSize),
    "gpt2.context_length": count(config.blockSize),
    "gpt2.embedding_length": count(config.nEmbd),
    "gpt2.feed_forward_length": count(config.nInner),
    "gpt2.block_count": count(config.nLayer),
    "gpt2.attention.head_count": count(config.nHead),
    "gpt2.attention.layer_norm_epsilon": { type: "float32", value: 1e-5 },
  };
}

/** llama.cpp's numbers for kinds of tokens. */
const KINDS = { normal: 1, control: 3, userDefined: 4, unused: 5 };

function tokenizerKeys(
  tokenizer: Tokenizer,
  vocabSize: number,
  named?: NamedRoles,
): Record<string, GGUFValue> {
  const { model: { vocab, merges }, added_tokens } = tokenizer.toJSON();
  const tokens = Array.from({ length: vocabSize }, (_, id) => `[unused ${id}]`);
  const kinds = tokens.map(() => KINDS.unused);
  for (const [token, id] of Object.entries(vocab)) [tokens[id], kinds[id]] = [token, KINDS.normal];
  for (const { id, content, special } of added_tokens) {
    [tokens[id], kinds[id]] = [content, special ? KINDS.control : KINDS.userDefined];
  }
  const { bos, eos, pad, unk } = rolesOf(added_tokens, named);
  const id = (value: number): GGUFValue => ({ type: "uint32", value });
  // llama.cpp insists on an end token: without a special one, the byte 0, which no text has.
  const end = eos?.[0] ?? tokenizer.encode("\0")[0];
  const around = tokenizer.encode("", { addSpecialTokens: true });
  return {
    "tokenizer.ggml.model": { type: "string", value: "gpt2" },
    "tokenizer.ggml.pre": { type: "string", value: "gpt-2" },
    "tokenizer.ggml.tokens": { type: "strings", value: tokens },
    "tokenizer.ggml.token_type": { type: "int32s", value: kinds },
    "tokenizer.ggml.merges": { type: "strings", value: merges },
    "tokenizer.ggml.bos_token_id": id(bos?.[0] ?? end),
    "tokenizer.ggml.eos_token_id": id(end),
    ...(pad && { "tokenizer.ggml.padding_token_id": id(pad[0]) }),
    ...(unk && { "tokenizer.ggml.unknown_token_id": id(unk[0]) }),
    "tokenizer.ggml.add_bos_token": { type: "bool", value: around[0] === (bos?.[0] ?? end) },
    "tokenizer.ggml.add_eos_token": {
      type: "bool",
      value: around.length > 1 && around.at(-1) === end,
    },
  };
}
