/**
 * Directives: the leading `//|` lines of a code cell, which say what of a notebook becomes a module.
 *
 *     //| default_exp tokenizer   in the first code cell: exported cells become lib/tokenizer.ts
 *     //| export                  this cell is exported
 */
import { distance } from "../cli.ts";
import { type Cell, NotebookError } from "../notebook.ts";
import type { Comment } from "../syntax.ts";

/** What a cell's directives say. */
export interface Directives {
  /** The module that `default_exp` names. */
  module?: string;
  isExported: boolean;
  /** How many lines at the top of the cell are directives, or blank before them. */
  lines: number;
}

const KNOWN = ["default_exp", "export"];

/**
 * Reads the directives of a cell.
 *
 * @throws NotebookError if a line looks like a directive and is none, with the nearest that there is
 */
export function readDirectives(file: string, cell: Cell): Directives {
  const found: Directives = { isExported: false, lines: 0 };
  for (const [index, line] of cell.source.split("\n").entries()) {
    if (line.trim() === "") continue;
    const match = /^\/\/\|[ \t]*(\S*)[ \t]*(.*?)\s*$/.exec(line);
    if (!match) {
      if (isNearly(line)) throw new NotebookError(file, misspelt(line), cell.id);
      break;
    }
    const [, word, argument] = match;
    if (word === "export" && argument === "") found.isExported = true;
    else if (word === "default_exp" && found.module !== undefined) {
      throw new NotebookError(file, "default_exp stands twice in one cell", cell.id);
    } else if (word === "default_exp") found.module = moduleName(file, cell, argument);
    else throw new NotebookError(file, misspelt(line), cell.id);
    found.lines = index + 1;
  }
  return found;
}

/**
 * Finds a directive that stands below code, where it would do nothing.
 *
 * @throws NotebookError naming its line
 */
export function refuseLateDirective(
  file: string,
  cell: Cell,
  comments: Comment[],
  from: number,
): void {
  for (const { type, value, loc } of comments) {
    const line = loc?.start.line ?? 0;
    if (type !== "CommentLine" || line <= from || !isNearly(`//${value}`)) continue;
    const problem =
      `line ${line}: the directive //${value} stands after code; it must be at the top of the cell`;
    throw new NotebookError(file, problem, cell.id);
  }
}

function moduleName(file: string, cell: Cell, name: string): string {
  if (/^[a-z][a-z0-9-]*$/.test(name) && name !== "mod") return name;
  const problem =
    `default_exp needs one lower-case word that is not "mod", as in "//| default_exp tokenizer"; got "${name}"`;
  throw new NotebookError(file, problem, cell.id);
}

/** Whether a line was meant as a directive: a comment with a bar and a word like ours, or with nothing but the word. */
function isNearly(line: string): boolean {
  const bar = /^\s*(?:\/\/|#)\s*\|\s*([\w-]+)/.exec(line);
  if (bar) return distance(nearest(bar[1]), bar[1].toLowerCase()) <= 2;
  return /^\s*(?:\/\/|#)[|!:\s]*(?:export|default_exp\s+\S+)\s*$/i.test(line);
}

function misspelt(line: string): string {
  const word = /([\w-]+)/.exec(line)?.[1] ?? "";
  const meant = nearest(word) === "export" ? "//| export" : "//| default_exp <module>";
  if (/^\s+\/\/\|/.test(line) && KNOWN.includes(word)) {
    return `a blank stands before the directive "${line.trim()}": it must begin its line`;
  }
  return `unknown directive ${JSON.stringify(line.trim())}: did you mean "${meant}"?`;
}

function nearest(word: string): string {
  const wanted = word.toLowerCase();
  return KNOWN.toSorted((a, b) => distance(a, wanted) - distance(b, wanted))[0];
}
