/** Links need leave for the whole disk, which the library's tests do not have. */
import { assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { loadCorpus } from "lib/data/corpus.ts";

Deno.test("links in a folder are followed, a link to nothing is named, folders are left alone", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [texts, elsewhere] = [join(folder, "texts"), join(folder, "elsewhere")];
    await Deno.mkdir(join(texts, "more.txt"), { recursive: true });
    await Deno.mkdir(elsewhere);
    await Deno.writeTextFile(join(elsewhere, "far"), "far away");
    await Deno.writeTextFile(join(texts, "B.TXT"), "near");
    await Deno.symlink(join(elsewhere, "far"), join(texts, "a.txt"));
    await Deno.symlink(elsewhere, join(texts, "c.md"));
    const names = async () => (await loadCorpus(texts)).documents.map(({ text }) => text);
    assertEquals((await names()).toSorted(), ["far away", "near"]);
    assertEquals((await loadCorpus(join(texts, "a.txt"))).text, "far away");
    await Deno.symlink(join(elsewhere, "gone"), join(texts, "d.txt"));
    await assertRejects(names, Error, "d.txt");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
