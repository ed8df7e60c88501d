/**
 * Jupyter's messages: JSON in four signed parts.
 * Protocol 5.3: https://jupyter-client.readthedocs.io/en/stable/messaging.html
 */
import { concat } from "./zmtp.ts";

const DELIMITER = "<IDS|MSG>";
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What a message carries; which fields depends on its type. */
// deno-lint-ignore no-explicit-any
export type Content = Record<string, any>;

/** A message, as far as a client needs it. */
export interface Message {
  /** its own id */
  id: string;
  /** `execute_reply`, `stream`, `display_data`, … */
  type: string;
  /** id of the request that it answers, or that was running when it was sent */
  parent: string | undefined;
  content: Content;
}

/** A message with all its parts, as one who passes it on needs it. */
export interface Letter {
  /** what stands before the message: an identity, or an output's topic */
  route: Uint8Array[];
  header: Content;
  parent: Content;
  metadata: Content;
  content: Content;
  /** binary data that follows the JSON */
  buffers: Uint8Array[];
}

/** Signs and checks messages with the key that client and kernel share: HMAC-SHA256 over the four JSON parts. */
export class MessageCoder {
  readonly #session: string = crypto.randomUUID();
  readonly #key: CryptoKey;

  private constructor(key: CryptoKey) {
    this.#key = key;
  }

  /** @param key the connection file's `key` */
  static async create(key: string): Promise<MessageCoder> {
    const algorithm = { name: "HMAC", hash: "SHA-256" };
    const usages: KeyUsage[] = ["sign", "verify"];
    return new MessageCoder(
      await crypto.subtle.importKey("raw", encoder.encode(key), algorithm, false, usages),
    );
  }

  /** A new request: its id, and its parts ready to send. */
  async encode(type: string, content: Content): Promise<{ id: string; parts: Uint8Array[] }> {
    const header = this.header(type);
    const letter = { route: [], header, parent: {}, metadata: {}, content, buffers: [] };
    return { id: header.msg_id, parts: await this.seal(letter) };
  }

  /** The header of a new message of ours. */
  header(type: string): Content {
    return {
      msg_id: crypto.randomUUID(),
      session: this.#session,
      username: "nano-llm",
      date: new Date().toISOString(),
      msg_type: type,
      version: "5.3",
    };
  }

  /**
   * The message in these parts.
   *
   * @throws Error if they are no Jupyter message signed with our key
   */
  async decode(parts: Uint8Array[]): Promise<Message> {
    const { header, parent, content } = await this.open(parts);
    return { id: header.msg_id, type: header.msg_type, parent: parent?.msg_id, content };
  }

  /** The parts of a message, signed. */
  async seal(
    { route, header, parent, metadata, content, buffers }: Letter,
  ): Promise<Uint8Array[]> {
    const json = [header, parent, metadata, content].map((part) =>
      encoder.encode(JSON.stringify(part))
    );
    const signature = new Uint8Array(await crypto.subtle.sign("HMAC", this.#key, concat(json)));
    const head = [encoder.encode(DELIMITER), encoder.encode(signature.toHex())];
    return [...route, ...head, ...json, ...buffers];
  }

  /**
   * All that these parts hold.
   *
   * @throws Error if they are no Jupyter message signed with our key
   */
  async open(parts: Uint8Array[]): Promise<Letter> {
    const start =
      parts.findIndex((part) => part.length === 9 && decoder.decode(part) === DELIMITER) + 1;
    const [signature, ...json] = parts.slice(start, start + 5);
    if (start === 0 || json.length !== 4) throw new Error("a message without Jupyter's parts");
    const expected = Uint8Array.fromHex(decoder.decode(signature));
    if (!await crypto.subtle.verify("HMAC", this.#key, expected, concat(json))) {
      throw new Error("a message with a wrong signature");
    }
    const [header, parent, metadata, content] = json.map((part) =>
      JSON.parse(decoder.decode(part))
    );
    const buffers = parts.slice(start + 5);
    return { route: parts.slice(0, start - 1), header, parent, metadata, content, buffers };
  }
}
