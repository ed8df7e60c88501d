/**
 * GGUF, the file format of llama.cpp: keys and values first, then the tensors' names, shapes and places, then the numbers.
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import type { HostTensor } from "./safetensors.ts";

/** A value of a GGUF key, with its type: numbers have no type of their own in JavaScript. */
export type GGUFValue =
  | { type: "uint32" | "int32" | "float32"; value: number }
  | { type: "bool"; value: boolean }
  | { type: "string"; value: string }
  | { type: "strings"; value: readonly string[] }
  | { type: "int32s"; value: readonly number[] };

/** A tensor of floats, shape in row-major order as everywhere here; the file lists sizes the other way round. */
export type GGUFTensor = HostTensor & { data: Float32Array };

/** The format's numbers for the types. */
const TYPES = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 };
const F32 = 0;
/** Tensors begin at multiples of this, bytes. */
const ALIGNMENT = 32;

/** Bytes, written one value after the other, lowest byte first. */
class Writer {
  #bytes = new Uint8Array(2 ** 16);
  #length = 0;

  /** What was written. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  uint32(value: number): void {
    this.#room(4).setUint32(0, value, true);
  }

  int32(value: number): void {
    this.#room(4).setInt32(0, value, true);
  }

  uint64(value: number): void {
    this.#room(8).setBigUint64(0, BigInt(value), true);
  }

  float32(value: number): void {
    this.#room(4).setFloat32(0, value, true);
  }

  bool(value: boolean): void {
    this.#room(1).setUint8(0, Number(value));
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.uint64(bytes.length);
    this.raw(bytes);
  }

  raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length - bytes.length);
  }

  /** Zeros up to the next multiple of the alignment. */
  align(): void {
    this.#room(padded(this.#length) - this.#length);
  }

  #room(size: number): DataView {
    const end = this.#length + size;
    if (end > this.#bytes.length) {
      const longer = new Uint8Array(Math.max(end, 2 * this.#bytes.length));
      longer.set(this.bytes);
      this.#bytes = longer;
    }
    this.#length = end;
    return new DataView(this.#bytes.buffer, end - size, size);
  }
}

/**
 * The bytes of a GGUF file, version 3.
 *
 * @param keys in the order in which they shall stand
 * @param tensors by name, all of them as 32-bit floats
 */
export function encodeGGUF(
  keys: Record<string, GGUFValue>,
  tensors: Record<string, GGUFTensor>,
): Uint8Array {
  const out = new Writer();
  out.raw(new TextEncoder().encode("GGUF"));
  out.uint32(3);
  out.uint64(Object.keys(tensors).length);
  out.uint64(Object.keys(keys).length);
  for (const [key, value] of Object.entries(keys)) {
    out.string(key);
    writeValue(out, value);
  }
  let offset = 0;
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    out.string(name);
    out.uint32(shape.length);
    for (const size of shape.toReversed()) out.uint64(size);
    out.uint32(F32);
    out.uint64(offset);
    offset += padded(data.byteLength);
  }
  out.align();
  for (const { data } of Object.values(tensors)) {
    out.raw(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    out.align();
  }
  return out.bytes;
}

function padded(length: number): number {
  return Math.ceil(length / ALIGNMENT) * ALIGNMENT;
}

function writeValue(out: Writer, { type, value }: GGUFValue): void {
  if (type === "strings" || type === "int32s") {
    const item = type === "strings" ? "string" : "int32";
    out.uint32(TYPES.array);
    out.uint32(TYPES[item]);
    out.uint64(value.length);
    for (const one of value) (out[item] as (one: string | number) => void).call(out, one);
    return;
  }
  out.uint32(TYPES[type]);
  (out[type] as (value: GGUFValue["value"]) => void).call(out, value);
}
