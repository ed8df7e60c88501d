/** How long the backend `simd` takes from being asked for to its first result, each time in a fresh process. */
import { fileURLToPath } from "node:url";
import type { BenchRow } from "../../bench.ts";
import { median } from "./race.ts";

const CHILD = fileURLToPath(new URL("load-child.ts", import.meta.url));

/** Processes of each kind. */
const PROCESSES = 9;

/** Milliseconds in a process of its own. */
interface Loaded {
  /** Until `useBackend` was done. */
  chosen: number;
  /** Until the numbers of a small matrix product were there. */
  first: number;
  /** Until all workers ran, started right after that result. */
  workers: number;
}

/** The rows of the bench's part `load`; the two ways of asking take turns. */
export async function load(): Promise<BenchRow[]> {
  const named: Loaded[] = [], automatic: Loaded[] = [];
  for (let i = 0; i < PROCESSES; i++) {
    named.push(await measure("simd"));
    automatic.push(await measure());
  }
  const first = named.map(({ first }) => first);
  const row = (label: string, milliseconds: number): BenchRow => ({
    label,
    value: milliseconds,
    unit: "ms",
  });
  const middle = (all: Loaded[], what: keyof Loaded) => median(all.map((one) => one[what]));
  return [
    row(`useBackend("simd") to the first result, median of ${PROCESSES} (≤ 50)`, median(first)),
    row("the fastest of these", Math.min(...first)),
    row("of that, useBackend alone, median", middle(named, "chosen")),
    row("the workers started then run after, median", middle(named, "workers")),
    row("useBackend(), which looks for a graphics card first, median", middle(automatic, "first")),
  ];
}

async function measure(backend?: string): Promise<Loaded> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", CHILD, ...(backend ? [backend] : [])],
    stderr: "inherit",
  });
  const { stdout } = await command.output();
  return JSON.parse(new TextDecoder().decode(stdout));
}
