import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { Buffer } from "node:buffer";
import { JSDOM } from "jsdom";
import { PNG } from "pngjs";
import * as tf from "@tensorflow/tfjs";
import { format, formatNumber, formatTable } from "lib/notebook/format.ts";
import { picture } from "lib/notebook/picture.ts";
import { toPng } from "lib/notebook/png.ts";
import { toSvg } from "lib/notebook/plotly.ts";

Deno.test("numbers are short and honest", () => {
  assertEquals([0.1 + 0.2, 1 / 3, 1e-9, 12345678, -0, NaN].map(formatNumber), [
    "0.3",
    "0.333333",
    "1e-9",
    "12345678",
    "0",
    "NaN",
  ]);
});

Deno.test("values are laid out for reading", async () => {
  assertEquals(await format("as it is"), "as it is");
  assertEquals(await format({ losses: [4, 3.5], steps: 2 }), "losses  [4, 3.5]\nsteps   2");
  assertEquals(
    await format(tf.tensor([[1, 2.5], [10, 3]])),
    "[2, 2] float32\n[  1, 2.5]\n[ 10,   3]",
  );
  assertEquals(await format(tf.scalar(0.5)), "0.5");
  assertEquals(await format(new Float32Array([1, 2])), "[1, 2]");
  assertEquals(await format({ toString: () => "its own words" }), "its own words");
  assertStringIncludes(await format(Array.from({ length: 100 }, (_, i) => i)), "37, …, 99]");
});

Deno.test("a table lines up", () => {
  const text = formatTable(["word", "n"], [["the", "5"], ["a", "12"]], [false, true]);
  assertEquals(text, "word   n\n────  ──\nthe    5\na     12");
});

Deno.test("a drawing becomes a picture of the right colours", async () => {
  const svg =
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 2"><rect width="2" height="2" fill="#ff0000"/></svg>';
  const png = PNG.sync.read(Buffer.from(await toPng(svg, 400), "base64"));
  assertEquals([png.width, png.height], [400, 200]);
  const pixel = (
    x: number,
    y: number,
  ) => [...png.data.subarray(4 * (y * 400 + x), 4 * (y * 400 + x) + 3)];
  assertEquals([pixel(100, 100), pixel(300, 100)], [[255, 0, 0], [255, 255, 255]]);
});

Deno.test("a picture has words, one size and no script, whoever shows it", async () => {
  const svg =
    '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20px" viewBox="0 0 4 2"></svg>';
  const bundle = await picture(svg, 'red "and" <green>');
  // Another type would win over these somewhere: SVG is hidden in an untrusted JupyterLab, and has another size there.
  assertEquals(Object.keys(bundle), ["text/plain", "text/html", "image/png"]);
  const image = new JSDOM(bundle["text/html"] as string).window.document.querySelector("img")!;
  assertEquals([image.alt, image.width, image.height], ['red "and" <green>', 40, 20]);
  assertEquals(atob(image.src.replace("data:image/svg+xml;base64,", "")), svg);
  const fromViewBox = (await picture(svg.replace('width="40" height="20px" ', ""), "")) as Record<
    string,
    string
  >;
  assertStringIncludes(fromViewBox["text/html"], 'width="4" height="2"');
  await assertRejects(() => picture("<svg></svg>", ""), TypeError, "a drawing needs a width");
});

Deno.test({
  name: "Plotly draws lines and heat maps without a browser, the same text each time",
  // jsdom keeps timers of its own.
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    const layout = { width: 400, height: 300, title: { text: "a title" } };
    const lines = { data: [{ y: [1, 3, 2], name: "curve" }], layout };
    const first = await toSvg(lines);
    assertStringIncludes(first, "a title");
    assertEquals(await toSvg(lines), first);
    const colours = await toSvg({
      data: [{ type: "heatmap", z: [[0, 1], [1, 0]], showscale: false, colorscale: "Greys" }],
      layout,
    });
    const [, base64] = /base64,([^"]+)"/.exec(colours)!;
    const image = PNG.sync.read(Buffer.from(base64, "base64"));
    const red = (x: number, y: number) =>
      image.data[4 * (Math.floor(y * image.height) * image.width + Math.floor(x * image.width))];
    assert(red(0.25, 0.25) !== red(0.75, 0.25) && red(0.25, 0.25) === red(0.75, 0.75));
  },
});
