/**
 * The pre_tokenizer of a tokenizer.json: what cuts a text into words.
 * https://github.com/huggingface/tokenizers/tree/main/tokenizers/src/pre_tokenizers
 */
import {
  demand,
  demandKnown,
  type Fields,
  fields,
  list,
  shown,
  TokenizerFormatError,
} from "./fields.ts";
import { findPattern } from "./regex.ts";

/** Rust's letter of a word, which is not JavaScript's `\w`. */
export const WORD = String.raw`[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]`;

/** Cuts a piece of text into smaller ones. */
export type Cut = (text: string) => string[];

/** What cuts a text. */
export interface PreTokenizer {
  /** The pattern, if a pattern is all there is to it, and nothing of the text is left out. */
  pattern?: string;
  cut: Cut;
}

/**
 * Reads a pre_tokenizer whose last step is ByteLevel.
 *
 * @param gpt2 the pattern that ByteLevel has of its own
 * @throws TokenizerFormatError naming what is not supported
 */
export function readPreTokenizer(value: unknown, gpt2: string): PreTokenizer {
  const all = stepsOf(fields(value, "pre_tokenizer"));
  const kinds = all.map(({ type }) => type);
  demand(
    kinds.indexOf("ByteLevel") === kinds.length - 1,
    `pre_tokenizer must end in its only ByteLevel, got ${kinds.map(shown).join(", ")}`,
  );
  const steps = all.flatMap((step) => readStep(step, gpt2) ?? []);
  const cut = (text: string) => steps.reduce((pieces, { cut }) => pieces.flatMap(cut), [text]);
  return { cut, pattern: steps.length === 1 ? steps[0].pattern : undefined };
}

function stepsOf(preTokenizer: Fields): Fields[] {
  if (preTokenizer.type !== "Sequence") return [preTokenizer];
  return list(preTokenizer.pretokenizers, "pretokenizers").flatMap((step) =>
    stepsOf(fields(step, "a pretokenizer"))
  );
}

/** @returns undefined if the step cuts nothing */
function readStep(step: Fields, gpt2: string): PreTokenizer | undefined {
  const name = `pre_tokenizer ${shown(step.type)}`;
  const known = FIELDS[step.type as string];
  demand(known !== undefined, `${name} is not supported`);
  demandKnown(step, ["type", ...known], name);
  switch (step.type) {
    case "ByteLevel":
      demand(
        step.add_prefix_space === false,
        `${name}: add_prefix_space must be false, got ${shown(step.add_prefix_space)}`,
      );
      return step.use_regex === false ? undefined : isolated(gpt2);
    case "Split":
      return readSplit(step);
    case "Digits":
      return only(splitter(/\p{N}/gu, step.individual_digits ? "Isolated" : "Contiguous"));
    case "Punctuation":
      return only(splitter(PUNCTUATION, behaviorOf(step.behavior ?? "Isolated")));
    case "BertPreTokenizer":
      return only((text) =>
        splitter(BLANK, "Removed")(text).flatMap(splitter(PUNCTUATION, "Isolated"))
      );
    case "WhitespaceSplit":
      return only(splitter(BLANK, "Removed"));
    default:
      return only(splitter(WORD_OR_NOT, "Removed", true));
  }
}

/** What each kind of step may say. */
const FIELDS: Record<string, readonly string[] | undefined> = Object.assign(Object.create(null), {
  ByteLevel: ["add_prefix_space", "trim_offsets", "use_regex"],
  Split: ["pattern", "behavior", "invert"],
  Digits: ["individual_digits"],
  Punctuation: ["behavior"],
  BertPreTokenizer: [],
  Whitespace: [],
  WhitespaceSplit: [],
});

const BLANK = /\p{White_Space}/gu;
/** What became punctuation in Unicode after the tables that Hugging Face's tokenizers has for it, and what it was in them. */
const LATER = String
  .raw`\u061d\u09fd\u0a76\u0c77\u0c84\u1b4e\u1b4f\u1b7d-\u1b7f\u2e43-\u2e4f\u2e52-\u2e5d\u{10d6e}\u{10ead}\u{10f55}-\u{10f59}\u{10f86}-\u{10f89}` +
  String
    .raw`\u{113d4}\u{113d5}\u{113d7}\u{113d8}\u{1144b}-\u{1144f}\u{1145a}\u{1145b}\u{1145d}\u{11660}-\u{1166c}\u{116b9}\u{1183b}\u{11944}-\u{11946}\u{119e2}\u{11a3f}-\u{11a46}\u{11a9a}-\u{11a9c}\u{11a9e}-\u{11aa2}\u{11b00}-\u{11b09}\u{11be1}` +
  String
    .raw`\u{11c41}-\u{11c45}\u{11c70}\u{11c71}\u{11ef7}\u{11ef8}\u{11f43}-\u{11f4f}\u{11fff}\u{12ff1}\u{12ff2}\u{16d6d}-\u{16d6f}\u{16e97}-\u{16e9a}\u{16fe2}\u{1e5ff}\u{1e95e}\u{1e95f}`;
const EARLIER = String.raw`\u166d\u{111c9}`;
const PUNCTUATION = new RegExp(`(?![${LATER}])[\\p{P}$+<=>^\`|~${EARLIER}]`, "gu");
const WORD_OR_NOT = new RegExp(`${WORD}+|(?:(?!${WORD})\\P{White_Space})+`, "gu");

function only(cut: Cut): PreTokenizer {
  return { cut };
}

function isolated(pattern: string): PreTokenizer {
  return { pattern, cut: splitter(findPattern(pattern), "Isolated") };
}

function readSplit({ pattern, behavior, invert }: Fields): PreTokenizer {
  const { Regex, String: text, ...more } = fields(pattern, "the Split pattern");
  const source = typeof Regex === "string" ? Regex : escaped(text);
  demandKnown(more, [], "the Split pattern");
  const find = compiled(source), how = behaviorOf(behavior);
  demand(
    typeof invert === "boolean",
    `the Split's invert must be true or false, got ${shown(invert)}`,
  );
  return how === "Isolated" ? isolated(source) : only(splitter(find, how, invert));
}

function escaped(text: unknown): string {
  demand(typeof text === "string" && text !== "", "the Split pattern must be a Regex or a String");
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

function compiled(source: string): RegExp {
  try {
    return findPattern(source);
  } catch (error) {
    throw new TokenizerFormatError(
      `the Split pattern must be a Regex that can be read: ${(error as Error).message}`,
    );
  }
}

const BEHAVIORS = [
  "Removed",
  "Isolated",
  "MergedWithPrevious",
  "MergedWithNext",
  "Contiguous",
] as const;
/** What becomes of a match. */
type Behavior = typeof BEHAVIORS[number];

function behaviorOf(value: unknown): Behavior {
  const behavior = BEHAVIORS.find((behavior) => behavior === value);
  demand(
    behavior !== undefined,
    `behavior must be one of ${BEHAVIORS.join(", ")}, got ${shown(value)}`,
  );
  return behavior;
}

/** A match, or what is between two. */
interface Piece {
  text: string;
  isMatch: boolean;
}

/** After `NormalizedString::split` of Hugging Face's tokenizers. */
function splitter(find: RegExp, behavior: Behavior, invert = false): Cut {
  return (text) => {
    const pieces = piecesOf(text, find).map(({ text, isMatch }) => ({
      text,
      isMatch: isMatch !== invert,
    }));
    const kept = behavior === "Removed"
      ? pieces.filter(({ isMatch }) => !isMatch)
      : JOIN[behavior](pieces);
    return kept.map(({ text }) => text).filter((text) => text !== "");
  };
}

function piecesOf(text: string, find: RegExp): Piece[] {
  const pieces: Piece[] = [];
  let end = -1;
  for (const { 0: match, index } of text.matchAll(find)) {
    if (match === "" && index === end) continue; // Oniguruma finds nothing right behind something
    const gap = text.slice(Math.max(end, 0), index);
    if (gap) pieces.push({ text: gap, isMatch: false });
    pieces.push({ text: match, isMatch: true });
    end = index + match.length;
  }
  pieces.push({ text: text.slice(Math.max(end, 0)), isMatch: false });
  return pieces;
}

/** Which pieces become one. */
const JOIN: Record<Exclude<Behavior, "Removed">, (pieces: Piece[]) => Piece[]> = {
  Isolated: (pieces) => pieces,
  Contiguous: (pieces) => joined(pieces, (one, next) => one.isMatch === next.isMatch),
  MergedWithPrevious: (pieces) => joined(pieces, (one, next) => !one.isMatch && next.isMatch),
  MergedWithNext: (pieces) => joined(pieces, (one, next) => one.isMatch && !next.isMatch),
};

/** Joins neighbours if they belong together. */
function joined(pieces: Piece[], belong: (one: Piece, next: Piece) => boolean): Piece[] {
  const result: Piece[] = [];
  pieces.forEach((piece, i) => {
    const last = result.at(-1);
    if (last && belong(pieces[i - 1], piece)) last.text += piece.text;
    else result.push({ ...piece });
  });
  return result;
}
