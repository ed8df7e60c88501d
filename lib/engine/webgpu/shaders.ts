/** The shaders, each in a .wgsl file of its own beside this one. */

const NAMES = [
  "adamw",
  "attention",
  "attention-grad",
  "column-sum",
  "copy",
  "cross-entropy",
  "cross-entropy-grad",
  "embedding",
  "embedding-grad",
  "gelu",
  "layer-norm",
  "layer-norm-grad",
  "matmul-direct",
  "matmul-plain",
  "matmul-tiled",
  "rotary",
  "square-sum",
] as const;

/** The name of a shader: its file without `.wgsl`. */
export type ShaderName = typeof NAMES[number];

/** Reads every shader's text. */
export async function loadShaders(): Promise<Record<ShaderName, string>> {
  const load = async (name: ShaderName) =>
    [name, await (await fetch(new URL(`${name}.wgsl`, import.meta.url))).text()] as const;
  return Object.fromEntries(await Promise.all(NAMES.map(load))) as Record<ShaderName, string>;
}
