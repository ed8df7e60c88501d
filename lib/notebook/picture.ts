/** SVG drawings as pictures that show everywhere, of one size, with words: VS Code, JupyterLab (also an untrusted notebook) and GitHub. */
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

/**
 * A drawing as every reader gets it: as HTML with its words (JupyterLab, trusted or not, GitHub, nbconvert), as a PNG where no
 * HTML is shown, and as the words alone.
 *
 * @param svg a whole SVG document with a width and a height
 * @param alt what it shows, for those who do not see it
 * @throws TypeError if the SVG has no size: every program would choose another
 */
export async function picture(svg: string, alt: string): Promise<Bundle> {
  const { width, height } = sizeOf(svg);
  const source = new TextEncoder().encode(svg).toBase64();
  return {
    "text/plain": alt,
    "text/html": `<img alt="${escapeXml(alt)}" width="${width}" height="${height}" ` +
      `src="data:image/svg+xml;base64,${source}">`,
    "image/png": await toPng(svg),
  };
}

/** Width and height of an SVG document in pixels, from its attributes, else from its viewBox. */
function sizeOf(svg: string): { width: number; height: number } {
  const root = /<svg\b[^>]*>/.exec(svg)?.[0] ?? "";
  const number = (name: string) =>
    Number(new RegExp(`\\s${name}="([\\d.]+)(?:px)?"`).exec(root)?.[1]);
  const [, , right, bottom] = (/\sviewBox="([^"]*)"/.exec(root)?.[1] ?? "").split(/[\s,]+/).map(
    Number,
  );
  const [width, height] = [number("width") || right, number("height") || bottom];
  if (width > 0 && height > 0) return { width, height };
  throw new TypeError(
    `a drawing needs a width and a height in pixels, or a viewBox, got ${
      root.slice(0, 200) || "no <svg>"
    }`,
  );
}

/** Text made safe to stand inside SVG or HTML. */
export function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll(
    '"',
    "&quot;",
  );
}
