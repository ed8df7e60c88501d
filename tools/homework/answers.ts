/**
 * What would be the answer to an exercise if it were only called: the book's own functions, and some of tfjs's. Learners may
 * use everything else of the chapter.
 */
export interface Answers {
  /** Names of the chapter. */
  names: string[];
  /** Functions of tfjs. */
  tf: string[];
}

const ANSWERS: Record<string, Partial<Answers>> = {
  "ex-count-pairs": { names: ["PairIndex", "learnMerges"] },
  "ex-merge": { names: ["mergeLongWord", "LinkedWord", "WordEncoder", "Tokenizer"] },
  "ex-encode": { names: ["mergeLongWord", "LinkedWord", "WordEncoder", "Tokenizer"] },
  "ex-gradient": { tf: ["grad", "grads", "valueAndGrad", "valueAndGrads", "variableGrads"] },
  "ex-norm-gradient": {
    names: ["slopes"],
    tf: ["grad", "grads", "valueAndGrad", "valueAndGrads", "variableGrads"],
  },
  "ex-count": { names: ["GPT", "parameterShapes"] },
  "ex-ce": { names: ["crossEntropyLoop"], tf: ["losses"] },
  "ex-adamw": { names: ["AdamW", "adamWLoop", "adamWInPlace"], tf: ["train", "AdamOptimizer"] },
};

/** What an exercise may not use, because it asks for it. */
export function answersTo(exercise: string): Answers {
  return { names: [], tf: [], ...ANSWERS[exercise] };
}

/** Said to somebody who does. */
export function isAnswer(name: string): string {
  return `it uses \`${name}\`, which does what this exercise asks for: write it yourself.`;
}
