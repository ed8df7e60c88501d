/**
 * The trainable tensors of a model, by name. Names are GPT-2's (`transformer.h.0.attn.c_attn.weight`), so that a
 * checkpoint of ours is an exchange format.
 */
import * as tf from "@tensorflow/tfjs";
import { Random } from "./random.ts";

/** The most numbers of one parameter: 4 GiB, more than a processor's buffer or a graphics card's can be. */
const MOST = 2 ** 30;

/** A model's parameters in the order in which they were made; the parts of the model create theirs here. */
export class Parameters {
  readonly #variables = new Map<string, tf.Variable>();

  /** @param random where initial values come from */
  constructor(readonly random: Random = new Random(1337)) {}

  /**
   * A new parameter of `shape`, drawn from a normal distribution with mean 0 and standard deviation `std`.
   *
   * @throws RangeError if it would hold more than 2^30 numbers
   */
  normal(name: string, shape: number[], std: number): tf.Variable {
    const size = tf.util.sizeFromShape(shape);
    if (size > MOST) {
      throw new RangeError(`${name} must have at most ${MOST} numbers, got ${size} in [${shape}]`);
    }
    const values = this.random.normals(size, std);
    return this.#add(name, tf.tensor(values, shape, "float32"));
  }

  /** A new parameter of `shape`, all zeros (biases). */
  zeros(name: string, shape: number[]): tf.Variable {
    return this.#add(name, tf.zeros(shape));
  }

  /** A new parameter of `shape`, all ones (gains of a norm). */
  ones(name: string, shape: number[]): tf.Variable {
    return this.#add(name, tf.ones(shape));
  }

  #add(name: string, value: tf.Tensor): tf.Variable {
    const variable = tf.variable(value);
    value.dispose();
    if (this.#variables.has(name)) {
      variable.dispose();
      throw new Error(`there is already a parameter "${name}"`);
    }
    this.#variables.set(name, variable);
    return variable;
  }

  /** @throws Error naming the parameters there are, if none has this name */
  get(name: string): tf.Variable {
    const variable = this.#variables.get(name);
    if (!variable) {
      throw new Error(`no parameter "${name}": there is ${[...this.#variables.keys()].join(", ")}`);
    }
    return variable;
  }

  /** Whether a parameter has this name. */
  has(name: string): boolean {
    return this.#variables.has(name);
  }

  /** Name and variable of every parameter. */
  entries(): [string, tf.Variable][] {
    return [...this.#variables];
  }

  /** Every parameter's variable. */
  variables(): tf.Variable[] {
    return [...this.#variables.values()];
  }

  /** How many numbers the parameters hold in all. */
  get count(): number {
    return this.variables().reduce((sum, variable) => sum + variable.size, 0);
  }

  /** Frees the memory of every parameter. */
  dispose(): void {
    for (const variable of this.#variables.values()) variable.dispose();
    this.#variables.clear();
  }
}
