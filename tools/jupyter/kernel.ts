/**
 * A running `deno jupyter` kernel and what a program does with it: execute cells, get everything they show.
 *
 * Deno 2.9.6 sends a cell's outputs through a queue of their own, so they may come after the cell's reply and its
 * "idle". Waiting for silence would lose some on a busy machine. Instead each cell is followed by a tiny request that
 * puts a mark into that same queue: when the mark comes out, everything before it has come out.
 */
import { executeContent, LOST, LOST_WORDS, MARK, markCode, markOf, watchCode } from "./inside.ts";
import { type Content, type Message, MessageCoder } from "./messages.ts";
import { delay, KernelError, type KernelOptions, KernelProcess } from "./process.ts";
import { ZmtpSocket } from "./zmtp.ts";

export { KernelError, type KernelOptions } from "./process.ts";

/** An error as the kernel tells it. */
export interface KernelFailure {
  ename: string;
  evalue: string;
  traceback: string[];
}

/** How a cell ended; `error` is there if it threw, did not even start, or left an error that nobody awaits. */
export interface CellReply {
  ok: boolean;
  error?: KernelFailure;
  /** the kernel said nothing more than that it failed: syntax, or an import that it cannot resolve */
  isSilent?: boolean;
}

/** Limits of one cell. */
export interface ExecuteOptions {
  /** hears every message that shows something, until the next cell starts */
  onMessage?: (message: Message) => void;
  /** give up (and end the kernel) after this long */
  timeoutSeconds?: number;
  /** ends the kernel at once */
  signal?: AbortSignal;
}

const ATTEMPTS = 3;
const START_SECONDS = 60;
const SETTLE_MS = 200;

type Sockets = Record<"shell" | "control" | "iopub", ZmtpSocket>;

/** One kernel process and our connections to it. */
export class Kernel {
  #listener: (message: Message) => void = () => {};
  readonly #replies = new Map<string, (content: Content) => void>();
  readonly #marks = new Map<string, (content: Content) => void>();
  #lost: KernelFailure[] = [];
  readonly #process: KernelProcess;
  readonly #coder: MessageCoder;
  readonly #sockets: Sockets;
  readonly #damaged = Promise.withResolvers<never>();

  private constructor(process: KernelProcess, coder: MessageCoder, sockets: Sockets) {
    this.#process = process;
    this.#coder = coder;
    this.#sockets = sockets;
    this.#damaged.promise.catch(() => {});
    const hear = (content: Content, parent = "") => this.#replies.get(parent)?.(content);
    this.#read(sockets.shell, ({ content, parent }) => hear(content, parent));
    this.#read(sockets.control, ({ content, parent }) => hear(content, parent));
    this.#read(sockets.iopub, (message) => this.#hearOutput(message));
  }

  /**
   * Starts a kernel and waits until it can run cells.
   *
   * @throws KernelError with what the process printed, if it does not come up
   */
  static async start(options: KernelOptions): Promise<Kernel> {
    // The ports are free when they are chosen; another program may take one before the kernel does.
    for (let attempt = 1;; attempt++) {
      const process = await KernelProcess.spawn(options);
      try {
        return await process.unlessDead(Kernel.#connect(process), START_SECONDS);
      } catch (error) {
        await process.kill();
        if (attempt === ATTEMPTS) throw process.failure(error as Error);
      }
    }
  }

  static async #connect(process: KernelProcess): Promise<Kernel> {
    const { ports } = process;
    const iopub = await process.untilListening(() => ZmtpSocket.connect(ports.iopub, "SUB"));
    const shell = await process.untilListening(() => ZmtpSocket.connect(ports.shell, "DEALER"));
    const control = await process.untilListening(() => ZmtpSocket.connect(ports.control, "DEALER"));
    const coder = await MessageCoder.create(process.key);
    const kernel = new Kernel(process, coder, { shell, control, iopub });
    await kernel.#waitUntilHeard();
    await process.forgetFile();
    return kernel;
  }

  /** Outputs sent before the kernel has noticed that we subscribed are lost: repeat a mark until one comes back. */
  async #waitUntilHeard(): Promise<void> {
    let heard = false;
    while (!heard) {
      const mark = this.evaluate(watchCode(Deno.pid));
      heard = await Promise.race([mark.then(() => true), delay(100).then(() => false)]);
    }
  }

  /**
   * Runs a cell and waits until everything it shows has arrived.
   *
   * @throws KernelError if the kernel died, took too long or was told to stop: it is gone then
   */
  async execute(code: string, options: ExecuteOptions = {}): Promise<CellReply> {
    this.#listener = options.onMessage ?? (() => {});
    try {
      return await this.#process.unlessDead(
        Promise.race([this.#run(code), this.#damaged.promise]),
        options.timeoutSeconds,
        options.signal,
      );
    } catch (error) {
      await this.kill();
      throw error;
    }
  }

  async #run(code: string): Promise<CellReply> {
    const reply = await this.#request("shell", "execute_request", executeContent(code, false));
    await this.evaluate("null");
    if (reply.status === "ok") return this.#lostReply() ?? { ok: true };
    const { ename = "Error", evalue = "", traceback = [] } = reply;
    return { ok: false, error: { ename, evalue, traceback }, isSilent: traceback.length === 0 };
  }

  /** The first error that no cell threw, since we last asked. */
  #lostReply(): CellReply | undefined {
    const [lost] = this.#lost.splice(0);
    return lost &&
      { ok: false, error: { ...lost, evalue: `${lost.evalue} ${LOST_WORDS}` } };
  }

  /** Gives what the cells left for later, such as timers, a moment; the reply of the last one if an error came of it. */
  async settle(): Promise<CellReply | undefined> {
    await this.evaluate(
      `new globalThis.Promise((r) => globalThis.setTimeout(() => r(null), ${SETTLE_MS}))`,
    );
    return this.#lostReply();
  }

  /**
   * The value of an expression in the kernel, JSON-safe, out of the same queue as the outputs.
   *
   * @throws KernelError if it cannot be evaluated
   */
  async evaluate(expression: string): Promise<unknown> {
    const id = MARK + crypto.randomUUID();
    const mark = new Promise<Content>((resolve) => this.#marks.set(id, resolve));
    const code = markCode(id, expression);
    const reply = await this.#request("shell", "execute_request", executeContent(code, true));
    if (reply.status !== "ok") {
      this.#marks.delete(id);
      throw new KernelError(`the kernel cannot evaluate ${expression}: ${reply.evalue}`);
    }
    return (await mark).data["application/json"];
  }

  async #request(channel: "shell" | "control", type: string, content: Content): Promise<Content> {
    const { id, parts } = await this.#coder.encode(type, content);
    const reply = new Promise<Content>((resolve) => this.#replies.set(id, resolve));
    await this.#sockets[channel].send(parts);
    return reply.finally(() => this.#replies.delete(id));
  }

  async #read(socket: ZmtpSocket, hear: (message: Message) => void): Promise<void> {
    try {
      while (true) hear(await this.#coder.decode(await socket.receive()));
    } catch (error) {
      // A kernel that ends closes its connections first: its exit code says more.
      const hasEnded = this.#process.exited.then(() => true);
      if (await Promise.race([hasEnded, delay(1000)])) return;
      this.#damaged.reject(
        new KernelError(`lost the connection to the kernel: ${(error as Error).message}`),
      );
    }
  }

  #hearOutput(message: Message): void {
    const mark = markOf(message.content);
    if (mark === undefined) return this.#listener(message);
    if (mark === LOST) this.#lost.push(message.content.data["application/json"]);
    this.#marks.get(mark)?.(message.content);
    this.#marks.delete(mark);
  }

  /** Ends the kernel: asks first, then insists. */
  async shutdown(): Promise<void> {
    this.#request("control", "shutdown_request", { restart: false }).catch(() => {});
    await Promise.race([this.#process.exited, delay(2000)]);
    await this.kill();
  }

  /** Ends the kernel without asking. */
  async kill(): Promise<void> {
    for (const socket of Object.values(this.#sockets)) socket.close();
    await this.#process.kill();
  }
}
