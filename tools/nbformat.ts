/**
 * The text of a notebook file, to the byte as Python's nbformat writes it (and so JupyterLab, nbclient, nbgrader): a
 * notebook that is opened and saved there stays the file it was.
 * Source: nbformat/v4/nbjson.py and rwbase.py, https://github.com/jupyter/nbformat
 */

export interface Output {
  output_type: "stream" | "display_data" | "execute_result" | "error";
  [field: string]: unknown;
}

/** nbgrader's metadata, schema version 3. */
export interface GradeInfo {
  schema_version: 3;
  grade_id: string;
  grade: boolean;
  solution: boolean;
  locked: boolean;
  task: boolean;
  points?: number;
}

export interface Cell {
  id: string;
  cell_type: "code" | "markdown" | "raw";
  source: string;
  /** Pictures that were pasted into a text cell: by name, content by MIME type. */
  attachments?: Record<string, Record<string, unknown>>;
  metadata: { nbgrader?: GradeInfo; [key: string]: unknown };
  outputs?: Output[];
  execution_count?: number | null;
}

export interface Notebook {
  nbformat: 4;
  nbformat_minor: 5;
  metadata: Record<string, unknown>;
  cells: Cell[];
}

/**
 * A notebook as text: keys in alphabetical order, one blank of indentation, sources and text outputs as lists of lines.
 *
 * @example formatNotebook({ nbformat: 4, nbformat_minor: 5, metadata: {}, cells: [] })
 */
export function formatNotebook(notebook: Notebook): string {
  const { orig_nbformat: _, orig_nbformat_minor: __, signature: ___, ...metadata } =
    notebook.metadata;
  return write({ ...notebook, metadata, cells: notebook.cells.map(splitCell) }, "\n") + "\n";
}

function splitCell(cell: Cell): Record<string, unknown> {
  const { trusted: _, ...metadata } = cell.metadata;
  const common = { ...cell, metadata, source: lines(cell.source), ...attached(cell) };
  if (cell.cell_type !== "code") return common;
  const outputs = (cell.outputs ?? []).map(splitOutput);
  return { ...common, execution_count: cell.execution_count ?? null, outputs };
}

function attached({ attachments }: Cell): Pick<Cell, "attachments"> {
  if (!attachments) return {};
  const split = Object.entries(attachments).map(([name, bundle]) => [name, splitBundle(bundle)]);
  return { attachments: Object.fromEntries(split) };
}

function splitOutput(output: Output): Output {
  if (output.output_type === "stream") return { ...output, text: lines(output.text as string) };
  if (typeof output.data !== "object" || output.data === null) return output;
  return { ...output, data: splitBundle(output.data as Record<string, unknown>) };
}

/** Text as a list of lines, whatever cut it before; other text in one piece. */
function splitBundle(bundle: Record<string, unknown>): Record<string, unknown> {
  const split = Object.entries(bundle).map(([mime, value]) => {
    const text = isJson(mime) ? undefined : joined(value);
    return [mime, text === undefined ? value : isSplit(mime) ? lines(text) : text];
  });
  return Object.fromEntries(split);
}

function joined(value: unknown): string | undefined {
  const parts = [value].flat();
  return parts.every((one) => typeof one === "string") ? parts.join("") : undefined;
}

function isJson(mime: string): boolean {
  return /^application\/(json$|.*\+json$)/.test(mime);
}

function isSplit(mime: string): boolean {
  return mime.startsWith("text/") || ["application/javascript", "image/svg+xml"].includes(mime);
}

// deno-lint-ignore no-control-regex
const LINE_END = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/g;

/** Python's `splitlines(True)`: more characters end a line there than in JavaScript. */
function lines(value: string | string[]): string[] {
  const text = joined(value) ?? "";
  // Not by one pattern for whole lines: a line of 50 MB is too long for its stack.
  const ends = Array.from(text.matchAll(LINE_END), (end) => end.index + end[0].length);
  const starts = [0, ...ends];
  return starts.map((start, i) => text.slice(start, starts[i + 1])).filter((line) => line !== "");
}

/** Python's `json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)`. */
function write(value: unknown, line: string): string {
  if (typeof value === "number") return writeNumber(value);
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const inner = line + " ";
  const items = Array.isArray(value)
    ? value.map((item) => write(item, inner))
    : Object.entries(value).filter(([, item]) => item !== undefined).sort(byKey)
      .map(([key, item]) => `${JSON.stringify(key)}: ${write(item, inner)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return items.length ? open + inner + items.join("," + inner) + line + close : open + close;
}

/** By code points, as Python compares: UTF-16 puts what lies beyond 65,535 elsewhere. */
function byKey([a]: [string, unknown], [b]: [string, unknown]): number {
  let at = 0;
  while (at < a.length && a.codePointAt(at) === b.codePointAt(at)) at++;
  return (a.codePointAt(at) ?? -1) - (b.codePointAt(at) ?? -1);
}

/** Python writes 0.00001 as 1e-05, and minus nought with its sign. */
function writeNumber(value: number): string {
  if (Object.is(value, -0)) return "-0.0";
  if (value === 0 || Math.abs(value) >= 1e-4) return JSON.stringify(value);
  return value.toExponential().replace(/-(\d)$/, "-0$1");
}
