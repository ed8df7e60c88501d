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

/** A shader to run: which one, and what is written in front of it and switched on in it. */
export interface Shader {
  name: ShaderName;
  /** Constants by name, written in front of the shader as u32. */
  constants?: Record<string, number>;
  /** Lines to switch on: `//BIAS sum += …` stands only where "BIAS" is among them. */
  options?: string[];
}

/** How often a line of a shader with `$r` in it stands; one with `$p` stands PARTS times. */
const ROWS = 8;

/** The WGSL of a shader, from the text of its file: constants in front, options chosen, lines repeated. */
export function sourceOf({ constants = {}, options = [] }: Shader, text: string): string {
  const head = Object.entries(constants).map(([key, value]) => `const ${key} = ${value}u;`);
  const chosen = text.replace(
    /^( *)\/\/([A-Z]+) (.*)$/gm,
    (_, indent, option, line) => options.includes(option) ? indent + line : "",
  );
  const times = { $r: ROWS, $p: constants.PARTS };
  const body = chosen.replace(
    /^(?! *\/\/).*(\$[rp]).*$/gm,
    (line, mark: keyof typeof times) => repeat(line, mark, times[mark]).join(" "),
  );
  return `${head.join(" ")} ${body}`;
}

/** A line once for each number from 0, with the number in place of the mark; a comment at its end is left out. */
function repeat(line: string, mark: string, times: number): string[] {
  const code = line.replace(/\/\/.*/, "");
  return Array.from({ length: times }, (_, i) => code.replaceAll(mark, String(i)));
}
