/** The normalizer of a tokenizer.json: what a text becomes before it is cut. */
import { demand, demandKnown, type Fields, fields, list, shown } from "./fields.ts";

/** What a text becomes. */
export type Normalize = (text: string) => string;

/**
 * Reads a normalizer.
 *
 * @returns undefined where there is none, so that the text stays as it is
 * @throws TokenizerFormatError naming the kind that is not supported
 */
export function readNormalizer(value: unknown): Normalize | undefined {
  if (value === null || value === undefined) return undefined;
  const steps = stepsOf(fields(value, "normalizer")).map(stepOf);
  return steps.length === 0 ? undefined : (text) => steps.reduce((text, step) => step(text), text);
}

function stepsOf(normalizer: Fields): Fields[] {
  if (normalizer.type !== "Sequence") return [normalizer];
  return list(normalizer.normalizers, "normalizer.normalizers").flatMap((step) =>
    stepsOf(fields(step, "each of normalizer.normalizers"))
  );
}

function stepOf(step: Fields): Normalize {
  const { type } = step;
  demandKnown(step, ["type"], `normalizer ${shown(type)}`);
  if (type === "Lowercase") return lowercase;
  const isForm = type === "NFC" || type === "NFD"; // the tables for NFKC and NFKD are of another Unicode there
  demand(isForm, `normalizer of type ${shown(type)} is not supported`);
  return (text) => text.normalize(type);
}

/** Letter by letter: at the end of a word, JavaScript alone makes Σ a ς. */
function lowercase(text: string): string {
  return text.replace(/Σ/g, "σ").toLowerCase();
}
