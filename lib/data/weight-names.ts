/** The names that programs give to a GPT-2's weights, and the one name that each has here. */
import { SafetensorsError } from "./safetensors.ts";

interface Tensor {
  shape: number[];
  data: ArrayLike<number>;
}

const TABLE = "transformer.wte.weight", HEAD = "lm_head.weight";

/**
 * The weights of a GPT-2 under their full names. What wraps a model leaves no trace (`_orig_mod.` of torch.compile, `module.` of data
 * parallel training, `model.` of trainers); `transformer.` is put before names without it; the mask that old files store
 * (`attn.bias`, `attn.masked_bias`) is left out. Of a tied model a file may hold the token table, the output matrix, or both.
 *
 * @param isTied whether the model's output matrix is its token table
 * @throws SafetensorsError if the output matrix is another one, or is missing where the model is not tied; or if a tensor is there
 *   under two names
 */
export function gpt2Weights<T extends Tensor>(
  tensors: Record<string, T>,
  isTied = true,
): Record<string, T> {
  const weights: Record<string, T> = Object.create(null);
  for (const [name, tensor] of Object.entries(tensors)) {
    const full = fullName(name);
    if (/\.attn\.(masked_)?bias$/.test(full)) continue;
    if (full in weights) throw new SafetensorsError(`stands there as ${full}, too`, name);
    weights[full] = tensor;
  }
  const { [HEAD]: head, ...others } = weights;
  const table = weights[TABLE];
  if (!isTied && !head) {
    throw new SafetensorsError("is missing, and the model says that its output is not tied", HEAD);
  }
  if (!head || table && isSame(head, table)) return others;
  if (!table && isTied) return { [TABLE]: head, ...others };
  throw new SafetensorsError(
    table
      ? "differs from the token table wte.weight, to which a GPT-2's output is tied"
      : "is there, but the token table wte.weight is not, and the model says that the two are not tied",
    HEAD,
  );
}

/** "_orig_mod.h.0.ln_1.weight" -> "transformer.h.0.ln_1.weight" */
function fullName(name: string): string {
  const bare = name.replace(/(?<=^|\.)(_orig_mod|module)\./g, "").replace(/^model\./, "");
  return bare === HEAD || bare.startsWith("transformer.") ? bare : `transformer.${bare}`;
}

function isSame(a: Tensor, b: Tensor): boolean {
  return `${a.shape}` === `${b.shape}` &&
    Array.prototype.every.call(a.data, (value, i) => value === b.data[i]);
}
