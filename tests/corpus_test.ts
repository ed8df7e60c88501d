import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { join } from "node:path";
import { type Corpus, loadCorpus, splitCorpus } from "lib/data/corpus.ts";

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("the tales are four whole books with plain line ends", async () => {
  const corpus = await loadCorpus();
  assertEquals(corpus.documents.map(({ name }) => name), [
    "carroll-alice",
    "bryant-stories",
    "burgess-busterbrown",
    "edgeworth-parents",
  ]);
  assert(corpus.text.length > 1_350_000 && corpus.text.length < 1_450_000, `${corpus.text.length}`);
  assert(!corpus.text.includes("\r"));
  assertStringIncludes(
    corpus.text,
    "Alice was beginning to get very tired of sitting by her sister",
  );
});

Deno.test("a book that is stored in Latin-1 comes out with its accents", async () => {
  const { text } = await loadCorpus("chesterton-ball");
  assert(!text.includes("\uFFFD"));
  assertStringIncludes(text, "è");
});

Deno.test("a file and a folder of your own", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "b.txt"), "second\r\n");
    await Deno.writeTextFile(join(folder, "a.md"), "first é");
    await Deno.writeTextFile(join(folder, "c.png"), "not text");
    const whole = await loadCorpus(folder);
    assertEquals(whole.documents, [{ name: "a.md", text: "first é" }, {
      name: "b.txt",
      text: "second\n",
    }]);
    assertEquals(whole.text, "first é\n\nsecond\n");
    assertEquals((await loadCorpus(join(folder, "b.txt"))).text, "second\n");
  }));

Deno.test("what cannot be a corpus is refused by name", () =>
  withFolder(async (folder) => {
    const error = await assertRejects(() => loadCorpus("tails"), Error, '"tails"');
    assertStringIncludes(error.message, "carroll-alice");
    await assertRejects(() => loadCorpus(folder), Error, "no .txt or .md");
    const path = join(folder, "x.txt");
    await Deno.writeTextFile(path, " \n");
    await assertRejects(() => loadCorpus(path), Error, "is empty");
    await Deno.writeFile(path, new Uint8Array([104, 105, 0xe9, 33]));
    await assertRejects(() => loadCorpus(path), Error, "not UTF-8 text, near byte 3");
  }));

Deno.test("a cached download is used if its checksum fits, and offline is a clear error", () =>
  withFolder(async (folder) => {
    const realFetch = globalThis.fetch;
    const before = Deno.env.get("NANO_LLM_CACHE");
    Deno.env.set("NANO_LLM_CACHE", folder);
    try {
      globalThis.fetch = () => Promise.reject(new TypeError("no network here"));
      await Deno.writeTextFile(join(folder, "tinyshakespeare.txt"), "not Shakespeare");
      const error = await assertRejects(
        () => loadCorpus("tinyshakespeare"),
        Error,
        "no network here",
      );
      assertStringIncludes(error.message, '"tales" needs no network');
      globalThis.fetch = () => Promise.resolve(new Response("other bytes"));
      await assertRejects(() => loadCorpus("tinyshakespeare"), Error, "other bytes than expected");
      globalThis.fetch = () =>
        Promise.resolve(new Response("", { status: 404, statusText: "Not Found" }));
      await assertRejects(() => loadCorpus("tinystories"), Error, "404 Not Found");
    } finally {
      globalThis.fetch = realFetch;
      if (before) Deno.env.set("NANO_LLM_CACHE", before);
      else Deno.env.delete("NANO_LLM_CACHE");
    }
  }));

const corpusOf = (...texts: string[]): Corpus => ({
  name: "made",
  documents: texts.map((text, i) => ({ name: `${i}`, text })),
  text: texts.join("\n\n"),
});

Deno.test("validation is the tail of each document, and nothing is lost or in both", () => {
  const { train, validation } = splitCorpus(corpusOf("0123456789", "abcdefghij"), 0.2);
  assertEquals([train, validation], ["01234567\n\nabcdefgh", "89\n\nij"]);
});

Deno.test("nanoGPT's split: the first 90 % of characters", () => {
  const { train, validation } = splitCorpus(corpusOf("x".repeat(1_115_394)));
  assertEquals([train.length, validation.length], [1_003_854, 111_540]);
});

Deno.test("a split never cuts a character in two", () => {
  const { train, validation } = splitCorpus(corpusOf("aaaa😀bbbb"), 0.5);
  assertEquals([train, validation], ["aaaa😀", "bbbb"]);
});

Deno.test("impossible splits are refused", () => {
  assertThrows(() => splitCorpus(corpusOf("abc"), 1), RangeError, "got 1");
  assertThrows(() => splitCorpus(corpusOf("abc"), NaN), RangeError, "got NaN");
  assertThrows(() => splitCorpus(corpusOf("a")), Error, "too short");
});
