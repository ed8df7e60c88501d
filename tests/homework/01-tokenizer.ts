/** Wrong solutions of chapter 01. */
import type { Wrong } from "./wrong.ts";

const countPairs = (pair: string, head = "let i = 0; i + 1 < ids.length; i++", add = "times") => `
  for (${head}) {
    const pair = ${pair};
    counts.set(pair, (counts.get(pair) ?? 0) + ${add});
  }`;
const neighbours = "`${ids[i]},${ids[i + 1]}`";

/** Mistakes, by exercise. */
export const wrong: Wrong[] = [
  {
    exercise: "ex-count-pairs",
    name: "runs past the end",
    code: countPairs(neighbours, "let i = 0; i < ids.length; i++"),
    says: "one step too far",
  },
  {
    exercise: "ex-count-pairs",
    name: "steps from pair to pair",
    code: countPairs(neighbours, "let i = 0; i + 1 < ids.length; i += 2"),
    says: "Pairs overlap",
  },
  {
    exercise: "ex-count-pairs",
    name: "sorts the two halves",
    code: countPairs("`${Math.min(ids[i], ids[i + 1])},${Math.max(ids[i], ids[i + 1])}`"),
    says: "left and right must stay",
  },
  {
    exercise: "ex-count-pairs",
    name: "counts each occurrence once",
    code: countPairs(neighbours, undefined, "1"),
    says: "counts `times` times",
  },
  {
    exercise: "ex-count-pairs",
    name: "overwrites what was counted before",
    code: `
  const own = new Map();
  for (let i = 0; i + 1 < ids.length; i++) {
    const pair = ${neighbours};
    own.set(pair, (own.get(pair) ?? 0) + times);
  }
  own.forEach((count, pair) => counts.set(pair, count));`,
    says: "add to what `counts` already holds",
  },
  {
    exercise: "ex-merge",
    name: "works on the caller's list",
    code: `
  for (let i = 0; i + 1 < ids.length; i++) {
    if (ids[i] === left && ids[i + 1] === right) ids.splice(i, 2, newId);
  }
  return ids;`,
    says: "you changed `ids` itself",
  },
  {
    exercise: "ex-merge",
    name: "keeps the right half",
    code: "return ids.map((id, i) => id === left && ids[i + 1] === right ? newId : id);",
    says: "the right half is still there",
  },
  {
    exercise: "ex-merge",
    name: "merges the first pair only",
    code: `
  const at = ids.findIndex((id, i) => id === left && ids[i + 1] === right);
  return at < 0 ? [...ids] : [...ids.slice(0, at), newId, ...ids.slice(at + 2)];`,
    says: "only the first pair was merged",
  },
  {
    exercise: "ex-merge",
    name: "uses an id twice",
    code: `
  const isPair = (i) => ids[i] === left && ids[i + 1] === right;
  return ids.flatMap((id, i) => isPair(i) ? [newId] : isPair(i - 1) ? [] : [id]);`,
    says: "the middle 1 was used twice",
  },
  {
    exercise: "ex-merge",
    name: "merges from the right",
    code: `
  const merged = [];
  for (let i = ids.length - 1; i >= 0; i--) {
    const isPair = ids[i] === right && ids[i - 1] === left;
    merged.unshift(isPair ? newId : ids[i]);
    if (isPair) i--;
  }
  return merged;`,
    says: "you merged from the right",
  },
  {
    exercise: "ex-encode",
    name: "merges by position instead of rank",
    code: `
  const symbols = [...ids];
  for (let i = 0; i + 1 < symbols.length; i++) {
    const made = merges.get(symbols[i], symbols[i + 1]);
    if (made !== undefined) symbols.splice(i--, 2, made), i = Math.max(-1, i - 1);
  }
  return symbols;`,
    says: "lowest rank wins",
  },
  {
    exercise: "ex-encode",
    name: "stops after one merge",
    code: `
  const symbols = [...ids];
  let best = Infinity, at = -1;
  for (let i = 0; i + 1 < symbols.length; i++) {
    const made = merges.get(symbols[i], symbols[i + 1]) ?? Infinity;
    if (made < best) [best, at] = [made, i];
  }
  if (at !== -1) symbols.splice(at, 2, best);
  return symbols;`,
    says: "you stopped after one merge",
  },
  {
    exercise: "ex-encode",
    name: "takes the rightmost of equals",
    code: `
  const symbols = [...ids];
  for (;;) {
    let best = Infinity, at = -1;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const made = merges.get(symbols[i], symbols[i + 1]) ?? Infinity;
      if (made <= best && made < Infinity) [best, at] = [made, i];
    }
    if (at === -1) return symbols;
    symbols.splice(at, 2, best);
  }`,
    says: "of equal ranks the leftmost",
  },
  {
    exercise: "ex-encode",
    name: "works on the caller's list",
    code: `
  for (;;) {
    let best = Infinity, at = -1;
    for (let i = 0; i + 1 < ids.length; i++) {
      const made = merges.get(ids[i], ids[i + 1]) ?? Infinity;
      if (made < best) [best, at] = [made, i];
    }
    if (at === -1) return ids;
    ids.splice(at, 2, best);
  }`,
    says: "you changed `ids` itself",
  },
  {
    exercise: "ex-special",
    name: "returns instead of throwing",
    code: "return [...specialTokens].some((token) => !allowed.has(token) && text.includes(token));",
    says: "throw, do not return a value",
  },
  {
    exercise: "ex-special",
    name: "forgets what is allowed",
    code: `
  for (const token of specialTokens) {
    const at = text.indexOf(token);
    if (at >= 0) throw new Error(token + " at " + at);
  }`,
    says: "an allowed token must pass",
  },
  {
    exercise: "ex-special",
    name: "looks at the first that it finds only",
    code: `
  const token = [...specialTokens].find((token) => text.includes(token));
  if (token !== undefined && !allowed.has(token)) {
    throw new Error(token + " at " + text.indexOf(token));
  }`,
    says: "look for all of them",
  },
  {
    exercise: "ex-special",
    name: "names the first of the list",
    code: `
  for (const token of specialTokens) {
    const at = text.indexOf(token);
    if (at >= 0 && !allowed.has(token)) throw new Error(token + " at " + at);
  }`,
    says: "not the first in the list",
  },
  {
    exercise: "ex-special",
    name: "does not say where",
    code: `
  for (const token of specialTokens) {
    if (text.includes(token) && !allowed.has(token)) throw new Error("not allowed: " + token);
  }`,
    says: "does not say where",
  },
  {
    exercise: "ex-special",
    name: "takes the token for a pattern",
    code: `
  const hits = [...specialTokens].filter((token) => !allowed.has(token) && new RegExp(token).test(text))
    .sort((a, b) => text.indexOf(a) - text.indexOf(b));
  if (hits.length) throw new Error(hits[0] + " at " + text.indexOf(hits[0]));`,
    says: "does not name the token",
  },
];
