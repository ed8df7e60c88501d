/** Small books in temporary folders, for the tests of the tools. */
import { join } from "node:path";
import { readNotebook, writeNotebook } from "tools/notebook.ts";
import { fromText } from "tools/text.ts";

/** A folder with deno.json, notebooks and lib, gone after the test. */
export class Book {
  readonly root = Deno.makeTempDirSync({ prefix: "nano-llm-book-" });

  /** @param chapters texts of the chapters, in the form of tools/text.ts, by name (`01-words`) */
  constructor(chapters: Record<string, string>) {
    const config = { imports: { "lib/": "./lib/" }, fmt: { lineWidth: 100 } };
    this.write("deno.json", JSON.stringify(config));
    Deno.mkdirSync(join(this.root, "notebooks"));
    for (const [name, text] of Object.entries(chapters)) this.chapter(name, text);
  }

  /** Writes a chapter, keeping what it has of outputs. */
  chapter(name: string, text: string): void {
    const file = this.notebook(name);
    const exists = [...Deno.readDirSync(join(this.root, "notebooks"))]
      .some((entry) => entry.name === `${name}.ipynb`);
    writeNotebook(file, fromText(text, file, exists ? readNotebook(file) : undefined));
  }

  notebook(name: string): string {
    return join(this.root, "notebooks", `${name}.ipynb`);
  }

  /** Source of a cell. */
  cell(name: string, id: string): string {
    return readNotebook(this.notebook(name)).cells.find((cell) => cell.id === id)!.source;
  }

  read(path: string): string {
    return Deno.readTextFileSync(join(this.root, path));
  }

  write(path: string, text: string): void {
    const file = join(this.root, path);
    Deno.mkdirSync(join(file, ".."), { recursive: true });
    Deno.writeTextFileSync(file, text);
  }

  /** Replaces a text in a file, which must be there. */
  edit(path: string, from: string, to: string): void {
    const before = this.read(path);
    if (!before.includes(from)) throw new Error(`${path} has no ${JSON.stringify(from)}`);
    this.write(path, before.replace(from, to));
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.root, { recursive: true });
  }
}

/** What a program prints while `body` runs, and what that returns. */
export async function printed<T>(body: () => Promise<T>): Promise<{ text: string; result: T }> {
  const lines: string[] = [];
  const { log, error } = console;
  console.log = console.error = (...values: unknown[]) => lines.push(values.join(" "));
  try {
    return { result: await body(), text: lines.join("\n") };
  } finally {
    Object.assign(console, { log, error });
  }
}
