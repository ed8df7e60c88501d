/** The Stop button, pressed on a program of its own: here the signal would end the test runner. */
import { assertEquals } from "@std/assert";
import { join } from "node:path";
import { NOT_UNIX, testIf } from "../optional.ts";

testIf(
  NOT_UNIX,
  "the Stop button's signal ends a run and not the program",
  async () => {
    const program = `
        import { useBackend } from "lib/engine/backend.ts";
        import { Trainer } from "lib/train.ts";
        import { GPT } from "lib/transformer.ts";
        await useBackend("cpu");
        const model = new GPT({ vocabSize: 4, blockSize: 4, nLayer: 1, nHead: 1, nEmbd: 4 });
        const train = Uint16Array.from({ length: 50 }, (_, i) => i % 4);
        const trainer = new Trainer({ model, train, steps: 5000, batchSize: 1 });
        let sent = false;
        const onStep = () => void (sent ||= (Deno.kill(Deno.pid, "SIGINT"), true));
        const { stopped } = await trainer.run({ onStep });
        console.log(stopped && trainer.step < 500 ? "stopped and alive" : \`step \${trainer.step}\`);
        Deno.kill(Deno.pid, "SIGINT"); // after the run a signal means what it always means
        await new Promise((resolve) => setTimeout(resolve, 2000));
        console.log("the listener is still there");`;
    const root = join(import.meta.dirname!, "..", "..");
    const args = ["run", "-A", "--no-check", "--config", join(root, "deno.json"), "--ext=ts", "-"];
    const child = new Deno.Command(Deno.execPath(), {
      args,
      cwd: root,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(program));
    await writer.close();
    const { stdout, stderr } = await child.output();
    const said = new TextDecoder();
    assertEquals(said.decode(stdout).trim(), "stopped and alive", said.decode(stderr));
  },
);
