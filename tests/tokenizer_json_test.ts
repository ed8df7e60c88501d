/** Files, patterns and steps of Hugging Face's tokenizers: ours cut, number and read as theirs, or refuse by name. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { readPreTokenizer } from "lib/data/pre-tokenizer.ts";
import { findPattern, oniguruma, translatePattern } from "lib/data/regex.ts";
import { PATTERNS, splitWords, Tokenizer, TokenizerFormatError } from "lib/tokenizer.ts";
import theirs from "./fixtures/tokenizer-json.json" with { type: "json" };

type Fields = Record<string, unknown>;

/** What of theirs is not ours, and the word that the refusal must have. Everything else must be the same. */
const NOT_OURS: Record<string, string> = {
  "added: id out of turn": "gives it 290",
  "added: other id than the vocabulary's": "added token",
  "added: twice": "twice",
  "normalizer StripAccents": "StripAccents",
  "normalizer Prepend": "Prepend",
  "pre_tokenizer prefix space": "add_prefix_space",
  "pre_tokenizer Metaspace": "Metaspace",
  "pre_tokenizer after ByteLevel": "ByteLevel",
  "pre_tokenizer none": "pre_tokenizer",
  "decoder none": "decoder",
  "decoder Fuse": "decoder",
  "model dropout=0.5": "dropout",
};
const NO_PATTERN = [
  "(?i)é|ss",
  "\\X",
  "\\K",
  "\\G.",
  "\\y",
  "(?<n>a)\\k<n>",
  "(\\w)\\1",
  "\\p{Word}+",
]
  .concat(["(?i:st)", "(?~|ab)", "(?i:ss|fi)", "(?{x})"]);

for (
  const { pattern, words, error } of theirs.patterns as {
    pattern: string;
    words?: string[][];
    error?: string;
  }[]
) {
  Deno.test(`pattern ${pattern}: cuts as Oniguruma does, or is refused`, () => {
    if (error !== undefined || NO_PATTERN.includes(pattern)) {
      assertStringIncludes(
        assertThrows(() => translatePattern(pattern), SyntaxError).message,
        JSON.stringify(pattern),
      );
      assertThrows(() => findPattern(pattern), SyntaxError);
      return;
    }
    for (const [i, text] of theirs.texts.entries()) {
      assertEquals(splitWords(text, pattern), words![i], JSON.stringify(text));
    }
  });
}

Deno.test("a pattern that cannot be translated is refused naming the construct", () => {
  const cases = {
    "(a)\\1": "\\1",
    "x\\Kb": "\\K",
    "\\X": "\\X",
    "\\p{^Word}": "\\p{^Word}",
    "(?i:straße)": '"ß"',
    "(oops": "group",
    "": "empty",
  };
  for (const [pattern, named] of Object.entries(cases)) {
    assertStringIncludes(assertThrows(() => translatePattern(pattern), SyntaxError).message, named);
  }
});

Deno.test("Rust's patterns as Oniguruma's: ends of texts, and repetitions that give nothing back", () => {
  for (const pattern of Object.values(PATTERNS)) assertEquals(oniguruma(pattern), pattern);
  assertEquals(oniguruma("^a|[$^]|\\$|b$"), "\\Aa|[$^]|\\$|b\\z");
  assertEquals(oniguruma("\\p{N}{1,3}+|[a-z]{2}+|\\s++"), "(?>\\p{N}{1,3})|(?>[a-z]{2})|\\s++");
  assertEquals(splitWords("12345\n", oniguruma("\\p{N}{1,3}+$|\\p{N}")), [
    "1",
    "2",
    "3",
    "4",
    "5",
    "\n",
  ]);
  for (
    const wrong of [
      "\\w",
      "[\\W]",
      "\\b",
      "[[:alpha:]]",
      "[a--b]",
      "(?s:.)",
      "(?P<n>a)",
      "(?:a){2}+",
    ]
  ) {
    assertStringIncludes(
      assertThrows(() => oniguruma(wrong), SyntaxError).message,
      "not supported",
    );
  }
});

for (const { step, words } of theirs.steps as { step: Fields; words: string[][] }[]) {
  Deno.test(`step ${JSON.stringify(step)} cuts as theirs`, () => {
    const bytes = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
    const { cut } = readPreTokenizer(
      { type: "Sequence", pretokenizers: [step, bytes] },
      PATTERNS.gpt2,
    );
    for (const [i, text] of theirs.texts.entries()) {
      assertEquals(text === "" ? [] : cut(text), words[i], JSON.stringify(text));
    }
  });
}

interface Case {
  name: string;
  file: Fields;
  error?: string;
  texts: string[];
  ids: number[][];
  with_special?: number[][];
  decoded: string[];
  ordinary?: number[][];
}

/** A fixture's file, of which only what differs from the plain one is written down. */
function whole({ file }: Case): Fields {
  const model = { ...theirs.plain.model, ...file.model as Fields };
  return structuredClone({ ...theirs.plain, ...file, model });
}

for (const one of theirs.files as unknown as Case[]) {
  Deno.test(`file "${one.name}": ids, texts and the file itself as theirs, or refused`, () => {
    const { name, texts, ids, decoded } = one;
    const file = whole(one), refusal = one.error === undefined ? NOT_OURS[name] : "";
    if (refusal !== undefined) {
      const error = assertThrows(() => Tokenizer.fromJSON(file), TokenizerFormatError);
      assertStringIncludes(error.message, refusal);
      return;
    }
    for (
      const tokenizer of [
        Tokenizer.fromJSON(file),
        Tokenizer.fromJSON(JSON.parse(JSON.stringify(Tokenizer.fromJSON(file)))),
      ]
    ) {
      const all = { allowedSpecial: "all" } as const;
      for (const [i, text] of texts.entries()) {
        const where = JSON.stringify(text);
        assertEquals(tokenizer.encode(text, all), ids[i], where);
        assertEquals(
          tokenizer.encode(text, { ...all, addSpecialTokens: true }),
          (one.with_special ?? ids)[i],
          where,
        );
        assertEquals(tokenizer.encodeOrdinary(text), (one.ordinary ?? ids)[i], where);
        assertEquals(tokenizer.decode(ids[i]), decoded[i], where);
      }
    }
    const { model: { merges, ...model }, ...frame } = Tokenizer.fromJSON(file).toJSON();
    const { merges: _pairs, ...given } = file.model as Fields & { merges: string[][] };
    assertEquals({ ...frame, model }, { ...file, model: given } as unknown);
    assertEquals(merges, _pairs.map((pair) => pair.join(" ")));
  });
}

Deno.test("every file of theirs is either the same here or listed as not ours", () => {
  const names = (theirs.files as unknown as Case[]).map(({ name }) => name);
  assertEquals(Object.keys(NOT_OURS).filter((name) => !names.includes(name)), []);
  assert(theirs.files.length - Object.keys(NOT_OURS).length > 40);
});

Deno.test("an added token whose letters are stand-ins decodes to its name, not to the bytes they stand for", () => {
  const flags = {
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  };
  const json = { ...theirs.plain, added_tokens: [{ id: 290, content: "«fin»", ...flags }] };
  const tokenizer = Tokenizer.fromJSON(json);
  const ids = tokenizer.encode("the «fin»", { allowedSpecial: "all" });
  assertEquals(ids.at(-1), 290);
  assertEquals(tokenizer.decode(ids), "the «fin»"); // Python's tokenizers: "the \uFFFDfin\uFFFD"
});
