/**
 * safetensors, the file format for weights: eight bytes of header length, a JSON header, the numbers.
 * https://github.com/huggingface/safetensors#format
 */
import { isFolder, readBytes } from "lib/host/files.ts";
import { whatElse } from "./text-file.ts";

/** A tensor as it lies in memory: shape and numbers in row-major order. */
export interface HostTensor {
  shape: number[];
  data: Float32Array | Int32Array | Uint8Array;
}

/** A tensor as it was read, with the name of its type in the file. */
export interface StoredTensor extends HostTensor {
  dtype: Dtype;
}

/** What a safetensors file holds. */
export interface SafetensorsFile {
  tensors: Record<string, StoredTensor>;
  metadata: Record<string, string>;
}

/** The types read here. F16 and BF16 come out as Float32Array, BOOL as Uint8Array. */
export type Dtype = "F32" | "F16" | "BF16" | "I32" | "U8" | "BOOL";

const BYTES: Record<Dtype, number> = { F32: 4, F16: 2, BF16: 2, I32: 4, U8: 1, BOOL: 1 };

/** The types that weights may have. */
const FLOATS: readonly Dtype[] = ["F32", "F16", "BF16"];

/** The format's own limit on the header, bytes. */
const MOST_HEADER_BYTES = 100_000_000;

/** A file that is not what it claims to be, or not what a model needs; `tensor` names the culprit where there is one. */
export class SafetensorsError extends Error {
  /** This class's name, as error messages show it. */
  override name = "SafetensorsError";

  /**
   * @param problem what is wrong, with the value
   * @param tensor which one
   * @param file where it was read from
   */
  constructor(readonly problem: string, readonly tensor?: string, readonly file?: string) {
    const where = [file, tensor === undefined ? undefined : `tensor "${tensor}"`];
    super([...where.filter((place) => place !== undefined), problem].join(": "));
  }
}

/**
 * The bytes of a safetensors file.
 *
 * @param tensors by name; Float32Array becomes F32, Int32Array I32, Uint8Array U8
 * @param metadata texts to carry along
 * @throws SafetensorsError if a tensor's shape and its count of numbers disagree
 */
export function encodeSafetensors(
  tensors: Record<string, HostTensor>,
  metadata: Record<string, string> = {},
): Uint8Array {
  const header: Record<string, unknown> = Object.create(null);
  if (Object.keys(metadata).length > 0) header.__metadata__ = metadata;
  let end = 0;
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    if (name === "__metadata__") throw new SafetensorsError("the format keeps this name", name);
    const count = shape.reduce((product, n) => product * n, 1);
    if (count !== data.length) {
      throw new SafetensorsError(
        `shape [${shape}] wants ${count} numbers, got ${data.length}`,
        name,
      );
    }
    const start = end;
    end += data.byteLength;
    header[name] = { dtype: dtypeOf(data), shape, data_offsets: [start, end] };
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const headerLength = Math.ceil(text.length / 8) * 8;
  const bytes = new Uint8Array(8 + headerLength + end);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerLength), true);
  bytes.fill(0x20, 8, 8 + headerLength);
  bytes.set(text, 8);
  let at = 8 + headerLength;
  for (const { data } of Object.values(tensors)) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return bytes;
}

function dtypeOf(data: HostTensor["data"]): Dtype {
  return data instanceof Float32Array ? "F32" : data instanceof Int32Array ? "I32" : "U8";
}

/**
 * The tensors in the bytes of a safetensors file. Trusts nothing: every length, offset, type and shape is checked before it
 * is used, and what is allocated for the tensors is the size of their bytes (twice that for F16 and BF16).
 *
 * @throws SafetensorsError saying what is wrong, and with which tensor
 */
export function decodeSafetensors(bytes: Uint8Array): SafetensorsFile {
  const { header, dataStart } = readHeader(bytes);
  const { __metadata__: metadata = {}, ...entries } = header;
  if (!isRecord(metadata) || Object.values(metadata).some((value) => typeof value !== "string")) {
    throw new SafetensorsError("__metadata__ must hold texts only");
  }
  const data = bytes.subarray(dataStart);
  const checked = Object.entries(entries).map(([name, entry]) =>
    checkEntry(name, entry, data.length)
  );
  checkCoverage(checked, data.length);
  const tensors: Record<string, StoredTensor> = Object.create(null);
  for (const { name, dtype, shape, start, end } of checked) {
    tensors[name] = { dtype, shape, data: readNumbers(dtype, data.slice(start, end)) };
  }
  return { tensors, metadata: metadata as Record<string, string> };
}

/**
 * Reads a safetensors file, from a disk or an address.
 *
 * @throws SafetensorsError naming the file, the tensor where there is one, and what is wrong; also if the path is a folder, or
 *   cannot be read
 */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  try {
    if (await isFolder(path)) throw new SafetensorsError("is a folder");
    const bytes = await readBytes(path);
    const other = whatElse(bytes);
    if (other) throw new SafetensorsError(`is ${other}`);
    return decodeSafetensors(bytes);
  } catch (error) {
    if (error instanceof SafetensorsError) {
      throw new SafetensorsError(error.problem, error.tensor, path);
    }
    throw new SafetensorsError(`cannot be read: ${(error as Error).message}`, undefined, path);
  }
}

/**
 * Makes sure that tensors are exactly the weights that a model needs.
 *
 * @param tensors as read
 * @param shapes what is needed: the shape of each tensor by name
 * @throws SafetensorsError naming the first tensor that is missing, not needed, of another shape, of a type that weights cannot
 *   have, or that holds a value which is not finite
 */
export function requireWeights(
  tensors: Record<string, StoredTensor>,
  shapes: Record<string, readonly number[]>,
): void {
  for (const [name, shape] of Object.entries(shapes)) {
    if (!Object.hasOwn(tensors, name)) {
      const words = `is missing; it must have shape [${shape}]; there is ${
        namesOf(tensors, shapes)
      }`;
      throw new SafetensorsError(words, name);
    }
  }
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    const problem = !Object.hasOwn(shapes, name)
      ? "is not a weight of this model"
      : `${shape}` !== `${shapes[name]}`
      ? `shape must be [${shapes[name]}], got [${shape}]`
      : !FLOATS.includes(dtype)
      ? `dtype must be one of ${FLOATS.join(", ")}, got ${dtype}`
      : notFinite(data);
    if (problem) throw new SafetensorsError(problem, name);
  }
}

/** Some names of tensors, those first that nobody asked for: one of them may be what is missing. */
export function namesOf(tensors: object, asked: object = {}): string {
  const isAsked = (name: string) => Number(Object.hasOwn(asked, name));
  const names = Object.keys(tensors).sort((a, b) => isAsked(a) - isAsked(b));
  if (names.length === 0) return "none";
  return names.slice(0, 5).join(", ") + (names.length > 5 ? ` and ${names.length - 5} more` : "");
}

function notFinite(data: HostTensor["data"]): string | undefined {
  const at = data.findIndex((value) => !Number.isFinite(value));
  return at === -1 ? undefined : `value ${at} is ${data[at]}; weights must be finite`;
}

function readHeader(bytes: Uint8Array): { header: Record<string, unknown>; dataStart: number } {
  if (bytes.length < 8) {
    throw new SafetensorsError(`the file has ${bytes.length} bytes; a header alone needs more`);
  }
  const length = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  if (length > MOST_HEADER_BYTES) {
    throw new SafetensorsError(
      `the header claims ${length} bytes; at most ${MOST_HEADER_BYTES} are allowed`,
    );
  }
  const dataStart = 8 + Number(length);
  if (dataStart > bytes.length) {
    throw new SafetensorsError(`the header claims ${length} bytes; the file has ${bytes.length}`);
  }
  let text: string, header: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, dataStart));
    header = JSON.parse(text);
  } catch (error) {
    throw new SafetensorsError(`the header is not JSON: ${(error as Error).message}`);
  }
  if (!isRecord(header)) throw new SafetensorsError("the header must be a JSON object");
  refuseDuplicates(text);
  return { header, dataStart };
}

/** JSON.parse keeps the last of two equal names in silence; here the second one is an error. */
function refuseDuplicates(text: string): void {
  const open: Set<string>[] = []; // the names so far of each object that is not closed
  for (let at = 0; at < text.length; at++) {
    const sign = text[at];
    if (sign === "{" || sign === "[") open.push(new Set());
    else if (sign === "}" || sign === "]") open.pop();
    if (sign !== '"') continue;
    const start = at;
    at = closingQuote(text, start);
    if (!isBeforeColon(text, at + 1)) continue;
    const name: string = JSON.parse(text.slice(start, at + 1));
    if (open.at(-1)!.has(name)) {
      throw new SafetensorsError("the name stands in the header twice", name);
    }
    open.at(-1)!.add(name);
  }
}

function closingQuote(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at;
}

function isBeforeColon(text: string, at: number): boolean {
  while (" \t\r\n".includes(text[at])) at++;
  return text[at] === ":";
}

interface Entry {
  name: string;
  dtype: Dtype;
  shape: number[];
  start: number;
  end: number;
}

function checkEntry(name: string, entry: unknown, available: number): Entry {
  if (!isRecord(entry)) throw new SafetensorsError("its entry must be an object", name);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== "string" || !Object.hasOwn(BYTES, dtype)) {
    throw new SafetensorsError(
      `dtype must be one of ${Object.keys(BYTES).join(", ")}, got ${JSON.stringify(dtype)}`,
      name,
    );
  }
  const isSize = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) >= 0;
  if (!Array.isArray(shape) || !shape.every(isSize)) {
    throw new SafetensorsError(`shape must be a list of sizes, got ${JSON.stringify(shape)}`, name);
  }
  if (
    !Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize) ||
    offsets[0] > offsets[1]
  ) {
    throw new SafetensorsError(
      `data_offsets must be [start, end], got ${JSON.stringify(offsets)}`,
      name,
    );
  }
  const [start, end] = offsets;
  if (end > available) {
    throw new SafetensorsError(`ends at byte ${end} of ${available}: the file is cut short`, name);
  }
  const wanted = shape.reduce((product: number, n: number) => product * n, BYTES[dtype as Dtype]);
  if (wanted !== end - start) {
    throw new SafetensorsError(
      `shape [${shape}] of ${dtype} wants ${wanted} bytes, the offsets give ${end - start}`,
      name,
    );
  }
  return { name, dtype: dtype as Dtype, shape, start, end };
}

/** The tensors must lie one after the other from the first byte to the last. */
function checkCoverage(entries: Entry[], available: number): void {
  let at = 0;
  for (
    const { name, start, end } of [...entries].sort((a, b) => a.start - b.start || a.end - b.end)
  ) {
    if (start < at) {
      throw new SafetensorsError(
        `starts at byte ${start}, inside the tensor before it, which ends at ${at}`,
        name,
      );
    }
    if (start > at) {
      throw new SafetensorsError(
        `starts at byte ${start}; the bytes from ${at} on belong to no tensor`,
        name,
      );
    }
    at = end;
  }
  if (at !== available) {
    throw new SafetensorsError(`${available - at} bytes after the last tensor belong to none`);
  }
}

function readNumbers(dtype: Dtype, bytes: Uint8Array<ArrayBuffer>): HostTensor["data"] {
  if (dtype === "U8" || dtype === "BOOL") return bytes;
  if (dtype === "I32") return new Int32Array(bytes.buffer);
  if (dtype === "F32") return new Float32Array(bytes.buffer);
  if (dtype === "F16") return Float32Array.from(new Float16Array(bytes.buffer));
  // BF16 is the upper half of an f32.
  const widened = Uint32Array.from(new Uint16Array(bytes.buffer), (half) => half << 16);
  return new Float32Array(widened.buffer);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
