/** What stands in for parts of the platform while a submission is judged. */

/** What stands in for parts of the platform. */
export interface Replacements {
  /** Called with each text that is printed, and whether it goes to stderr. */
  print(text: string, isError: boolean): void;
  seed: number;
}

/** Replaces chance, time, what prints, and what is left of Deno. */
export function replacePlatform({ seed, print }: Replacements): void {
  makeSteady(seed);
  setGlobal("crypto", makeCrypto());
  setGlobal("console", makeConsole(print));
  setGlobal("Deno", makeDeno(Deno.inspect));
  // Deno's own looks for what runs next in a global that is not there any more.
  setGlobal("queueMicrotask", (run: () => void) => {
    if (typeof run !== "function") throw new TypeError("queueMicrotask takes a function");
    Promise.resolve().then(() => run());
  });
}

/** Replaces a global. */
export function setGlobal(name: string, value: unknown): void {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
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
  setGlobal("performance", {
    now: () => ticks += 0.1,
    timeOrigin: noon,
    mark() {},
    measure() {},
  });
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

/** Chance with a seed, where code asks for bytes of it. */
function makeCrypto(): Record<string, unknown> {
  const getRandomValues = <T extends ArrayBufferView>(array: T): T => {
    const { buffer, byteOffset, byteLength } = array;
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    for (let i = 0; i < byteLength; i++) bytes[i] = Math.floor(Math.random() * 256);
    return array;
  };
  const randomUUID = () => {
    const bytes = getRandomValues(new Uint8Array(16));
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    return bytes.toHex().replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  };
  return { getRandomValues, randomUUID };
}
