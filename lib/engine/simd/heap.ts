/** Memory for tensors inside the WebAssembly memory that all threads share. */

const PAGE = 65536;
/** Blocks start on a cache line, so that two threads never write to one line of different tensors. */
const ALIGNMENT = 64;
/** Bytes after the last block: a kernel may read a few floats past the end of a row. */
const GUARD = 256;
/** Bins of free blocks per power of two. */
const BINS = 8;

/** A piece of the heap; `before` and `after` are its neighbours in memory. */
interface Block {
  address: number;
  size: number;
  free: boolean;
  /** Where it stands in its bin, if it is free. */
  place: number;
  before?: Block;
  after?: Block;
}

/**
 * A heap with bins of free blocks ("two-level segregated fit", Masmano et al. 2004): allocating and freeing take constant
 * time, and neighbouring free blocks become one, so that memory is used again also when sizes change.
 */
export class Heap {
  readonly #memory: WebAssembly.Memory;
  readonly #used = new Map<number, Block>();
  readonly #bins: Block[][] = [];
  /** Every buffer the memory has had: views of an outgrown one still see the same bytes. */
  readonly #known = new WeakSet<ArrayBufferLike>();
  #last: Block;
  #buffer: ArrayBufferLike;
  #bytesInUse = 0;
  #peakBytes = 0;

  /**
   * @param memory grows when needed, up to its own maximum
   * @param base the first address that is the heap's, in bytes
   * @param settle is called before the host looks into the heap: it must wait for all who still work there
   */
  constructor(memory: WebAssembly.Memory, base: number, readonly settle: () => void = () => {}) {
    this.#memory = memory;
    this.#buffer = memory.buffer;
    this.#known.add(memory.buffer);
    const address = Math.ceil(base / ALIGNMENT) * ALIGNMENT;
    const size = Math.max(0, memory.buffer.byteLength - GUARD - address);
    this.#last = { address, size: size - size % ALIGNMENT, free: false, place: 0 };
    this.#release(this.#last);
  }

  /** Bytes in blocks that are in use. */
  get bytesInUse(): number {
    return this.#bytesInUse;
  }

  /** The most bytes that were in use at any time. */
  get peakBytes(): number {
    return this.#peakBytes;
  }

  /** Bytes of the whole memory, scratch areas of the threads included. */
  get size(): number {
    return this.#buffer.byteLength;
  }

  /**
   * Reserves `bytes` bytes, whose contents are whatever was there before.
   *
   * @returns their address, a multiple of 64
   * @throws RangeError naming the sizes, if the memory cannot grow enough
   */
  allocate(bytes: number): number {
    const size = Math.max(ALIGNMENT, Math.ceil(bytes / ALIGNMENT) * ALIGNMENT);
    const block = this.#find(size) ?? this.#grow(size);
    this.#take(block);
    if (block.size > size) this.#split(block, size);
    this.#used.set(block.address, block);
    this.#bytesInUse += block.size;
    this.#peakBytes = Math.max(this.#peakBytes, this.#bytesInUse);
    return block.address;
  }

  /**
   * Gives back what `allocate` reserved.
   *
   * @throws RangeError if nothing is reserved at `address`
   */
  free(address: number): void {
    const block = this.#used.get(address);
    if (!block) throw new RangeError(`no block of the heap starts at ${address}`);
    this.#used.delete(address);
    this.#bytesInUse -= block.size;
    this.#release(this.#merge(block));
  }

  /** Whether `buffer` is this heap's memory (as it is now, or as it was before it grew). */
  owns(buffer: ArrayBufferLike): boolean {
    return this.#known.has(buffer);
  }

  /** `length` floats at `address`, as a view: what is written there is seen at once. Good until the next job runs. */
  floats(address: number, length: number): Float32Array {
    this.settle();
    return new Float32Array(this.#buffer, address, length);
  }

  /** `length` int32 at `address`, as a view. */
  integers(address: number, length: number): Int32Array {
    this.settle();
    return new Int32Array(this.#buffer, address, length);
  }

  /** `length` float64 at `address`, as a view. */
  doubles(address: number, length: number): Float64Array {
    this.settle();
    return new Float64Array(this.#buffer, address, length);
  }

  /** A free block of at least `size` bytes. Bins above the one of `size` hold only blocks that are large enough. */
  #find(size: number): Block | undefined {
    const exact = this.#bins[binOf(size)]?.findLast((block) => block.size >= size);
    if (exact) return exact;
    for (let i = binOf(size) + 1; i < this.#bins.length; i++) {
      const bin = this.#bins[i];
      if (bin?.length) return bin[bin.length - 1];
    }
  }

  /** Makes the memory larger, so that the last block is free and has at least `size` bytes. */
  #grow(size: number): Block {
    const missing = size - (this.#last.free ? this.#last.size : 0);
    const wanted = Math.max(missing, this.#buffer.byteLength / 4);
    const grown = this.#tryGrow(wanted) || this.#tryGrow(missing);
    if (!grown) {
      throw new RangeError(
        `out of memory: ${this.#bytesInUse} bytes are in use and ${size} more do not fit; dispose tensors, or use ` +
          `a smaller model or batch`,
      );
    }
    this.#buffer = this.#memory.buffer;
    this.#known.add(this.#buffer);
    const block: Block = {
      address: end(this.#last),
      size: grown,
      free: false,
      place: 0,
      before: this.#last,
    };
    this.#last.after = block;
    this.#last = block;
    const whole = this.#merge(block);
    this.#release(whole);
    return whole;
  }

  #tryGrow(bytes: number): number {
    const pages = Math.ceil(bytes / PAGE);
    try {
      this.#memory.grow(pages);
      return pages * PAGE;
    } catch {
      return 0;
    }
  }

  /** Puts a block among the free ones. */
  #release(block: Block): void {
    const bin = this.#bins[binOf(block.size)] ??= [];
    block.free = true;
    block.place = bin.length;
    bin.push(block);
  }

  /** Takes a block out of the free ones. */
  #take(block: Block): void {
    const bin = this.#bins[binOf(block.size)];
    const last = bin.pop()!;
    if (last !== block) {
      bin[block.place] = last;
      last.place = block.place;
    }
    block.free = false;
  }

  /** Cuts a block that is in use down to `size` bytes; the rest becomes free. */
  #split(block: Block, size: number): void {
    const rest: Block = {
      address: block.address + size,
      size: block.size - size,
      free: false,
      place: 0,
      before: block,
      after: block.after,
    };
    if (rest.after) rest.after.before = rest;
    else this.#last = rest;
    block.after = rest;
    block.size = size;
    this.#release(rest);
  }

  /** One block out of this one and its neighbours that are free; none of them is among the free ones afterwards. */
  #merge(block: Block): Block {
    const { before, after } = block;
    if (after?.free) {
      this.#take(after);
      this.#join(block, after);
    }
    if (!before?.free) return block;
    this.#take(before);
    this.#join(before, block);
    return before;
  }

  #join(first: Block, second: Block): void {
    first.size += second.size;
    first.after = second.after;
    if (second.after) second.after.before = first;
    else this.#last = first;
  }
}

function end(block: Block): number {
  return block.address + block.size;
}

/** The bin for blocks of this size: eight per power of two. */
function binOf(size: number): number {
  const power = 31 - Math.clz32(size / ALIGNMENT + 1);
  return power * BINS + Math.floor(((size / ALIGNMENT + 1) / 2 ** power - 1) * BINS);
}
