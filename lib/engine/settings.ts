/**
 * Settings that people give by name. A table says what each may be; what is not in the table, or not allowed, is refused in words
 * that name the setting, its value and what is allowed. A setting that is `undefined` was not given.
 */

/** What a setting may be. */
export interface Rule {
  /** In words, after "must be". */
  allowed: string;
  holds(value: unknown): boolean;
}

/** A rule for each setting. */
export type Rules<T> = { [name in keyof T]-?: Rule };

/** For each setting what it may be and, unless it must be given, its default. Both may depend on the settings above it. */
export type Table<T> = {
  [name in keyof T]-?: [
    rule: Rule | ((above: T) => Rule),
    fallback?: T[name] | ((above: T) => T[name]),
  ];
};

/** A whole number of at least `least`, and at most `most`. */
function whole(least: number, most = Infinity): Rule {
  return {
    allowed: most === Infinity
      ? `a whole number of at least ${least}`
      : `a whole number from ${least} to ${most}`,
    holds: (value) => Number.isSafeInteger(value) && isBetween(value as number, least, most),
  };
}

function isBetween(value: number, least: number, most: number): boolean {
  return least <= value && value <= most;
}

/** Any whole number that JavaScript can tell from its neighbours. */
const integer: Rule = { allowed: "an integer", holds: Number.isSafeInteger };

/**
 * A number in a range, in the notation of mathematics.
 *
 * @param range for example "[0, 1)", or "(0, ∞)", which wants a finite number
 * @param hint what is worth knowing about a value
 */
function number(range: string, hint?: string): Rule {
  const [low, high] = range.slice(1, -1).split(", ").map((end) =>
    Number(end.replace("∞", "1e999"))
  );
  const isAbove = (value: number) => range.startsWith("[") ? value >= low : value > low;
  const isBelow = (value: number) => range.endsWith("]") ? value <= high : value < high;
  const words = range.endsWith("∞)")
    ? `a finite number ${range.startsWith("[") ? "≥" : ">"} ${low}`
    : `in ${range}`;
  return {
    allowed: hint ? `${words} (${hint})` : words,
    holds: (value) => typeof value === "number" && isAbove(value) && isBelow(value),
  };
}

/** Two numbers in a range. */
function pair(range: string): Rule {
  const { holds } = number(range);
  return {
    allowed: `two numbers in ${range}`,
    holds: (value) =>
      Array.isArray(value) && value.length === 2 && [0, 1].every((i) => holds(value[i])),
  };
}

/** A divisor of another setting. */
function divisorOf(name: string, n: number): Rule {
  return {
    get allowed() {
      const all = divisors(n), shown = all.slice(0, 30).join(", ");
      return `a divisor of ${name} ${n} (${shown}${all.length > 30 ? " …" : ""})`;
    },
    holds: (value) => Number.isInteger(value) && value as number > 0 && n % (value as number) === 0,
  };
}

function divisors(n: number): number[] {
  const small = Array.from({ length: Math.floor(Math.sqrt(n)) }, (_, i) => i + 1);
  const found = small.filter((d) => n % d === 0);
  return [...new Set([...found, ...found.map((d) => n / d)])].sort((a, b) => a - b);
}

/** One of some texts. */
function oneOf(...texts: string[]): Rule {
  return {
    allowed: texts.map(quoted).join(" or "),
    holds: (value) => texts.includes(value as string),
  };
}

/** true or false. */
const flag: Rule = {
  allowed: "true or false",
  holds: (value) => typeof value === "boolean",
};

/** A path, or a file URL. */
const folderName: Rule = {
  allowed: "the name of a folder",
  holds: (value) => value instanceof URL || (typeof value === "string" && value !== ""),
};

/** Something that can do something: a source of chance has the method `uniform`. */
function having(method: PropertyKey, allowed: string): Rule {
  const can = (value: unknown) =>
    typeof (value as Record<PropertyKey, unknown>)[method] === "function";
  return { allowed, holds: (value) => value !== null && value !== undefined && can(value) };
}

/** What there is to choose from for a table: `setting.whole(1)`, `setting.number("[0, 1)")`. */
export const setting = {
  whole,
  integer,
  number,
  pair,
  divisorOf,
  oneOf,
  flag,
  folderName,
  having,
};

/**
 * Checks the settings that are given; any may be left out.
 *
 * @throws RangeError naming a setting that does not exist and the nearest that does, or a setting, its value and what is allowed
 */
export function checkSettings<T extends object>(given: T, rules: Rules<T>): void {
  refuseUnknown(given, Object.keys(rules));
  for (const [name, value] of Object.entries(given)) {
    if (value !== undefined) requireSetting(name, value, rules[name as keyof T]);
  }
}

/**
 * All settings that some mean, in the table's order.
 *
 * @throws RangeError as `checkSettings` does; also if a setting without a default is not given
 */
export function completeSettings<T extends object>(given: Partial<T>, table: Table<T>): T {
  const names = Object.keys(table) as (keyof T & string)[];
  refuseUnknown(given, names);
  const settings = {} as T;
  for (const name of names) {
    const [rule, fallback] = table[name].map((part) => resolved(part, settings));
    const value = given[name] === undefined ? fallback : given[name];
    requireSetting(name, value, rule as Rule);
    settings[name] = value as T[typeof name];
  }
  return settings;
}

function resolved<T>(part: unknown, above: T): unknown {
  return typeof part === "function" ? part(above) : part;
}

/** @throws RangeError naming the setting, its value and what is allowed, unless it is */
export function requireSetting(name: string, value: unknown, { allowed, holds }: Rule): void {
  if (!holds(value)) throw new RangeError(`${name} must be ${allowed}, got ${quoted(value)}`);
}

function refuseUnknown(given: unknown, known: string[]): void {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new RangeError(`settings must be an object, got ${quoted(given)}`);
  }
  const unknown = Object.keys(given).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const near = nearest(unknown, known);
  const words = near ? `did you mean ${near}?` : `there is ${known.join(", ")}`;
  throw new RangeError(`there is no setting "${unknown}": ${words}`);
}

/** The one of `known` that somebody meant who wrote `name`, if one is near. */
export function nearest(name: string, known: string[]): string | undefined {
  const plain = (word: string) => word.toLowerCase().replace(/[^a-z]/g, "");
  const found = known.map((one) => ({ one, far: distance(plain(name), plain(one)) }))
    .sort((a, b) => a.far - b.far)[0];
  return found?.far <= Math.max(1, name.length / 3) ? found.one : undefined;
}

/** Levenshtein's distance: how many letters must be added, dropped or changed. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (const [i, letter] of [...a].entries()) {
    const above = row;
    row = [i + 1];
    for (const [j, other] of [...b].entries()) {
      row.push(Math.min(row[j] + 1, above[j + 1] + 1, above[j] + (letter === other ? 0 : 1)));
    }
  }
  return row[b.length];
}

/** A value as people would write it. */
export function quoted(value: unknown): string {
  if (Array.isArray(value)) return `[${Array.from(value, quoted)}]`;
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "function") return "a function";
  return typeof value === "object" && value !== null ? "an object" : String(value);
}
