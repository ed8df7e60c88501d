/**
 * Takes away, for the rest of this process, whatever a submission could use against its judge: every global that is not
 * plain JavaScript, every way to make code out of text, and the power to change what all code shares.
 *
 * The process has no permissions anyhow; this keeps the judgement itself honest. What is shared is frozen rather than
 * copied, because the check and the code under test must agree on what an Array is.
 */

/** Plain JavaScript: all that stays. */
const KEPT = new Set(
  ("Object Function Array Number Boolean String Symbol BigInt Math JSON Reflect Proxy Promise Date RegExp Map Set WeakMap " +
    "WeakSet WeakRef FinalizationRegistry Error AggregateError EvalError RangeError ReferenceError SyntaxError TypeError " +
    "URIError SuppressedError Iterator Intl ArrayBuffer SharedArrayBuffer DataView Atomics Int8Array Uint8Array " +
    "Uint8ClampedArray Int16Array Uint16Array Int32Array Uint32Array Float16Array Float32Array Float64Array BigInt64Array " +
    "BigUint64Array globalThis undefined NaN Infinity isNaN isFinite parseInt parseFloat encodeURI encodeURIComponent " +
    "decodeURI decodeURIComponent escape unescape console performance TextEncoder TextDecoder URL URLSearchParams atob btoa " +
    "structuredClone queueMicrotask setTimeout clearTimeout setInterval clearInterval AbortController AbortSignal Event " +
    "EventTarget DOMException Deno _tfengine").split(" "),
);

const NAMESPACES = [
  "Math",
  "JSON",
  "Reflect",
  "Atomics",
  "Intl",
  "console",
  "performance",
] as const;

/** What stands in for parts of the platform. */
export interface Replacements {
  /** Called with each text that is printed, and whether it goes to stderr. */
  print(text: string, isError: boolean): void;
  seed: number;
}

const global = globalThis as unknown as Record<string, unknown>;

function setGlobal(name: string, value: unknown): void {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
}

/**
 * Locks this realm down; there is no way back.
 *
 * @param modules what programs may import: functions and classes in them are frozen, too
 */
export function lockDown(modules: Record<string, unknown>[], given: Replacements): void {
  forbidCode();
  makeSteady(given.seed);
  setGlobal("console", makeConsole(given.print));
  setGlobal("Deno", makeDeno(Deno.inspect));
  for (const name of Object.getOwnPropertyNames(globalThis)) {
    if (!KEPT.has(name)) Reflect.deleteProperty(globalThis, name);
  }
  const seen = new Set<unknown>();
  intrinsics().forEach((one) => harden(one, seen));
  for (const name of KEPT) harden(global[name], seen);
  for (const name of NAMESPACES) hardenAll(global[name] as object, seen);
  closeEngine(global._tfengine, seen);
  modules.forEach((one) => Object.values(one).forEach((value) => harden(value, seen)));
  for (const key of Reflect.ownKeys(globalThis)) {
    const { configurable } = Reflect.getOwnPropertyDescriptor(globalThis, key)!;
    if (!configurable) continue;
    const value = (globalThis as Record<string | symbol, unknown>)[key];
    Object.defineProperty(globalThis, key, { value, writable: false, configurable: false });
  }
}

interface Engine {
  registry: Record<string, { data: object }>;
}

/**
 * tfjs looks its engine up in a global, so a submission finds it, too: its processor cannot be exchanged, nor the methods
 * by which a check reads what a tensor holds.
 */
function closeEngine(found: unknown, seen: Set<unknown>): void {
  const engine = found as Engine | undefined;
  if (!engine) return;
  for (const backend of Object.values(engine.registry)) {
    harden(Object.getPrototypeOf(backend), seen);
    harden(Object.getPrototypeOf(backend.data), seen);
    Object.preventExtensions(backend.data);
    Object.defineProperty(backend, "data", { writable: false, configurable: false });
    Object.preventExtensions(backend);
  }
  Object.freeze(engine.registry);
  for (const [name, value] of Object.entries(engine)) {
    const isFixed = /^(registry|registryFactory|backendName|backendInstance|ENV|state)$/.test(name);
    if (isFixed) {
      Object.defineProperty(engine, name, { value, writable: false, configurable: false });
    }
  }
  harden(Object.getPrototypeOf(engine), seen);
  Object.preventExtensions(engine);
}

/** The same submission gets the same grade: chance has a seed, and the clock stands still. */
function makeSteady(seed: number): void {
  let state = seed >>> 0;
  const next = () => {
    state = state + 0x6D2B79F5 >>> 0;
    let x = Math.imul(state ^ state >>> 15, state | 1);
    x ^= x + Math.imul(x ^ x >>> 7, x | 61);
    return ((x ^ x >>> 14) >>> 0) / 2 ** 32;
  };
  Math.random = next;
  const RealDate = Date;
  const noon = RealDate.UTC(2025, 0, 1, 12);
  const steady = function (this: unknown, ...args: []) {
    if (!new.target) return new RealDate(noon).toString();
    return args.length ? new RealDate(...args) : new RealDate(noon);
  };
  setGlobal(
    "Date",
    Object.assign(steady, { now: () => noon, parse: RealDate.parse, UTC: RealDate.UTC }),
  );
  Object.defineProperty(steady, "prototype", { value: RealDate.prototype });
  RealDate.prototype.constructor = steady as unknown as DateConstructor;
  let ticks = 0;
  setGlobal("performance", { now: () => ticks += 0.1, mark() {}, measure() {} });
}

function makeConsole(print: Replacements["print"]): Record<string, unknown> {
  const { inspect } = Deno;
  const text = (args: unknown[]) =>
    args.map((one) => typeof one === "string" ? one : inspect(one, { depth: 2, iterableLimit: 50 }))
      .join(" ") + "\n";
  const out = (...args: unknown[]) => print(text(args), false);
  const err = (...args: unknown[]) => print(text(args), true);
  const names = ["log", "info", "debug", "table", "dir", "group", "groupCollapsed", "count"];
  const quiet = ["groupEnd", "time", "timeEnd", "timeLog", "clear", "countReset"];
  return {
    ...Object.fromEntries(names.map((name) => [name, out])),
    ...Object.fromEntries(["error", "warn", "trace"].map((name) => [name, err])),
    ...Object.fromEntries(quiet.map((name) => [name, () => {}])),
    assert: (isTrue: unknown, ...args: unknown[]) => isTrue || err("Assertion failed", ...args),
  };
}

/** What is left of Deno: enough for the book's modules, and an error in words for the rest. */
function makeDeno(inspect: typeof Deno.inspect): unknown {
  const settings: Record<string, string> = { NANO_LLM_PROFILE: "smoke", NANO_LLM_BACKEND: "cpu" };
  const { build, version, errors } = Deno;
  const env = Object.freeze({
    get: (name: string) => settings[name],
    has: (n: string) => n in settings,
  });
  const left: Record<string, unknown> = { env, build, version, errors, inspect, args: [] };
  return new Proxy(Object.freeze(left), {
    get: (target, name) =>
      name in target ? target[String(name)] : typeof name === "symbol" ? undefined : () => {
        throw new Error(`Deno.${name} is not there for an exercise`);
      },
  });
}

/** Objects that no global leads to. */
function intrinsics(): unknown[] {
  const proto = Object.getPrototypeOf;
  return [
    async () => {},
    function* () {},
    async function* () {},
    proto(Uint8Array),
    proto([][Symbol.iterator]()),
    proto(new Map()[Symbol.iterator]()),
    proto(new Set()[Symbol.iterator]()),
    proto(""[Symbol.iterator]()),
    proto("".matchAll(/./g)),
    proto((function* () {})()),
    proto((async function* () {})()),
  ].flatMap((one) => [one, proto(one), proto(proto(one))]).filter((one) => one !== null);
}

/** Freezes a function or prototype, and the functions and prototypes that belong to it. */
function harden(value: unknown, seen: Set<unknown>): void {
  if (
    value === globalThis || (typeof value !== "function" && !isPrototype(value)) || seen.has(value)
  ) return;
  seen.add(value);
  const object = value as object;
  harden(Object.getPrototypeOf(object), seen);
  for (const key of Reflect.ownKeys(object)) {
    const { value: held, get, set } = Reflect.getOwnPropertyDescriptor(object, key)!;
    [held, get, set].forEach((one) => harden(one, seen));
    if (key === "prototype" && typeof held === "object") hardenAll(held, seen);
  }
  close(object);
}

function hardenAll(object: object | null | undefined, seen: Set<unknown>): void {
  if (!object || seen.has(object)) return;
  seen.add(object);
  harden(Object.getPrototypeOf(object), seen);
  for (const key of Reflect.ownKeys(object)) {
    const { value, get, set } = Reflect.getOwnPropertyDescriptor(object, key)!;
    [value, get, set].forEach((one) => harden(one, seen));
  }
  close(object);
}

/** Freezes an object; a class that counts in a static property of its own keeps that one writable. */
function close(object: object): void {
  if (OVERRIDDEN.includes(object)) allowOverriding(object);
  for (const key of Reflect.ownKeys(object)) {
    const { value, writable, configurable } = Reflect.getOwnPropertyDescriptor(object, key)!;
    const counts = typeof object === "function" && typeof value === "number" && writable;
    if (counts && key !== "length") continue;
    if (configurable || writable) {
      const locked = writable ? { writable: false, configurable: false } : { configurable: false };
      Object.defineProperty(object, key, locked);
    }
  }
  Object.preventExtensions(object);
}

function isPrototype(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const maker = Reflect.getOwnPropertyDescriptor(value, "constructor")?.value;
  return typeof maker === "function" && maker.prototype === value;
}

/** Prototypes whose properties honest code assigns on its own objects: `this.name = "MyError"`, `x.toString = …`. */
const OVERRIDDEN: object[] = [
  Object.prototype,
  Function.prototype,
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
