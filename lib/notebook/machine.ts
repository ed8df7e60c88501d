/**
 * A module of this folder that needs a machine (files, fonts, a document made of jsdom) and has no place on a page. Its name is
 * put together while the program runs, so that a bundler does not follow it: megabytes, and modules that no browser has.
 *
 * @example const { toPng } = await notForPages<typeof import("./png.ts")>("png.ts");
 */
export async function notForPages<Module>(name: string): Promise<Module> {
  return await import(new URL(name, import.meta.url).href);
}
