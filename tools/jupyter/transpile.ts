/** A cell as the kernel runs it, or why Deno cannot read it. */
import { join } from "node:path";

/** A cell's JavaScript and the way back to its lines; or Deno's complaint. */
export type Transpiled =
  // deno-lint-ignore no-explicit-any -- a source map's fields are SourceMap's business
  | { code: string; map: any; complaint?: undefined }
  | { complaint: string };

const ARGS = "transpile --quiet --source-map separate --output cell.js cell.ts".split(" ");

/** Takes the types out of a cell, as the kernel does. */
export async function transpile(source: string): Promise<Transpiled> {
  const folder = await Deno.makeTempDir({ prefix: "nano-llm-cell-" });
  try {
    const config = { compilerOptions: { verbatimModuleSyntax: true } };
    await Deno.writeTextFile(join(folder, "deno.json"), JSON.stringify(config));
    await Deno.writeTextFile(join(folder, "cell.ts"), source);
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ARGS,
      cwd: folder,
      env: { NO_COLOR: "1" },
      stdout: "null",
      stderr: "piped",
    }).output();
    if (!success) return { complaint: new TextDecoder().decode(stderr) };
    const [code, map] = await Promise.all(
      ["cell.js", "cell.js.map"].map((name) => Deno.readTextFile(join(folder, name))),
    );
    return { code, map: JSON.parse(map) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
