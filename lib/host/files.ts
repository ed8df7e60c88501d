/**
 * Where files are read from: a disk, or an address (`https:`, `http:`), so that what was trained on one machine can be loaded on
 * another's page. A folder is a place whose files are named behind a slash.
 */

/**
 * The bytes of a file.
 *
 * @param place a path, or an address
 * @throws Error naming the place, with code `ENOENT` if there is no such file
 * @example await readBytes("https://example.org/model/model.safetensors")
 */
export async function readBytes(place: string): Promise<Uint8Array<ArrayBuffer>> {
  if (isAddress(place)) return new Uint8Array(await (await fetched(place)).arrayBuffer());
  const { readFile } = await import("node:fs/promises");
  return new Uint8Array(await readFile(place));
}

/**
 * The text of a file, UTF-8.
 *
 * @param place a path, or an address
 * @throws Error naming the place, with code `ENOENT` if there is no such file
 */
export async function readText(place: string): Promise<string> {
  if (isAddress(place)) return await (await fetched(place)).text();
  const { readFile } = await import("node:fs/promises");
  return await readFile(place, "utf8");
}

/** Whether there is a file. */
export async function isFile(place: string): Promise<boolean> {
  if (isAddress(place)) {
    const response = await fetch(place, { method: "HEAD" });
    return response.ok;
  }
  const { stat } = await import("node:fs/promises");
  return await stat(place).then((info) => info.isFile(), () => false);
}

/** Whether there is a folder; behind an address there are only files. */
export async function isFolder(place: string): Promise<boolean> {
  if (isAddress(place)) return false;
  const { stat } = await import("node:fs/promises");
  return await stat(place).then((info) => info.isDirectory(), () => false);
}

/** Whether a place is an address, and not on a disk. */
export function isAddress(place: string): boolean {
  return /^https?:\/\//i.test(place);
}

async function fetched(address: string): Promise<Response> {
  const response = await fetch(address).catch((cause) => {
    throw new Error(`${address} cannot be reached: ${(cause as Error).message}`, { cause });
  });
  if (response.ok) return response;
  await response.body?.cancel();
  const error = new Error(
    `${address}: the server answers ${response.status} ${response.statusText}`,
  );
  throw Object.assign(error, { code: [404, 410].includes(response.status) ? "ENOENT" : undefined });
}
