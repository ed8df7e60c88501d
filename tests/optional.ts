/** Tests of what not every machine has. */

/**
 * Registers a test for machines that have what it needs. Elsewhere it is skipped, and its name says why: `deno task test` counts the
 * reasons, and `deno task test --no-skips` takes each for a failure.
 *
 * @param problem why it cannot run here; empty if it can
 */
export function testIf(
  problem: string,
  name: string,
  fn: Deno.TestDefinition["fn"],
  options: Partial<Deno.TestDefinition> = {},
): void {
  const full = problem ? `${name}: skipped, ${problem}` : name;
  Deno.test({ ...options, name: full, ignore: problem !== "", fn });
}

/** For tests on the graphics card: its device and tfjs's engine outlive one test. */
export const SHARED_DEVICE = { sanitizeOps: false, sanitizeResources: false };

/** Why there are no signals, pipes, links and file modes as tests use them. */
export const NOT_UNIX = Deno.build.os === "windows" ? "this is Windows, not Unix" : "";
