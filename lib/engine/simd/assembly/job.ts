// @ts-nocheck: AssemblyScript, which tools/build-simd.ts compiles.
/** A job's arguments, and the scratch memory of the thread that works on it. */
import { QUEUE, SCRATCH, SCRATCH_SIZE } from "./codes.ts";

/** Where the arguments of the job stand that this thread works on. Every thread has an instance of the module, so a global is its own. */
let given: usize = QUEUE;

/** Makes the following functions read the arguments that stand at `address`. */
export function useArguments(address: usize): void {
  given = address;
}

/** Argument `i` of the current job, as an integer. */
export function integer(i: i32): i32 {
  return <i32> load<f64>(given + (i << 3));
}

/** Argument `i` of the current job, as an address. 0 stands for "not given". */
export function address(i: i32): usize {
  return <usize> load<f64>(given + (i << 3));
}

/** Argument `i` of the current job, as a float. */
export function float(i: i32): f32 {
  return <f32> load<f64>(given + (i << 3));
}

/** Argument `i` of the current job in full precision: 1 - 0.999 in single precision keeps 4 digits only. */
export function double(i: i32): f64 {
  return load<f64>(given + (i << 3));
}

/** Bytes that `count` floats take. */
export function floats(count: i32): usize {
  return (<usize> count) << 2;
}

/** Where this thread's scratch area begins. */
export let scratch: usize = SCRATCH;

/** Gives this thread scratch area number `slot`. */
export function useScratch(slot: i32): void {
  scratch = SCRATCH + <usize> slot * SCRATCH_SIZE;
}
