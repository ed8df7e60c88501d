/** Variants as processes, measured in turns, so that whatever else the machine does hits all of them alike. */
import { fileURLToPath } from "node:url";
import { readLines, toLine } from "./lines.ts";
import type { Entrant, Reply, Requests, Variant } from "./protocol.ts";

const CHILD = fileURLToPath(new URL("child.ts", import.meta.url));

/** A command, and what must be in its environment. */
export interface Command {
  program: string;
  args: string[];
  env?: Record<string, string>;
}

function ownCommand(variant: Variant): Command {
  return { program: Deno.execPath(), args: ["run", "-A", CHILD, JSON.stringify(variant)] };
}

/** The process of one entrant. It lives until `close`. */
export class Contestant {
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #replies: AsyncGenerator<string>;
  #started: unknown;

  private constructor(readonly variant: Entrant, { program, args, env }: Command) {
    const command = new Deno.Command(program, {
      args,
      env,
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    });
    this.#process = command.spawn();
    this.#input = this.#process.stdin.getWriter();
    this.#replies = readLines(this.#process.stdout);
  }

  /**
   * Starts the process of one of our variants and waits until its model is ready.
   *
   * @throws Error naming the variant, if its backend does not start
   */
  static start(variant: Variant): Promise<Contestant> {
    return Contestant.startWith(variant, ownCommand(variant));
  }

  /**
   * The same for any program that speaks this protocol.
   *
   * @throws Error naming the entrant, if the program is not there or its model does not start
   */
  static async startWith(entrant: Entrant, command: Command): Promise<Contestant> {
    const contestant = new Contestant(entrant, command);
    contestant.#started = await contestant.#reply();
    return contestant;
  }

  /** What the program said when its model was ready. */
  get started(): unknown {
    return this.#started;
  }

  /**
   * Asks for one thing and waits until it is done.
   *
   * @throws Error naming the variant, with what went wrong in the process
   */
  async ask<K extends keyof Requests>(
    what: K,
    ask: Requests[K]["ask"],
  ): Promise<Requests[K]["answer"]> {
    await this.#input.write(toLine({ what, ask }));
    return await this.#reply() as Requests[K]["answer"];
  }

  /** Ends the process, and waits until it is gone. */
  async close(): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#process.status;
  }

  async #reply(): Promise<unknown> {
    const { value, done } = await this.#replies.next();
    const reply: Reply = done ? { error: "the process ended" } : JSON.parse(value);
    if ("answer" in reply) return reply.answer;
    throw new Error(`${this.variant.label}: ${reply.error}`);
  }
}

/**
 * Starts a process for each variant, hands them to `work`, and ends them whatever happens. A variant that does not start
 * (no graphics adapter) is named on the terminal and left out.
 */
export async function withContestants<T>(
  variants: Variant[],
  work: (contestants: Contestant[]) => Promise<T>,
): Promise<T> {
  const started: Contestant[] = [];
  try {
    for (const variant of variants) {
      await Contestant.start(variant).then((one) => started.push(one), (error) => {
        console.log(`left out: ${(error as Error).message.split("\n")[0]}`);
      });
    }
    return await work(started);
  } finally {
    await Promise.all(started.map((contestant) => contestant.close()));
  }
}

/** What a race gave for one contestant. */
export interface Lap {
  variant: Entrant;
  /** Milliseconds of each measured step. */
  milliseconds: number[];
  /** Median milliseconds of each turn. */
  turns: number[];
  /** Loss of each step from the first, the unmeasured ones included. */
  losses: number[];
}

/** Measured steps in a turn. */
const TURN = 5;

/** Milliseconds of a step from which a turn is one step, unmeasured ones left out. */
const SLOW = 3000;

/**
 * Trains all variants in turns, A B C A B C …: each turn one unmeasured step, then up to five measured ones. A variant that
 * takes seconds for a step has one step a turn. Before the turns, two steps of each warm up.
 *
 * @param steps measured steps in all
 */
export async function race(contestants: Contestant[], steps: number): Promise<Lap[]> {
  const laps: Lap[] = [];
  const isSlow: boolean[] = [];
  for (const contestant of contestants) {
    const { milliseconds, losses } = await contestant.ask("steps", { count: 2, untimed: 0 });
    isSlow.push(milliseconds[1] > SLOW);
    laps.push({ variant: contestant.variant, milliseconds: [], turns: [], losses });
  }
  for (let done = 0; done < steps; done += TURN) {
    for (const [i, contestant] of contestants.entries()) {
      const ask = isSlow[i]
        ? { count: 1, untimed: 0 }
        : { count: Math.min(TURN, steps - done), untimed: 1 };
      const { milliseconds, losses } = await contestant.ask("steps", ask);
      laps[i].losses.push(...losses);
      laps[i].milliseconds.push(...milliseconds);
      laps[i].turns.push(median(milliseconds));
    }
    console.log(turnLine(laps));
  }
  return laps;
}

function turnLine(laps: Lap[]): string {
  const times = laps.map(({ variant: { label }, turns }) => `${label} ${turns.at(-1)!.toFixed(1)}`);
  return `  ms a step: ${times.join(", ")}`;
}

/** How many times as fast `lap` was as `other`: the median over the turns that both had, each next to the other in time. */
export function speedup(lap: Lap, other: Lap): number {
  const shared = Math.min(lap.turns.length, other.turns.length);
  return median(
    Array.from({ length: shared }, (_, turn) => other.turns[turn] / lap.turns[turn]),
  );
}

/** The middle one; of an even number, the mean of the two in the middle. */
export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
}
