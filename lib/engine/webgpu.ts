/** tfjs's WebGPU backend on a device of our own: all the limits the adapter has, and errors that are heard. */
import * as tf from "@tensorflow/tfjs";
import { WebGPUBackend } from "@tensorflow/tfjs-backend-webgpu";

/** A WebGPU adapter and what it is. */
export interface Adapter {
  gpu: GPUAdapter;
  /** False for software adapters such as Mesa's lavapipe: right results, no speed. */
  isReal: boolean;
  description: string;
}

let found: Promise<Adapter | undefined> | undefined;

/** The machine's best WebGPU adapter, or undefined where there is none. Asked for once. */
export function requestAdapter(): Promise<Adapter | undefined> {
  return found ??= findAdapter();
}

async function findAdapter(): Promise<Adapter | undefined> {
  if (!navigator.gpu) return undefined;
  const gpu = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!gpu) return undefined;
  const name = gpu.info.description || gpu.info.device || gpu.info.vendor || "unnamed adapter";
  const isReal = !gpu.info.isFallbackAdapter &&
    !/llvmpipe|lavapipe|swiftshader|software/i.test(name);
  return {
    gpu,
    isReal,
    description: isReal ? name : `${name}, a software adapter: right but slow`,
  };
}

const LIMITS = [
  "maxBufferSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupStorageSize",
  "maxComputeWorkgroupsPerDimension",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
] as const;

let registered = false;

/** Registers the tfjs backend `webgpu`; its device is made when the backend is first used. */
export async function registerWebgpuBackend(adapter: Adapter): Promise<void> {
  if (registered) return;
  registered = true;
  tf.removeBackend("webgpu");
  tf.registerBackend("webgpu", async () => {
    const { gpu } = adapter;
    const requiredLimits = Object.fromEntries(LIMITS.map((name) => [name, gpu.limits[name]]));
    const wanted: GPUFeatureName[] = ["shader-f16", "timestamp-query"];
    const requiredFeatures = wanted.filter((feature) => gpu.features.has(feature));
    const device = await gpu.requestDevice({ requiredFeatures, requiredLimits });
    device.addEventListener("uncapturederror", (event) => {
      throw new Error(`WebGPU: ${(event as GPUUncapturedErrorEvent).error.message}`);
    });
    // deno-lint-ignore no-explicit-any
    return new WebGPUBackend(device as any, gpu.info as any);
  }, 3);
  await Promise.resolve();
}
