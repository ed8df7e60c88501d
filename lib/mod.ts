/**
 * Everything the book builds, in one import. It also loads in a browser and in Node; what needs a disk is there only looked for
 * when it is called.
 *
 * @example import { GPT, Tokenizer, generate } from "lib/mod.ts";
 *
 * @module
 */
export * from "./tokenizer.ts";
export * from "./embeddings.ts";
export * from "./attention.ts";
export * from "./transformer.ts";
export * from "./train.ts";
export * from "./sample.ts";
export * from "./exchange.ts";
export * from "./engine/backend.ts";
export * from "./engine/parameters.ts";
export * from "./engine/profile.ts";
export * from "./engine/random.ts";
export * from "./data/added-tokens.ts";
export * from "./data/corpus.ts";
export { TokenizerFormatError } from "./data/fields.ts";
export * from "./data/folder.ts";
export * from "./data/gguf.ts";
export * from "./data/huggingface.ts";
export * from "./data/paths.ts";
export * from "./data/safetensors.ts";
export * from "./data/token-roles.ts";
export * from "./data/weight-names.ts";
export * from "./notebook/plot.ts";
export * from "./notebook/progress.ts";
export * from "./notebook/show.ts";
