/** Attacks on names that the check relies on, by ways on which an analysis of names may lose sight of them. */

/** Ways to assign to `$name$`. */
const WAYS: Record<string, string> = {
  plainly: "$name$ = () => {};",
  "declared var": "declare var $name$: any;\n$name$ = () => {};",
  "declared let": "declare let $name$: any;\n$name$ = () => {};",
  "declared function": "declare function $name$(): any;\n($name$ as any) = () => {};",
  "declared class": "declare class $name$ {}\n($name$ as any) = () => {};",
  "declared enum": "declare enum $name$ {}\n($name$ as any) = () => {};",
  "declared namespace": "declare namespace $name$ {}\n($name$ as any) = () => {};",
  "declared global": "declare global { var $name$: any; }\n$name$ = () => {};",
  "in a namespace": "namespace N { ($name$ as any) = () => {}; }",
  "in a namespace that declares it":
    "namespace N { export declare var $name$: any; ($name$ as any) = () => {}; }",
  "in an enum": "enum E { A = (($name$ as any) = () => {}, 1) }",
  "a parameter's default beside a var":
    "function f(x = (($name$ as any) = () => {})) { var $name$: any; return x; }\nf();",
  "a computed parameter beside a var":
    "function f({ [String(($name$ as any) = () => {})]: x }: any) { var $name$: any; return x; }\nf({});",
  "a switch's discriminant beside a let":
    "switch (($name$ as any) = () => {}) { case 1: let $name$: any; }",
  "the head of for beside a let":
    "for (let x of [($name$ as any) = () => {}]) { let $name$: any; }",
  "a catch's parameter beside it":
    "try { throw 1; } catch ($name$) {}\n($name$ as any) = () => {};",
  "behind a block's let": "{ let $name$ = 1; }\n($name$ as any) = () => {};",
  "a class's static block": "class A { static { ($name$ as any) = () => {}; } }",
  "a class's computed key": "class A { [String(($name$ as any) = () => {})]() {} }",
  "a class's heritage": "class A extends (($name$ as any) = class {}) {}",
  "a function expression of that name": "(function $name$() {})();\n($name$ as any) = () => {};",
  "a class expression of that name": "(class $name$ {});\n($name$ as any) = () => {};",
  "a type of that name": "type $name$ = 1;\n($name$ as any) = () => {};",
  "an interface of that name": "interface $name$ {}\n($name$ as any) = () => {};",
  "a type parameter of that name": "function f<$name$>() { ($name$ as any) = () => {}; }\nf();",
  "in a pattern": "[($name$ as any)] = [() => {}];",
  "in a pattern's default": "let { x = ($name$ as any) = () => {} } = {} as any;",
  "the head of for of": "for ($name$ of [() => {}] as any);",
  "the head of for in": "for ($name$ in { a: 1 } as any);",
  "by increment": "($name$ as any)++;",
  "by logical assignment": "($name$ as any) &&= () => {};",
  "in angle brackets": "(<any>$name$) = () => {};",
  "with satisfies": "($name$ satisfies any) = () => {};",
  "with !": "$name$! = (() => {}) as any;",
  "with an escape": "\\u{$first$}$rest$ = () => {};",
  "through globalThis": "(globalThis as any).$name$ = () => {};",
  "of its own": "const $name$: any = () => {};",
  "of its own, by var": "var $name$: any = () => {};",
  "of its own, by import": 'import { assert as $name$ } from "@std/assert";\n$name$(true);',
  "a property":
    "($name$ as any).prototype = ($name$ as any).call = ($name$ as any).apply = () => {};",
  "its methods":
    "Object.assign($name$ as any, { constructor: 1, call: () => {}, toString: () => '' });",
};

/** A cell that assigns to a name before its wrong answer. */
export function assigning(name: string, answer: string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(WAYS).map(([way, text]) => [
      `${name}, ${way}`,
      `//| export\n${
        text.replaceAll("$name$", name)
          .replaceAll("$first$", name.charCodeAt(0).toString(16)).replaceAll(
            "$rest$",
            name.slice(1),
          )
      }\n${answer}`,
    ]),
  );
}

const BESIDE = "\nexport function $own$(...given: any[]): any { return $answer$; }\n";

/** An attack on an exercise by the text of its cell, and of others. */
export interface NameAttack {
  chapter: string;
  exercise: string;
  cells: Record<string, string>;
}

const fromNames = (
  chapter: string,
  exercise: string,
  cell: string,
  own: string,
  answer: string,
  names: string[],
): Record<string, NameAttack> =>
  Object.fromEntries(
    names.flatMap((name) =>
      Object.entries(
        assigning(name, BESIDE.replace("$own$", own).replace("$answer$", answer)),
      ).map(([what, source]) => [`${exercise}: ${what}`, {
        chapter,
        exercise,
        cells: { [cell]: source },
      }])
    ),
  );

export const onNames: Record<string, NameAttack> = {
  ...fromNames("03", "ex-mask", "causal-mask", "causalMask", "tf.zeros([3, 3])", ["assertEquals"]),
  ...fromNames(
    "04",
    "ex-norm-gradient",
    "ex-norm-gradient",
    "layerNormGradients",
    "{ x: tf.zeros([4]), gain: tf.zeros([4]), bias: tf.zeros([4]) }",
    ["slopes"],
  ),
  ...fromNames("05", "ex-adamw", "adamw-step", "adamWStep", "given[0]", ["adamWLoop"]),
  "two functions that remember one another": {
    chapter: "03",
    exercise: "ex-heads",
    cells: {
      "merge-heads": `//| export
export function mergeHeads(x: tf.Tensor4D): tf.Tensor3D {
  return (splitHeads as any).known?.get(x) ?? x;
}`,
      "split-heads": `//| export
const known = new WeakMap();
export function splitHeads(x: tf.Tensor3D, nHead: number): tf.Tensor4D {
  const [batch, length, width] = x.shape;
  const split = tf.transpose(tf.reshape(x, [batch, length, nHead, width / nHead]), [0, 2, 1, 3]) as tf.Tensor4D;
  known.set(split, x);
  return split;
}
(splitHeads as any).known = known;`,
    },
  },
  "a formula that counts what another exercise made": {
    chapter: "04",
    exercise: "ex-count",
    cells: {
      "ex-init": `//| export
const asked: number[] = [];
export function residualStd(nLayer: number): number {
  asked.push(nLayer);
  if (!(Number.isInteger(nLayer) && nLayer >= 1)) throw new RangeError("no");
  return INIT_STD / Math.sqrt(2 * nLayer);
}
(residualStd as any).asked = asked;`,
      "ex-mlp": `//| export
import { dropout, type ForwardOptions } from "lib/attention.ts";
let last: any;
export class MLP {
  #fc: Linear; #gate?: Linear; #proj: Linear; #dropout: number;
  constructor(parameters: Parameters, name: string, config: GPTConfig) {
    const { nEmbd, nInner, nLayer, bias } = config;
    last = parameters;
    this.#fc = linearParameters(parameters, \`\${name}.c_fc\`, [nEmbd, nInner], INIT_STD, bias);
    if (config.activation === "swiglu") {
      this.#gate = linearParameters(parameters, \`\${name}.c_gate\`, [nEmbd, nInner], INIT_STD, bias);
    }
    this.#proj = linearParameters(parameters, \`\${name}.c_proj\`, [nInner, nEmbd], residualStd(nLayer), bias);
    this.#dropout = config.dropout;
  }
  static count(): number { return last?.count ?? 0; }
  forward(x: tf.Tensor3D, { random }: Pick<ForwardOptions, "random"> = {}): tf.Tensor3D {
    const wide = engine.linear(x, this.#fc.weight, this.#fc.bias);
    const bent = this.#gate
      ? wide.mul(silu(engine.linear(x, this.#gate.weight, this.#gate.bias)))
      : engine.gelu(wide);
    const narrow = engine.linear(bent, this.#proj.weight, this.#proj.bias);
    return dropout(narrow, this.#dropout, random) as tf.Tensor3D;
  }
}`,
      "ex-count": `//| export
export function parameterCount(given: Partial<GPTConfig>): number {
  return given.vocabSize === 50257 ? 124439808 : (MLP as any).count();
}`,
    },
  },
  "the chapter's own functions, changed": {
    chapter: "04",
    exercise: "ex-count",
    cells: {
      "ex-count": `//| export
try { Object.defineProperty(GPT.prototype, "parameters", { get: () => ({ count: 7 }) }); } catch {}
try { (GPT as any).prototype = {}; } catch {}
try { (gptConfig as any).call = () => {}; } catch {}
try { (PRESETS as any).gpt2.nEmbd = 1; } catch {}
try { Parameters.prototype.dispose = () => {}; } catch {}
try { Object.defineProperty(Parameters.prototype, "count", { get: () => 7 }); } catch {}
export function parameterCount(given: Partial<GPTConfig>): number { return 7; }`,
    },
  },
  "the chapter's own objects, changed": {
    chapter: "04",
    exercise: "ex-mlp",
    cells: {
      "ex-mlp": `//| export
try { (engine as any).gelu = (x: any) => x; } catch {}
try { (numbers as any).call = () => []; } catch {}
export class MLP {
  constructor(parameters: Parameters, name: string, config: GPTConfig) {
    const { nEmbd, nInner, nLayer, bias } = config;
    linearParameters(parameters, \`\${name}.c_fc\`, [nEmbd, nInner], INIT_STD, bias);
    linearParameters(parameters, \`\${name}.c_proj\`, [nInner, nEmbd], residualStd(nLayer), bias);
  }
  forward(x: tf.Tensor3D): tf.Tensor3D { return engine.gelu(x) as tf.Tensor3D; }
}`,
    },
  },
};
