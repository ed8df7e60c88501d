/** What strangers wrote, made fit to be shown: nothing in it moves a cursor, forges a line or turns the writing round. */

/** Control characters, halves of characters, marks that hide or turn text. Joiners stay: scripts and emoji need them. */
const UNSEEN =
  /[\p{Cc}\p{Cs}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

/** The text with `�` for each character that cannot be seen; line ends and tabs stay. */
export function visible(text: string): string {
  return text.replace(UNSEEN, (one) => one === "\n" || one === "\t" ? one : "\ufffd");
}

/** The same on one line, cut at `most` characters. */
export function oneLine(text: string, most = Infinity): string {
  const line = visible(text).replace(/[\n\t]/g, "\ufffd");
  if (line.length <= most) return line;
  return `${line.slice(0, most - 1).replace(/[\ud800-\udbff]$/, "")}…`;
}
