/**
 * Takes away, for the rest of this process, whatever a submission could use against its judge: every global that is not
 * plain JavaScript, every way to make code out of text, and the power to change what all code shares.
 *
 * The process has no permissions anyhow; this keeps the judgement itself honest. What is shared is frozen rather than
 * copied, because the check and the code under test must agree on what an Array is.
 *
 * npm `ses` (1.15.0, Deno 2.9.6) was tried for the freezing. `lockdown()` and `harden` take 15 to 30 ms and would save some 80
 * lines. But they leave open what Deno adds (timers, segments, iterators of URLSearchParams, the prototype of the global), take
 * away what their list does not know (`Map.prototype.getOrInsert`), and `harden` of tfjs itself stops tfjs, so that the closed
 * copy in tensors.ts is needed anyhow. A `Compartment` refuses a comment that mentions `import(`, and a loop in it that reads a
 * global is about 150 times as slow.
 */
import { type Replacements, replacePlatform, setGlobal } from "./platform.ts";

/** Plain JavaScript: all that stays. */
const KEPT = new Set(
  ("Object Function Array Number Boolean String Symbol BigInt Math JSON Reflect Proxy Promise Date RegExp Map Set WeakMap " +
    "WeakSet WeakRef FinalizationRegistry Error AggregateError EvalError RangeError ReferenceError SyntaxError TypeError " +
    "URIError SuppressedError DisposableStack AsyncDisposableStack Iterator Intl ArrayBuffer SharedArrayBuffer DataView " +
    "Atomics Int8Array Uint8Array Uint8ClampedArray Int16Array Uint16Array Int32Array Uint32Array Float16Array Float32Array " +
    "Float64Array BigInt64Array BigUint64Array globalThis undefined NaN Infinity isNaN isFinite parseInt parseFloat encodeURI " +
    "encodeURIComponent decodeURI decodeURIComponent escape unescape console performance crypto TextEncoder TextDecoder URL " +
    "URLSearchParams atob btoa structuredClone queueMicrotask setTimeout clearTimeout setInterval clearInterval " +
    "AbortController AbortSignal Event CustomEvent EventTarget DOMException ReadableStream WritableStream TransformStream " +
    "TextEncoderStream TextDecoderStream Deno _tfengine").split(" "),
);

/**
 * Locks this realm down; there is no way back.
 *
 * @param modules what programs may import: all that can be reached from there is frozen, too
 */
export function lockDown(modules: Record<string, unknown>[], given: Replacements): void {
  forbidCode();
  replacePlatform(given);
  for (const name of Object.getOwnPropertyNames(globalThis)) {
    if (!KEPT.has(name)) Reflect.deleteProperty(globalThis, name);
  }
  const globals = Reflect.ownKeys(globalThis).map((key) => Reflect.get(globalThis, key));
  harden([...intrinsics(), Object.getPrototypeOf(globalThis), ...globals, ...modules]);
  for (const key of Reflect.ownKeys(globalThis)) {
    const { configurable } = Reflect.getOwnPropertyDescriptor(globalThis, key)!;
    if (!configurable) continue;
    const value = Reflect.get(globalThis, key);
    Object.defineProperty(globalThis, key, { value, writable: false, configurable: false });
  }
}

/** Objects that no global leads to. */
function intrinsics(): unknown[] {
  const timer = setTimeout(() => {});
  clearTimeout(timer);
  const segments = new Intl.Segmenter("en").segment("a");
  return [
    async () => {},
    function* () {},
    async function* () {},
    [][Symbol.iterator](),
    [].values().map(() => {}),
    Iterator.from({ next: () => ({ done: true, value: undefined }) }),
    new Map()[Symbol.iterator](),
    new Set()[Symbol.iterator](),
    ""[Symbol.iterator](),
    "".matchAll(/./g),
    (function* () {})(),
    (async function* () {})(),
    segments,
    segments[Symbol.iterator](),
    new URLSearchParams().entries(),
    new TextDecoderStream().readable.values(),
    timer,
    ...Object.getOwnPropertySymbols(setTimeout).map((key) => Reflect.get(setTimeout, key)),
  ];
}

/** Freezes all that can be reached from some values by properties and prototypes. */
function harden(roots: unknown[]): void {
  const seen = new Set<unknown>([globalThis]);
  const queue = roots.slice();
  while (queue.length) {
    const value = queue.pop();
    if (!isObject(value) || seen.has(value)) continue;
    seen.add(value);
    queue.push(Object.getPrototypeOf(value), ...heldBy(value));
    if (OVERRIDDEN.includes(value)) {
      allowOverriding(value);
      queue.push(...heldBy(value));
    }
    freeze(value);
  }
}

function heldBy(object: object): unknown[] {
  return Reflect.ownKeys(object).flatMap((key) => {
    const { value, get, set } = Reflect.getOwnPropertyDescriptor(object, key)!;
    return [value, get, set];
  });
}

function isObject(value: unknown): value is object {
  return typeof value === "function" || (typeof value === "object" && value !== null);
}

/** Freezes an object, as far as it can be: what an array of bytes holds stays open. */
function freeze(object: object): void {
  if (!ArrayBuffer.isView(object)) Object.freeze(object);
  else Object.preventExtensions(object);
}

/** Prototypes whose properties honest code assigns on its own objects: `this.name = "MyError"`, `x.toString = …`. */
const OVERRIDDEN: object[] = [
  Object.prototype,
  Function.prototype,
  Array.prototype,
  Map.prototype,
  Set.prototype,
  ...[
    Error,
    AggregateError,
    EvalError,
    RangeError,
    ReferenceError,
    SyntaxError,
    TypeError,
    URIError,
  ]
    .map((one) => one.prototype),
];

/** Under a frozen prototype such an assignment would throw: accessors keep it possible. */
function allowOverriding(object: object): void {
  for (const key of Reflect.ownKeys(object)) {
    const descriptor = Reflect.getOwnPropertyDescriptor(object, key)!;
    if (!descriptor.configurable || !("value" in descriptor)) continue;
    // Looked up by every `map` and `slice`, which an accessor would make fifteen times as slow.
    if (object === Array.prototype && key === "constructor") continue;
    const { value, enumerable } = descriptor;
    Object.defineProperty(object, key, {
      get: () => value,
      set(this: object, replaced: unknown) {
        if (this === object) throw new TypeError(`${String(key)} cannot be changed`);
        Object.defineProperty(this, key, {
          value: replaced,
          writable: true,
          enumerable: true,
          configurable: true,
        });
      },
      enumerable,
      configurable: false,
    });
  }
}

/** No code from text: the constructors behind `function`, `async` and `function*` throw (and `eval` is not among KEPT). */
function forbidCode(): void {
  const forbidden = function Function() {
    throw new TypeError("code cannot be made out of text here");
  };
  Object.defineProperty(forbidden, "prototype", { value: Function.prototype, writable: false });
  for (const one of [() => {}, async () => {}, function* () {}, async function* () {}]) {
    const prototype = Object.getPrototypeOf(one);
    Object.defineProperty(prototype, "constructor", { value: forbidden, configurable: true });
  }
  setGlobal("Function", forbidden);
}
