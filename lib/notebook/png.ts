/** SVG drawings as PNG files, without a browser. */
import { initWasm, Resvg } from "@resvg/resvg-wasm";
import { Buffer } from "node:buffer";
import { createRequire } from "node:module";
import { PNG } from "pngjs";

const FONT_FILES = ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf"];

let ready: Promise<Uint8Array[]> | undefined;

async function prepare(): Promise<Uint8Array[]> {
  const require = createRequire(import.meta.url);
  await initWasm(await Deno.readFile(require.resolve("@resvg/resvg-wasm/index_bg.wasm")));
  const about = require.resolve("dejavu-fonts-ttf/package.json");
  const fileOf = (name: string) => about.replace(/package\.json$/, `ttf/${name}`);
  return Promise.all(FONT_FILES.map((name) => Deno.readFile(fileOf(name))));
}

/**
 * Draws an SVG into a PNG.
 *
 * @param svg a whole SVG document
 * @param width of the picture in pixels; the height follows
 * @returns the PNG file's bytes in base64
 */
export async function toPng(svg: string, width = 960): Promise<string> {
  const fontBuffers = await (ready ??= prepare());
  const font = {
    fontBuffers,
    defaultFontFamily: "DejaVu Sans",
    sansSerifFamily: "DejaVu Sans",
    monospaceFamily: "DejaVu Sans Mono",
  };
  const drawing = new Resvg(svg, {
    fitTo: { mode: "width", value: width },
    font,
    background: "white",
    imageRendering: 1, // the cells of a heat map keep their edges, and the file is a tenth
  });
  const image = drawing.render();
  const bytes = image.asPng();
  image.free();
  drawing.free();
  return squeeze(bytes).toBase64();
}

/** The same picture in fewer bytes: no transparency, every line stored in the way that suits it. */
function squeeze(bytes: Uint8Array): Uint8Array {
  const picture = PNG.sync.read(Buffer.from(bytes));
  return PNG.sync.write(picture, { colorType: 2, filterType: -1, deflateLevel: 9 });
}
