/** A GPT as a reader may change it: another mask, another activation, everything else as it was. */
import * as tf from "@tensorflow/tfjs";
import {
  type CausalAttentionOptions,
  linear,
  mergeHeads,
  scaledDotProductAttention,
  splitQueriesKeysValues,
} from "lib/attention.ts";
import { type KeyValueCache, operator } from "lib/engine/ops.ts";
import { GPT } from "lib/transformer.ts";

/** Causal attention to the last `window` tokens only, the query's own included, as in Longformer (Beltagy et al. 2020). */
export function windowAttention(window: number) {
  return (qkv: tf.Tensor3D, options: CausalAttentionOptions): tf.Tensor3D =>
    tf.tidy(() => {
      const { q, k, v } = splitQueriesKeysValues(qkv, options);
      const mask = windowMask(qkv.shape[1], window);
      return mergeHeads(scaledDotProductAttention(q, k, v, { mask }));
    });
}

/** The same for tokens whose keys and values go into a cache. */
export function cachedWindowAttention(window: number) {
  return (qkv: tf.Tensor3D, cache: KeyValueCache, options: CausalAttentionOptions): tf.Tensor3D =>
    tf.tidy(() => {
      const { q, k, v } = splitQueriesKeysValues(qkv, options, cache.length);
      const all = cache.append(k, v);
      const mask = windowMask(qkv.shape[1], window, all.k.shape[2]);
      return mergeHeads(scaledDotProductAttention(q, all.k, all.v, { mask }));
    });
}

function windowMask(queries: number, window: number, keys = queries): tf.Tensor2D {
  const mask = Float32Array.from({ length: queries * keys }, (_, i) => {
    const back = keys - queries + Math.floor(i / keys) - i % keys; // from the query to the key
    return back >= 0 && back < window ? 0 : -1e9;
  });
  return tf.tensor2d(mask, [queries, keys]);
}

/** relu(x)², as in Primer (So et al. 2021). */
function squaredRelu(x: tf.Tensor): tf.Tensor {
  return x.relu().square();
}

const own = {
  linear: operator("linear", linear),
  attention: operator("causalAttention", windowAttention(9)),
  activation: operator("gelu", squaredRelu),
};

/** A GPT whose blocks use the two. */
export class OwnGPT extends GPT {
  override forward(ids: tf.Tensor2D): tf.Tensor3D {
    return tf.tidy(() => {
      let x = this.embeddings.forward(ids); // [B, T, C]
      for (const [i, { ln1, ln2 }] of this.blocks.entries()) {
        const weight = (name: string) => this.parameters.get(`transformer.h.${i}.${name}.weight`);
        const qkv = own.linear(ln1.forward(x), weight("attn.c_attn")) as tf.Tensor3D; // [B, T, 3C]
        const heard = own.attention(qkv, this.config); // [B, T, C]
        x = x.add(own.linear(heard, weight("attn.c_proj")));
        const wide = own.linear(ln2.forward(x), weight("mlp.c_fc")); // [B, T, F]
        x = x.add(own.linear(own.activation(wide), weight("mlp.c_proj")));
      }
      const [batch, length, width] = x.shape;
      const rows = this.lnF.forward(x).reshape<tf.Tensor2D>([batch * length, width]);
      return tf.matMul(rows, this.embeddings.wte, false, true).reshape([batch, length, -1]);
    });
  }
}
