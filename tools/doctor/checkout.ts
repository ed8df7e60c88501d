/** Whether this folder can be worked in at all: found out without any package and without lib, so that it can always be said. */
import { existsSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { ROOT } from "../notebook.ts";
import type { Finding } from "./finding.ts";

/** What is written by hand, and no chapter can make again. */
const FOLDERS = ["lib/data", "lib/engine", "lib/host", "lib/notebook", "notebooks"];

/** Folders of the project that are not there. */
export function missingFolders(root = ROOT): Finding[] {
  const missing = FOLDERS.filter((folder) => !existsSync(join(root, folder)));
  if (missing.length === 0) return [];
  return [{
    sign: "✗",
    text: `${missing.join(", ")} missing: the project in ${root} is not whole`,
    cure: `git restore ${missing.join(" ")} (or clone the project anew)`,
    fatal: true,
  }];
}

/** Whether results can be written. */
export function unwritable(root = ROOT): Finding[] {
  const build = Deno.env.get("NANO_LLM_BUILD") ?? "build";
  const folder = isAbsolute(build) ? build : join(root, build);
  try {
    Deno.mkdirSync(folder, { recursive: true });
    Deno.removeSync(Deno.makeTempFileSync({ dir: folder }));
    return [];
  } catch (error) {
    return [{
      sign: "✗",
      text: `nothing can be written to ${folder}: ${(error as Error).message.split(": ")[0]}`,
      cure: "copy the project into a folder of your own, or set NANO_LLM_BUILD to one",
      fatal: true,
    }];
  }
}

const REGISTRY = "https://registry.npmjs.org/";

/** Seconds for the registry to answer. */
const PATIENCE = 20;

/** What is in the way of the packages, after one of them could not be loaded. */
export async function missingPackages(problem: string): Promise<Finding> {
  const [first] = problem.split("\n");
  const registry = Deno.env.get("NPM_CONFIG_REGISTRY") ?? REGISTRY;
  const unreachable = await fetch(registry, { signal: AbortSignal.timeout(PATIENCE * 1000) })
    .then(
      (answer) => (answer.body?.cancel(), ""),
      ({ cause, message }) => cause?.message ?? message,
    );
  return {
    sign: "✗",
    text: unreachable
      ? `the packages are not here, and ${registry} cannot be reached: ${unreachable}`
      : `the packages are not here, or not whole: ${first}`,
    cure: unreachable ? NETWORK_CURE : "npx -y deno@2.9.6 install",
    fatal: true,
  };
}

const NETWORK_CURE =
  "behind a proxy set HTTPS_PROXY=http://its-name:port; if it opens encrypted connections, " +
  "DENO_TLS_CA_STORE=system or DENO_CERT=its-certificate.pem; a registry of your own: NPM_CONFIG_REGISTRY";
