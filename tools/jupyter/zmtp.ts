/**
 * Just enough ZeroMQ to talk to a Jupyter kernel, or to be one: a TCP connection that sends and receives multipart messages.
 * Protocol: ZMTP 3.0 with the NULL mechanism, https://rfc.zeromq.org/spec/23/
 */

const MORE = 1;
const LONG = 2;
const COMMAND = 4;

/**
 * Which side of a ZeroMQ pattern we play. As a client: DEALER asks a kernel's shell or control, SUB listens to its iopub.
 * As a kernel: ROUTER answers, PUB shows, REP echoes the heartbeat.
 */
export type SocketType = "DEALER" | "SUB" | "ROUTER" | "PUB" | "REP";

/** A ZeroMQ connection to one peer. */
export class ZmtpSocket {
  readonly #connection: Deno.TcpConn;
  readonly #reader: ByteReader;
  #sending: Promise<void> = Promise.resolve();
  #peer = "";

  private constructor(connection: Deno.TcpConn) {
    connection.setNoDelay(true);
    this.#connection = connection;
    this.#reader = new ByteReader(connection);
  }

  /**
   * Connects to a port of this machine and shakes hands; a SUB socket subscribes to everything.
   *
   * @param identity what a ROUTER calls us by; a kernel asks for input on the stdin socket of the identity that ran the cell
   * @throws Error if nobody listens there, or who does speaks no ZMTP 3
   */
  static async connect(port: number, type: SocketType, identity = ""): Promise<ZmtpSocket> {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    const socket = await ZmtpSocket.greet(connection, type, identity);
    const subscribeToAll = new Uint8Array([1]);
    if (type === "SUB") await socket.send([subscribeToAll]);
    return socket;
  }

  /**
   * Shakes hands over a connection; closes it if that fails.
   *
   * @throws Error if the other side speaks no ZMTP 3
   */
  static async greet(
    connection: Deno.TcpConn,
    type: SocketType,
    identity = "",
  ): Promise<ZmtpSocket> {
    const socket = new ZmtpSocket(connection);
    try {
      await socket.#shakeHands(type, identity);
    } catch (error) {
      socket.close();
      throw error;
    }
    return socket;
  }

  async #shakeHands(type: SocketType, identity: string): Promise<void> {
    await writeAll(this.#connection, greeting());
    const theirs = await this.#reader.take(64);
    if (theirs[0] !== 0xff || theirs[10] < 3) throw new Error("the peer does not speak ZMTP 3");
    const properties = { "Socket-Type": type, ...(identity && { Identity: identity }) };
    await writeAll(this.#connection, encodeFrame(readyCommand(properties), COMMAND));
    this.#peer = readProperties((await this.#receiveFrame()).body).Identity ?? "";
  }

  /** The identity that the other side gave itself; empty if it gave none. */
  get peer(): string {
    return this.#peer;
  }

  /** Sends one multipart message; messages leave in the order of the calls. */
  send(parts: Uint8Array[]): Promise<void> {
    const frames = parts.map((part, index) =>
      encodeFrame(part, index < parts.length - 1 ? MORE : 0)
    );
    this.#sending = this.#sending.then(() => writeAll(this.#connection, concat(frames)));
    return this.#sending;
  }

  /**
   * The parts of the next message.
   *
   * @throws Error when the connection ends
   */
  async receive(): Promise<Uint8Array[]> {
    const parts: Uint8Array[] = [];
    while (true) {
      const { flags, body } = await this.#receiveFrame();
      if (flags & COMMAND) continue;
      parts.push(body);
      if (!(flags & MORE)) return parts;
    }
  }

  async #receiveFrame(): Promise<{ flags: number; body: Uint8Array }> {
    const [flags] = await this.#reader.take(1);
    if (flags > 7) throw new Error(`damaged ZMTP stream: frame flags ${flags}`);
    const size = await this.#reader.take(flags & LONG ? 8 : 1);
    const length = size.reduce((sum, byte) => sum * 256 + byte, 0);
    return { flags, body: await this.#reader.take(length) };
  }

  /** Ends the connection; a `receive` that waits is refused. */
  close(): void {
    try {
      this.#connection.close();
    } catch {
      // already closed by the peer
    }
  }
}

/** Reads ahead in large pieces: a kernel that must wait for a slow reader mixes up its messages (see kernel.ts). */
class ByteReader {
  readonly #connection: Deno.Conn;
  readonly #chunk = new Uint8Array(1 << 18);
  #pending: Uint8Array<ArrayBufferLike> = new Uint8Array();

  constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  async take(length: number): Promise<Uint8Array> {
    const taken = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      if (this.#pending.length === 0) this.#pending = await this.#read();
      const part = this.#pending.subarray(0, length - filled);
      taken.set(part, filled);
      filled += part.length;
      this.#pending = this.#pending.subarray(part.length);
    }
    return taken;
  }

  async #read(): Promise<Uint8Array> {
    const count = await this.#connection.read(this.#chunk);
    if (count === null) throw new Error("the connection was closed");
    return this.#chunk.slice(0, count);
  }
}

function encodeFrame(body: Uint8Array, flags: number): Uint8Array {
  const isLong = body.length > 255;
  const head = new Uint8Array(isLong ? 9 : 2);
  head[0] = flags | (isLong ? LONG : 0);
  if (isLong) new DataView(head.buffer).setBigUint64(1, BigInt(body.length));
  else head[1] = body.length;
  return concat([head, body]);
}

/** 64 bytes: signature, version 3.0, mechanism NULL, client. */
function greeting(): Uint8Array {
  const bytes = new Uint8Array(64);
  bytes[0] = 0xff;
  bytes[9] = 0x7f;
  bytes[10] = 3;
  bytes.set(new TextEncoder().encode("NULL"), 12);
  return bytes;
}

/** A length of one byte, then the text: how ZMTP writes names. */
function short(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  return concat([new Uint8Array([bytes.length]), bytes]);
}

function readyCommand(properties: Record<string, string>): Uint8Array {
  const entries = Object.entries(properties).flatMap(([name, value]) => [
    short(name),
    new Uint8Array(3), // a value's length has four bytes; ours fit into the last
    short(value),
  ]);
  return concat([short("READY"), ...entries]);
}

/** The properties of a READY command; bytes stand for themselves, since an identity need not be text. */
function readProperties(command: Uint8Array): Record<string, string> {
  const found: Record<string, string> = {};
  const view = new DataView(command.buffer, command.byteOffset, command.length);
  const text = (from: number, to: number) => String.fromCharCode(...command.subarray(from, to));
  for (let at = 1 + command[0]; at < command.length;) {
    const value = at + 1 + command[at] + 4;
    const end = value + view.getUint32(value - 4);
    found[text(at + 1, value - 4)] = text(value, end);
    at = end;
  }
  return found;
}

/** All of `parts`, one after the other. */
export function concat(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    written += await connection.write(bytes.subarray(written));
  }
}
