/** The queue of jobs of the backend `simd`: kernels return before their work is done, and nobody can tell. */
import { assert, assertEquals } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import { fusedEmbedding, fusedLinear } from "lib/engine/kernels.ts";
import { registerSimdBackend, simdBackend } from "lib/engine/simd/mod.ts";
import { SLOTS } from "lib/engine/simd/assembly/codes.ts";

/** A test with two threads, in a scope that leaves no tensor behind. */
function testQueue(name: string, body: () => void | Promise<void>): void {
  Deno.test({
    name: `simd queue: ${name}`,
    // Workers outlive a test.
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => {
      if (simdBackend()?.pool.threads !== 2) await registerSimdBackend({ threads: 2 });
      await tf.setBackend("simd");
      await simdBackend()!.pool.ready();
      tf.engine().startScope();
      try {
        await body();
      } finally {
        tf.engine().endScope();
      }
    },
  });
}

const SIDE = 300;

/** A matrix that gives, multiplied by a matrix, `factor` times the latter. */
const scaling = (factor: number) => tf.eye(SIDE).mul<tf.Tensor2D>(factor);

/** x after `times` products, with as many jobs left in the queue as there is room for. */
function multiplied(x: tf.Tensor2D, by: tf.Tensor2D, times: number): tf.Tensor2D {
  return tf.tidy(() => {
    for (let i = 0; i < times; i++) x = tf.matMul(x, by);
    return x;
  });
}

testQueue("more jobs than it has room for run in their order", async () => {
  let x = tf.ones<tf.Rank.R2>([SIDE, SIDE]);
  const sign = scaling(-1);
  const times = 2 * SLOTS;
  for (let i = 1; i <= times; i++) x = tf.tidy(() => tf.matMul(x, sign).add(i));
  // 1 -> -1 + 1 = 0 -> 0 + 2 = 2 -> -2 + 3 = 1 -> -1 + 4 = 3 ...: after an even number n of steps, 1 + n / 2.
  const values = await x.data();
  assert(values.every((value) => value === 1 + times / 2), `${values[0]}`);
});

testQueue("a kernel returns before its work is done", () => {
  const { pool } = simdBackend()!;
  const x = scaling(1), y = multiplied(x, x, 30);
  assert(pool.pending > 0, "nothing is left in the queue");
  y.dataSync();
  assertEquals(pool.pending, 0);
});

testQueue("a new tensor does not land where a job still reads", async () => {
  const two = scaling(2), x = multiplied(tf.ones([SIDE, SIDE]), scaling(1), 1);
  const y = multiplied(two, two, 9);
  const z = tf.matMul(y, x);
  x.dispose(); // its memory is free for the next tensor, the product above has not begun
  const next = tf.fill<tf.Rank.R2>([SIDE, SIDE], 7).add(0);
  assertEquals((await z.data())[0], 1024);
  assertEquals((await next.data())[0], 7);
});

testQueue("what the host writes waits for what the threads read", async () => {
  const { pool } = simdBackend()!;
  const x = multiplied(scaling(3), scaling(1), 1), y = multiplied(x, scaling(1), 20);
  simdBackend()!.valuesOf(x)[0] = 5;
  assertEquals(pool.pending, 0);
  assertEquals((await y.data())[0], 3);
});

testQueue("the time of a kernel is that of its work", async () => {
  const x = scaling(1), { pool } = simdBackend()!;
  await simdBackend()!.time(() => void multiplied(x, x, 3));
  assertEquals(pool.pending, 0);
});

testQueue("a job without work ends", () => {
  const none = fusedEmbedding(tf.ones([3, 4]), tf.tensor1d([], "int32"));
  assertEquals(none.shape, [0, 4]);
  assertEquals(none.dataSync().length, 0);
  assertEquals(fusedLinear(tf.ones([0, 5]), tf.ones([5, 7])).dataSync().length, 0);
});
