/** Strides and loops: any elementwise or copying operation brought down to four nested loops. */

/** Four loops: how often each runs, and for each tensor how many elements a step of it goes. */
export interface Loops {
  /** [d0, d1, d2, count], the last one innermost. */
  sizes: number[];
  /** One list of four strides per tensor. */
  strides: number[][];
}

/** Elements from one index to the next along each dimension, for a tensor without gaps: [3, 4] gives [4, 1]. */
export function stridesOf(shape: number[]): number[] {
  const strides = new Array<number>(shape.length);
  for (let i = shape.length - 1, step = 1; i >= 0; step *= shape[i--]) strides[i] = step;
  return strides;
}

/** Strides with which a tensor of `shape` is read as if it had shape `to`: 0 along what is repeated. */
export function broadcastStrides(shape: number[], to: number[]): number[] {
  const strides = stridesOf(shape);
  return to.map((_, i) => {
    const own = i - (to.length - shape.length);
    return own < 0 || shape[own] === 1 ? 0 : strides[own];
  });
}

/**
 * The fewest loops that walk over `shape` with the given strides: dimensions of size 1 go, neighbours that every tensor
 * walks without a gap become one.
 *
 * @returns four loops (outer ones may run once), or undefined if more would be needed
 */
export function collapse(shape: number[], strides: number[][]): Loops | undefined {
  const sizes: number[] = [], steps: number[][] = [];
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] === 1) continue;
    const outer = strides.map((tensor) => tensor[i]);
    const last = sizes.length - 1;
    if (last >= 0 && outer.every((step, t) => step === steps[last][t] * sizes[last])) {
      sizes[last] *= shape[i];
    } else {
      sizes.push(shape[i]);
      steps.push(outer);
    }
  }
  if (sizes.length > 4) return undefined;
  if (sizes.length === 0) {
    sizes.push(1);
    steps.push(strides.map(() => 1));
  }
  while (sizes.length < 4) {
    sizes.push(1);
    steps.push(strides.map(() => 0));
  }
  return {
    sizes: sizes.reverse(),
    strides: strides.map((_, t) => steps.map((step) => step[t]).reverse()),
  };
}

/**
 * A shape as [outer, reduced, inner], if the axes to reduce are neighbours (apart from dimensions of size 1).
 *
 * @param axes none negative
 */
export function reductionOf(shape: number[], axes: number[]): [number, number, number] | undefined {
  const sizes: [number, number, number] = [1, 1, 1];
  let part = 0;
  for (let i = 0; i < shape.length; i++) {
    if (shape[i] === 1) continue;
    const reduced = axes.includes(i);
    if (part === 0 && reduced) part = 1;
    else if (part === 1 && !reduced) part = 2;
    else if (part === 2 && reduced) return undefined;
    sizes[part] *= shape[i];
  }
  return sizes;
}
