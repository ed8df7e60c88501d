import { assert, assertEquals, assertThrows } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import { KERNELS, registerFusedGradients } from "lib/engine/kernels.ts";
import { operator, useKernels, type Verdict, verifyOperators } from "lib/engine/ops.ts";
import { registerSimdBackend } from "lib/engine/simd/mod.ts";
import { cachedWindowAttention, windowAttention } from "./own-model.ts";
import { assertTensor } from "./support.ts";

/** GELU as a reader would write it. */
const gelu = (x: tf.Tensor) =>
  x.mul(x.add(x.square().mul(x).mul(0.044715)).mul(2 * Math.sqrt(2 / Math.PI)).sigmoid());

async function verdictOn(name: string): Promise<Verdict> {
  const verdicts = await verifyOperators();
  return verdicts.findLast(({ operator }) => operator === name)!;
}

/** Whether the fused kernel is among the kernels that a call runs. */
async function usesKernel(call: () => tf.Tensor): Promise<boolean> {
  const { kernelNames } = await tf.profile(() => tf.tidy(call));
  return kernelNames.includes(KERNELS.gelu);
}

function testOnSimd(name: string, body: () => Promise<void>): void {
  Deno.test({
    name,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => {
      await registerSimdBackend({ threads: 1 });
      await tf.setBackend("simd");
      try {
        await body();
      } finally {
        useKernels("fused");
        await tf.setBackend("cpu");
        tf.removeBackend("simd");
      }
    },
  });
}

testOnSimd("a kernel stands in only after it was found to compute the same", async () => {
  const op = operator("gelu", gelu);
  const x = tf.tensor1d([-1, 0, 2]);
  assert(!await usesKernel(() => op(x)), "not before it was compared");
  const verdict = await verdictOn("gelu");
  assert(verdict.same && verdict.difference < 1e-4, JSON.stringify(verdict));
  assert(await usesKernel(() => op(x)));
  await assertTensor(op(x), [-0.158808, 0, 1.9545977], 1e-5);
  useKernels("reference");
  assert(!await usesKernel(() => op(x)), "reference means the function");
});

testOnSimd("a function that makes numbers of NaN runs itself: the kernel hides none", async () => {
  const op = operator("gelu", (x) => tf.where(tf.isNaN(x), tf.zerosLike(x), gelu(x)));
  assert(!(await verdictOn("gelu")).same);
  await assertTensor(op(tf.tensor1d([NaN, 0])), [0, 0]);
});

testOnSimd("a function of your own runs itself, whatever its name", async () => {
  const op = operator("gelu", (x) => x.relu());
  assert(!(await verdictOn("gelu")).same);
  await assertTensor(op(tf.tensor1d([-1, 2])), [0, 2]);
});

testOnSimd("the same values with another gradient are not the same", async () => {
  const wrong = tf.customGrad((x) => ({
    value: gelu(x as tf.Tensor),
    gradFunc: (dy: tf.Tensor) => dy,
  }));
  operator("gelu", wrong as (x: tf.Tensor) => tf.Tensor);
  assert(!(await verdictOn("gelu")).same, "its gradient is 1 everywhere");
});

testOnSimd("a function that differs only far from 0 or far back is not the same", async () => {
  operator("gelu", (x) => gelu(x).minimum(6));
  assert(!(await verdictOn("gelu")).same, "it is cut off at 6");
  for (const window of [1, 9, 256, Infinity]) {
    operator("causalAttention", windowAttention(window));
    operator("cachedAttention", cachedWindowAttention(window));
    for (const name of ["causalAttention", "cachedAttention"]) {
      const { same } = await verdictOn(name);
      assertEquals(same, window === Infinity, `${name} that looks back ${window} tokens`);
    }
  }
});

testOnSimd("what a function is told beyond what the kernel knows is heeded", async () => {
  type More = { nHead: number; window?: number };
  operator("causalAttention", (qkv, options) => {
    const { window = Infinity } = options as More;
    return windowAttention(window)(qkv, options);
  });
  assert(!(await verdictOn("causalAttention")).same, "it has an option of its own");
  const op = operator("gelu", (x, steepness = 1) => gelu(x.mul(steepness)).div(steepness));
  assert((await verdictOn("gelu")).same);
  const told = op as unknown as (x: tf.Tensor, steepness: number) => tf.Tensor;
  assert(await usesKernel(() => op(tf.tensor1d([1]))));
  await assertTensor(told(tf.tensor1d([1]), 2), [1.9545977 / 2], 1e-5);
});

testOnSimd("a function that throws is left to throw by itself", async () => {
  const op = operator("gelu", () => {
    throw new Error("not implemented: gelu");
  });
  assert(!(await verdictOn("gelu")).same);
  assertThrows(() => op(tf.scalar(1)), Error, "not implemented: gelu");
});

testOnSimd("comparing leaves no tensors behind", async () => {
  operator("gelu", gelu);
  const before = tf.memory().numTensors;
  await verifyOperators();
  assertEquals(tf.memory().numTensors, before);
});

Deno.test("a backend without kernels compares nothing; a misspelt mode is refused", async () => {
  await tf.setBackend("cpu");
  assertEquals(await verifyOperators(), []);
  assertThrows(() => useKernels("quick" as "fused"), RangeError, '"quick"');
});

/** How many tensors there are at the end of the walk back through a sum of so many terms, the terms and results left out. */
function tensorsBehindSum(terms: number): number {
  let tensors = 0;
  const first = tf.customGrad((x) => ({
    value: (x as tf.Tensor).clone(),
    gradFunc: (dy: tf.Tensor) => {
      tensors = tf.memory().numTensors - 2 * terms;
      return dy.clone();
    },
  })) as (x: tf.Tensor) => tf.Tensor;
  const sum = (x: tf.Tensor, ...rest: tf.Tensor[]) =>
    rest.reduce((y, term) => y.add(term), first(x)).square();
  const results = tf.tidy(() => tf.grads(sum)(Array.from({ length: terms }, () => tf.ones([2]))));
  for (const result of results) assertEquals([...result.dataSync()], [2 * terms, 2 * terms]);
  tf.dispose(results);
  return tensors;
}

Deno.test("the walk back through sums keeps no gradient that it has used", async () => {
  await tf.setBackend("cpu");
  registerFusedGradients();
  assertEquals(tensorsBehindSum(9), tensorsBehindSum(5));
});
