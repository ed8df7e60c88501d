/**
 * The main job: from raw text to a model that writes. Exports the chapters, runs them in order, reports.
 *
 *     deno task start                    everything
 *     deno task start --profile smoke    small and quick
 *     deno task start --only 05,06       train and sample again
 *     deno task start --fresh            do not go on with a run that was cut off
 */
import { basename, join } from "node:path";
import { previousFolder } from "lib/data/folder.ts";
import { buildFolder, modelFolder, runFolder, shortPath } from "lib/data/paths.ts";
import type { BackendChoice } from "lib/engine/backend.ts";
import { profile } from "lib/engine/profile.ts";
import { chapterFiles, oneOf, readFlags, runProgram } from "./cli.ts";
import { doctor } from "./doctor.ts";
import { exportOne, readChapters } from "./export.ts";
import { isCurrentKernel } from "./install-kernel.ts";
import { listChapters } from "./notebook.ts";
import { PROFILES, runChapter, stopOnInterrupt } from "./run.ts";
import { duration } from "./terminal.ts";
import { taskCommand } from "./task.ts";

const USAGE = `usage: ${
  taskCommand("start")
} [--only CHAPTERS] [--profile smoke|laptop|gpu] [--fresh] [--write]

  --only      chapters to run, such as 03 or 03-attention; repeat it or use commas
  --profile   smoke: a minute or two, for trying; laptop: minutes on two cores; gpu: for a real graphics card
  --fresh     start training over; without it, a run that was cut off goes on where it stood
  --write     put the outputs into the committed notebooks, too
  --help      this text

Executed chapters, the model and the report go to build/.`;

/** What chapter 05 says of its run, in the model's folder; losses in nats per token. */
export interface TrainReport {
  steps: number;
  trainLoss: number;
  valLoss: number;
  bitsPerByte: number;
  bigramValLoss: number;
  tokensPerSecond: number;
}

/** What a run leaves in build/report.json. */
export interface Report {
  profile: string;
  backend: string;
  chapters: { name: string; ok: boolean; seconds: number; cells: number }[];
  /** null if this run did not train */
  train: TrainReport | null;
  /** null if this run did not write a sample */
  sample: string | null;
  /** what was trained, in words */
  what?: string;
}

const TRAIN_FIELDS = [
  "steps",
  "trainLoss",
  "valLoss",
  "bitsPerByte",
  "bigramValLoss",
  "tokensPerSecond",
] as const satisfies (keyof TrainReport)[];

/** A file's state, by which a later look can tell whether it was written since; undefined if it is not there. */
async function stampOf(file: string): Promise<string | undefined> {
  const info = await Deno.stat(file).catch(() => undefined);
  return info && `${info.mtime?.getTime()} ${info.size} ${info.ino}`;
}

/** The text of `file` if it was written since `stamp` was taken: what an earlier run left is no news. */
async function freshText(file: string, stamp: string | undefined): Promise<string | undefined> {
  if (await stampOf(file) === stamp) return undefined;
  return await Deno.readTextFile(file).catch(() => undefined);
}

/** The numbers of chapter 05's report, and what it trained in words. */
function readTrainReport(text: string): { train: TrainReport; what: string } {
  const all = JSON.parse(text);
  for (const field of TRAIN_FIELDS) {
    if (!Number.isFinite(all[field])) {
      throw new Error(`the model's report.json: ${field} is ${all[field]}`);
    }
  }
  const { parameters, corpus, steps } = all;
  const size = parameters ? `a GPT of ${parameters.toLocaleString("en")} parameters` : "a GPT";
  const what = `${size}${corpus ? `, on "${corpus}"` : ""}, ${steps.toLocaleString("en")} steps`;
  return {
    train: Object.fromEntries(
      TRAIN_FIELDS.map((field) => [field, all[field]]),
    ) as unknown as TrainReport,
    what,
  };
}

async function examine(): Promise<BackendChoice | undefined> {
  const { lines, fatal, backend } = await doctor();
  console.log(lines.join("\n") + "\n");
  if (fatal.length === 0) return backend;
  console.error(
    `✗ not started:\n${fatal.map((one) => `  ${one}`).join("\n")}`,
  );
}

async function exportAll(): Promise<void> {
  const written: string[] = [];
  const chapters = readChapters([]);
  for (const chapter of chapters) {
    const { path, state } = await exportOne(chapter);
    if (state === "written") written.push(path);
  }
  const news = written.length ? `wrote ${written.join(", ")}` : "lib is up to date";
  console.log(
    `✓ exported ${chapters.length} ${chapters.length === 1 ? "chapter" : "chapters"}: ${news}\n`,
  );
}

/**
 * What there is to say about a training run that was cut off, if there is one; chapter 05 goes on with it by itself. With
 * `fresh` it is deleted.
 */
async function cutOffRun(fresh: boolean): Promise<string | undefined> {
  const places = [runFolder(), previousFolder(runFolder())];
  if (fresh) {
    for (const place of places) await Deno.remove(place, { recursive: true }).catch(() => {});
    return undefined;
  }
  for (const place of places) {
    const text = await Deno.readTextFile(join(place, "state.json")).catch(() => undefined);
    if (text === undefined) continue;
    const { step, trainer } = JSON.parse(text);
    if (!(step > 0 && step < trainer.settings.steps)) return undefined;
    return `↻ a run was cut off after step ${step} of ${trainer.settings.steps}: chapter 05 goes on from there, ` +
      `if its sizes are the same (--fresh starts over)`;
  }
}

/** Runs the chapters up to the first that fails; what was trained and written comes from their files. */
async function run(
  chapters: string[],
  report: Report,
  write: boolean,
  signal: AbortSignal,
): Promise<boolean> {
  const env = { NANO_LLM_PROFILE: report.profile };
  const files = [join(modelFolder(), "report.json"), join(modelFolder(), "sample.txt")];
  const [reportStamp, sampleStamp] = await Promise.all(files.map(stampOf));
  for (const file of chapters) {
    const options = { out: join(buildFolder(), "notebooks"), write, env, signal };
    const { ok, seconds, cells } = await runChapter(file, options);
    report.chapters.push({
      name: basename(file, ".ipynb"),
      ok,
      seconds: Math.round(seconds * 10) / 10,
      cells,
    });
    if (!ok) break;
  }
  const trained = await freshText(files[0], reportStamp);
  if (trained) ({ train: report.train, what: report.what } = readTrainReport(trained));
  report.sample = await freshText(files[1], sampleStamp) ?? null;
  return report.chapters.every(({ ok }) => ok);
}

async function writeReport(report: Report): Promise<string> {
  await Deno.mkdir(buildFolder(), { recursive: true });
  const file = join(buildFolder(), "report.json");
  await Deno.writeTextFile(file, JSON.stringify({ ...report, what: undefined }, null, 2) + "\n");
  return file;
}

/** The report as a person reads it; `hasKernel` if Jupyter knows ours already. */
export function reportText(
  { profile, chapters, train, sample, what }: Report,
  backend: string,
  hasKernel = false,
): string {
  const seconds = chapters.reduce((sum, chapter) => sum + chapter.seconds, 0);
  const lines = [
    `${chapters.length} ${chapters.length === 1 ? "chapter" : "chapters"} in ${
      duration(seconds)
    }, profile ${profile}`,
    backend,
  ];
  if (train) lines.push("", ...trainLines(train, what));
  if (sample) {
    lines.push(
      "",
      "The model writes:",
      "",
      ...sample.trim().split("\n").map((line) => `  | ${line}`),
    );
  }
  return [...lines, "", ...placeLines(Boolean(train), hasKernel)].join("\n");
}

function trainLines(train: TrainReport, what = "a GPT"): string[] {
  const { trainLoss, valLoss, bitsPerByte, bigramValLoss, tokensPerSecond } = train;
  const margin = bigramValLoss - valLoss;
  return [
    `trained            ${what}, ${Math.round(tokensPerSecond).toLocaleString("en")} tokens/s`,
    `training loss      ${trainLoss.toFixed(3)} nats per token`,
    `validation loss    ${valLoss.toFixed(3)} nats per token, ${
      bitsPerByte.toFixed(3)
    } bits per byte`,
    `bigram counts      ${bigramValLoss.toFixed(3)} nats per token: the model is ${
      Math.abs(margin).toFixed(3)
    } ` +
    (margin > 0 ? "better" : "worse"),
  ];
}

function placeLines(trained: boolean, hasKernel: boolean): string[] {
  const build = shortPath(buildFolder());
  return [
    `executed chapters  ${join(build, "notebooks")}`,
    ...(trained ? [`the model          ${join(build, "model")}`] : []),
    `this report        ${join(build, "report.json")}`,
    "",
    `Next: ${
      hasKernel ? "" : `${taskCommand("kernel")}, then `
    }open notebooks/01-tokenizer.ipynb in VS Code or JupyterLab.`,
  ];
}

async function main(): Promise<number> {
  const { values, positionals } = readFlags(Deno.args, {
    only: { type: "string", multiple: true },
    profile: { type: "string" },
    fresh: { type: "boolean" },
    write: { type: "boolean" },
    help: { type: "boolean" },
  });
  if (values.help) return console.log(USAGE), 0;
  const only = [...values.only ?? [], ...positionals];
  const told = Deno.env.get("NANO_LLM_PROFILE");
  const wanted = values.profile !== undefined
    ? oneOf("--profile", values.profile, PROFILES)
    : told && oneOf("NANO_LLM_PROFILE", told, PROFILES);
  const files = only.length ? chapterFiles(only).sort() : listChapters();
  const signal = stopOnInterrupt();

  const backend = await examine();
  if (!backend) return 1;
  await exportAll();
  const training = files.some((file) => basename(file).startsWith("05"));
  const cutOff = training && await cutOffRun(values.fresh ?? false);
  if (cutOff) console.log(cutOff + "\n");
  const report: Report = {
    profile: wanted || profile(backend.isRealGpu),
    backend: backend.name,
    chapters: [],
    train: null,
    sample: null,
  };
  const ok = await run(files, report, values.write ?? false, signal);
  const file = await writeReport(report);
  if (signal.aborted) {
    console.error(`stopped; what was executed is in ${shortPath(buildFolder())}/notebooks`);
    return 130;
  }
  if (ok) console.log("\n" + reportText(report, backend.line, await isCurrentKernel()));
  else console.error(`\n✗ stopped there; what was executed: ${shortPath(file)}`);
  return ok ? 0 : 1;
}

if (import.meta.main) await runProgram(USAGE, main);
