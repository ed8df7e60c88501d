/**
 * A thin kernel in front of Deno's, for JupyterLab, VS Code and every other client: `front.ts CONNECTION_FILE`.
 *
 * It passes everything on, and adds what Deno's kernel (2.9.6) leaves out:
 * - a cell counts as done only when all that it shows has been sent (clients drop what comes after "idle");
 * - a cell that the kernel refuses says why, with the line and a caret;
 * - Stop does not end the kernel; a cell that does not listen to it is told so;
 * - an error of a promise that nobody awaits, or of a timer, is shown;
 * - after a cell that fails, those that wait behind it ("Run All") are not run.
 *
 * It needs nothing but Deno and the files beside it, since it is copied into the kernel's folder.
 */
import { Door } from "./door.ts";
import {
  executeContent,
  HEARD,
  LOST,
  LOST_WORDS,
  MARK,
  markCode,
  markOf,
  watchCode,
} from "./inside.ts";
import { type Content, type Letter, MessageCoder } from "./messages.ts";
import { delay, KernelProcess } from "./process.ts";
import { errorContent, NO_REASON, whyRefused } from "./refusal.ts";
import { ZmtpSocket } from "./zmtp.ts";

/** What Jupyter writes into a connection file. */
interface ConnectionFile {
  ip: string;
  key: string;
  shell_port: number;
  iopub_port: number;
  stdin_port: number;
  control_port: number;
  hb_port: number;
}

/** A request to run code, and who asks. */
interface Cell {
  letter: Letter;
  parts: Uint8Array[];
  client: ZmtpSocket;
  reply: PromiseWithResolvers<Letter>;
  idle: PromiseWithResolvers<Uint8Array[]>;
  /** Clients stop listening: what is said of it now is lost. */
  isOver?: boolean;
}

type Inner = Record<"shell" | "control" | "stdin" | "iopub", ZmtpSocket>;

const START_SECONDS = 60;
/** How long we wait for what a cell shows late, before its reply is sent all the same. */
const MARK_MS = 10_000;
/** How long we look for the reason of a refusal: an import may be fetched from far away. */
const EXPLAIN_MS = 60_000;
/** How long a cell may go on after Stop before we say why. */
const STOP_MS = 1500;
const SHUTDOWN_MS = 2000;

const STOP_WAITS = "Stop was heard, and this cell still runs: it ends where it listens to Stop " +
  "(training: after its step), or else at its end. To end it at once, restart the kernel; its variables are lost then.\n";
const STOP_IS_DEAF = "This cell computes without a pause and cannot hear Stop. " +
  "Wait for its end, or restart the kernel; its variables are lost then.\n";

class Front {
  readonly #process: KernelProcess;
  readonly #coder: MessageCoder;
  readonly #inner: Inner;
  readonly #doors: Record<"shell" | "control" | "stdin" | "iopub", Door>;
  /** who waits for the reply to a request, by its id */
  readonly #clients = new Map<string, ZmtpSocket>();
  readonly #evaluations = new Map<string, (content: Content) => void>();
  /** ids of our own requests */
  readonly #own = new Set<string>();
  #queue: Cell[] = [];
  #running: Cell | undefined;
  #last: Content = {};
  /** Lines for the next cell. */
  readonly #unsaid: string[] = [];
  #stopHeard = false;

  private constructor(
    process: KernelProcess,
    coder: MessageCoder,
    inner: Inner,
    file: ConnectionFile,
  ) {
    this.#process = process;
    this.#coder = coder;
    this.#inner = inner;
    const door = (port: number, channel: "shell" | "control" | "stdin") =>
      new Door(file.ip, port, "ROUTER", (parts, client) => this.#ask(channel, parts, client));
    this.#read(inner.iopub, (parts) => this.#show(parts));
    this.#read(inner.shell, (parts) => this.#answer(parts));
    this.#read(inner.control, (parts) => this.#answer(parts));
    this.#read(inner.stdin, (parts) => this.#askForInput(parts));
    this.#doors = {
      iopub: new Door(file.ip, file.iopub_port, "PUB", () => {}),
      shell: door(file.shell_port, "shell"),
      control: door(file.control_port, "control"),
      stdin: door(file.stdin_port, "stdin"),
    };
    new Door(file.ip, file.hb_port, "REP", (parts, client) => client.send(parts));
  }

  static async start(file: ConnectionFile): Promise<Front> {
    const process = await KernelProcess.spawn({
      cwd: Deno.cwd(),
      key: file.key,
      onLog: console.error,
    });
    try {
      const front = await process.unlessDead(Front.#connect(process, file), START_SECONDS);
      process.exited.then(async ({ code }) => {
        await delay(100); // for what is on its way
        Deno.exit(code);
      });
      return front;
    } catch (error) {
      await process.kill();
      throw error;
    }
  }

  static async #connect(process: KernelProcess, file: ConnectionFile): Promise<Front> {
    const identity = crypto.randomUUID();
    const { ports } = process;
    const connect = (channel: "shell" | "control" | "stdin" | "iopub", type: "DEALER" | "SUB") =>
      process.untilListening(() => ZmtpSocket.connect(ports[channel], type, identity));
    const inner = {
      iopub: await connect("iopub", "SUB"),
      shell: await connect("shell", "DEALER"),
      control: await connect("control", "DEALER"),
      stdin: await connect("stdin", "DEALER"),
    };
    const front = new Front(process, await MessageCoder.create(file.key), inner, file);
    while (!await within(100, front.#evaluate(watchCode(Deno.pid)))); // until our subscription counts
    await process.forgetFile();
    return front;
  }

  /** Reads one of the kernel's sockets; what goes wrong with a message is said, and the next is read. */
  async #read(socket: ZmtpSocket, hear: (parts: Uint8Array[]) => Promise<void>): Promise<void> {
    while (true) {
      const parts = await socket.receive().catch(() => undefined);
      if (!parts) return; // the kernel ends; its exit code says more
      await hear(parts).catch(complain);
    }
  }

  async #ask(
    channel: "shell" | "control" | "stdin",
    parts: Uint8Array[],
    client: ZmtpSocket,
  ): Promise<void> {
    const letter = await this.#coder.open(parts).catch(complain);
    if (!letter) return;
    const { msg_id, msg_type } = letter.header;
    if (channel === "shell" && msg_type === "execute_request") {
      return this.#enqueue(letter, parts, client);
    }
    if (channel !== "stdin") this.#clients.set(msg_id, client);
    if (msg_type === "shutdown_request") this.#insistOnEnd(letter, client);
    if (msg_type === "interrupt_request") {
      this.stop();
      const reply = await this.#write("interrupt_reply", letter.header, { status: "ok" });
      return await client.send(reply); // Deno's kernel would hang on it
    }
    await this.#inner[channel].send(parts);
  }

  /** A kernel that computes without a pause does not hear that it should end. */
  async #insistOnEnd(letter: Letter, client: ZmtpSocket): Promise<void> {
    await delay(SHUTDOWN_MS);
    const content = { status: "ok", ...letter.content };
    await client.send(await this.#write("shutdown_reply", letter.header, content)).catch(() => {});
    await this.#process.kill();
  }

  async #answer(parts: Uint8Array[]): Promise<void> {
    const letter = await this.#coder.open(parts);
    const id = letter.parent.msg_id;
    if (this.#own.has(id)) return this.#evaluations.get(id)?.(letter.content);
    if (id === this.#running?.letter.header.msg_id) return this.#running!.reply.resolve(letter);
    await this.#clients.get(id)?.send(parts);
    this.#clients.delete(id);
  }

  async #askForInput(parts: Uint8Array[]): Promise<void> {
    const asks = this.#running?.client.peer;
    if (asks !== undefined) await this.#doors.stdin.find(asks)?.send(parts);
  }

  #enqueue(letter: Letter, parts: Uint8Array[], client: ZmtpSocket): void {
    const [reply, idle] = [
      Promise.withResolvers<Letter>(),
      Promise.withResolvers<Uint8Array[]>(),
    ];
    this.#queue.push({ letter, parts, client, reply, idle });
    this.#next();
  }

  async #next(): Promise<void> {
    if (this.#running) return;
    this.#running = this.#queue.shift();
    if (!this.#running) return;
    await this.#run(this.#running).catch(complain);
    this.#running = undefined;
    this.#next();
  }

  async #run(cell: Cell): Promise<void> {
    this.#last = cell.letter.header;
    for (const text of this.#unsaid.splice(0)) await this.#say(text);
    await this.#inner.shell.send(cell.parts);
    const [reply, idle] = await Promise.all([cell.reply.promise, cell.idle.promise]);
    await this.#complete(cell, reply).catch(complain);
    cell.isOver = true;
    await cell.client.send(await this.#coder.seal(reply)).catch(() => {}); // who asked may be gone
    await this.#doors.iopub.publish(idle);
    if (reply.content.status === "error" && cell.letter.content.stop_on_error !== false) {
      for (const waiting of this.#queue.splice(0)) await this.#skip(waiting);
    }
  }

  /** What Deno's kernel leaves out before a cell's end. */
  async #complete(cell: Cell, reply: Letter): Promise<void> {
    await within(MARK_MS, this.#evaluate("null"));
    if (isSilent(reply.content)) await this.#explain(cell, reply);
  }

  /** Writes into the reply, and beneath the cell, why the kernel refused it. */
  async #explain({ letter: { header, content } }: Cell, reply: Letter): Promise<void> {
    const evaluate = (expression: string) => this.#evaluate(expression);
    const [refusal] = await within(EXPLAIN_MS, whyRefused(content.code, evaluate)) ?? [NO_REASON];
    const error = errorContent(content.code, refusal);
    Object.assign(reply.content, error);
    await this.#publish("error", header, error);
  }

  /** Answers a cell that is not run since one before it failed. */
  async #skip({ letter: { header }, client }: Cell): Promise<void> {
    await this.#publish("status", header, { execution_state: "busy" });
    const reply = await this.#write("execute_reply", header, { status: "aborted" });
    await client.send(reply).catch(() => {});
    await this.#publish("status", header, { execution_state: "idle" });
  }

  async #show(parts: Uint8Array[]): Promise<void> {
    const letter = await this.#coder.open(parts);
    const { header: { msg_type }, content } = letter;
    const mark = markOf(content);
    if (mark !== undefined) return await this.#hearMark(mark, content);
    const id = letter.parent?.msg_id;
    if (this.#own.has(id)) {
      if (/^(status|execute_input)$/.test(msg_type)) return;
      // A cell's late output: the kernel takes it for our request's.
      return await this.#doors.iopub.publish(
        await this.#coder.seal({ ...letter, parent: this.#last }),
      );
    }
    const isEnd = msg_type === "status" && content.execution_state === "idle";
    if (isEnd && id === this.#running?.letter.header.msg_id) {
      return this.#running!.idle.resolve(parts);
    }
    await this.#doors.iopub.publish(parts);
  }

  async #hearMark(mark: string, content: Content): Promise<void> {
    const value = content.data["application/json"];
    if (mark === HEARD) this.#stopHeard = true;
    else if (mark === LOST) await this.#sayOrKeep(lostWords(value));
    else this.#evaluations.get(mark)?.(content);
  }

  /** The value of an expression in the kernel, out of the same queue as the outputs; undefined if it has none. */
  async #evaluate(expression: string): Promise<unknown> {
    const mark = MARK + crypto.randomUUID();
    const { id, parts } = await this.#coder.encode(
      "execute_request",
      executeContent(markCode(mark, expression), true),
    );
    const { promise, resolve } = Promise.withResolvers<unknown>();
    this.#own.add(id);
    this.#evaluations.set(id, ({ status }) => status === "ok" || resolve(undefined));
    this.#evaluations.set(mark, ({ data }) => resolve({ value: data["application/json"] }));
    await this.#inner.shell.send(parts);
    const found = await promise as { value: unknown } | undefined;
    this.#evaluations.delete(mark);
    return found?.value;
  }

  async #write(type: string, parent: Content, content: Content): Promise<Uint8Array[]> {
    const header = this.#coder.header(type);
    return await this.#coder.seal({
      route: [],
      header,
      parent,
      metadata: {},
      content,
      buffers: [],
    });
  }

  async #publish(type: string, parent: Content, content: Content): Promise<void> {
    await this.#doors.iopub.publish(await this.#write(type, parent, content));
  }

  /** Between two cells nobody listens: then it is said beneath the next one. */
  async #sayOrKeep(text: string): Promise<void> {
    if (this.#running && !this.#running.isOver) await this.#say(text);
    else this.#unsaid.push(text);
  }

  /** A line beneath the cell that runs, or ran last. */
  async #say(text: string): Promise<void> {
    await this.#publish("stream", this.#last, { name: "stderr", text });
  }

  /** Stop was pressed: passes it on, and says so if the cell goes on. */
  async stop(): Promise<void> {
    const cell = this.#running;
    this.#stopHeard = false;
    this.#process.interrupt();
    await delay(STOP_MS);
    if (!cell || this.#running !== cell) return;
    await this.#say(this.#stopHeard ? STOP_WAITS : STOP_IS_DEAF);
  }

  async end(): Promise<void> {
    await this.#process.kill();
  }
}

function isSilent({ status, traceback }: Content): boolean {
  return status === "error" && !traceback?.length;
}

function lostWords({ traceback }: { traceback: string[] }): string {
  return `Uncaught ${traceback.join("\n")}\n    ${LOST_WORDS}\n`;
}

/** What a promise gives within so many milliseconds, as the only element; undefined if it is late. */
async function within<T>(ms: number, promise: Promise<T>): Promise<[T] | undefined> {
  return await Promise.race([
    promise.then((value): [T] => [value]),
    delay(ms).then(() => undefined),
  ]);
}

function complain(error: unknown): undefined {
  console.error("the kernel's front:", error);
}

/** A kernel that must not outlive the server that started it. */
function endWithParent(front: Front): void {
  const parent = Deno.ppid;
  setInterval(() => Deno.ppid !== parent && front.end(), 2000);
}

/** Deno's own kernel, as if we were not there. */
async function runPlain(file: string): Promise<never> {
  const args = ["jupyter", "--kernel", "--conn", file];
  const { code } = await new Deno.Command(Deno.execPath(), { args, stdin: "null" }).spawn().status;
  Deno.exit(code);
}

async function main(file: string): Promise<void> {
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    complain(event.reason);
  });
  let stop = () => {};
  Deno.addSignalListener("SIGINT", () => stop());
  try {
    const front = await Front.start(JSON.parse(await Deno.readTextFile(file)));
    stop = () => void front.stop();
    if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", () => front.end());
    if (Deno.env.has("JPY_PARENT_PID")) endWithParent(front);
  } catch (error) {
    complain(error);
    await runPlain(file);
  }
}

if (import.meta.main) await main(Deno.args[0]);
