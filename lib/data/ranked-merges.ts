/** Merges whose order is not that of the ids they make, as in a tokenizer.json of Llama 3: there, several pairs make one token. */

/** What two neighbouring tokens become. A token that was made has a number of its own, `base` + rank; `idOf` gives its id. */
export class RankedMerges {
  readonly #ranks = new Map<number, number>();

  /**
   * @param base how many ids there are
   * @param merges left, right and made id, in the order of their ranks
   */
  constructor(
    readonly base: number,
    readonly merges: readonly (readonly [left: number, right: number, made: number])[],
  ) {
    merges.forEach(([left, right], rank) => this.#ranks.set(left * 2 ** 24 + right, rank));
  }

  /** The number that the pair becomes, the lower the earlier; undefined if the two do not merge. */
  get(left: number, right: number): number | undefined {
    const rank = this.#ranks.get(this.idOf(left) * 2 ** 24 + this.idOf(right));
    return rank === undefined ? undefined : this.base + rank;
  }

  /** The id of a token, by its id or the number that `get` gave it. */
  idOf = (made: number): number => made < this.base ? made : this.merges[made - this.base][2];

  /** Every merge. */
  entries(): Iterable<[left: number, right: number, made: number]> {
    return this.merges.map(([left, right, made]) => [left, right, made]);
  }
}
