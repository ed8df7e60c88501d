/** Plots that show everywhere: live Plotly in VS Code, pictures in JupyterLab and on GitHub, words for everyone. */
import { Tensor } from "@tensorflow/tfjs";
import { display, isNotebook } from "./display.ts";
import { formatNumber } from "./format.ts";
import { notForPages } from "./machine.ts";
import { FONT, picture } from "./picture.ts";
import type { Figure } from "./plotly.ts";

const WIDTH = 720;
const HEIGHT = 400;
/** Text and lines that can be read on a white page and on a black one, on no ground of their own. */
const INK = "#777";
const CLEAR = "rgba(0, 0, 0, 0)";
const RULE = "rgba(128, 128, 128, 0.25)";
const AXIS = { gridcolor: RULE, zerolinecolor: "rgba(128, 128, 128, 0.6)", linecolor: INK };

/** Average width of a letter at the plots' font size, pixels. */
const LETTER = 7.5;

/** A Plotly trace; lists of numbers may be typed arrays. https://plotly.com/javascript/reference/ */
export type Trace = Record<string, unknown>;

/** How a plot looks. */
export interface PlotOptions {
  title?: string;
  /** What the horizontal axis measures, with its unit. */
  x?: string;
  /** What the vertical axis measures, with its unit. */
  y?: string;
  /** Pixels. */
  width?: number;
  /** Pixels. */
  height?: number;
  /** Anything else of Plotly's layout: https://plotly.com/javascript/reference/layout/ */
  layout?: Record<string, unknown>;
  /**
   * Plots with the same id are one: the second takes the place of the first. For curves that grow while a cell runs. Take a new
   * id for each run of the cell (`crypto.randomUUID()`): the old picture goes away when the cell starts again.
   */
  update?: string;
}

/**
 * Draws traces beneath the cell.
 *
 * @example await plot([{ y: losses, name: "loss" }], { title: "Training", x: "step", y: "loss (nats)" })
 */
export async function plot(traces: Trace[], options: PlotOptions = {}): Promise<void> {
  const data = traces.map((trace) => plain(trace) as Trace);
  const figure: Figure = { data, layout: layoutOf(options) };
  const words = describe(data, options.title);
  if (!isNotebook) return await display({ "text/plain": words });
  const { toSvg } = await notForPages<typeof import("./plotly.ts")>("plotly.ts");
  const drawn = await picture(await toSvg(figure), words);
  await display({ "application/vnd.plotly.v1+json": figure, ...drawn }, { id: options.update });
}

/** How a heat map looks: as a plot, and what its rows and columns are called. */
export interface HeatmapOptions extends PlotOptions {
  /** One for each column. */
  xLabels?: string[];
  /** One for each row. */
  yLabels?: string[];
  /** A colour scale of Plotly's: https://plotly.com/javascript/colorscales/ */
  colorscale?: string;
}

/**
 * Draws a matrix as colours, its first row on top.
 *
 * @param z numbers by row and column: nested lists or a tensor [rows, columns]
 */
export async function heatmap(z: number[][] | Tensor, options: HeatmapOptions = {}): Promise<void> {
  const values = z instanceof Tensor ? await z.array() as number[][] : z;
  const { xLabels, yLabels, colorscale = "Viridis", ...rest } = options;
  const columns = labelled(xLabels), rows = labelled(yLabels);
  const left = 12 + longest(yLabels) * LETTER;
  const room = (rest.width ?? WIDTH) - left - 140;
  const isTight = xLabels !== undefined && (longest(xLabels) + 1) * LETTER * xLabels.length > room;
  const bottom = 16 + (isTight ? longest(xLabels) * LETTER : 12);
  const layout = {
    ...rest.layout,
    margin: {
      l: left + 28,
      r: 24,
      t: rest.title ? 48 : 20,
      b: bottom + 28,
      ...part(rest.layout, "margin"),
    },
    annotations: [
      axisName(rest.x, { x: 0.5, y: 0, yshift: -bottom - 12 }),
      axisName(rest.y, { x: 0, y: 0.5, xshift: -left - 14, textangle: -90 }),
    ],
    xaxis: { ...columns, tickangle: isTight ? -90 : 0, ...part(rest.layout, "xaxis") },
    yaxis: { autorange: "reversed", ...rows, ...part(rest.layout, "yaxis") },
  };
  const trace = { type: "heatmap", z: values, colorscale };
  await plot([trace], { ...rest, x: undefined, y: undefined, layout });
}

/** An axis title that keeps clear of long labels: Plotly's own place for it needs a browser's measure of them. */
function axisName(text = "", place: Record<string, number>): Record<string, unknown> {
  return { text, showarrow: false, xref: "paper", yref: "paper", font: { size: 14 }, ...place };
}

function longest(labels: string[] = []): number {
  return Math.max(3, ...labels.map((label) => [...label].length));
}

/** Labels by position: two equal tokens stay two columns. */
function labelled(labels?: string[]): Record<string, unknown> {
  return labels
    ? { tickmode: "array", tickvals: [...labels.keys()], ticktext: labels, showgrid: false }
    : {};
}

function part(layout: Record<string, unknown> | undefined, name: string): Record<string, unknown> {
  return (layout?.[name] ?? {}) as Record<string, unknown>;
}

function layoutOf(
  { title, x, y, width = WIDTH, height = HEIGHT, layout = {} }: PlotOptions,
): Figure["layout"] {
  const named = (text?: string) => text ? { title: { text } } : {};
  return {
    width,
    height,
    font: { family: FONT, size: 12, color: INK },
    paper_bgcolor: CLEAR,
    plot_bgcolor: CLEAR,
    ...(title ? { title: { text: title, font: { size: 15 } } } : {}),
    ...axesOf(layout),
    margin: { l: 64, r: 24, t: title ? 48 : 20, b: 52, ...part(layout, "margin") },
    xaxis: { ...AXIS, ...named(x), ...part(layout, "xaxis") },
    yaxis: { ...AXIS, ...named(y), ...part(layout, "yaxis") },
  };
}

/** A layout whose further axes (`xaxis2`, …) look like the first. */
function axesOf(layout: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(layout).map(([name, value]) =>
      /^[xy]axis\d+$/.test(name) ? [name, { ...AXIS, ...value as object }] : [name, value]
    ),
  );
}

/** Typed arrays as lists, numbers to six digits: the same picture in a smaller notebook. */
function plain(value: unknown): unknown {
  if (typeof value === "number") {
    return Number.isInteger(value) ? value : Number(value.toPrecision(6));
  }
  if (ArrayBuffer.isView(value)) return Array.from(value as Float32Array, plain);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

/** The plot in words: its title, and for each line where it starts and ends. */
function describe(traces: Trace[], title = "Plot"): string {
  const parts = traces.filter(({ y }) => Array.isArray(y) && y.length > 0).map(({ y, name }) => {
    const values = y as unknown[];
    const text = (value: unknown) =>
      typeof value === "number" ? formatNumber(value) : String(value);
    return `${name ?? "values"}: ${text(values[0])} to ${
      text(values.at(-1))
    } over ${values.length} points`;
  });
  return [title, ...parts.slice(0, 8)].join("\n  ");
}
