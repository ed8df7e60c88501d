/**
 * tfjs's WebGPU backend, on a device of our own, with a short way to run shaders of our own: `dispatch`. They go into the same
 * command stream as tfjs's, so the two can be mixed freely.
 */
import * as tf from "@tensorflow/tfjs";
import { WebGPUBackend } from "@tensorflow/tfjs-backend-webgpu";
import { noHalves, storageFormat } from "../storage.ts";
import { type Adapter, forgetAdapter, openDevice, requestAdapter } from "./device.ts";
import { inHalves } from "./half.ts";
import { registerWebgpuKernels } from "./kernels.ts";
import { BufferPool, tensorUsage } from "./pool.ts";
import { loadShaders, type Shader, type ShaderName, sourceOf } from "./shaders.ts";
import { Tree } from "./tree.ts";

/** Numbers for a shader's uniform buffer, in order; f32 where it says so, else u32. */
export type Uniforms = (number | { f32: number })[];

/** What is private in tfjs's backend and needed to record into its command stream. */
interface Internals {
  commandEncoder: GPUCommandEncoder | null;
  computePassEncoder: GPUComputePassEncoder | null;
  commandQueueOwnedIds: WeakSet<object>;
  dispatchCountInPass: number;
  activeTimers?: { name: string; query: Promise<number> }[] | null;
  supportTimestampQuery: boolean;
  querySet: GPUQuerySet | null;
  tensorMap: tf.DataStorage<{ resource?: GPUBuffer; values: unknown; shape: number[] }>;
  getQueryTime(): Promise<number>;
  /** Disposed tensors whose buffers tfjs keeps until the recorded commands are submitted. */
  tensorDataPendingDisposal: object[];
  releaseResource(dataId: object): void;
}

/** A shader, ready to run; its uniform buffers by content, and the bind groups of each by the buffers in them. */
interface Compiled {
  pipeline: GPUComputePipeline;
  layout: GPUBindGroupLayout;
  uniforms: Tree<Prepared>;
}

interface Prepared {
  buffer: GPUBuffer;
  groups: Tree<GPUBindGroup>;
}

/** tfjs submits this many dispatches at once. */
const DISPATCHES_PER_SUBMIT = 64;

/** Bind groups are kept for the next time, up to this many. */
const MOST_GROUPS = 2000;

/** The backend `webgpu`. Made by `registerWebgpuBackend`. */
export class GpuBackend extends WebGPUBackend {
  readonly #gpu: GPUDevice;
  readonly #shaders: Record<ShaderName, string>;
  readonly #pool: BufferPool;
  readonly #compiled = new Tree<Compiled>();
  #groups = 0;
  readonly #tables = new Map<string, tf.TensorInfo>();
  /** The data of tensors that lie on the device in 16 bits. */
  readonly #halves = new WeakSet<object>();
  #failure: Error | undefined;
  #postponed: (() => void) | undefined;
  /** While postponed work is recorded no buffer is taken back: the rest of it may need it. */
  #isHeld = false;
  /** How many shaders were run since the backend was made, tfjs's included. */
  dispatches = 0;

  /** Whether it can keep tensors in 16 bits. */
  readonly hasHalves: boolean;

  /** @param isReal false for software adapters, which want shaders without barriers */
  constructor(
    device: GPUDevice,
    info: GPUAdapterInfo,
    shaders: Record<ShaderName, string>,
    readonly isReal: boolean,
  ) {
    // deno-lint-ignore no-explicit-any
    super(device as any, info as any);
    this.#gpu = device;
    this.hasHalves = device.features.has("shader-f16");
    this.#shaders = shaders;
    this.#pool = new BufferPool(device);
    this.bufferManager = this.#pool as unknown as typeof this.bufferManager;
  }

  get #inner(): Internals {
    return this as unknown as Internals;
  }

  /**
   * A tensor of constants, made at the first call with its key and kept.
   *
   * @param make gives the numbers
   */
  table(key: string, make: () => Float32Array): tf.TensorInfo {
    let table = this.#tables.get(key);
    if (!table) {
      const values = make();
      this.#tables.set(key, table = this.makeTensorInfo([values.length], "float32", values));
    }
    return table;
  }

  /** A new tensor on the device, with arbitrary contents, for a shader to fill. */
  output(shape: number[], dtype: "float32" | "int32" = "float32"): tf.TensorInfo {
    return this.makeTensorInfo(shape, dtype);
  }

  /**
   * A tensor like `output`'s, for numbers that are kept for the way back: in 16 bits where `storageFormat()` says so.
   *
   * @throws Error if the format is "f16" and the device cannot compute with it
   */
  activation(shape: number[]): tf.TensorInfo {
    const format = storageFormat();
    if (format === "f16" && !this.hasHalves) throw new Error(noHalves("this device"));
    const tensor = this.output(shape);
    const isHalf = format === "f16" && tf.util.sizeFromShape(shape) > 0;
    if (isHalf) this.#halves.add(tensor.dataId);
    return tensor;
  }

  /** From now on the tensor lies on the device in 32 bits, as all but our shaders expect. */
  toFull(dataId: object): void {
    if (!this.#halves.has(dataId)) return;
    const { tensorMap } = this.#inner;
    const data = tensorMap.get(dataId);
    const wide = this.#widened({ dataId, shape: data.shape, dtype: "float32" });
    const copy = tensorMap.get(wide.dataId);
    [data.resource, copy.resource] = [copy.resource, data.resource];
    this.#halves.delete(dataId);
    this.disposeData(wide.dataId);
  }

  /** A copy of a tensor, in 32 bits. */
  #widened(tensor: tf.TensorInfo): tf.TensorInfo {
    const wide = this.output(tensor.shape);
    const size = tf.util.sizeFromShape(tensor.shape);
    this.dispatch({ name: "copy" }, [wide, tensor], [size], this.spread(Math.ceil(size / 256)));
    return wide;
  }

  /** Gives a tensor its place on the device, if it has none yet. */
  override uploadToGPU(dataId: object): void {
    const data = this.#inner.tensorMap.get(dataId);
    if (!data.resource && this.#halves.has(dataId)) {
      const bytes = 4 * Math.ceil(tf.util.sizeFromShape(data.shape) / 2);
      data.resource = this.#pool.acquireBuffer(bytes, tensorUsage());
    }
    super.uploadToGPU(dataId);
  }

  /**
   * Runs a shader.
   *
   * @param tensors for its bindings 1, 2, …; a missing one leaves its number out
   * @param uniforms for its binding 0
   * @param groups workgroups in x, y, z
   * @throws Error with the compiler's message and line, if the shader is not valid WGSL
   */
  dispatch(
    shader: Shader,
    tensors: (tf.TensorInfo | undefined)[],
    uniforms: Uniforms,
    groups: [number, number?, number?],
  ): void {
    this.#throwFailure();
    this.#catchUp();
    const compiled = this.#compiledOf(shader, tensors);
    const bindGroup = this.#bindGroup(compiled, uniforms, tensors);
    const isTimed = Boolean(this.#inner.activeTimers) && this.#inner.supportTimestampQuery;
    const pass = isTimed ? this.#timedPass() : this.#pass();
    pass.setPipeline(compiled.pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(groups[0], groups[1], groups[2]);
    if (isTimed) this.#stopTimer(shader.name);
    this.#count();
  }

  /**
   * Has shaders run later, but before anything else is done on the device or read from it. The tensors they need may be disposed
   * before that, if they were given to `bufferOf`.
   */
  postpone(work: () => void): void {
    this.#catchUp();
    this.#postponed = work;
  }

  #catchUp(): void {
    const work = this.#postponed;
    if (!work) return;
    this.#postponed = undefined;
    this.#isHeld = true;
    try {
      work();
    } finally {
      this.#isHeld = false;
    }
    this.#releaseDisposed();
  }

  override disposeData(dataId: object, force?: boolean): boolean {
    const isGone = super.disposeData(dataId, force);
    this.#releaseDisposed();
    return isGone;
  }

  /**
   * Takes back the buffers of disposed tensors, for which tfjs waits until the commands that use them are submitted. That is
   * needed for textures, which the host writes; what is in a buffer is only changed by commands, and these come in order.
   */
  #releaseDisposed(): void {
    if (this.#postponed || this.#isHeld) return;
    const inner = this.#inner;
    if (inner.tensorDataPendingDisposal.length === 0) return;
    inner.tensorDataPendingDisposal = inner.tensorDataPendingDisposal.filter((dataId) => {
      if (!(inner.tensorMap.get(dataId).resource instanceof GPUBuffer)) return true;
      inner.releaseResource(dataId);
      return !inner.tensorMap.delete(dataId);
    });
  }

  /** How many tensors a shader can have at most. */
  get mostTensors(): number {
    return this.#gpu.limits.maxStorageBuffersPerShaderStage;
  }

  /** Enough workgroups for `count`, spread over two dimensions where one is too small. */
  spread(count: number): [number, number] {
    const most = this.#gpu.limits.maxComputeWorkgroupsPerDimension;
    return count <= most ? [count, 1] : [most, Math.ceil(count / most)];
  }

  /** The buffer in which a tensor lies on the device; host numbers are brought there first. */
  bufferOf({ dataId }: tf.TensorInfo): GPUBuffer {
    const data = this.#inner.tensorMap.get(dataId);
    if (!data.resource) this.uploadToGPU(dataId);
    this.#inner.commandQueueOwnedIds.add(dataId);
    return data.resource!;
  }

  /** To be called after a shader wrote into a tensor that was there before: what tfjs read of it earlier is out of date. */
  changed(tensor: tf.TensorInfo): void {
    this.#inner.tensorMap.get(tensor.dataId).values = null;
  }

  /** Fills a tensor with zeros. */
  clear(tensor: tf.TensorInfo): void {
    const buffer = this.bufferOf(tensor);
    this.#encoder().clearBuffer(buffer);
  }

  /** Copies tensors one after the other into one long tensor. */
  concatenate(tensors: tf.TensorInfo[]): tf.TensorInfo {
    const sizes = tensors.map(({ shape }) => tf.util.sizeFromShape(shape));
    const whole = this.output([sizes.reduce((a, b) => a + b, 0)]);
    const target = this.bufferOf(whole);
    let at = 0;
    for (const [i, tensor] of tensors.entries()) {
      this.toFull(tensor.dataId);
      const source = this.bufferOf(tensor);
      this.#encoder().copyBufferToBuffer(source, 0, target, 4 * at, 4 * sizes[i]);
      at += sizes[i];
    }
    return whole;
  }

  override runWebGPUProgram(...args: Parameters<WebGPUBackend["runWebGPUProgram"]>): tf.TensorInfo {
    this.#throwFailure();
    this.#catchUp();
    this.dispatches++;
    const [program, inputs, ...rest] = args;
    const wide = inputs.map((input) =>
      this.#halves.has(input.dataId) ? this.#widened(input) : input
    );
    const output = super.runWebGPUProgram(program, wide, ...rest);
    wide.forEach((tensor, i) => tensor !== inputs[i] && this.disposeData(tensor.dataId));
    return output;
  }

  override submitQueue(): void {
    this.#catchUp();
    this.ensureCommandEncoderReady(); // what was caught up with may have been submitted by itself
    this.endComputePassEncoder();
    const inner = this.#inner, disposed = inner.tensorDataPendingDisposal;
    if (this.#isHeld) inner.tensorDataPendingDisposal = []; // tfjs takes back what is in it
    super.submitQueue();
    if (this.#isHeld) inner.tensorDataPendingDisposal = disposed;
  }

  override readSync(dataId: object): tf.backend_util.BackendValues {
    this.toFull(dataId);
    return super.readSync(dataId);
  }

  override readToGPU(dataId: object): tf.GPUData {
    this.toFull(dataId);
    return super.readToGPU(dataId);
  }

  override read(dataId: object): Promise<tf.backend_util.BackendValues> {
    this.toFull(dataId);
    this.#catchUp();
    return super.read(dataId).then((values) => {
      this.#throwFailure();
      return values;
    });
  }

  /** As tfjs's, but only what the tensor needs of a buffer that may be longer. */
  override async getBufferData(buffer: GPUBuffer): Promise<ArrayBuffer> {
    const size = this.#pool.wantedBytes(buffer);
    const usage = GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ;
    const staging = this.#pool.acquireBuffer(size, usage);
    this.#encoder().copyBufferToBuffer(buffer, 0, staging, 0, size);
    this.submitQueue();
    await staging.mapAsync(GPUMapMode.READ);
    const bytes = staging.getMappedRange().slice(0);
    staging.unmap();
    this.#pool.releaseBuffer(staging);
    return bytes;
  }

  /** Called by the device when something went wrong: the next call into the backend throws it. */
  fail(error: GPUError): void {
    this.#failure ??= new Error(`WebGPU: ${error.message}`);
  }

  #throwFailure(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure;
  }

  #encoder(): GPUCommandEncoder {
    this.#catchUp();
    this.ensureCommandEncoderReady();
    this.endComputePassEncoder();
    return this.#inner.commandEncoder!;
  }

  #pass(): GPUComputePassEncoder {
    this.ensureCommandEncoderReady();
    return this.#inner.computePassEncoder ??= this.#inner.commandEncoder!.beginComputePass();
  }

  /** A pass of its own that writes down when it began and ended: how tfjs times a kernel. */
  #timedPass(): GPUComputePassEncoder {
    const inner = this.#inner;
    const encoder = this.#encoder();
    const querySet = inner.querySet ??= this.#gpu.createQuerySet({ type: "timestamp", count: 2 });
    const timestampWrites = { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 };
    return inner.computePassEncoder = encoder.beginComputePass({ timestampWrites });
  }

  #stopTimer(name: string): void {
    this.endComputePassEncoder();
    this.#inner.activeTimers!.push({ name, query: this.#inner.getQueryTime() });
  }

  #count(): void {
    this.dispatches++;
    const isFull = ++this.#inner.dispatchCountInPass >= DISPATCHES_PER_SUBMIT;
    if (!isFull || !this.#inner.commandEncoder) return;
    this.endComputePassEncoder();
    this.submitQueue();
  }

  #compiledOf(shader: Shader, tensors: (tf.TensorInfo | undefined)[]): Compiled {
    const isHalf = (tensor?: tf.TensorInfo) => tensor && this.#halves.has(tensor.dataId);
    const halves = tensors.flatMap((tensor, i) => isHalf(tensor) ? [i + 1] : []);
    let place = this.#compiled.at(shader.name);
    for (const option of shader.options ?? []) place = place.at(option);
    for (const name in shader.constants) place = place.at(shader.constants[name]);
    for (const binding of halves) place = place.at(binding);
    return place.value ??= this.#compile(shader, halves);
  }

  /** @param halves the bindings of tensors in 16 bits */
  #compile(shader: Shader, halves: number[]): Compiled {
    const code = inHalves(sourceOf(shader, this.#shaders), halves);
    const module = this.#gpu.createShaderModule({ label: `${shader.name}.wgsl`, code });
    const pipeline = this.#gpu.createComputePipeline({
      label: shader.name,
      layout: "auto",
      compute: { module, entryPoint: "main" },
    });
    return { pipeline, layout: pipeline.getBindGroupLayout(0), uniforms: new Tree() };
  }

  #bindGroup(
    { layout, uniforms }: Compiled,
    values: Uniforms,
    tensors: (tf.TensorInfo | undefined)[],
  ): GPUBindGroup {
    if (this.#groups >= MOST_GROUPS) this.#forgetGroups();
    let place = uniforms;
    for (const value of values) place = place.at(typeof value === "number" ? value : value.f32);
    const { buffer, groups } = place.value ??= this.#prepare(values);
    const buffers = tensors.map((tensor) => tensor && this.bufferOf(tensor));
    let group = groups;
    for (const one of buffers) group = group.at(one);
    return group.value ??= this.#makeGroup(layout, [buffer, ...buffers]);
  }

  #makeGroup(layout: GPUBindGroupLayout, buffers: (GPUBuffer | undefined)[]): GPUBindGroup {
    this.#groups++;
    const entries = buffers.flatMap((buffer, binding) =>
      buffer ? [{ binding, resource: { buffer } }] : []
    );
    return this.#gpu.createBindGroup({ layout, entries });
  }

  #prepare(values: Uniforms): Prepared {
    const bytes = new DataView(new ArrayBuffer(Math.ceil(values.length / 4) * 16));
    values.forEach((value, i) => {
      if (typeof value === "number") bytes.setUint32(4 * i, value, true);
      else bytes.setFloat32(4 * i, value.f32, true);
    });
    const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
    const buffer = this.#pool.acquireBuffer(bytes.byteLength, usage);
    this.#gpu.queue.writeBuffer(buffer, 0, bytes.buffer as ArrayBuffer);
    return { buffer, groups: new Tree() };
  }

  /** The recorded commands still need them, and the host writes uniforms: submitted first, then all are dropped. */
  #forgetGroups(): void {
    this.#encoder();
    this.submitQueue();
    for (const { uniforms } of this.#compiled.values()) {
      for (const { buffer } of uniforms.values()) this.#pool.releaseBuffer(buffer);
      uniforms.clear();
    }
    this.#groups = 0;
  }
}

let registered: Promise<void> | undefined;

/** Makes the backend `webgpu` known to tfjs; its device is opened when the backend is first used. Done once. */
export function registerWebgpuBackend(adapter: Adapter): Promise<void> {
  return registered ??= register(adapter);
}

async function register(adapter: Adapter): Promise<void> {
  tf.env().set("WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE", DISPATCHES_PER_SUBMIT);
  await announce(adapter);
  registerWebgpuKernels();
}

/** The factory of the backend, for one device of one adapter. */
async function announce(adapter: Adapter): Promise<void> {
  const shaders = await loadShaders();
  tf.removeBackend("webgpu");
  tf.registerBackend("webgpu", async () => {
    let backend: GpuBackend | undefined = undefined;
    const device = await openDevice(
      adapter,
      (error) => (backend as GpuBackend | undefined)?.fail(error),
    );
    return backend = new GpuBackend(device, adapter.gpu.info, shaders, adapter.isReal);
  }, 3);
}

/**
 * Whether the device of the backend that computes now was lost: unplugged, reset by its driver, destroyed. The tensors on it are
 * gone then.
 */
export function isDeviceLost(): Promise<boolean> {
  if (tf.getBackend() !== "webgpu") return Promise.resolve(false);
  const { lost } = (tf.backend() as unknown as { device: GPUDevice }).device;
  // Errors of a lost device can be heard shortly before the loss itself.
  const later = new Promise<boolean>((resolve) => setTimeout(resolve, 200, false));
  return Promise.race([lost.then(() => true), later]);
}

/**
 * After the device was lost: looks for an adapter again, and makes the backend open a device on it when it is next used.
 *
 * @throws Error if there is no adapter any more
 */
export async function reopenDevice(): Promise<void> {
  forgetAdapter();
  const adapter = await requestAdapter();
  if (!adapter) {
    tf.removeBackend("webgpu");
    throw new Error("there is no graphics adapter any more");
  }
  await announce(adapter);
}
