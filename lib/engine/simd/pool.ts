/** The threads: the main one, which runs the kernels' exports itself, and workers beside it. */
import {
  FINISHED,
  type Job,
  PUBLISHED,
  QUEUE,
  SCRATCH,
  SCRATCH_SIZE,
  SLOT_SIZE,
  SLOTS,
  STOP,
  WAKE,
  WORKERS,
} from "./assembly/codes.ts";
import { prepareWorkers } from "./worker.ts";

/** Most threads for which there is scratch memory. */
export const MAX_THREADS = 64;

/** Work, in steps of about a nanosecond, that is worth handing to another thread. */
const WORTH_SHARING = 8000;

/**
 * Work worth sharing, in the same steps, after which the workers are started: to start them takes about as long, so until
 * then it would not have paid.
 */
const WORTH_WORKERS = 30e6;

/** Pieces of work per thread: a thread that is slowed down by other programs leaves its pieces to the rest. */
const CHUNKS_PER_THREAD = 8;

/** Sizes of address space, in pages of 64 kB, to ask for: 4 GB, the most there can be, or less if that is refused. */
const MAX_PAGES = [65536, 32768, 16384, 4096];

const PAGE = 65536;

interface Exports {
  reserve(mayWait: boolean): number;
  run(job: number, units: number, grain: number): void;
  finish(most: number, mayWait: boolean): void;
  isRelaxed(): number;
  measureTile(times: number): number;
}

/** Runs jobs on all threads. */
export class Pool {
  readonly #queue: Float64Array;
  readonly #control: Int32Array;
  readonly #mayWait = mayWait();
  /** Number of the newest job, and of the last one of which is known that it and all before it are finished. */
  #published = 0;
  #finished = 0;

  /** Work that could have been shared before the workers were started. */
  #missed = 0;
  #startWorkers: (() => void) | undefined;

  private constructor(
    readonly threads: number,
    readonly memory: WebAssembly.Memory,
    readonly exports: Exports,
    startWorkers: () => void,
  ) {
    this.#startWorkers = threads > 1 ? startWorkers : undefined;
    this.#queue = new Float64Array(memory.buffer, QUEUE, SLOTS * SLOT_SIZE / 8);
    this.#control = new Int32Array(memory.buffer, 0, SCRATCH / 4);
  }

  /**
   * Makes ready `threads` threads, this one included. The workers are started when there is work enough for them; until
   * they run, this thread does their share.
   *
   * @param module the compiled kernels
   * @param threads how many, in [1, 64]
   * @throws RangeError naming the value, if `threads` is not in that range
   */
  static async start(module: WebAssembly.Module, threads: number): Promise<Pool> {
    if (!(Number.isInteger(threads) && threads >= 1 && threads <= MAX_THREADS)) {
      throw new RangeError(`threads must be an integer in [1, ${MAX_THREADS}], got ${threads}`);
    }
    const memory = createMemory(SCRATCH + threads * SCRATCH_SIZE);
    const instance = await WebAssembly.instantiate(module, { env: { memory, abort: () => {} } });
    const startWorkers = await prepareWorkers({ module, memory, threads });
    return new Pool(threads, memory, instance.exports as unknown as Exports, startWorkers);
  }

  /** Where memory begins that no thread uses as scratch. */
  get heapBase(): number {
    return SCRATCH + this.threads * SCRATCH_SIZE;
  }

  /** Whether the kernels use relaxed SIMD (fused multiply-add). */
  get isRelaxed(): boolean {
    return this.exports.isRelaxed() !== 0;
  }

  /** How many workers run at this moment. */
  get workers(): number {
    return Atomics.load(this.#control, WORKERS / 4);
  }

  /**
   * Puts a job in the queue. It runs after those before it, and may still be at work when this returns: what it reads and
   * writes is the host's to touch after `finish` only.
   *
   * @param units independent pieces of work in it
   * @param cost of one unit, in steps of about a nanosecond: it decides how many threads share the job
   * @param values the job's arguments, as the kernel in `assembly/` lists them
   */
  run(job: Job, units: number, cost: number, ...values: number[]): void {
    if (units === 0) return;
    if ((this.#published - this.#finished | 0) >= SLOTS) {
      this.#finished = this.exports.reserve(this.#mayWait);
    }
    this.#published = this.#published + 1 | 0;
    const first = (this.#published & (SLOTS - 1)) * (SLOT_SIZE / 8);
    for (let i = 0; i < values.length; i++) this.#queue[first + i] = values[i];
    const fair = Math.ceil(units / (this.threads * CHUNKS_PER_THREAD));
    const worth = Math.max(fair, Math.ceil(WORTH_SHARING / cost));
    const grain = this.threads === 1 ? units : Math.min(units, worth);
    if (this.#startWorkers && grain < units) this.#miss(units * cost);
    this.exports.run(job, units, grain);
  }

  /** How many jobs are not done at this moment. */
  get pending(): number {
    return Atomics.load(this.#control, PUBLISHED / 4) - Atomics.load(this.#control, FINISHED / 4) |
      0;
  }

  /** Works until all jobs are done. */
  finish(): void {
    this.exports.finish(0, this.#mayWait);
  }

  #miss(work: number): void {
    this.#missed += work;
    if (this.#missed > WORTH_WORKERS) this.#start();
  }

  #start(): void {
    const startWorkers = this.#startWorkers;
    this.#startWorkers = undefined;
    startWorkers?.();
  }

  /** Starts the workers if need be. Resolves when all of them run, or when `milliseconds` have passed. */
  async ready(milliseconds = 5000): Promise<void> {
    this.#start();
    const deadline = performance.now() + milliseconds;
    while (this.workers < this.threads - 1 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** Tells the workers to end. A worker must end by itself: one that is terminated while it sleeps never goes away. */
  close(): void {
    this.#startWorkers = undefined;
    Atomics.store(this.#control, STOP / 4, 1);
    Atomics.add(this.#control, WAKE / 4, 1);
    Atomics.notify(this.#control, WAKE / 4);
  }
}

function createMemory(bytes: number): WebAssembly.Memory {
  const initial = Math.ceil(bytes / PAGE) + 64;
  for (const maximum of MAX_PAGES) {
    try {
      return new WebAssembly.Memory({ initial, maximum, shared: true });
    } catch { /* a smaller maximum may be granted */ }
  }
  throw new Error(`this engine grants no shared WebAssembly memory of ${initial} pages`);
}

/** Whether this thread may sleep: a browser's main thread may not. */
function mayWait(): boolean {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0);
    return true;
  } catch {
    return false;
  }
}
