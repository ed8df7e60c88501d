/** The post_processor of a tokenizer.json: the special tokens that are put around the ids of a text. */
import { demand, type Fields, fields, list, shown } from "./fields.ts";

/** What the ids of a text become. */
export type PostProcess = (ids: number[]) => number[];

/**
 * Reads a post_processor.
 *
 * @throws TokenizerFormatError naming what is not supported
 */
export function readPostProcessor(value: unknown): PostProcess {
  if (value === null || value === undefined) return (ids) => ids;
  const processor = fields(value, "post_processor");
  switch (processor.type) {
    case "ByteLevel": // moves offsets only
      return (ids) => ids;
    case "Sequence":
      return inTurn(list(processor.processors, "post_processor.processors").map(readPostProcessor));
    case "RobertaProcessing":
    case "BertProcessing":
      return around(idOf(processor.cls, "cls"), idOf(processor.sep, "sep"));
    case "TemplateProcessing":
      return readTemplate(processor);
  }
  demand(false, `post_processor of type ${shown(processor.type)} is not supported`);
}

function inTurn(steps: PostProcess[]): PostProcess {
  return (ids) => steps.reduce((ids, step) => step(ids), ids);
}

function around(before: number, after: number): PostProcess {
  return (ids) => [before, ...ids, after];
}

/** `["</s>", 2]` */
function idOf(value: unknown, name: string): number {
  const [, id] = list(value, `post_processor.${name}`);
  demand(Number.isInteger(id), `post_processor.${name} must be a token and its id`);
  return id as number;
}

function readTemplate({ single, special_tokens }: Fields): PostProcess {
  const specials = fields(special_tokens, "post_processor.special_tokens");
  const parts = list(single, "post_processor.single").map((piece) =>
    readPiece(fields(piece, "each of post_processor.single"), specials)
  );
  return (ids) => parts.flatMap((part) => part ?? ids);
}

/** @returns the ids of a special token, or undefined where the text's own stand */
function readPiece(piece: Fields, specials: Fields): number[] | undefined {
  if (piece.Sequence !== undefined) return undefined;
  const { id } = fields(piece.SpecialToken, "each of post_processor.single");
  const { ids } = fields(specials[id as string], `post_processor.special_tokens.${id}`);
  demand(
    list(ids, `the ids of ${shown(id)}`).every(Number.isInteger),
    `the ids of ${shown(id)} must be whole numbers`,
  );
  return ids as number[];
}
