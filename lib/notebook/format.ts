/** Values as text: numbers short enough to read, matrices in columns, tensors with their shape. */
import { Tensor } from "@tensorflow/tfjs";

const MOST_ROWS = 16;
const MOST_COLUMNS = 12;

type Nested = number | Nested[];

/** What a reader sees for a value: a string as it is, everything else laid out. Waits for a tensor's numbers. */
export async function format(value: unknown): Promise<string> {
  if (typeof value === "string") return value;
  if (typeof value === "number") return formatNumber(value);
  if (value instanceof Tensor) return await formatTensor(value);
  if (isNumbers(value)) return formatNested(toNested(value));
  if (hasOwnText(value)) return String(value);
  if (isRecord(value)) return await formatRecord(value);
  if (typeof Deno === "undefined") return JSON.stringify(value) ?? String(value);
  return Deno.inspect(value, {
    colors: false,
    depth: 4,
    iterableLimit: 40,
    strAbbreviateSize: 400,
  });
}

/** At most six significant digits: `0.30000000000000004` says no more than `0.3`. */
export function formatNumber(value: number): string {
  if (Object.is(value, -0)) return "0";
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
}

/** Rows of text under column names, right-aligned where they hold numbers. */
export function formatTable(names: string[], rows: string[][], isNumeric: boolean[]): string {
  const widths = names.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i].length)));
  const line = (cells: string[]) =>
    cells.map((cell, i) => isNumeric[i] ? cell.padStart(widths[i]) : cell.padEnd(widths[i])).join(
      "  ",
    ).trimEnd();
  return [line(names), widths.map((width) => "─".repeat(width)).join("  "), ...rows.map(line)].join(
    "\n",
  );
}

async function formatTensor(tensor: Tensor): Promise<string> {
  const values = await tensor.array() as Nested;
  const text = formatNested(values);
  const head = `[${tensor.shape.join(", ")}] ${tensor.dtype}`;
  return tensor.rank === 0 ? text : `${head}\n${text}`;
}

async function formatRecord(record: Record<string, unknown>): Promise<string> {
  const width = Math.max(...Object.keys(record).map((key) => key.length));
  const parts = Object.entries(record).map(async ([key, value]) => {
    const text = await format(value);
    return text.includes("\n") ? `${key}\n${indent(text)}` : `${key.padEnd(width)}  ${text}`;
  });
  return (await Promise.all(parts)).join("\n");
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, "  ");
}

function formatNested(value: Nested): string {
  if (!Array.isArray(value)) return formatNumber(value);
  if (!Array.isArray(value[0])) return formatRow((value as number[]).map(formatNumber));
  if (Array.isArray((value[0] as Nested[])[0])) {
    return shorten(value, MOST_ROWS).map((v) => v === null ? "…" : formatNested(v)).join("\n\n");
  }
  const rows = shorten(value as number[][], MOST_ROWS).map((row) =>
    row && shorten(row, MOST_COLUMNS).map((n) => n === null ? "…" : formatFixed(n))
  );
  const width = Math.max(...rows.flatMap((row) => row?.map((cell) => cell.length) ?? [0]));
  return rows.map((row) => row ? formatRow(row.map((cell) => cell.padStart(width))) : "…").join(
    "\n",
  );
}

/** In a matrix four digits are enough to compare by eye. */
function formatFixed(value: number): string {
  return Number.isInteger(value) ? formatNumber(value) : String(Number(value.toPrecision(4)));
}

function formatRow(cells: string[]): string {
  return `[${shorten(cells, 40).map((cell) => cell ?? "…").join(", ")}]`;
}

/** At most `most` items: the first ones, null in place of those left out, and the last. */
function shorten<T>(items: T[], most: number): (T | null)[] {
  return items.length <= most ? items : [...items.slice(0, most - 2), null, items.at(-1)!];
}

function isNumbers(value: unknown): boolean {
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    return !(value instanceof BigInt64Array || value instanceof BigUint64Array);
  }
  if (!Array.isArray(value) || value.length === 0) return false;
  return value.every((item) => typeof item === "number") || value.every(isNumbers);
}

function toNested(value: unknown): Nested {
  return typeof value === "number" ? value : Array.from(value as ArrayLike<unknown>, toNested);
}

function hasOwnText(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return value.toString !== Object.prototype.toString && !(value instanceof Error) &&
    typeof value.toString === "function";
}

/** A plain object with something in it. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null &&
    Object.getPrototypeOf(value) === Object.prototype &&
    Object.keys(value).length > 0;
}
