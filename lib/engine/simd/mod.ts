/** Our own CPU backend for tfjs: `await registerSimdBackend(); await tf.setBackend("simd");` */
import * as tf from "@tensorflow/tfjs";
import { SimdBackend } from "./backend.ts";
import { MAX_THREADS, Pool } from "./pool.ts";
import { registerFusedKernels } from "./fused.ts";
import { registerStandardKernels } from "./standard.ts";
import { libraryFile } from "../environment.ts";

/** The backend's name in tfjs. */
export const SIMD = "simd";

/** Settings of `registerSimdBackend`. */
export interface SimdOptions {
  /** Threads that compute, the main one included, in [1, 64]; one per core if it is not given. */
  threads?: number;
}

/**
 * Makes the backend `simd` known to tfjs, in place of an earlier one (whose tensors are lost). Without
 * SharedArrayBuffer it has one thread; relaxed SIMD is used where the engine has it.
 *
 * Results are the same to the last bit for any number of threads.
 *
 * @throws Error saying why, if this engine has no WebAssembly SIMD or grants no memory: use `cpu` then
 * @throws RangeError naming the value, if `threads` is out of range
 */
export async function registerSimdBackend(options: SimdOptions = {}): Promise<void> {
  const pool = await Pool.start(await loadKernels(), chooseThreads(options.threads));
  const backend = new SimdBackend(pool);
  if (tf.findBackend(SIMD)) tf.removeBackend(SIMD);
  tf.registerBackend(SIMD, () => backend);
  if (tf.getKernelsForBackend(SIMD).length > 0) return;
  tf.copyRegisteredKernels("cpu", SIMD);
  registerStandardKernels(SIMD);
  registerFusedKernels(SIMD);
}

/** The backend that is registered, if there is one. */
export function simdBackend(): SimdBackend | undefined {
  const backend = tf.findBackend(SIMD);
  return backend instanceof SimdBackend ? backend : undefined;
}

/**
 * How many threads there will be: as many as wanted, but 1 where memory cannot be shared.
 *
 * @param wanted one per core if it is not given
 */
export function chooseThreads(wanted?: number): number {
  if (typeof SharedArrayBuffer === "undefined") return 1;
  return wanted ?? Math.min(MAX_THREADS, navigator.hardwareConcurrency ?? 1);
}

/** The build of the kernels that this engine understands. */
async function loadKernels(): Promise<WebAssembly.Module> {
  // Each address in full: bundlers look for this form.
  const builds = [
    new URL("kernels.wasm", import.meta.url),
    new URL("kernels-plain.wasm", import.meta.url),
  ];
  for (const url of builds) {
    const bytes = await libraryFile(url);
    if (WebAssembly.validate(bytes)) return await WebAssembly.compile(bytes);
  }
  throw new Error(
    "the simd backend needs WebAssembly SIMD, which this JavaScript engine does not have",
  );
}
