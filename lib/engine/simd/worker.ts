/**
 * Starting workers: threads that each have an instance of the kernels on the shared memory, and stay inside its `work`
 * function until they are told to stop.
 */

/** What the workers need. */
export interface WorkerStart {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  /** How many threads there are, the main one (number 0) included; workers have the numbers from 1. */
  threads: number;
}

// A worker's whole program travels in its address, so that it starts without reading a file, also from a bundle.
const WORK = `async function work({ module, memory, slot }) {
  const { exports } = await WebAssembly.instantiate(module, { env: { memory, abort() {} } });
  exports.work(slot);
}`;
const WEB_WORKER = `${WORK}
self.onmessage = async ({ data }) => { await work(data); self.close(); };`;
// Starting one blocks its parent for tens of milliseconds, so each starts the next: the main thread pays for one only.
const NODE_WORKER = `import { Worker, workerData } from "node:worker_threads";
${WORK}
const next = { ...workerData, slot: workerData.slot + 1 };
if (next.slot < next.threads) new Worker(new URL(next.program), { workerData: next }).unref();
await work(workerData);`;

function address(source: string): URL {
  return new URL(`data:text/javascript,${encodeURIComponent(source)}`);
}

/**
 * What starts the workers, which then join the work by themselves as soon as they run; nothing is started yet.
 *
 * Outside a browser they are workers of `node:worker_threads`, because only these can be told not to keep the process
 * alive.
 */
export async function prepareWorkers(start: WorkerStart): Promise<() => void> {
  if (start.threads < 2) return () => {};
  if (isBrowser()) return () => startWebWorkers(start);
  const { Worker: NodeWorker } = await import("node:worker_threads");
  const program = address(NODE_WORKER);
  const workerData = { ...start, slot: 1, program: program.href };
  return () => new NodeWorker(program, { workerData }).unref();
}

/** A page may have a `process` that its bundler made up, and a notebook a `document`. */
function isBrowser(): boolean {
  return typeof Deno === "undefined" && ("document" in globalThis || !("process" in globalThis));
}

function startWebWorkers(start: WorkerStart): void {
  // Browsers agree less on workers from data: addresses.
  const program = URL.createObjectURL(new Blob([WEB_WORKER], { type: "text/javascript" }));
  for (let slot = 1; slot < start.threads; slot++) {
    new Worker(program, { type: "module" }).postMessage({ ...start, slot });
  }
}
