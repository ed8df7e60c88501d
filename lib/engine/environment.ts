/** What the program that runs us tells us. The library also loads where there is no Deno: in a browser, in Node. */

/** A variable of the environment; undefined where it is not set, or where there are none. */
export function environment(name: string): string | undefined {
  if (typeof Deno !== "undefined") return Deno.env.get(name);
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  return process?.env?.[name];
}

/** Whether what we print is read on a terminal, in which a line can be rewritten. */
export function isTerminal(): boolean {
  return typeof Deno !== "undefined" && Deno.stdout.isTerminal();
}

/**
 * The bytes of a file that belongs to the library.
 *
 * @throws Error naming the file, if it cannot be loaded
 */
export async function libraryFile(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  // Quicker than the first `fetch` of a process by some ten milliseconds.
  if (typeof Deno !== "undefined" && url.protocol === "file:") return await Deno.readFile(url);
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.href} could not be loaded: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
