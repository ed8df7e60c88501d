/**
 * Our training beside that of others: the same model, the same first weights, the same batches, all in turns. What others need
 * is looked for only here, and only when asked for; who is not there is named, with how to get it.
 */
import { parameterCount } from "lib/transformer.ts";
import type { BenchRow } from "../../bench.ts";
import { prepareJob } from "./peers/job.ts";
import { type PeerProgram, PROGRAMS } from "./peers/programs.ts";
import type { Entrant, Variant } from "./protocol.ts";
import { Contestant, type Lap, median, race, speedup } from "./race.ts";

const OURS = { backend: "simd", isStock: false, kernels: "fused" } as const;

/**
 * Races us and the others.
 *
 * @param size the model's shape and the rows of a batch
 * @param steps measured steps of each
 */
export async function peers(size: Omit<Entrant, "label">, steps: number): Promise<BenchRow[]> {
  const { folder, job } = await prepareJob(size, 2 * steps + 2);
  const started: Contestant[] = [], missing: BenchRow[] = [];
  try {
    for (
      const variant of [{ label: "simd, all cores" }, { label: "simd, one thread", threads: 1 }]
    ) {
      started.push(await Contestant.start({ ...OURS, ...variant, ...size } as Variant));
    }
    for (const program of PROGRAMS) {
      const entrant = { label: program.label, ...size };
      await Promise.resolve(program.command(job)).then((command) =>
        Contestant.startWith(entrant, command)
      ).then(
        (one) => started.push(one),
        (error) => missing.push(missingRow(program, error)),
      );
    }
    const laps = await race(started, steps);
    return [...laps.flatMap((lap, i) => rowsOf(lap, started[i], laps[0])), ...missing];
  } finally {
    await Promise.all(started.map((one) => one.close()));
    await Deno.remove(folder, { recursive: true });
  }
}

function missingRow({ label, cure }: PeerProgram, error: Error): BenchRow {
  const reason = error.message.split("\n")[0].replace(`${label}: `, "").replace(/^Error: /, "");
  return { label: `${label}: left out, ${reason} (${cure})`, value: 0, unit: "tokens/s" };
}

/** Speed against our own, and what shows that the same was trained: the number of weights, and the loss. */
function rowsOf(lap: Lap, { started }: Contestant, ours: Lap): BenchRow[] {
  const { variant: { label, model, batchSize }, milliseconds, losses } = lap;
  const step = Math.min(losses.length, ours.losses.length);
  const weights = typeof started === "number" ? started : parameterCount(model);
  return [
    {
      label: `${label} (median of ${milliseconds.length} steps)`,
      value: 1000 * batchSize * model.blockSize! / median(milliseconds),
      unit: "tokens/s",
      ratio: speedup(lap, ours),
    },
    { label: `${label}: weights`, value: weights, unit: "weights" },
    { label: `${label}: loss of step 1`, value: losses[0], unit: "nats per token" },
    { label: `${label}: loss of step ${step}`, value: losses[step - 1], unit: "nats per token" },
    {
      label: `${label}: that less ours`,
      value: losses[step - 1] - ours.losses[step - 1],
      unit: "nats per token",
    },
  ];
}
