/** A Jupyter client as JupyterLab is one: what comes after a request's "idle" it does not see. */
import { assertEquals } from "@std/assert";
import { join } from "node:path";
import { type Content, type Message, MessageCoder } from "tools/jupyter/messages.ts";
import { ZmtpSocket } from "tools/jupyter/zmtp.ts";
import { ROOT } from "tools/notebook.ts";
import { runTool } from "./kernel_support.ts";

/** The argv of a kernelspec that starts Deno's own kernel. */
export const PLAIN_KERNEL = [Deno.execPath(), "jupyter", "--kernel", "--conn", "{connection_file}"];

/** Runs `deno task kernel` for a Jupyter whose data are in `folder`; gives the argv of what it installed. */
export async function installInto(folder: string): Promise<string[]> {
  const { code, stderr } = await runTool("install-kernel.ts", [], { JUPYTER_DATA_DIR: folder });
  assertEquals(code, 0, stderr);
  const file = join(folder, "kernels", "deno", "kernel.json");
  return JSON.parse(await Deno.readTextFile(file)).argv;
}

/** A kernel process, started as Jupyter starts one: with a connection file, in a process group of its own. */
export class KernelProgram implements AsyncDisposable {
  private constructor(
    readonly ports: Record<string, number>,
    readonly key: string,
    readonly child: Deno.ChildProcess,
    readonly folder: string,
  ) {}

  static async start(argv: string[], env: Record<string, string> = {}): Promise<KernelProgram> {
    const folder = await Deno.makeTempDir({ prefix: "nano-llm-client-" });
    const key = crypto.randomUUID();
    const listeners = ["shell", "iopub", "stdin", "control", "hb"].map((name) =>
      [name, Deno.listen({ hostname: "127.0.0.1", port: 0 })] as const
    );
    const ports = Object.fromEntries(listeners.map(([name, { addr }]) => [name, addr.port]));
    for (const [, listener] of listeners) listener.close();
    const file = join(folder, "connection.json");
    const named = Object.fromEntries(
      Object.entries(ports).map(([name, port]) => [`${name}_port`, port]),
    );
    const common = { ip: "127.0.0.1", transport: "tcp", signature_scheme: "hmac-sha256", key };
    await Deno.writeTextFile(file, JSON.stringify({ ...common, ...named }));
    const [program, ...args] = argv.map((arg) => arg.replace("{connection_file}", file));
    const child = new Deno.Command(program, {
      args,
      cwd: ROOT,
      env: { NO_COLOR: "1", ...env },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    return new KernelProgram(ports, key, child, folder);
  }

  /** Connects as one client: JupyterLab has one for each tab. */
  async client(): Promise<Client> {
    const identity = crypto.randomUUID();
    const connect = async (name: string, type: "DEALER" | "SUB") => {
      for (let tries = 0;; tries++) {
        try {
          return await ZmtpSocket.connect(this.ports[name], type, identity);
        } catch (error) {
          if (tries > 500) throw error;
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
    };
    const iopub = await connect("iopub", "SUB");
    const [shell, control, stdin] = [
      await connect("shell", "DEALER"),
      await connect("control", "DEALER"),
      await connect("stdin", "DEALER"),
    ];
    const client = new Client(await MessageCoder.create(this.key), {
      iopub,
      shell,
      control,
      stdin,
    });
    await client.untilHeard();
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.child.kill("SIGTERM");
    } catch { /* it has ended */ }
    await this.child.status;
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** What came back for a request. */
export interface Answer {
  reply: Content;
  /** messages that belong to it, up to its "idle" */
  shown: Message[];
}

/** One client's connections. */
export class Client implements Disposable {
  readonly #waiting = new Map<string, (message: Message) => void>();
  #sent: Promise<unknown> = Promise.resolve();

  constructor(
    readonly coder: MessageCoder,
    readonly sockets: Record<"iopub" | "shell" | "control" | "stdin", ZmtpSocket>,
  ) {
    for (const socket of Object.values(sockets)) this.#read(socket);
  }

  async #read(socket: ZmtpSocket): Promise<void> {
    try {
      while (true) {
        const message = await this.coder.decode(await socket.receive());
        this.#waiting.get(message.parent ?? "")?.(message);
      }
    } catch { /* closed */ }
  }

  /** Sends a request; gives its reply and what it showed. */
  async ask(
    type: string,
    content: Content,
    channel: "shell" | "control" = "shell",
    onMessage: (message: Message) => void = () => {},
  ): Promise<Answer> {
    const turn = this.#sent.then(() => this.coder.encode(type, content));
    this.#sent = turn; // requests leave in the order of the calls
    const { id, parts } = await turn;
    const reply = Promise.withResolvers<Content>();
    const idle = Promise.withResolvers<void>();
    const shown: Message[] = [];
    this.#waiting.set(id, (message) => {
      onMessage(message);
      if (message.type.endsWith("_reply")) reply.resolve(message.content);
      else if (message.type !== "status") shown.push(message);
      else if (message.content.execution_state === "idle") idle.resolve();
    });
    await this.sockets[channel].send(parts);
    const answer = { reply: await reply.promise, shown };
    if (channel === "shell") await idle.promise;
    this.#waiting.delete(id);
    return answer;
  }

  /** Runs a cell. */
  run(
    code: string,
    more: Content = {},
    onMessage?: (message: Message) => void,
  ): Promise<Answer> {
    const content = { code, silent: false, store_history: true, allow_stdin: false, ...more };
    return this.ask("execute_request", content, "shell", onMessage);
  }

  /** Answers an `input_request`. */
  async input(value: string): Promise<void> {
    await this.sockets.stdin.send((await this.coder.encode("input_reply", { value })).parts);
  }

  /** Waits until the kernel has noticed that this client subscribed: until then, no "idle" comes. */
  async untilHeard(): Promise<void> {
    for (let heard = false; !heard;) {
      const info = this.ask("kernel_info_request", {}).then(() => true);
      const late = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 300));
      heard = await Promise.race([info, late]);
    }
  }

  [Symbol.dispose](): void {
    for (const socket of Object.values(this.sockets)) socket.close();
  }
}

/** What streams and results say, in order. */
export function texts({ shown }: Answer): string[] {
  return shown.filter(({ type }) => type !== "execute_input").map(({ content }) =>
    content.text ?? content.data?.["text/plain"] ?? content.evalue
  );
}
