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
 * The best this backend does: square matrix products, larger and larger, one after the other without waiting, for about a second.
 *
 * @returns multiplications and additions per second, in billions
 * @example const peak = await measurePeak(); // 95 on two cores with AVX-512
 */
export async function measurePeak(): Promise<number> {
  const until = performance.now() + 1000;
  let best = 0;
  for (const size of [256, 512, 1024, 2048]) {
    best = Math.max(best, await bestRate(size, Math.min(until, performance.now() + 400)));
    if (performance.now() >= until) break;
  }
  return best;
}

/** Billions of operations per second of products of one size, the best of several rounds until a time. */
async function bestRate(size: number, until: number): Promise<number> {
  const [a, b] = [1, 2].map((seed) => tf.randomUniform([size, size], 0, 1, "float32", seed));
  let best = 0;
  // Waiting for a result costs milliseconds on a graphics card: rounds grow until that no longer counts.
  for (let products = 1;; products *= 2) {
    const start = performance.now();
    await multiply(a as tf.Tensor2D, b as tf.Tensor2D, products);
    const elapsed = performance.now() - start;
    best = Math.max(best, products * 2 * size ** 3 / elapsed / 1e6);
    if (performance.now() + 2 * elapsed > until) break;
  }
  tf.dispose([a, b]);
  return best;
}

async function multiply(a: tf.Tensor2D, b: tf.Tensor2D, times: number): Promise<void> {
  const corner = tf.tidy(() => {
    let product = tf.matMul(a, b);
    for (let i = 1; i < times; i++) product.dispose(), product = tf.matMul(a, b);
    return product.slice([0, 0], [1, 1]);
  });
  await corner.data();
  corner.dispose();
}
