/** What `deno task kernel` leaves on the disk. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { installInto } from "./client.ts";
import { runTool, withFolder } from "./kernel_support.ts";

function namesIn(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

Deno.test("the kernel's folder holds all that the front imports", async () => {
  await withFolder(async (folder) => {
    const argv = await installInto(folder);
    const front = argv.at(-2)!;
    assert(front.startsWith(folder), front);
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", "--no-config", front],
    }).output();
    assertEquals(code, 0);
    const { modules } = JSON.parse(new TextDecoder().decode(stdout));
    for (const { specifier, error } of modules) {
      assertEquals(error, undefined);
      assert(/^(node:|file:)/.test(specifier), specifier);
      if (specifier.startsWith("file:")) assertStringIncludes(specifier, "/kernels/deno/front/");
    }
  });
});

Deno.test("installed again and again from a cache that npm may empty, one Deno stays", async () => {
  await withFolder(async (folder) => {
    const cache = join(folder, "_npx", "1", "node_modules", "deno");
    await Deno.mkdir(cache, { recursive: true });
    const deno = join(cache, "deno");
    await Deno.link(Deno.execPath(), deno).catch(() => Deno.copyFile(Deno.execPath(), deno));
    const kernel = join(folder, "data", "kernels", "deno");
    await Deno.mkdir(kernel, { recursive: true });
    await Deno.writeTextFile(join(kernel, "deno.4711"), "left by an earlier version");
    const tool = join(import.meta.dirname!, "..", "..", "tools", "install-kernel.ts");
    for (let times = 0; times < 3; times++) {
      const { code } = await new Deno.Command(deno, {
        args: ["run", "-A", tool],
        env: { JUPYTER_DATA_DIR: join(folder, "data") },
        stdout: "null",
      }).output();
      assertEquals(code, 0);
      assertEquals(namesIn(kernel), ["deno", "front", "kernel.json"]);
    }
    const { argv } = JSON.parse(await Deno.readTextFile(join(kernel, "kernel.json")));
    assertEquals(argv[0], join(kernel, "deno"));
  });
});

Deno.test("an argument is refused: there is one kernel", async () => {
  const { code, stderr } = await runTool("install-kernel.ts", ["extra"]);
  assertEquals(code, 2);
  assertStringIncludes(stderr, 'no argument is needed, got "extra"');
});
