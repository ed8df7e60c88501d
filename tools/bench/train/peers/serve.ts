/** The child's side of the protocol for programs of others that run under Deno. */
import { readLines, toLine } from "../lines.ts";
import type { PeerJob, Reply } from "../protocol.ts";

/** A model that is ready to be trained. */
export interface Peer {
  /** How many weights it trains. */
  weights: number;
  /** Makes one step; returns its loss once all of it is computed. */
  step(): Promise<number>;
}

/** Reads the job from the command line, makes the peer and answers for it until stdin ends. */
export async function serve(make: (job: PeerJob) => Promise<Peer>): Promise<void> {
  console.log = console.info = console.warn = console.error; // stdout belongs to the answers
  try {
    const peer = await make(JSON.parse(Deno.args[0]));
    say({ answer: peer.weights });
    for await (const line of readLines(Deno.stdin.readable)) {
      say({ answer: await timedSteps(peer, JSON.parse(line).ask) });
    }
  } catch (error) {
    say({ error: String((error as Error)?.stack ?? error) });
  }
  Deno.exit(0);
}

async function timedSteps(peer: Peer, { count, untimed }: { count: number; untimed: number }) {
  const milliseconds: number[] = [], losses: number[] = [];
  for (let i = 0; i < untimed + count; i++) {
    const start = performance.now();
    losses.push(await peer.step());
    if (i >= untimed) milliseconds.push(performance.now() - start);
  }
  return { milliseconds, losses };
}

function say(reply: Reply): void {
  Deno.stdout.writeSync(toLine(reply));
}

/** The weights by name, as the file has them one after the other. */
export async function readWeights(
  { weights, parameters }: PeerJob,
): Promise<Map<string, { shape: number[]; values: Float32Array<ArrayBuffer> }>> {
  const { buffer } = await Deno.readFile(weights);
  let start = 0;
  return new Map(parameters.map(({ name, shape }) => {
    const size = shape.reduce((product, n) => product * n, 1);
    const values = new Float32Array(buffer, 4 * start, size);
    start += size;
    return [name, { shape, values }];
  }));
}

/** Inputs and targets of every step, B · T numbers each. */
export async function readBatches(
  { batches, batchSize, model }: PeerJob,
): Promise<{ inputs: Int32Array<ArrayBuffer>; targets: Int32Array<ArrayBuffer> }[]> {
  const { buffer } = await Deno.readFile(batches);
  const size = batchSize * model.blockSize;
  return Array.from({ length: buffer.byteLength / 8 / size }, (_, step) => ({
    inputs: new Int32Array(buffer, 8 * step * size, size),
    targets: new Int32Array(buffer, 8 * step * size + 4 * size, size),
  }));
}
