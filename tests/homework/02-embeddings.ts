/** Wrong solutions of chapter 02. */
import type { Wrong } from "./wrong.ts";

const waves = (
  first: string,
  second: string,
  angle = "position / 10000 ** (2 * pair / width)",
  at = "2 * pair",
  next = "2 * pair + 1",
) => `
  for (let position = 0; position < length; position++) {
    for (let pair = 0; pair < width / 2; pair++) {
      const angle = ${angle};
      table[position * width + ${at}] = ${first};
      table[position * width + ${next}] = ${second};
    }
  }`;
const [sine, cosine] = ["Math.sin(angle)", "Math.cos(angle)"];
const turn = (x: string, y: string) => `
  const turnedX = ${x};
  const turnedY = ${y};
  return [turnedX, turnedY];`;

/** Mistakes, by exercise. */
export const wrong: Wrong[] = [
  {
    exercise: "ex-embed",
    cell: "embed",
    name: "does not look at the ids",
    code:
      "return table.slice([0, 0], [ids.size, table.shape[1]]).reshape([...ids.shape, table.shape[1]]);",
    says: "are the ids used at all",
  },
  {
    exercise: "ex-embed",
    cell: "embed",
    name: "counts rows from 1",
    code: `
  const rows = tf.oneHot(tf.sub(ids.flatten(), 1).toInt(), table.shape[0]).toFloat();
  return rows.matMul(table).reshape([...ids.shape, table.shape[1]]);`,
    says: "Off by one",
  },
  {
    exercise: "ex-embed",
    cell: "embed",
    name: "loses the shape of the ids",
    code: "return tf.gather(table, ids.flatten());",
    says: "each id becomes a vector where it stands",
  },
  {
    exercise: "ex-embed",
    cell: "embed",
    name: "picks columns",
    code: "return tf.gather(tf.pad(table, [[0, 0], [0, 1]]), ids, 1);",
    says: "you picked columns",
  },
  {
    exercise: "ex-embed",
    cell: "embed",
    name: "leaves tfjs on the way",
    code: `
  const rows = table.arraySync();
  return tf.tensor([...ids.dataSync()].map((id) => rows[id])).reshape([...ids.shape, table.shape[1]]);`,
    says: "No gradient reaches the table",
  },
  {
    exercise: "ex-gradient",
    name: "assigns where it should add",
    code: `
  const table = Array.from({ length: vocabSize }, () => gradient[0].map(() => 0));
  ids.forEach((id, t) => table[id] = [...gradient[t]]);
  return table;`,
    says: "got only its last gradient",
  },
  {
    exercise: "ex-gradient",
    name: "takes the first of each token",
    code: `
  const table = Array.from({ length: vocabSize }, () => gradient[0].map(() => 0));
  ids.forEach((id, t) => { if (ids.indexOf(id) === t) table[id] = [...gradient[t]]; });
  return table;`,
    says: "got only its first gradient",
  },
  {
    exercise: "ex-gradient",
    name: "averages",
    code: `
  const table = Array.from({ length: vocabSize }, () => gradient[0].map(() => 0));
  const count = (id) => ids.filter((one) => one === id).length;
  ids.forEach((id, t) => gradient[t].forEach((value, c) => table[id][c] += value / count(id)));
  return table;`,
    says: "You averaged",
  },
  {
    exercise: "ex-gradient",
    name: "one row per position",
    code: "return gradient.map((row) => [...row]);",
    says: "One row per position",
  },
  {
    exercise: "ex-gradient",
    name: "one list for all rows",
    code: `
  const table = new Array(vocabSize).fill(gradient[0].map(() => 0));
  ids.forEach((id, t) => gradient[t].forEach((value, c) => table[id][c] += value));
  return table;`,
    says: "one and the same list",
  },
  {
    exercise: "ex-sinusoidal",
    cell: "sinusoidal",
    name: "cosine first",
    code: waves(cosine, sine),
    says: "Cosine comes first",
  },
  {
    exercise: "ex-sinusoidal",
    cell: "sinusoidal",
    name: "all sines, then all cosines",
    code: waves(sine, cosine, undefined, "pair", "width / 2 + pair"),
    says: "All sines come first",
  },
  {
    exercise: "ex-sinusoidal",
    cell: "sinusoidal",
    name: "forgets the 2 in the exponent",
    code: waves(sine, cosine, "position / 10000 ** (pair / width)"),
    says: "too fast",
  },
  {
    exercise: "ex-sinusoidal",
    cell: "sinusoidal",
    name: "multiplies by the power",
    code: waves(sine, cosine, "position * 10000 ** (2 * pair / width)"),
    says: "faster from pair to pair",
  },
  {
    exercise: "ex-sinusoidal",
    cell: "sinusoidal",
    name: "counts positions from 1",
    code: waves(sine, cosine, "(position + 1) / 10000 ** (2 * pair / width)"),
    says: "positions count from 0",
  },
  {
    exercise: "ex-sinusoidal",
    cell: "sinusoidal",
    name: "another angle for the cosine",
    code: waves(sine, "Math.cos(position / 10000 ** ((2 * pair + 1) / width))"),
    says: "need the same angle",
  },
  {
    exercise: "ex-rotate",
    cell: "rotate-pairs",
    name: "turns clockwise",
    code: turn("x.mul(cos).add(y.mul(sin))", "y.mul(cos).sub(x.mul(sin))"),
    says: "clockwise",
  },
  {
    exercise: "ex-rotate",
    cell: "rotate-pairs",
    name: "uses the turned x for y",
    code: turn("x.mul(cos).sub(y.mul(sin))", "turnedX.mul(sin).add(y.mul(cos))"),
    says: "it needs the old x",
  },
  {
    exercise: "ex-rotate",
    cell: "rotate-pairs",
    name: "gives y before x",
    code: turn("x.mul(sin).add(y.mul(cos))", "x.mul(cos).sub(y.mul(sin))"),
    says: "in the wrong order",
  },
  {
    exercise: "ex-rotate",
    cell: "rotate-pairs",
    name: "gives back what it got",
    code: "return [x, y];",
    says: "nothing turned",
  },
  {
    exercise: "ex-rotate",
    cell: "rotate-pairs",
    name: "leaves two products out",
    code: turn("x.mul(cos)", "x.mul(sin)"),
    says: "check all four products",
  },
  {
    exercise: "ex-gradient",
    name: "adds into the gradients that came in",
    code: `
  const table = new Array(vocabSize);
  ids.forEach((id, t) => {
    if (table[id]) gradient[t].forEach((value, c) => table[id][c] += value);
    else table[id] = gradient[t];
  });
  return Array.from(table, (row) => row ?? gradient[0].map(() => 0));`,
    says: "You changed the gradients",
    isSubtle: true,
  },
];
