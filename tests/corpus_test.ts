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

const LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";
const PAGE = '\n<!DOCTYPE html>\n<html lang="en"><body>Not Found</body></html>';

Deno.test("line ends of every kind become one", () =>
  withFolder(async (folder) => {
    const path = join(folder, "x.txt");
    await Deno.writeTextFile(path, "mac\rdos\r\nunix\n\r\rend");
    assertEquals((await loadCorpus(path)).text, "mac\ndos\nunix\n\n\nend");
  }));

/** A text in UTF-16, as Windows' programs save it. */
function utf16(text: string, bigEndian: boolean, mark: boolean): Uint8Array {
  const units = [...(mark ? "\uFEFF" : "") + text].flatMap((sign) => sign.split(""));
  const bytes = new Uint8Array(2 * units.length), view = new DataView(bytes.buffer);
  units.forEach((unit, i) => view.setUint16(2 * i, unit.charCodeAt(0), !bigEndian));
  return bytes;
}

Deno.test("UTF-16 with its mark is read, without it refused by name", () =>
  withFolder(async (folder) => {
    const path = join(folder, "x.txt"), text = "Once upon a time, né 🙂 日本\n";
    for (const bigEndian of [false, true]) {
      await Deno.writeFile(path, utf16(text, bigEndian, true));
      assertEquals((await loadCorpus(path)).text, text);
      await Deno.writeFile(path, utf16(text, bigEndian, false));
      const name = bigEndian ? "UTF-16BE without a mark" : "UTF-16LE without a mark";
      await assertRejects(() => loadCorpus(path), Error, name);
    }
    await Deno.writeFile(path, utf16(text, false, true).subarray(0, 7));
    await assertRejects(() => loadCorpus(path), Error, "not UTF-16");
    await Deno.writeTextFile(path, "one \0 in a text");
    assertEquals((await loadCorpus(path)).text.length, 15);
  }));

Deno.test("a git-LFS pointer or a web page is said to be one; a page that is asked for is read", () =>
  withFolder(async (folder) => {
    const path = join(folder, "x.txt");
    await Deno.writeTextFile(path, LFS);
    await assertRejects(() => loadCorpus(path), Error, `corpus "${path}" is a git-LFS pointer`);
    await Deno.writeTextFile(path, PAGE);
    await assertRejects(() => loadCorpus(path), Error, `corpus "${path}" is a web page`);
    await Deno.writeTextFile(join(folder, "x.html"), PAGE);
    assertEquals((await loadCorpus(join(folder, "x.html"))).text, PAGE);
  }));

Deno.test("a file longer than a text can be is refused at once, by its size", () =>
  withFolder(async (folder) => {
    const path = join(folder, "x.txt");
    await Deno.writeTextFile(path, "");
    await Deno.truncate(path, 600_000_000);
    const start = performance.now();
    const error = await assertRejects(() => loadCorpus(path), Error, "600,000,000 bytes");
    assertStringIncludes(error.message, "536,870,888 characters");
    assert(performance.now() - start < 2000, "without reading it");
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
