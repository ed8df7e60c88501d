/**
 * The library's tests with JSR's own @std/assert in the place of the local package of that name: `deno task test:jsr`.
 * They must pass with both.
 */
import { join } from "node:path";
import { ROOT } from "./notebook.ts";

const META = "https://jsr.io/@std/assert/meta.json";
const CONFIG = join(ROOT, "deno.jsr.json");

async function isReachable(): Promise<boolean> {
  try {
    const response = await fetch(META, { signal: AbortSignal.timeout(10_000) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

async function main(): Promise<number> {
  if (!await isReachable()) {
    console.error(
      "nothing was tested: JSR cannot be reached from here. The same tests without it: deno test -P",
    );
    return 1;
  }
  const config = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json")));
  delete config.links;
  try {
    // In the project's own folder: its relative paths must mean the same.
    await Deno.writeTextFile(CONFIG, JSON.stringify(config));
    const args = ["test", "-P", "--no-lock", "--config", CONFIG];
    const { code } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT }).spawn().status;
    return code;
  } finally {
    await Deno.remove(CONFIG).catch(() => {});
  }
}

if (import.meta.main) Deno.exit(await main());
