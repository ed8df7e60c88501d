/**
 * Folders as Hugging Face's transformers writes them for GPT-2: config.json, model.safetensors (or shards and their index),
 * tokenizer.json. https://huggingface.co/docs/transformers/model_doc/gpt2
 */
import { readSafetensors, SafetensorsError, type StoredTensor } from "./safetensors.ts";
import { readText } from "./text-file.ts";
import type { TokenRoles } from "./token-roles.ts";

/** A file of such a folder that is missing, wrong, or of a kind that is not read here; the message names it. */
export class HuggingFaceError extends Error {
  /** This class's name, as error messages show it. */
  override name = "HuggingFaceError";
}

/** The shape of a GPT-2. */
export interface GPT2Shape {
  vocabSize: number;
  /** The longest text, in tokens. */
  blockSize: number;
  nLayer: number;
  nHead: number;
  nEmbd: number;
  /** Width inside the MLP. */
  nInner: number;
  dropout: number;
  /** Whether the output matrix is the token table; it is unless told. */
  isTied?: boolean;
}

/** The names that transformers has for GELU in the tanh form. */
const GELU_TANH = ["gelu_new", "gelu_pytorch_tanh", "gelu_fast"];

/** What a config may say besides the sizes, and the only value of it that is read here; absent is right, too. */
const ONLY: Record<string, unknown> = {
  model_type: "gpt2",
  layer_norm_epsilon: 1e-5,
  scale_attn_weights: true,
  scale_attn_by_inverse_layer_idx: false,
  add_cross_attention: false,
};

/** Larger than any GPT-2, small enough that nothing overflows. */
const MOST = 2 ** 24;

/**
 * The shape that a config.json describes.
 *
 * @throws HuggingFaceError naming the field, its value and what is allowed
 */
export function readGPT2Config(json: unknown): GPT2Shape {
  const config = object(json, "config.json");
  for (const [field, value] of Object.entries(ONLY)) {
    const given = config[field] ?? value;
    demand(given === value, `${field} must be ${JSON.stringify(value)}, got ${quoted(given)}`);
  }
  const activation = config.activation_function ?? GELU_TANH[0];
  const isTanh = GELU_TANH.includes(activation as string);
  demand(
    isTanh,
    `activation_function must be one of ${GELU_TANH.join(", ")}, got ${quoted(activation)}`,
  );
  const size = (field: string, fallback?: unknown) => sizeOf(config, field, fallback);
  const nEmbd = size("n_embd");
  const tied = config.tie_word_embeddings ?? true;
  demand(
    typeof tied === "boolean",
    `tie_word_embeddings must be true or false, got ${quoted(tied)}`,
  );
  return {
    vocabSize: size("vocab_size"),
    blockSize: size("n_positions", config.n_ctx),
    nLayer: size("n_layer"),
    nHead: size("n_head"),
    nEmbd,
    nInner: size("n_inner", 4 * nEmbd),
    dropout: dropoutOf(config.resid_pdrop ?? 0),
    isTied: tied as boolean,
  };
}

/** The names that other kinds of models have for GPT-2's sizes; transformers takes either. */
const ALIASES: Record<string, string | undefined> = {
  n_embd: "hidden_size",
  n_head: "num_attention_heads",
  n_layer: "num_hidden_layers",
  n_positions: "max_position_embeddings",
};

function sizeOf(config: Fields, field: string, fallback: unknown): number {
  const alias = ALIASES[field], own = config[field], other = alias && config[alias];
  const agree = (own ?? other ?? 0) === (other ?? own ?? 0);
  demand(agree, `${field} is ${quoted(own)} and ${alias} is ${quoted(other)}: they mean the same`);
  const value = own ?? other ?? fallback;
  const isSize = Number.isInteger(value) && (value as number) >= 1 && (value as number) <= MOST;
  demand(isSize, `${field} must be a whole number in [1, ${MOST}], got ${quoted(value)}`);
  return value as number;
}

function dropoutOf(value: unknown): number {
  const isShare = typeof value === "number" && value >= 0 && value < 1;
  demand(isShare, `resid_pdrop must be in [0, 1), got ${quoted(value)}`);
  return value as number;
}

/**
 * The config.json of a GPT-2.
 *
 * @param roles which tokens begin, end and fill texts
 */
export function gpt2Config(shape: GPT2Shape, roles: TokenRoles = {}): Record<string, unknown> {
  const { vocabSize, blockSize, nLayer, nHead, nEmbd, nInner, dropout } = shape;
  return {
    model_type: "gpt2",
    architectures: ["GPT2LMHeadModel"],
    dtype: "float32",
    vocab_size: vocabSize,
    n_positions: blockSize,
    n_embd: nEmbd,
    n_layer: nLayer,
    n_head: nHead,
    n_inner: nInner,
    activation_function: GELU_TANH[0],
    layer_norm_epsilon: 1e-5,
    resid_pdrop: dropout,
    embd_pdrop: dropout,
    attn_pdrop: dropout,
    initializer_range: 0.02,
    tie_word_embeddings: true,
    use_cache: true,
    // Without these two, transformers takes GPT-2's own token 50256.
    ...roleIds(roles),
  };
}

/** The ids that config.json and generation_config.json name; a list where several tokens end a text. */
export function roleIds({ bos, eos, pad }: TokenRoles): Record<string, number | number[] | null> {
  return {
    bos_token_id: bos?.[0] ?? null,
    eos_token_id: eos && eos.length > 1 ? eos : eos?.[0] ?? null,
    ...(pad && { pad_token_id: pad[0] }),
  };
}

/**
 * Every tensor of such a folder: of `model.safetensors`, or of the shards that `model.safetensors.index.json` lists.
 *
 * @throws HuggingFaceError if there is neither, or the index is wrong
 * @throws SafetensorsError naming the file, tensor and reason
 */
export async function readTensors(folder: string): Promise<Record<string, StoredTensor>> {
  const whole = `${folder}/model.safetensors`, index = `${whole}.index.json`;
  if (await exists(whole)) return (await readSafetensors(whole)).tensors;
  if (await exists(index)) return await readShards(folder, await readJSON(index));
  const hasPickle = await exists(`${folder}/pytorch_model.bin`);
  throw new HuggingFaceError(
    `${folder} has no model.safetensors` +
      (hasPickle
        ? "; pytorch_model.bin can hold programs and is not read: save the model with safe_serialization=True"
        : ""),
  );
}

async function readShards(folder: string, json: unknown): Promise<Record<string, StoredTensor>> {
  const map = object(object(json, "the index").weight_map, "weight_map of the index");
  const files = [...new Set(Object.values(map))];
  const tensors: Record<string, StoredTensor> = Object.create(null);
  for (const file of files) {
    const isName = typeof file === "string" && /^[\w.-]+\.safetensors$/.test(file);
    demand(isName, `weight_map must name .safetensors files of the folder, got ${quoted(file)}`);
    const isThere = await exists(`${folder}/${file}`);
    demand(
      isThere,
      `${folder} lacks ${file}, one of the ${files.length} files that the index lists`,
    );
    for (
      const [name, tensor] of Object.entries((await readSafetensors(`${folder}/${file}`)).tensors)
    ) {
      if (map[name] !== file) {
        throw new SafetensorsError("is not where the index says", name, `${folder}/${file}`);
      }
      tensors[name] = tensor;
    }
  }
  const lost = Object.keys(map).find((name) => !(name in tensors));
  if (lost !== undefined) throw new SafetensorsError(`is not in ${map[lost]}`, lost, folder);
  return tensors;
}

/**
 * A file's JSON.
 *
 * @throws HuggingFaceError naming the file, if it is not there or not JSON
 */
export async function readJSON(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readText(path));
  } catch (error) {
    throw new HuggingFaceError(`${path}: ${(error as Error).message}`, { cause: error });
  }
}

type Fields = Record<string, unknown>;

function object(value: unknown, name: string): Fields {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  demand(isObject, `${name} must be an object, got ${quoted(value)}`);
  return value as Fields;
}

function demand(holds: boolean, problem: string): asserts holds {
  if (!holds) throw new HuggingFaceError(problem);
}

function quoted(value: unknown): string {
  return JSON.stringify(value)?.slice(0, 80) ?? String(value);
}

/** Whether there is a file or folder of this name; a link to nothing is an error. */
export async function exists(path: string): Promise<boolean> {
  const { lstat, readlink, stat } = await import("node:fs/promises");
  const entry = await lstat(path).catch(() => undefined);
  if (!entry?.isSymbolicLink() || await stat(path).catch(() => undefined)) return !!entry;
  throw new HuggingFaceError(`${path} is a link to ${await readlink(path)}, which is not there`);
}
