/**
 * The tokenizer of a folder that Hugging Face's transformers wrote: tokenizer.json, or in older folders vocab.json and merges.txt, and
 * what the files beside them say of special tokens.
 */
import { type AddedToken, specialToken } from "./added-tokens.ts";
import { exists, HuggingFaceError, readJSON } from "./huggingface.ts";
import { readText } from "./text-file.ts";
import { contentOf, ROLES, rolesInFiles, type TokenRoles, withRoles } from "./token-roles.ts";

type Fields = Record<string, unknown>;

/** A tokenizer.json, and which tokens begin and end texts. */
export interface TokenizerFolder {
  /** Undefined if the folder has no tokenizer. Its added tokens say which parts they play, see `rolesOf`. */
  json?: unknown;
  roles: TokenRoles;
}

/**
 * Reads the tokenizer of a folder.
 *
 * @throws HuggingFaceError naming the file that is not what it should be
 */
export async function readTokenizerFolder(folder: string): Promise<TokenizerFolder> {
  const names = ["generation_config", "config", "tokenizer_config", "special_tokens_map"];
  const files = await Promise.all(names.map((name) => optional(`${folder}/${name}.json`)));
  const json = await readTokenizer(folder, { ...files[3], ...files[2] });
  const added = json === undefined ? [] : addedTokens(json);
  const roles = rolesInFiles(files, added);
  const isTold = added.length > 0 && Object.keys(roles).length > 0;
  return {
    roles,
    json: isTold ? { ...json as Fields, added_tokens: withRoles(added, roles) } : json,
  };
}

/** Those of a file that may be anything; what is wrong with it is said by who reads it in earnest. */
function addedTokens(json: unknown): AddedToken[] {
  const tokens = (json as Fields | null)?.added_tokens;
  const isObject = (token: unknown) => typeof token === "object" && token !== null;
  return Array.isArray(tokens) && tokens.every(isObject) ? tokens as AddedToken[] : [];
}

async function readTokenizer(folder: string, config: Fields): Promise<unknown> {
  const path = (name: string) => `${folder}/${name}`;
  if (await exists(path("tokenizer.json"))) return await readJSON(path("tokenizer.json"));
  if (!await exists(path("vocab.json")) || !await exists(path("merges.txt"))) return undefined;
  const vocab = await optional(path("vocab.json")) ?? {};
  const added = await optional(path("added_tokens.json")) ?? {};
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: oldAddedTokens(vocab, added, config),
    normalizer: null,
    pre_tokenizer: {
      type: "ByteLevel",
      add_prefix_space: false,
      trim_offsets: true,
      use_regex: true,
    },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: "BPE", vocab, merges: await readMerges(path("merges.txt")) },
  };
}

/** One merge a line, whatever ends it; the first line may name a version. */
async function readMerges(path: string): Promise<string[]> {
  const lines = (await textOf(path)).split(/\r\n?|\n/);
  return lines.filter((line) => line && !line.startsWith("#version"));
}

async function textOf(path: string): Promise<string> {
  try {
    return await readText(path);
  } catch (error) {
    throw new HuggingFaceError(`${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** GPT-2's own, those of added_tokens.json and those of tokenizer_config.json, by id; the last say most. */
function oldAddedTokens(vocab: Fields, added: Fields, config: Fields): AddedToken[] {
  const end = "<|endoftext|>";
  const specials = [
    ...ROLES.map((role) => config[`${role}_token`]),
    config.additional_special_tokens,
  ]
    .flat().map(contentOf);
  const tokens = new Map<unknown, AddedToken>();
  if (Object.hasOwn(vocab, end)) tokens.set(vocab[end], specialToken(end, vocab[end] as number));
  for (const [content, id] of Object.entries(added)) {
    const special = content === end || specials.includes(content);
    tokens.set(id, { ...specialToken(content, id as number), special });
  }
  for (const [id, token] of Object.entries(config.added_tokens_decoder ?? {})) {
    tokens.set(Number(id), { ...token as AddedToken, id: Number(id) });
  }
  return [...tokens.values()].sort((a, b) => a.id - b.id);
}

/** A file's object, or undefined if there is no such file. */
async function optional(path: string): Promise<Fields | undefined> {
  if (!await exists(path)) return undefined;
  const json = await readJSON(path);
  const isObject = typeof json === "object" && json !== null && !Array.isArray(json);
  if (!isObject) throw new HuggingFaceError(`${path} must be an object`);
  return json as Fields;
}
