/** Folders that hold training runs: one run does not write over another's work. */
import { findFolder, keepFolder, placeOf } from "./folder.ts";
import { shortPath } from "./paths.ts";

/**
 * Makes sure that a run may save into a folder. What is there may be an earlier state of the same run, or hold no step yet. Any
 * other checkpoint is kept as `<folder>.1`, `.2` …, and a line says so.
 *
 * @param folder where the run wants to save
 * @param marker a name that is in every checkpoint
 * @param losses of all steps of the run so far
 * @param hasSaved whether this run has saved there before
 * @throws Error if it has, and another run has, too, since then
 */
export async function makeRoom(
  folder: string | URL,
  marker: string,
  losses: readonly number[],
  hasSaved: boolean,
): Promise<void> {
  const place = await findFolder(folder, marker);
  if (!place) return;
  const there = await lossesIn(place);
  if (there && isBeginning(there, losses)) return;
  if (hasSaved) {
    throw new Error(`another run saves into ${folder}, too: give each a folder of its own`);
  }
  if (there && await isKept(placeOf(folder), there)) return;
  const kept = shortPath(await keepFolder(place, folder));
  const what = there ? `another run, of ${there.length} steps` : "another model";
  console.log(`${shortPath(placeOf(folder))} held ${what}: it is kept as ${kept}`);
}

/** The losses of the run that a checkpoint is of; nothing if it is of none, or damaged. */
async function lossesIn(place: string): Promise<number[] | undefined> {
  const { readFile } = await import("node:fs/promises");
  try {
    const losses = JSON.parse(await readFile(`${place}/state.json`, "utf8")).trainer.history.loss;
    return Array.isArray(losses) ? losses : undefined;
  } catch {
    return undefined;
  }
}

function isBeginning(of: readonly number[], whole: readonly number[]): boolean {
  return of.every((loss, step) => loss === whole[step]);
}

/** Whether a copy from before holds at least as much of the same run. */
async function isKept(place: string, losses: number[]): Promise<boolean> {
  for (let n = 1;; n++) {
    const copy = await lossesIn(`${place}.${n}`);
    if (!copy) return false;
    if (isBeginning(losses, copy)) return true;
  }
}
