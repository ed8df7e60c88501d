import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { decodeSafetensors, encodeSafetensors, SafetensorsError } from "lib/data/safetensors.ts";

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
  ];
  for (const [header, data, message] of cases) {
    assertThrows(() => decodeSafetensors(fileOf(header, data)), SafetensorsError, message);
  }
  assertThrows(() => decodeSafetensors(new Uint8Array(3)), SafetensorsError, "3 bytes");
  const huge = fileOf({}, []);
  new DataView(huge.buffer).setBigUint64(0, 200_000_000n, true);
  assertThrows(() => decodeSafetensors(huge), SafetensorsError, "at most 100000000");
});

Deno.test("a damaged file is read right or refused, never anything else", () => {
  const whole = encodeSafetensors({
    "transformer.wte.weight": { shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
    "transformer.wpe.weight": { shape: [1], data: Float32Array.of(7) },
  });
  const damage = fc.record({
    at: fc.nat(whole.length - 1),
    byte: fc.nat(255),
    length: fc.nat(whole.length),
  });
  let refused = 0;
  fc.assert(
    fc.property(damage, ({ at, byte, length }) => {
      const bytes = whole.slice(0, length);
      if (at < length) bytes[at] = byte;
      try {
        decodeSafetensors(bytes);
      } catch (error) {
        refused++;
        assert(error instanceof SafetensorsError, `${error}`);
      }
    }),
    { numRuns: 5000 },
  );
  assert(refused > 1000, `${refused} refused`);
});
