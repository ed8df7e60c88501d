import { assertEquals } from "@std/assert";
import { asTerminal, OutputCollector, stripControl } from "tools/jupyter/outputs.ts";
import { portable, withoutFolders } from "tools/jupyter/portable.ts";
import { duration, fit } from "tools/terminal.ts";

Deno.test("a carriage return overwrites, as on a terminal", () => {
  const cases = [
    ["step 9\rstep 10\n", "step 10\n"],
    ["longer\rab", "abnger"],
    ["a\r\nb\r\n", "a\nb\n"],
    ["10 %\r", "10 %"],
    ["abc\b\bX", "aXc"],
    ["long line\r\x1b[Knew", "new"],
    ["long line\r\x1b[2Knew", "new"],
    ["\x1b[31mred\x1b[0m", "red"],
    ["one\ntwo\rTWO\nthree", "one\nTWO\nthree"],
  ];
  for (const [printed, shown] of cases) assertEquals(asTerminal(printed), shown);
});

Deno.test("colours are taken away", () => {
  assertEquals(
    stripControl("\x1b[1;38;5;12mbold\x1b[0m and \x1b]8;;link\x07plain"),
    "bold and plain",
  );
});

Deno.test("prints of one stream become one output, also when they come in pieces of a line", () => {
  const collector = new OutputCollector();
  const print = (name: string, text: string) =>
    collector.take({ id: "", type: "stream", parent: undefined, content: { name, text } });
  print("stdout", "a");
  print("stdout", "b\rc");
  print("stderr", "warning\n");
  print("stdout", "d");
  assertEquals(collector.outputs.map(({ name, text }) => [name, text]), [
    ["stdout", "cb"],
    ["stderr", "warning\n"],
    ["stdout", "d"],
  ]);
});

Deno.test("an error stands once and last", () => {
  const collector = new OutputCollector();
  const content = { ename: "E", evalue: "e", traceback: [] };
  collector.take({ id: "", type: "error", parent: undefined, content });
  collector.take({
    id: "",
    type: "stream",
    parent: undefined,
    content: { name: "stdout", text: "late" },
  });
  assertEquals(collector.outputs.map(({ output_type }) => output_type), ["stream", "error"]);
  collector.fail({ ...content, evalue: "the real one" });
  assertEquals(collector.outputs.map(({ text, evalue }) => text ?? evalue), [
    "late",
    "the real one",
  ]);
});

Deno.test("folders of this machine are taken out of outputs, at any depth, but not out of pictures", () => {
  const clean = (text: string) => withoutFolders(text, "/home/ada/book/", "/home/ada");
  assertEquals(clean("file:///home/ada/book/lib/x.ts:3:1"), "lib/x.ts:3:1");
  assertEquals(
    clean("in /home/ada/book and /home/ada/book2 and /home/ada"),
    "in . and ~/book2 and ~",
  );
  assertEquals(clean("/home/adam and x/home/ada"), "/home/adam and x/home/ada");
  const data = {
    "text/plain": ["/home/ada/book/a\n"],
    "application/json": { deep: [{ path: "/home/ada/.cache/x" }], numbers: [1, 2] },
    "image/svg+xml": "<svg>/home/ada/book/b</svg>",
    "image/png": "/home/ada",
  };
  const [output] = portable(
    [{ output_type: "display_data", data, metadata: {} }],
    "/home/ada/book",
    "/home/ada",
  );
  assertEquals(output.data, {
    "text/plain": ["a\n"],
    "application/json": { deep: [{ path: "~/.cache/x" }], numbers: [1, 2] },
    "image/svg+xml": "<svg>b</svg>",
    "image/png": "/home/ada",
  });
});

Deno.test("a live line that is too long loses its bar, then its middle, never the time left", () => {
  const line =
    "05-train cell 7/8 live 19 s training ━━━━──── 3/20 · loss 5.652 · tokens/s 3,025 · 0:01 left";
  assertEquals(fit(line, 200), line);
  assertEquals(fit(line, 90), line.replace("━━━━──── ", ""));
  assertEquals(fit(line, 40), "05-train cell 7/8 live 19 s … 0:01 left");
});

Deno.test("durations", () => {
  assertEquals([0.26, 9.96, 59.4, 59.6, 185].map(duration), [
    "0.3 s",
    "10.0 s",
    "59 s",
    "1 min 00 s",
    "3 min 05 s",
  ]);
});
