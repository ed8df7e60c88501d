/** A port that clients connect to: the kernel's side of one Jupyter channel. */
import { type SocketType, ZmtpSocket } from "./zmtp.ts";

/** Hears what a client sends. */
export type Hear = (parts: Uint8Array[], client: ZmtpSocket) => void | Promise<void>;

/** How long a subscriber may leave a message unread while its buffers are full. */
const PATIENCE_MS = 5000;

/** Listens on a port and speaks with everybody who connects. */
export class Door {
  readonly #listener: Deno.TcpListener;
  readonly #clients = new Set<ZmtpSocket>();
  readonly #topics = new Map<ZmtpSocket, Set<string>>();
  readonly #type: SocketType;

  /**
   * Opens the port.
   *
   * @throws Deno.errors.AddrInUse if somebody else has it
   */
  constructor(hostname: string, port: number, type: "ROUTER" | "PUB" | "REP", hear: Hear) {
    this.#listener = Deno.listen({ hostname, port });
    this.#type = type;
    this.#welcome(type === "PUB" ? (parts, client) => this.#subscribe(parts, client) : hear);
  }

  async #welcome(hear: Hear): Promise<void> {
    for await (const connection of this.#listener) {
      this.#serve(connection, hear).catch(() => {}); // one client less
    }
  }

  async #serve(connection: Deno.TcpConn, hear: Hear): Promise<void> {
    const client = await ZmtpSocket.greet(connection, this.#type);
    this.#clients.add(client);
    try {
      while (true) await hear(await client.receive(), client);
    } finally {
      this.#clients.delete(client);
      this.#topics.delete(client);
      client.close();
    }
  }

  /** A subscriber sends 1 and the beginning of what it wants to hear, or 0 to end that. */
  #subscribe([part]: Uint8Array[], client: ZmtpSocket): void {
    const topics = this.#topics.get(client) ?? new Set();
    const topic = asText(part.subarray(1));
    if (part[0] === 1) topics.add(topic);
    else topics.delete(topic);
    this.#topics.set(client, topics);
  }

  /** Sends to every subscriber that wants to hear it. One that does not read for long is dropped: it may connect again. */
  async publish(parts: Uint8Array[]): Promise<void> {
    const about = asText(parts[0]);
    const wants = (topics: Set<string>) => [...topics].some((topic) => about.startsWith(topic));
    const subscribers = [...this.#topics].filter(([, topics]) => wants(topics));
    await Promise.allSettled(subscribers.map(([client]) => this.#sendOrDrop(client, parts)));
  }

  async #sendOrDrop(client: ZmtpSocket, parts: Uint8Array[]): Promise<void> {
    const timer = setTimeout(() => {
      this.#topics.delete(client);
      client.close();
    }, PATIENCE_MS);
    await client.send(parts).finally(() => clearTimeout(timer));
  }

  /** The client that calls itself so, if it is connected. */
  find(identity: string): ZmtpSocket | undefined {
    return [...this.#clients].findLast(({ peer }) => peer === identity);
  }
}

function asText(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
