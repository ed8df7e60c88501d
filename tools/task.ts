/** How a task is named to whoever reads a message. It stands alone: the doctor needs it where nothing else works. */

/**
 * How to type one of the project's tasks here: through npx where Deno came with it and is on nobody's PATH.
 *
 * @example taskCommand("start --only 05") // "npx -y deno@2.9.6 task start --only 05"
 */
export function taskCommand(task: string, deno: string = executable()): string {
  const isNpx = /[\\/](_npx|_cacache|dlx-[^\\/]*|node_modules|kernels)[\\/]/.test(deno);
  return `${isNpx ? `npx -y deno@${Deno.version.deno}` : "deno"} task ${task}`;
}

function executable(): string {
  try {
    return Deno.execPath();
  } catch { // a test that may not know
    return "";
  }
}
