// @ts-nocheck: AssemblyScript, which tools/build-simd.ts compiles.
/**
 * The queue of jobs. The main thread publishes them and need not wait; all threads work on the oldest one that is not
 * finished, and none begins another before that, so that a job may use what those before it wrote, and write where they
 * read. Jobs have numbers from 1; number n stands in slot n mod SLOTS.
 */
import {
  CHUNKS,
  DONE,
  FINISHED,
  GRAIN,
  JOB,
  PUBLISHED,
  QUEUE,
  SLEEPERS,
  SLOT_SIZE,
  SLOTS,
  STATE,
  UNITS,
  WAKE,
} from "./codes.ts";

/** Where job number `number` is described. */
export function slotOf(number: i32): usize {
  return QUEUE + <usize> (number & (SLOTS - 1)) * SLOT_SIZE;
}

/** Number of the newest job. */
export function published(): i32 {
  return atomic.load<i32>(PUBLISHED);
}

/** Number of the last job that is finished, and all before it are. */
export function finished(): i32 {
  return atomic.load<i32>(FINISHED);
}

/** A job's number in the high half, and in the low half its chunks that nobody has taken yet. */
function stateOf(number: i32, left: i32): i64 {
  return <i64> number << 32 | <i64> left;
}

/** Makes a job of `chunks` chunks known to the threads, after the caller has written the rest of its slot. */
export function publish(number: i32, chunks: i32): void {
  const slot = slotOf(number);
  store<i32>(slot + CHUNKS, chunks);
  atomic.store<i32>(slot + DONE, 0);
  atomic.store<i32>(PUBLISHED, number);
  begin(number);
  atomic.add<i32>(WAKE, 1);
  if (atomic.load<i32>(SLEEPERS) > 0) atomic.notify(WAKE, -1);
}

/** Counts a job as done that the main thread has worked on alone, while nothing else was in the queue. */
export function skip(number: i32): void {
  atomic.store<i64>(STATE, stateOf(number, 0));
  atomic.store<i32>(FINISHED, number);
  atomic.store<i32>(PUBLISHED, number);
}

/** Lets the threads take chunks of a job, if the one before is finished. Both who publish and who finish try it: one succeeds. */
function begin(number: i32): void {
  if (finished() != number - 1) return;
  const chunks = load<i32>(slotOf(number) + CHUNKS);
  atomic.cmpxchg<i64>(STATE, stateOf(number - 1, 0), stateOf(number, chunks));
}

/** Whether there is a chunk to take. */
export function isWaiting(): bool {
  return <i32> atomic.load<i64>(STATE) != 0;
}

/** Takes a chunk: the state before it was taken, or 0 if there is none. */
export function take(): i64 {
  while (true) {
    const state = atomic.load<i64>(STATE);
    if (<i32> state == 0) return 0;
    if (atomic.cmpxchg<i64>(STATE, state, state - 1) == state) return state;
  }
}

/** Counts a chunk of a job as done. Until then the job is not finished, so its slot is not used for another. */
export function complete(number: i32): void {
  const slot = slotOf(number);
  if (atomic.add<i32>(slot + DONE, 1) + 1 != load<i32>(slot + CHUNKS)) return;
  atomic.store<i32>(FINISHED, number);
  if (published() != number) begin(number + 1);
}
