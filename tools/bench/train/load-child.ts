/** A fresh process of `load.ts`: everything is imported, nothing is started. Its argument is the backend to ask for, if any. */
import * as tf from "@tensorflow/tfjs";
import { type BackendName, useBackend } from "lib/engine/backend.ts";
import { simdBackend } from "lib/engine/simd/mod.ts";

const start = performance.now();
const passed = () => performance.now() - start;
await useBackend(Deno.args[0] as BackendName | undefined);
const chosen = passed();
await tf.matMul(tf.ones([8, 8]), tf.ones([8, 8])).data();
const first = passed();
await simdBackend()?.pool.ready();
console.log(JSON.stringify({ chosen, first, workers: passed() - first }));
Deno.exit(0);
