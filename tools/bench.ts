/**
 * Measurements. Each file of `tools/bench/` is one: it exports `description` and `bench`.
 *
 *     deno task bench                        what there is
 *     deno task bench loss --text FILE       run one; the flags after the name are the bench's own
 *     deno task bench loss --json out.json   and keep the result
 */
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import * as tf from "@tensorflow/tfjs";
import { formatNumber, formatTable } from "lib/notebook/format.ts";
import { runProgram, suggest, UsageError } from "./cli.ts";
import { ROOT } from "./notebook.ts";
import { taskCommand } from "./task.ts";

/** One measured number. */
export interface BenchRow {
  label: string;
  value: number;
  unit: string;
  /** The value divided by the one it is compared with. */
  ratio?: number;
}

/** What a file of `tools/bench/` exports. */
export interface Bench {
  /** One line: what is measured. */
  description: string;
  /** Measures, with the arguments that follow the bench's name. */
  bench(args: string[]): Promise<BenchRow[]>;
}

/** Where numbers were measured; without it they mean nothing. */
export interface Machine {
  os: string;
  arch: string;
  cpus: number;
  /** Absent where it cannot be read. */
  cpu?: string;
  /** Bytes. */
  memory: number;
  deno: string;
  /** The tfjs backend that was used last. */
  backend: string;
}

const FOLDER = join(ROOT, "tools", "bench");

const USAGE = `usage: ${taskCommand("bench")} <name> [--json FILE] [flags of the bench]

  --json FILE   write the result as { name, machine, rows: [{ label, value, unit, ratio? }] }`;

/** Names of the benches in a folder, in order. */
export function listBenches(folder: string = FOLDER): string[] {
  return [...Deno.readDirSync(folder)]
    .filter((entry) => entry.isFile && entry.name.endsWith(".ts"))
    .map((entry) => basename(entry.name, ".ts")).sort();
}

/**
 * Loads one bench.
 *
 * @throws UsageError naming the benches there are, if none has this name
 */
export async function loadBench(name: string, folder: string = FOLDER): Promise<Bench> {
  const known = listBenches(folder);
  if (!known.includes(name)) {
    throw new UsageError(
      `no bench "${name}": there is ${known.join(", ")}${suggest(name, known)}`,
    );
  }
  return await import(pathToFileURL(join(folder, `${name}.ts`)).href);
}

/**
 * Takes `--json FILE` and the name out of a command line; the rest is the bench's.
 *
 * @throws UsageError if --json names no file
 */
export function readCommand(args: string[]): { name?: string; json?: string; rest: string[] } {
  const rest: string[] = [];
  let name: string | undefined, json: string | undefined;
  for (let i = 0; i < args.length; i++) {
    const [flag, value] = args[i].split(/=(.*)/s);
    if (flag === "--json") {
      json = value ?? args[++i];
      if (!json) throw new UsageError("--json needs the name of a file");
    } else if (name === undefined && !args[i].startsWith("-")) name = args[i];
    else rest.push(args[i]);
  }
  return { name, json, rest };
}

/** What this machine is. */
export async function machine(): Promise<Machine> {
  const info = await Deno.readTextFile("/proc/cpuinfo").catch(() => "");
  return {
    os: Deno.build.os,
    arch: Deno.build.arch,
    cpus: navigator.hardwareConcurrency,
    cpu: /^model name\s*:\s*(.+)$/m.exec(info)?.[1],
    memory: Deno.systemMemoryInfo().total,
    deno: Deno.version.deno,
    backend: tf.getBackend(),
  };
}

/** Rows as a table for the terminal. */
export function benchTable(rows: BenchRow[]): string {
  const cells = rows.map(({ label, value, unit, ratio }) => [
    label,
    formatNumber(value),
    unit,
    ratio === undefined ? "" : ratio.toFixed(3),
  ]);
  return formatTable(["label", "value", "unit", "ratio"], cells, [false, true, false, true]);
}

async function listing(): Promise<string> {
  const lines = await Promise.all(
    listBenches().map(async (name) => {
      const { description } = await loadBench(name);
      return `  ${name.padEnd(12)}  ${description}`;
    }),
  );
  return [USAGE, "", "benches:", ...lines].join("\n");
}

async function main(): Promise<number> {
  const { name, json, rest } = readCommand(Deno.args);
  if (name === undefined) {
    console.log(await listing());
    return 0;
  }
  const rows = await (await loadBench(name)).bench(rest);
  console.log(`\n${benchTable(rows)}`);
  if (json) {
    const result = { name, machine: await machine(), rows };
    await Deno.writeTextFile(json, JSON.stringify(result, null, 1) + "\n");
    console.log(`\nwrote ${json}`);
  }
  return 0;
}

if (import.meta.main) await runProgram(USAGE, main);
