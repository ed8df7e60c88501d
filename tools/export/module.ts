/** The text of a module in lib, and what can be read back from it: header, imports, one block for each cell. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { NotebookError } from "../notebook.ts";
import { type Chapter, exportedLines } from "./chapter.ts";
import { importStatements } from "./imports.ts";

/** What one cell gave to a module. */
export interface Block {
  cell: string;
  /** Short hash of the text at the time of export. */
  hash: string;
  text: string;
}

/** An exported module, read back. */
export interface ExportedModule {
  /** `03-attention`. */
  chapter: string;
  /** Header and imports. */
  head: string;
  /** Short hash of the head, and of which cells follow it, at the time of export. */
  hash: string;
  blocks: Block[];
}

const HEAD_MARKER = /^\/\/ export: ([0-9a-f]{8}), from notebooks\/(.+)\.ipynb$/m;
const BLOCK_MARKER = /^\/\/ cell: ([a-zA-Z0-9-_]{1,64}) ([0-9a-f]{8})$/;
const NO_HASH = "00000000";

/**
 * The module that a chapter exports, formatted.
 *
 * @param root the project's folder; its deno.json says how to format
 * @throws NotebookError if a cell cannot be exported
 */
export async function moduleText(chapter: Chapter, root: string): Promise<string> {
  const blocks = chapter.cells.map((cell) => {
    const lines = exportedLines(chapter.file, cell).map(({ text }) => text);
    if (lines.some((line) => BLOCK_MARKER.test(line))) {
      throw new NotebookError(
        chapter.file,
        'a line looks like the exporter\'s own "// cell: <id> <hash>"',
        cell.id,
      );
    }
    return lines.length ? `// cell: ${cell.id} ${NO_HASH}\n${lines.join("\n")}\n` : "";
  });
  const parts = [header(chapter), importStatements(chapter.imports), ...blocks].filter(Boolean);
  try {
    return sealed(await format(parts.join("\n\n"), root));
  } catch (error) {
    throw new NotebookError(chapter.file, `cannot be formatted: ${(error as Error).message}`);
  }
}

function header({ name, title, module }: Chapter): string {
  return `/**
 * ${title || `What chapter ${name} builds`}.
 *
 * Exported from notebooks/${name}.ipynb: edit there and run \`deno task export\`,
 * or edit here, between the markers, and run \`deno task export --update ${name}\`.
 *
 * @module ${module}
 */
// export: ${NO_HASH}, from notebooks/${name}.ipynb`;
}

/**
 * Formats TypeScript as `deno fmt` does for the project in `root`.
 *
 * @throws Error with deno's message if the text does not parse
 */
export async function format(text: string, root: string): Promise<string> {
  const args = ["fmt", "--quiet", "--ext", "ts", "--config", join(root, "deno.json"), "-"];
  const command = new Deno.Command(Deno.execPath(), {
    args,
    cwd: root,
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  });
  const child = command.spawn();
  // If deno ends without reading, its own message says more than "broken pipe".
  const written = new Response(text).body!.pipeTo(child.stdin).catch(() => {});
  const { success, stdout, stderr } = await child.output();
  await written;
  if (!success) throw new Error(new TextDecoder().decode(stderr).trim());
  return new TextDecoder().decode(stdout);
}

/** Reads an exported module back; undefined if the text is not one. */
export function readModule(text: string): ExportedModule | undefined {
  const marker = HEAD_MARKER.exec(text);
  if (!marker) return undefined;
  const parts = text.replaceAll("\r\n", "\n").split(/^(?=\/\/ cell: \S+ [0-9a-f]{8}$)/m);
  const blocks = parts.slice(1).map((part) => {
    const [first, ...rest] = part.split("\n");
    const [, cell, hash] = BLOCK_MARKER.exec(first)!;
    return { cell, hash, text: rest.join("\n").trim() };
  });
  return { chapter: marker[2], head: parts[0].trim(), hash: marker[1], blocks };
}

/** Whether a module is what this chapter exported, perhaps under a name that it had before. */
export function isOwn({ file, name }: Chapter, { chapter }: ExportedModule): boolean {
  return chapter === name || !existsSync(join(dirname(file), `${chapter}.ipynb`));
}

/** Whether a block is not what was exported. */
export function isEdited(block: Block): boolean {
  return hashOf(block.text) !== block.hash;
}

/** Whether header or imports are not what was exported, or a block was moved, added or removed. */
export function isHeadEdited(module: ExportedModule): boolean {
  return hashOf(headText(module)) !== module.hash;
}

/** Puts the right hashes into the markers. */
export function sealed(text: string): string {
  const module = readModule(text)!;
  const hashes = module.blocks.map((block) => hashOf(block.text));
  let index = 0;
  return text.replace(HEAD_MARKER, (line, old) => line.replace(old, hashOf(headText(module))))
    .replace(/^(\/\/ cell: \S+ )[0-9a-f]{8}$/gm, (_, start) => start + hashes[index++]);
}

function headText({ head, blocks }: ExportedModule): string {
  const plain = head.replace(HEAD_MARKER, (line, hash) => line.replace(hash, NO_HASH));
  return `${plain}\n${blocks.map((block) => block.cell).join(" ")}`;
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}
