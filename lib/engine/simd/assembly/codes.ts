/**
 * Numbers on which both sides agree: the kernels, compiled from this folder by AssemblyScript, and the TypeScript
 * that calls them. This file is valid in both languages.
 */

/** What a job does; `dispatch` in index.ts lists the function behind each. */
export enum Job {
  MatMul,
  LayerNorm,
  LayerNormGrad,
  LayerNormGradParameters,
  Gelu,
  GeluGrad,
  Attention,
  AttentionGrad,
  CrossEntropy,
  CrossEntropyGrad,
  Softmax,
  Gather,
  Scatter,
  AdamW,
  SquareSum,
  Unary,
  Binary,
  SumRows,
  SumColumns,
  MaxRows,
  Copy,
  Rotary,
  CacheRows,
  CachedAttention,
}

/** What a `Job.Unary` computes of each element. */
export enum Unary {
  Exp,
  Tanh,
  Sigmoid,
  Sqrt,
  Rsqrt,
  Square,
  Negate,
  Absolute,
  Relu,
  Log,
}

/** What a `Job.Binary` computes of each pair of elements. */
export enum Binary {
  Add,
  Subtract,
  Multiply,
  Divide,
  SquaredDifference,
  Maximum,
  Minimum,
}

// Where the threads meet: byte addresses at the start of the shared memory. Words that different threads write stand
// on cache lines of their own.

/** int64: number of the job at work in the high half, chunks of it that nobody has taken yet in the low half. */
export const STATE = 64;
/** int32: number of the last job that is finished. */
export const FINISHED = 128;
/** int32: counts the jobs; a worker with nothing to do sleeps on it. */
export const WAKE = 192;
/** int32: how many workers sleep. */
export const SLEEPERS = 256;
/** int32: not 0 when the workers shall end. */
export const STOP = 320;
/** int32: how many workers have started and not ended. */
export const WORKERS = 324;
/** int32: number of the newest job. */
export const PUBLISHED = 384;
/** Where the compiler puts the kernels' tables of constants. */
export const TABLES = 704;
/** Where the queue of jobs begins. */
export const QUEUE = 2048;
/** Jobs for which the queue has room: a power of two. */
export const SLOTS = 64;
/** Bytes that describe a job: first its arguments, 32 float64. A float64 holds every int32, float32 and address exactly. */
export const SLOT_SIZE = 384;
/** int32 in a slot: the job's code. */
export const JOB = 256;
/** int32 in a slot: units of work in the job; what a unit is, each kernel says. */
export const UNITS = 260;
/** int32 in a slot: units in a chunk, which one thread takes at a time. */
export const GRAIN = 264;
/** int32 in a slot: chunks in the job. */
export const CHUNKS = 268;
/** int32 in a slot: chunks of the job that are finished. */
export const DONE = 320;
/** Where the threads' scratch areas begin. */
export const SCRATCH = 26624;
/** Bytes of scratch a thread has. */
export const SCRATCH_SIZE = 2097152;

// Sizes that the kernels and the planning of their calls share.

/** Rows of a matrix product that one tile holds in registers. */
export const TILE_ROWS = 5;
/** Columns of a matrix product that one tile holds in registers. */
export const TILE_COLUMNS = 8;
/** Steps of a product's sum between two visits of the results: 13 kB of packed panels, which stay in the first-level cache. */
export const DEPTH = 256;
/** Floats of the right-hand matrix that a thread keeps packed: half a megabyte, to stay in a core's own cache. */
export const PACKED_FLOATS = 131072;
/** Most queries, and most keys, in a block of attention: a multiple of the tile's columns. */
export const ATTENTION_BLOCK = 80;
/** Floats in a packed block of queries, keys or values. */
export const ATTENTION_FLOATS = 65536;
/** Elements in a unit of an elementwise job. */
export const BLOCK = 1024;
/** Columns in a unit of a job that reduces over rows: one cache line. */
export const COLUMN_GROUP = 16;
/** Elements whose squares are summed into one partial sum. */
export const SQUARE_SUM_BLOCK = 4096;
