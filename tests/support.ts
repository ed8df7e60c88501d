/** What the tests share: one test per backend, tensors compared with numbers, gradients compared with differences. */
import { assert } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import { availableBackends, type BackendName } from "lib/engine/backend.ts";
import { requestAdapter } from "lib/engine/webgpu/device.ts";
import { SHARED_DEVICE, testIf } from "./optional.ts";

const statuses = await availableBackends();

/**
 * Registers one test per backend of the book. A backend that this machine lacks is skipped, and its test's name
 * says why.
 *
 * @param on the backends that the test is about; all unless told
 */
export function testOnBackends(
  name: string,
  body: (backend: BackendName) => void | Promise<void>,
  on?: BackendName[],
): void {
  for (const { name: backend, available, why } of statuses) {
    if (on && !on.includes(backend)) continue;
    testIf(available ? "" : why, `${name} [${backend}]`, async () => {
      await tf.setBackend(backend);
      await tf.ready();
      tf.engine().startScope();
      try {
        await body(backend);
      } finally {
        tf.engine().endScope();
      }
    }, SHARED_DEVICE);
  }
}

/** Why the graphics card keeps nothing in 16 bits; empty if it can. */
export async function whyNoHalves(): Promise<string> {
  const adapter = await requestAdapter();
  if (adapter?.gpu.features.has("shader-f16")) return "";
  return adapter ? "the graphics adapter lacks shader-f16" : "no graphics adapter found";
}

/** Numbers in any nesting, in reading order. */
export type Nested = number | readonly Nested[] | Float32Array | Float64Array;

function flatten(values: Nested): number[] {
  return typeof values === "number" ? [values] : Array.from(values as Nested[], flatten).flat();
}

/** Fails unless every number of `actual` is within `tolerance` (absolute, or relative for numbers above 1). */
export async function assertTensor(
  actual: tf.Tensor,
  expected: Nested,
  tolerance = 1e-5,
): Promise<void> {
  const got = await actual.data();
  const wanted = flatten(expected);
  assert(
    got.length === wanted.length,
    `shape [${actual.shape}] has ${got.length} numbers, expected ${wanted.length}`,
  );
  for (const [i, value] of wanted.entries()) {
    const allowed = tolerance * Math.max(1, Math.abs(value));
    const bothNaN = Number.isNaN(value) && Number.isNaN(got[i]);
    assert(
      bothNaN || got[i] === value || Math.abs(got[i] - value) <= allowed,
      `number ${i} of [${actual.shape}]: got ${got[i]}, expected ${value} ± ${allowed}`,
    );
  }
}

/**
 * Gradient of a scalar function by central differences: one slow evaluation pair per number of `x`.
 *
 * @param f from a tensor of x's shape to a scalar
 * @param step the h of (f(x + h) - f(x - h)) / 2h; f32 wants a large one
 */
export async function finiteDifferences(
  f: (x: tf.Tensor) => tf.Tensor,
  x: tf.Tensor,
  step = 1e-2,
): Promise<number[]> {
  const values = await x.data();
  const gradient: number[] = [];
  for (const i of values.keys()) {
    const at = async (delta: number) => {
      const moved = Float32Array.from(values);
      moved[i] += delta;
      const [result] = await tf.tidy(() => f(tf.tensor(moved, x.shape))).data();
      return result;
    };
    gradient.push((await at(step) - await at(-step)) / (2 * step));
  }
  return gradient;
}
