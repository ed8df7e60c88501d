/** Files, patterns and steps of Hugging Face's tokenizers: ours cut, number and read as theirs, or refuse by name. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { oniguruma, translatePattern } from "lib/data/regex.ts";
import { PATTERNS, splitWords, Tokenizer } from "lib/tokenizer.ts";
import fixture from "./fixtures/tokenizer-json.json" with { type: "json" };
import { compareFile, comparePattern, compareStep, NOT_OURS, type Theirs } from "./tokenizers.ts";

const theirs = fixture as unknown as Theirs;

for (const one of theirs.patterns) {
  const name = `pattern ${one.pattern}: cuts as Oniguruma does, or is refused`;
  Deno.test(name, () => comparePattern(theirs, one));
}

for (const one of theirs.steps) {
  Deno.test(`step ${JSON.stringify(one.step)} cuts as theirs`, () => compareStep(theirs, one));
}

for (const one of theirs.files) {
  const name = `file "${one.name}": ids, texts and the file itself as theirs, or refused`;
  Deno.test(name, () => compareFile(theirs, one));
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

Deno.test("every file of theirs is either the same here or listed as not ours", () => {
  const names = theirs.files.map(({ name }) => name);
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
