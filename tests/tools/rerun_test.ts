/** A chapter that is run again on the same machine changes only where it measures time. */
import { assertEquals } from "@std/assert";
import { formatNotebook } from "tools/notebook.ts";
import { execute } from "./kernel_support.ts";

const SHOWN = [
  `import { show, showSvg, showTokens } from "lib/notebook/show.ts";
import { heatmap, plot } from "lib/notebook/plot.ts";
import { progress } from "lib/notebook/progress.ts";
import { Random } from "lib/engine/random.ts";
const random = new Random(3);
const curve = Array.from({ length: 50 }, () => random.normal());`,
  `await show({ curve: curve.slice(0, 3) }, [{ a: 1, b: "two" }]);`,
  `await showTokens([{ text: "a", id: 1 }, { text: " b", weight: 0.5 }]);`,
  `await showSvg('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect width="5" height="5"/></svg>', "a box");`,
  `const id = crypto.randomUUID();
for (const end of [20, 50]) {
  await plot([{ y: curve.slice(0, end), name: "a" }], { title: "Twice", x: "step", y: "value", update: id });
}`,
  `await plot([{ type: "bar", x: ["a", "b"], y: [1, 2] }]);`,
  `await heatmap([[1, 2], [3, 4]], { xLabels: ["a", "b"], yLabels: ["c", "c"], title: "Heat" });`,
  `const live = progress({ total: 2, label: "work" });
await live.update(1, { loss: 2 });
await live.done({ loss: 1 });`,
  `console.log(new Map([["a", curve.length]]));`,
];

Deno.test("what the book shows comes out the same in two kernels", async () => {
  const [once, again] = [await execute(SHOWN), await execute(SHOWN)];
  assertEquals(once.problem, undefined);
  const silent = once.notebook.cells.slice(1).filter(({ outputs }) => !outputs?.length);
  assertEquals(silent, []);
  assertEquals(formatNotebook(again.notebook) === formatNotebook(once.notebook), true);
});
