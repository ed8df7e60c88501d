/**
 * Files that survive: written beside their place, flushed to the disk, and only then renamed, so that a program that dies, or a
 * machine that loses power, leaves the old ones or the new ones, and never half of either.
 */

import { isAddress, isFile } from "lib/host/files.ts";

/** What Node and Deno have, and a browser has not: it is looked for when it is needed. */
interface Machine {
  getBuiltinModule(name: "node:path"): typeof import("node:path");
  getBuiltinModule(name: "node:fs"): typeof import("node:fs");
  getBuiltinModule(name: "node:url"): typeof import("node:url");
}

/**
 * Where a folder lies, from the root of the disk, through links, without `.`, `..` or a slash at its end: a name to which something
 * can be added.
 *
 * @param folder a path or a file URL
 * @throws Error if it has no name, or is relative and the current folder is gone
 */
export function placeOf(folder: string | URL): string {
  const { process } = globalThis as unknown as { process: Machine };
  if (!`${folder ?? ""}` || `${folder}`.includes("\0")) {
    throw new Error(`a folder must have a name, got ${JSON.stringify(folder)}`);
  }
  const isURL = folder instanceof URL || folder.startsWith("file://");
  const path = isURL ? process.getBuiltinModule("node:url").fileURLToPath(folder) : folder;
  let place: string;
  try {
    place = process.getBuiltinModule("node:path").resolve(path);
  } catch (cause) {
    throw new Error(`cannot tell where ${path} is: the current folder is gone`, { cause });
  }
  try {
    return process.getBuiltinModule("node:fs").realpathSync(place);
  } catch {
    return place; // it is not there yet
  }
}

/** Where `replaceFolder` leaves what was in the folder before. */
export function previousFolder(folder: string | URL): string {
  return `${placeOf(folder)}.before`;
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
 * Replaces the files of a folder, all or none. What they were is kept as `previousFolder(folder)`; other files in it stay. The
 * folder itself stays, too: it may be the current one, a disk of its own, or a link to another place.
 *
 * @param folder a path or a file URL; made if it is not there
 * @param own names of the files that are replaced; the first is in every such folder
 * @param write puts the new files, among `own`, into the folder it is given; use `writeDurably`
 * @throws Error if the folder holds files, but not the first of `own`; or if writing fails (a full disk, a folder that may not
 *   be written), naming the folder and the reason: what was there before is then still there
 */
export async function replaceFolder(
  folder: string | URL,
  own: readonly string[],
  write: (fresh: string) => Promise<void>,
): Promise<void> {
  const { mkdir, rm } = await import("node:fs/promises");
  const place = placeOf(folder), fresh = `${place}.saving`;
  const found = await findFolder(place, own[0]);
  const names = await namesIn(place);
  if (names.length > 0 && !found) {
    throw new Error(
      `${folder} holds other files (${names[0]} …) and no ${own[0]}: save into a folder of its own`,
    );
  }
  try {
    await rm(fresh, { recursive: true, force: true });
    await mkdir(fresh, { recursive: true });
    await write(fresh);
    await mkdir(place, { recursive: true });
    if (found === place) await keepBefore(place);
    else if (found) await copyFiles(found, place, own);
    await takeOver(fresh, place, own);
  } catch (error) {
    throw new Error(
      `cannot save into ${folder}: ${(error as Error).message}; what was saved before is untouched`,
      { cause: error },
    );
  } finally {
    await rm(fresh, { recursive: true, force: true }).catch(() => {});
  }
}

/**
 * Where the files of a folder are that `replaceFolder` replaces.
 *
 * @param folder a path, a file URL, or an address
 * @param marker a name that is in every such folder
 * @returns the folder; or, if the program that replaced its files died over it, the one from before
 */
export async function findFolder(
  folder: string | URL,
  marker: string,
): Promise<string | undefined> {
  if (isAddress(String(folder))) {
    const place = String(folder).replace(/\/+$/, "");
    return await isFile(`${place}/${marker}`) ? place : undefined;
  }
  for (const place of [placeOf(folder), previousFolder(folder)]) {
    if ((await namesIn(place)).includes(marker)) return place;
  }
}

/**
 * Copies a folder to the first free of `<name>.1`, `<name>.2` …, without taking room: as hard links, where the disk has them.
 *
 * @returns where the copy is
 */
export async function keepFolder(folder: string | URL, name = folder): Promise<string> {
  const { mkdir } = await import("node:fs/promises");
  for (let n = 1;; n++) {
    const copy = `${placeOf(name)}.${n}`;
    const isFree = await mkdir(copy).then(() => true, (error) => {
      if (error.code !== "EEXIST") throw error;
    });
    if (!isFree) continue;
    await copyFiles(placeOf(folder), copy);
    return copy;
  }
}

/** Makes `previousFolder(place)` anew. While it is made, the folder itself is whole. */
async function keepBefore(place: string): Promise<void> {
  const { mkdir, rm } = await import("node:fs/promises");
  const before = previousFolder(place);
  await rm(before, { recursive: true, force: true });
  await mkdir(before);
  await copyFiles(place, before);
  await syncFolder(before);
}

/** Moves new files into a folder. As long as the first of `own` is not there, the folder from before counts. */
async function takeOver(fresh: string, place: string, own: readonly string[]): Promise<void> {
  const { rm } = await import("node:fs/promises");
  const isNew = await namesIn(fresh);
  for (const name of own) {
    if (name === own[0] || !isNew.includes(name)) await rm(`${place}/${name}`, { force: true });
  }
  await syncFolder(place);
  for (const name of isNew.filter((name) => name !== own[0])) await move(name, fresh, place);
  await syncFolder(place);
  await move(own[0], fresh, place);
  await syncFolder(place);
  await syncFolder(parentOf(place));
}

async function move(name: string, from: string, to: string): Promise<void> {
  const { copyFile, rename } = await import("node:fs/promises");
  await rename(`${from}/${name}`, `${to}/${name}`).catch(async (error) => {
    if (error.code !== "EXDEV") throw error;
    await copyFile(`${from}/${name}`, `${to}/${name}`); // the folder is a disk of its own
  });
}

/** All files but `leave`, as hard links, so that files of any size cost nothing; copies where a disk has no links. */
async function copyFiles(from: string, to: string, leave: readonly string[] = []): Promise<void> {
  const { cp, link } = await import("node:fs/promises");
  for (const name of (await namesIn(from)).filter((name) => !leave.includes(name))) {
    const [source, target] = [`${from}/${name}`, `${to}/${name}`];
    await link(source, target).catch(() => cp(source, target, { recursive: true, force: false }));
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
