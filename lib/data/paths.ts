/** Where a run keeps its files. Everything is beneath the project's `build/`, which can be deleted at any time. */
import { environment } from "lib/engine/environment.ts";

/** The project's folder; the current one where the library was not loaded from a disk. */
const ROOT = rootOf(new URL("../..", import.meta.url));

function rootOf({ protocol, pathname }: URL): string {
  if (protocol !== "file:") return "";
  return decodeURIComponent(pathname).replace(/^\/(?=[A-Za-z]:\/)/, ""); // Windows: /C:/book/
}

/** Folder of a run's results: `build/`, or what `NANO_LLM_BUILD` says (relative to the project). */
export function buildFolder(): string {
  return fromRoot(environment("NANO_LLM_BUILD") ?? "build");
}

/** Folder in which chapter 05 leaves the trained model and chapter 06 finds it. */
export function modelFolder(): string {
  return `${buildFolder()}/model`;
}

/** Folder in which chapter 05 saves its run while it trains, to go on from should it be cut off. */
export function runFolder(): string {
  return `${buildFolder()}/run`;
}

/** Folder of downloaded texts: `build/cache/`, or what `NANO_LLM_CACHE` says; kept from run to run. */
export function cacheFolder(): string {
  return fromRoot(environment("NANO_LLM_CACHE") ?? "build/cache");
}

/** A path as a person reads it: from the project's folder on where it lies there, so that it names no machine. */
export function shortPath(path: string): string {
  return path.startsWith(ROOT) ? path.slice(ROOT.length) : path;
}

function fromRoot(path: string): string {
  return path.startsWith("/") || /^[A-Za-z]:[\\/]/.test(path) ? path : ROOT + path;
}
