/** The memory of the graphics card: which buffer a tensor gets, when it is free again, and that nothing piles up. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import { availableBackends } from "lib/engine/backend.ts";
import { fusedAdamW, fusedGelu } from "lib/engine/kernels.ts";
import { verifyOperators } from "lib/engine/ops.ts";
import { Random } from "lib/engine/random.ts";
import { profileStep } from "lib/engine/timing.ts";
import type { GpuBackend } from "lib/engine/webgpu/backend.ts";
import { BufferPool } from "lib/engine/webgpu/pool.ts";
import { AdamW, BatchSampler, trainStep } from "lib/train.ts";
import { GPT } from "lib/transformer.ts";
import { SHARED_DEVICE, testIf } from "./optional.ts";

const [{ available, why }] = await availableBackends();
const TENSOR = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
const random = new Random(3);

function gpuTest(name: string, body: (gpu: GpuBackend) => Promise<void>): void {
  testIf(available ? "" : why, `${name} [webgpu]`, async () => {
    await tf.setBackend("webgpu");
    await body(tf.backend() as GpuBackend);
  }, SHARED_DEVICE);
}

/** A pool on a device that keeps no numbers, and the sizes of the buffers that it destroyed. */
function poolAlone(): { pool: BufferPool; destroyed: number[] } {
  const destroyed: number[] = [];
  const createBuffer = ({ size, usage }: GPUBufferDescriptor) => ({
    size,
    usage,
    destroy: () => void destroyed.push(size),
  });
  return { pool: new BufferPool({ createBuffer } as unknown as GPUDevice), destroyed };
}

Deno.test("the pool lends the shortest buffer that fits, the oldest of equal ones", () => {
  const { pool } = poolAlone();
  const made = [100, 120, 100, 110].map((size) => pool.acquireBuffer(size, TENSOR));
  for (const i of [2, 1, 0, 3]) pool.releaseBuffer(made[i]);
  const lent = [100, 100, 100, 100].map((size) => pool.acquireBuffer(size, TENSOR));
  assertEquals(lent.map((buffer) => made.indexOf(buffer)), [0, 2, 3, 1]);
  assertEquals([pool.numBytesAllocated, pool.numBytesUsed], [430, 430]);
  assertEquals(pool.wantedBytes(made[1]), 100);
});

Deno.test("the pool lends no buffer that is too short or more than a quarter too long", () => {
  const { pool } = poolAlone();
  pool.releaseBuffer(pool.acquireBuffer(1000, TENSOR));
  for (const size of [1004, 796, 4]) assertEquals(pool.acquireBuffer(size, TENSOR).size, size);
  assertEquals(pool.acquireBuffer(800, TENSOR).size, 1000);
  assertEquals(pool.numBytesAllocated, 1000 + 1004 + 796 + 4);
});

Deno.test("what the host maps or writes gets buffers of exactly its size", () => {
  const { pool } = poolAlone();
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const buffer = pool.acquireBuffer(100, usage);
  pool.releaseBuffer(buffer);
  assertEquals(pool.acquireBuffer(96, usage).size, 96);
  assert(pool.acquireBuffer(100, TENSOR) !== buffer, "a buffer of another usage");
  assertEquals(pool.acquireBuffer(100, usage), buffer);
});

Deno.test("the pool counts what it destroys, and refuses what it did not lend", () => {
  const { pool, destroyed } = poolAlone();
  const [a, b] = [40, 80].map((size) => pool.acquireBuffer(size, TENSOR));
  pool.releaseBuffer(a, false);
  assertEquals([pool.numBytesAllocated, pool.numBytesUsed, destroyed], [80, 80, [40]]);
  assertThrows(() => pool.releaseBuffer(a), Error, "40 bytes");
  pool.releaseBuffer(b);
  assertEquals([pool.getNumUsedBuffers(), pool.getNumFreeBuffers()], [0, 1]);
  pool.dispose();
  assertEquals([pool.numBytesAllocated, destroyed], [0, [40, 80]]);
  pool.releaseBuffer(b); // a tensor that outlived the backend
});

/** Bytes of all buffers on the card. */
function allocated(): number {
  return (tf.memory() as unknown as { numBytesAllocatedInGPU: number }).numBytesAllocatedInGPU;
}

gpuTest(
  "a buffer is used again before anything was submitted, and nobody sees the other's numbers",
  async () => {
    const x = tf.tensor1d(random.normals(5000));
    const host = Array.from(await x.data());
    const kept: tf.Tensor[] = [];
    let before = 0;
    for (let i = 0; i < 30; i++) {
      tf.tidy(() => kept.push(tf.keep(x.add(i).square().sum()))); // two of 20,000 bytes, disposed at once
      if (i === 0) before = allocated();
    }
    assert(allocated() - before < 20_000, `${allocated() - before} bytes were allocated`);
    for (const [i, sum] of kept.entries()) {
      const expected = host.reduce((total, one) => total + (one + i) ** 2, 0);
      assertAlmostEquals((await sum.data())[0] / expected, 1, 1e-4);
    }
    tf.dispose([x, ...kept]);
  },
);

gpuTest(
  "a tensor in a buffer that is too long is read, added and copied in its own length",
  async (gpu) => {
    const shapes = [1280, 1200, 1100, 1030];
    for (const size of shapes) {
      const x = tf.range(0, size);
      const y = x.add(1);
      assertEquals([...await y.data()], Array.from({ length: size }, (_, i) => i + 1));
      const both = gpu.concatenate([x, y]);
      const tensor = tf.engine().makeTensorFromTensorInfo(both);
      assertEquals((await tensor.data()).length, 2 * size);
      const sum = tf.sum(y.reshape([size / 10, 10]), 0);
      assertEquals((await sum.data()).length, 10);
      tf.dispose([x, y, tensor, sum]);
    }
  },
);

gpuTest("a tensor disposed while it is read gives what it held", async () => {
  const x = tf.range(0, 1000);
  const y = x.add(1);
  const copy = y.clone(); // keeps its data alive, as a variable does
  const reading = y.data();
  y.dispose();
  const other = x.mul(-1);
  assertEquals((await reading)[999], 1000);
  assertEquals((await other.data())[999], -999);
  tf.dispose([x, copy, other]);
});

gpuTest("bind groups that were made for nothing else do not pile up", async (gpu) => {
  const x = tf.linspace(-3, 3, 9000);
  const y = tf.engine().makeTensorFromTensorInfo(gpu.output([9000]));
  const manager = gpu.bufferManager;
  let most = 0;
  for (let count = 1; count <= 4500; count++) {
    gpu.dispatch({ name: "gelu", options: ["VALUE"] }, [y, x], [count], [1]);
    most = Math.max(most, manager.getNumUsedBuffers());
  }
  assert(most < 3000, `${most} buffers were in use`);
  assertAlmostEquals((await y.data())[0], -0.00363, 1e-4);
  tf.dispose([x, y]);
});

/** One parameter of AdamW on the card, and the same in plain numbers. */
function newParameter(size: number) {
  const values = [random.normals(size), random.normals(size)];
  const [p, g] = values.map((data) => [...data]);
  const [m, v] = [p, p].map(() => Array(size).fill(0));
  const [parameter, gradient] = values.map((data) => tf.tensor1d(data));
  const [moment1, moment2] = [tf.zeros([size]), tf.zeros([size])];
  return { tensors: { parameter, gradient, moment1, moment2 }, numbers: { p, g, m, v } };
}

const SETTINGS = { learningRate: 0.01, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1 };

/** The step of AdamW that is written in kernels.ts, number by number. */
function expectedAfter({ p, g, m, v }: Record<"p" | "g" | "m" | "v", number[]>, factor: number) {
  const { learningRate, beta1, beta2, epsilon, weightDecay } = SETTINGS;
  return p.map((x, i) => {
    const slope = g[i] * factor;
    const mean = (beta1 * m[i] + (1 - beta1) * slope) / (1 - beta1);
    const square = (beta2 * v[i] + (1 - beta2) * slope ** 2) / (1 - beta2);
    const step = mean / (Math.sqrt(square) + epsilon);
    return x * (1 - learningRate * weightDecay) - learningRate * step;
  });
}

/** The commands that are recorded and not submitted. */
function pending(gpu: GpuBackend): number {
  return (gpu as unknown as { dispatchCountInPass: number }).dispatchCountInPass;
}

for (const [most, parts] of [[5, 1], [9, 2]]) {
  gpuTest(`AdamW of 150 parameters, ${parts} a shader, with submits in between`, async (gpu) => {
    Object.defineProperty(gpu, "mostTensors", { value: most, configurable: true });
    const x = tf.range(0, 8);
    while (pending(gpu) < 60) fusedGelu(x).dispose();
    const all = Array.from({ length: 150 }, (_, i) => newParameter(1 + i % 7));
    const norm = tf.scalar(4);
    for (const { tensors } of all) {
      fusedAdamW({ ...tensors, norm }, { ...SETTINGS, step: 1, clipNorm: 1 });
      tensors.gradient.dispose();
      tf.zeros([tensors.gradient.size]).dispose();
    }
    norm.dispose();
    const count = gpu.dispatches;
    for (const { tensors, numbers } of all) {
      const got = await tensors.parameter.data();
      expectedAfter(numbers, 1 / 4).forEach((value, i) => assertAlmostEquals(got[i], value, 1e-6));
      tf.dispose([tensors.parameter, tensors.moment1, tensors.moment2]);
    }
    assertEquals(gpu.dispatches - count, 150 / parts);
    Reflect.deleteProperty(gpu, "mostTensors");
    x.dispose();
  });
}

/** Trains a small model; `step` is one step, whose loss stays on the device. */
function smallTraining() {
  const model = new GPT({ vocabSize: 11, blockSize: 8, nLayer: 1, nHead: 2, nEmbd: 8 }, random);
  const optimizer = new AdamW(model.parameters);
  const tokens = Uint16Array.from({ length: 300 }, (_, i) => (i * i) % 11);
  const batches = new BatchSampler(tokens, { batchSize: 2, blockSize: 8, random: new Random(5) });
  const step = () => {
    const { loss, norm } = trainStep(model, optimizer, [batches.next()], {
      learningRate: 1e-2,
      clip: 1,
    });
    norm.dispose();
    return loss;
  };
  return { model, step };
}

gpuTest("a step is profiled while the step before it still waits for AdamW", async () => {
  await verifyOperators();
  const { step } = smallTraining();
  step().dispose();
  const { kernels } = await profileStep(step);
  assertEquals(kernels.find(({ kernel }) => kernel === "NanoLinear")?.calls, 4);
});

gpuTest("1,000 steps of training leave no tensor and no buffer behind", async () => {
  await verifyOperators();
  const { step } = smallTraining();
  const state = () => {
    const { numTensors, numDataBuffers, numBytes } = tf.memory();
    return { numTensors, numDataBuffers, numBytes, allocated: allocated() };
  };
  const losses: number[] = [], states = [];
  for (let i = 1; i <= 1000; i++) {
    const loss = step();
    if (i % 100 === 0) losses.push((await loss.data())[0]);
    loss.dispose();
    if (i === 100 || i === 1000) states.push(state());
  }
  assertEquals(states[1], states[0]);
  assert(losses.every((loss) => loss < 1), `guessing is ln 11 = 2.4; the losses are ${losses}`);
});
