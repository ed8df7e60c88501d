/** The added tokens of a tokenizer.json: found in a text before it is cut into words, as Hugging Face's tokenizers finds them. */
import { WORD } from "./pre-tokenizer.ts";
import { demand, demandId, type Fields, fields, list, shown } from "./fields.ts";

/** A token beside the vocabulary's own, as it stands in a tokenizer.json. */
export interface AddedToken {
  id: number;
  content: string;
  /** Found only where no letter or digit touches it. */
  single_word: boolean;
  /** Takes in the blanks before it. */
  lstrip: boolean;
  /** Takes in the blanks behind it. */
  rstrip: boolean;
  /** Looked for after the normalizer, in the text that it made. */
  normalized: boolean;
  /** Stands for no text: refused in a text unless the caller allows it, left out by Python's `skip_special_tokens`. */
  special: boolean;
}

const FLAGS = ["single_word", "lstrip", "rstrip", "normalized", "special"] as const;

/** The token that a special one is, if it is made by hand: every flag false, but `special`. */
export function specialToken(content: string, id: number): AddedToken {
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  return { id, content, ...flags, special: true };
}

/**
 * The list `added_tokens` of a tokenizer.json.
 *
 * @param vocab ids by name, of the vocabulary
 * @throws TokenizerFormatError naming the token, and what is wrong with it; also if Python's tokenizers would give it another id
 */
export function readAddedTokens(value: unknown, vocab: ReadonlyMap<string, unknown>): AddedToken[] {
  const tokens: AddedToken[] = [];
  const names = new Set<string>(), ids = new Set(vocab.values());
  let next = vocab.size;
  for (const entry of list(value ?? [], "added_tokens")) {
    const token = readAddedToken(fields(entry, "each of added_tokens"));
    const { content, id } = token;
    demand(!names.has(content), `added token ${shown(content)} is there twice`);
    const given = vocab.get(content) ?? next;
    demand(
      given === id,
      `added token ${shown(content)} has id ${id}, but Python's tokenizers gives it ${given}`,
    );
    demand(
      vocab.has(content) || !ids.has(id),
      `added token ${shown(content)} has the id of another, ${id}`,
    );
    names.add(content);
    if (id >= vocab.size) next = Math.max(next, id + 1);
    tokens.push(token);
  }
  return tokens;
}

function readAddedToken(entry: Fields): AddedToken {
  const { id, content } = entry;
  demand(typeof content === "string" && content !== "", "added_tokens: content must be a text");
  demandId(id, content);
  for (const flag of FLAGS) {
    const value = entry[flag];
    demand(
      typeof value === "boolean",
      `added token ${shown(content)}: ${flag} must be true or false, got ${shown(value)}`,
    );
  }
  return entry as unknown as AddedToken;
}

/** What `AddedTokens.split` finds: text between tokens, or a token. */
export type Part = string | AddedToken;

/** Finds added tokens. */
export class AddedTokens {
  readonly #passes: { byText: Map<string, AddedToken>; pattern: RegExp }[];

  /** @param normalize what the normalizer makes of a text; nothing unless given */
  constructor(
    readonly tokens: readonly AddedToken[],
    readonly normalize: (text: string) => string = (text) => text,
  ) {
    this.#passes = [false, true].map((late) => {
      const found = tokens.filter(({ normalized }) => normalized === late);
      const byText = new Map(found.map((token) => [this.textOf(token), token]));
      return { byText, pattern: anyOf([...byText.keys()]) };
    });
  }

  /** The text that a token is. */
  textOf({ content, normalized }: AddedToken): string {
    return normalized ? this.normalize(content) : content;
  }

  /**
   * Cuts a text into added tokens and what is between them, normalized.
   *
   * @param isRead whether a special token is one here, not text
   */
  split(text: string, isRead: (special: string) => boolean): Part[] {
    if (this.tokens.length === 0) return text === "" ? [] : [this.normalize(text)];
    const [raw, late] = this.#passes;
    return findIn(text, raw, isRead).flatMap((part) =>
      typeof part === "string" ? findIn(this.normalize(part), late, isRead) : [part]
    );
  }

  /** The special tokens that are in a text, by their names. */
  specialsIn(text: string): string[] {
    return this.split(text, () => true).flatMap((part) =>
      typeof part !== "string" && part.special ? [part.content] : []
    );
  }
}

/** The longest first: where several begin at one place, that one counts. */
function anyOf(texts: string[]): RegExp {
  const longestFirst = texts.toSorted((a, b) => b.length - a.length);
  return new RegExp(
    longestFirst.map((text) => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join("|") || "(?!)",
    "gu",
  );
}

/** After `find_matches` of https://github.com/huggingface/tokenizers/blob/main/tokenizers/src/tokenizer/added_vocabulary.rs */
function findIn(
  text: string,
  { byText, pattern }: { byText: Map<string, AddedToken>; pattern: RegExp },
  isRead: (special: string) => boolean,
): Part[] {
  const parts: Part[] = [];
  let end = 0;
  for (const { 0: content, index } of text.matchAll(pattern)) {
    const token = byText.get(content)!, after = index + content.length;
    if (token.special && !isRead(token.content)) continue;
    if (token.single_word && touchesWord(text, index, after)) continue;
    const start = token.lstrip ? Math.max(end, blanksBefore(text, index)) : index;
    if (start > end) parts.push(text.slice(end, start));
    parts.push(token);
    end = token.rstrip ? blanksBehind(text, after) : after;
  }
  if (end < text.length) parts.push(text.slice(end));
  return parts;
}

function touchesWord(text: string, start: number, end: number): boolean {
  const before = text.slice(Math.max(0, start - 2), start), after = text.slice(end, end + 2);
  return new RegExp(`${WORD}$`, "u").test(before) || new RegExp(`^${WORD}`, "u").test(after);
}

function blanksBefore(text: string, at: number): number {
  while (at > 0 && BLANK.test(text[at - 1])) at--;
  return at;
}

function blanksBehind(text: string, at: number): number {
  while (at < text.length && BLANK.test(text[at])) at++;
  return at;
}

const BLANK = /\p{White_Space}/u;
