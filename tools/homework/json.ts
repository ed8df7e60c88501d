/** JSON of strangers: how large it is, told before it is built in memory; where it is wrong, told without quoting it. */

/** Lists in lists: a notebook has eight, pictures of plotly some more. */
const MAX_DEPTH = 100;

/** Values: the book's largest chapter has 12,000; each costs up to a hundred bytes once it is built. */
const MAX_VALUES = 1_000_000;

/**
 * Counts depth and values in one pass, without building anything.
 *
 * @throws RangeError in words
 */
export function refuseLargeJson(text: string): void {
  let depth = 0;
  let values = 1;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at);
    else if (code === COMMA) values++;
    else if (code === OPEN_LIST || code === OPEN_RECORD) {
      values++;
      if (++depth > MAX_DEPTH) throw new RangeError(`it nests more than ${MAX_DEPTH} levels deep`);
    } else if (code === CLOSE_LIST || code === CLOSE_RECORD) depth--;
  }
  if (values > MAX_VALUES) {
    const [has, most] = [values, MAX_VALUES].map((one) => one.toLocaleString("en"));
    throw new RangeError(`it has ${has} values; ${most} are allowed. Clear the outputs`);
  }
}

const [QUOTE, BACKSLASH, COMMA, OPEN_LIST, CLOSE_LIST, OPEN_RECORD, CLOSE_RECORD] = [...'"\\,[]{}']
  .map((one) => one.charCodeAt(0));

/** Where the string that begins at `start` ends, or the text. */
function endOfString(text: string, start: number): number {
  let end = start + 1;
  while (end < text.length && text.charCodeAt(end) !== QUOTE) {
    end += text.charCodeAt(end) === BACKSLASH ? 2 : 1;
  }
  return end;
}

/** Whether JSON.parse found nothing wrong with a text but that it ends. */
export function isCutOff(text: string, { message }: Error): boolean {
  const at = /at position (\d+) \(line \d+ column \d+\)$/.exec(message)?.[1];
  return /end of JSON input|Unterminated/.test(message) || Number(at) === text.length;
}

/** The line, from 1, in which JSON stops being JSON: V8 does not say it without quoting what stands there. */
export function lineOfFault(text: string): number {
  let [good, bad] = [0, text.length];
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (isGoodSoFar(text.slice(0, middle))) good = middle;
    else bad = middle;
  }
  return text.slice(0, bad).split("\n").length;
}

function isGoodSoFar(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch (error) {
    return isCutOff(text, error as Error);
  }
}
