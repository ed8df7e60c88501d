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

/** Multiplications that are worth a piece of their own: about 20 microseconds of work. */
const WORTH_A_PIECE = 400_000;
/** Numbers of pieces for each thread to choose from: with many, a thread that ends first waits less for the others. */
const PIECES_PER_THREAD = [2, 4, 8];
/** Most blocks of columns to try. */
const MOST_ACROSS = 8;
/** What packing a number costs, against multiplying it by one other: of A, and of B. */
const PACK_A = 4, PACK_B = 2.5;

/** Computes a product on all threads. */
export function multiply(backend: SimdBackend, product: Product): void {
  const { transposeA, transposeB, batch, rows, columns, depth, a, b, c, bias = 0 } = product;
  if (batch * rows * columns === 0) return;
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

/** Rows and columns of a piece of the result. */
interface Block {
  rows: number;
  columns: number;
}

/**
 * The pieces that take least time: more of them keep the threads busy to the end, but need more packing. A's rows are packed
 * for every block of columns; B's columns for every block of rows, but not twice by the same thread if they fit into its
 * memory.
 */
function blockSize(product: Product, threads: number): Block {
  const { batch, rows, columns, depth } = product;
  const widest = Math.floor(PACKED_FLOATS / Math.min(depth, DEPTH) / TILE_COLUMNS) * TILE_COLUMNS;
  const fewest = Math.ceil(columns / widest);
  const worth = Math.max(1, Math.floor(batch * rows * columns * depth / WORTH_A_PIECE));
  let best = { time: Infinity, rows, columns };
  for (const each of threads === 1 ? [1] : PIECES_PER_THREAD) {
    const pieces = Math.ceil(Math.min(threads === 1 ? 1 : threads * each, worth) / batch);
    for (let across = fewest; across <= Math.max(fewest, Math.min(MOST_ACROSS, worth)); across++) {
      const block = {
        rows: roundUp(rows / Math.ceil(pieces / across), TILE_ROWS),
        columns: Math.min(widest, roundUp(columns / across, TILE_COLUMNS)),
      };
      const time = timeOf(product, block, threads);
      if (time < best.time) best = { time, ...block };
    }
  }
  return best;
}

/** Time until the last thread is done, in multiplications for each step of depth. */
function timeOf({ batch, rows, columns, depth }: Product, block: Block, threads: number): number {
  const down = Math.ceil(rows / block.rows), across = Math.ceil(columns / block.columns);
  const isKept = depth * block.columns <= PACKED_FLOATS;
  const packing = PACK_A * across * rows +
    PACK_B * columns * (isKept ? Math.min(down, threads) : down);
  const waiting = threads === 1 ? 0 : block.rows * block.columns / 2;
  return batch * (rows * columns + packing) / threads + waiting;
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
