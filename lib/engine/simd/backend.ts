/**
 * The tfjs backend `simd`: tensors in memory that all threads share, every kernel of tfjs's own `cpu` backend inherited,
 * the hot ones replaced.
 */
import * as tf from "@tensorflow/tfjs";
import { MathBackendCPU } from "@tensorflow/tfjs-backend-cpu";
import { Heap } from "./heap.ts";
import type { Pool } from "./pool.ts";

type Values = tf.backend_util.BackendValues;

/** What the backend knows of a tensor whose numbers stand in the heap. `values` is what inherited kernels read. */
class HeapData {
  refCount = 1;
  #view: Float32Array | Int32Array | undefined;

  constructor(
    readonly heap: Heap,
    readonly address: number,
    readonly length: number,
    readonly dtype: tf.DataType,
  ) {}

  get values(): Float32Array | Int32Array {
    this.heap.settle();
    return this.#view ??= this.dtype === "int32"
      ? this.heap.integers(this.address, this.length)
      : this.heap.floats(this.address, this.length);
  }
}

/** Computes on the CPU with SIMD, on all cores. Made by `registerSimdBackend`. */
export class SimdBackend extends MathBackendCPU {
  readonly heap: Heap;
  readonly #tables = new Map<string, number>();

  /** @param pool the threads; the backend closes them when it is disposed */
  constructor(readonly pool: Pool) {
    super();
    this.heap = new Heap(pool.memory, pool.heapBase, () => pool.finish());
    // The parent's first write would print a banner that recommends another package.
    (this as unknown as { firstUse: boolean }).firstUse = false;
  }

  /** Hands a job to the threads: see `Pool.run`. */
  run(...job: Parameters<Pool["run"]>): void {
    this.pool.run(...job);
  }

  /** A new tensor of the given shape in the heap, with arbitrary contents, for a kernel to fill. */
  output(shape: number[], dtype: "float32" | "int32" = "float32"): tf.TensorInfo {
    const dataId = {};
    const size = tf.util.sizeFromShape(shape);
    this.data.set(dataId, new HeapData(this.heap, this.heap.allocate(size * 4), size, dtype));
    return { dataId, shape, dtype };
  }

  /**
   * Where a tensor's numbers stand in the shared memory. A tensor that came from outside, or from an inherited kernel,
   * is copied there the first time.
   *
   * @throws TypeError if the tensor is not float32 or int32
   */
  addressOf(tensor: tf.TensorInfo): number {
    const data = this.data.get(tensor.dataId);
    if (data.dtype !== tensor.dtype || (data.dtype !== "float32" && data.dtype !== "int32")) {
      throw new TypeError(
        `a kernel of the simd backend takes float32 or int32, got ${tensor.dtype} stored as ${data.dtype}`,
      );
    }
    if (data instanceof HeapData) return data.address;
    const values = data.values as Float32Array;
    const moved = new HeapData(
      this.heap,
      this.heap.allocate(values.length * 4),
      values.length,
      data.dtype,
    );
    moved.values.set(values);
    moved.refCount = data.refCount;
    this.data.set(tensor.dataId, moved);
    return moved.address;
  }

  /**
   * Where a table of constants stands in the shared memory; it is made at the first call with its key and stays.
   *
   * @param make gives the numbers
   */
  table(key: string, make: () => Float32Array): number {
    let address = this.#tables.get(key);
    if (address === undefined) {
      const values = make();
      address = this.heap.allocate(values.length * 4);
      this.heap.floats(address, values.length).set(values);
      this.#tables.set(key, address);
    }
    return address;
  }

  /** A tensor's numbers for the host to read. */
  valuesOf(tensor: tf.TensorInfo): Values {
    return this.data.get(tensor.dataId).values!;
  }

  /** The heap is used again when a tensor is disposed, so nobody else may hold on to a view of it. */
  override write(values: Values, shape: number[], dtype: tf.DataType): object {
    return super.write(this.#own(values), shape, dtype);
  }

  override move(
    dataId: object,
    values: Values,
    shape: number[],
    dtype: tf.DataType,
    refCount: number,
  ): void {
    super.move(dataId, this.#own(values), shape, dtype, refCount);
  }

  override readSync(dataId: object): Values {
    return this.#own(super.readSync(dataId));
  }

  override disposeData(dataId: object, force = false): boolean {
    const data = this.data.has(dataId) ? this.data.get(dataId) : undefined;
    if (!(data instanceof HeapData)) return super.disposeData(dataId, force);
    if (--data.refCount > 0 && !force) return false;
    this.data.delete(dataId);
    this.heap.free(data.address);
    return true;
  }

  override memory(): {
    unreliable: boolean;
    reasons: string[];
    numBytesInHeap: number;
    peakBytesInHeap: number;
  } {
    const { bytesInUse, peakBytes } = this.heap;
    return {
      unreliable: false,
      reasons: [],
      numBytesInHeap: bytesInUse,
      peakBytesInHeap: peakBytes,
    };
  }

  /** How long a kernel takes, its jobs included. */
  override async time(run: () => void): Promise<tf.BackendTimingInfo> {
    this.pool.finish();
    const start = performance.now();
    run();
    this.pool.finish();
    return await Promise.resolve({ kernelMs: performance.now() - start });
  }

  override dispose(): void {
    this.pool.close();
  }

  #own(values: Values): Values {
    return ArrayBuffer.isView(values) && this.heap.owns(values.buffer) ? values.slice() : values;
  }
}
