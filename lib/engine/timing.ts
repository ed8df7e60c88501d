/** Where the time of a step goes, and how fast this machine could be. */
import * as tf from "@tensorflow/tfjs";

/** Time of all kernels of one name. */
export interface KernelTime {
  kernel: string;
  /** How often it ran. */
  calls: number;
  milliseconds: number;
}

/**
 * Runs something once and says how long each kernel worked, longest first. What is left to the whole time is spent between kernels: in
 * tfjs's bookkeeping.
 *
 * @param step what to look at; may return tensors, which are disposed
 */
export async function profileStep(step: () => tf.TensorContainer): Promise<{
  kernels: KernelTime[];
  /** Wall-clock time of the whole step. */
  milliseconds: number;
}> {
  const start = performance.now();
  const { kernels, result } = await tf.profile(() => step() as tf.Tensor);
  tf.dispose(result as tf.TensorContainer);
  const times = await Promise.all(kernels.map(({ kernelTimeMs }) => kernelTimeMs));
  const milliseconds = performance.now() - start;
  const byName = new Map<string, KernelTime>();
  for (const [i, { name }] of kernels.entries()) {
    const time = byName.get(name) ?? { kernel: name, calls: 0, milliseconds: 0 };
    time.calls++;
    time.milliseconds += Number((times[i] as { error: string } | number) || 0);
    byName.set(name, time);
  }
  const sorted = [...byName.values()].sort((a, b) => b.milliseconds - a.milliseconds);
  return { kernels: sorted, milliseconds };
}

/**
 * The best this backend does: a matrix product, over and over, for about half a second.
 *
 * @param size rows, columns and depth of the matrices
 * @returns multiplications and additions per second, in billions
 */
export async function measurePeak(size = 512): Promise<number> {
  const [a, b] = [
    tf.randomUniform([size, size], 0, 1, "float32", 1),
    tf.randomUniform([size, size], 0, 1, "float32", 2),
  ];
  let best = Infinity;
  const until = performance.now() + 500;
  while (performance.now() < until) {
    const start = performance.now();
    const product = tf.matMul(a, b);
    await product.data();
    best = Math.min(best, performance.now() - start);
    product.dispose();
  }
  tf.dispose([a, b]);
  return 2 * size ** 3 / best / 1e6;
}
