/** Versions of Deno with which results would be wrong. */
/** The Deno that the book was written and tested with. */
export const TESTED_DENO = "2.9.6";

/** Why a version of Deno must not be used, or undefined. */
export function brokenDeno(version: string): string | undefined {
  if (!/^2\.8\.[23]\b/.test(version)) return undefined;
  return `Deno ${version} reports a cell that throws as finished without an error ` +
    `(denoland/deno#35290): use ${TESTED_DENO}, such as npx -y deno@${TESTED_DENO} task …`;
}

/** Ends a program that would believe what this Deno's kernel says. */
export function refuseBrokenDeno(): void {
  const problem = brokenDeno(Deno.version.deno);
  if (!problem) return;
  console.error(`✗ ${problem}`);
  Deno.exit(1);
}
