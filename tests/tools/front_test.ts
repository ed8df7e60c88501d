/** The kernel that `deno task kernel` installs, asked as JupyterLab asks it. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { dirname, join } from "node:path";
import { type Answer, type Client, installInto, KernelProgram, texts } from "./client.ts";
import { ZmtpSocket } from "tools/jupyter/zmtp.ts";
import { endsWithin, withFolder } from "./kernel_support.ts";
import { NOT_UNIX, testIf } from "../optional.ts";

/** Installs the kernel into a folder of its own and opens it for one test. */
async function withKernel(
  use: (client: Client, program: KernelProgram) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    await using program = await KernelProgram.start(await installInto(folder));
    using client = await program.client();
    await use(client, program);
  });
}

function errorOf({ shown }: Answer) {
  const found = shown.filter(({ type }) => type === "error").map(({ content }) => content);
  assertEquals(found.length, 1);
  return found[0];
}

Deno.test("a cell that is no TypeScript says why, where, and with a caret", async () => {
  await withKernel(async (client) => {
    const answer = await client.run("const a = 1;\nlet b = ;");
    const { ename, evalue, traceback } = errorOf(answer);
    assertEquals([ename, evalue], ["SyntaxError", "Expression expected (line 2)"]);
    assertEquals(traceback.slice(-2), ["  2 | let b = ;", "    |         ^"]);
    assertEquals([answer.reply.status, answer.reply.evalue], ["error", evalue]);
    const open = errorOf(await client.run("// héllo\nfunction f() {\n  return 1;\n"));
    assertEquals(open.ename, "SyntaxError");
    assertEquals((await client.run("typeof a")).reply.status, "ok");
  });
});

Deno.test("an import that cannot be resolved is named with its line", async () => {
  await withKernel(async (client) => {
    const code =
      `import { join } from "node:path";\nimport x from "npm:nano-llm-no-such-package@1";`;
    const { ename, evalue } = errorOf(await client.run(code));
    assertEquals(ename, "ImportError");
    assertStringIncludes(evalue, "nano-llm-no-such-package");
    assertStringIncludes(evalue, "(line 2)");
  });
});

Deno.test("a client that stops listening at idle misses nothing", async () => {
  await withKernel(async (client) => {
    for (let cell = 0; cell < 100; cell++) {
      const said = texts(
        await client.run(`for (let i = 0; i < 20; i++) console.log(i);\n"end ${cell}"`),
      );
      assertEquals(
        said.slice(0, -1).join(""),
        Array.from({ length: 20 }, (_, i) => `${i}\n`).join(""),
      );
      assertEquals(said.at(-1), `"end ${cell}"`);
    }
  });
});

Deno.test("an error that no cell throws is shown, and the kernel goes on", async () => {
  await withKernel(async (client) => {
    const lost = await client.run(`Promise.reject(new RangeError("lost")); 1`);
    assertStringIncludes(texts(lost).join(""), "Uncaught RangeError: lost");
    const timer = `setTimeout(() => { throw new Error("from a timer"); }, 10); 0`;
    const set = await client.run(timer);
    const next = await client.run(`await new Promise((r) => setTimeout(r, 200)); "on"`);
    const both = [...texts(set), ...texts(next)].join(""); // a slow machine is still at the first
    assertStringIncludes(both, "Uncaught Error: from a timer");
    assert(!both.includes("ext:"), "a trace of the kernel's own");
    assertEquals(texts(next).at(-1), '"on"');
  });
});

Deno.test("an error between two cells is shown beneath the second", async () => {
  await withKernel(async (client) => {
    await client.run(`setTimeout(() => { throw new Error("between"); }, 100); 0`);
    await new Promise((resolve) => setTimeout(resolve, 600));
    assertStringIncludes(texts(await client.run("1")).join(""), "Uncaught Error: between");
    assertEquals(texts(await client.run("2")), ["2"]);
  });
});

Deno.test("cells that wait behind one that fails are not run, unless it may fail", async () => {
  await withKernel(async (client) => {
    const sources = [`throw new Error("a")`, `globalThis.ran = 1`, `globalThis.ran = 2`];
    const statuses = async (more: object) => {
      const answers = await Promise.all(sources.map((code) => client.run(code, more)));
      return answers.map(({ reply }) => reply.status);
    };
    assertEquals(await statuses({ stop_on_error: true }), ["error", "aborted", "aborted"]);
    assertEquals(texts(await client.run("globalThis.ran ?? 0")), ["0"]);
    assertEquals(await statuses({ stop_on_error: false }), ["error", "ok", "ok"]);
    assertEquals(texts(await client.run("globalThis.ran")), ["2"]);
  });
});

Deno.test("two clients, one of which leaves and comes back, share a kernel", async () => {
  await withKernel(async (client, program) => {
    await client.run("var shared = 1;");
    for (let times = 1; times <= 3; times++) {
      using other = await program.client();
      const [mine, theirs] = await Promise.all([
        client.run(`"mine ${times}"`),
        other.run(`"theirs " + shared++`),
      ]);
      assertEquals([...texts(mine), ...texts(theirs)], [`"mine ${times}"`, `"theirs ${times}"`]);
    }
    assertEquals(texts(await client.run("shared")), ["4"]);
  });
});

Deno.test("a client that does not read its outputs holds nobody up for long", async () => {
  await withKernel(async (client, program) => {
    const deaf = await ZmtpSocket.connect(program.ports.iopub, "SUB");
    await client.run("1");
    const start = performance.now();
    const flood = `for (let i = 0; i < 200; i++) console.log("x".repeat(1e5)); "end"`;
    const said = texts(await client.run(flood));
    assertEquals(said.at(-1), '"end"');
    assertEquals(said.slice(0, -1).join("").length, 200 * (1e5 + 1));
    assert(performance.now() - start < 20_000);
    deaf.close();
  });
});

Deno.test("what is not a cell passes through: names, completeness, completions, input", async () => {
  await withKernel(async (client) => {
    const info = await client.ask("kernel_info_request", {});
    assertEquals(info.reply.implementation, "Deno kernel");
    const { reply } = await client.ask("is_complete_request", { code: "function f( {" });
    assertEquals(reply.status, "incomplete");
    const completion = await client.ask("complete_request", { code: "conso", cursor_pos: 5 });
    assertEquals(completion.reply.matches, ["console"]);
    const asked = await client.run(`prompt("name?")`, { allow_stdin: true }, (message) => {
      if (message.type === "input_request") client.input("Ada");
    });
    assertEquals(texts(asked).at(-1), '"Ada"');
  });
});

testIf(
  NOT_UNIX,
  "Stop keeps the kernel, and a cell that does not listen is told so",
  async () => {
    await withKernel(async (client, program) => {
      await client.run("var kept = 1;");
      const stopIn = (ms: number) => setTimeout(() => program.child.kill("SIGINT"), ms);
      stopIn(200);
      stopIn(400); // and again
      const waits = await client.run("await new Promise((r) => setTimeout(r, 3000)); kept");
      assertStringIncludes(texts(waits)[0], "Stop was heard, and this cell still runs");
      assertEquals(texts(waits).at(-1), "1");
      stopIn(200);
      const deaf = await client.run(
        "{ const end = Date.now() + 3000; while (Date.now() < end); } kept",
      );
      assertStringIncludes(texts(deaf)[0], "cannot hear Stop");
      assertEquals(texts(deaf).at(-1), "1");
      program.child.kill("SIGINT"); // between cells
      const { reply } = await client.ask("interrupt_request", {}, "control"); // as a message
      assertEquals(reply.status, "ok");
      assertEquals(texts(await client.run("kept")), ["1"]);
    });
  },
);

Deno.test("a kernel that computes for ever can be ended; nothing of it stays", async () => {
  await withKernel(async (client, program) => {
    const { shown } = await client.run("console.log(Deno.pid);");
    const inner = Number(shown.find(({ type }) => type === "stream")!.content.text);
    client.run("while (true);");
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { reply } = await client.ask("shutdown_request", { restart: true }, "control");
    assertEquals([reply.status, reply.restart], ["ok", true]);
    await program.child.status;
    assert(await endsWithin(inner, 5), "Deno's kernel still runs");
  });
});

Deno.test("a kernel that ends says so with its exit code", async () => {
  await withKernel(async (client, program) => {
    client.run("Deno.exit(3);");
    assertEquals((await program.child.status).code, 3);
  });
});

Deno.test("a front that cannot stand leaves the door to Deno's own kernel", async () => {
  await withFolder(async (folder) => {
    const argv = await installInto(folder);
    const door = join(dirname(argv.at(-2)!), "door.ts");
    await Deno.writeTextFile(
      door,
      `export class Door { constructor() { throw new Error("broken"); } }`,
    );
    await using program = await KernelProgram.start(argv);
    using client = await program.client();
    assertEquals((await client.run("1")).reply.status, "ok");
    await client.ask("shutdown_request", { restart: false }, "control");
    assertEquals((await program.child.status).code, 0);
  });
});
