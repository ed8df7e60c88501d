/** What a reader on GitHub sees: the notebooks as they are committed, nothing run. */
import { assertEquals } from "@std/assert";
import { basename } from "node:path";
import { type Cell, listChapters, readNotebook } from "tools/notebook.ts";
import { type AnyNode, parseModule, visit } from "tools/syntax.ts";

const SHOWS = new Set(["show", "showSvg", "showTokens", "plot", "heatmap"]);

/** The calls that a cell makes whenever it runs: not those in a function or behind a condition, unless `deep`. */
function calls(cell: Cell, isWanted: (callee: AnyNode) => boolean, deep = false): AnyNode[] {
  const found: AnyNode[] = [];
  visit(parseModule(cell.source).program.body, (node) => {
    if (node.type === "CallExpression" && isWanted(node.callee)) found.push(node);
    return deep || !/Function|Method|^Class|^If/.test(node.type);
  });
  return found;
}

for (const file of listChapters()) {
  const name = basename(file);
  const code = readNotebook(file).cells.filter((cell) => cell.cell_type === "code");

  Deno.test(`${name}: every cell that shows something carries what it showed`, () => {
    const silent = code.filter((cell) =>
      calls(cell, ({ name }) => SHOWS.has(name)).length > 0 && !cell.outputs?.length
    );
    assertEquals(silent.map(({ id }) => id), [], `deno task run ${name.slice(0, 2)} --write`);
  });

  Deno.test(`${name}: no cell leaves a result, an error or a line on stderr`, () => {
    const left = code.flatMap(({ id, outputs = [] }) =>
      outputs.filter(({ output_type }) => output_type !== "display_data")
        .map(({ output_type }) => `${id}: ${output_type}`)
    );
    assertEquals(left, [], "a cell ends in await show(…), or in a statement without a value");
  });

  Deno.test(`${name}: every picture has words`, () => {
    const mute = code.flatMap(({ id, outputs = [] }) =>
      outputs.map(({ data }) => ({ id, data: data as Record<string, unknown> | undefined }))
    ).filter(({ data }) =>
      data?.["image/png"] && !/<img alt="[^"]/.test([data["text/html"]].join())
    );
    assertEquals(mute.map(({ id }) => id), []);
  });

  Deno.test(`${name}: every assert says what it wants`, () => {
    const bare = code.flatMap((cell) =>
      calls(cell, (callee) => callee.name === "assert", true)
        .filter((call) => call.arguments.length < 2)
        .map((call) => `${cell.id}, line ${call.loc.start.line}`)
    );
    assertEquals(bare, []);
  });
}
