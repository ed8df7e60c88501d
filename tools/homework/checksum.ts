/** nbgrader's checksum of a cell, by which it notices that a locked cell was changed. */
import { createHash } from "node:crypto";
import type { Cell } from "../notebook.ts";

/**
 * As `nbgrader.utils.compute_checksum` (nbgrader 0.9): MD5 of source, type, the three flags as Python writes them, the
 * grade_id and, for a grade cell, the points.
 */
export function checksumOf(cell: Cell): string {
  const info = cell.metadata.nbgrader!;
  const isLocked = !info.solution && (info.grade || info.locked);
  const python = (value: boolean) => value ? "True" : "False";
  const parts = [cell.source, cell.cell_type, python(info.grade), python(info.solution)];
  const points = info.grade ? [pythonFloat(info.points ?? 0)] : [];
  const text = [...parts, python(isLocked), info.grade_id, ...points].join("");
  return createHash("md5").update(text).digest("hex");
}

function pythonFloat(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : String(value);
}
