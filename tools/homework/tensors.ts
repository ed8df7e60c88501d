/**
 * tfjs as a submission gets it: what computes with tensors is there, what changes how everybody's tensors are computed is not.
 *
 * A check and the code under test share one engine, so three things are closed: the way to the engine (a list of what may
 * be used, and a stand-in for the global in which tfjs keeps it), the tensors themselves (nobody can exchange what one
 * holds), and the memory behind them (who reads a tensor gets a copy).
 */
import type * as tfjs from "@tensorflow/tfjs";

type Functions = Record<string, unknown>;

/** Besides its operators, which tfjs marks itself, what a notebook uses of it. */
const USED = new Set(
  ("Tensor Variable TensorBuffer Optimizer SGDOptimizer MomentumOptimizer RMSPropOptimizer AdamOptimizer AdamaxOptimizer " +
    "AdadeltaOptimizer AdagradOptimizer Rank Reduction tensor tensor1d tensor2d tensor3d tensor4d tensor5d tensor6d scalar " +
    "zeros ones fill range linspace meshgrid buffer variable tidy keep dispose disposeVariables memory print grad grads " +
    "valueAndGrad valueAndGrads variableGrads customGrad getBackend nextFrame booleanMaskAsync setdiff1dAsync whereAsync " +
    "inTopKAsync lowerBound upperBound cosineWindow enclosingPowerOfTwo sumOutType upcastType train version_core")
    .split(" "),
);

/** Groups of functions that belong together; tfjs loads nothing and draws nothing here. */
const GROUPS =
  "losses linalg math image signal spectral sparse string fused initializers layers broadcast_util util"
    .split(" ");

const LEFT_OUT = new Set(["fetch"]);

/** What chooses a processor, as notebooks begin: there is one, and it is chosen. */
const CHOSEN: Functions = {
  setBackend: (name: string) => {
    if (name === "cpu") return Promise.resolve(true);
    throw new Error(`an exercise is graded on backend "cpu"; "${name}" is not there`);
  },
  ready: () => Promise.resolve(),
  enableProdMode() {},
};

/** A module as a submission gets it: frozen, and tfjs without its engine. */
export function closedModule(module: Functions): Functions {
  const copy: Functions = Object.create(null);
  if ("registerKernel" in module) addOperators(copy, module);
  else for (const [name, value] of Object.entries(module)) copy[name] = value;
  return Object.freeze(copy);
}

function addOperators(copy: Functions, tf: Functions): void {
  for (const [name, value] of Object.entries(tf)) {
    if (USED.has(name) || isOperator(value)) copy[name] = value;
    else if (GROUPS.includes(name)) copy[name] = group(value as Functions);
    else if (name in CHOSEN) copy[name] = CHOSEN[name];
    else if (typeof value === "function") copy[name] = notThere(name);
  }
}

function isOperator(value: unknown): boolean {
  return typeof value === "function" && value.name.endsWith("__op");
}

function group(functions: Functions): Functions {
  const copy: Functions = Object.create(null);
  for (const [name, value] of Object.entries(functions)) {
    if (typeof value === "function" && !LEFT_OUT.has(name)) copy[name] = value;
  }
  return Object.freeze(copy);
}

function notThere(name: string): () => never {
  return () => {
    throw new Error(`tf.${name} is not there for an exercise`);
  };
}

interface Engine extends ReturnType<typeof tfjs.engine> {
  trackTensor(tensor: tfjs.Tensor, backend: unknown): void;
}

/** Closes, for the rest of this process, the engine of this tfjs and every tensor that it makes from now on. */
export function closeEngine(tf: typeof tfjs): void {
  const engine = tf.engine() as Engine;
  sealTensors(engine);
  allowAssigning(tf.Variable.prototype);
  const standIn = Object.freeze(methodsOfTensors(engine));
  Object.defineProperty(globalThis, "_tfengine", { value: standIn });
}

/** The methods of tensors look the engine up in a global each time. This is what they need of it. */
function methodsOfTensors(engine: Engine): Partial<Record<keyof Engine, unknown>> {
  return {
    makeTensor: (values: tfjs.DataValues, shape: number[], dtype: tfjs.DataType) =>
      engine.makeTensor(copyOf(values), shape, dtype),
    makeVariable: (value: tfjs.Tensor, trainable: boolean, name: string, dtype: tfjs.DataType) =>
      engine.makeVariable(value, trainable, name, dtype),
    read: async (id: object) => copyOf(await engine.read(id)),
    readSync: (id: object) => copyOf(engine.readSync(id)),
    incRef: (tensor: tfjs.Tensor) => engine.incRef(tensor, null as never),
    disposeTensor: (tensor: tfjs.Tensor) => engine.disposeTensor(tensor),
    disposeVariable: (variable: tfjs.Variable) => engine.disposeVariable(variable),
  };
}

/** Strings are kept as lists of their bytes. */
function copyOf<T extends tfjs.DataValues | Uint8Array[]>(values: T): T {
  const isText = Array.isArray(values) && ArrayBuffer.isView(values[0]);
  return isText ? structuredClone(values) : values.slice() as T;
}

interface Held {
  shape: number[];
  dataId: object;
}

const held = new WeakMap<object, Held>();
let assigned: object | undefined;

/** tfjs calls its tensors immutable. After this they are. */
const SEALED: PropertyDescriptorMap & ThisType<tfjs.Tensor> = {
  shape: {
    get() {
      return held.get(this)!.shape.slice();
    },
    enumerable: true,
  },
  dataId: {
    get() {
      return held.get(this)!.dataId;
    },
    set(value: object) {
      if (this !== assigned) throw new TypeError("what a tensor holds cannot be changed");
      held.get(this)!.dataId = value;
    },
    enumerable: true,
  },
  ...Object.fromEntries(
    ["dtype", "size", "strides", "id", "rankType"].map((name) => [name, { writable: false }]),
  ),
};

function sealTensors(engine: Engine): void {
  const prototype = Object.getPrototypeOf(engine) as Engine;
  const { trackTensor } = prototype;
  prototype.trackTensor = function (tensor, backend) {
    if (!held.has(tensor)) seal(tensor);
    trackTensor.call(this, tensor, backend);
  };
}

function seal(tensor: tfjs.Tensor): void {
  held.set(tensor, { shape: tensor.shape, dataId: tensor.dataId });
  // The engine and tf.layers write these later.
  Object.assign(tensor, { scopeId: undefined, kerasMask: undefined });
  Object.freeze(tensor.strides);
  Object.seal(Object.defineProperties(tensor, SEALED));
}

/** `assign` is the one way to give a variable something else to hold. */
function allowAssigning(prototype: tfjs.Variable): void {
  const { assign } = prototype;
  prototype.assign = function (value) {
    if (Object.getPrototypeOf(this) !== prototype) throw new TypeError("this is no tf.Variable");
    const outer = assigned;
    assigned = this;
    try {
      assign.call(this, value);
    } finally {
      assigned = outer;
    }
  };
}
