/** Why a cell failed, told as a person needs it: which cell, which line of it, and the real error. */
import { SourceMap } from "node:module";
import type { Cell } from "../notebook.ts";
import { parseModule, type Statement, syntaxErrors } from "../syntax.ts";
import type { CellReply, Kernel } from "./kernel.ts";
import { whyRefused } from "./refusal.ts";
import { transpile } from "./transpile.ts";

/** What stopped a notebook. */
export interface CellProblem {
  cell: string;
  /** line of the cell, from 1, where it is known */
  line?: number;
  /** that line's text */
  source?: string;
  /** `TypeError`, `SyntaxError`, `KernelError`, … */
  name: string;
  message: string;
  /** the way from the line that threw up to the cell: `f, cell "scores", line 4` */
  trace: string[];
}

/** The problem of a cell that is not valid TypeScript, or undefined. */
export function syntaxProblem(cell: Cell): CellProblem | undefined {
  const [first] = syntaxErrors(cell.source);
  if (!first) return undefined;
  const { line, column, message } = first;
  return at(cell, line, { name: "SyntaxError", message: `${message} (column ${column})` });
}

/** The problem behind a kernel's word that `cell` failed; `earlier` are the cells that ran before it. */
export async function runtimeProblem(
  kernel: Kernel,
  cell: Cell,
  earlier: Cell[],
  reply: CellReply,
): Promise<CellProblem> {
  if (reply.isSilent) return await refusal(kernel, cell);
  const { ename, evalue, traceback } = reply.error!;
  const frames = await new Tracer(cell, earlier).frames(traceback);
  const here = frames.find((frame) => frame.cell === cell);
  const trace = frames.map(({ text }) => text);
  return at(cell, here?.line, { name: ename, message: evalue, trace });
}

function at(
  cell: Cell,
  line: number | undefined,
  rest: { name: string; message: string; trace?: string[] },
): CellProblem {
  const source = line === undefined ? undefined : cell.source.split("\n")[line - 1];
  return { cell: cell.id, line, source, trace: [], ...rest };
}

/** The kernel said nothing: find out why. */
async function refusal(kernel: Kernel, cell: Cell): Promise<CellProblem> {
  const { line, ...rest } = await whyRefused(cell.source, (code) => kernel.evaluate(code));
  return at(cell, line, rest);
}

/** One step of a stack trace. */
interface Frame {
  text: string;
  cell?: Cell;
  line?: number;
}

/** Finds the cell and the line that a stack trace means by `<anonymous>:3:9`: line 3 of the cell as transpiled. */
class Tracer {
  readonly #cell: Cell;
  readonly #earlier: Cell[];
  readonly #maps = new Map<Cell, LineMap>();

  constructor(cell: Cell, earlier: Cell[]) {
    this.#cell = cell;
    this.#earlier = earlier;
  }

  async frames(traceback: string[]): Promise<Frame[]> {
    const found: Frame[] = [];
    for (const entry of traceback) {
      const inCell = /^\s*at (?:async )?(?:(.+) \()?<anonymous>:(\d+):(\d+)\)?$/.exec(entry);
      if (inCell) found.push(await this.#inCell(inCell[1], Number(inCell[2]), Number(inCell[3])));
      else if (/^\s*at .*(file|https?):\/\//.test(entry)) {
        found.push({ text: entry.trim().replace(/^at /, "") });
      }
    }
    return found;
  }

  async #inCell(name: string | undefined, line: number, column: number): Promise<Frame> {
    for (const cell of this.#candidates(name)) {
      const map = this.#maps.get(cell) ?? await mapLines(cell.source);
      this.#maps.set(cell, map);
      const original = map(line, column);
      if (original === undefined) continue;
      const place = `cell "${cell.id}", line ${original}`;
      return { text: name ? `${name}, ${place}` : place, cell, line: original };
    }
    return { text: `${name ?? "a cell"}, line unknown` };
  }

  /** A trace names no cell: a nameless frame is of this one, a function's is of the latest that declares its name. */
  #candidates(name: string | undefined): Cell[] {
    if (!name) return [this.#cell];
    const word = name.split(/[. ]/).at(-1)!;
    return [this.#cell, ...this.#earlier.toReversed()].filter(({ source }) =>
      declares(source, word)
    );
  }
}

function declares(source: string, name: string): boolean {
  const word = name.replace(/[^\w$]/g, "").replaceAll("$", "\\$");
  return new RegExp(
    `(function\\*?|const|let|var|class)\\s+${word}\\b|\\b${word}\\s*(=|:|\\([^]*?\\)[^;]*?\\{)`,
  ).test(source);
}

/** What the kernel puts in front of a cell's first line. */
const PRELUDE = '"use strict"; void 0;';

type LineMap = (line: number, column: number) => number | undefined;

/** From a line of the cell as the kernel runs it (transpiled: no types, no blank lines) to the source. */
async function mapLines(source: string): Promise<LineMap> {
  const emitted = await transpile(withoutLostComments(source));
  if (emitted.complaint !== undefined) return () => undefined;
  const lines = emitted.code.split("\n");
  const map = new SourceMap(emitted.map);
  return (line, column) => {
    const code = lines[line - 1];
    if (code === undefined) return undefined;
    const isImport = code.startsWith("import "); // longer in the kernel: a statement that awaits
    const place = isImport ? 0 : column - 1 - (line === 1 ? PRELUDE.length : 0);
    if (place > code.length) return undefined;
    const entry = map.findEntry(line - 1, Math.max(0, place)) as { originalLine?: number };
    return entry.originalLine === undefined ? undefined : entry.originalLine + 1;
  };
}

/** The kernel takes `export` away; comments above what is exported get lost on the way, but for the cell's first. */
function withoutLostComments(source: string): string {
  const { program: { body }, comments } = parseModule(source);
  const lost = (comments ?? []).filter(({ start, end, loc }) => {
    const index = body.findIndex((statement) => statement.start! >= end!);
    if (index < 1 || !isExportedValue(body[index])) return false;
    const before = body[index - 1];
    return start! >= before.end! && loc!.start.line > before.loc!.end.line;
  });
  const blank = (text: string, { start, end }: typeof lost[number]) =>
    text.slice(0, start!) + text.slice(start!, end!).replace(/[^\n]/g, " ") + text.slice(end!);
  return lost.reduce(blank, source);
}

function isExportedValue(statement: Statement): boolean {
  if (statement.type === "ExportDefaultDeclaration") return true;
  return statement.type === "ExportNamedDeclaration" && statement.exportKind === "value";
}
