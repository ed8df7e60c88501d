/**
 * NaN in, NaN out. Wherever a number moves a result of an operator, a value or a gradient, NaN in its place must make that
 * result NaN. What moves what is found out with the chapters' functions, on the backend `cpu`.
 */
import { assert } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import { causalAttention, linear } from "lib/attention.ts";
import { embed } from "lib/embeddings.ts";
import { operator, useKernels, verifyOperators } from "lib/engine/ops.ts";
import { Random } from "lib/engine/random.ts";
import { AdamW, clipByGlobalNorm, crossEntropy } from "lib/train.ts";
import { gelu, layerNorm } from "lib/transformer.ts";
import { testOnBackends } from "./support.ts";
