import { assertEquals } from "@std/assert";
import { taskCommand } from "tools/task.ts";

Deno.test("a task is named as its reader can type it", () => {
  const npx = `npx -y deno@${Deno.version.deno} task test`;
  const places = [
    ["/home/ada/.npm/_npx/7a40/node_modules/@deno/linux-x64-glibc/deno", npx],
    ["C:\\Users\\ada\\AppData\\Local\\npm-cache\\_npx\\7a\\node_modules\\deno\\deno.exe", npx],
    ["/home/ada/.local/share/jupyter/kernels/deno/deno", npx], // the copy that the kernel keeps
    ["/home/ada/.deno/bin/deno", "deno task test"],
    ["/opt/homebrew/bin/deno", "deno task test"],
    ["", "deno task test"],
  ];
  for (const [deno, command] of places) assertEquals(taskCommand("test", deno), command, deno);
});
