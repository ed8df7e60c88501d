/**
 * Run by itself with the names of modules: locks the process down as for a submission that may import these, then prints
 * the paths to what can still be changed, or holds what cannot be frozen (maps, sets, arrays of bytes).
 */
import * as tf from "@tensorflow/tfjs";
import { lockDown } from "tools/homework/lockdown.ts";
import { closedModule, closeEngine } from "tools/homework/tensors.ts";

const { args } = Deno;
const writeSync = Deno.stdout.writeSync.bind(Deno.stdout);
const encoder = new TextEncoder();

tf.enableProdMode();
await tf.setBackend("cpu");
const modules: Record<string, Record<string, unknown>> = {};
for (const name of args) modules[name] = closedModule(await import(name));
closeEngine(tf);
lockDown(Object.values(modules), { seed: 1, print() {} });
const found: string[] = [];
walk({ "": globalThis, ...modules });
writeSync(encoder.encode(JSON.stringify(found)));

/** Breadth first, so that a path is short. */
function walk(roots: Record<string, unknown>): void {
  const seen = new Set<unknown>();
  const queue = Object.entries(roots);
  for (const [path, value] of queue) {
    if (!isObject(value) || seen.has(value)) continue;
    seen.add(value);
    if (canChange(value)) found.push(path);
    queue.push([`${path}.__proto__`, Object.getPrototypeOf(value)]);
    for (const key of Reflect.ownKeys(value)) {
      const { get, set } = Reflect.getOwnPropertyDescriptor(value, key)!;
      const next = `${path}.${String(key)}`;
      queue.push([next, read(value, key)], [`${next}.get`, get], [`${next}.set`, set]);
    }
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "function" || (typeof value === "object" && value !== null);
}

/** What an object holds; not what it makes anew for everyone who asks. */
function read(object: object, key: string | symbol): unknown {
  try {
    const value = Reflect.get(object, key);
    return value === Reflect.get(object, key) ? value : undefined;
  } catch { /* a getter for instances */ }
}

function canChange(object: object): boolean {
  if (object === globalThis) return false;
  if ([Map, Set, ArrayBuffer].some((kind) => object instanceof kind && !hasOwnMaker(object))) {
    return true;
  }
  if (ArrayBuffer.isView(object)) return true;
  if (Reflect.defineProperty(object, "mine", { value: 1, configurable: true })) return true;
  return Reflect.ownKeys(object).some((key) => {
    const { configurable, writable } = Reflect.getOwnPropertyDescriptor(object, key)!;
    return configurable || writable;
  });
}

function hasOwnMaker(object: object): boolean {
  return Object.hasOwn(object, "constructor");
}
