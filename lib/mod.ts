/**
 * Everything the book builds, in one import.
 *
 * @example import { GPT, Tokenizer, generate } from "lib/mod.ts";
 */
export * from "./tokenizer.ts";
export * from "./embeddings.ts";
export * from "./attention.ts";
export * from "./transformer.ts";
export * from "./train.ts";
export * from "./sample.ts";
export * from "./engine/backend.ts";
export * from "./engine/parameters.ts";
export * from "./engine/profile.ts";
export * from "./engine/random.ts";
export * from "./data/corpus.ts";
export * from "./data/paths.ts";
export * from "./data/safetensors.ts";
export * from "./notebook/plot.ts";
export * from "./notebook/progress.ts";
export * from "./notebook/show.ts";
