// @ts-nocheck: AssemblyScript, which tools/build-simd.ts compiles.
/**
 * Where the threads meet. The main thread publishes a job; it and the workers take chunks of the job's units until
 * none are left. Which thread takes a chunk never changes a bit of the result: every unit is computed alone, in a fixed
 * order. A worker that sleeps, or that the system has put aside, delays nothing: the others take its chunks.
 */
import {
  CHUNKS,
  DONE,
  GRAIN,
  JOB,
  Job,
  SLEEPERS,
  STATE,
  STOP,
  TILE_COLUMNS,
  TILE_ROWS,
  UNITS,
  WAKE,
  WORKERS,
} from "./codes.ts";
import { useScratch } from "./job.ts";
import { DEPTH, matMul, tileAlone } from "./matmul.ts";
import { layerNorm, layerNormGrad, layerNormGradParameters } from "./norm.ts";
import { gelu, geluGrad } from "./gelu.ts";
import { attention, attentionGrad } from "./attention.ts";
import { crossEntropy, crossEntropyGrad, maxRows, softmax } from "./softmax.ts";
import { gather, scatter } from "./embedding.ts";
import { rotary } from "./rotary.ts";
import { cachedAttention, cacheRows } from "./cached.ts";
import { adamW, squareSum } from "./adamw.ts";
import { binary, copy, sumColumns, sumRows, unary } from "./elementwise.ts";

/** Looks at the shared memory before a worker goes to sleep: about 100 microseconds. */
const WORKER_PATIENCE: i32 = 50000;

/** Looks at the shared memory before the main thread naps: about 20 microseconds. */
const MAIN_PATIENCE: i32 = 10000;

/** Whether the engine has relaxed SIMD, for which this build was made. */
export function isRelaxed(): bool {
  return ASC_FEATURE_RELAXED_SIMD;
}

/** Only to measure: see `tileAlone` in matmul.ts. Returns how many numbers were multiplied and added each time. */
export function measureTile(times: i32): i32 {
  tileAlone(times);
  return TILE_ROWS * TILE_COLUMNS * DEPTH;
}

function dispatch(job: i32, begin: i32, end: i32, number: i32): void {
  switch (job) {
    case Job.MatMul:
      return matMul(begin, end, number);
    case Job.LayerNorm:
      return layerNorm(begin, end);
    case Job.LayerNormGrad:
      return layerNormGrad(begin, end);
    case Job.LayerNormGradParameters:
      return layerNormGradParameters(begin, end);
    case Job.Rotary:
      return rotary(begin, end);
    case Job.CacheRows:
      return cacheRows(begin, end);
    case Job.CachedAttention:
      return cachedAttention(begin, end);
    case Job.Gelu:
      return gelu(begin, end);
    case Job.GeluGrad:
      return geluGrad(begin, end);
    case Job.Attention:
      return attention(begin, end);
    case Job.AttentionGrad:
      return attentionGrad(begin, end);
    case Job.CrossEntropy:
      return crossEntropy(begin, end);
    case Job.CrossEntropyGrad:
      return crossEntropyGrad(begin, end);
    case Job.Softmax:
      return softmax(begin, end);
    case Job.Gather:
      return gather(begin, end);
    case Job.Scatter:
      return scatter(begin, end);
    case Job.AdamW:
      return adamW(begin, end);
    case Job.SquareSum:
      return squareSum(begin, end);
    case Job.Unary:
      return unary(begin, end);
    case Job.Binary:
      return binary(begin, end);
    case Job.SumRows:
      return sumRows(begin, end);
    case Job.SumColumns:
      return sumColumns(begin, end);
    case Job.MaxRows:
      return maxRows(begin, end);
    case Job.Copy:
      return copy(begin, end);
    default:
      unreachable();
  }
}

/** Takes chunks and works on them until none are left. */
function drain(): void {
  while (true) {
    const state = atomic.load<i64>(STATE);
    const left = <i32> state;
    if (left == 0) return;
    if (atomic.cmpxchg<i64>(STATE, state, state - 1) != state) continue;
    // The chunk is ours, so the job cannot end, and its description cannot change, before we have counted it done.
    const grain = load<i32>(GRAIN), begin = (load<i32>(CHUNKS) - left) * grain;
    dispatch(load<i32>(JOB), begin, min(begin + grain, load<i32>(UNITS)), <i32> (state >> 32));
    atomic.add<i32>(DONE, 1);
  }
}

/**
 * Runs a job, whose arguments the caller has written, and returns when all of it is done.
 *
 * @param grain units that a thread takes at a time
 * @param mayWait whether this thread is allowed to sleep (a browser's main thread is not)
 */
export function run(job: i32, units: i32, grain: i32, mayWait: bool): void {
  const chunks = (units + grain - 1) / grain;
  const number = (atomic.load<i64>(STATE) >> 32) + 1;
  if (chunks == 1) {
    atomic.store<i64>(STATE, number << 32);
    return dispatch(job, 0, units, <i32> number);
  }
  store<i32>(JOB, job),
    store<i32>(UNITS, units),
    store<i32>(GRAIN, grain),
    store<i32>(CHUNKS, chunks);
  atomic.store<i32>(DONE, 0);
  atomic.store<i64>(STATE, number << 32 | <i64> chunks);
  atomic.add<i32>(WAKE, 1);
  if (atomic.load<i32>(SLEEPERS) > 0) atomic.notify(WAKE, chunks - 1);
  drain();
  let looks = 0;
  while (true) {
    const done = atomic.load<i32>(DONE);
    if (done == chunks) return;
    if (mayWait && ++looks > MAIN_PATIENCE) atomic.wait<i32>(DONE, done, 50000);
  }
}

/** A worker's life: works on every job until it is told to stop. `slot` is its own number, from 1. */
export function work(slot: i32): void {
  useScratch(slot);
  atomic.add<i32>(WORKERS, 1);
  let looks = 0;
  while (atomic.load<i32>(STOP) == 0) {
    if (<i32> atomic.load<i64>(STATE) != 0) {
      drain();
      looks = 0;
    } else if (++looks > WORKER_PATIENCE) {
      sleep();
      looks = 0;
    }
  }
  atomic.sub<i32>(WORKERS, 1);
}

/** Sleeps until the next job is published. */
function sleep(): void {
  atomic.add<i32>(SLEEPERS, 1);
  const wake = atomic.load<i32>(WAKE);
  // Looked at after WAKE was read: a job published in between has changed WAKE, and the wait returns at once.
  if (<i32> atomic.load<i64>(STATE) == 0 && atomic.load<i32>(STOP) == 0) {
    atomic.wait<i32>(WAKE, wake, -1);
  }
  atomic.sub<i32>(SLEEPERS, 1);
}
