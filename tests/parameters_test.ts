import { assertEquals, assertThrows } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import { Parameters } from "lib/engine/parameters.ts";
import { Random } from "lib/engine/random.ts";
import { assertTensor, testOnBackends } from "./support.ts";

testOnBackends("parameters are made by name, counted, and freed", async () => {
  const before = tf.memory().numTensors;
  const parameters = new Parameters(new Random(1));
  const weight = parameters.normal("h.0.weight", [3, 4], 0.02);
  await assertTensor(parameters.ones("h.0.gain", [2]), [1, 1]);
  await assertTensor(parameters.zeros("h.0.bias", [2]), [0, 0]);
  assertEquals(parameters.count, 16);
  assertEquals(parameters.get("h.0.weight"), weight);
  await assertTensor(weight, new Random(1).normals(12, 0.02));
  assertThrows(() => parameters.zeros("h.0.bias", [2]), Error, "h.0.bias");
  assertThrows(() => parameters.get("h.1.bias"), Error, "h.0.gain");
  parameters.dispose();
  assertEquals(tf.memory().numTensors, before);
});
