/**
 * Attacks on what a submission shares with its judge. Each gives whether it worked; throwing counts as not.
 *
 * They are put into a cell as text: they use nothing of this module.
 */
// deno-lint-ignore-file no-explicit-any
import type * as std from "@std/assert";
import type { Parameters } from "lib/engine/parameters.ts";
import type { Random } from "lib/engine/random.ts";

/** What a learner's cell can get hold of. */
export interface Reach {
  tf: any;
  assert: typeof std;
  engine: { Random: typeof Random; Parameters: typeof Parameters };
}

export type Try = (reach: Reach) => unknown;

/** Ways to tfjs's engine, kernels and gradients: the first nine once worked, the first for full points. */
export const onEngine: Record<string, Try> = {
  "a softmax that gives NaN, by its kernel"({ tf }) {
    const kernel = tf.getKernel("Softmax", "cpu"), real = kernel.kernelFunc;
    kernel.kernelFunc = (given: any) => {
      const result = real(given);
      given.backend.data.get(result.dataId).values.fill(NaN);
      return result;
    };
    return Number.isNaN(tf.softmax(tf.tensor([1, 2])).dataSync()[0]);
  },
  "a gradient"({ tf }) {
    tf.getGradient("Square").gradFunc = () => ({ x: () => tf.scalar(7) });
    return tf.grad((x: any) => tf.square(x))(tf.scalar(1)).dataSync()[0] === 7;
  },
  "tf.util"({ tf }) {
    tf.util.sizeFromShape = () => 1;
    return tf.util.sizeFromShape([2, 3]) !== 6;
  },
  "tf.backend_util"({ tf }) {
    tf.backend_util.getReductionAxes = () => [];
    return tf.backend_util.getReductionAxes([1], [2]).length === 0;
  },
  "tf.default": ({ tf }) => tf.default.engine(),
  "tf['module.exports']": ({ tf }) => tf["module.exports"].registerKernel,
  "the engine's state": () => (globalThis as any)._tfengine.state.tensorInfo,
  "the engine's flags": () => (globalThis as any)._tfengine.ENV.flags,
  "the flags, through tf.ENV"({ tf }) {
    tf.ENV.set("DEBUG", true);
    return tf.ENV.getBool("DEBUG");
  },
  "an engine of its own"() {
    (globalThis as any)._tfengine = { readSync: () => [7] };
    return (globalThis as any)._tfengine.readSync()[0] === 7;
  },
  "the stand-in of the engine"() {
    (globalThis as any)._tfengine.readSync = () => [7];
    return (globalThis as any)._tfengine.readSync()[0] === 7;
  },
  "the engine's backend": () => (globalThis as any)._tfengine.registry.cpu,
  "the engine by a method's this"({ tf }) {
    let found: unknown;
    (globalThis as any)._tfengine.makeVariable.call({
      get makeVariable() {
        return found = this;
      },
    }, tf.scalar(1));
    return found;
  },
  "the engine by the this of what it calls"({ tf }) {
    const found: unknown[] = [];
    const note = function (this: unknown, ...given: any[]) {
      found.push(this, ...given);
      return given[0] ?? tf.scalar(1);
    };
    tf.tidy(note);
    tf.grad(note)(tf.scalar(1));
    tf.customGrad(note)?.call;
    tf.train.sgd(1).minimize(note, false, [tf.variable(tf.scalar(1))]);
    return found.some((one: any) => one?.state || one?.registry || one?.dataMover);
  },
  "tf.engine": ({ tf }) => tf.engine(),
  "tf.env": ({ tf }) => tf.env(),
  "tf.backend": ({ tf }) => tf.backend(),
  "tf.findBackend": ({ tf }) => tf.findBackend("cpu"),
  "tf.setBackend": ({ tf }) => tf.setBackend("webgl"),
  "tf.registerBackend": ({ tf }) => tf.registerBackend("mine", () => ({})),
  "tf.removeBackend"({ tf }) {
    tf.removeBackend("cpu");
    return true;
  },
  "tf.getKernelsForBackend": ({ tf }) => tf.getKernelsForBackend("cpu"),
  "tf.unregisterKernel"({ tf }) {
    tf.unregisterKernel("Sub", "cpu");
    return true;
  },
  "tf.registerGradient"({ tf }) {
    tf.registerGradient({ kernelName: "Mine", gradFunc: () => ({}) });
    return true;
  },
  "tf.copyRegisteredKernels"({ tf }) {
    tf.copyRegisteredKernels("cpu", "mine");
    return true;
  },
  "tf.enableDebugMode"({ tf }) {
    tf.enableDebugMode();
    return true;
  },
  "tf.setPlatform"({ tf }) {
    tf.setPlatform("mine", { encode: () => new Uint8Array(1) });
    return true;
  },
  "tf.profile": ({ tf }) => tf.profile(() => tf.ones([1])),
  "tf.op": ({ tf }) => tf.op({ mine: () => 1 }),
  "kernels' own functions"({ tf }) {
    tf.shared.addImpl = () => [new Float32Array(1), [1]];
    return tf.shared.addImpl()[0].length === 1;
  },
  "tf.kernel_impls"({ tf }) {
    tf.kernel_impls.whereImpl = () => 7;
    return tf.kernel_impls.whereImpl() === 7;
  },
  "the processor's class"({ tf }) {
    tf.MathBackendCPU.prototype.readSync = () => [7];
    return true;
  },
  "the class above it"({ tf }) {
    tf.KernelBackend.prototype.epsilon = () => 7;
    return true;
  },
  "what keeps the memory"({ tf }) {
    tf.DataStorage.prototype.get = () => ({ values: [7] });
    return true;
  },
  "names of classes"({ tf }) {
    tf.serialization.SerializationMap.getMap().classNameMap = {};
    return true;
  },
  "a router for files": ({ tf }) => tf.io.registerSaveRouter(() => ({})),
  "a file through tf.io": ({ tf }) => tf.io.http("http://127.0.0.1/"),
  "a file through tf.data": ({ tf }) => tf.data.csv("http://127.0.0.1/"),
  "fetch through tf.util": ({ tf }) => tf.util.fetch("http://127.0.0.1/"),
};

/** Ways to change functions, classes and namespaces of tfjs that the check uses, too. */
export const onFunctions: Record<string, Try> = {
  "an operator"({ tf }) {
    tf.softmax = () => tf.scalar(7);
    return tf.softmax(tf.ones([2])).size === 1;
  },
  "an operator by definition"({ tf }) {
    Object.defineProperty(tf, "sub", { value: () => 7 });
    return tf.sub() === 7;
  },
  "an operator deleted"({ tf }) {
    delete tf.add;
    return !tf.add;
  },
  "the namespace's prototype"({ tf }) {
    Object.setPrototypeOf(tf, { mine: 1 });
    return tf.mine;
  },
  "a new name"({ tf }) {
    tf.mine = 1;
    return tf.mine;
  },
  "a group's function"({ tf }) {
    tf.linalg.bandPart = (x: unknown) => x;
    return tf.linalg.bandPart(7) === 7;
  },
  "a loss"({ tf }) {
    tf.losses.softmaxCrossEntropy = () => 7;
    return tf.losses.softmaxCrossEntropy() === 7;
  },
  "an optimizer's maker"({ tf }) {
    tf.train.adam = () => 7;
    return tf.train.adam() === 7;
  },
  "an optimizer's class"({ tf }) {
    Object.getPrototypeOf(tf.train.sgd(1)).applyGradients = () => {};
    return true;
  },
  "the class above optimizers"({ tf }) {
    tf.Optimizer.prototype.minimize = () => 7;
    return true;
  },
  "a function's call"({ tf }) {
    tf.matMul.call = () => 7;
    return tf.matMul.call() === 7;
  },
  "tensors' methods"({ tf }) {
    tf.Tensor.prototype.dataSync = () => [7];
    return tf.ones([1]).dataSync()[0] === 7;
  },
  "tensors' methods, from one of them"({ tf }) {
    const one = tf.ones([1]);
    Object.getPrototypeOf(one).arraySync = () => 7;
    return one.arraySync() === 7;
  },
  "tensors' methods, by their constructor"({ tf }) {
    tf.ones([1]).constructor.prototype.array = () => 7;
    return true;
  },
  "tensors' operators"({ tf }) {
    tf.Tensor.prototype.sub = () => 7;
    return tf.ones([1]).sub(1) === 7;
  },
  "tensors' rank"({ tf }) {
    Object.defineProperty(tf.Tensor.prototype, "rank", { get: () => 7 });
    return tf.ones([1]).rank === 7;
  },
  "what a tensor is"({ tf }) {
    Object.defineProperty(tf.Tensor, Symbol.hasInstance, { value: () => false });
    return !(tf.ones([1]) instanceof tf.Tensor);
  },
  "variables' assign"({ tf }) {
    tf.Variable.prototype.assign = () => {};
    return true;
  },
  "the prototype above variables"({ tf }) {
    Object.setPrototypeOf(tf.Variable.prototype, {});
    return true;
  },
  "buffers' methods"({ tf }) {
    tf.TensorBuffer.prototype.get = () => 7;
    return tf.buffer([1]).get(0) === 7;
  },
  "names of ranks"({ tf }) {
    tf.Rank.R1 = "7";
    return tf.Rank.R1 === "7";
  },
};

/** Ways to change a tensor that somebody else made: here `given`, of ones. */
export const onTensors: Record<string, Try> = {
  "dataSync"({ tf }) {
    const given = tf.ones([2]);
    given.dataSync().fill(7);
    return given.dataSync()[0] === 7;
  },
  "the buffer below dataSync"({ tf }) {
    const given = tf.ones([2]);
    new Float32Array(given.dataSync().buffer).fill(7);
    return given.dataSync()[0] === 7;
  },
  "bufferSync"({ tf }) {
    const given = tf.ones([2]);
    given.bufferSync().set(7, 0);
    return given.dataSync()[0] === 7;
  },
  "bufferSync's values"({ tf }) {
    const given = tf.ones([2]);
    given.bufferSync().values[0] = 7;
    return given.dataSync()[0] === 7;
  },
  async data({ tf }) {
    const given = tf.ones([2]);
    (await given.data()).fill(7);
    return given.dataSync()[0] === 7;
  },
  async bytes({ tf }) {
    const given = tf.ones([2]);
    (await given.bytes()).fill(7);
    return given.dataSync()[0] !== 1;
  },
  async "bytes of strings"({ tf }) {
    const given = tf.tensor(["a"]);
    (await given.bytes())[0].fill(66);
    return given.dataSync()[0] === "B";
  },
  async buffer({ tf }) {
    const given = tf.ones([2]);
    (await given.buffer()).set(7, 0);
    return given.dataSync()[0] === 7;
  },
  "a clone's memory"({ tf }) {
    const given = tf.ones([2]);
    given.clone().dataSync().fill(7);
    return given.dataSync()[0] === 7;
  },
  "another shape's memory"({ tf }) {
    const given = tf.ones([2, 1]);
    tf.reshape(given, [2]).bufferSync().set(7, 0);
    return given.dataSync()[0] === 7;
  },
  "the stand-in's reading"({ tf }) {
    const given = tf.ones([2]);
    (globalThis as any)._tfengine.readSync(given.dataId).fill(7);
    return given.dataSync()[0] === 7;
  },
  "a buffer that went on being written"({ tf }) {
    const buffer = tf.buffer([2]), given = buffer.toTensor();
    buffer.set(7, 0);
    return given.dataSync()[0] === 7;
  },
  "what it holds"({ tf }) {
    const given = tf.ones([2]);
    given.dataId = tf.fill([2], 7).dataId;
    return given.dataSync()[0] === 7;
  },
  "what it holds, by definition"({ tf }) {
    const given = tf.ones([2]);
    Object.defineProperty(given, "dataId", { value: tf.fill([2], 7).dataId });
    return given.dataSync()[0] === 7;
  },
  "what it holds, by the method of variables"({ tf }) {
    const given = tf.ones([2]);
    tf.Variable.prototype.assign.call(given, tf.fill([2], 7));
    return given.dataSync()[0] === 7 && !(given instanceof tf.Variable) && "assigned";
  },
  "what it holds, by a variable that was made of it"({ tf }) {
    const given = tf.ones([2]);
    tf.variable(given).assign(tf.fill([2], 7));
    return given.dataSync()[0] === 7;
  },
  "what it holds, by an optimizer"({ tf }) {
    const given = tf.ones([2]), w = tf.variable(given);
    tf.train.sgd(1).minimize(() => tf.sum(w), false, [w]);
    return given.dataSync()[0] !== 1;
  },
  "what a variable holds"({ tf }) {
    const given = tf.variable(tf.ones([2]));
    given.dataId = tf.fill([2], 7).dataId;
    return given.dataSync()[0] === 7;
  },
  "another tensor during an assignment"({ tf }) {
    const given = tf.ones([2]), mine = tf.variable(tf.ones([2])), sevens = tf.fill([2], 7);
    mine.assign({
      dtype: "float32",
      get shape() {
        given.dataId = sevens.dataId;
        return [2];
      },
      dataId: sevens.dataId,
    });
    return given.dataSync()[0] === 7;
  },
  "its shape"({ tf }) {
    const given = tf.ones([2]);
    given.shape = [7];
    return given.shape[0] === 7;
  },
  "its shape from inside"({ tf }) {
    const given = tf.ones([2]);
    given.shape[0] = 7;
    given.shape.push(7);
    return given.shape[0] === 7 || given.rank !== 1;
  },
  "its strides"({ tf }) {
    const given = tf.ones([2, 3]);
    given.strides[0] = 7;
    return given.strides[0] === 7;
  },
  "its type"({ tf }) {
    const given = tf.ones([2]);
    given.dtype = "string";
    return given.dtype === "string";
  },
  "a trap in what it knows of itself"({ tf }) {
    const given = tf.ones([2]);
    Object.defineProperty(given, "isDisposedInternal", { get: () => false });
    return true;
  },
  "its size"({ tf }) {
    const given = tf.ones([2]);
    given.size = 7;
    return given.size === 7;
  },
  "its own dataSync"({ tf }) {
    const given = tf.ones([2]);
    given.dataSync = () => [7];
    return given.dataSync()[0] === 7;
  },
  "its own array, by definition"({ tf }) {
    const given = tf.ones([2]);
    Object.defineProperty(given, "array", { value: () => [7] });
    return given.array()[0] === 7;
  },
  "its own rank"({ tf }) {
    const given = tf.ones([2]);
    Object.defineProperty(given, "rank", { value: 7 });
    return given.rank === 7;
  },
  "its prototype"({ tf }) {
    const given = tf.ones([2]);
    Object.setPrototypeOf(given, { dataSync: () => [7] });
    return given.dataSync()[0] === 7;
  },
  "a gradient's seed"({ tf }) {
    const seen = tf.customGrad((x: any) => ({
      value: x.clone(),
      gradFunc: (dy: any) => {
        dy.dataSync().fill(7);
        return dy;
      },
    }));
    return tf.grad(seen)(tf.scalar(1)).dataSync()[0] === 7;
  },
  "a model's parameter"({ engine }) {
    const parameters = new engine.Parameters();
    const given = parameters.ones("w", [2]);
    given.dataSync().fill(7);
    (parameters.entries() as unknown[]).length = 0;
    return parameters.get("w").dataSync()[0] === 7 || parameters.count !== 2;
  },
};

/** Ways to change JavaScript, the platform, the assertions and the book's classes. */
export const onEverything: Record<string, Try> = {
  "any of these objects"({ assert, engine }) {
    const prototype = Object.getPrototypeOf, timer = setTimeout(() => {}, 0);
    clearTimeout(timer);
    const shared: Record<string, any> = {
      assertEquals: assert.assertEquals,
      AssertionError: assert.AssertionError.prototype,
      Random: engine.Random,
      "Random.prototype": engine.Random.prototype,
      Parameters: engine.Parameters.prototype,
      timer: prototype(timer),
      generator: prototype(prototype((function* () {})())),
      asyncGenerator: prototype(prototype((async function* () {})())),
      mapIterator: prototype(new Map().keys()),
      iteratorHelper: prototype([].values().map(() => 1)),
      wrappedIterator: prototype(Iterator.from({ next: () => ({ done: true, value: 1 }) })),
      regexIterator: prototype("".matchAll(/./g)),
      segments: prototype(new Intl.Segmenter("en").segment("a")),
      parameters: prototype(new URLSearchParams().keys()),
      asyncIterator: prototype(prototype(prototype((async function* () {})()))),
      TypedArray: prototype(Float32Array),
      strict: prototype(async () => {}),
      inspect: Deno.inspect,
      errors: Deno.errors,
      build: Deno.build,
      environment: Deno.env,
      Deno,
    };
    const names = [
      ...[
        "Object",
        "Array",
        "Function",
        "Promise",
        "Map",
        "Set",
        "WeakMap",
        "Date",
        "RegExp",
        "Error",
        "Number",
      ],
      ...[
        "String",
        "Symbol",
        "BigInt",
        "Boolean",
        "Float32Array",
        "ArrayBuffer",
        "DataView",
        "Proxy",
        "Iterator",
      ],
      ...[
        "TextEncoder",
        "TextDecoder",
        "URL",
        "URLSearchParams",
        "AbortController",
        "AbortSignal",
        "Event",
      ],
      ...[
        "EventTarget",
        "CustomEvent",
        "DOMException",
        "ReadableStream",
        "TransformStream",
        "TextDecoderStream",
      ],
      ...[
        "Math",
        "JSON",
        "Reflect",
        "Atomics",
        "Intl",
        "console",
        "performance",
        "crypto",
        "_tfengine",
      ],
      ...["setTimeout", "queueMicrotask", "structuredClone", "parseInt", "atob"],
    ];
    for (const name of names) {
      const value = (globalThis as any)[name];
      Object.assign(shared, { [name]: value, [`${name}.prototype`]: value.prototype });
    }
    for (const name of Object.getOwnPropertyNames(Intl)) {
      shared[`Intl.${name}`] = (Intl as any)[name].prototype;
    }
    const worked = Object.entries(shared).filter(([, object]) => {
      try {
        Object.defineProperty(object, "mine", { value: 1, configurable: true });
        return true;
      } catch {
        return false;
      }
    });
    return worked.filter(([, object]) => object !== undefined).map(([name]) => name).join();
  },
  "globals"() {
    const names =
      "Math JSON Object Array Promise console performance crypto setTimeout queueMicrotask Deno"
        .split(" ");
    const worked = names.filter((name) => {
      const before = (globalThis as any)[name];
      try {
        (globalThis as any)[name] = 7;
      } catch { /* as it should be */ }
      return (globalThis as any)[name] !== before;
    });
    return worked.join();
  },
  "stack traces"() {
    (Error as any).prepareStackTrace = () => "mine";
    return new Error("x").stack === "mine";
  },
  "the length of stack traces"() {
    Error.stackTraceLimit = 0;
    return Error.stackTraceLimit === 0;
  },
  "the prototype of Math, by __proto__"() {
    (Math as any).__proto__ = { mine: 1 };
    return (Math as any).mine;
  },
  "the prototype of arrays"() {
    Object.setPrototypeOf(Array.prototype, { mine: 1 });
    return ([] as any).mine;
  },
  "what all objects have"() {
    (Object.prototype as any).mine = 1;
    return ({} as any).mine;
  },
  "what all objects print"() {
    Object.prototype.toString = () => "mine";
    return String({}) === "mine";
  },
  "an accessor for all"() {
    (Object.prototype as any).__defineGetter__("ok", () => true);
    return ({} as any).ok;
  },
  "how functions are called"() {
    Function.prototype.apply = () => 7;
    return Math.abs.apply(Math, [1]) === 7;
  },
  "how numbers are compared"() {
    Number.isNaN = () => false;
    return !Number.isNaN(NaN);
  },
  "the clock"() {
    Date.now = () => 7;
    return Date.now() === 7;
  },
  "chance"() {
    Math.random = () => 0.7;
    return Math.random() === 0.7;
  },
  "code, by every function's constructor"() {
    const made = [() => {}, async () => {}, function* () {}, async function* () {}].map((one) => {
      try {
        return (one.constructor as any)("return 7");
      } catch {
        return undefined;
      }
    });
    return made.some((one) => one !== undefined);
  },
  "code, by a timer"() {
    (globalThis as any).made = false;
    (setTimeout as any)("globalThis.made = true");
    return (globalThis as any).made;
  },
};
