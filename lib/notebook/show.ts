/** What a cell shows: values, tables, coloured tokens, drawings. Await every call, at the end of the cell. */
import { type Bundle, display, isNotebook } from "./display.ts";
import { format, formatNumber, formatTable, isRecord } from "./format.ts";
import { escapeXml, MONOSPACE, picture } from "./picture.ts";
import "./stop.ts"; // every chapter imports this module first: from here on Stop does not end its kernel

/**
 * Shows values beneath the cell: text as it is, numbers and tensors laid out, a list of records as a table, an object as one
 * line per field.
 *
 * @example await show({ scores, weights })
 * @example await show("loss at the start", loss)
 */
export async function show(...values: unknown[]): Promise<void> {
  if (values.length === 1 && isTable(values[0])) return await display(await table(values[0]));
  const texts = await Promise.all(values.map(format));
  const separator = texts.some((text) => text.includes("\n")) ? "\n" : " ";
  await display({ "text/plain": texts.join(separator) });
}

function isTable(value: unknown): value is Record<string, unknown>[] {
  return Array.isArray(value) && value.length > 0 && value.every(isRecord);
}

async function table(records: Record<string, unknown>[]): Promise<Bundle> {
  const names = [...new Set(records.flatMap(Object.keys))];
  const cell = async (value: unknown) =>
    value === undefined
      ? ""
      : typeof value === "number"
      ? formatNumber(value)
      : await format(value);
  const rows = await Promise.all(
    records.map((record) => Promise.all(names.map((name) => cell(record[name])))),
  );
  const isNumeric = names.map((name) =>
    records.every((record) => typeof (record[name] ?? 0) === "number")
  );
  const html = (tag: string, texts: string[]) =>
    texts.map((text, i) =>
      `<${tag} style="text-align: ${isNumeric[i] ? "right" : "left"}">${escapeXml(text)}</${tag}>`
    ).join("");
  const body = rows.map((row) => `<tr>${html("td", row)}</tr>`).join("");
  return {
    "text/plain": formatTable(names, rows, isNumeric),
    "text/html": `<table><thead><tr>${
      html("th", names)
    }</tr></thead><tbody>${body}</tbody></table>`,
  };
}

/**
 * Shows a drawing of your own.
 *
 * @param svg a whole SVG document, with a viewBox or width and height; without a ground of its own it suits a dark page too
 * @param alt what it shows, in words, for those who cannot see it
 */
export async function showSvg(svg: string, alt: string): Promise<void> {
  await display(await drawing(svg, alt));
}

/** Outside a notebook nobody sees a picture: its words are enough. */
async function drawing(svg: string, alt: string): Promise<Bundle> {
  return isNotebook ? await picture(svg, alt) : { "text/plain": alt };
}

/** A token to show: its text, and what else is known of it. */
export interface TokenView {
  text: string;
  /** Written small beneath the token. */
  id?: number;
  /** How strongly it is coloured, 0 to 1; without it, tokens take turns in six pale colours. */
  weight?: number;
}

const PALE = ["#c7e3ff", "#ffe0b3", "#cdeccd", "#f8cfd8", "#e2d4f7", "#fff3b0"];
const LETTER = 9;
const LINE = 40;
const WIDTH = 760;

/** Shows a text cut into tokens, each on its own colour, blanks as `·` and line ends as `⏎`. */
export async function showTokens(pieces: (string | TokenView)[]): Promise<void> {
  const tokens = pieces.map((piece) => typeof piece === "string" ? { text: piece } : piece);
  const plain = tokens.map(({ text }) => visible(text)).join("|");
  await display(await drawing(drawTokens(tokens), plain));
}

function visible(text: string): string {
  return text.replaceAll(" ", "·").replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll(
    "\r",
    "␍",
  );
}

function drawTokens(tokens: TokenView[]): string {
  let x = 0, y = 0;
  const boxes = tokens.map(({ text, id, weight }, i) => {
    const label = visible(text);
    const width =
      Math.max([...label].length, id === undefined ? 0 : String(id).length * 0.62) * LETTER + 6;
    if (x + width > WIDTH && x > 0) [x, y] = [0, y + LINE];
    const left = x;
    x += width + 2;
    const fill = weight === undefined
      ? PALE[i % PALE.length]
      : `rgb(255, ${shade(weight, 240, 110)}, ${shade(weight, 235, 80)})`;
    const small = id === undefined
      ? ""
      : `<text x="${left + 3}" y="${y + 34}" font-size="9" fill="#777">${id}</text>`;
    return `<rect x="${left}" y="${y + 4}" width="${width}" height="20" rx="3" fill="${fill}"/>` +
      `<text x="${left + 3}" y="${y + 19}" font-size="15">${escapeXml(label)}</text>${small}`;
  });
  const height = y + LINE;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" ` +
    `font-family="${MONOSPACE}" fill="#111">${boxes.join("")}</svg>`;
}

function shade(weight: number, from: number, to: number): number {
  return Math.round(from + (to - from) * Math.min(1, Math.max(0, weight)));
}
