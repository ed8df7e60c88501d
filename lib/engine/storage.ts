/** In how many bits the graphics card keeps what a training step remembers for its way back along the tape. */

const FORMATS = ["f32", "f16"] as const;

/**
 * `f32`: everything in 32 bits. `f16`: the results of the fused kernels that are kept for the gradients (products, norms, GELU,
 * attention) in 16, which is half the memory and a relative error of up to 2⁻¹¹ in each; numbers above 65,504 become infinite.
 * Weights, gradients, moments, statistics, losses, the stream that the blocks add to, and all arithmetic stay in 32.
 */
export type StorageFormat = typeof FORMATS[number];

let current: StorageFormat = "f32";

/** The format of results that are computed from now on. */
export function storageFormat(): StorageFormat {
  return current;
}

/** Chooses the format for results that are computed from now on; called by `useBackend`. */
export function setStorageFormat(format: StorageFormat): void {
  current = format;
}

/** Computes something in a format of its own. */
export function withStorage<T>(format: StorageFormat, body: () => T): T {
  const before = current;
  current = format;
  try {
    return body();
  } finally {
    current = before;
  }
}

/** What there is to say of a device that lacks the feature for "f16". */
export function noHalves(device: string): string {
  return `storage "f16" needs the feature shader-f16, which ${device} lacks; it has "f32"`;
}

/**
 * A format by its name.
 *
 * @throws RangeError if there is none of that name
 */
export function storageNamed(name: string): StorageFormat {
  const found = FORMATS.find((format) => format === name);
  if (found) return found;
  throw new RangeError(`the storage must be one of ${FORMATS.join(", ")}, got "${name}"`);
}
