/** Wrong solutions of chapter 06. */
import type { Wrong } from "./wrong.ts";

const soft = (
  {
    weight = "Math.exp((logit - logits[best]) / temperature)",
    zero = "if (temperature === 0) return scores.map((_, id) => id === best ? 1 : 0);",
    end = "weight / total",
  },
) => `
  const best = greedyToken(logits);
  const scores = new Float64Array(logits);
  ${zero}
  const weights = scores.map((logit) => ${weight});
  const total = weights.reduce((sum, weight) => sum + weight);
  return weights.map((weight) => ${end});`;
const topP = (test: string, slice = "last < 0 ? undefined : last + 1", wrap = "rescale") => `
  if (p === 1) return candidates;
  let sum = 0;
  const last = candidates.findIndex(({ probability }) => ${test});
  return ${wrap}(candidates.slice(0, ${slice}));`;
const hold = (found: string, rest: string) => `
  const hits = stop.filter((one) => text.includes(one));
  if (hits.length) ${found}
  ${rest}`;
const longest = `let start = 0;
  while (!stop.some((one) => one.startsWith(text.slice(start)))) start++;
  return { shown: text.slice(0, start), held: text.slice(start), stopped: false };`;

/** Mistakes, by exercise. */
export const wrong: Wrong[] = [
  {
    exercise: "ex-temperature",
    cell: "tempered-softmax",
    name: "does not divide by the total",
    code: soft({ end: "weight" }),
    says: "divide each weight by their total",
  },
  {
    exercise: "ex-temperature",
    cell: "tempered-softmax",
    name: "multiplies by the temperature",
    code: soft({ weight: "Math.exp((logit - logits[best]) * temperature)" }),
    says: "cold is flatter than hot",
  },
  {
    exercise: "ex-temperature",
    cell: "tempered-softmax",
    name: "divides the chances",
    code: soft({ weight: "Math.exp(logit - logits[best])", end: "weight / total / temperature" }),
    says: "not the chances after it",
  },
  {
    exercise: "ex-temperature",
    cell: "tempered-softmax",
    name: "overflows",
    code: soft({ weight: "Math.exp(logit / temperature)" }),
    says: "exp overflows",
  },
  {
    exercise: "ex-temperature",
    cell: "tempered-softmax",
    name: "divides by zero",
    code: soft({ zero: "" }),
    says: "it divides by zero",
  },
  {
    exercise: "ex-temperature",
    cell: "tempered-softmax",
    name: "the last of equals at T = 0",
    code: soft({
      zero:
        "if (temperature === 0) return scores.map((_, id) => id === scores.lastIndexOf(logits[best]) ? 1 : 0);",
    }),
    says: "what greedyToken chooses",
  },
  {
    exercise: "ex-top-k",
    cell: "keep-top-k",
    name: "keeps the end",
    code: "return rescale(candidates.slice(-k));",
    says: "cut the end off",
  },
  {
    exercise: "ex-top-k",
    cell: "keep-top-k",
    name: "does not rescale",
    code: "return candidates.slice(0, k);",
    says: "divide by the new total",
  },
  {
    exercise: "ex-top-k",
    cell: "keep-top-k",
    name: "one too few",
    code: "return rescale(candidates.slice(0, k - 1));",
    says: "should keep 2 candidates",
  },
  {
    exercise: "ex-top-k",
    cell: "keep-top-k",
    name: "nothing when k is large",
    code: "return k > candidates.length ? [] : rescale(candidates.slice(0, k));",
    says: "should keep them all",
  },
  {
    exercise: "ex-top-p",
    cell: "keep-top-p",
    name: "leaves out the one that reaches p",
    code: topP("(sum += probability) >= p", "Math.max(1, last)"),
    says: "belongs to the nucleus",
  },
  {
    exercise: "ex-top-p",
    cell: "keep-top-p",
    name: "stops one too late",
    code: topP("(sum += probability) >= p", "last + 2"),
    says: "you stop one too late",
  },
  {
    exercise: "ex-top-p",
    cell: "keep-top-p",
    name: "compares each chance",
    code: "return rescale(candidates.filter(({ probability }) => probability > (1 - p) / 10));",
    says: "compare the running sum",
  },
  {
    exercise: "ex-top-p",
    cell: "keep-top-p",
    name: "does not rescale",
    code: topP("(sum += probability) >= p", undefined, ""),
    says: "rescale it",
  },
  {
    exercise: "ex-cache",
    cell: "ids-to-feed",
    name: "starts after the new token",
    code: `
  const restart = ids.length > blockSize;
  const window = ids.slice(-blockSize);
  return { feed: restart ? window : window.slice(cached + 1), restart };`,
    says: "nothing is fed",
  },
  {
    exercise: "ex-cache",
    cell: "ids-to-feed",
    name: "feeds a token twice",
    code: `
  const restart = ids.length > blockSize;
  const window = ids.slice(-blockSize);
  return { feed: restart ? window : window.slice(Math.max(0, cached - 1)), restart };`,
    says: "a second time",
  },
  {
    exercise: "ex-cache",
    cell: "ids-to-feed",
    name: "feeds everything",
    code: "return { feed: ids.slice(-blockSize), restart: ids.length > blockSize };",
    says: "everything is fed again",
  },
  {
    exercise: "ex-cache",
    cell: "ids-to-feed",
    name: "slides without a restart",
    code: "return { feed: ids.slice(cached), restart: false };",
    says: "the window moves. Restart",
  },
  {
    exercise: "ex-cache",
    cell: "ids-to-feed",
    name: "restarts one token early",
    code: `
  const restart = ids.length >= blockSize;
  const window = ids.slice(-blockSize);
  return { feed: restart ? window : window.slice(cached), restart };`,
    says: "8 ids fit into a blockSize of 8",
  },
  {
    exercise: "ex-stop",
    cell: "hold-back",
    name: "holds nothing back",
    code: hold(
      "return { shown: text.slice(0, text.indexOf(hits[0])), held: '', stopped: true };",
      "return { shown: text, held: '', stopped: false };",
    ),
    says: "hold it back, do not show it",
  },
  {
    exercise: "ex-stop",
    cell: "hold-back",
    name: "always holds as much as a stop sequence",
    code: hold(
      "return { shown: text.slice(0, text.indexOf(hits[0])), held: '', stopped: true };",
      "const at = Math.max(0, text.length - Math.max(...stop.map((one) => one.length - 1)));\n  return { shown: text.slice(0, at), held: text.slice(at), stopped: false };",
    ),
    says: "show all of it",
  },
  {
    exercise: "ex-stop",
    cell: "hold-back",
    name: "does not stop",
    code: longest,
    says: "stopped is false",
  },
  {
    exercise: "ex-stop",
    cell: "hold-back",
    name: "shows the stop sequence",
    code: hold(
      "return { shown: text.slice(0, text.indexOf(hits[0]) + hits[0].length), held: '', stopped: true };",
      longest,
    ),
    says: "what stands before the stop sequence",
  },
  {
    exercise: "ex-stop",
    cell: "hold-back",
    name: "holds the shortest end",
    code: hold(
      "return { shown: text.slice(0, text.indexOf(hits[0])), held: '', stopped: true };",
      "let start = text.length;\n  for (let i = text.length - 1; i >= 0; i--) {\n    if (stop.some((one) => one.startsWith(text.slice(i)))) { start = i; break; }\n  }\n  if (text.endsWith('The E')) start = text.length - 5;\n  return { shown: text.slice(0, start), held: text.slice(start), stopped: false };",
    ),
    says: "the longest end that fits",
  },
  {
    exercise: "ex-temperature",
    cell: "tempered-softmax",
    name: "scales the caller's logits",
    code: `
  const best = greedyToken(logits);
  if (temperature === 0) return Float64Array.from(logits, (_, id) => id === best ? 1 : 0);
  const top = logits[best];
  logits.forEach((logit, id) => logits[id] = Math.exp((logit - top) / temperature));
  const total = logits.reduce((sum, weight) => sum + weight);
  return Float64Array.from(logits, (weight) => weight / total);`,
    says: "you changed the caller's logits",
    isSubtle: true,
  },
  {
    exercise: "ex-top-k",
    cell: "keep-top-k",
    name: "cuts the caller's list",
    code: "return rescale(candidates.splice(0, k));",
    says: "you changed the caller's list",
    isSubtle: true,
  },
  {
    exercise: "ex-top-p",
    cell: "keep-top-p",
    name: "more than p instead of at least",
    code: topP("(sum += probability) > p"),
    says: "use >=, not >",
    isSubtle: true,
  },
  {
    exercise: "ex-stop",
    cell: "hold-back",
    name: "takes the first of the list",
    code: hold(
      "return { shown: text.slice(0, text.indexOf(hits[0])), held: '', stopped: true };",
      longest,
    ),
    says: "is complete before",
    isSubtle: true,
  },
  {
    exercise: "ex-stop",
    cell: "hold-back",
    name: "waits for the first of the list only",
    code: `
  const found = stop
    .map((one) => ({ start: text.indexOf(one), end: text.indexOf(one) + one.length }))
    .filter(({ start }) => start >= 0)
    .sort((a, b) => a.end - b.end || a.start - b.start);
  if (found.length) return { shown: text.slice(0, found[0].start), held: "", stopped: true };
  let start = 0;
  while (!stop[0].startsWith(text.slice(start))) start++;
  return { shown: text.slice(0, start), held: text.slice(start), stopped: false };`,
    says: "not only the first",
    isSubtle: true,
  },
];
