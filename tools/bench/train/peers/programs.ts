/** The programs of others that the bench `train` knows how to start. */
import { fileURLToPath } from "node:url";
import { findPython } from "tools/programs.ts";
import type { PeerJob } from "../protocol.ts";
import type { Command } from "../race.ts";
import { llmcCommand } from "./llmc.ts";

/** Somebody else's program: how it is started, and what to do where it is not there. */
export interface PeerProgram {
  label: string;
  cure: string;
  command(job: PeerJob): Command | Promise<Command>;
}

const TORCH = `pip install torch, or set NANO_LLM_PYTHON to a python that has it`;
const NANOGPT = "npm install @genai-fi/nanogpt in a folder of its own, set NANO_LLM_NANOGPT to it";
const LLMC = "a C compiler, and NANO_LLM_LLMC set to a clone of karpathy/llm.c";
const NETWORK = "needs the network once, for npm";

/** Those that the bench races with. Where one cannot train quite the same, its label says what differs. */
export const PROGRAMS: PeerProgram[] = [
  { label: "PyTorch, all cores", cure: TORCH, command: (job) => python(job) },
  { label: "PyTorch, one thread", cure: TORCH, command: (job) => python({ ...job, threads: 1 }) },
  {
    label: "llm.c with biases, no clipping, all cores",
    cure: LLMC,
    command: (job) => llmcCommand(job),
  },
  {
    label: "llm.c with biases, no clipping, one thread",
    cure: LLMC,
    command: (job) => llmcCommand(job, 1),
  },
  {
    label: "jax-js, wasm",
    cure: NETWORK,
    command: (job) => deno("jax.ts", job, { JAX_DEVICE: "wasm" }),
  },
  {
    label: "jax-js, webgpu",
    cure: `${NETWORK}, and a graphics adapter`,
    command: (job) => deno("jax.ts", job, { JAX_DEVICE: "webgpu" }),
  },
  {
    label: "@genai-fi/nanogpt with RMS norm, no clipping, cpu",
    cure: NANOGPT,
    command: (job) => deno("nanogpt.ts", job, { NANOGPT_BACKEND: "cpu" }, "manual"),
  },
  {
    label: "@genai-fi/nanogpt with RMS norm, no clipping, webgpu",
    cure: `${NANOGPT}; a graphics adapter`,
    command: (job) => deno("nanogpt.ts", job, { NANOGPT_BACKEND: "webgpu" }, "manual"),
  },
];

function path(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

async function python(job: PeerJob): Promise<Command> {
  const { program } = await findPython("torch");
  return { program, args: [path("pytorch.py"), JSON.stringify(job)] };
}

/** Away from our own configuration, so that neither our lock file nor our packages ever hold a peer. */
function deno(
  script: string,
  job: PeerJob,
  env: Record<string, string>,
  packages: "none" | "manual" = "none",
): Command {
  const flags = ["--no-config", "--no-lock", `--node-modules-dir=${packages}`];
  const args = ["run", "-A", ...flags, path(script), JSON.stringify(job)];
  return { program: Deno.execPath(), args, env };
}
