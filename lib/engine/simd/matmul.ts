/** How a matrix product is cut into pieces for the threads. */
import { DEPTH, Job, PACKED_FLOATS, TILE_COLUMNS, TILE_ROWS } from "./assembly/codes.ts";
import type { SimdBackend } from "./backend.ts";

/** A matrix in memory. Strides in floats; `batch` is how far the next matrix of a batch lies, 0 for the same again. */
export interface Matrix {
  address: number;
  row: number;
  batch: number;
}

/** C[rows, columns] = op(A)[rows, depth] op(B)[depth, columns], once for each matrix of the batch. */
export interface Product {
  transposeA: boolean;
  transposeB: boolean;
  batch: number;
  rows: number;
  columns: number;
  depth: number;
  a: Matrix;
  b: Matrix;
  c: Matrix;
  /** Address of `columns` floats that are added to each row; 0 for none. */
  bias?: number;
}

/** Results that are worth a piece of their own: about 20 microseconds of work. */
const WORTH_A_PIECE = 400_000;
const PIECES_PER_THREAD = 4;

/** Blocks of columns to try, beyond what the number of pieces asks for: narrow ones are packed once for all rows. */
const MOST_ACROSS = 8;

/** Computes a product on all threads. */
export function multiply(backend: SimdBackend, product: Product): void {
  const { transposeA, transposeB, batch, rows, columns, depth, a, b, c, bias = 0 } = product;
  const block = blockSize(product, backend.pool.threads);
  const units = batch * Math.ceil(rows / block.rows) * Math.ceil(columns / block.columns);
  const cost = block.rows * block.columns * depth / 20;
  backend.run(
    Job.MatMul,
    units,
    cost,
    Number(transposeA),
    Number(transposeB),
    rows,
    columns,
    depth,
    ...[a.address, a.row, a.batch, b.address, b.row, b.batch, c.address, c.row, c.batch],
    bias,
    0,
    block.rows,
    block.columns,
  );
}

/**
 * Rows and columns of the result in a piece. Each piece needs its rows of A and columns of B packed: A's for every block
 * of columns; B's for every block of rows, but not twice by the same thread if they fit into its memory. Of the ways to get
 * enough pieces this takes the one that packs least.
 */
function blockSize(product: Product, threads: number): { rows: number; columns: number } {
  const { batch, rows, columns, depth } = product;
  const widest = Math.floor(PACKED_FLOATS / Math.min(depth, DEPTH) / TILE_COLUMNS) * TILE_COLUMNS;
  const fewest = Math.ceil(columns / widest);
  const worth = Math.max(1, Math.floor(batch * rows * columns * depth / WORTH_A_PIECE));
  const pieces = threads === 1
    ? 1
    : Math.ceil(Math.min(threads * PIECES_PER_THREAD, worth) / batch);
  let best = { packing: Infinity, rows, columns };
  for (let across = fewest; across <= Math.max(fewest, pieces, MOST_ACROSS); across++) {
    const block = {
      rows: roundUp(rows / Math.ceil(pieces / across), TILE_ROWS),
      columns: Math.min(widest, roundUp(columns / across, TILE_COLUMNS)),
    };
    const down = Math.ceil(rows / block.rows);
    const times = depth * block.columns <= PACKED_FLOATS ? Math.min(down, threads) : down;
    const packing = Math.ceil(columns / block.columns) * rows + times * columns;
    if (packing < best.packing) best = { packing, ...block };
  }
  return best;
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
