/**
 * Starting a worker: a thread that has its own instance of the kernels on the shared memory and stays inside its `work`
 * function until it is told to stop.
 */

/** What a worker needs. */
export interface WorkerStart {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  /** Number of the worker, from 1; the main thread is 0. */
  slot: number;
}

// The worker's whole program travels in a data: address, so that it starts without reading a file, also from a bundle.
const WORK = `async function work({ module, memory, slot }) {
  const { exports } = await WebAssembly.instantiate(module, { env: { memory, abort() {} } });
  exports.work(slot);
}`;
const WEB_WORKER = `${WORK}
self.onmessage = async ({ data }) => { await work(data); self.close(); };`;
const NODE_WORKER = `import { workerData } from "node:worker_threads";
${WORK}
await work(workerData);`;

function address(source: string): URL {
  return new URL(`data:text/javascript,${encodeURIComponent(source)}`);
}

/**
 * Starts a worker, which joins the work by itself as soon as it runs.
 *
 * Outside a browser it is a worker of `node:worker_threads`, because only these can be told not to keep the process
 * alive.
 */
export async function startWorker(start: WorkerStart): Promise<void> {
  if ("document" in globalThis || !("process" in globalThis)) {
    new Worker(address(WEB_WORKER), { type: "module" }).postMessage(start);
    return;
  }
  const { Worker: NodeWorker } = await import("node:worker_threads");
  new NodeWorker(address(NODE_WORKER), { workerData: start }).unref();
}
