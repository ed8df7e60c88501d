/** The Stop button of Jupyter, and Ctrl-C: both are the signal SIGINT, which ends a program that does not listen to it. */
import { isNotebook } from "./display.ts";

/** Listens to the Stop button. */
export interface StopButton {
  /** whether it was pressed since we listen, or before that in the same cell */
  readonly pressed: boolean;
  /** ends the listening */
  release(): void;
}

const UNHEARD =
  "Stop was heard, but nothing in this cell can end early. Wait, or restart the kernel; its variables are lost then.";
const HEARD = "Stop was heard: it takes effect after this step.";
/** A press may arrive twice, through the kernel's front and from Jupyter itself. */
const SAME_PRESS_MS = 300;

const listeners = new Set<() => boolean>();
let lastPress = -Infinity;

/** What `deno task kernel` installs keeps this in the kernel, and speaks to the reader itself. */
function front(): { pressed: boolean } | undefined {
  return (globalThis as Record<symbol, unknown>)[Symbol.for("nano-llm.stop")] as
    | { pressed: boolean }
    | undefined;
}

function onSignal(): void {
  const isNew = performance.now() - lastPress > SAME_PRESS_MS;
  lastPress = performance.now();
  const changed = [...listeners].map((listener) => listener()).some(Boolean);
  if (isNew && !changed && isNotebook && !front()) console.warn(listeners.size ? HEARD : UNHEARD);
}

// In a notebook the signal would take the kernel with all its variables: it is caught from the first import on.
if (isNotebook) Deno.addSignalListener("SIGINT", onSignal);

/**
 * Listens to the Stop button until `release`. A second press is taken as impatience. In a browser, which has no signals, it is
 * never pressed.
 *
 * @example const button = listenForStop();
 * while (!button.pressed) await step(); // a step gives way to other events now and then
 * button.release();
 */
export function listenForStop(): StopButton {
  const isProgram = !isNotebook && typeof Deno !== "undefined";
  let pressed = front()?.pressed ?? false;
  const listener = () => {
    const isFirst = !pressed;
    pressed = true;
    return isFirst;
  };
  if (isProgram && listeners.size === 0) Deno.addSignalListener("SIGINT", onSignal);
  listeners.add(listener);
  return {
    get pressed() {
      return pressed;
    },
    release() {
      const wasThere = listeners.delete(listener);
      if (isProgram && wasThere && listeners.size === 0) {
        Deno.removeSignalListener("SIGINT", onSignal);
      }
    },
  };
}
