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
