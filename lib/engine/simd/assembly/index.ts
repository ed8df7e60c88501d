// @ts-nocheck: AssemblyScript, which tools/build-simd.ts compiles.
/**
 * What the main thread and the workers do with the queue of jobs. Which thread takes a chunk of a job never changes a bit
 * of the result: every unit is computed alone, in a fixed order. A worker that sleeps, or that the system has put aside,
 * delays nothing: the others take its chunks.
 */
import {
  CHUNKS,
  DEPTH,
  FINISHED,
  GRAIN,
  JOB,
  Job,
  SLEEPERS,
  SLOTS,
  STOP,
  TILE_COLUMNS,
  TILE_ROWS,
  UNITS,
  WAKE,
  WORKERS,
} from "./codes.ts";
import { useArguments, useScratch } from "./job.ts";
import { complete, finished, isWaiting, publish, published, skip, slotOf, take } from "./queue.ts";
import { matMul, tileAlone } from "./matmul.ts";
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
    const state = take(), left = <i32> state, number = <i32> (state >> 32);
    if (left == 0) return;
    const slot = slotOf(number), grain = load<i32>(slot + GRAIN), units = load<i32>(slot + UNITS);
    const begin = (load<i32>(slot + CHUNKS) - left) * grain;
    useArguments(slot);
    dispatch(load<i32>(slot + JOB), begin, min(begin + grain, units), number);
    complete(number);
  }
}

/**
 * Works with the others until at most `most` jobs are unfinished.
 *
 * @param mayWait whether this thread is allowed to sleep (a browser's main thread is not)
 */
export function finish(most: i32, mayWait: bool): void {
  let looks = 0;
  while (true) {
    const done = finished();
    if (published() - done <= most) return;
    if (isWaiting()) {
      drain();
      looks = 0;
    } else if (mayWait && ++looks > MAIN_PATIENCE) atomic.wait<i32>(FINISHED, done, 50000);
  }
}

/** Waits until there is room for a job. Gives the number of the last one that is finished. */
export function reserve(mayWait: bool): i32 {
  finish(SLOTS - 1, mayWait);
  return finished();
}

/**
 * Puts a job, whose arguments the caller has written into the next slot, behind those in the queue. A job of one chunk
 * is done at once if there are none: it is not worth waking anybody.
 *
 * @param grain units that a thread takes at a time
 */
export function run(job: i32, units: i32, grain: i32): void {
  const chunks = (units + grain - 1) / grain, number = published() + 1, slot = slotOf(number);
  if (chunks == 1 && finished() == number - 1) {
    useArguments(slot);
    dispatch(job, 0, units, number);
    return skip(number);
  }
  store<i32>(slot + JOB, job), store<i32>(slot + UNITS, units), store<i32>(slot + GRAIN, grain);
  publish(number, chunks);
}

/** A worker's life: works on every job until it is told to stop. `slot` is its own number, from 1. */
export function work(slot: i32): void {
  useScratch(slot);
  atomic.add<i32>(WORKERS, 1);
  let looks = 0;
  while (atomic.load<i32>(STOP) == 0) {
    if (isWaiting()) {
      drain();
      looks = 0;
    } else if (++looks > WORKER_PATIENCE) {
      sleep();
      looks = 0;
    }
  }
  atomic.sub<i32>(WORKERS, 1);
}

/** Sleeps until the next job is published; while others work on the last chunks of one, a moment only. */
function sleep(): void {
  const done = finished();
  if (published() != done) {
    atomic.wait<i32>(FINISHED, done, 50000);
    return;
  }
  atomic.add<i32>(SLEEPERS, 1);
  const wake = atomic.load<i32>(WAKE);
  // Looked at after WAKE was read: a job published in between has changed WAKE, and the wait returns at once.
  if (published() == finished() && atomic.load<i32>(STOP) == 0) atomic.wait<i32>(WAKE, wake, -1);
  atomic.sub<i32>(SLEEPERS, 1);
}
