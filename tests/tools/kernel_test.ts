import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { Kernel } from "tools/jupyter/kernel.ts";
import { MessageCoder } from "tools/jupyter/messages.ts";
import { ROOT } from "tools/notebook.ts";
import { execute, outputsOf } from "./kernel_support.ts";

Deno.test("a hundred cells that print twenty lines and return a value lose nothing", async () => {
  const sources = Array.from(
    { length: 100 },
    (_, cell) => `for (let i = 0; i < 20; i++) console.log("${cell}:", i); ${cell}`,
  );
  const execution = await execute(sources);
  for (let cell = 0; cell < 100; cell++) {
    const [stream, result, ...more] = outputsOf(execution, cell + 1);
    assertEquals(stream.text, Array.from({ length: 20 }, (_, i) => `${cell}: ${i}\n`).join(""));
    assertEquals(result.data, { "text/plain": `${cell}` });
    assertEquals([result.execution_count, more.length], [cell + 1, 0]);
  }
});

Deno.test("a cell that prints a lot and ends at once loses nothing", async () => {
  const source = `for (let i = 0; i < 3000; i++) console.log("x".repeat(100));`;
  const execution = await execute([
    source,
    `Deno.jupyter.display({ "text/plain": "y".repeat(3e6) }, { raw: true });`,
  ]);
  assertEquals((outputsOf(execution, 1)[0].text as string).length, 3000 * 101);
  const [{ data }] = outputsOf(execution, 2);
  assertEquals((data as Record<string, string>)["text/plain"].length, 3e6);
});

Deno.test("a display is redrawn in place, by its own cell and by a later one", async () => {
  const show = (text: string, update = false) =>
    `await Deno.jupyter.display({ "text/plain": "${text}" }, { raw: true, display_id: "d", update: ${update} });`;
  const execution = await execute([
    `${show("one")} console.log("between"); ${show("two", true)}`,
    show("three", true),
  ]);
  assertEquals(outputsOf(execution, 1).map(({ output_type }) => output_type), [
    "display_data",
    "stream",
  ]);
  assertEquals(outputsOf(execution, 1)[0].data, { "text/plain": "three" });
  assertEquals(outputsOf(execution, 2), []);
});

Deno.test("a progress display is heard while the cell runs", async () => {
  const heard: string[] = [];
  const source = `for (const step of [1, 2]) await Deno.jupyter.broadcast("display_data",
    { data: { "text/plain": "step " + step }, metadata: { "nano-llm": "progress" }, transient: { display_id: "p" } });
    await Deno.jupyter.display({ "text/plain": "no progress" }, { raw: true });`;
  await execute([source], { onProgress: (line) => heard.push(line) });
  assertEquals(heard, ["step 1", "step 2"]);
});

Deno.test("clear_output takes away what was shown, at once or with the next output", async () => {
  const clear = (wait: boolean) =>
    `await Deno.jupyter.broadcast("clear_output", { wait: ${wait} });`;
  const execution = await execute([
    `console.log("old"); ${clear(false)}`,
    `console.log("old"); ${clear(true)}`,
    `console.log("old"); ${clear(true)} console.log("new");`,
  ]);
  const texts = [1, 2, 3].map((cell) => outputsOf(execution, cell).map(({ text }) => text));
  assertEquals(texts, [[], ["old\n"], ["new\n"]]);
});

Deno.test("a kernel that dies is reported at once, with its exit code and what it last printed", async () => {
  const start = performance.now();
  const source = `console.log("before");
    Deno.writeTextFileSync("/dev/stderr", "last words\\n");
    Deno.exit(3);`;
  const { ok, problem, cells, notebook } = await execute(["1", source, "2"]);
  assertEquals([ok, cells, problem?.cell, problem?.name], [false, 1, "c2", "KernelError"]);
  assertStringIncludes(problem!.message, "exit code 3");
  assertStringIncludes(problem!.message, "last words");
  assertEquals(notebook.cells[2].execution_count, null);
  assert(performance.now() - start < 10_000, "it was waited for");
});

Deno.test("a cell that takes too long is ended", async () => {
  for (
    const source of ["while (true) {}", "await new Promise(() => setInterval(() => {}, 1000));"]
  ) {
    const { problem, seconds } = await execute([`console.log("before");`, source], {
      timeoutSeconds: 1,
    });
    assertEquals([problem?.cell, problem?.message], [
      "c2",
      "not finished after 1 s, the time limit",
    ]);
    assert(seconds < 15);
  }
});

Deno.test("a signal stops the kernel; what was executed stays", async () => {
  const controller = new AbortController();
  const onCell = (number: number) => number === 2 && setTimeout(() => controller.abort(), 200);
  const sources = [`console.log("done");`, `console.log("half"); while (true) {}`, "3"];
  const execution = await execute(sources, {
    signal: controller.signal,
    onCell,
    timeoutSeconds: 20,
  });
  assertEquals([execution.cells, execution.problem?.message], [1, "stopped"]);
  assertEquals(outputsOf(execution, 1)[0].text, "done\n");
});

Deno.test("a port that another program takes in the meantime costs a second try only", async () => {
  const squatter = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const listen = Deno.listen;
  let calls = 0;
  const lying = (options: Deno.TcpListenOptions & { transport?: "tcp" }) => {
    const listener = listen(options);
    if (calls++ > 0) return listener;
    return { addr: squatter.addr, close: () => listener.close() } as unknown as Deno.TcpListener;
  };
  Object.defineProperty(Deno, "listen", { value: lying, configurable: true, writable: true });
  try {
    const kernel = await Kernel.start({ cwd: ROOT });
    assertEquals(await kernel.execute("1"), { ok: true });
    await kernel.shutdown();
    assert(calls > 5, "the first ports were used");
  } finally {
    Object.defineProperty(Deno, "listen", { value: listen, configurable: true, writable: true });
    squatter.close();
  }
});

Deno.test("a message that was not signed with the key is refused", async () => {
  const [ours, theirs] = await Promise.all([
    MessageCoder.create("ours"),
    MessageCoder.create("theirs"),
  ]);
  const { parts, id } = await ours.encode("stream", { text: "x" });
  assertEquals((await ours.decode(parts)).id, id);
  await assertRejects(() => theirs.decode(parts), Error, "wrong signature");
  await assertRejects(() => ours.decode(parts.slice(1)), Error, "without Jupyter's parts");
});

Deno.test("the simd backend computes in the kernel, with its workers", async () => {
  const execution = await execute([
    `import * as tf from "@tensorflow/tfjs";
     import { registerSimdBackend, simdBackend } from "lib/engine/simd/mod.ts";
     await registerSimdBackend({ threads: 2 });
     await tf.setBackend("simd");
     const { pool } = simdBackend()!;
     await pool.ready(60_000);
     const [sum] = await tf.sum(tf.matMul(tf.ones([300, 200]), tf.ones([200, 100]))).data();
     console.log(pool.workers, sum);`,
  ]);
  assertEquals(outputsOf(execution, 1)[0].text, `1 ${300 * 200 * 100}\n`);
});
