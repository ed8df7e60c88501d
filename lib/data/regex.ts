/**
 * Patterns of other programs as JavaScript's. A tokenizer.json is read by Oniguruma, the ranks of tiktoken by Rust; both know signs
 * that JavaScript lacks or takes otherwise: `\h`, `\s`, `$`, `a++`, `[[:alpha:]]`.
 * https://github.com/kkos/oniguruma/blob/master/doc/RE https://docs.rs/fancy-regex
 */
import { toRegExpDetails } from "oniguruma-to-es";

/** What is the same in neither engine, or not yet translated right: refused, never guessed. */
const REFUSED: [RegExp, string][] = [
  [/^\\[1-9k]/, "a reference to a group"],
  [/^\\g/, "a call of a group"],
  [/^\\[GKXyY]/, "an anchor or cluster that JavaScript has no sign for"],
  [/^\\[pP]\{\^?word\}/i, "a property; \\w says the same"],
];

/** One sign of a pattern: an escape, or a character. */
const SIGN = /\[:\^?\w+:\]|\\[pP]\{[^}]*\}|\\[^]|[^]/gu;

/**
 * A pattern of Oniguruma's in JavaScript. What it leaves out is found, too, as the group `gap`, so that the matches lie side by
 * side.
 *
 * @param pattern as in a tokenizer.json
 * @returns for use with `lastIndex`; where it finds nothing at all, the character there belongs to the next gap
 * @throws SyntaxError naming the pattern, and what in it is wrong or not supported
 * @example translatePattern("\\h+") // /(?:\p{AHex}+)|(?<gap>…)/gu
 */
export function translatePattern(pattern: string): RegExp {
  findPattern(pattern); // alone, so that a half of it cannot borrow from what is put around it
  return translate(pattern, `(?:${pattern})|(?<gap>\\O(?:(?!${pattern})\\O)*)`);
}

/**
 * A pattern of Oniguruma's in JavaScript, as it is.
 *
 * @throws SyntaxError naming the pattern, and what in it is wrong or not supported
 */
export function findPattern(pattern: string): RegExp {
  return translate(pattern, `(?:${pattern})`);
}

function translate(pattern: string, whole: string): RegExp {
  try {
    if (pattern === "") throw new Error("is empty");
    refuse(pattern, REFUSED);
    refuseManyLetterCases(pattern);
    // The last branch never matches. Its letter keeps the library from ignoring case everywhere because of one `(?i:…)`.
    return toJavaScript(`${withWords(whole)}|(?!)a`);
  } catch (error) {
    throw new SyntaxError(`pattern ${JSON.stringify(pattern)}: ${(error as Error).message}`);
  }
}

/** A letter of a word for Oniguruma: outside a class, also six signs of Latin-1. */
const WORD = "[:word:]²³¹¼½¾";

/** What these signs are in a pattern, in words that the library reads as Oniguruma does. */
const WORDS: Record<string, string> = {
  "\\w": `[${WORD}]`,
  "\\W": `[^${WORD}]`,
  "\\b": `(?:(?<=[${WORD}])(?![${WORD}])|(?<![${WORD}])(?=[${WORD}]))`,
  "\\B": `(?:(?<=[${WORD}])(?=[${WORD}])|(?<![${WORD}])(?![${WORD}]))`,
};
const WORDS_IN_CLASS: Record<string, string> = { "\\w": "[:word:]", "\\W": "[:^word:]" };

function withWords(pattern: string): string {
  let depth = 0;
  return pattern.replace(SIGN, (sign) => {
    if (sign === "[") depth++;
    if (sign === "]") depth--;
    return (depth > 0 ? WORDS_IN_CLASS : WORDS)[sign] ?? sign;
  });
}

/** ES2018 has no sets within sets, ES2024 has. V8 15 forgets where `(?i:…)` ends under the flag v, so ES2025 will not do. */
function toJavaScript(pattern: string): RegExp {
  try {
    return regExp(pattern, "ES2018");
  } catch {
    return regExp(pattern, "ES2024");
  }
}

function regExp(source: string, target: "ES2018" | "ES2024"): RegExp {
  const { pattern, flags } = toRegExpDetails(source, { target, accuracy: "strict" });
  return new RegExp(pattern, `${flags}g`);
}

function refuse(pattern: string, refused: [RegExp, string][]): void {
  for (const [sign] of pattern.matchAll(SIGN)) {
    const found = refused.find(([is]) => is.test(sign));
    if (found) throw new Error(`${sign} is not supported: ${found[1]}`);
  }
}

/** Without regard to case, `ss` is ß for Oniguruma and two letters for JavaScript, and ς is σ. */
function refuseManyLetterCases(pattern: string): void {
  if (!/\(\?\w*i/.test(pattern)) return;
  const plain = pattern.replace(/\\u([\da-f]{4})|\\x\{([\da-f]+)\}/gi, (_, four, more) => {
    return String.fromCodePoint(parseInt(four ?? more, 16));
  });
  const lower = plain.toLowerCase();
  const found = (odd ??= oddCases()).find((letters) =>
    lower.includes(letters) || plain.includes(letters)
  );
  if (found) throw new Error(`"${found}" beside (?i) is not supported: it has more cases than two`);
}

let odd: string[] | undefined;

/** The letters that have more cases than two, but for ASCII, and the texts that are one letter in another case, such as "ss". */
function oddCases(): string[] {
  const several: string[] = ["ẞ"], groups = new Map<string, string[]>();
  for (let code = 0; code <= 0xffff; code++) {
    const letter = String.fromCharCode(code), folded = letter.toUpperCase().toLowerCase();
    if (folded.length > 1 && folded !== letter) several.push(folded, letter);
    else if (folded !== letter) groups.set(folded, [...groups.get(folded) ?? [folded], letter]);
  }
  const odd = [...groups.values()].filter(({ length }) => length > 2).flat();
  return [...several, ...odd.filter((letter) => letter > "\x7f")];
}

/** What Rust's engine means otherwise than Oniguruma. */
const OTHERWISE: [RegExp, string][] = [
  [/^\\[wWbB]$|^\[.*\\[wW]/s, "Rust counts other characters as letters of a word"],
  [/^\[.*\[/s, "in a class, write \\[ for the sign, and no class of ASCII"],
  [/^\[.*(--|~~)/s, "in a class, Rust subtracts"],
  [/^\(\?-?[a-hj-wyzA-Z]/, "a flag, or a name, that Oniguruma writes otherwise"],
  [/^\)\{/, "a group that gives nothing back: write (?>…)"],
];

/** A sign of Rust's, a whole class being one, and `{1,3}+` behind it. */
const ATOM =
  /(\\[pP]\{[^}]*\}|\\x\{[^}]*\}|\\[^]|\[\^?\]?(?:\\[^]|[^\]\\])*\]|\(\?[^]?[^]?|[^])(\{\d*,?\d*\}\+)?/gu;

/**
 * A pattern of Rust's (tiktoken's `pat_str`) as Oniguruma writes it: `$` is the end of the text, not of a line, and `{1,3}+` gives
 * nothing back.
 *
 * @throws SyntaxError naming what the two engines read differently
 * @example oniguruma("\\p{N}{1,3}+|\\s+$") // "(?>\\p{N}{1,3})|\\s+\\z"
 */
export function oniguruma(rust: string): string {
  return rust.replace(ATOM, (all: string, atom: string, repetition?: string) => {
    const found = OTHERWISE.find(([is]) => is.test(all));
    if (found) {
      throw new SyntaxError(
        `pattern ${JSON.stringify(rust)}: ${all} is not supported: ${found[1]}`,
      );
    }
    const same = { "^": "\\A", "$": "\\z" }[atom] ?? atom;
    return repetition ? `(?>${same}${repetition.slice(0, -1)})` : same;
  });
}
