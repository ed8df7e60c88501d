/** The one door from a cell to the reader: a bundle of the same thing in several forms, of which each program shows the best. */

/** MIME type → content, for example `{"text/plain": "…", "image/png": "base64…"}`. `text/plain` is always there. */
export type Bundle = { "text/plain": string } & Record<string, unknown>;

/** Where a display goes. */
export interface DisplayOptions {
  /** Displays with the same id are one: the second takes the place of the first. */
  id?: string;
  /** Marks the display for programs that run notebooks, for example `{"nano-llm": "progress"}`. */
  metadata?: Record<string, unknown>;
}

const shown = new Set<string>();

/** The kernel's door, or undefined outside a notebook: there, Deno throws when asked for it. */
const jupyter: typeof Deno.jupyter | undefined = (() => {
  try {
    return Deno.jupyter;
  } catch {
    return undefined;
  }
})();

/** Whether this code runs in a Jupyter kernel. */
export const isNotebook: boolean = jupyter !== undefined;

/**
 * Shows a bundle beneath the cell; outside a notebook it prints the plain text. Always await it: the kernel drops what it has
 * not sent when the cell ends.
 */
export async function display(
  data: Bundle,
  { id, metadata = {} }: DisplayOptions = {},
): Promise<void> {
  if (!jupyter) {
    if (metadata["nano-llm"] !== "progress") console.log(data["text/plain"]);
    return;
  }
  const isUpdate = id !== undefined && shown.has(id);
  if (id !== undefined) shown.add(id);
  const transient = id === undefined ? {} : { display_id: id };
  await jupyter.broadcast(isUpdate ? "update_display_data" : "display_data", {
    data,
    metadata,
    transient,
  });
  await settle();
}

/** Deno 2.9 sends outputs through a queue that may still be full when the cell counts as done; this lets it run empty. */
function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 25));
}
