import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { executeNotebook } from "tools/jupyter/execute.ts";
import { readNotebook, ROOT, writeNotebook } from "tools/notebook.ts";
import {
  endsWithin,
  execute,
  notebookOf,
  outputsOf,
  runTool,
  waitForFile,
  withFolder,
  writeSmall,
} from "./kernel_support.ts";

Deno.test("cells that ran are numbered from 1; empty cells are not run", async () => {
  const { notebook, cells } = await execute(["1;", "  \n", "2;"]);
  assertEquals(notebook.cells.map(({ execution_count }) => execution_count), [1, null, 2]);
  assertEquals(cells, 2);
});

Deno.test("a notebook forgets its old outputs, counts and times; the one given is left alone", async () => {
  const before = notebookOf("void 1;", "throw new Error('stop');", "void 3;");
  for (const cell of before.cells) {
    cell.metadata = { tags: ["kept"], execution: { "iopub.status.busy": "2020" }, ExecuteTime: {} };
    cell.outputs = [{ output_type: "stream", name: "stdout", text: "old" }];
    cell.execution_count = 99;
  }
  const { notebook } = await executeNotebook(before, { cwd: ROOT });
  assertEquals(notebook.cells.map(({ metadata }) => metadata), Array(3).fill({ tags: ["kept"] }));
  assertEquals(notebook.cells.map(({ execution_count }) => execution_count), [1, 2, null]);
  assertEquals(notebook.cells.map(({ outputs }) => outputs!.length), [0, 1, 0]);
  assertEquals(before.cells[0].execution_count, 99);
});

Deno.test("a cell that is tagged raises-exception may fail", async () => {
  const notebook = notebookOf("throw new Error('on purpose');", "console.log('on');");
  notebook.cells[0].metadata.tags = ["raises-exception"];
  const execution = await executeNotebook(notebook, { cwd: ROOT });
  assertEquals([execution.ok, execution.cells], [true, 2]);
  assertEquals(outputsOf(execution, 1)[0].evalue, "on purpose");
});

Deno.test("the copy carries the outputs, without this machine's folders; --write puts them into the notebook", async () => {
  await withFolder(async (folder) => {
    const file = writeSmall(folder, "01-small", `console.log(${JSON.stringify(ROOT)} + "lib");`);
    const out = join(folder, "out");
    const first = await runTool("run.ts", [file, "--out", out]);
    assertEquals(first.code, 0, first.stderr);
    assertStringIncludes(first.stdout, "✓ 01-small  1 cells");
    assertEquals(readNotebook(join(out, "01-small.ipynb")).cells[0].outputs![0].text, ["lib\n"]);
    assertEquals(readNotebook(file).cells[0].outputs, []);
    assertEquals((await runTool("run.ts", [file, "--out", out, "--write"])).code, 0);
    assertEquals(readNotebook(file).cells[0].outputs![0].text, ["lib\n"]);
  });
});

Deno.test("a failing cell: chapter, cell, line, error, exit code 1, and the notebook itself is left alone", async () => {
  await withFolder(async (folder) => {
    const file = writeSmall(
      folder,
      "01-small",
      "console.log(1);",
      "const a: number = 1;\n\nthrow new Error(`no ${a}`);",
    );
    const { code, stdout } = await runTool("run.ts", [
      file,
      "--out",
      join(folder, "out"),
      "--write",
    ]);
    assertEquals(code, 1);
    for (
      const text of [
        '01-small, cell "c2", line 3',
        "3 | throw new Error(`no ${a}`);",
        "Error: no 1",
      ]
    ) {
      assertStringIncludes(stdout, text);
    }
    assertEquals(readNotebook(file).cells[0].outputs, []);
  });
});

Deno.test("a profile reaches the kernel", async () => {
  await withFolder(async (folder) => {
    const file = writeSmall(folder, "01-small", `console.log(Deno.env.get("NANO_LLM_PROFILE"));`);
    await runTool("run.ts", [file, "--out", folder, "--profile", "smoke"]);
    assertEquals(readNotebook(file).cells[0].outputs![0].text, ["smoke\n"]);
  });
});

Deno.test("a wrong command line: what is wrong, the nearest, exit code 2", async () => {
  for (
    const [args, expected] of [
      [["--timout", "3"], "no flag --timout; did you mean --timeout?"],
      [["--timeout", "soon"], '--timeout must be a number above 0 and at most 1000000, got "soon"'],
      [["--timeout", "Infinity"], 'at most 1000000, got "Infinity"'],
      [["--timeout="], 'at most 1000000, got ""'],
      [["--out="], '--out must be a folder, got ""'],
      [
        ["--profile", "labtop"],
        '--profile must be one of smoke, laptop, gpu, got "labtop"; did you mean laptop?',
      ],
      [["no-such-chapter"], 'no chapter "no-such-chapter"'],
      [["/nowhere/x.ipynb"], "no file /nowhere/x.ipynb"],
    ] as [string[], string][]
  ) {
    const { code, stderr } = await runTool("run.ts", args);
    assertEquals(code, 2);
    assertStringIncludes(stderr, expected);
  }
});

/** Starts the runner on a notebook whose second cell never ends; gives the kernel's process id. */
async function startEndless(folder: string) {
  const mark = join(folder, "mark");
  const endless = `Deno.writeTextFileSync(${
    JSON.stringify(mark)
  }, String(Deno.pid)); await new Promise(() => setInterval(() => {}, 1000));`;
  const file = writeSmall(folder, "01-small", `console.log("done");`, endless, "3;");
  const args = ["run", "-A", join(ROOT, "tools", "run.ts"), file, "--out", join(folder, "out")];
  const runner = new Deno.Command(Deno.execPath(), {
    args,
    stdout: "null",
    stderr: "null",
    cwd: ROOT,
  }).spawn();
  return { runner, kernel: Number(await waitForFile(mark)) };
}

Deno.test("Ctrl-C ends the kernel, keeps what was executed and exits with 130", async () => {
  await withFolder(async (folder) => {
    const { runner, kernel } = await startEndless(folder);
    runner.kill("SIGINT");
    assertEquals((await runner.status).code, 130);
    const { cells } = readNotebook(join(folder, "out", "01-small.ipynb"));
    assertEquals(cells.map(({ execution_count }) => execution_count), [1, 2, null]);
    assertEquals(cells[0].outputs![0].text, ["done\n"]);
    assert(await endsWithin(kernel, 2), "the kernel still runs");
  });
});

Deno.test("a kernel whose runner was killed ends by itself", async () => {
  await withFolder(async (folder) => {
    const { runner, kernel } = await startEndless(folder);
    runner.kill("SIGKILL");
    await runner.status;
    assert(await endsWithin(kernel, 10), "the kernel still runs");
  });
});

Deno.test("a notebook that is none is refused by name", async () => {
  await withFolder(async (folder) => {
    const file = join(folder, "01-broken.ipynb");
    await Deno.writeTextFile(file, "{");
    const { code, stderr } = await runTool("run.ts", [file]);
    assertEquals(code, 1);
    assertStringIncludes(stderr, "01-broken.ipynb: not valid JSON");
    writeNotebook(file, { ...notebookOf("1"), nbformat_minor: 5 });
  });
});

Deno.test("an error that no cell throws fails the run: of a promise nobody awaits, of a timer", async () => {
  const rejected = await execute([
    "1;",
    "void 0;\nPromise.reject(new RangeError('lost'));",
    "console.log('never');",
  ]);
  const { cell, name, message } = rejected.problem!;
  assertEquals([rejected.ok, cell, name], [false, "c2", "RangeError"]);
  assertStringIncludes(message, "lost");
  assertEquals(outputsOf(rejected, 2).at(-1)!.ename, "RangeError");
  const timer = `setTimeout(() => { throw new Error("late"); }, 20);`;
  const thrown = await execute([timer, "await new Promise((r) => setTimeout(r, 100));"], {
    timeoutSeconds: 20,
  });
  assertEquals([thrown.ok, thrown.problem!.name], [false, "Error"]);
  assertMatch(thrown.problem!.cell, /^c[12]$/); // on a slow machine the first cell may still be ending
  assertStringIncludes(thrown.problem!.message, "late");
  assert(thrown.seconds < 10, "it was waited for");
});

Deno.test("an error that a cell leaves for later fails the run even if the cell is the last", async () => {
  const { ok, problem } = await execute([
    `setTimeout(() => { throw new Error("after the end"); }, 30);`,
  ]);
  assertEquals([ok, problem?.cell], [false, "c1"]);
});

Deno.test("a rejection that is handled in time is none", async () => {
  const { ok } = await execute([
    `const p = Promise.reject(new Error("handled"));\nawait p.catch(() => {});`,
  ]);
  assert(ok);
});
