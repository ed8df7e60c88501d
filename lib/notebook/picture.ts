/** SVG drawings as pictures that show everywhere, of one size, with words: VS Code, JupyterLab (also an untrusted notebook) and GitHub. */
import type { Bundle } from "./display.ts";
import { notForPages } from "./machine.ts";

/** The fonts that pictures are drawn with: `font-family` to write into an SVG. */
export const FONT = "DejaVu Sans, Verdana, sans-serif";
/** The same for text of fixed width. */
export const MONOSPACE = "DejaVu Sans Mono, Menlo, Consolas, monospace";

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
    "image/png": await (await notForPages<typeof import("./png.ts")>("png.ts")).toPng(svg),
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
