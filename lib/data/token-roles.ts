/** Which tokens begin, end and fill texts: files of other programs say it, a name gives it away, or the caller names them. */
import type { AddedToken } from "./added-tokens.ts";

/** The parts that a token can play. */
export const ROLES = ["bos", "eos", "pad", "unk"] as const;
/** A part that a token can play: the first of a text, the last, what fills up, what stands for the unknown. */
export type Role = typeof ROLES[number];
/** The ids of the tokens that play a part; several can end a text. */
export type TokenRoles = { [role in Role]?: number[] };
/** The same, as callers name it: texts of tokens, or ids. */
export type NamedRoles = { [role in Role]?: string | number | readonly (string | number)[] };

/** An added token that says which parts it plays. Python's tokenizers overlooks the field. */
type WithRoles = AddedToken & { roles?: readonly Role[] };

/** What each role is usually called, the likeliest first. */
const USUAL: Record<Role, RegExp[]> = {
  eos: [
    /^<\|endoftext\|>$/,
    /eos|^<\/s>$/i,
    /end_?of_?(text|doc)/i,
    /^\W*(end|eot|eod)\W*$/i,
    /im_end/,
  ],
  bos: [/bos|^<s>$/i, /begin_?of_?(text|doc)|startoftext/i],
  pad: [/\bpad\b|<pad/i],
  unk: [/\bunk\b|<unk/i],
};

/** A name that says of a token that it ends no text. */
const NO_END = /pad|bos|begin|start|unk|mask|user|system|assistant|^<s>$/i;

/**
 * The parts that tokens play: as the caller says, else as their file says, else as their names say. A text begins with the token
 * that ends one, if there is no other.
 *
 * @param named by the caller
 * @throws RangeError naming a token that is not there
 */
export function rolesOf(tokens: readonly AddedToken[], named: NamedRoles = {}): TokenRoles {
  const roles: TokenRoles = {};
  for (const role of ROLES) {
    const ids = named[role] === undefined
      ? idsWith(tokens, role)
      : idsNamed(tokens, role, named[role]);
    if (ids.length > 0) roles[role] = ids;
  }
  if (roles.eos && !roles.bos) roles.bos = roles.eos.slice(0, 1);
  return roles;
}

function idsNamed(
  tokens: readonly AddedToken[],
  role: Role,
  named: NonNullable<NamedRoles[Role]>,
): number[] {
  return [named].flat().map((name) => {
    if (typeof name === "number") return name;
    const token = tokens.find(({ content }) => content === name);
    if (token) return token.id;
    const known = tokens.map(({ content }) => content).join(", ") || "none";
    throw new RangeError(
      `${role} must be a special token of this tokenizer (${known}), got "${name}"`,
    );
  });
}

function idsWith(tokens: readonly WithRoles[], role: Role): number[] {
  const told = tokens.filter(({ roles }) => roles?.includes(role));
  if (told.length > 0) return told.map(({ id }) => id);
  const isTold = tokens.some(({ roles }) => roles !== undefined);
  return isTold ? [] : guessed(tokens.filter(({ special }) => special), role);
}

function guessed(specials: readonly AddedToken[], role: Role): number[] {
  const usual = USUAL[role].map((is) => specials.find(({ content }) => is.test(content)));
  const only = role === "eos" && specials.length === 1 && !NO_END.test(specials[0].content);
  const found = usual.find((token) => token !== undefined) ?? (only ? specials[0] : undefined);
  return found ? [found.id] : [];
}

/**
 * The parts that the files of a folder give to tokens: generation_config.json first, then config.json, tokenizer_config.json and
 * special_tokens_map.json.
 *
 * @param files their contents, undefined where there is no such file
 * @param tokens those that the names in the files mean
 */
export function rolesInFiles(
  files: readonly (Record<string, unknown> | undefined)[],
  tokens: readonly { id: number; content: string }[],
): TokenRoles {
  const roles: TokenRoles = {};
  for (const role of ROLES) {
    const found = files.map((file) => idsIn(file ?? {}, role, tokens)).find((ids) =>
      ids.length > 0
    );
    if (found) roles[role] = found;
  }
  return roles;
}

function idsIn(
  file: Record<string, unknown>,
  role: Role,
  tokens: readonly { id: number; content: string }[],
): number[] {
  const ids = [file[`${role}_token_id`] ?? []].flat().filter((id) =>
    Number.isInteger(id)
  ) as number[];
  if (ids.length > 0) return ids;
  const name = contentOf(file[`${role}_token`]);
  return tokens.filter(({ content }) => content === name).map(({ id }) => id);
}

/** `"</s>"`, or an object of which it is the content. */
export function contentOf(token: unknown): unknown {
  return typeof token === "object" && token !== null
    ? (token as { content?: unknown }).content
    : token;
}

/** The same tokens, each with the parts that it plays. */
export function withRoles<T extends { id: number }>(tokens: readonly T[], roles: TokenRoles): T[] {
  return tokens.map((token) => {
    const played = ROLES.filter((role) => roles[role]?.includes(token.id));
    return { ...token, roles: played };
  });
}

/** The same tokens as other programs write them, without their parts. */
export function withoutRoles(tokens: readonly WithRoles[]): AddedToken[] {
  return tokens.map(({ roles: _, ...token }) => token);
}
