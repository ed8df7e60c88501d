/**
 * The part of jsr:@std/assert that the book uses, over node:assert: same names, signatures and meaning. It stands in where
 * JSR cannot be reached; delete the line `"links"` in deno.json to use the real one.
 */
import { deepStrictEqual, notDeepStrictEqual } from "node:assert";
import { inspect } from "node:util";

/** Thrown by every assertion here. */
export class AssertionError extends Error {
  override name = "AssertionError";
}

const show = (value: unknown) => inspect(value, { depth: 6 });
const suffix = (msg?: string) => msg ? `: ${msg}` : ".";

function isEqual(actual: unknown, expected: unknown): boolean {
  try {
    deepStrictEqual(actual, expected);
    return true;
  } catch {
    return false;
  }
}

/** Fails unless `expr` is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError(msg);
}

/** Fails if `expr` is truthy. */
export function assertFalse(expr: unknown, msg = ""): asserts expr is false {
  if (expr) throw new AssertionError(msg);
}

/** Fails, always. */
export function fail(msg?: string): never {
  throw new AssertionError(`Failed assertion${suffix(msg)}`);
}

/** Fails unless both are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (isEqual(actual, expected)) return;
  throw new AssertionError(
    `Values are not equal${suffix(msg)}\n    actual: ${show(actual)}\n  expected: ${
      show(expected)
    }`,
  );
}

/** Fails if both are deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  try {
    notDeepStrictEqual(actual, expected);
  } catch {
    throw new AssertionError(
      `Expected actual: ${show(actual)} not to be: ${show(expected)}${suffix(msg)}`,
    );
  }
}

/** Fails unless both are the same value or object (`Object.is`). */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T {
  if (Object.is(actual, expected)) return;
  throw new AssertionError(
    `Values are not strictly equal${suffix(msg)}\n    actual: ${show(actual)}\n  expected: ${
      show(expected)
    }`,
  );
}

/** Fails unless `|actual - expected| <= tolerance`; the default tolerance is 1e-7 of the expected value. */
export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance?: number,
  msg?: string,
): void {
  if (Object.is(actual, expected)) return;
  const allowed = tolerance ?? (Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7);
  const difference = Math.abs(actual - expected);
  if (difference <= allowed) return;
  throw new AssertionError(
    `Expected actual: "${actual}" to be close to "${expected}"${
      suffix(msg)
    } delta "${difference}" is greater than "${allowed}"`,
  );
}

/** Fails unless `actual > expected`. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual > expected)) {
    throw new AssertionError(`Expect ${show(actual)} > ${show(expected)}${suffix(msg)}`);
  }
}

/** Fails unless `actual >= expected`. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual >= expected)) {
    throw new AssertionError(`Expect ${show(actual)} >= ${show(expected)}${suffix(msg)}`);
  }
}

/** Fails unless `actual < expected`. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual < expected)) {
    throw new AssertionError(`Expect ${show(actual)} < ${show(expected)}${suffix(msg)}`);
  }
}

/** Fails unless `actual <= expected`. */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual <= expected)) {
    throw new AssertionError(`Expect ${show(actual)} <= ${show(expected)}${suffix(msg)}`);
  }
}

/** Fails unless the value is neither undefined nor null. */
export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T> {
  if (actual === undefined || actual === null) {
    throw new AssertionError(
      `Expected actual: "${actual}" to not be null or undefined${suffix(msg)}`,
    );
  }
}

/** Fails unless `actual` contains `expected`. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (!actual.includes(expected)) {
    throw new AssertionError(
      `Expected actual: "${actual}" to contain: "${expected}"${suffix(msg)}`,
    );
  }
}

/** Fails unless every element of `expected` is deeply equal to some element of `actual`. */
export function assertArrayIncludes<T>(
  actual: ArrayLike<T>,
  expected: ArrayLike<T>,
  msg?: string,
): void {
  const missing = Array.from(expected).filter((wanted) =>
    !Array.from(actual).some((item) => isEqual(item, wanted))
  );
  if (missing.length > 0) {
    throw new AssertionError(
      `Expected actual: "${show(actual)}" to include: "${show(expected)}"${suffix(msg)} missing: ${
        show(missing)
      }`,
    );
  }
}

/** Fails unless `actual` matches the pattern. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  if (!expected.test(actual)) {
    throw new AssertionError(`Expected actual: "${actual}" to match: "${expected}"${suffix(msg)}`);
  }
}

/** Fails unless `actual` is an instance of the class. */
// deno-lint-ignore no-explicit-any
export function assertInstanceOf<T extends abstract new (...args: any[]) => any>(
  actual: unknown,
  expectedType: T,
  msg?: string,
): asserts actual is InstanceType<T> {
  if (!(actual instanceof expectedType)) {
    throw new AssertionError(
      `Expected object to be an instance of "${expectedType.name}"${suffix(msg)}`,
    );
  }
}

// deno-lint-ignore no-explicit-any
type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;

function checkError<E extends Error>(
  error: unknown,
  ErrorClass?: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): E {
  if (!(error instanceof Error)) {
    throw new AssertionError(`A non-Error object was thrown or rejected${suffix(msg)}`);
  }
  if (ErrorClass && !(error instanceof ErrorClass)) {
    throw new AssertionError(
      `Expected error to be instance of "${ErrorClass.name}", but was "${error.constructor.name}"${
        suffix(msg)
      } ${error.message}`,
    );
  }
  if (msgIncludes && !error.message.includes(msgIncludes)) {
    throw new AssertionError(
      `Expected error message to include "${msgIncludes}", but got "${error.message}"${
        suffix(msg)
      }`,
    );
  }
  return error as E;
}

/** Fails unless `fn` throws (an error of that class, with that text in its message); gives the error back. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass?: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): E {
  try {
    fn();
  } catch (error) {
    return checkError(error, ErrorClass, msgIncludes, msg);
  }
  throw new AssertionError(`Expected function to throw${suffix(msg)}`);
}

/** Fails unless `fn` gives a promise that is rejected (with an error of that class …); gives the error back. */
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass?: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E> {
  let promise: PromiseLike<unknown>;
  try {
    promise = fn();
  } catch (error) {
    throw new AssertionError(`Function throws when expected to reject${suffix(msg)} ${error}`);
  }
  try {
    await promise;
  } catch (error) {
    return checkError(error, ErrorClass, msgIncludes, msg);
  }
  throw new AssertionError(`Expected function to reject${suffix(msg)}`);
}
