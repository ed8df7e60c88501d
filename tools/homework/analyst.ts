/** Has learners' notebooks read in a process of its own, and ends it when it takes too long. */
import { join } from "node:path";
import { type Notebook, ROOT } from "../notebook.ts";
import type { Answer, Request } from "./analysis.ts";
import type { Planned, Planner } from "./judge.ts";
import { usage } from "./sandbox.ts";
import { SubmissionError } from "./submission.ts";

/** What reading one notebook may take; a chapter takes a tenth of a second. */
const SECONDS = 8;
const MEMORY_MB = 1200;
/** A cell that is read for longer than this is the one to blame. */
const CELL_SECONDS = 2;
/** Cells that are left out, one after the other, before a notebook is given up. */
const MOST_UNREADABLE = 4;
const POLL_MS = 100;

/** One process that reads notebook after notebook. Use it for one at a time, and `close` it. */
export class Analyst {
  readonly #root: string;
  #process: Reader | undefined;

  constructor(root = ROOT) {
    this.#root = root;
  }

  /**
   * Opens a learner's notebook.
   *
   * @param chapter name of the chapter that it is measured against
   * @returns what makes programs of it; a cell that cannot be read costs its own exercise
   */
  open(chapter: string, learner: Notebook): Planner {
    const unreadable: string[] = [];
    let isOpen = false;
    return async (exercises, standIns) => {
      while (true) {
        const process = this.#process ??= new Reader(this.#root);
        try {
          const chapters = join(this.#root, "notebooks");
          if (!isOpen) await process.ask({ open: { chapters, chapter, learner, unreadable } });
          isOpen = true;
          return await process.ask({ plan: { exercises, standIns } });
        } catch (error) {
          if (!(error instanceof Ended)) throw error;
          this.#process = undefined;
          isOpen = false;
          if (!error.cell || unreadable.length === MOST_UNREADABLE) {
            throw new SubmissionError("it takes too long, or too much memory, to be read.");
          }
          unreadable.push(error.cell);
        }
      }
    };
  }

  /** Ends the process. */
  close(): void {
    this.#process?.end();
    this.#process = undefined;
  }
}

/** The process ended, or was ended; `cell` is the one that it could not read. */
class Ended extends Error {
  constructor(readonly cell: string | undefined) {
    super("the process that reads notebooks has ended");
  }
}

class Reader {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  #settle: { resolve(planned: Planned[]): void; reject(error: Error): void } | undefined;
  #cell: { id: string; since: number } | undefined;
  #isSlow = false;

  constructor(root: string) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--no-prompt",
        "--allow-read",
        "--no-remote",
        "--no-check",
        `--v8-flags=--max-old-space-size=${MEMORY_MB / 2}`,
        join(ROOT, "tools", "homework", "analysis.ts"),
      ],
      cwd: root,
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#listen();
  }

  /** @throws Ended if the process dies of it, or had to be ended */
  async ask(request: Request): Promise<Planned[]> {
    const { promise, resolve, reject } = Promise.withResolvers<Planned[]>();
    this.#settle = { resolve, reject };
    const start = performance.now();
    const before = usage(this.#child.pid)?.cpuSeconds ?? 0;
    const timer = setInterval(() => this.#look(start, before), POLL_MS);
    try {
      const text = new TextEncoder().encode(JSON.stringify(request) + "\n");
      await Promise.race([this.#input.write(text).catch(() => promise), promise]);
      return await promise;
    } finally {
      clearInterval(timer);
    }
  }

  #look(start: number, cpuBefore: number): void {
    const used = usage(this.#child.pid);
    const now = performance.now();
    const seconds = used ? used.cpuSeconds - cpuBefore : (now - start) / 3000;
    const ofCell = this.#cell ? (now - this.#cell.since) / 1000 : 0;
    const isTooMuch = used !== undefined && used.memoryMB > MEMORY_MB;
    if (!isTooMuch && seconds < SECONDS && (ofCell < 2 * CELL_SECONDS || seconds < CELL_SECONDS)) {
      return;
    }
    this.#isSlow = !isTooMuch && ofCell < CELL_SECONDS;
    this.end();
  }

  async #listen(): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop()!;
      lines.forEach((line) => this.#hear(JSON.parse(line)));
    }
    await this.#child.status;
    this.#settle?.reject(new Ended(this.#isSlow ? undefined : this.#cell?.id));
  }

  #hear(answer: Answer): void {
    if ("reading" in answer) this.#cell = { id: answer.reading, since: performance.now() };
    else this.#cell = undefined;
    if ("planned" in answer) this.#settle?.resolve(answer.planned);
    if ("failed" in answer) this.#settle?.reject(new Error(answer.failed));
  }

  end(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch { /* it has ended already */ }
  }
}
