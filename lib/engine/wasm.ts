/**
 * tfjs's WebAssembly backend, with two kernels of our own: a matrix product that transposes first (the stock one
 * takes a slow path where an operand is transposed), and the segment sum, which the gradient of `gather` needs and
 * the stock backend lacks.
 */
import * as tf from "@tensorflow/tfjs";
import { type BackendWasm, setWasmPaths } from "@tensorflow/tfjs-backend-wasm";

let registered: Promise<void> | undefined;

/**
 * Registers the tfjs backend `wasm`. Done once.
 *
 * @param products whose matrix product it has: ours, or to compare with, tfjs's own
 * @throws Error if this machine's WebAssembly has no SIMD
 */
export function registerWasmBackend(products: "ours" | "stock" = "ours"): Promise<void> {
  return registered ??= register(products);
}

async function register(products: "ours" | "stock"): Promise<void> {
  // tfjs would start threads from a blob script, which Deno refuses.
  tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false);
  if (!await tf.env().getAsync("WASM_HAS_SIMD_SUPPORT")) {
    throw new Error("WebAssembly without SIMD");
  }
  if (!("process" in globalThis)) throw new Error("its files are looked for on a disk only");
  const { createRequire } = await import("node:module");
  const script = createRequire(import.meta.url).resolve("@tensorflow/tfjs-backend-wasm");
  setWasmPaths(script.replace(/[^\\/]+$/, ""));
  if (products === "ours") replaceMatMul();
  tf.registerKernel({
    kernelName: "UnsortedSegmentSum",
    backendName: "wasm",
    kernelFunc: segmentSum,
  });
}

function replaceMatMul(): void {
  const stock = tf.getKernel("BatchMatMul", "wasm");
  const transpose = tf.getKernel("Transpose", "wasm");
  tf.unregisterKernel("BatchMatMul", "wasm");
  const kernelFunc: tf.KernelFunc = ({ inputs, backend, attrs }) => {
    const made: tf.TensorInfo[] = [];
    const turned = (x: tf.TensorInfo): tf.TensorInfo => {
      const last = x.shape.length - 1;
      const perm = [...x.shape.keys()].map((axis) => axis < last - 1 ? axis : 2 * last - 1 - axis);
      made.push(transpose.kernelFunc({ inputs: { x }, backend, attrs: { perm } }) as tf.TensorInfo);
      return made.at(-1)!;
    };
    const a = attrs!.transposeA ? turned(inputs.a!) : inputs.a!;
    const b = attrs!.transposeB ? turned(inputs.b!) : inputs.b!;
    const product = stock.kernelFunc({
      inputs: { a, b },
      backend,
      attrs: { transposeA: false, transposeB: false },
    });
    for (const { dataId } of made) (backend as BackendWasm).disposeData(dataId);
    return product;
  };
  tf.registerKernel({ ...stock, kernelFunc });
}

/** y[segment[i], :] += x[i, :]; rows with a negative segment are left out. */
const segmentSum: tf.KernelFunc = ({ inputs, backend, attrs }) => {
  const { x, segmentIds } = inputs as Record<string, tf.TensorInfo>;
  const wasm = backend as BackendWasm;
  const rows = tf.util.sizeFromShape(segmentIds.shape);
  const width = tf.util.sizeFromShape(x.shape) / rows;
  const shape = [attrs!.numSegments as number, ...x.shape.slice(segmentIds.shape.length)];
  const output = wasm.makeOutput(shape, x.dtype);
  const sums = wasm.typedArrayFromHeap(output).fill(0);
  const values = wasm.typedArrayFromHeap(x);
  for (const [row, segment] of wasm.typedArrayFromHeap(segmentIds).entries()) {
    if (segment < 0) continue;
    for (let column = 0; column < width; column++) {
      sums[segment * width + column] += values[row * width + column];
    }
  }
  return output;
};
