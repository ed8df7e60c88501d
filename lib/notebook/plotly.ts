/**
 * Plotly without a browser. jsdom gives it a document; what jsdom does not have (the size of a text, a canvas) is made
 * up here, well enough for Plotly's own SVG to come out right.
 */
import { JSDOM, VirtualConsole } from "jsdom";
import { createRequire } from "node:module";
import { PNG } from "pngjs";
import { Buffer } from "node:buffer";

/** A Plotly figure: https://plotly.com/javascript/reference/ */
export interface Figure {
  data: Record<string, unknown>[];
  layout: Record<string, unknown> & { width: number; height: number };
}

// deno-lint-ignore no-explicit-any
type PlotlyWindow = any;

/** What is used of jsdom's elements; Deno has no types for a document. */
interface DrawnElement {
  style?: { fontSize: string };
  textContent: string | null;
  querySelectorAll(selector: string): Iterable<DrawnElement>;
}

interface Canvas {
  width: number;
  height: number;
}

let opened: Promise<PlotlyWindow> | undefined;

/** Draws a figure as an SVG document, with Plotly itself. The first call takes about a second, the next ones a third. */
export async function toSvg({ data, layout }: Figure): Promise<string> {
  const window = await (opened ??= openWindow());
  const box = window.document.createElement("div");
  const inside = (value: unknown) => window.JSON.parse(JSON.stringify(value));
  await window.Plotly.newPlot(box, inside(data), inside(layout), { staticPlot: true });
  const { width, height } = layout;
  const svg = await window.Plotly.toImage(box, {
    format: "svg",
    width,
    height,
    imageDataOnly: true,
  });
  window.Plotly.purge(box);
  return tidySvg(svg);
}

async function openWindow(): Promise<PlotlyWindow> {
  const { window } = new JSDOM("<!DOCTYPE html><body></body>", {
    runScripts: "outside-only",
    pretendToBeVisual: true,
    // Plotly's warnings about a document it takes for a browser's help nobody.
    virtualConsole: new VirtualConsole(),
  });
  const text = function (this: DrawnElement) {
    return measure(this);
  };
  Object.assign(window.SVGElement.prototype, { getBBox: text, getComputedTextLength: textLength });
  window.Element.prototype.getBoundingClientRect = text as never;
  // "No" makes the heat map paint every pixel itself; a small image stretched would come out blurred.
  Object.assign(window, { CSS: { supports: () => false } });
  window.URL.createObjectURL = () => "blob:none";
  window.HTMLCanvasElement.prototype.getContext = getContext as never;
  window.HTMLCanvasElement.prototype.toDataURL = toDataUrl;
  const script = createRequire(import.meta.url).resolve("plotly.js-dist");
  window.eval(await Deno.readTextFile(script));
  return window;
}

function textLength(this: DrawnElement): number {
  return measure(this).width;
}

/** The box a text fills, from the average letter of the font: close enough to place legends and tick labels. */
function measure(element: DrawnElement) {
  const size = parseFloat(element.style?.fontSize ?? "") || 12;
  const longest = Math.max(0, ...lines(element).map((line) => [...line].length));
  const width = longest * size * 0.6;
  const height = size * 1.2 * Math.max(1, lines(element).length);
  return { x: 0, y: -size, width, height, left: 0, top: 0, right: width, bottom: height };
}

function lines(element: DrawnElement): string[] {
  const spans = [...element.querySelectorAll("tspan.line")];
  return spans.length ? spans.map((span) => span.textContent ?? "") : [element.textContent ?? ""];
}

const canvases = new WeakMap<object, PNG>();

/** The part of a 2-d canvas that Plotly's heat map draws on: rectangles of one colour, and whole images. */
function getContext(this: Canvas, kind: string) {
  if (kind !== "2d") return null;
  const png = new PNG({ width: this.width, height: this.height });
  canvases.set(this, png);
  return {
    fillStyle: "",
    fillRect(x: number, y: number, width: number, height: number) {
      const [red, green, blue, alpha = 1] = (this.fillStyle.match(/[\d.]+/g) ?? []).map(Number);
      for (let row = y; row < Math.min(y + height, png.height); row++) {
        for (let column = x; column < Math.min(x + width, png.width); column++) {
          png.data.set([red, green, blue, 255 * alpha], 4 * (row * png.width + column));
        }
      }
    },
    createImageData: (width: number, height: number) => ({
      width,
      height,
      data: new Uint8ClampedArray(4 * width * height),
    }),
    putImageData: ({ data }: ImageData) => png.data.set(data),
  };
}

function toDataUrl(this: Canvas): string {
  const png = canvases.get(this) ?? new PNG({ width: 1, height: 1 });
  return `data:image/png;base64,${Buffer.from(PNG.sync.write(png)).toString("base64")}`;
}

/** Plotly's random ids become counted ones, so that the same plot is the same text; and what resvg reads otherwise is said its way. */
function tidySvg(svg: string): string {
  const ids = new Map<string, string>();
  for (const [, id] of svg.matchAll(/(?:defs-|clip|legend|trace|cb)([0-9a-f]{6})/g)) {
    if (!ids.has(id)) ids.set(id, `p${ids.size}`);
  }
  const counted = [...ids].reduce((text, [id, name]) => text.replaceAll(id, name), svg);
  return counted.replace(/url\('(#[^']*)'\)/g, "url($1)");
}
