/** What a released folder says about itself, so that a later release knows what it may replace. */
import { createHash } from "node:crypto";
import { join } from "node:path";

/** The file `homework.json` in a released folder. */
export interface Manifest {
  /** For learners, or with solutions for teachers. */
  kind: "learner" | "teacher" | "nbgrader";
  /** Chapters that learners are to write. */
  assigned: string[];
  /** For each file that was written, the hash of its text. */
  files: Record<string, string>;
}

/** Name of the file. */
export const MANIFEST = "homework.json";

/** The manifest of a folder, or undefined. */
export function readManifest(folder: string): Manifest | undefined {
  try {
    return JSON.parse(Deno.readTextFileSync(join(folder, MANIFEST)));
  } catch {
    return undefined;
  }
}

/** Short hash of a file's bytes. */
export function fingerprint(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex").slice(0, 16);
}
