import { assert, assertEquals } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import { measurePeak, profileStep } from "lib/engine/timing.ts";
import { testOnBackends } from "./support.ts";

testOnBackends("a profile names each kernel, counts its calls, and keeps no tensor", async () => {
  const x = tf.ones([64, 64]);
  const before = tf.memory().numTensors;
  const { kernels, milliseconds } = await profileStep(() =>
    tf.tidy(() => tf.matMul(tf.matMul(x, x), x).add(x))
  );
  const calls = Object.fromEntries(kernels.map((row) => [row.kernel, row.calls]));
  assertEquals([calls.BatchMatMul, calls.Add], [2, 1]);
  assert(kernels.every((row, i) => i === 0 || row.milliseconds <= kernels[i - 1].milliseconds));
  assert(kernels.every((row) => row.milliseconds >= 0) && milliseconds > 0);
  assertEquals(tf.memory().numTensors, before);
});

Deno.test("the peak is a plausible number of operations", async () => {
  await tf.setBackend("cpu");
  const peak = await measurePeak();
  assert(peak > 0.001 && peak < 1e5, `${peak} billions a second`);
});
