/** Reads a tokenizer.json field by field: what is not as it must be is named. */

/** What cannot be read as a tokenizer; the message says what and where. */
export class TokenizerFormatError extends Error {
  /** This class's name, as error messages show it. */
  override name = "TokenizerFormatError";
}

/** An object of a JSON file. */
export type Fields = Record<string, unknown>;

/** @throws TokenizerFormatError with this problem, unless the condition holds */
export function demand(condition: boolean, problem: string): asserts condition {
  if (!condition) throw new TokenizerFormatError(problem);
}

/** @throws TokenizerFormatError unless the value is an object */
export function fields(value: unknown, name: string): Fields {
  demand(
    typeof value === "object" && value !== null && !Array.isArray(value),
    `${name} must be an object`,
  );
  return value as Fields;
}

/** @throws TokenizerFormatError unless the value is a list */
export function list(value: unknown, name: string): unknown[] {
  demand(Array.isArray(value), `${name} must be a list`);
  return value;
}

/** @throws TokenizerFormatError unless the id is one that a tokenizer can have */
export function demandId(id: unknown, token: string): asserts id is number {
  const isId = typeof id === "number" && Number.isInteger(id) && id >= 0 && id < 2 ** 24;
  demand(isId, `the id of ${JSON.stringify(token)} must be an integer in [0, 2^24), got ${id}`);
}

/** @throws TokenizerFormatError naming the first field that is not among those that are known */
export function demandKnown(object: Fields, known: readonly string[], name: string): void {
  const other = Object.keys(object).find((field) => !known.includes(field));
  demand(other === undefined, `${name}.${other} is not known`);
}

/** A value as a message shows it. */
export function shown(value: unknown): string {
  return JSON.stringify(value)?.slice(0, 80) ?? String(value);
}
