import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import { availableBackends, useBackend } from "lib/engine/backend.ts";
import { assertTensor, testOnBackends } from "./support.ts";

testOnBackends("matMul with every transposition is the sum of products", async () => {
  const a = [[1, 2, 3], [4, 5, 6]];
  const b = [[7, 8], [9, 10], [11, 12]];
  const product = [58, 64, 139, 154];
  const turn = (m: number[][]) => m[0].map((_, j) => m.map((row) => row[j]));
  await assertTensor(tf.matMul(a, b), product);
  await assertTensor(tf.matMul(turn(a), b, true), product);
  await assertTensor(tf.matMul(a, turn(b), false, true), product);
  await assertTensor(tf.matMul(turn(a), turn(b), true, true), product);
});

testOnBackends("matMul broadcasts a batch", async () => {
  const a = tf.tensor3d([[[1, 2]], [[3, 4]]]);
  await assertTensor(tf.matMul(a, tf.tensor3d([[[5, 6]]]), false, true), [17, 39]);
});

testOnBackends("the gradient of gather adds up rows that were read twice", async () => {
  const table = tf.tensor2d([[1, 2], [3, 4], [5, 6]]);
  const ids = tf.tensor2d([[2, 0], [2, 2]], [2, 2], "int32");
  const weights = tf.tensor3d([[[1, 10], [2, 20]], [[3, 30], [4, 40]]]);
  const gradient = tf.grad((x) => tf.gather(x, ids).mul(weights).sum())(table);
  await assertTensor(gradient, [2, 20, 0, 0, 8, 80]);
});

Deno.test("the choice says what and why, and obeys NANO_LLM_BACKEND", async () => {
  const before = Deno.env.get("NANO_LLM_BACKEND");
  try {
    Deno.env.set("NANO_LLM_BACKEND", "cpu");
    const choice = await useBackend();
    assertEquals([choice.name, choice.isRealGpu, tf.getBackend()], ["cpu", false, "cpu"]);
    assertStringIncludes(choice.line, "NANO_LLM_BACKEND");
    Deno.env.delete("NANO_LLM_BACKEND");
    const own = await useBackend();
    assertEquals(own.name === "webgpu", own.isRealGpu, "software Vulkan is never chosen unasked");
    assertStringIncludes(own.line, `backend ${own.name}`);
  } finally {
    if (before) Deno.env.set("NANO_LLM_BACKEND", before);
    else Deno.env.delete("NANO_LLM_BACKEND");
  }
});

Deno.test("an unknown backend is refused by name", async () => {
  const error = await assertRejects(() => useBackend("cuda" as "cpu"), RangeError);
  assertStringIncludes(error.message, '"cuda"');
  assertStringIncludes(error.message, "webgpu, simd, wasm, cpu");
});

Deno.test("asked for by name, a backend starts no other", async () => {
  await useBackend("simd");
  await tf.setBackend("cpu");
  tf.removeBackend("simd");
  await useBackend("cpu");
  assertEquals(tf.findBackend("simd"), null);
});

Deno.test("every backend says what it runs on or why it cannot", async () => {
  const statuses = await availableBackends();
  assertEquals(statuses.map(({ name }) => name), ["webgpu", "simd", "wasm", "cpu"]);
  assert(statuses.every(({ why }) => why.length > 0));
  assert(statuses.at(-1)!.available);
});
