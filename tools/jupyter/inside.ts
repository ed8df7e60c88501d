/** What we run inside a kernel, as text: it watches over what Deno's kernel leaves unsaid. */
import type { Content } from "./messages.ts";

/** Begins the display ids that are ours and that nobody may see. */
export const MARK = "nano-llm-mark-";
/** Says that the kernel heard the Stop button: its cell leaves room for others. */
export const HEARD = `${MARK}heard`;
/** Carries an error that no cell threw: of a promise that nobody awaited, or of a timer. */
export const LOST = `${MARK}lost`;

/** What is said of such an error. */
export const LOST_WORDS = "(nobody awaited the promise it comes from, or a timer threw it)";

/** The place of a message in the queue of outputs, if it is one of ours. */
export function markOf(content: Content): string | undefined {
  const id = content.transient?.display_id;
  return String(id).startsWith(MARK) ? id : undefined;
}

/** A request to run code; `silent` counts for nothing and shows nothing. */
export function executeContent(code: string, silent: boolean): Content {
  return {
    code,
    silent,
    store_history: !silent,
    user_expressions: {},
    allow_stdin: false,
    stop_on_error: true,
  };
}

/** Where the kernel keeps whether Stop was pressed in this cell; `lib/notebook/stop.ts` looks there. */
const STOP = `globalThis[Symbol.for("nano-llm.stop")]`;

/**
 * Code that puts the value of an expression, as JSON, into the queue of outputs, under the id `mark`. It runs when a cell has
 * ended, so a Stop that was meant for that cell is over.
 */
export function markCode(mark: string, expression: string): string {
  // A timer of 0 ms lets pending promises of the cell go first.
  return `if (${STOP}) ${STOP}.pressed = false;
    await new globalThis.Promise((r) => globalThis.setTimeout(r));
    await globalThis.Deno.jupyter.broadcast("update_display_data", {
      data: { "application/json": await (${expression}) }, metadata: {}, transient: { display_id: "${mark}" } });`;
}

/** The first code that a kernel runs. Run twice, it does nothing the second time. */
export function watchCode(pid: number): string {
  return `(${watch})(${pid}, ${JSON.stringify(HEARD)}, ${JSON.stringify(LOST)})`;
}

/**
 * Ends the kernel when the program that started it is gone; keeps it alive when Stop is pressed, when a promise that nobody
 * awaits is rejected, and when a timer throws; and tells us so.
 */
const watch = `(expected, heard, lost) => {
  const { Deno, Error, String, setInterval, addEventListener } = globalThis;
  if (${STOP}) return null;
  const stop = { pressed: false };
  Object.defineProperty(globalThis, Symbol.for("nano-llm.stop"), { value: stop });
  const parent = Deno.ppid;
  const orphaned = () => Deno.ppid !== parent && Deno.exit(1);
  if (parent === expected) Deno.unrefTimer(setInterval(orphaned, 2000));
  const tell = async (display_id, json) => {
    try {
      await Deno.jupyter.broadcast("update_display_data", {
        data: { "application/json": json }, metadata: {}, transient: { display_id } });
    } catch { /* it must not become the next lost error */ }
  };
  Deno.addSignalListener("SIGINT", () => {
    stop.pressed = true;
    tell(heard, null);
  });
  const tellLost = (event, error) => {
    event.preventDefault();
    const isError = error instanceof Error;
    const ename = isError ? error.name : "Error", evalue = String(isError ? error.message : error);
    const ofReader = (line) => /^\\s+at /.test(line) && !/\\(?ext:/.test(line);
    const stack = isError ? String(error.stack).split("\\n").filter(ofReader) : [];
    tell(lost, { ename, evalue, traceback: [ename + ": " + evalue, ...stack] });
  };
  addEventListener("unhandledrejection", (event) => tellLost(event, event.reason));
  addEventListener("error", (event) => tellLost(event, event.error ?? event.message));
  return null;
}`;
