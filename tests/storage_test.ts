/** What training keeps on the graphics card, in 16 bits instead of 32. Every operator in 16 bits: webgpu_test.ts. */
import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import {
  availableBackends,
  type BackendName,
  type BackendOptions,
  useBackend,
} from "lib/engine/backend.ts";
import { fusedAdamW, fusedGelu, fusedLinear } from "lib/engine/kernels.ts";
import { verifyOperators } from "lib/engine/ops.ts";
import { Random } from "lib/engine/random.ts";
import type { GpuBackend } from "lib/engine/webgpu/backend.ts";
import { reopenDevice } from "lib/engine/webgpu/backend.ts";
import { requestAdapter } from "lib/engine/webgpu/device.ts";
import { inHalves } from "lib/engine/webgpu/half.ts";
import { type StorageFormat, withStorage } from "lib/engine/storage.ts";
import { AdamW, trainStep } from "lib/train.ts";
import { GPT, type GPTConfig } from "lib/transformer.ts";
import { SHARED_DEVICE, testIf } from "./optional.ts";
import { assertTensor, whyNoHalves } from "./support.ts";

const webgpu = (await availableBackends()).find(({ name }) => name === "webgpu")!;
const NO_HALVES = webgpu.available ? await whyNoHalves() : webgpu.why;
const hasHalves = NO_HALVES === "";

function testInHalves(name: string, body: () => Promise<void>): void {
  testIf(NO_HALVES, name, async () => {
    await useBackend("webgpu", { storage: "f16" });
    await body().finally(() => useBackend("cpu"));
  }, SHARED_DEVICE);
}

/** What is refused, and how. */
async function refusal(name?: BackendName, options?: BackendOptions): Promise<string> {
  return (await assertRejects(() => useBackend(name, options), Error)).message;
}

/** Runs with variables of the environment set. */
async function withEnvironment(
  variables: Record<string, string>,
  body: () => Promise<void>,
): Promise<void> {
  const before = Object.keys(variables).map((name) => [name, Deno.env.get(name)] as const);
  for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
  await body().finally(() => {
    for (const [name, value] of before) value ? Deno.env.set(name, value) : Deno.env.delete(name);
  });
}

Deno.test("a storage that there is not is refused by name", async () => {
  assertEquals(
    await refusal("cpu", { storage: "f8" as "f16" }),
    'the storage must be one of f32, f16, got "f8"',
  );
});

Deno.test("16 bits are refused where the processor computes", async () => {
  for (const name of ["simd", "cpu"] as const) {
    assertEquals(
      await refusal(name, { storage: "f16" }),
      `storage "f16" is for backend "webgpu" only; backend "${name}" has "f32"`,
    );
  }
});

Deno.test("NANO_LLM_STORAGE asks for it, but not where the code names another backend", async () => {
  await withEnvironment({ NANO_LLM_STORAGE: "f16", NANO_LLM_BACKEND: "cpu" }, async () => {
    assert((await refusal()).includes('"webgpu" only; backend "cpu"'));
    assertEquals((await useBackend("cpu")).storage, "f32");
    if (hasHalves) assertEquals((await useBackend("webgpu")).storage, "f16");
    if (hasHalves) assertEquals((await useBackend("webgpu", { storage: "f32" })).storage, "f32");
  });
  await useBackend("cpu");
});

const NO_CARD = webgpu.available ? "" : webgpu.why;

testIf(NO_CARD, "16 bits are refused where the device has none", async () => {
  await useBackend("webgpu", { storage: "f32" });
  const adapter = (await requestAdapter())!, { gpu } = adapter;
  Object.assign(adapter, { gpu: { features: new Set() } });
  try {
    const message = await refusal("webgpu", { storage: "f16" });
    assert(message.startsWith('storage "f16" needs the feature shader-f16, which'), message);
    assert(message.includes(adapter.description), message);
  } finally {
    Object.assign(adapter, { gpu });
  }
}, SHARED_DEVICE);

testIf(NO_CARD, "without the feature no tensor is made in 16 bits, however asked for", async () => {
  await useBackend("webgpu", { storage: "f32" });
  const gpu = tf.backend() as GpuBackend, { hasHalves } = gpu, before = tf.memory().numTensors;
  Object.assign(gpu, { hasHalves: false });
  try {
    const make = () => withStorage("f16", () => fusedGelu(tf.zeros([2])));
    assertThrows(() => tf.tidy(make), Error, 'storage "f16" needs the feature shader-f16');
  } finally {
    Object.assign(gpu, { hasHalves });
  }
  assertEquals(tf.memory().numTensors, before);
  await assertTensor(fusedGelu(tf.zeros([2])), [0, 0]);
}, SHARED_DEVICE);

testInHalves("the choice says so, and the next one without a storage is back at 32", async () => {
  assert((await useBackend("webgpu", { storage: "f16" })).line.endsWith("is stored as f16"));
  assertEquals((await useBackend("webgpu")).storage, "f32");
  const third = fusedLinear(tf.tensor2d([[1 / 3]]), tf.ones([1, 1]));
  await assertTensor(third, [1 / 3], 1e-7);
});

Deno.test("a shader in halves widens what it loads and rounds what it stores", () => {
  const shader = `@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> max: array<f32>;
fn f() { if (x[a[i]] == 1.0) { y[i + 1u] = vec4f(x[i], -x[3], place.x[0], max[0]); } }`;
  assertEquals(inHalves(shader, []), shader);
  assertEquals(
    inHalves(shader, [1, 2]),
    `enable f16; @group(0) @binding(1) var<storage, read_write> y: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read> x: array<f16>;
@group(0) @binding(3) var<storage, read> max: array<f32>;
fn f() { if (f32(x[a[i]]) == 1.0) { y[i + 1u] = vec4<f16>(vec4f(f32(x[i]), -f32(x[3]), place.x[0], max[0])); } }`,
  );
  assertThrows(() => inHalves(shader, [4]), Error, "binding 4");
});

/** Odd in number, too large and too small for 16 bits among them; and what 16 bits make of them. */
const NUMBERS = [1 / 3, -70_000, 1e-9, 2049, -0.1, NaN, 65_504];
const ROUNDED = [...new Float16Array(NUMBERS)];

/** Numbers [1, n] that lie on the device in 16 bits. */
const kept = (numbers: number[]) =>
  fusedLinear(tf.tensor2d([numbers]), tf.eye(numbers.length)) as tf.Tensor2D;

/** How many bytes a function's result takes. */
function bytesOf(f: () => tf.Tensor): number {
  const gpu = tf.backend() as GpuBackend;
  return tf.tidy(() => gpu.bufferOf(f()).size);
}

testInHalves("data() gives the rounded numbers, which took two bytes each", async () => {
  const finite = NUMBERS.filter((x) => !Number.isNaN(x) && Math.abs(x) < 65_505);
  assertEquals([...await kept(finite).data()], [...new Float16Array(finite)]);
  assertEquals(bytesOf(() => kept(finite)), 12, "five numbers, and whole words");
  assertEquals(bytesOf(() => fusedGelu(tf.zeros([6, 4]))), 48);
});

testInHalves("a number too large for 16 bits shows, and NaN stays", async () => {
  assertEquals(ROUNDED.slice(0, 2).map(Number.isFinite), [true, false]);
  const x = tf.tensor1d([70_000, 3, NaN, -70_000]);
  assertEquals([...await fusedGelu(x).data()].map(Number.isFinite), [false, true, false, true]);
});

const THREE = [1 / 3, -2.3, 5];
const WIDE = [...new Float16Array(THREE)];

testInHalves("tfjs's own operations see the rounded numbers", async () => {
  const x = kept(THREE),
    cases: [tf.Tensor, number[]][] = [
      [x.add(x), WIDE.map((a) => a + a)],
      [x.reshape([3]).mul(2), WIDE.map((a) => 2 * a)],
      [x.slice([0, 1], [1, 2]), WIDE.slice(1)],
      [tf.concat([x, tf.ones([1, 1]), x], 1), [...WIDE, 1, ...WIDE]],
      [x.transpose(), WIDE],
      [x.clone(), WIDE],
      [x.toInt(), [0, -2, 5]],
      [x.sum(), [WIDE.reduce((a, b) => a + b)]],
      [tf.matMul(x, x, false, true), [WIDE.reduce((a, b) => a + b * b, 0)]],
    ];
  for (const [result, wanted] of cases) await assertTensor(result, wanted, 1e-6);
});

testInHalves("AdamW keeps weights in 32 bits, wherever they come from", async () => {
  const parameter = kept([1]), [moment1, moment2, gradient] = [kept([0]), kept([0]), kept([1])];
  const settings = { learningRate: 1e-6, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0 };
  fusedAdamW({ parameter, moment1, moment2, gradient }, { ...settings, step: 1 });
  await assertTensor(parameter, [[1 - 1e-6]], 1e-7);
  assert((await parameter.data())[0] < 1, "16 bits would have rounded the step away");
});

testInHalves("a function is compared with its kernel in 32 bits", async () => {
  for (const { operator, same, difference } of await verifyOperators()) {
    assert(same && difference < 1e-5, `${operator}: ${difference}`);
  }
});

const SHAPE = { vocabSize: 31, blockSize: 24, nLayer: 2, nHead: 3, nEmbd: 30, bias: true };

/** Losses of the first steps of a new model on tokens that follow a rule, and bytes that the device reserved for it. */
async function trained(
  storage: StorageFormat,
  steps: number,
  shape: Partial<GPTConfig> = {},
): Promise<{ losses: number[]; bytes: number }> {
  await reopenDevice(); // counts its bytes from 0
  await useBackend("webgpu", { storage });
  await verifyOperators();
  const model = new GPT({ ...SHAPE, ...shape }, new Random(1)), random = new Random(2);
  const optimizer = new AdamW(model.parameters), losses: number[] = [];
  const { blockSize: length } = model.config;
  for (let step = 0; step < steps; step++) {
    const rows = Array.from({ length: 5 }, () => {
      const start = random.integer(31);
      return Array.from({ length: length + 1 }, (_, i) => (start + 3 * i) % 31);
    });
    const inputs = tf.tensor2d(rows.map((row) => row.slice(0, -1)), undefined, "int32");
    const targets = tf.tensor2d(rows.map((row) => row.slice(1)), undefined, "int32");
    const { loss, norm } = trainStep(model, optimizer, [{ inputs, targets }], {
      learningRate: 3e-3,
      clip: 1,
    });
    losses.push((await loss.data())[0]);
    tf.dispose([loss, norm, inputs, targets]);
  }
  const { numBytesAllocatedInGPU } = tf.memory() as unknown as Record<string, number>;
  return { losses, bytes: numBytesAllocatedInGPU };
}

testInHalves("fifty steps give the losses of 32 bits", async () => {
  for (const shape of [{}, { activation: "swiglu", norm: "rms", dropout: 0.1 }] as const) {
    const { losses } = await trained("f16", 50, shape);
    const { losses: wanted } = await trained("f32", 50, shape);
    losses.forEach((loss, i) => assertAlmostEquals(loss, wanted[i], 5e-3, `step ${i + 1}`));
    assert(losses[49] < losses[0] - 1, `it learns: ${losses[0]} to ${losses[49]}`);
    assert(losses.some((loss, i) => loss !== wanted[i]), "it is not the same computation");
  }
});

testInHalves("a step needs clearly less memory", async () => {
  const long = { blockSize: 96, nLayer: 4 };
  const half = await trained("f16", 3, long), full = await trained("f32", 3, long);
  assert(half.bytes < 0.8 * full.bytes, `${half.bytes} of ${full.bytes} bytes`);
});
