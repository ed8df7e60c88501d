/** The book's own solutions, spoilt: what they return is NaN where it was a number. */
import type { Cell } from "tools/notebook.ts";

/** Which numbers of a result become NaN. */
export type Spoilt = "all" | "first" | "rest" | { field: string };

/** Fields of results that are objects, by solution cell. */
export const FIELDS: Record<string, string[]> = {
  "absorb-block": ["max", "sum", "total"],
  "ex-norm-gradient": ["x", "gain", "bias"],
  "next-token-batch": ["inputs", "targets"],
  "adamw-step": ["weight", "m", "v"],
  "keep-top-k": ["id", "probability"],
  "keep-top-p": ["id", "probability"],
};

/** Source of a solution cell that computes what the book's does, and gives it back spoilt. */
export function spoiltSource({ source, id }: Cell, spoilt: Spoilt): string {
  const [, kind, name] = /^export (function|class) (\w+)|^(?:function) \w+/m.exec(source) ??
    [];
  const own = name ?? /^function (\w+)/m.exec(source)![1];
  const book = `theBook${own}`;
  const spoil = `spoil${id.replaceAll(/\W/g, "")}`;
  const copy = source.replace(
    new RegExp(`^(export )?(function|class) ${own}\\b`, "m"),
    `$2 ${book}`,
  );
  const wrapper = kind === "class"
    ? `export class ${own} extends ${book} {
  override forward(...given: any[]): any {
    return ${spoil}((super.forward as any)(...given));
  }
}`
    : `${name ? "export " : ""}function ${own}(...given: any[]): any {
  return ${spoil}((${book} as any)(...given));
}`;
  return `${copy}\n${wrapper}\n${helper(spoil, spoilt, source.includes("tf."))}`;
}

function helper(spoil: string, spoilt: Spoilt, hasTensors: boolean): string {
  const isHit = spoilt === "first" ? "at === 0" : spoilt === "rest" ? "at > 0" : "true";
  const isOn = typeof spoilt === "object" ? `key === ${JSON.stringify(spoilt.field)}` : "true";
  const tensors = `
  if (value.dataSync) {
    const factors = Array.from({ length: value.size }, (_, at) => ${isHit} ? NaN : 1);
    return isOn ? value.mul(tf.tensor(factors, value.shape)) : value;
  }`;
  return `function ${spoil}(value: any, key = "", at = 0, isOn = ${isOn}): any {
  if (typeof value === "number") return isOn && (${isHit}) ? NaN : value;
  if (typeof value === "function") return (...given: any[]) => ${spoil}(value(...given));
  if (typeof value !== "object" || value === null) return value;${hasTensors ? tensors : ""}
  if (value instanceof Map) {
    return new Map([...value].map(([name, one], i) => [name, ${spoil}(one, key, i)]));
  }
  if (Array.isArray(value) || ArrayBuffer.isView(value)) {
    return (value as any).map((one: any, i: number) => ${spoil}(one, key, i));
  }
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [name, ${spoil}(one, name, at)]),
  );
}`;
}
