/** What the bench `train` and the processes that it measures say to each other: one line of JSON each way. */
import type { StorageFormat } from "lib/engine/storage.ts";
import type { GPTConfig } from "lib/transformer.ts";

/** One who trains a model, and how large the model is. */
export interface Entrant {
  label: string;
  model: Partial<GPTConfig> & { vocabSize: number };
  /** Rows of a batch, each of the model's blockSize tokens. */
  batchSize: number;
}

/** One way of ours to train a model, in a process of its own. */
export interface Variant extends Entrant {
  backend: "simd" | "wasm" | "cpu" | "webgpu";
  /** tfjs's own package with tfjs's own kernels; only what trains wrongly or not at all is put right. */
  isStock: boolean;
  /** Whose code computes the operators: the engine's, or the chapters' plain tfjs ops. */
  kernels: "fused" | "reference";
  /** In how many bits `webgpu` keeps results for the gradients; 32 unless told. */
  storage?: StorageFormat;
  /** Threads of `simd`; one per core unless told. */
  threads?: number;
}

/** What a program of others is told, as JSON in its one argument: our model, our first weights, our batches. */
export interface PeerJob {
  model: GPTConfig;
  batchSize: number;
  /** Batches there are; whoever makes more steps begins again. */
  steps: number;
  /** Names and shapes of the weights, in the order of the file. */
  parameters: { name: string; shape: number[] }[];
  /** File of all weights, float32. */
  weights: string;
  /** File of the batches, int32: for each step inputs [B, T], then targets [B, T]. */
  batches: string;
  /** Threads to compute with; left to the program where it is absent. */
  threads?: number;
  learningRate: number;
  /** The longest gradient allowed. */
  clip: number;
  betas: [number, number];
  eps: number;
  /** For tensors of two axes; the others do not decay. */
  weightDecay: number;
}

/** What a process can be asked for. */
export interface Requests {
  /** Trains `untimed` steps, then `count` that are measured. */
  steps: {
    ask: { count: number; untimed: number };
    answer: { milliseconds: number[]; losses: number[] };
  };
  /** The most memory that a step needs, weights and optimizer included. */
  memory: { ask: Record<never, never>; answer: Memory };
  /** Shaders that one step runs, and what it costs when none of them does anything. */
  host: { ask: { count: number }; answer: { dispatches: number; milliseconds: number[] } };
  /** Matrix products and the innermost loop alone. */
  gemm: { ask: { rounds: number }; answer: Record<string, number[]> };
  /** Writes text from one token. */
  generate: {
    ask: { tokens: number; useCache: boolean };
    answer: { seconds: number; ids: number[] };
  };
}

/** Peak memory in bytes. */
export interface Memory {
  /** What the backend reserved: its heap, or its buffers on the graphics card. Absent where it does not say. */
  reserved?: number;
  /** The tensors that tfjs knew of at once. Absent on webgpu. */
  tensors?: number;
}

/** The answer of a process: what was asked for, or what went wrong. */
export type Reply = { answer: unknown } | { error: string };

/** Rows, depth and columns of the product that `gemm` measures. */
export const GEMM = { rows: 768, depth: 128, columns: 512 };
