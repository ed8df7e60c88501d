// @ts-nocheck: AssemblyScript, which tools/build-simd.ts compiles.
/** Rows of a table, looked up and summed back. */
import { storeLanes } from "./vector.ts";
import { address, floats, integer } from "./job.ts";
import { COLUMN_GROUP } from "./codes.ts";

/** Units: ids. Arguments: table, ids (int32, each a row of the table), y, width. */
export function gather(begin: i32, end: i32): void {
  const table = address(0), ids = address(1), y = address(2), rowBytes = floats(integer(3));
  for (let i = begin; i < end; i++) {
    memory.copy(y + i * rowBytes, table + load<i32>(ids + floats(i)) * rowBytes, rowBytes);
  }
}

/**
 * y[id] = the sum of the rows of x that have this id; rows are added in their order.
 *
 * Units: groups of columns.
 * Arguments: x, ids (int32; outside [0, rowsOut) is left out), y, width, rowsIn, rowsOut.
 */
export function scatter(begin: i32, end: i32): void {
  const x = address(0), ids = address(1), y = address(2);
  const width = integer(3), rowsIn = integer(4), rowsOut = integer(5), rowBytes = floats(width);
  const first = begin * COLUMN_GROUP, last = min(end * COLUMN_GROUP, width);
  for (let i = 0; i < rowsOut; i++) {
    memory.fill(y + i * rowBytes + floats(first), 0, floats(last - first));
  }
  for (let i = 0; i < rowsIn; i++) {
    const id = load<i32>(ids + floats(i));
    if (<u32> id >= <u32> rowsOut) continue;
    const from = x + i * rowBytes, to = y + id * rowBytes;
    for (let j = first; j < last; j += 4) {
      const at = floats(j);
      storeLanes(to + at, f32x4.add(v128.load(to + at), v128.load(from + at)), last - j);
    }
  }
}
