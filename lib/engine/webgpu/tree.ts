/** What was kept under a sequence of numbers, strings and objects, found step by step: no key has to be made of them. */
export class Tree<V> {
  /** What is kept here. */
  value?: V;
  readonly #branches = new Map<unknown, Tree<V>>();

  /** The branch behind one step; it is made where there is none. */
  at(step: unknown): Tree<V> {
    let branch = this.#branches.get(step);
    if (!branch) this.#branches.set(step, branch = new Tree());
    return branch;
  }

  /** Forgets all branches. */
  clear(): void {
    this.#branches.clear();
  }

  /** All values, in the order in which their places were made. */
  *values(): Generator<V> {
    if (this.value !== undefined) yield this.value;
    for (const branch of this.#branches.values()) yield* branch.values();
  }
}
