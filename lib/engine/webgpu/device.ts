/** The graphics card: found, opened with all it can do, and heard when it complains. */

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

/** Makes `requestAdapter` look again: an adapter opens one device only, and may have gone. */
export function forgetAdapter(): void {
  found = undefined;
}

async function findAdapter(): Promise<Adapter | undefined> {
  if (!navigator.gpu) return undefined;
  const gpu = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!gpu) return undefined;
  const name = gpu.info.description || gpu.info.device || gpu.info.vendor || "unnamed adapter";
  const isReal = !gpu.info.isFallbackAdapter &&
    !/llvmpipe|lavapipe|swiftshader|software/i.test(name);
  const description = isReal ? name : `${name}, a software adapter: right but slow`;
  return { gpu, isReal, description };
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

const FEATURES: GPUFeatureName[] = ["shader-f16", "timestamp-query"];

/**
 * Opens the adapter with every limit and feature that we can use.
 *
 * @param onError hears what goes wrong on the device later: WebGPU itself throws nothing
 */
export function openDevice(
  { gpu }: Adapter,
  onError: (error: GPUError) => void,
): Promise<GPUDevice> {
  const opened = gpu.requestDevice({
    requiredFeatures: FEATURES.filter((feature) => gpu.features.has(feature)),
    requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, gpu.limits[name]])),
  });
  return opened.then((device) => {
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      onError((event as GPUUncapturedErrorEvent).error);
    });
    return device;
  });
}
