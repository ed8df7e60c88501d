/** Buffers of the graphics card: lent to tensors, taken back, lent again. */

/** A tensor may get a buffer that is up to this many times as long as it needs. */
const SLACK = 1.25;

/** What every buffer of a tensor is used for; others are mapped or written by the host, and are lent in their exact size only. */
export const tensorUsage = () =>
  GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;

interface Owned {
  buffer: GPUBuffer;
  usage: GPUBufferUsageFlags;
  /** Its bytes. */
  size: number;
  /** Bytes that were asked for; at most `size`. */
  wanted: number;
  /** How many were made before it. */
  number: number;
}

/**
 * Stands in for tfjs's BufferManager, which lends a buffer only to tensors of exactly its size. Always lends the shortest that
 * fits, and of these the oldest: so every training step gets the same buffers in the same order, and what was made for
 * them (bind groups) fits again.
 */
export class BufferPool {
  /** Bytes of the buffers that are lent. */
  numBytesUsed = 0;
  /** Bytes of all buffers that exist. */
  numBytesAllocated = 0;
  readonly #lent = new Map<GPUBuffer, Owned>();
  /** By usage; each list from short to long, and from old to young. */
  readonly #free = new Map<GPUBufferUsageFlags, Owned[]>();
  #made = 0;
  #isDisposed = false;

  constructor(private readonly device: GPUDevice) {}

  /**
   * Lends a buffer of at least `size` bytes, with arbitrary contents.
   *
   * @param isMapped whether a buffer that is made for this is to be mapped; one that was there before never is
   * @param reuse false for a buffer that is made for this and nothing else
   */
  acquireBuffer(
    size: number,
    usage: GPUBufferUsageFlags,
    isMapped = false,
    reuse = true,
  ): GPUBuffer {
    const owned = (reuse && this.#take(size, usage)) || this.#make(size, usage, isMapped);
    owned.wanted = size;
    this.#lent.set(owned.buffer, owned);
    this.numBytesUsed += owned.size;
    return owned.buffer;
  }

  /**
   * Takes a buffer back. Commands recorded so far may still use it: those recorded for its next holder come after them.
   *
   * @param reuse false to destroy it
   * @throws Error if it is not lent
   */
  releaseBuffer(buffer: GPUBuffer, reuse = true): void {
    if (this.#isDisposed) return;
    const owned = this.#lent.get(buffer);
    if (!owned) throw new Error(`a buffer of ${buffer.size} bytes was taken back that is not lent`);
    this.#lent.delete(buffer);
    this.numBytesUsed -= owned.size;
    if (reuse) return this.#keep(owned);
    this.numBytesAllocated -= owned.size;
    buffer.destroy();
  }

  /** How many bytes were asked for when a buffer was lent; of one that is not ours, its length. */
  wantedBytes(buffer: GPUBuffer): number {
    return this.#lent.get(buffer)?.wanted ?? buffer.size;
  }

  /** How many buffers are lent. */
  getNumUsedBuffers(): number {
    return this.#lent.size;
  }

  /** How many buffers wait to be lent. */
  getNumFreeBuffers(): number {
    return [...this.#free.values()].reduce((sum, list) => sum + list.length, 0);
  }

  /** Destroys all buffers; what is taken back later is gone already. */
  dispose(): void {
    this.#isDisposed = true;
    for (const { buffer } of [...this.#lent.values(), ...this.#free.values()].flat()) {
      buffer.destroy();
    }
    this.#lent.clear();
    this.#free.clear();
    this.numBytesUsed = this.numBytesAllocated = 0;
  }

  #make(size: number, usage: GPUBufferUsageFlags, mappedAtCreation: boolean): Owned {
    const buffer = this.device.createBuffer({ size, usage, mappedAtCreation });
    this.numBytesAllocated += size;
    return { buffer, usage, size, wanted: size, number: this.#made++ };
  }

  #take(size: number, usage: GPUBufferUsageFlags): Owned | undefined {
    const list = this.#free.get(usage);
    if (!list) return undefined;
    const place = placeOf(list, size, 0);
    const longest = usage === tensorUsage() ? size * SLACK : size;
    if (place === list.length || list[place].size > longest) return undefined;
    return list.splice(place, 1)[0];
  }

  #keep(owned: Owned): void {
    const list = this.#free.get(owned.usage) ?? [];
    list.splice(placeOf(list, owned.size, owned.number), 0, owned);
    this.#free.set(owned.usage, list);
  }
}

/** Where in a list the first buffer stands that is longer than `size`, or as long and no older than `number`. */
function placeOf(list: Owned[], size: number, number: number): number {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const other = list[middle];
    if (other.size < size || (other.size === size && other.number < number)) low = middle + 1;
    else high = middle;
  }
  return low;
}
