/** A Jupyter kernel as a process of this machine: how it starts, what it prints, how it ends. */
import { join } from "node:path";
import { tmpdir } from "node:os";

/** Why a kernel cannot answer (any more). */
export class KernelError extends Error {
  override name = "KernelError";
}

/** Where a kernel runs and who hears it. */
export interface KernelOptions {
  /** folder that the cells' relative paths and imports start from */
  cwd: string;
  /** added to this process's environment */
  env?: Record<string, string>;
  /** what its messages are to be signed with; a new key unless told */
  key?: string;
  /** hears each line that the kernel process prints to its own terminal, such as downloads */
  onLog?: (line: string) => void;
}

const CHANNELS = ["shell", "iopub", "stdin", "control", "hb"] as const;
const KEPT_LOG_LINES = 20;

/** One `deno jupyter` process. */
export class KernelProcess {
  /** ends with the process; never rejected */
  readonly exited: Promise<Deno.CommandStatus>;
  /** the ports that it was told to listen on */
  readonly ports: Record<typeof CHANNELS[number], number>;
  /** what its messages are signed with */
  readonly key: string;
  readonly #child: Deno.ChildProcess;
  readonly #folder: string;
  readonly #log: string[] = [];
  readonly #logged: Promise<unknown>;
  #isOver = false;

  private constructor(
    child: Deno.ChildProcess,
    connection: Connection,
    folder: string,
    options: KernelOptions,
  ) {
    this.#child = child;
    this.#folder = folder;
    this.key = connection.key;
    this.ports = connection.ports;
    this.exited = child.status.finally(() => this.#isOver = true);
    this.#logged = Promise.all(
      [child.stderr, child.stdout].map((stream) => this.#read(stream, options.onLog)),
    );
  }

  /** Starts the kernel with a connection file of its own; it is not ready yet. */
  static async spawn(options: KernelOptions): Promise<KernelProcess> {
    const folder = await Deno.makeTempDir({ prefix: "nano-llm-kernel-" });
    const file = join(folder, "connection.json");
    const connection = { key: options.key ?? crypto.randomUUID(), ports: freePorts() };
    await Deno.writeTextFile(file, connectionJson(connection), { mode: 0o600 });
    const command = new Deno.Command(Deno.execPath(), {
      args: ["jupyter", "--kernel", "--conn", file],
      cwd: options.cwd,
      env: {
        NO_COLOR: "1",
        DENO_NO_UPDATE_CHECK: "1",
        XDG_RUNTIME_DIR: runtimeFolder(),
        ...options.env,
      },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    });
    return new KernelProcess(command.spawn(), connection, folder, options);
  }

  /** Why it did not start, with what it printed. */
  failure({ message }: Error): KernelError {
    const log = this.#log.join("\n").trim();
    return new KernelError(
      `the kernel did not start: ${message.includes(log) ? message : `${message}\n${log}`}`,
    );
  }

  /** Tries to connect until the kernel listens. */
  async untilListening<T>(connect: () => Promise<T>): Promise<T> {
    while (true) {
      try {
        return await connect();
      } catch (error) {
        if (this.#isOver || !(error instanceof Deno.errors.ConnectionRefused)) throw error;
        await delay(10);
      }
    }
  }

  /**
   * The result of `work`, unless the process ends first, the time is up or the signal says stop.
   *
   * @throws KernelError saying which of them it was
   */
  async unlessDead<T>(work: Promise<T>, seconds = Infinity, signal?: AbortSignal): Promise<T> {
    const ended = this.exited.then(async (status) => {
      await Promise.race([this.#logged, delay(500)]);
      throw new KernelError(this.#obituary(status));
    });
    const { promise: stopped, reject } = Promise.withResolvers<never>();
    const stop = () => reject(new KernelError("stopped"));
    const late = () => reject(new KernelError(`not finished after ${seconds} s, the time limit`));
    const timer = Number.isFinite(seconds) ? setTimeout(late, seconds * 1000) : undefined;
    signal?.addEventListener("abort", stop);
    if (signal?.aborted) stop();
    try {
      return await Promise.race([work, ended, stopped]);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    }
  }

  #obituary({ code, signal }: Deno.CommandStatus): string {
    const how = signal ? `was ended by ${signal}` : `ended with exit code ${code}`;
    const last = this.#log.join("\n").trim();
    return `the kernel ${how}` + (last ? `; it last printed:\n${last}` : "");
  }

  /** Removes the connection file: the kernel has read it. */
  async forgetFile(): Promise<void> {
    await Deno.remove(this.#folder, { recursive: true }).catch(() => {});
  }

  /** Passes the Stop button on: a signal where there are signals. */
  interrupt(): void {
    if (!this.#isOver && Deno.build.os !== "windows") this.#child.kill("SIGINT");
  }

  /** Ends the process if it still runs, and removes its connection file. */
  async kill(): Promise<void> {
    if (!this.#isOver) this.#child.kill("SIGKILL");
    await this.exited;
    await this.#logged;
    await this.forgetFile();
  }

  async #read(stream: ReadableStream<Uint8Array>, onLog?: (line: string) => void): Promise<void> {
    let rest = "";
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) this.#keep(line, onLog);
    }
    if (rest) this.#keep(rest, onLog);
  }

  #keep(line: string, onLog?: (line: string) => void): void {
    if (line.includes('"deno jupyter" is unstable')) return;
    this.#log.push(line);
    if (this.#log.length > KEPT_LOG_LINES) this.#log.shift();
    onLog?.(line);
  }
}

/** Resolves after so many milliseconds, and keeps no program alive. */
export function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => Deno.unrefTimer(setTimeout(resolve, milliseconds)));
}

interface Connection {
  key: string;
  ports: KernelProcess["ports"];
}

/** Ports that nobody listens on at this moment, all different: they are held until all are found. */
function freePorts(): Connection["ports"] {
  const listeners = CHANNELS.map(() => Deno.listen({ hostname: "127.0.0.1", port: 0 }));
  const ports = listeners.map(({ addr }) => addr.port);
  for (const listener of listeners) listener.close();
  return Object.fromEntries(
    CHANNELS.map((name, index) => [name, ports[index]]),
  ) as Connection["ports"];
}

function connectionJson({ key, ports }: Connection): string {
  const named = Object.fromEntries(CHANNELS.map((name) => [`${name}_port`, ports[name]]));
  return JSON.stringify({
    ip: "127.0.0.1",
    transport: "tcp",
    signature_scheme: "hmac-sha256",
    kernel_name: "deno",
    key,
    ...named,
  });
}

/** What XDG_RUNTIME_DIR should be: without it software Vulkan and kernels print warnings. */
export function runtimeFolder(): string {
  return Deno.env.get("XDG_RUNTIME_DIR") ?? tmpdir();
}
