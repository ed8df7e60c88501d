/** The shaders, each in a .wgsl file of its own beside this one. */
import { libraryFile } from "../environment.ts";

const NAMES = [
  "adamw",
  "add",
  "attention",
  "attention-grad",
  "cache-rows",
  "cached-attention",
  "column-sum",
  "copy",
  "cross-entropy",
  "cross-entropy-grad",
  "elementwise",
  "embedding",
  "embedding-grad",
  "gelu",
  "layer-norm",
  "layer-norm-grad",
  "matmul-direct",
  "matmul-plain",
  "matmul-tiled",
  "rotary",
  "rows",
  "square-sum",
] as const;

/** The name of a shader: its file without `.wgsl`. */
export type ShaderName = typeof NAMES[number];

/** Reads every shader's text. */
export async function loadShaders(): Promise<Record<ShaderName, string>> {
  const decoder = new TextDecoder();
  const load = async (name: ShaderName) =>
    [name, decoder.decode(await libraryFile(new URL(`${name}.wgsl`, import.meta.url)))] as const;
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

/**
 * The WGSL of a shader: constants in front, then its file with options chosen, then the entry that it shares. A line with `$r` in it
 * stands ROWS times and one with `$p` PARTS times, with the numbers from 0 in place of the mark; `$f` and `$c` tell which four such a
 * number belongs to and which component of these it is.
 */
export function sourceOf(
  { name, constants = {}, options = [] }: Shader,
  texts: Record<ShaderName, string>,
): string {
  const text = texts[name];
  const head = Object.entries(constants).map(([key, value]) => `const ${key} = ${value}u;`);
  if (text.includes("isNaN(")) head.push(IS_NAN);
  const chosen = text.replace(
    /^( *)\/\/([A-Z]+) (.*)$/gm,
    (_, indent, option, line) => options.includes(option) ? indent + line : "",
  );
  const body = repeatLines(repeatLines(chosen, "$p", constants.PARTS), "$r", constants.ROWS);
  const entry = /fn (each|eachRow)\(/.exec(text)?.[1];
  const shared = entry ? texts[entry === "each" ? "elementwise" : "rows"] : "";
  return `${head.join(" ")} ${body}${shared}`;
}

/**
 * Whether a number is none, by its bits: compilers that take numbers for finite make `x != x` false. Written in front of the shaders
 * that ask.
 */
const IS_NAN = "fn isNaN(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }";

/** A text with each line repeated that has the mark in it, and is no comment. */
function repeatLines(text: string, mark: string, times: number): string {
  const isMarked = (line: string) => line.includes(mark) && !/^ *\/\//.test(line);
  const lines = text.split("\n");
  return lines.map((line) => isMarked(line) ? repeat(line, mark, times).join(" ") : line).join(
    "\n",
  );
}

/** A line once for each number from 0, with the number in place of the mark; a comment at its end is left out. */
function repeat(line: string, mark: string, times: number): string[] {
  const code = line.replace(/\/\/.*/, "");
  return Array.from(
    { length: times },
    (_, i) =>
      code.replaceAll(mark, `${i}`).replaceAll("$f", `${i >> 2}`).replaceAll("$c", "xyzw"[i % 4]),
  );
}
