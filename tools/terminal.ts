/** One line of the terminal that is rewritten while something runs. */

const REFRESH_MS = 100;
const QUIET_MS = 10_000;

/** A live line below what has been printed. Where there is no terminal, a plain line every ten seconds. */
export class LiveLine {
  readonly #isTerminal: boolean = Deno.stdout.isTerminal();
  #compose: (() => string) | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #last = "";

  /** Shows what `compose` returns, again and again, until `stop`. */
  start(compose: () => string): void {
    this.stop();
    this.#compose = compose;
    this.#timer = setInterval(() => this.#draw(), this.#isTerminal ? REFRESH_MS : QUIET_MS);
    if (this.#isTerminal) this.#draw();
  }

  /** Takes the line away. */
  stop(): void {
    clearInterval(this.#timer);
    this.#compose = undefined;
    this.#last = "";
    if (this.#isTerminal) write("\r\x1b[2K");
  }

  /** Prints lines that stay, above the live one. */
  print(text: string): void {
    write((this.#isTerminal ? "\r\x1b[2K" : "") + text + "\n");
    if (this.#isTerminal) this.#draw();
  }

  #draw(): void {
    const line = this.#compose?.().replace(/\s+/g, " ").trim();
    if (!line || (line === this.#last && !this.#isTerminal)) return;
    this.#last = line;
    write(this.#isTerminal ? `\r\x1b[2K${fit(line, Deno.consoleSize().columns)}` : `${line}\n`);
  }
}

/** A line that is too long loses its progress bar first, then its middle: the time left stands at the end. */
export function fit(line: string, columns: number): string {
  const shorter = line.length < columns ? line : line.replace(/[━─]{4,} ?/, "");
  if (shorter.length < columns) return shorter;
  const end = shorter.slice(-Math.floor(columns / 4));
  return shorter.slice(0, columns - 2 - end.length) + "…" + end;
}

function write(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(text));
}

/** `12 s`, `3 min 05 s`. */
export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}
