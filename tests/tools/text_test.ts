import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { taskCommand } from "tools/task.ts";
import { join } from "node:path";
import { UsageError } from "tools/cli.ts";
import { NotebookError, readNotebook, writeNotebook } from "tools/notebook.ts";
import { fromText, main, toText } from "tools/text.ts";
import { Book, printed } from "./book.ts";
import { runTool } from "./kernel_support.ts";

const TEXT = `%% title markdown
# Words

%% plain raw
as it is

%% one code solution
const a = 1;

%% two code test 1.5
a;
`;

Deno.test("text and back: nothing that the text shows or does not show is lost", () => {
  const notebook = fromText(TEXT, "01-words.ipynb");
  notebook.cells[0].attachments = { "a.png": { "image/png": "aGk=" } };
  notebook.cells[2].metadata.tags = ["raises-exception"];
  notebook.cells[3].outputs = [{ output_type: "stream", name: "stdout", text: "1\n" }];
  assertEquals(fromText(toText(notebook), "01-words.ipynb", notebook), notebook);
  const changed = fromText(TEXT.replace("a;", "a + 1;"), "01-words.ipynb", notebook);
  assertEquals(changed.cells[3].outputs, []);
  assertEquals(changed.cells.slice(0, 3), notebook.cells.slice(0, 3));
});

const ENCODED: [what: string, bytes: (text: string) => Uint8Array][] = [
  ["lines end as on Windows", (text) => new TextEncoder().encode(text.replaceAll("\n", "\r\n"))],
  ["lines end in CR alone", (text) => new TextEncoder().encode(text.replaceAll("\n", "\r"))],
  ["a byte order mark is in front", (text) => new TextEncoder().encode("\uFEFF" + text)],
  ["PowerShell wrote it", (text) =>
    new Uint8Array(
      Uint16Array.from(
        ["\uFEFF", ...text],
        (letter) => letter.charCodeAt(0),
      ).buffer,
    )],
];

for (const [what, bytes] of ENCODED) {
  Deno.test(`a text is taken back where ${what}`, async () => {
    using book = new Book({});
    const from = join(book.root, "words.txt");
    Deno.writeFileSync(from, bytes(TEXT));
    const folder = join(book.root, "notebooks");
    const { text } = await printed(() => main(["01-words", "--from", from], folder));
    assertEquals(text, "wrote 01-words.ipynb");
    assertEquals(toText(readNotebook(book.notebook("01-words"))), toText(fromText(TEXT, "")));
  });
}

Deno.test("a wrong text is refused, naming its line", () => {
  const refused = (text: string, problem: string) =>
    assertThrows(() => fromText(text, "03.txt"), NotebookError, problem);
  refused("", "03.txt: holds no cell");
  refused("# Words\n%% a code\n", 'line 1: text before the first "%%" line');
  refused("%% a code\n%% b cod\n", 'line 2: expected "%% <id> <markdown|code|raw>');
  refused("%% a code\n%% a code\n", 'cell "a": two cells have this id');
  const notebook = fromText("%% a markdown\nx\n", "a");
  notebook.cells[0].source = "x\n%% y";
  assertThrows(() => toText(notebook), NotebookError, 'cell "a": line 2: begins with "%% "');
});

Deno.test("a wrong command line is refused in a sentence", async () => {
  using book = new Book({ "01-words": TEXT });
  const folder = join(book.root, "notebooks");
  const refused = (problem: string, ...args: string[]) =>
    assertRejects(() => main(args, folder), UsageError, problem);
  await refused('no chapter "9": there is 01-words', "9");
  await refused("one chapter is needed, got none");
  await refused("one chapter is needed, got 2", "01", "02");
  await refused("no flag --form; did you mean --from?", "01", "--form", "a");
  await refused("no file nowhere.txt", "01", "--from", "nowhere.txt");
  await refused("the chapter's name is empty", "");
  await refused('no chapter "wrods"', "wrods", "--from", book.notebook("01-words"));
  writeNotebook(book.notebook("02-verbs"), readNotebook(book.notebook("01-words")));
  book.write("notebooks/02-verbs.ipynb", "{");
  const cannot = [["01", "--from", folder], [folder + "/03-dir.ipynb"]];
  Deno.mkdirSync(folder + "/03-dir.ipynb");
  for (const args of cannot) {
    await assertRejects(() => main(args, folder), NotebookError, "cannot be read");
  }
  await assertRejects(() => main(["01"], folder + "/none"), UsageError, "there is none yet");
  await assertRejects(() => main(["02"], folder), NotebookError, "02-verbs.ipynb: not valid JSON");
});

Deno.test("the programs end with 2 and a sentence, never with a trace", async () => {
  for (
    const [tool, args] of [["text.ts", ["9"]], ["format.ts", ["--chek"]], ["check.ts", [
      "99",
    ]]] as const
  ) {
    const { code, stderr } = await runTool(tool, [...args]);
    assertEquals(code, 2, stderr);
    assertStringIncludes(stderr, `usage: ${taskCommand("")}`);
    assertEquals(/^\s+at /m.test(stderr), false, stderr);
  }
});
