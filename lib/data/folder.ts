/**
 * Files that survive: written beside their place, flushed to the disk, and only then renamed, so that a program that dies, or a
 * machine that loses power, leaves the old ones or the new ones, and never half of either.
 */

/** Where `replaceFolder` leaves what was in the folder before. */
export function previousFolder(folder: string): string {
  return `${folder}.before`;
}

/** Writes a file and waits until it is on the disk. */
export async function writeDurably(path: string, contents: Uint8Array | string): Promise<void> {
  const { open } = await import("node:fs/promises");
  const file = await open(path, "w");
  try {
    await file.writeFile(contents);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Writes a file, whole or not at all; it replaces the one that is there. Folders are made as needed. */
export async function replaceFile(path: string, contents: Uint8Array | string): Promise<void> {
  const { mkdir, rename, rm } = await import("node:fs/promises");
  const fresh = `${path}.saving`;
  try {
    await mkdir(parentOf(path), { recursive: true });
    await writeDurably(fresh, contents);
    await rename(fresh, path);
  } catch (error) {
    await rm(fresh, { force: true }).catch(() => {});
    throw new Error(`cannot write ${path}: ${(error as Error).message}`, { cause: error });
  }
  await syncFolder(parentOf(path));
}

/**
 * Replaces a folder, whole or not at all. What was in it is kept as `previousFolder(folder)`; files in it that are not among
 * `own` are in the new folder, too.
 *
 * @param own names of the files that are replaced; the first is in every such folder
 * @param write puts the new files, among `own`, into the folder it is given; use `writeDurably`
 * @throws Error if the folder holds files, but not the first of `own`; or if writing fails (a full disk, a folder that may not
 *   be written), naming the folder and the reason: what was there before is then still there
 */
export async function replaceFolder(
  folder: string,
  own: readonly string[],
  write: (fresh: string) => Promise<void>,
): Promise<void> {
  const { mkdir, rm } = await import("node:fs/promises");
  const names = await namesIn(folder);
  if (names.length > 0 && !names.includes(own[0])) {
    throw new Error(
      `${folder} holds other files (${names[0]} …) and no ${own[0]}: save into a folder of its own`,
    );
  }
  const fresh = `${folder}.saving`;
  try {
    await rm(fresh, { recursive: true, force: true });
    await mkdir(fresh, { recursive: true });
    await write(fresh);
    await carryOver(names.length > 0 ? folder : previousFolder(folder), fresh, own);
    await syncFolder(fresh);
    await changePlaces(fresh, folder, names.length > 0);
  } catch (error) {
    await rm(fresh, { recursive: true, force: true }).catch(() => {});
    throw new Error(
      `cannot save into ${folder}: ${(error as Error).message}; what was saved before is untouched`,
      { cause: error },
    );
  }
}

/**
 * Where the files of a folder are that `replaceFolder` replaces.
 *
 * @param marker a name that is in every such folder
 * @returns the folder; or, if the program that replaced it died between two renames, the one from before
 */
export async function findFolder(folder: string, marker: string): Promise<string | undefined> {
  for (const place of [folder, previousFolder(folder)]) {
    if ((await namesIn(place)).includes(marker)) return place;
  }
}

/** At every moment, either `folder` or `previousFolder(folder)` is whole. */
async function changePlaces(fresh: string, folder: string, hasOld: boolean): Promise<void> {
  const { rename, rm } = await import("node:fs/promises");
  if (hasOld) {
    await rm(previousFolder(folder), { recursive: true, force: true });
    await rename(folder, previousFolder(folder));
  }
  await rename(fresh, folder); // also onto an empty folder
  await syncFolder(parentOf(folder));
}

/** All files but `own`, as hard links, so that files of any size cost nothing; copies where a disk has no links. */
async function carryOver(from: string, to: string, own: readonly string[]): Promise<void> {
  const { cp, link } = await import("node:fs/promises");
  for (const name of (await namesIn(from)).filter((name) => !own.includes(name))) {
    const [source, target] = [`${from}/${name}`, `${to}/${name}`];
    await link(source, target).catch(() => cp(source, target, { recursive: true }));
  }
}

/** A rename is on the disk once its folder is. Some systems cannot flush a folder, and need not. */
async function syncFolder(folder: string): Promise<void> {
  const { open } = await import("node:fs/promises");
  const handle = await open(folder, "r").catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}

async function namesIn(folder: string): Promise<string[]> {
  const { readdir } = await import("node:fs/promises");
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return [];
    throw error;
  }
}

function parentOf(path: string): string {
  return path.replace(/[\\/]*[^\\/]+[\\/]*$/, "") || (/^[\\/]/.test(path) ? "/" : ".");
}
