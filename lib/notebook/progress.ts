/** One live line for long work: how far, how fast, how long still. */
import { isTerminal } from "lib/engine/environment.ts";
import { display, isNotebook } from "./display.ts";
import { formatNumber } from "./format.ts";

const EVERY_MS = 300;
const BAR = 24;

/** What is being done. */
export interface ProgressOptions {
  /** How many steps there are in all. */
  total: number;
  /** A word for the work: "training". */
  label: string;
}

/** A live line. */
export interface Progress {
  /**
   * Says that `step` steps are done. Cheap: the line is redrawn three times a second at most.
   *
   * @param figures what else to show, by name: `{ loss: 4.2, "tokens/s": 2100 }`
   */
  update(step: number, figures?: Record<string, number | string>): Promise<void>;
  /** Draws the line a last time, with the time that all took. */
  done(figures?: Record<string, number | string>): Promise<void>;
}

let count = 0;

/** Starts a live line; in a terminal it is redrawn in place, where there is neither notebook nor terminal it stays silent. */
export function progress({ total, label }: ProgressOptions): Progress {
  const id = `progress-${label}-${count++}`;
  const start = performance.now();
  let first: { step: number; at: number } | undefined;
  let drawn = -Infinity, step = 0, figures: Record<string, number | string> = {};

  const draw = (end: string) => {
    drawn = performance.now();
    const share = Math.min(1, step / total);
    const bar = "━".repeat(Math.round(share * BAR)).padEnd(BAR, "─");
    const shown = Object.entries(figures).map(([name, value]) =>
      `${name} ${typeof value === "number" ? short(value) : value}`
    );
    return line([`${label} ${bar} ${step}/${total}`, ...shown, end].join(" · "), id);
  };

  return {
    async update(now, more = {}) {
      step = now;
      figures = { ...figures, ...more };
      first ??= { step, at: performance.now() };
      if (performance.now() - drawn < EVERY_MS) return;
      const perStep = (performance.now() - first.at) / Math.max(1, step - first.step);
      await draw(step > first.step ? `${clock((total - step) * perStep)} left` : "");
    },
    async done(more = {}) {
      figures = { ...figures, ...more };
      await draw(`${clock(performance.now() - start)} in all`);
      if (!isNotebook && isTerminal()) console.log();
    },
  };
}

async function line(text: string, id: string): Promise<void> {
  const clean = text.replace(/ · $/, "");
  await display({ "text/plain": clean }, { id, metadata: { "nano-llm": "progress" } });
  if (!isNotebook && isTerminal()) {
    await Deno.stdout.write(new TextEncoder().encode(`\r\x1b[2K${clean}`));
  }
}

function short(value: number): string {
  return value >= 1000
    ? Math.round(value).toLocaleString("en")
    : formatNumber(Number(value.toPrecision(4)));
}

/** Minutes and seconds of a duration in milliseconds. */
function clock(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
