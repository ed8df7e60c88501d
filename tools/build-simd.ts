/**
 * Compiles the CPU kernels, lib/engine/simd/assembly/*.ts (AssemblyScript), to the WebAssembly modules that stand
 * beside that folder: kernels.wasm, for engines that have relaxed SIMD, and kernels-plain.wasm, for the others.
 *
 *     deno run -A tools/build-simd.ts            write both
 *     deno run -A tools/build-simd.ts --check    write nothing; exit 1 if a file is not what the source gives
 */
import { TABLES } from "../lib/engine/simd/assembly/codes.ts";

const FOLDER = new URL("../lib/engine/simd/", import.meta.url);

/** The modules by file name, and what each may use beyond plain SIMD. */
export const MODULES: Record<string, string[]> = {
  "kernels.wasm": ["relaxed-simd"],
  "kernels-plain.wasm": [],
};

/**
 * Compiles the kernels.
 *
 * @param features WebAssembly features beyond SIMD and threads, such as `relaxed-simd`
 * @returns the module's bytes, the same on every machine
 * @throws Error with the compiler's messages, if the source does not compile
 */
export async function compileKernels(features: string[]): Promise<Uint8Array> {
  const { default: asc } = await import("assemblyscript/asc");
  let module: Uint8Array | undefined;
  const messages = asc.createMemoryStream();
  const { error } = await asc.main([
    "index.ts",
    "--outFile",
    "kernels.wasm",
    ...["-O3", "--noAssert", "--runtime", "stub", "--uncheckedBehavior", "always"],
    ...["--enable", ["simd", "threads", "bulk-memory", ...features].join(",")],
    ...["--importMemory", "--sharedMemory", "--initialMemory", "1", "--maximumMemory", "65536"],
    ...["--memoryBase", String(TABLES)],
  ], {
    stderr: messages,
    readFile: (name) => Deno.readTextFile(new URL(`assembly/${name}`, FOLDER)).catch(() => null),
    writeFile: (_name, contents) => void (module = contents as Uint8Array),
    listFiles: () => [],
  });
  if (error || !module) {
    throw new Error(`the kernels do not compile:\n${messages.toString()}${error ?? ""}`);
  }
  return module;
}

/** Whether two files hold the same bytes. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

async function main(check: boolean): Promise<void> {
  for (const [name, features] of Object.entries(MODULES)) {
    const bytes = await compileKernels(features);
    const file = new URL(name, FOLDER);
    if (!check) await Deno.writeFile(file, bytes);
    const same = sameBytes(bytes, await Deno.readFile(file));
    console.log(
      `${name}: ${bytes.length} bytes${
        same ? "" : ", but the file differs: run tools/build-simd.ts"
      }`,
    );
    if (!same) Deno.exitCode = 1;
  }
}

if (import.meta.main) await main(Deno.args.includes("--check"));
