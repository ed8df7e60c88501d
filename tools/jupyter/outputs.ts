/** What a cell shows, collected from a kernel's messages into the outputs that a notebook stores. */
import type { Output } from "../notebook.ts";
import type { Content, Message } from "./messages.ts";

/** Pictures that a later cell may redraw: outputs by `display_id`, for the whole notebook. */
export type Displays = Map<string, Output[]>;

/** The outputs of one cell while it runs. */
export class OutputCollector {
  readonly #displays: Displays;
  #outputs: Output[] = [];
  #clearBeforeNext = false;

  /** @param displays shared by the cells of a notebook, so that a cell can update what an earlier one showed */
  constructor(displays: Displays = new Map()) {
    this.#displays = displays;
  }

  /** Takes a message of the iopub channel; those that show nothing change nothing. */
  take({ type, content }: Message): void {
    switch (type) {
      case "stream":
        return this.#stream(content);
      case "display_data":
        return this.#show({
          output_type: type,
          data: content.data,
          metadata: content.metadata ?? {},
        }, content);
      case "execute_result":
        return this.#show({
          output_type: type,
          execution_count: null,
          data: content.data,
          metadata: content.metadata ?? {},
        }, content);
      case "update_display_data":
        return this.#update(content);
      case "error":
        return this.fail(content);
      case "clear_output":
        if (content.wait) this.#clearBeforeNext = true;
        else this.#outputs = [];
    }
  }

  /** Adds an error, in the place of one that is there already: a cell stops at its first. */
  fail({ ename, evalue, traceback }: Content): void {
    this.#outputs = this.#outputs.filter((output) => output.output_type !== "error");
    this.#add({ output_type: "error", ename, evalue, traceback: traceback ?? [] });
  }

  /** The outputs so far: streams as a terminal would show them, the error last. */
  get outputs(): Output[] {
    const isError = (output: Output) => output.output_type === "error";
    const ordered = [...this.#outputs.filter((o) => !isError(o)), ...this.#outputs.filter(isError)];
    return mergeStreams(ordered).map((output) =>
      output.output_type === "stream"
        ? { ...output, text: asTerminal(output.text as string) }
        : output
    );
  }

  #stream({ name, text }: Content): void {
    const last = this.#clearBeforeNext ? undefined : this.#outputs.at(-1);
    if (last?.output_type === "stream" && last.name === name) last.text += text;
    else this.#add({ output_type: "stream", name, text });
  }

  #show(output: Output, { transient }: Content): void {
    this.#add(output);
    const id = transient?.display_id;
    if (id) this.#displays.set(id, [...this.#displays.get(id) ?? [], output]);
  }

  #update({ transient, data, metadata }: Content): void {
    for (const output of this.#displays.get(transient?.display_id) ?? []) {
      output.data = data;
      output.metadata = metadata ?? {};
    }
  }

  #add(output: Output): void {
    if (this.#clearBeforeNext) this.#outputs = [];
    this.#clearBeforeNext = false;
    this.#outputs.push(output);
  }
}

function mergeStreams(outputs: Output[]): Output[] {
  const merged: Output[] = [];
  for (const output of outputs) {
    const last = merged.at(-1);
    const continues = output.output_type === "stream" && last?.output_type === "stream" &&
      last.name === output.name;
    if (continues) merged[merged.length - 1] = { ...last, text: `${last.text}${output.text}` };
    else merged.push(output);
  }
  return merged;
}

// deno-lint-ignore no-control-regex -- the escape character is what starts a terminal's control sequence
const CONTROL_SEQUENCE = /\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07/g;

/** `text` without a terminal's colours and cursor movements. */
export function stripControl(text: string): string {
  return text.replace(CONTROL_SEQUENCE, "");
}

/**
 * What stands on a terminal after `text` was printed: `\r` goes back to the start of the line, what follows overwrites.
 *
 * @example asTerminal("step 9\rstep 10\n") // "step 10\n"
 */
export function asTerminal(text: string): string {
  if (!["\r", "\b", "\x1b"].some((control) => text.includes(control))) return text;
  return text.replaceAll("\r\n", "\n").split("\n").map(lastLook).join("\n");
}

function lastLook(line: string): string {
  const shown: string[] = [];
  let column = 0;
  // deno-lint-ignore no-control-regex -- "erase line" is the one sequence that changes what stays
  for (const piece of line.split(/(\r|\x08|\x1b\[[012]?K)/)) {
    if (piece === "\r") column = 0;
    else if (piece === "\b") column = Math.max(0, column - 1);
    else if (piece === "\x1b[K" || piece === "\x1b[0K") {
      shown.length = Math.min(shown.length, column);
    } else if (piece === "\x1b[2K") shown.length = 0;
    else for (const character of stripControl(piece)) shown[column++] = character;
  }
  return Array.from(shown, (character) => character ?? " ").join("");
}
