/**
 * 02 · Embeddings: ids become vectors.
 *
 * Exported from notebooks/02-embeddings.ipynb: edit there and run `deno task export`,
 * or edit here, between the markers, and run `deno task export --update 02-embeddings`.
 *
 * @module embeddings
 */
// export: d2881242, from notebooks/02-embeddings.ipynb

import * as tf from "@tensorflow/tfjs";
import { Random } from "lib/engine/random.ts";
import { operator } from "lib/engine/ops.ts";
import type { Parameters } from "lib/engine/parameters.ts";

// cell: embed f68bd37b
/**
 * The vectors of some tokens: row `ids[i]` of the table, for each id.
 *
 * @param table one vector per token of the vocabulary, [V, C]
 * @param ids token ids in [0, V), int32, of any shape [...]. An id outside throws on the CPU backends; a GPU cannot
 *   look without stopping, so there the answer is undefined
 * @returns the vectors, [..., C]; its gradient adds each one up in the row that it came from
 * @throws TypeError if the ids are not int32
 * @example embed(tf.tensor2d([[1, 2], [3, 4]]), tf.tensor1d([1, 1, 0], "int32")) // [[3, 4], [3, 4], [1, 2]]
 */
export function embed(table: tf.Tensor2D, ids: tf.Tensor): tf.Tensor {
  if (ids.dtype !== "int32") throw new TypeError(`ids must be int32, got ${ids.dtype}`);
  return tf.gather(table, ids); // [V, C], [...] -> [..., C]
}

// cell: vector-helpers 3e7449dd
function unit(vector: number[]): number[] {
  const length = Math.hypot(...vector) || 1;
  return vector.map((value) => value / length);
}

function dot(a: number[], b: number[]): number {
  return a.reduce((total, value, i) => total + value * b[i], 0);
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

// cell: strongest-direction 59e56f3f
/** Power iteration: a vector multiplied by the matrix again and again turns towards its strongest direction. */
function strongestDirection(matrix: number[][]): { axis: number[]; variance: number } {
  let axis = unit([...new Random(1).normals(matrix.length)]); // random: at right angles to no direction that matters
  for (let step = 0; step < 5000; step++) {
    const next = unit(matrix.map((row) => dot(row, axis)));
    const moved = Math.hypot(...next.map((value, i) => value - axis[i]));
    axis = next;
    if (moved < 1e-9) break;
  }
  const variance = dot(axis, matrix.map((row) => dot(row, axis)));
  const largest = axis.reduce((a, b) => Math.abs(b) > Math.abs(a) ? b : a);
  return { axis: axis.map((value) => value * Math.sign(largest)), variance };
}

// cell: projection 96fd8487
/** Points in the plane, and the share of the variance that each of the two axes shows. */
export interface Projection {
  points: [number, number][];
  shares: [number, number];
}

// cell: project-to-2d 1f78f8a8
/**
 * The flattest honest picture of many-dimensional points: their first two principal components (PCA, Pearson 1901).
 * The same points always give the same picture: each axis is signed so that its largest entry is positive.
 *
 * @param rows at least two points, [N, C], with C of at least 2
 * @returns N points in the plane, centred at 0, in the units of the rows
 * @throws RangeError if there are fewer than two rows or columns
 */
export function projectTo2d(rows: number[][]): Projection {
  const width = rows[0]?.length ?? 0;
  if (rows.length < 2 || width < 2) {
    throw new RangeError(`needed are at least 2 rows of 2 numbers, got ${rows.length} of ${width}`);
  }
  const mean = rows[0].map((_, column) => sum(rows.map((row) => row[column])) / rows.length);
  const centred = rows.map((row) => row.map((value, column) => value - mean[column]));
  const covariance = mean.map((_, i) =>
    mean.map((_, j) => sum(centred.map((row) => row[i] * row[j])) / rows.length)
  );
  const total = sum(covariance.map((row, i) => row[i])) || 1;
  const first = strongestDirection(covariance);
  const without = covariance.map((row, i) =>
    row.map((value, j) => value - first.variance * first.axis[i] * first.axis[j])
  );
  const second = strongestDirection(without);
  const points = centred.map((
    row,
  ): [number, number] => [dot(row, first.axis), dot(row, second.axis)]);
  return { points, shares: [first.variance / total, second.variance / total] };
}

// cell: sinusoidal 818378eb
/**
 * Positions as waves: column 2i is sin(t / 10000^(2i/C)), column 2i + 1 the cosine of the same angle.
 * From Vaswani et al. 2017, "Attention Is All You Need", section 3.5.
 *
 * @param length how many positions, T
 * @param width how many columns, C; even
 * @returns one row per position, [T, C], every value in [-1, 1]
 * @throws RangeError if the width is not a positive even integer
 * @example sinusoidalPositions(2, 2) // [[0, 1], [0.841, 0.540]]
 */
export function sinusoidalPositions(length: number, width: number): tf.Tensor2D {
  if (!(Number.isInteger(width) && width > 0 && width % 2 === 0)) {
    throw new RangeError(`width must be a positive even integer, got ${width}`);
  }
  const table = new Float32Array(length * width);
  for (let position = 0; position < length; position++) {
    for (let pair = 0; pair < width / 2; pair++) {
      const angle = position / 10000 ** (2 * pair / width);
      table[position * width + 2 * pair] = Math.sin(angle);
      table[position * width + 2 * pair + 1] = Math.cos(angle);
    }
  }
  return tf.tensor2d(table, [length, width]);
}

// cell: rotate-pairs 403ca5cf
/**
 * Turns the points (x, y) counter-clockwise, each by an angle whose cosine and sine are given.
 *
 * @param x first coordinates, [..., T, D/2]
 * @param y second coordinates, the same shape
 * @param cos cosine of the angle of each position and pair, [T, D/2]
 * @param sin its sine, [T, D/2]
 * @returns the turned points: first coordinates, second coordinates
 * @example rotatePairs(tf.scalar(1), tf.scalar(0), tf.scalar(0), tf.scalar(1)) // a quarter turn: [0, 1]
 */
export function rotatePairs(
  x: tf.Tensor,
  y: tf.Tensor,
  cos: tf.Tensor,
  sin: tf.Tensor,
): [tf.Tensor, tf.Tensor] {
  const turnedX = tf.sub(tf.mul(x, cos), tf.mul(y, sin));
  const turnedY = tf.add(tf.mul(x, sin), tf.mul(y, cos));
  return [turnedX, turnedY];
}

// cell: rotary-angles-type 4ed7a333
/** How far rotary positions turn each pair: cosines and sines, [T, D/2] each. */
export interface RotaryAngles {
  cos: tf.Tensor2D;
  sin: tf.Tensor2D;
}

// cell: rotary-angles bcfa469d
/**
 * The angles of rotary positions: pair i of position t turns by t · base^(-2i/D).
 * From Su et al. 2021, "RoFormer", section 3.2.2.
 *
 * @param length how many positions, T
 * @param headWidth how many numbers a head has, D; even
 * @param base how slow the slowest pair is: it turns once in about 2π · base positions
 * @returns cosines and sines, [T, D/2] each
 * @throws RangeError if headWidth is not a positive even integer
 * @example rotaryAngles(2, 2).cos // [[1], [0.540]]
 */
export function rotaryAngles(length: number, headWidth: number, base = 10000): RotaryAngles {
  if (!(Number.isInteger(headWidth) && headWidth > 0 && headWidth % 2 === 0)) {
    throw new RangeError(`headWidth must be a positive even integer, got ${headWidth}`);
  }
  const half = headWidth / 2;
  const angle = (cell: number) =>
    Math.floor(cell / half) * base ** (-2 * (cell % half) / headWidth);
  const angles = Float64Array.from({ length: length * half }, (_, cell) => angle(cell));
  const cos = tf.tensor2d(Float32Array.from(angles, Math.cos), [length, half]);
  const sin = tf.tensor2d(Float32Array.from(angles, Math.sin), [length, half]);
  return { cos, sin };
}

// cell: apply-rotary 52e46057
/**
 * Gives queries or keys their positions by turning them. Pair i is made of columns i and i + D/2, as in GPT-NeoX
 * and in Hugging Face's Llama (the paper pairs neighbours: the same idea with the columns in another order).
 *
 * @param x queries or keys of each head, [B, H, T, D]
 * @param angles from `rotaryAngles`, for at least start + T positions
 * @param start position of the first of the T tokens
 * @returns the same shape, every vector as long as before
 * @throws RangeError if the angles do not reach to position start + T - 1
 */
export function applyRotary(x: tf.Tensor4D, angles: RotaryAngles, start = 0): tf.Tensor4D {
  const [, , length, width] = x.shape;
  const known = angles.cos.shape[0];
  if (start + length > known) {
    throw new RangeError(
      `positions ${start} to ${start + length - 1} asked, angles end at ${known - 1}`,
    );
  }
  return tf.tidy(() => {
    const cos = tf.slice(angles.cos, [start, 0], [length, width / 2]); // [T, D/2]
    const sin = tf.slice(angles.sin, [start, 0], [length, width / 2]); // [T, D/2]
    const [first, second] = tf.split(x, 2, 3); // [B, H, T, D] -> 2 of [B, H, T, D/2]
    return tf.concat(rotatePairs(first, second, cos, sin), 3) as tf.Tensor4D; // [B, H, T, D]
  });
}

// cell: embeddings-config 8f856796
/** Sizes of the first layer of a GPT. */
export interface EmbeddingsConfig {
  /** Number of different tokens, V. */
  vocabSize: number;
  /** Longest text the model can see, in tokens. */
  blockSize: number;
  /** Numbers per vector, C. */
  nEmbd: number;
  /** `learned`: a vector per position is added. `rotary`: none, attention turns queries and keys. Default `learned`. */
  position?: "learned" | "rotary";
}

// cell: kernels 449f8f5e
const engine = { embed: operator("embed", embed) };

// cell: embeddings-class 5d392948
/**
 * Token ids to vectors, with their positions: the first layer of a GPT.
 * Parameters: `transformer.wte.weight` [V, C] and, where positions are learned, `transformer.wpe.weight`
 * [blockSize, C]; both start normal with standard deviation 0.02, as GPT-2's.
 */
export class Embeddings {
  /** One vector per token, [V, C]. */
  readonly wte: tf.Variable<tf.Rank.R2>;
  /** One vector per position, [blockSize, C]; absent with rotary positions. */
  readonly wpe?: tf.Variable<tf.Rank.R2>;
  readonly #config: EmbeddingsConfig;

  constructor(parameters: Parameters, config: EmbeddingsConfig) {
    const { vocabSize, blockSize, nEmbd, position = "learned" } = config;
    const table = (name: string, rows: number) =>
      parameters.normal(`transformer.${name}.weight`, [rows, nEmbd], 0.02) as tf.Variable<
        tf.Rank.R2
      >;
    this.#config = config;
    this.wte = table("wte", vocabSize);
    if (position === "learned") this.wpe = table("wpe", blockSize);
  }

  /**
   * @param ids int32 token ids, [B, T]
   * @param start position of the first of the T tokens (more than 0 when a cache holds those before)
   * @returns the vectors, [B, T, C]
   * @throws RangeError if the last position is beyond blockSize
   */
  forward(ids: tf.Tensor2D, start = 0): tf.Tensor3D {
    const { blockSize, nEmbd } = this.#config;
    const length = ids.shape[1];
    if (start + length > blockSize) {
      throw new RangeError(
        `${start + length} tokens are more than blockSize, which is ${blockSize}`,
      );
    }
    return tf.tidy(() => {
      const tokens = engine.embed(this.wte, ids) as tf.Tensor3D; // [B, T, C]
      if (!this.wpe) return tokens;
      const positions = tf.slice(this.wpe, [start, 0], [length, nEmbd]); // [T, C]
      return tf.add(tokens, positions); // [B, T, C] + [T, C] -> [B, T, C]
    });
  }
}
