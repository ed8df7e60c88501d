import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { join } from "node:path";
import {
  decodeSafetensors,
  encodeSafetensors,
  readSafetensors,
  requireWeights,
  SafetensorsError,
  type StoredTensor,
} from "lib/data/safetensors.ts";

/** A file written by hand from the format's description. */
function fileOf(header: unknown, data: number[]): Uint8Array {
  const text = new TextEncoder().encode(
    typeof header === "string" ? header : JSON.stringify(header),
  );
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
}

const one = [0, 0, 0x80, 0x3f]; // 1.0 as a little-endian f32

Deno.test("a file written by hand from the specification is read", () => {
  const header = {
    __metadata__: { format: "pt" },
    a: { dtype: "F32", shape: [1, 2], data_offsets: [0, 8] },
    h: { dtype: "F16", shape: [2], data_offsets: [8, 12] },
    b: { dtype: "BF16", shape: [1], data_offsets: [12, 14] },
    i: { dtype: "I32", shape: [], data_offsets: [14, 18] },
  };
  // f16: 1.5 = 0x3e00, -2 = 0xc000; bf16: 3.0 = 0x4040; i32: -1
  const data = [...one, 0, 0, 0, 0xc0, 0, 0x3e, 0, 0xc0, 0x40, 0x40, 255, 255, 255, 255];
  const { tensors, metadata } = decodeSafetensors(fileOf(header, data));
  assertEquals(metadata, { format: "pt" });
  assertEquals([...tensors.a.data], [1, -2]);
  assertEquals([...tensors.h.data], [1.5, -2]);
  assertEquals([...tensors.b.data], [3]);
  assertEquals([...tensors.i.data], [-1]);
  assertEquals(tensors.a.shape, [1, 2]);
});

Deno.test("what is written comes back, NaN and all, whatever the names", () => {
  const tensor = fc.float32Array({ maxLength: 9 }).map((data) => ({ shape: [data.length], data }));
  fc.assert(fc.property(fc.dictionary(fc.string({ minLength: 1 }), tensor), (made) => {
    const given = Object.fromEntries(
      Object.entries(made).filter(([name]) => name !== "__metadata__"),
    );
    const { tensors } = decodeSafetensors(encodeSafetensors(given));
    assertEquals(Object.keys(tensors).sort(), Object.keys(given).sort());
    for (const name of Object.keys(given)) assertEquals(tensors[name].data, given[name].data);
  }));
});

Deno.test("the data starts on a multiple of eight bytes", () => {
  for (const name of ["a", "ab", "abc", "abcd"]) {
    const bytes = encodeSafetensors({ [name]: { shape: [1], data: new Float32Array([1]) } });
    assertEquals((bytes.length - 4) % 8, 0);
  }
});

Deno.test("a shape that disagrees with its numbers is refused by name", () => {
  const tensors = { w: { shape: [2, 3], data: new Float32Array(5) } };
  assertThrows(
    () => encodeSafetensors(tensors),
    SafetensorsError,
    'tensor "w": shape [2,3] wants 6 numbers, got 5',
  );
});

Deno.test("every lie in a header is a typed error that says what", () => {
  const f32 = (start: number, end: number, shape = [1]) => ({
    dtype: "F32",
    shape,
    data_offsets: [start, end],
  });
  const cases: [unknown, number[], string][] = [
    ["{", [], "not JSON"],
    ["[]", [], "must be a JSON object"],
    [{ a: f32(0, 4) }, [0, 0], "cut short"],
    [{ a: f32(0, 4), b: f32(2, 6) }, [...one, ...one], "inside the tensor before"],
    [{ a: f32(4, 8) }, [...one, ...one], "belong to no tensor"],
    [{ a: f32(0, 4) }, [...one, ...one], "belong to none"],
    [{ a: f32(0, 4, [2]) }, one, "wants 8 bytes"],
    [{ a: { ...f32(0, 4), dtype: "F64" } }, one, "dtype must be one of"],
    [{ a: { ...f32(0, 4), shape: [-1] } }, one, "shape must be"],
    [{ a: { ...f32(0, 4), shape: [1.5] } }, one, "shape must be"],
    [{ a: f32(4, 0) }, one, "data_offsets"],
    [{ a: 3 }, [], "must be an object"],
    [{ __metadata__: { x: 1 } }, [], "texts only"],
    [`{"a":${JSON.stringify(f32(0, 4))},"a":${JSON.stringify(f32(0, 4))}}`, one, "twice"],
    [`{"a":${JSON.stringify(f32(0, 4))},"\\u0061" :${JSON.stringify(f32(0, 4))}}`, one, "twice"],
    [`{"a":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}}`, one, "twice"],
    [{ a: f32(0, 4, [2 ** 40, 2 ** 40]) }, one, "wants"],
    [{ a: { ...f32(0, 4), shape: [1e999] } }, one, "shape must be"],
    [{ a: { ...f32(0, 4), data_offsets: [0, 4, 8] } }, one, "data_offsets"],
    [{ a: { ...f32(0, 4), data_offsets: null } }, one, "data_offsets"],
    ["[".repeat(100_000), [], "not JSON"],
    [`{"${"a".repeat(5_000_000)}":1}`, [], "must be an object"],
  ];
  for (const [header, data, message] of cases) {
    assertThrows(() => decodeSafetensors(fileOf(header, data)), SafetensorsError, message);
  }
  assertThrows(() => decodeSafetensors(new Uint8Array(3)), SafetensorsError, "3 bytes");
  const huge = fileOf({}, []);
  new DataView(huge.buffer).setBigUint64(0, 200_000_000n, true);
  assertThrows(() => decodeSafetensors(huge), SafetensorsError, "at most 100000000");
});

/** One way or another to damage a file: bytes changed, cut off, taken out or put in, or a number of the header changed. */
const damage = fc.oneof(
  fc.record({ kind: fc.constant("set"), at: fc.nat(), to: fc.nat(255), length: fc.constant(1) }),
  fc.record({ kind: fc.constant("cut"), at: fc.nat(), to: fc.nat(255), length: fc.constant(1) }),
  fc.record({ kind: fc.constant("drop"), at: fc.nat(), to: fc.nat(255), length: fc.nat(40) }),
  fc.record({ kind: fc.constant("add"), at: fc.nat(), to: fc.nat(255), length: fc.nat(40) }),
  fc.record({ kind: fc.constant("number"), at: fc.nat(), to: fc.nat(), length: fc.constant(1) }),
);

function damaged(
  whole: Uint8Array,
  { kind, at, to, length }: { kind: string; at: number; to: number; length: number },
): Uint8Array {
  const place = at % whole.length;
  if (kind === "cut") return whole.slice(0, place);
  if (kind === "number") return withOtherNumber(whole, at, to);
  const bytes = [...whole];
  const taken = kind === "add" ? 0 : length;
  bytes.splice(place, taken, ...Array(kind === "drop" ? 0 : length).fill(to));
  return Uint8Array.from(bytes);
}

/** The header's length stays right, so that the damage gets past the first check. */
function withOtherNumber(whole: Uint8Array, which: number, to: number): Uint8Array {
  const end = 8 + new DataView(whole.buffer).getUint32(0, true);
  const header = new TextDecoder().decode(whole.subarray(8, end));
  const numbers = [...header.matchAll(/\d+/g)];
  if (numbers.length === 0) return whole;
  const { index, 0: digits } = numbers[which % numbers.length];
  const other = `${header.slice(0, index)}${to}${header.slice(index + digits.length)}`;
  return fileOf(other, [...whole.subarray(end)]);
}

Deno.test("10,000 damaged files are each read right or refused by a typed error", () => {
  const whole = encodeSafetensors({
    "transformer.wte.weight": { shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
    "transformer.wpe.weight": { shape: [1], data: Float32Array.of(7) },
    "mask": { shape: [2, 2], data: Uint8Array.of(1, 0, 1, 1) },
  }, { format: "pt" });
  let refused = 0, named = 0;
  fc.assert(
    fc.property(fc.array(damage, { minLength: 1, maxLength: 3 }), (damages) => {
      const bytes = damages.reduce(
        (file, one) => file.length > 8 ? damaged(file, one) : file,
        whole,
      );
      try {
        const { tensors } = decodeSafetensors(bytes);
        const held = Object.values(tensors).reduce((sum, { data }) => sum + data.byteLength, 0);
        assert(held <= 2 * bytes.length, `${held} bytes from a file of ${bytes.length}`);
      } catch (error) {
        assert(error instanceof SafetensorsError, `${error}`);
        refused++;
        if (error.tensor !== undefined) named++;
      }
    }),
    { numRuns: 10_000 },
  );
  assert(refused > 5000 && named > 1000, `${refused} refused, ${named} named a tensor`);
});

Deno.test("a header that claims much makes nothing large", () => {
  const lie = { dtype: "F16", shape: [2 ** 30], data_offsets: [0, 2 ** 31] };
  const before = Deno.memoryUsage().external;
  assertThrows(() => decodeSafetensors(fileOf({ a: lie }, one)), SafetensorsError, "cut short");
  assert(Deno.memoryUsage().external - before < 1e6);
});

Deno.test("what cannot be read from the disk is a typed error that names the file", async () => {
  const folder = await Deno.makeTempDir();
  const file = join(folder, "w.safetensors");
  const refused = (path: string, message: string) =>
    assertRejects(() => readSafetensors(path), SafetensorsError, message);
  await refused(folder, `${folder}: is a folder`);
  await refused(file, `${file}: cannot be read: `);
  const whole = encodeSafetensors({ w: { shape: [2], data: Float32Array.of(1, 2) } });
  await Deno.writeFile(file, whole.subarray(0, whole.length - 3));
  await refused(file, `${file}: tensor "w": ends at byte 8 of 5: the file is cut short`);
  await Deno.writeFile(file, whole);
  assertEquals([...(await readSafetensors(file)).tensors.w.data], [1, 2]);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("weights are what the model needs, or the first that is not is named", () => {
  const good: Record<string, StoredTensor> = {
    a: { dtype: "F32", shape: [2], data: Float32Array.of(1, 2) },
    b: { dtype: "BF16", shape: [1, 1], data: Float32Array.of(3) },
  };
  const shapes = { a: [2], b: [1, 1] };
  requireWeights(good, shapes);
  const { b, ...onlyA } = good;
  const cases: [Record<string, StoredTensor>, string][] = [
    [onlyA, `tensor "b": is missing; it must have shape [1,1]`],
    [{ ...good, c: b }, `tensor "c": is not a weight of this model`],
    [{ ...good, b: { ...b, shape: [1] } }, `tensor "b": shape must be [1,1], got [1]`],
    [
      { ...good, b: { ...b, dtype: "I32", data: Int32Array.of(3) } },
      `tensor "b": dtype must be one of F32, F16, BF16, got I32`,
    ],
    [{ ...good, a: { ...good.a, data: Float32Array.of(1, NaN) } }, `tensor "a": value 1 is NaN`],
    [{ ...good, b: { ...b, data: Float32Array.of(Infinity) } }, `value 0 is Infinity`],
  ];
  for (const [tensors, message] of cases) {
    assertThrows(() => requireWeights(tensors, shapes), SafetensorsError, message);
  }
});
