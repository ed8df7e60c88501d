/** The matrix product of the `simd` backend, without tfjs around it, and its innermost loop alone. */
import { simdBackend } from "lib/engine/simd/mod.ts";
import { multiply } from "lib/engine/simd/matmul.ts";
import type { SimdBackend } from "lib/engine/simd/backend.ts";
import { GEMM } from "./protocol.ts";

/** Tiles that are computed to time one. */
const TILES = 4000;

/** How the operands are stored. N: as it is multiplied. T: transposed. */
const KINDS = { NN: [false, false], NT: [false, true], TN: [true, false] } as const;

/**
 * Times the product in each storage order and the tile, in turns.
 *
 * @returns for NN, NT, TN and tile: billions of multiplications and additions per second, once a round
 */
export function measureProducts(rounds: number): Record<string, number[]> {
  const backend = simdBackend()!;
  const works: Record<string, () => number> = { ...products(backend), tile: () => tiles(backend) };
  const speeds: Record<string, number[]> = {};
  for (let round = -3; round < rounds; round++) {
    for (const [name, work] of Object.entries(works)) {
      const start = performance.now();
      const operations = work();
      const speed = operations / (performance.now() - start) / 1e6;
      if (round >= 0) (speeds[name] ??= []).push(speed);
    }
  }
  return speeds;
}

function tiles({ pool }: SimdBackend): number {
  return 2 * pool.exports.measureTile(TILES) * TILES;
}

function products(backend: SimdBackend): Record<string, () => number> {
  const { rows, depth, columns } = GEMM;
  const a = matrix(backend, rows * depth);
  const b = matrix(backend, depth * columns);
  const c = matrix(backend, rows * columns);
  return Object.fromEntries(
    Object.entries(KINDS).map(([name, [transposeA, transposeB]]) => [name, () => {
      const sizes = { transposeA, transposeB, batch: 1, rows, columns, depth };
      multiply(backend, {
        ...sizes,
        a: { address: a, row: transposeA ? rows : depth, batch: 0 },
        b: { address: b, row: transposeB ? depth : columns, batch: 0 },
        c: { address: c, row: columns, batch: 0 },
      });
      return 2 * rows * depth * columns;
    }]),
  );
}

/** Memory for a matrix, filled with numbers between -1 and 1; returns its address. */
function matrix({ heap }: SimdBackend, size: number): number {
  const address = heap.allocate(4 * size);
  heap.floats(address, size).forEach((_, i, all) => all[i] = Math.sin(i));
  return address;
}
