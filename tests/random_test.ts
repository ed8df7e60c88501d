import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertNotEquals,
  assertThrows,
} from "@std/assert";
import { Random } from "lib/engine/random.ts";

const take = (random: Random, n: number) => Array.from({ length: n }, () => random.uniform());

Deno.test("same seed, same stream; other seed, other stream", () => {
  assertEquals(take(new Random(7), 50), take(new Random(7), 50));
  const firsts = Array.from({ length: 1000 }, (_, seed) => new Random(seed).uniform());
  assertEquals(new Set(firsts).size, 1000);
  const mean = firsts.reduce((a, b) => a + b) / 1000;
  assert(
    Math.abs(mean - 0.5) < 0.03,
    `first numbers of neighbouring seeds are not spread out: mean ${mean}`,
  );
});

Deno.test("uniform has the moments of [0, 1)", () => {
  const values = take(new Random(1), 100_000);
  assert(values.every((x) => x >= 0 && x < 1));
  assertAlmostEquals(values.reduce((a, b) => a + b) / 1e5, 1 / 2, 0.005);
  assertAlmostEquals(values.reduce((a, b) => a + b * b) / 1e5, 1 / 3, 0.005);
});

Deno.test("normal has mean 0, variance 1, kurtosis 3", () => {
  const values = [...new Random(2).normals(200_000)];
  const moment = (power: number) => values.reduce((sum, x) => sum + x ** power, 0) / values.length;
  assertAlmostEquals(moment(1), 0, 0.01);
  assertAlmostEquals(moment(2), 1, 0.01);
  assertAlmostEquals(moment(4), 3, 0.1);
});

Deno.test("integer covers its range evenly", () => {
  const random = new Random(3);
  const counts = [0, 0, 0, 0, 0, 0];
  for (let i = 0; i < 60_000; i++) counts[random.integer(6)]++;
  for (const count of counts) assert(Math.abs(count - 10_000) < 400, `${counts}`);
  assertThrows(() => random.integer(0), RangeError, "got 0");
  assertThrows(() => random.integer(1.5), RangeError, "got 1.5");
});

Deno.test("a saved state goes on exactly where it was, also between the two halves of a normal pair", () => {
  const random = new Random(4);
  random.normal();
  const copy = Random.fromState(JSON.parse(JSON.stringify(random.state)));
  const draw = (r: Random) => [r.normal(), r.uniform(), r.normal(), r.integer(1000)];
  assertEquals(draw(copy), draw(random));
});

Deno.test("a fork is a stream of its own", () => {
  const random = new Random(5);
  const fork = random.fork();
  assertNotEquals(take(fork, 5), take(random, 5));
  assertThrows(() => new Random(0.5), RangeError, "got 0.5");
});
