/** Reads files that should be text, and says what they are if they are none. */

import { isAddress, readBytes } from "lib/host/files.ts";

/** The longest string of JavaScript's in V8, in UTF-16 units: 2^29 - 24. */
export const LONGEST_TEXT = 536_870_888;

/** Bytes of which the length of a larger file is judged. */
const SAMPLE = 2 ** 16;

/**
 * The text of a file, on a disk or behind an address: UTF-8, or UTF-16 with its mark.
 *
 * @throws Error saying what the file is instead (a git-LFS pointer, a web page, UTF-16 without a mark, other bytes) or that it is
 *   longer than a text can be; the message does not name the file
 */
export async function readText(path: string): Promise<string> {
  if (isAddress(path)) return decodeText(await readBytes(path), /\.html?$/i.test(path));
  const { open } = await import("node:fs/promises");
  const file = await open(path).catch((error) => {
    throw new Error(`cannot be read: ${error.message}`, { cause: error });
  });
  try {
    const { size } = await file.stat();
    if (size > LONGEST_TEXT) {
      demandRoom(size, (await file.read(new Uint8Array(SAMPLE), 0, SAMPLE, 0)).buffer);
    }
    return decodeText(await file.readFile(), /\.html?$/i.test(path));
  } finally {
    await file.close();
  }
}

/** @throws Error if a file of this size, whose characters are as long as in `sample`, is longer than a text can be */
function demandRoom(size: number, sample: Uint8Array): void {
  const units = new TextDecoder().decode(sample).length;
  if (size * units / sample.length > LONGEST_TEXT) {
    throw tooLong(`${size.toLocaleString("en")} bytes`);
  }
}

/** What is said of a text that cannot be. */
export function tooLong(what: string): Error {
  const most = LONGEST_TEXT.toLocaleString("en");
  return new Error(
    `holds ${what}, too much for one text, which can have ${most} characters: take a part of it`,
  );
}

/**
 * The text that bytes are: UTF-8, or UTF-16 with its mark.
 *
 * @param mayBePage whether a web page is welcome
 * @throws Error saying what the bytes are instead
 */
export function decodeText(bytes: Uint8Array, mayBePage = false): string {
  const marked =
    { "255,254": "utf-16le", "254,255": "utf-16be" }[Array.from(bytes.subarray(0, 2)).join()];
  const other = whatElse(bytes, mayBePage) ?? (marked ? undefined : utf16(bytes));
  if (other) throw new Error(`is ${other}`);
  try {
    return new TextDecoder(marked ?? "utf-8", { fatal: true }).decode(bytes);
  } catch {
    if (marked) throw new Error("is not UTF-16 text, though it begins with its mark");
    throw new Error(
      `is not UTF-8 text, near byte ${
        lastFineLength(bytes)
      }; convert it (iconv -t UTF-8) and try again`,
    );
  }
}

/** What a file is that was to be something else: a pointer of git-LFS, or a web page. */
export function whatElse(bytes: Uint8Array, mayBePage = false): string | undefined {
  const start = new TextDecoder().decode(bytes.subarray(0, 200)).trimStart();
  if (start.startsWith("version https://git-lfs.github.com/")) {
    return "a git-LFS pointer, not the file itself: fetch it (git lfs pull) or download it";
  }
  if (!mayBePage && /^(<!doctype html|<html)\b/i.test(start)) {
    return "a web page (HTML), not the file itself: the download went wrong";
  }
}

/** Text in UTF-16 has zeros in one half of its pairs of bytes, text in UTF-8 has none. */
function utf16(bytes: Uint8Array): string | undefined {
  const sample = bytes.subarray(0, SAMPLE);
  const zeros = [0, 0];
  sample.forEach((byte, i) => byte === 0 && zeros[i % 2]++);
  const [even, odd] = zeros.map((count) => count > sample.length / 8);
  if (even === odd) return undefined;
  const name = odd ? "UTF-16LE" : "UTF-16BE";
  return `text in ${name} without a mark: convert it (iconv -f ${name} -t UTF-8) and try again`;
}

/** How many bytes from the start may be UTF-8, found by halving. */
function lastFineLength(bytes: Uint8Array): number {
  const isFine = (end: number) => {
    try {
      new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, end), { stream: true });
      return true;
    } catch {
      return false;
    }
  };
  let fine = 0, bad = bytes.length;
  while (bad - fine > 1) {
    const middle = (fine + bad) >> 1;
    if (isFine(middle)) fine = middle;
    else bad = middle;
  }
  return fine;
}
