/** Outputs that may be committed: the same on every machine. */
import { homedir } from "node:os";
import type { Output } from "../notebook.ts";
import { ROOT } from "../notebook.ts";
import { stripControl } from "./outputs.ts";

/** The outputs without colours and without this machine's folders: the project is `.`, the home folder `~`. */
export function portable(
  outputs: Output[],
  root: string = ROOT,
  home: string = homedir(),
): Output[] {
  const clean = (text: string) => withoutFolders(stripControl(text), root, home);
  return outputs.map((output) => cleanTexts(output, clean) as Output);
}

/** `text` with paths below `root` made relative and `home` written `~`. */
export function withoutFolders(
  text: string,
  root: string = ROOT,
  home: string = homedir(),
): string {
  let cleaned = text;
  for (const [folder, short] of [[root, "."], [home, "~"]]) {
    for (const spelling of spellings(folder)) cleaned = replaceFolder(cleaned, spelling, short);
  }
  return cleaned;
}

function spellings(folder: string): string[] {
  const plain = folder.replace(/[/\\]+$/, "");
  if (plain.length < 3) return [];
  const url = encodeURI(plain.replaceAll("\\", "/"));
  return [`file://${url.startsWith("/") ? "" : "/"}${url}`, plain, plain.replaceAll("\\", "\\\\")];
}

/** Inside a path, `./` says nothing more: a `./lib/x.ts` in it becomes `lib/x.ts`. */
function replaceFolder(text: string, folder: string, short: string): string {
  const quoted = folder.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const pattern = new RegExp(`(?<![\\w~.-])${quoted}(?![\\w.-])([/\\\\]*)`, "g");
  return text.replace(pattern, (_, slash) => (short === "." && slash ? "" : short + slash));
}

function cleanTexts(value: unknown, clean: (text: string) => string, key = ""): unknown {
  if (/^(image|video|audio)\/(?!svg)/.test(key)) return value;
  if (typeof value === "string") return clean(value);
  if (Array.isArray(value)) {
    return typeof value[0] === "number" ? value : value.map((one) => cleanTexts(one, clean));
  }
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [name, cleanTexts(one, clean, name)]),
  );
}
