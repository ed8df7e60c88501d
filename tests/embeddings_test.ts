import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import {
  applyRotary,
  embed,
  Embeddings,
  projectTo2d,
  rotaryAngles,
  rotatePairs,
  sinusoidalPositions,
} from "lib/embeddings.ts";
import { Parameters } from "lib/engine/parameters.ts";
import { Random } from "lib/engine/random.ts";
import fixture from "./fixtures/embeddings.json" with { type: "json" };
import { assertTensor, finiteDifferences, testOnBackends } from "./support.ts";

testOnBackends("embed looks up rows, and its gradient is PyTorch's", async () => {
  const { table, ids, weight, vectors, gradient } = fixture.lookup;
  const rows = tf.tensor2d(table, [6, 3]);
  const wanted = tf.tensor2d(ids, [2, 3], "int32");
  const found = embed(rows, wanted);
  assertEquals(found.shape, [2, 3, 3]);
  await assertTensor(found, vectors);
  const loss = (x: tf.Tensor) =>
    tf.sum(tf.mul(embed(x as tf.Tensor2D, wanted), tf.tensor(weight, [2, 3, 3])));
  await assertTensor(tf.grad(loss)(rows), gradient);
});

Deno.test("embed refuses ids that are not int32", () => {
  const table = tf.zeros<tf.Rank.R2>([3, 2]);
  assertThrows(() => embed(table, tf.tensor1d([0, 1])), TypeError, "got float32");
});

testOnBackends("sinusoidalPositions is the paper's formula, cell by cell", async () => {
  const [length, width] = [37, 10];
  const wanted = Array.from({ length }, (_, t) =>
    Array.from({ length: width }, (_, column) => {
      const pair = Math.floor(column / 2);
      const angle = t / Math.pow(10000, 2 * pair / width);
      return column % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
    }));
  await assertTensor(sinusoidalPositions(length, width), wanted, 1e-6);
});

Deno.test("an odd or empty width is refused by name", () => {
  assertThrows(() => sinusoidalPositions(4, 5), RangeError, "got 5");
  assertThrows(() => sinusoidalPositions(4, 0), RangeError, "got 0");
  assertThrows(() => rotaryAngles(4, 7), RangeError, "got 7");
});

testOnBackends("rotatePairs turns counter-clockwise", async () => {
  const [x, y] = [tf.tensor1d([1, 0, 3]), tf.tensor1d([0, 1, 4])];
  const [cos, sin] = [tf.tensor1d([0, 0, -1]), tf.tensor1d([1, 1, 0])]; // a quarter, a quarter, a half
  const [turnedX, turnedY] = rotatePairs(x, y, cos, sin);
  await assertTensor(turnedX, [0, -1, -3]);
  await assertTensor(turnedY, [1, 0, -4]);
});

testOnBackends("rotary positions are those of transformers' Llama", async () => {
  const { start, q, k, turnedQ, turnedK } = fixture.rotary;
  const angles = rotaryAngles(8, 8);
  await assertTensor(applyRotary(tf.tensor4d(q, [1, 2, 5, 8]), angles, start), turnedQ);
  await assertTensor(applyRotary(tf.tensor4d(k, [1, 2, 5, 8]), angles, start), turnedK);
});

testOnBackends("rotary scores depend on the distance only", async () => {
  const random = new Random(5);
  const repeat = (row: Float32Array) =>
    tf.tile(tf.tensor4d(row, [1, 1, 1, 16]), [1, 1, 20, 1]) as tf.Tensor4D;
  const angles = rotaryAngles(20, 16);
  const q = applyRotary(repeat(random.normals(16)), angles);
  const k = applyRotary(repeat(random.normals(16)), angles);
  const scores = await tf.reshape(tf.matMul(q, k, false, true), [20, 20]).array() as number[][];
  for (let i = 1; i < 20; i++) {
    for (let j = 1; j < 20; j++) assertAlmostEquals(scores[i][j], scores[i - 1][j - 1], 1e-4);
  }
  assert(Math.abs(scores[5][0] - scores[0][0]) > 0.01, "the distance has no effect");
});

testOnBackends("the gradient of applyRotary is that of finite differences", async () => {
  const angles = rotaryAngles(6, 4);
  const weight = tf.tensor(new Random(3).normals(24), [1, 2, 3, 4]);
  const f = (x: tf.Tensor) =>
    tf.sum(tf.mul(tf.sin(applyRotary(x as tf.Tensor4D, angles, 2)), weight));
  const x = tf.tensor(new Random(4).normals(24), [1, 2, 3, 4]);
  await assertTensor(tf.grad(f)(x), await finiteDifferences(f, x), 1e-3);
});

Deno.test("applyRotary says which positions the angles lack", () => {
  const x = tf.zeros<tf.Rank.R4>([1, 1, 3, 4]);
  assertThrows(() => applyRotary(x, rotaryAngles(4, 4), 2), RangeError, "positions 2 to 4");
});

testOnBackends("Embeddings adds token and position vectors", async () => {
  const parameters = new Parameters(new Random(1));
  const embeddings = new Embeddings(parameters, { vocabSize: 7, blockSize: 5, nEmbd: 4 });
  const names = parameters.entries().map(([name, { shape }]) => [name, shape]);
  assertEquals(names, [["transformer.wte.weight", [7, 4]], ["transformer.wpe.weight", [5, 4]]]);
  const [tokens, positions] = [await embeddings.wte.array(), await embeddings.wpe!.array()];
  const ids = [[6, 0, 6], [2, 1, 3]];
  const wanted = (start: number) =>
    ids.map((row) => row.map((id, t) => tokens[id].map((x, c) => x + positions[start + t][c])));
  const rows = tf.tensor2d(ids, [2, 3], "int32");
  await assertTensor(embeddings.forward(rows), wanted(0), 1e-7);
  await assertTensor(embeddings.forward(rows, 2), wanted(2), 1e-7);
  assertThrows(() => embeddings.forward(rows, 3), RangeError, "6 tokens are more than blockSize");
});

Deno.test("Embeddings start with standard deviation 0.02", async () => {
  const config = { vocabSize: 500, blockSize: 8, nEmbd: 40 };
  const { wte } = new Embeddings(new Parameters(new Random(1)), config);
  const values = Array.from(await wte.data());
  const std = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
  assertAlmostEquals(std, 0.02, 5e-4);
});

Deno.test("Embeddings have no position table where positions are rotary", async () => {
  const parameters = new Parameters(new Random(1));
  const config = { vocabSize: 7, blockSize: 5, nEmbd: 4, position: "rotary" as const };
  const embeddings = new Embeddings(parameters, config);
  assertEquals(parameters.entries().map(([name]) => name), ["transformer.wte.weight"]);
  const same = await embeddings.forward(tf.tensor2d([[3, 3]], [1, 2], "int32")).array();
  assertEquals(same[0][0], same[0][1]);
});

Deno.test("projectTo2d is the projection by singular vectors, with its shares", () => {
  const { rows, points, shares } = fixture.projection;
  const found = projectTo2d(rows);
  for (const [i, point] of points.entries()) {
    for (const axis of [0, 1]) assertAlmostEquals(found.points[i][axis], point[axis], 1e-5);
  }
  assertAlmostEquals(found.shares[0], shares[0], 1e-6);
  assertAlmostEquals(found.shares[1], shares[1], 1e-6);
});

Deno.test("projectTo2d draws the same picture whatever the order of the columns", () => {
  const { rows } = fixture.projection;
  const { points } = projectTo2d(rows);
  for (const shift of [1, 2, 3, 4]) {
    const turned = projectTo2d(rows.map((row) => [...row.slice(shift), ...row.slice(0, shift)]));
    turned.points.flat().forEach((x, i) => assertAlmostEquals(x, points.flat()[i], 1e-5));
  }
});

Deno.test("projectTo2d takes rows on one line, and equal rows", () => {
  const { points, shares } = projectTo2d([[3, -2], [-3, 2], [0, 0]]);
  assertAlmostEquals(Math.abs(points[0][0]), Math.hypot(3, 2), 1e-6);
  assertAlmostEquals(shares[0], 1, 1e-6);
  assertEquals(projectTo2d([[1, 2], [1, 2]]).points, [[0, 0], [0, 0]]);
  assertThrows(() => projectTo2d([[1, 2]]), RangeError, "got 1 of 2");
});
