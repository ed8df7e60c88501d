/** Shaders for tensors in 16 bits, made from those for 32. */

const NARROW = { f32: "f16", vec4f: "vec4<f16>" };

/**
 * A shader that finds some of its tensors in 16 bits: what it loads from them is widened and what it stores in them is rounded, so
 * that it computes as before.
 *
 * @param code the shader, its tensors declared on a line each
 * @param bindings the numbers of those in 16 bits
 * @throws Error if a tensor with such a number is not declared as `array<f32>` or `array<vec4f>`
 */
export function inHalves(code: string, bindings: number[]): string {
  if (bindings.length === 0) return code;
  return "enable f16; " + bindings.reduce(inHalf, code);
}

function inHalf(code: string, binding: number): string {
  const declaration = new RegExp(
    `@binding\\(${binding}\\) (var<storage, \\w+> (\\w+): array)<(f32|vec4f)>`,
  );
  const [line, start, name, wide] = code.match(declaration) ?? [];
  if (!line) throw new Error(`binding ${binding} can not be in 16 bits: no array of f32 or vec4f`);
  const narrow = NARROW[wide as keyof typeof NARROW];
  return converted(code, name, wide, narrow)
    .replace(line, `@binding(${binding}) ${start}<${narrow}>`);
}

/** Every `name[…]` as `wide(name[…])`, or, where it is assigned to, `name[…] = narrow(…);`. */
function converted(code: string, name: string, wide: string, narrow: string): string {
  const use = new RegExp(`(?<![\\w.])${name}\\[`).exec(code);
  if (!use) return code;
  const end = closing(code, use.index + name.length);
  const place = code.slice(use.index, end);
  const before = code.slice(0, use.index), after = code.slice(end);
  const rest = converted(after, name, wide, narrow);
  const isStore = /^ = /.test(after);
  return before +
    (isStore
      ? place + rest.replace(/^ = ([^;]*);/, ` = ${narrow}($1);`)
      : `${wide}(${place})${rest}`);
}

/** Where the bracket at `at` is closed: the place after it. */
function closing(code: string, at: number): number {
  for (let open = 0, i = at;; i++) {
    if (code[i] === "[") open++;
    if (code[i] === "]" && --open === 0) return i + 1;
  }
}
