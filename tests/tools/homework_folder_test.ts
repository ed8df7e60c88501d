/** Folders as strangers make them, through the whole grader: links, pipes, names, sizes, a run that is stopped. */
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { basename, join } from "node:path";
import { type Grade, grade } from "tools/homework/grade.ts";
import { learnerNotebook } from "tools/homework/release.ts";
import { readSubmission, SubmissionError } from "tools/homework/submission.ts";
import { findChapter, formatNotebook, readNotebook, ROOT } from "tools/notebook.ts";
import { printed } from "./book.ts";
import { ask } from "tools/programs.ts";
import { NOT_UNIX, testIf } from "../optional.ts";

const file = findChapter("03");
const book = readNotebook(file);
for (const cell of book.cells) if (cell.cell_type === "code") cell.outputs = [];
const solved = formatNotebook(book);
const stubs = formatNotebook(learnerNotebook(file, book));

/** A folder for submissions, one for what must stay secret, and the results of grading. */
class Course {
  readonly root = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "nano-llm-course-" }));
  readonly in = join(this.root, "in");
  json = "";
  csv = "";
  terminal = "";
  grades = new Map<string, Grade>();

  constructor() {
    Deno.mkdirSync(this.in);
    this.put("zz-honest.ipynb", solved);
  }

  put(path: string, content: string | Uint8Array): string {
    const to = join(this.in, path);
    Deno.mkdirSync(join(to, ".."), { recursive: true });
    if (typeof content === "string") Deno.writeTextFileSync(to, content);
    else Deno.writeFileSync(to, content);
    return to;
  }

  link(path: string, target: string): void {
    Deno.symlinkSync(target, join(this.in, path));
  }

  async grade(): Promise<void> {
    const at = (name: string) => join(this.root, name);
    const [json, csv, feedback] = [at("g.json"), at("g.csv"), at("pages")];
    const options = { folder: this.in, chapters: [file], json, csv, feedback };
    const { text, result } = await printed(() => grade(options));
    assertEquals(result, 0);
    this.terminal = text;
    [this.json, this.csv] = [json, csv].map((one) => Deno.readTextFileSync(one));
    this.grades = new Map(JSON.parse(this.json).grades.map((one: Grade) => [one.file, one]));
    assertEquals(this.grades.get("zz-honest.ipynb")?.points, 8, "the honest learner");
  }

  /** Everything that was written, names of files too. */
  get everything(): string {
    const pages = [...Deno.readDirSync(join(this.root, "pages"))].map(({ name }) => name);
    const texts = pages.map((name) => Deno.readTextFileSync(join(this.root, "pages", name)));
    const summary = Deno.readTextFileSync(join(this.root, "pages-summary.html"));
    return [this.terminal, this.json, this.csv, summary, ...pages, ...texts].join("\n");
  }

  problem(path: string): string {
    const found = this.grades.get(path);
    assert(found, `${path} is not among ${[...this.grades.keys()]}`);
    assertEquals(found.points, 0);
    return found.problem ?? "";
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.root, { recursive: true });
  }
}

Deno.test("links are refused in words, and nothing of what they lead to is shown", async () => {
  using course = new Course();
  const teacher = join(course.root, "teacher");
  Deno.mkdirSync(teacher);
  Deno.writeTextFileSync(join(teacher, "03-attention.ipynb"), solved);
  Deno.writeTextFileSync(join(teacher, "passwd"), "root:x:0:0:SECRETLINE:/root\n");
  course.link("thief.ipynb", join(teacher, "03-attention.ipynb"));
  course.link("spy.ipynb", join(teacher, "passwd"));
  course.link("lost.ipynb", join(teacher, "nothing"));
  course.link("whole", teacher);
  course.link("round", ".");
  course.link("again", ".");
  course.put("eve/03-attention.ipynb", stubs);
  course.link("eve/deeper", "..");
  course.put(".hidden/03-attention.ipynb", solved);
  course.put("eve/.03-attention.ipynb", solved);
  course.put("eve/notes.txt", "hello");
  await course.grade();
  assertEquals([...course.grades.keys()], [
    "eve/03-attention.ipynb",
    "lost.ipynb",
    "spy.ipynb",
    "thief.ipynb",
    "zz-honest.ipynb",
  ]);
  for (const path of ["lost", "spy", "thief"]) {
    assertMatch(course.problem(`${path}.ipynb`), /is a link, and links are not followed/);
  }
  assert(!course.everything.includes("SECRETLINE"));
  for (const path of ["whole", "round", "again", "eve/deeper", "eve/notes.txt"]) {
    assertMatch(course.terminal, new RegExp(`^! ${path}: `, "m"));
  }
  for (const path of [".hidden", "eve/.03-attention.ipynb"]) {
    assertStringIncludes(course.terminal, `! ${path}: its name begins with a dot, left out`);
  }
  const leftOut = JSON.parse(course.json).leftOut.map(({ file }: { file: string }) => file);
  assertEquals(leftOut.length, 7);
});

/** Files that are no submission, and what is said to each. */
const UNUSUAL: [name: string, content: string | Uint8Array, says: RegExp][] = [
  ["empty", "", /is empty/],
  ["binary", Uint8Array.of(0xff, 0xfe, 0x7b, 0, 0x7d, 0), /not UTF-8/],
  ["zip", Uint8Array.of(0x50, 0x4b, 3, 4, 0xff, 0xfe, 0), /is a zip archive/],
  ["secret", "PASSWORD=SECRETLINE\n", /not valid JSON, line 1\.$/],
  ["nearly", '{"cells": [\n {"source": "a"},\n SECRETLINE\n]}', /not valid JSON, line 3\.$/],
  ["key", "-----BEGIN SECRETLINE-----", /not valid JSON, line 1\.$/],
  ["cut", solved.slice(0, 9000), /ends in the middle/],
  ["page", "<!DOCTYPE html><title>SECRETLINE</title>", /a web page/],
  ["pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:12", /Git LFS/],
  ["merge", solved.replace('"cells"', '\n<<<<<<< HEAD\n"cells"'), /marks of a Git merge/],
  ["list", "[1, 2]", /has no list of cells/],
  ["old", '{"worksheets": [], "nbformat": 3}', /nbformat 3/],
  ["deep", '{"cells":' + "[".repeat(1_000_000), /more than 100 levels/],
  [
    "deeper",
    '{"cells":' + '{"a":'.repeat(200) + "1" + "}".repeat(200) + "}",
    /more than 100 level/,
  ],
  ["wide", `{"cells":[${"[],".repeat(3_000_000)}[]]}`, /6,000,004 values; 1,000,000 are allowed/],
  ["cells", `{"cells":[${'{"source":""},'.repeat(9000)}{}]}`, /9,001 cells; 2,000 are allowed/],
  [
    "long",
    JSON.stringify({ cells: [{ cell_type: "code", id: "x", source: "a".repeat(60_000) }] }),
    /cell "x" has 60,000 characters; 50,000/,
  ],
  [
    "much",
    JSON.stringify({ cells: Array(40).fill({ cell_type: "code", source: "a".repeat(40_000) }) }),
    /1,600,000 characters of code; 1,000,000/,
  ],
];

Deno.test("files that are no notebooks are complained about in words that quote nothing", async () => {
  using course = new Course();
  for (const [name, content] of UNUSUAL) course.put(`${name}.ipynb`, content);
  const large = course.put("large.ipynb", "x");
  Deno.truncateSync(large, 100 * 2 ** 20 + 1);
  course.put("empty folder.ipynb/notes.txt", "");
  course.put("unpacked.ipynb/03-attention.ipynb", stubs);
  course.put("UPPER.IPYNB", solved);
  await course.grade();
  for (const [name, , says] of UNUSUAL) assertMatch(course.problem(`${name}.ipynb`), says, name);
  assertMatch(course.problem("large.ipynb"), /has 101 MB; 100 MB are allowed/);
  assertEquals(course.grades.get("unpacked.ipynb/03-attention.ipynb")?.student, "unpacked");
  assertEquals(course.grades.get("UPPER.IPYNB")?.points, 8);
  assert(!course.everything.includes("SECRETLINE"));
});

Deno.test("a file that the system does not give is said in words, without its place", async () => {
  using course = new Course();
  const refusals = [[join(course.in, "gone.ipynb"), "it is gone"], [
    join(course.in, `${"x".repeat(300)}.ipynb`),
    "ENAMETOOLONG",
  ]];
  if (Deno.uid() !== 0) { // the superuser reads everything
    const locked = course.put("locked.ipynb", solved);
    Deno.chmodSync(locked, 0);
    refusals.push([locked, "reading it is not permitted"]);
  }
  for (const [path, why] of refusals) {
    const { message } = assertThrows(() => readSubmission(path), SubmissionError);
    assertEquals(message, `the file cannot be read: ${why}.`);
  }
  await course.grade();
});

Deno.test("a solution that became text, or is gone, is told to learner and teacher", async () => {
  using course = new Course();
  const isMask = ({ id }: { id: string }) => id === "causal-mask";
  for (const type of ["markdown", "raw"]) {
    const cells = book.cells.map((cell) => isMask(cell) ? { ...cell, cell_type: type } : cell);
    course.put(`${type}.ipynb`, JSON.stringify({ ...book, cells }));
  }
  const cells = book.cells.filter((cell) => !isMask(cell));
  course.put("without.ipynb", JSON.stringify({ ...book, cells }));
  await course.grade();
  for (const name of ["markdown", "raw", "without"]) {
    const { points, notes, exercises } = course.grades.get(`${name}.ipynb`)!;
    assertEquals(points, name === "without" ? 6 : 8);
    assertEquals(notes.length, 1);
    assertMatch(notes[0], name === "without" ? /is missing/ : /was turned into text; it was run/);
    if (name === "without") {
      assertMatch(exercises[0].diagnosis!, /"causal-mask" cannot be used/);
    }
    assertStringIncludes(course.terminal, notes[0]);
    const row = csvRows(course.csv).find(([student]) => student === name)!;
    assertEquals(row.at(-1), notes[0]);
  }
});

testIf(
  NOT_UNIX,
  "a pipe or a socket that is called like a notebook is not waited for",
  async () => {
    using course = new Course();
    const pipe = await ask("mkfifo", [join(course.in, "fifo.ipynb")]); // not every machine has it
    using _socket = Deno.listen({ transport: "unix", path: join(course.in, "socket.ipynb") });
    await course.grade();
    for (const name of pipe.ok ? ["fifo", "socket"] : ["socket"]) {
      assertMatch(course.problem(`${name}.ipynb`), /is a pipe or a device/);
    }
  },
);

/** Names of learners that do harm where they are shown or become names of files. */
const NAMES = [
  "学".repeat(80),
  "学".repeat(79) + "校",
  "a\nzz-forged   03-attention  8 of 8",
  "b\r! forged",
  "\u001b[2Jc\u0007",
  "d\u202egnp.exe",
  "e\u2028f\u200b\u2066",
  "=1+1",
  " =1+1",
  "\t@SUM(1)",
  "\u3000+1",
  "\u00a0-1",
  "\u200b=1",
  "＝1",
  "con",
  "a;=1+1",
  "<img src=x onerror=alert(1)>",
  '"quoted", and more',
  "Ada",
  "ada",
  "e\u0301ve",
  "\u00e9ve",
  "x...",
  "محمد",
  "👩‍🔬",
];

/** The fields of a CSV text, by RFC 4180. */
function csvRows(text: string): string[][] {
  return text.trimEnd().split("\r\n").map((line) =>
    [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(([, quoted, plain]) =>
      quoted?.replaceAll('""', '"') ?? plain
    )
  );
}

Deno.test("whatever learners are called, nothing is forged and nothing is lost", async (t) => {
  using course = new Course();
  for (const name of NAMES) course.put(`${name}.ipynb`, /^ada$/i.test(name) ? stubs : "{}");
  course.put("x\u001b[31m\nzz-forged  8 of 8.txt", "");
  await course.grade();
  const count = NAMES.length + 1;
  // deno-lint-ignore no-control-regex
  const harmful = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\u200b]/;
  await t.step("one line each on the terminal", () => {
    assert(!harmful.test(course.terminal), course.terminal);
    const lines = course.terminal.split("\n");
    assertEquals(lines.filter((line) => / \d of 8( |$)/.test(line)).length, count);
    assert(!lines.some((line) => line.startsWith("zz-forged")));
  });
  await t.step("a page each, with a name that fits everywhere", () => {
    const pages = [...Deno.readDirSync(join(course.root, "pages"))].map(({ name }) => name);
    assertEquals(new Set(pages.map((name) => name.normalize("NFC").toLowerCase())).size, count);
    for (const name of pages) {
      assert(new TextEncoder().encode(name).length < 150, name);
      assertMatch(name, /^[\p{L}\p{M}\p{N}_-][\p{L}\p{M}\p{N}._ -]*\.html$/u);
      assert(!/^con\./i.test(name));
    }
    assert(pages.includes("محمد.html"));
  });
  await t.step("the teacher's page leads to each, and shows no hidden sign", () => {
    const summary = Deno.readTextFileSync(join(course.root, "pages-summary.html"));
    assert(!harmful.test(summary));
    assert(!summary.includes("<img"));
    const links = [...summary.matchAll(/href="([^"]+)"/g)].map(([, link]) => link);
    assertEquals(links.length, count);
    for (const link of links) Deno.statSync(join(course.root, decodeURIComponent(link)));
  });
  await t.step("no field of the table is a formula", () => {
    assert(!harmful.test(course.csv.replaceAll("\r\n", "")));
    const rows = csvRows(course.csv);
    assertEquals(rows.length, count + 1);
    for (const row of rows) {
      assertEquals(row.length, rows[0].length);
      for (const field of row) {
        assert(!/^[\s\p{Z}\p{C}\ufffd]*[=+\-@|＝]/u.test(field), JSON.stringify(field));
      }
    }
    for (const part of course.csv.replaceAll("\r\n", ",").split(",")) {
      assert(part.startsWith('"') || !part.includes(";"), part);
    }
  });
});

Deno.test("a run that is stopped or killed has written what it had graded", async (t) => {
  using course = new Course();
  const slow = structuredClone(book);
  const mask = slow.cells.find(({ id }) => id === "causal-mask")!;
  mask.source = mask.source.replace(
    "const offset",
    "for (let i = 0; i < 8e9; i++);\n  const offset",
  );
  ["aa", "ab", "ac"].forEach((name) => course.put(`${name}.ipynb`, solved));
  course.put("yy-slow.ipynb", formatNotebook(slow));
  Deno.removeSync(join(course.in, "zz-honest.ipynb"));
  for (const signal of ["SIGINT", "SIGKILL"] as const) {
    if (Deno.build.os === "windows") continue;
    await t.step(signal, async () => {
      const out = join(course.root, signal);
      const json = join(out, "g.json");
      const child = new Deno.Command(Deno.execPath(), {
        args: [
          ...["run", "-A", "tools/homework.ts", "grade", course.in, "--jobs", "1"],
          ...["--chapter", "03", "--json", json, "--csv", join(out, "g.csv")],
          ...["--feedback", join(out, "pages")],
        ],
        cwd: ROOT,
        stdout: "piped",
        stderr: "null",
      }).spawn();
      const text = new Response(child.stdout).text();
      while (gradedIn(json).length < 3) await new Promise((done) => setTimeout(done, 50));
      await new Promise((done) => setTimeout(done, 1000));
      const sandboxes = sandboxesOf(child.pid);
      child.kill(signal);
      const { success } = await child.status;
      assert(!success);
      assertEquals(gradedIn(json), ["aa", "ab", "ac"]);
      assertEquals(Deno.readTextFileSync(join(out, "g.csv")).trimEnd().split("\r\n").length, 4);
      const pages = [...Deno.readDirSync(join(out, "pages"))].map(({ name }) => name).sort();
      assertEquals(pages, ["aa.html", "ab.html", "ac.html"]);
      if (signal === "SIGINT" && Deno.build.os === "linux") {
        assertEquals(sandboxes.length, 1);
        await new Promise((done) => setTimeout(done, 300));
        assertEquals(sandboxes.filter(isRunning), []);
      }
      if (signal === "SIGINT") assertStringIncludes(await text, "stopped: 3 of 4 graded");
      await child.stdout.cancel().catch(() => {});
    });
  }
});

/** Numbers of the sandboxes that a process has started; Linux tells. */
function sandboxesOf(parent: number): string[] {
  if (Deno.build.os !== "linux") return [];
  const all = [...Deno.readDirSync("/proc")].map(({ name }) => name).filter((name) =>
    /^\d+$/.test(name)
  );
  return all.filter((pid) => {
    try {
      const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
      const isChild = stat.slice(stat.lastIndexOf(")")).split(" ")[2] === String(parent);
      return isChild && Deno.readTextFileSync(`/proc/${pid}/cmdline`).includes("sandbox-");
    } catch {
      return false; // it has just ended
    }
  });
}

function isRunning(pid: string): boolean {
  try {
    return !/\) Z /.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
  } catch {
    return false;
  }
}

function gradedIn(json: string): string[] {
  try {
    const { grades } = JSON.parse(Deno.readTextFileSync(json));
    return grades.map(({ file }: Grade) => basename(file, ".ipynb"));
  } catch {
    return [];
  }
}
