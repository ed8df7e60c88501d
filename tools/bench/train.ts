/**
 * How fast does it train? Every variant in a process of its own, all measured in turns; nanoGPT's size for a CPU.
 * What the figures mean and what they were: docs/performance.md.
 */
import { flopsPerToken } from "lib/train.ts";
import { type GPTConfig, gptConfig, parameterCount } from "lib/transformer.ts";
import type { BenchRow } from "../bench.ts";
import { count, oneOf, readFlags } from "../cli.ts";
import { load } from "./train/load.ts";
import { type Lap, median, race, speedup, withContestants } from "./train/race.ts";
import { peers } from "./train/peers.ts";
import { GEMM, type Memory, type Requests, type Variant } from "./train/protocol.ts";

/** What the list of benches says. */
export const description =
  "speed, memory and loss parity of training [--size nano|larger] [--steps 20] [--only cpu|gemm|webgpu|generate|load|growth|peers]";

interface Size {
  model: Partial<GPTConfig> & { vocabSize: number };
  batchSize: number;
}

const COMMON = { vocabSize: 65, bias: false, dropout: 0 };

/** nanoGPT's settings for a CPU, and a model of about five times the weights. */
const SIZES = {
  nano: { model: { ...COMMON, nLayer: 4, nHead: 4, nEmbd: 128, blockSize: 64 }, batchSize: 12 },
  larger: { model: { ...COMMON, nLayer: 6, nHead: 8, nEmbd: 256, blockSize: 128 }, batchSize: 8 },
} satisfies Record<string, Size>;

const PARTS = { cpu, gemm, webgpu, generate: generation, load, growth };

/** Parts that run only when they are asked for: they need programs of others. */
const EXTRA = { peers };

/** Measures; prints what is compared with what as it goes. */
export async function bench(args: string[]): Promise<BenchRow[]> {
  const { values } = readFlags(args, {
    size: { type: "string", default: "nano" },
    steps: { type: "string", default: "20" },
    only: { type: "string" },
  });
  const size = SIZES[oneOf("--size", values.size, Object.keys(SIZES) as (keyof typeof SIZES)[])];
  const steps = count("--steps", values.steps);
  const all = { ...PARTS, ...EXTRA };
  const names = Object.keys(all) as (keyof typeof all)[];
  const parts = values.only
    ? [oneOf("--only", values.only, names)]
    : Object.keys(PARTS) as (keyof typeof PARTS)[];
  const rows = [loadRow("before")];
  for (const part of parts) {
    console.log(`${part} …`);
    rows.push(...await all[part](size, steps));
  }
  return [...rows, loadRow("after")];
}

/** Numbers measured beside other programs are worth less: this tells. */
function loadRow(when: string): BenchRow {
  return {
    label: `load of the machine ${when} (mean of a minute)`,
    value: Deno.loadavg()[0],
    unit: "programs",
  };
}

const STOCK = { isStock: true, kernels: "reference" } as const;
const OURS = { isStock: false, kernels: "fused" } as const;

async function cpu(size: Size, steps: number): Promise<BenchRow[]> {
  const variants: Variant[] = [
    { label: "stock wasm", backend: "wasm", ...STOCK, ...size },
    { label: "stock cpu", backend: "cpu", ...STOCK, ...size },
    { label: "simd, all cores", backend: "simd", ...OURS, ...size },
    { label: "simd, one thread", backend: "simd", threads: 1, ...OURS, ...size },
  ];
  const raced = await withContestants(variants, async (contestants) => {
    const laps = await race(contestants, steps);
    const memory = await Promise.all([0, 2].map((i) => contestants[i].ask("memory", {})));
    return { laps, memory };
  });
  const { laps: [wasm, js, simd, single], memory } = raced;
  const plain: Variant = { ...variants[2], label: "simd, plain ops", kernels: "reference" };
  const [plainMemory] = await peaks([plain]);
  return [
    ...raced.laps.flatMap((lap) => speedRows(lap, wasm)),
    times("simd, all cores, against stock wasm", speedup(simd, wasm), 20),
    times("simd, all cores, against stock cpu", speedup(simd, js), 70),
    times("simd, one thread, against stock wasm", speedup(single, wasm), 12),
    ...memoryRows("simd heap", memory[1].reserved, "plain ops", plainMemory.reserved),
    ...memoryRows("simd tensors", memory[1].tensors, "stock wasm's", memory[0].tensors),
  ];
}

async function webgpu(size: Size, steps: number): Promise<BenchRow[]> {
  const variants: Variant[] = [
    { label: "stock webgpu", backend: "webgpu", ...STOCK, ...size },
    { label: "webgpu", backend: "webgpu", ...OURS, ...size },
    { label: "simd, for its loss", backend: "simd", ...OURS, ...size },
    { label: "webgpu, f16 storage", backend: "webgpu", storage: "f16", ...OURS, ...size },
  ];
  console.log(await adapterLine());
  return await withContestants(variants, async (contestants) => {
    const wanted = variants.filter(({ storage }) => !storage).length;
    if (contestants.length < wanted) return [];
    const laps = await race(contestants, steps);
    const [stock, ours, , halves] = await Promise.all(
      contestants.map((one) => one.ask("memory", {})),
    );
    // One after the other: they would be in each other's way.
    const host = [await contestants[0].ask("host", { count: 5 })];
    host.push(await contestants[1].ask("host", { count: 20 }));
    return [
      ...laps.flatMap((lap) => speedRows(lap, laps[0], laps[2])),
      times("webgpu against stock webgpu", speedup(laps[1], laps[0]), 4),
      ...host.flatMap(({ dispatches, milliseconds }, i): BenchRow[] => [
        { label: `${variants[i].label}: dispatches a step`, value: dispatches, unit: "dispatches" },
        {
          label: `${variants[i].label}: host time a step, dispatch a no-op`,
          value: median(milliseconds),
          unit: "ms",
        },
        { label: "the fastest of these", value: Math.min(...milliseconds), unit: "ms" },
      ]),
      ...memoryRows("webgpu buffers", ours.reserved, "stock webgpu's", stock.reserved),
      ...(halves ? storageRows(laps[3], laps[1], halves.reserved!, ours.reserved!) : []),
    ];
  });
}

/** Speed and memory with results stored in 16 bits, against 32. */
function storageRows(half: Lap, full: Lap, bytes: number, fullBytes: number): BenchRow[] {
  const { label } = half.variant;
  return [
    { label: `${label}, against f32`, value: speedup(half, full), unit: "times" },
    {
      label: `${label}: buffers, peak of a step (ratio: of f32's)`,
      value: bytes / 1e6,
      unit: "MB",
      ratio: bytes / fullBytes,
    },
  ];
}

async function adapterLine(): Promise<string> {
  const { requestAdapter } = await import("lib/engine/webgpu/device.ts");
  const adapter = await requestAdapter();
  return adapter ? `on ${adapter.description}` : "there is no graphics adapter here";
}

async function gemm(size: Size): Promise<BenchRow[]> {
  const { rows, depth, columns } = GEMM;
  const variant: Variant = { label: "gemm", backend: "simd", threads: 1, ...OURS, ...size };
  return await withContestants([variant], async ([contestant]) => {
    const speeds = await contestant.ask("gemm", { rounds: 60 });
    return Object.entries(speeds).map(([kind, values]) => ({
      label: kind === "tile"
        ? "the product's tile alone, one thread"
        : `product ${rows}×${depth}×${columns} ${kind}, one thread (ratio: of the tile, ≥ 0.85)`,
      value: median(values),
      unit: "GF/s",
      // Round by round, because the clock of a shared machine is not steady.
      ratio: kind === "tile" ? 1 : median(values.map((speed, i) => speed / speeds.tile[i])),
    }));
  });
}

/** How long a text the bench writes, and how often each way. */
const WRITE = { tokens: 256, times: 20 };

type Written = Requests["generate"]["answer"];

async function generation({ model, batchSize }: Size): Promise<BenchRow[]> {
  const variant: Variant = {
    ...{ label: "simd, all cores", backend: "simd", ...OURS, batchSize },
    model: { ...model, blockSize: WRITE.tokens },
  };
  return await withContestants([variant], async ([contestant]) => {
    const write = (useCache: boolean) =>
      contestant.ask("generate", { tokens: WRITE.tokens, useCache });
    await write(true);
    const cached: Written[] = [], computed: Written[] = [];
    for (let i = 0; i < WRITE.times; i++) {
      cached.push(await write(true));
      computed.push(await write(false));
    }
    const speed = (runs: { seconds: number }[]) =>
      WRITE.tokens / median(runs.map(({ seconds }) => seconds));
    const ratio = median(cached.map(({ seconds }, i) => computed[i].seconds / seconds));
    const equal = cached[0].ids.findIndex((id, i) => id !== computed[0].ids[i]);
    return [
      {
        label: `writing ${WRITE.tokens} tokens, cache`,
        value: speed(cached),
        unit: "tokens/s",
        ratio,
      },
      { label: "writing, recomputing", value: speed(computed), unit: "tokens/s", ratio: 1 },
      times("writing with the cache against recomputing", ratio, 10),
      {
        label: "the same tokens both ways",
        value: equal < 0 ? WRITE.tokens : equal,
        unit: "tokens",
      },
    ];
  });
}

/** Factors on width (twice the width is four times the weights), and blocks. */
const WIDTHS = [1, 2, 4];
const BLOCKS = [64, 256, 1024];

async function growth({ model, batchSize }: Size, steps: number): Promise<BenchRow[]> {
  const { nEmbd = 128, nHead = 4, ...rest } = model;
  const wider = WIDTHS.map((factor) => ({ ...rest, nEmbd: nEmbd * factor, nHead: nHead * factor }));
  const longer = BLOCKS.map((blockSize) => ({ ...model, blockSize }));
  const variants = [...wider, ...longer.filter(({ blockSize }) => blockSize !== model.blockSize)]
    .map((grown): Variant => ({
      ...{ label: "simd, all cores", backend: "simd", ...OURS, batchSize },
      model: grown,
    }));
  const { laps, memory } = await withContestants(variants, async (contestants) => ({
    laps: await race(contestants, Math.min(steps, 10)),
    memory: await Promise.all(contestants.map((one) => one.ask("memory", {}))),
  }));
  return laps.flatMap((lap, i) => growthRows(lap, memory[i], laps[0]));
}

function growthRows(lap: Lap, memory: Memory, first: Lap): BenchRow[] {
  const { variant: { model } } = lap;
  const label = `simd, ${
    (parameterCount(model) / 1e6).toFixed(2)
  } M weights, block ${model.blockSize}`;
  const speed = tokensPerSecond(lap);
  const operations = speed * flopsOf(model) / 1e9;
  const ratio = operations / (tokensPerSecond(first) * flopsOf(first.variant.model) / 1e9);
  return [
    {
      label: `${label} (median of ${lap.milliseconds.length} steps)`,
      value: speed,
      unit: "tokens/s",
    },
    { label: `${label}: work`, value: operations, unit: "GFLOP/s", ratio },
    { label: `${label}: peak memory of a step`, value: memory.reserved! / 1e6, unit: "MB" },
  ];
}

/** Operations of training for each token; the table of positions is only added. */
function flopsOf(model: Variant["model"]): number {
  const config = gptConfig(model);
  return flopsPerToken(parameterCount(config) - config.blockSize * config.nEmbd, config);
}

async function peaks(variants: Variant[]): Promise<Memory[]> {
  return await withContestants(
    variants,
    (contestants) => Promise.all(contestants.map((one) => one.ask("memory", {}))),
  );
}

function tokensPerSecond({ variant, milliseconds }: Lap): number {
  const { model, batchSize } = variant;
  return 1000 * batchSize * model.blockSize! / median(milliseconds);
}

/** Speed against the stock one's; loss against that of one that is known to be right. */
function speedRows(lap: Lap, stock: Lap, right = stock): BenchRow[] {
  const { variant: { label }, milliseconds, losses } = lap;
  const step = Math.min(losses.length, right.losses.length);
  const difference = losses[step - 1] - right.losses[step - 1];
  return [
    {
      label: `${label} (median of ${milliseconds.length} steps)`,
      value: tokensPerSecond(lap),
      unit: "tokens/s",
      ratio: speedup(lap, stock),
    },
    { label: `${label}: loss of step ${step}`, value: losses[step - 1], unit: "nats per token" },
    ...(lap === right ? [] : [{
      label: `${label}: that less ${right.variant.label}'s`,
      value: difference,
      unit: "nats per token",
    }]),
  ];
}

function times(label: string, value: number, wanted: number): BenchRow {
  return { label: `${label} (≥ ${wanted})`, value, unit: "times" };
}

function memoryRows(what: string, ours?: number, whose = "", theirs?: number): BenchRow[] {
  if (!ours || !theirs) return [];
  return [
    {
      label: `${what}, peak of a step (ratio: of ${whose}, ≤ 0.25)`,
      value: ours / 1e6,
      unit: "MB",
      ratio: ours / theirs,
    },
    { label: `the same, ${whose}`, value: theirs / 1e6, unit: "MB", ratio: 1 },
  ];
}
