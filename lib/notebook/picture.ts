/** SVG drawings as pictures that show everywhere: VS Code, JupyterLab (also an untrusted notebook) and GitHub. */
import type { Bundle } from "./display.ts";

/** The fonts that pictures are drawn with: `font-family` to write into an SVG. */
export const FONT = "DejaVu Sans, Verdana, sans-serif";
/** The same for text of fixed width. */
export const MONOSPACE = "DejaVu Sans Mono, Menlo, Consolas, monospace";

const FONT_FILES = ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf"];

let ready: Promise<Uint8Array[]> | undefined;

/** Loaded when the first picture is drawn: it takes a moment, and a browser has no use for it. */
const resvg = () => import("@resvg/resvg-wasm");

async function prepare(): Promise<Uint8Array[]> {
  const { initWasm } = await resvg();
  const { createRequire } = await import("node:module");
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
  const { Resvg } = await resvg();
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
  return (await squeeze(bytes)).toBase64();
}

/** The same picture in fewer bytes: no transparency, every line stored in the way that suits it. */
async function squeeze(bytes: Uint8Array): Promise<Uint8Array> {
  const [{ PNG }, { Buffer }] = [await import("pngjs"), await import("node:buffer")];
  const picture = PNG.sync.read(Buffer.from(bytes));
  return PNG.sync.write(picture, { colorType: 2, filterType: -1, deflateLevel: 9 });
}

/** An SVG with its PNG and, for those who see neither, a sentence. */
export async function picture(svg: string, alt: string): Promise<Bundle> {
  return { "text/plain": alt, "image/svg+xml": svg, "image/png": await toPng(svg) };
}

/** Text made safe to stand inside SVG or HTML. */
export function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll(
    '"',
    "&quot;",
  );
}
