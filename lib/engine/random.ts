/**
 * One seeded source of chance for everything: initial weights, batches, dropout, sampling.
 * The generator is xoroshiro128+ (Blackman & Vigna, https://prng.di.unimi.it), from npm pure-rand.
 */
import { xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";

/**
 * A stream of random numbers that starts from a seed: same seed, same stream, on every machine and backend.
 *
 * @example const random = new Random(1337); random.uniform() // always the same first number
 */
export class Random {
  #generator: ReturnType<typeof xoroshiro128plusFromState>;
  #spare: number | undefined;

  /**
   * @param seed an integer
   * @throws RangeError if the seed is not a safe integer
   */
  constructor(seed: number) {
    if (!Number.isSafeInteger(seed)) throw new RangeError(`seed must be an integer, got ${seed}`);
    this.#generator = xoroshiro128plusFromState([1, 2, 3, 4].map((n) => scramble(seed, n)));
  }

  /** A number in [0, 1), one of 2^32 equally spaced ones. */
  uniform(): number {
    return (this.#generator.next() >>> 0) / 0x1_0000_0000;
  }

  /**
   * An integer in [0, limit).
   *
   * @throws RangeError if limit is not an integer in [1, 2^32]
   */
  integer(limit: number): number {
    if (!(Number.isInteger(limit) && limit >= 1 && limit <= 0x1_0000_0000)) {
      throw new RangeError(`limit must be an integer in [1, 2^32], got ${limit}`);
    }
    return Math.floor(this.uniform() * limit);
  }

  /** A draw from the normal distribution, mean 0 and standard deviation 1 (Box-Muller). */
  normal(): number {
    if (this.#spare !== undefined) {
      const spare = this.#spare;
      this.#spare = undefined;
      return spare;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.#spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** `length` draws from the normal distribution with mean 0 and standard deviation `std`. */
  normals(length: number, std = 1): Float32Array {
    return Float32Array.from({ length }, () => std * this.normal());
  }

  /** `length` draws from [0, 1). */
  uniforms(length: number): Float32Array {
    return Float32Array.from({ length }, () => Math.fround(this.uniform() * (1 - 2 ** -24)));
  }

  /** A new, independent stream, seeded from the next number of this one. */
  fork(): Random {
    return new Random(this.#generator.next());
  }

  /** Everything the stream remembers, as plain JSON: put it into a checkpoint, give it to `Random.fromState`. */
  get state(): RandomState {
    return { generator: [...this.#generator.getState()], spare: this.#spare ?? null };
  }

  /** The stream that continues exactly where the one that had this state would have gone on. */
  static fromState(state: RandomState): Random {
    const random = new Random(0);
    random.#generator = xoroshiro128plusFromState(state.generator);
    random.#spare = state.spare ?? undefined;
    return random;
  }
}

/** Neighbouring seeds must not give neighbouring streams: MurmurHash3's finalizer spreads every bit over all 32. */
function scramble(seed: number, salt: number): number {
  const high = Math.floor(seed / 0x1_0000_0000);
  let hash = (seed ^ Math.imul(high, 0x9e3779b1)) + Math.imul(salt, 0x9e3779b9);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** What `Random.state` gives: JSON-safe. */
export interface RandomState {
  generator: number[];
  spare: number | null;
}
