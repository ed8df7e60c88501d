/** A kernel of tfjs's own that has to be put right. */
import * as tf from "@tensorflow/tfjs";

/**
 * Makes tf.addN add no more tensors at once than the device lets a shader have. tfjs's kernel takes them all, and where there are
 * too many (eight, on its own device), WebGPU drops all commands that were recorded with it, and nobody is told.
 */
export function registerAddN(): void {
  const stock = tf.getKernel("AddN", "webgpu");
  const kernelFunc: tf.KernelFunc = (call) => {
    const backend = call.backend as tf.KernelBackend & { device: GPUDevice };
    const most = backend.device.limits.maxStorageBuffersPerShaderStage - 1;
    const add = (tensors: tf.TensorInfo[]): tf.TensorInfo => {
      if (tensors.length <= most) {
        const inputs = tensors as unknown as tf.NamedTensorInfoMap;
        return stock.kernelFunc({ ...call, inputs }) as tf.TensorInfo;
      }
      const part = add(tensors.slice(0, most));
      const sum = add([part, ...tensors.slice(most)]);
      backend.disposeData(part.dataId);
      return sum;
    };
    return add(call.inputs as unknown as tf.TensorInfo[]);
  };
  tf.unregisterKernel("AddN", "webgpu");
  tf.registerKernel({ ...stock, kernelFunc });
}
