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

/** int64: number of the job in the high half, chunks of it that nobody has taken yet in the low half. */
export const STATE = 64;
/** int32: chunks of the job that are finished. */
export const DONE = 128;
/** int32: counts the jobs; a worker with nothing to do sleeps on it. */
export const WAKE = 192;
/** int32: how many workers sleep. */
export const SLEEPERS = 256;
/** int32: not 0 when the workers shall end. */
export const STOP = 320;
/** int32: how many workers have started and not ended. */
export const WORKERS = 324;
/** int32: the job's code. */
export const JOB = 384;
/** int32: units of work in the job; what a unit is, each kernel says. */
export const UNITS = 388;
/** int32: units in a chunk, which one thread takes at a time. */
export const GRAIN = 392;
/** int32: chunks in the job. */
export const CHUNKS = 396;
/** float64 x 32: the job's arguments. A float64 holds every int32, float32 and address exactly. */
export const ARGUMENTS = 448;
/** Where the compiler puts the kernels' tables of constants. */
export const TABLES = 704;
/** Where the threads' scratch areas begin. */
export const SCRATCH = 2048;
/** Bytes of scratch a thread has. */
export const SCRATCH_SIZE = 2097152;

// Sizes that the kernels and the planning of their calls share.

/** Rows of a matrix product that one tile holds in registers. */
export const TILE_ROWS = 5;
/** Columns of a matrix product that one tile holds in registers. */
export const TILE_COLUMNS = 8;
/** Floats of the right-hand matrix that a thread keeps packed: half a megabyte, to stay in a core's own cache. */
export const PACKED_FLOATS = 131072;
/** Elements in a unit of an elementwise job. */
export const BLOCK = 1024;
/** Columns in a unit of a job that reduces over rows: one cache line. */
export const COLUMN_GROUP = 16;
/** Elements whose squares are summed into one partial sum. */
export const SQUARE_SUM_BLOCK = 4096;
