/**
 * Which processor does the work. `useBackend()` chooses, says in one line what it chose and why, and never falls
 * back in silence.
 */
import * as tf from "@tensorflow/tfjs";
import { environment } from "./environment.ts";
import { registerSimdBackend, simdBackend } from "./simd/mod.ts";
import {
  noHalves,
  setStorageFormat,
  type StorageFormat,
  storageFormat,
  storageNamed,
} from "./storage.ts";
import { registerWasmBackend } from "./wasm.ts";
import { isDeviceLost, registerWebgpuBackend, reopenDevice } from "./webgpu/backend.ts";
import { requestAdapter } from "./webgpu/device.ts";

const BACKENDS = ["webgpu", "simd", "wasm", "cpu"] as const;

/**
 * `webgpu`: the graphics card. `simd`: all cores of the processor, with kernels of our own. `wasm`: tfjs's own kernels on one
 * core, to compare with. `cpu`: plain JavaScript, everywhere.
 */
export type BackendName = typeof BACKENDS[number];

/** What `useBackend` decided. */
export interface BackendChoice {
  name: BackendName;
  /** Whether a real graphics card does the work (software Vulkan is not one). */
  isRealGpu: boolean;
  /** In how many bits it keeps what training remembers. */
  storage: StorageFormat;
  /** One sentence: what was chosen and why. */
  line: string;
  toString(): string;
}

/** How a backend is to work. */
export interface BackendOptions {
  /** In how many bits results of the fused kernels are kept; `f16` for `webgpu` on devices with the feature `shader-f16` only. */
  storage?: StorageFormat;
}

/** One backend of this machine. */
export interface BackendStatus {
  name: BackendName;
  available: boolean;
  /** What it runs on, or why it is not available. */
  why: string;
}

tf.enableProdMode();

/**
 * Makes tfjs compute on the best backend of this machine: `webgpu` if a real adapter exists, else `simd`, else `cpu`.
 * `NANO_LLM_BACKEND` or `name` overrides the choice, so that software Vulkan can be tested on purpose.
 *
 * On `webgpu`, `NANO_LLM_STORAGE=f16` or `storage` halves the memory of what training keeps for its gradients. The variable is not
 * heeded where `name` names another backend.
 *
 * @param name the backend to use whatever the machine has
 * @throws RangeError if the name is not one of the four, or the storage is not "f32" or "f16"; Error if the backend or the storage
 * asked for is not available here
 */
export async function useBackend(
  name?: BackendName,
  { storage }: BackendOptions = {},
): Promise<BackendChoice> {
  const wanted = name ?? environment("NANO_LLM_BACKEND");
  if (wanted && !BACKENDS.some((known) => known === wanted)) {
    throw new RangeError(`the backend must be one of ${BACKENDS.join(", ")}, got "${wanted}"`);
  }
  const statuses = wanted ? [await REGISTER[wanted as BackendName]()] : await firstAvailable();
  const chosen = statuses[statuses.length - 1];
  if (!chosen.available) {
    throw new Error(`backend "${chosen.name}" is not available: ${chosen.why}`);
  }
  const format = storageNamed(
    storage ?? (name && name !== "webgpu" ? "f32" : environment("NANO_LLM_STORAGE") ?? "f32"),
  );
  if (format === "f16") await requireHalves(chosen.name);
  await tf.setBackend(chosen.name);
  await tf.ready();
  setStorageFormat(format);
  const reason = wanted
    ? `${chosen.why}; asked for by ${name ? "name" : "NANO_LLM_BACKEND"}`
    : reasonFor(statuses);
  const kept = format === "f16" ? "; what training keeps is stored as f16" : "";
  const line = `backend ${chosen.name}: ${reason}${kept}`;
  return {
    name: chosen.name,
    isRealGpu: chosen.name === "webgpu" && ((await requestAdapter())?.isReal ?? false),
    storage: format,
    line,
    toString: () => line,
  };
}

async function requireHalves(name: BackendName): Promise<void> {
  if (name !== "webgpu") {
    throw new Error(`storage "f16" is for backend "webgpu" only; backend "${name}" has "f32"`);
  }
  const adapter = await requestAdapter();
  if (adapter?.gpu.features.has("shader-f16")) return;
  throw new Error(noHalves(adapter!.description));
}

/**
 * After an error: if the graphics card was lost, makes tfjs compute on it anew or, where it stays away, on the next best
 * backend. All tensors are gone then.
 *
 * @returns what was chosen; undefined if no card was lost, and nothing was changed
 */
export async function replaceLostDevice(): Promise<BackendChoice | undefined> {
  if (!await isDeviceLost()) return undefined;
  try {
    await reopenDevice();
    return await useBackend("webgpu", { storage: storageFormat() });
  } catch {
    return await useBackend("simd").catch(() => useBackend("cpu"));
  }
}

/** The backends that an automatic choice passes, and last the one it takes. What it does not need is not started. */
async function firstAvailable(): Promise<BackendStatus[]> {
  const adapter = await requestAdapter();
  const passed: BackendStatus[] = adapter && !adapter.isReal
    ? [{ name: "webgpu", available: false, why: adapter.description }]
    : [await REGISTER.webgpu()];
  for (const name of ["simd", "cpu"] as const) {
    if (!passed[passed.length - 1].available) passed.push(await REGISTER[name]());
  }
  return passed;
}

function reasonFor(statuses: BackendStatus[]): string {
  const passed = statuses.slice(0, -1).map(({ name, why }) => `not ${name}: ${why}`);
  return [statuses[statuses.length - 1].why, ...passed].join("; ");
}

/** Every backend, best first, with what it runs on or why it cannot run here. The available ones are registered. */
export async function availableBackends(): Promise<BackendStatus[]> {
  const statuses: BackendStatus[] = [];
  for (const name of BACKENDS) statuses.push(await REGISTER[name]());
  return statuses;
}

/** For each backend, what registers it if it can run here. */
const REGISTER: Record<BackendName, () => Promise<BackendStatus>> = {
  async webgpu() {
    const adapter = await requestAdapter();
    const fault = adapter
      ? await attempt(() => registerWebgpuBackend(adapter))
      : "no graphics adapter found";
    return { name: "webgpu", available: !fault, why: fault ?? adapter!.description };
  },
  async simd() {
    const fault = simdBackend() ? undefined : await attempt(registerSimdBackend);
    return { name: "simd", available: !fault, why: fault ?? describeSimd() };
  },
  async wasm() {
    const fault = await attempt(registerWasmBackend);
    return {
      name: "wasm",
      available: !fault,
      why: fault ?? "the processor, with tfjs's own kernels",
    };
  },
  cpu: () =>
    Promise.resolve({ name: "cpu", available: true, why: "plain JavaScript on the processor" }),
};

function describeSimd(): string {
  const threads = simdBackend()!.pool.threads;
  return `the processor, with SIMD instructions on ${threads} ${threads === 1 ? "core" : "cores"}`;
}

async function attempt(register: () => Promise<void>): Promise<string | undefined> {
  try {
    await register();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
