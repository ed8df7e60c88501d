/**
 * What a running kernel has defined, compared with what was exported.
 *
 * An export reads the notebook's file. A reader who changed a cell, ran it and did not save it gets the old code in lib,
 * and would never know. The kernel keeps what its cells declare where an indirect `eval` sees it, and a function's
 * `toString()` is its code, transpiled by the same compiler that transpiles the module: so the two can be compared.
 */
import { pathToFileURL } from "node:url";
import { codeTokens } from "../syntax.ts";
import type { Chapter } from "./chapter.ts";

/** A function or class that the session has in another form than lib. */
export interface Stale {
  name: string;
  /** The cell that declares it. */
  cell: string;
}

/**
 * Functions and classes of a chapter which the session defines otherwise than the exported module does: what was run and
 * is not saved. Constants and types are not looked at. Outside a kernel there are none.
 *
 * @param file path of the exported module
 */
export async function staleNames(chapter: Chapter, file: string): Promise<Stale[]> {
  const run = chapter.cells.flatMap(({ id, declarations }) =>
    declarations.filter((one) => one.isExported)
      .map(({ name }) => ({ name, cell: id, code: sessionCode(name) }))
  ).filter(({ code }) => code !== undefined);
  if (run.length === 0) return [];
  // The query makes this a module of its own, whatever the session imported before.
  const version = Deno.statSync(file).mtime?.getTime();
  const saved = await import(`${pathToFileURL(file)}?exported=${version}`);
  return run.filter(({ name, code }) =>
    typeof saved[name] === "function" && codeTokens(code!) !== codeTokens(`${saved[name]}`)
  )
    .map(({ name, cell }) => ({ name, cell }));
}

function sessionCode(name: string): string | undefined {
  if (!/^[A-Za-z_$][\w$]*$/.test(name)) return undefined;
  try {
    const value = (0, eval)(`typeof ${name} === "function" ? ${name} : undefined`);
    const code = value && Function.prototype.toString.call(value);
    return code?.includes("[native code]") ? undefined : code;
  } catch {
    return undefined; // a reserved word, or a class whose cell failed
  }
}
