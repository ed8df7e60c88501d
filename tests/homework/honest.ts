/**
 * What honest code uses of JavaScript, the platform and tfjs: all of it works in an exercise. Each gives whether it did.
 *
 * They are put into a cell as text: they use nothing of this module.
 */
// deno-lint-ignore-file no-explicit-any
import type { Try } from "./attacks/shared.ts";

/** Globals and language. */
export const onPlatform: Record<string, Try> = {
  queueMicrotask: () => new Promise<boolean>((resolve) => queueMicrotask(() => resolve(true))),
  "queueMicrotask in order": async () => {
    const order: string[] = [];
    setTimeout(() => order.push("timer"));
    queueMicrotask(() => order.push("microtask"));
    order.push("now");
    await new Promise((resolve) => setTimeout(resolve, 5));
    return order.join() === "now,microtask,timer";
  },
  "queueMicrotask of no function": () => {
    try {
      queueMicrotask(7 as any);
    } catch (error) {
      return error instanceof TypeError;
    }
  },
  setTimeout: () => new Promise<boolean>((resolve) => setTimeout(resolve, 1, true)),
  setInterval: () =>
    new Promise<boolean>((resolve) => {
      const timer = setInterval(() => {
        clearInterval(timer);
        resolve(true);
      }, 1);
    }),
  clearTimeout: async () => {
    let ran = false;
    clearTimeout(setTimeout(() => ran = true));
    await new Promise((resolve) => setTimeout(resolve, 3));
    return !ran;
  },
  structuredClone: () => structuredClone({ a: [new Map([[1, 2]])] }).a[0].get(1) === 2,
  "structuredClone of an array of numbers": () =>
    structuredClone(new Float32Array([1, 2]))[1] === 2,
  "performance.now": () => performance.now() < performance.now() && performance.timeOrigin > 0,
  "a mark": () => (performance.mark("a"), performance.measure("b"), true),
  "UTF-8": () => new TextDecoder().decode(new TextEncoder().encode("é學")) === "é學",
  "UTF-8 in pieces": () => {
    const decoder = new TextDecoder();
    const [a, b] = new TextEncoder().encode("é");
    const first = decoder.decode(new Uint8Array([a]), { stream: true });
    return first + decoder.decode(new Uint8Array([b])) === "é";
  },
  "UTF-8 that is wrong": () => {
    try {
      new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array([255]));
    } catch (error) {
      return error instanceof TypeError;
    }
  },
  encodeInto: () => new TextEncoder().encodeInto("ab", new Uint8Array(2)).written === 2,
  base64: () => atob(btoa("hello")) === "hello",
  hexadecimal: () => new Uint8Array([1, 255]).toHex() === "01ff",
  "crypto.getRandomValues": () => new Set(crypto.getRandomValues(new Uint32Array(8))).size > 6,
  "crypto.randomUUID": () =>
    /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/.test(crypto.randomUUID()),
  "Math.random": () => [1, 2, 3].every(() => Math.random() >= 0 && Math.random() < 1),
  Date: () => new Date(2020, 1, 1).getFullYear() === 2020 && Date.now() === new Date().getTime(),
  URL: () => new URL("a?b=c", "http://x/").searchParams.get("b") === "c",
  AbortController: () => {
    const controller = new AbortController();
    let heard = false;
    controller.signal.addEventListener("abort", () => heard = true);
    controller.abort();
    return heard && controller.signal.aborted;
  },
  "AbortSignal.timeout": async () => {
    const signal = AbortSignal.timeout(1);
    await new Promise((resolve) => setTimeout(resolve, 10));
    return signal.aborted;
  },
  "AbortSignal.any": () => AbortSignal.any([AbortSignal.abort()]).aborted,
  EventTarget: () => {
    const target = new EventTarget();
    let detail = 0;
    target.addEventListener("x", (event) => detail = (event as CustomEvent).detail);
    target.dispatchEvent(new CustomEvent("x", { detail: 7 }));
    return detail === 7;
  },
  "a stream": async () => {
    const parts: string[] = [];
    const stream = new ReadableStream({
      start(controller) {
        controller.enqueue(new Uint8Array([0xc3]));
        controller.enqueue(new Uint8Array([0xa9]));
        controller.close();
      },
    }).pipeThrough(new TextDecoderStream());
    for await (const part of stream) parts.push(part);
    return parts.join("") === "é";
  },
  "a stream of a generator": async () => {
    const stream = ReadableStream.from((function* () {
      yield 1;
      yield 2;
    })());
    return (await Array.fromAsync(stream)).join() === "1,2";
  },
  console: () => {
    console.log("a", { b: [1] });
    console.info("%d", 1);
    console.debug("x");
    console.table([{ a: 1 }]);
    console.dir({});
    console.group("g");
    console.groupEnd();
    console.time("t");
    console.timeEnd("t");
    console.count();
    console.assert(true);
    return true;
  },
  Intl: () =>
    new Intl.NumberFormat("de").format(1234.5) === "1.234,5" &&
    ["b", "ä"].sort(new Intl.Collator("de").compare)[0] === "ä",
  "Intl.Segmenter": () =>
    [...new Intl.Segmenter("en", { granularity: "word" }).segment("a b")].length === 3,
  toLocaleString: () =>
    (1234.5).toLocaleString("en-US") === "1,234.5" &&
    new Date().toLocaleDateString("en-US").includes("2025"),
  "String.normalize": () => "e\u0301".normalize("NFC") === "é" && "a".localeCompare("b") < 0,
  "Array.fromAsync": async () => (await Array.fromAsync([Promise.resolve(1)]))[0] === 1,
  "iterator helpers": () =>
    [1, 2, 3].values().map((x) => 2 * x).filter((x) => x > 2).take(1).toArray()[0] === 4,
  "Iterator.from": () =>
    Iterator.from({ next: () => ({ done: true, value: undefined }) }).toArray().length === 0,
  "a class of iterators": () => {
    class Count extends Iterator<number> {
      #at = 0;
      next(): IteratorResult<number, undefined> {
        return this.#at > 2 ? { done: true, value: undefined } : { done: false, value: this.#at++ };
      }
    }
    return new Count().map((x) => x + 1).toArray().join() === "1,2,3";
  },
  "Promise.withResolvers": async () => {
    const { promise, resolve } = Promise.withResolvers<number>();
    resolve(7);
    return await promise === 7;
  },
  "Promise.try": async () =>
    await Promise.try(() => 7) === 7 && (await Promise.allSettled([1]))[0].status === "fulfilled",
  "Object.groupBy": () =>
    Object.groupBy([1, 2, 3], (x) => x % 2 ? "odd" : "even").odd!.length === 2,
  "Map.groupBy": () => Map.groupBy([1, 2, 3], (x) => x % 2).get(1)!.length === 2,
  "sets": () => new Set([1, 2]).union(new Set([3])).size === 3,
  "arrays that are copied": () =>
    [3, 1].toSorted().with(0, 7).toReversed().join() === "3,7" && [1].at(-1) === 1,
  "Float16Array": () => new Float16Array([1.5])[0] === 1.5 && Math.f16round(1.5) === 1.5,
  "shared memory": () => Atomics.add(new Int32Array(new SharedArrayBuffer(4)), 0, 7) === 0,
  "regular expressions": () =>
    "aXbX".replace(/x/gi, "-") === "a-b-" && /(?<n>b)/.exec("abc")!.groups!.n === "b" &&
    [..."aa".matchAll(/a/g)].length === 2 && /\p{L}/v.test("é"),
  "big integers": () => 2n ** 64n === 18446744073709551616n && BigInt.asUintN(8, 257n) === 1n,
  "WeakRef": () =>
    new WeakRef({}).deref() !== undefined && new WeakMap().set({}, 1) instanceof WeakMap,
  "Proxy and Reflect": () =>
    new Proxy({} as any, { get: () => 7 }).x === 7 && Reflect.ownKeys({ a: 1 })[0] === "a",
  "using": () => {
    let ended = false;
    {
      using _one = { [Symbol.dispose]: () => ended = true };
    }
    return ended;
  },
  "DisposableStack": () => {
    let ended = 0;
    const stack = new DisposableStack();
    stack.defer(() => ended++);
    stack.dispose();
    return ended === 1;
  },
  "an error class": () => {
    class Mine extends Error {
      override name = "Mine";
    }
    const error = new Mine("x", { cause: 7 });
    error.message = "y";
    return String(error) === "Mine: y" && error.cause === 7 && error.stack!.length > 0;
  },
  "an old error class": () => {
    function Mine(this: any, message: string) {
      this.name = "Mine";
      this.message = message;
    }
    Mine.prototype = Object.create(Error.prototype);
    Mine.prototype.constructor = Mine;
    Mine.prototype.toString = () => "mine";
    return String(new (Mine as any)("x")) === "mine";
  },
  "own toString": () => {
    const one: any = {};
    one.toString = () => "own";
    one.valueOf = () => 7;
    one.constructor = 1;
    one.hasOwnProperty = 1;
    return String(one) === "own" && +one === 7;
  },
  "own methods on an array and a map": () => {
    const list: any = [], map: any = new Map();
    list.map = list.toString = map.get = () => 7;
    return list.map() + map.get() === 14 && String(list) === "7";
  },
  "a class that binds its methods": () => {
    class Cache extends Map<string, number> {
      constructor() {
        super();
        this.get = this.get.bind(this);
      }
    }
    const { get } = new Cache().set("a", 7);
    return get("a") === 7;
  },
  "a class of arrays": () => {
    class Stack extends Array<number> {
      peek() {
        return this.at(-1);
      }
    }
    const stack = new Stack();
    stack.push(1, 2);
    return stack.map((x) => 2 * x).length === 2 && (stack.filter(Boolean) as Stack).peek() === 2;
  },
  "a class that counts": () => {
    class Counted {
      static made = 0;
      #id = Counted.made++;
      get id() {
        return this.#id;
      }
    }
    return new Counted().id + new Counted().id === 1 && Counted.made === 2;
  },
  "a global of its own": () => {
    (globalThis as any).mine = 7;
    const was = (globalThis as any).mine;
    delete (globalThis as any).mine;
    return was === 7 && !("mine" in globalThis);
  },
  "Deno.inspect": () => Deno.inspect({ a: 1 }) === "{ a: 1 }" && Deno.build.os.length > 0,
  "a random stream of its own": ({ engine }) => {
    class Mine extends engine.Random {
      again = 0;
    }
    const mine = new Mine(7);
    mine.again++;
    return mine.uniform() === new engine.Random(7).uniform();
  },
};

/** tfjs. */
export const onTfjs: Record<string, Try> = {
  "setBackend and ready": async ({ tf }) => {
    tf.enableProdMode();
    return await tf.setBackend("cpu") && (await tf.ready(), tf.getBackend() === "cpu");
  },
  "tensors of all kinds": ({ tf }) =>
    [
      ...[
        tf.tensor([1]),
        tf.tensor1d([1]),
        tf.tensor2d([[1]]),
        tf.tensor3d([1], [1, 1, 1]),
        tf.scalar(1),
        tf.ones([1]),
      ],
      ...[
        tf.zeros([1]),
        tf.fill([1], 1),
        tf.range(0, 1),
        tf.linspace(0, 1, 1),
        tf.eye(1),
        tf.onesLike(tf.ones([1])),
      ],
      ...[
        tf.tensor(new Float32Array(1)),
        tf.tensor([true], [1], "bool"),
        tf.randomNormal([1]),
        tf.zerosLike(tf.ones([1])),
      ],
    ].every((one) => one.size === 1 && one instanceof tf.Tensor),
  "strings": ({ tf }) => tf.tensor(["a", "é"]).dataSync()[1] === "é",
  "complex numbers": ({ tf }) => tf.real(tf.complex([1], [2])).dataSync()[0] === 1,
  "reading": async ({ tf }) => {
    const x = tf.tensor([[1, 2], [3, 4]]);
    const all = [await x.data(), x.dataSync(), (await x.array()).flat(), x.arraySync().flat(), [
      ...(await x.buffer()).values,
    ]];
    return all.every((one) => [...one].join() === "1,2,3,4") && x.bufferSync().get(1, 0) === 3 &&
      (await x.bytes()).length === 16;
  },
  "what is read can be written": ({ tf }) => {
    const data = tf.ones([2]).dataSync();
    data[0] = 7;
    return tf.sum(tf.tensor(data)).dataSync()[0] === 8;
  },
  "a shape as one's own array": ({ tf }) => {
    const shape = tf.ones([2, 3]).shape;
    shape.push(1);
    shape[0] = 1;
    return tf.ones(shape).size === 3;
  },
  "shape taken apart": ({ tf }) => {
    const { shape: [rows, columns], rank, size, dtype, strides } = tf.ones([2, 3]);
    return [rows, columns, rank, size, dtype, strides[0]].join() === "2,3,2,6,float32,3";
  },
  "print": ({ tf }) => {
    tf.print(tf.ones([2]));
    tf.ones([2]).print();
    return tf.ones([2]).toString().includes("[1, 1]");
  },
  "chained": ({ tf }) =>
    tf.ones([2, 2]).mul(2).add(1).sum().sqrt().dataSync()[0] === Math.fround(Math.sqrt(12)),
  "matrices": ({ tf }) =>
    tf.matMul(tf.ones([2, 3]), tf.ones([2, 3]), false, true).arraySync()[0][0] === 3,
  "einsum": ({ tf }) =>
    tf.einsum("ij,jk->ik", tf.ones([2, 3]), tf.ones([3, 2])).arraySync()[0][0] === 3,
  "linalg": ({ tf }) =>
    tf.linalg.bandPart(tf.ones([2, 2]), -1, 0).sum().dataSync()[0] === 3 &&
    tf.linalg.qr(tf.eye(2)).length === 2,
  "pieces": ({ tf }) => {
    const x = tf.range(0, 6).reshape([2, 3]);
    const parts = [
      tf.slice(x, [0, 1], [1, 1]),
      tf.gather(x, [1]),
      tf.stack([x, x]),
      tf.concat([x, x]),
      tf.pad(x, [[0, 0], [1, 0]]),
    ];
    return parts.map((one) => one.size).join() === "1,3,12,12,8" &&
      tf.split(x, 3, 1).length === 3 && tf.unstack(x).length === 2;
  },
  "reductions": ({ tf }) => {
    const x = tf.tensor([[1, 5], [3, 2]]);
    return [tf.max(x), tf.min(x), tf.mean(x), tf.sum(x), tf.prod(x)].map((one) => one.dataSync()[0])
          .join() === "5,1,2.75,11,30" &&
      tf.argMax(x, 1).dataSync().join() === "1,0" && tf.topk(x, 1).indices.dataSync()[0] === 1 &&
      tf.moments(x).variance.size === 1;
  },
  "cumulative": ({ tf }) =>
    tf.cumsum(tf.ones([3])).dataSync()[2] === 3 && tf.cumprod(tf.ones([3])).dataSync()[2] === 1,
  "logic": async ({ tf }) => {
    const chosen = await tf.whereAsync(tf.tensor([true, false]));
    return tf.where([true], [1], [2]).dataSync()[0] === 1 && chosen.size === 1 &&
      tf.any(tf.tensor([true])).dataSync()[0] === 1;
  },
  "masks": async ({ tf }) =>
    (await tf.booleanMaskAsync(tf.range(0, 3), tf.tensor([1, 0, 1], [3], "bool"))).size === 2,
  "softmax": ({ tf }) =>
    tf.softmax(tf.zeros([2])).dataSync()[0] === 0.5 && tf.logSoftmax(tf.zeros([2])).size === 2 &&
    tf.logSumExp(tf.zeros([1])).dataSync()[0] === 0,
  "activations": ({ tf }) =>
    [tf.relu, tf.elu, tf.selu, tf.sigmoid, tf.tanh, tf.softplus, tf.erf].every((f) =>
      Number.isFinite(f(tf.ones([1])).dataSync()[0])
    ),
  "losses": ({ tf }) =>
    tf.losses.softmaxCrossEntropy(tf.oneHot([0], 2), tf.zeros([1, 2])).dataSync()[0] > 0.69,
  "chance": ({ tf }) =>
    tf.multinomial(tf.tensor([0.5, 0.5]), 3, 7).size === 3 && tf.randomUniform([3]).size === 3 &&
    tf.dropout(tf.ones([4]), 0.5, undefined, 7).size === 4,
  "tidy, keep, dispose": ({ tf }) => {
    const before = tf.memory().numTensors;
    const kept = tf.tidy(() => {
      tf.keep(tf.ones([1]));
      return tf.add(tf.ones([2]), 1);
    });
    const during = tf.memory().numTensors;
    tf.dispose({ a: [kept] });
    return during === before + 2 && kept.isDisposed && tf.memory().numTensors === before + 1;
  },
  "grad": ({ tf }) => tf.grad((x: any) => tf.square(x))(tf.scalar(3)).dataSync()[0] === 6,
  "grads": ({ tf }) =>
    tf.grads((x: any, y: any) => tf.mul(x, y))([tf.scalar(3), tf.scalar(4)])[0].dataSync()[0] === 4,
  "valueAndGrad": ({ tf }) =>
    tf.valueAndGrad((x: any) => tf.square(x))(tf.scalar(3)).value.dataSync()[0] === 9,
  "valueAndGrads": ({ tf }) =>
    tf.valueAndGrads((x: any) => tf.square(x))([tf.scalar(3)]).grads[0].dataSync()[0] === 6,
  "variableGrads": ({ tf }) => {
    const w = tf.variable(tf.scalar(3));
    const { grads } = tf.variableGrads(() => tf.square(w));
    return grads[w.name].dataSync()[0] === 6;
  },
  "customGrad": ({ tf }) => {
    const f = tf.customGrad((x: any, save: any) => {
      save([x]);
      return { value: tf.square(x), gradFunc: (dy: any, [x]: any) => dy.mul(x).mul(10) };
    });
    return tf.grad(f)(tf.scalar(2)).dataSync()[0] === 20;
  },
  "a gradient of a gradient": ({ tf }) =>
    tf.grad(tf.grad((x: any) => tf.pow(x, 3)))(tf.scalar(2)).dataSync()[0] === 12,
  "variables": ({ tf }) => {
    const w = tf.variable(tf.ones([2]), true, "honest");
    w.assign(tf.add(w, 1));
    const was = w.dataSync()[0];
    w.dispose();
    return was === 2 && w instanceof tf.Variable &&
      tf.variable(tf.ones([1]), false, "honest").trainable === false;
  },
  "optimizers": ({ tf }) =>
    ["sgd", "momentum", "rmsprop", "adam", "adadelta", "adamax", "adagrad"].every((name) => {
      const w = tf.variable(tf.scalar(1)), optimizer = tf.train[name](0.1, 0.9);
      for (let i = 0; i < 3; i++) optimizer.minimize(() => tf.square(w), false, [w]);
      return w.dataSync()[0] < 1;
    }),
  "a class of tensors' names": ({ tf }) => tf.ones([1]) instanceof tf.Tensor && tf.Rank.R1 === "R1",
  "util": ({ tf }) => {
    const {
      sizeFromShape,
      arraysEqual,
      flatten,
      inferDtype,
      shuffle,
      isTypedArray,
      assert,
      computeStrides,
    } = tf.util;
    const list = [1, 2, 3];
    shuffle(list);
    assert(true, () => "");
    return sizeFromShape([2, 3]) === 6 && arraysEqual([1], [1]) &&
      flatten([[1], [2]]).length === 2 && inferDtype(1) === "float32" &&
      list.length === 3 && isTypedArray(new Float32Array(1)) && computeStrides([2, 3])[0] === 3;
  },
  "broadcasting": ({ tf }) =>
    tf.broadcastTo(tf.ones([1, 2]), [3, 2]).size === 6 &&
    tf.broadcast_util.assertAndGetBroadcastShape([1, 2], [3, 1]).join() === "3,2",
  "buffers": ({ tf }) => {
    const buffer = tf.buffer([2, 2]);
    buffer.set(7, 1, 0);
    return buffer.toTensor().arraySync()[1][0] === 7;
  },
  "a layer": ({ tf }) => {
    const layer = tf.layers.layerNormalization({ epsilon: 1e-5 });
    return Math.abs(layer.apply(tf.tensor([[1, 3]])).dataSync()[1] - 1) < 1e-3;
  },
  "a dense layer": ({ tf }) =>
    tf.layers.dense({ units: 2, activation: "relu", kernelInitializer: tf.initializers.ones() })
      .apply(tf.ones([1, 3])).dataSync()[0] === 3,
  "convolution and pooling": ({ tf }) =>
    tf.conv1d(tf.ones([4, 1]), tf.ones([2, 1, 1]), 1, "valid").size === 3 &&
    tf.avgPool(tf.ones([2, 2, 1]), 2, 1, "valid").size === 1,
  "spectra": ({ tf }) =>
    tf.spectral.rfft(tf.ones([4])).dtype === "complex64" && tf.signal.hannWindow(4).size === 4,
  "other kinds": ({ tf }) =>
    tf.cast(tf.ones([1]), "int32").dtype === "int32" && tf.ones([1]).toInt().dtype === "int32" &&
    tf.clone(tf.ones([1])).size === 1,
  "nextFrame": async ({ tf }) => (await tf.nextFrame(), true),
  "what is not there says so": ({ tf }) => {
    try {
      tf.engine();
    } catch (error) {
      return /tf.engine is not there for an exercise/.test((error as Error).message);
    }
  },
  "another processor says so": ({ tf }) => {
    try {
      tf.setBackend("webgl");
    } catch (error) {
      return /graded on backend "cpu"; "webgl" is not there/.test((error as Error).message);
    }
  },
};
