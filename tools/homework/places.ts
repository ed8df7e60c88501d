/** Where a learner's notebook and its chapter declare the names that a program needs. */
import type { ImportedName } from "../export/imports.ts";
import type { Cell, Notebook } from "../notebook.ts";
import { CellProblem, declaredIn, type ReadCell } from "./cells.ts";
import { gradeIdOf } from "./exercises.ts";

/** A cell that a program may need. */
export interface Place {
  cell: ReadCell;
  /** Whether it is the learner's: then it sees the learner's own definitions first. */
  isOwn: boolean;
  /** Its number in its notebook. */
  at: number;
  /** Why the cell cannot be used. */
  problem?: CellProblem;
  /** What it should declare, if it has a problem. */
  names?: string[];
  /** Ids of the chapter's solution cells that it is the answer to. */
  solutions?: string[];
}

/**
 * The cells of a learner's notebook that count, in its order: solutions, by grade_id, else by id, of several the last, as in
 * nbgrader; and the cells that the learner added or changed. Solutions that are missing come first.
 */
export function placesOf(
  chapter: ReadCell[],
  learner: Notebook,
  read: (cell: Cell) => ReadCell,
  hasSolutions: boolean,
): Place[] {
  const solutions = new Map<Cell, ReadCell>();
  const places: Place[] = [];
  for (const wanted of chapter.filter(({ kind }) => kind === "solution")) {
    const cell = learner.cells.findLast((one) => gradeIdOf(one) === wanted.id) ??
      learner.cells.findLast(({ id }) => id === wanted.id);
    if (cell) solutions.set(cell, wanted);
    else places.push(missing(wanted));
  }
  // A notebook that is its own chapter is all the learner's.
  const original = new Map(hasSolutions ? chapter.map(({ id, source }) => [id, source]) : []);
  const checks = new Set(chapter.filter(({ kind }) => kind === "check").map(({ id }) => id));
  for (const [at, cell] of learner.cells.entries()) {
    const wanted = solutions.get(cell);
    const isExtra = cell.cell_type === "code" && original.get(cell.id) !== cell.source;
    if (wanted) places.push({ ...place(cell, read, wanted), at });
    else if (isExtra && !checks.has(gradeIdOf(cell))) places.push({ ...place(cell, read), at });
  }
  return places;
}

function missing(wanted: ReadCell): Place {
  return without(wanted, "the cell is not in the notebook.");
}

/** Stands in for a cell that declares a name which nobody declares. */
function lost(name: string, wanted: ReadCell): Place {
  return without(wanted, `no cell declares \`${name}\` any more.`);
}

function without(wanted: ReadCell, why: string): Place {
  const problem = new CellProblem(why);
  const cell = { ...wanted, source: "", code: "", pieces: [], imports: [] };
  return { cell, isOwn: true, at: -1, problem, names: declaredIn(wanted), solutions: [wanted.id] };
}

function place(
  cell: Cell,
  read: (cell: Cell) => ReadCell,
  wanted?: ReadCell,
): Omit<Place, "at"> {
  const about = wanted ? { solutions: [wanted.id] } : {};
  const [id, kind] = wanted ? [wanted.id, wanted.kind] : [cell.id, "plain" as const];
  try {
    // A solution that was turned into text is code still, as for nbgrader.
    const found = read(wanted ? { ...cell, cell_type: "code" } : cell);
    if (found.refused) throw found.refused;
    return { cell: { ...found, id, kind }, isOwn: true, ...about };
  } catch (problem) {
    if (!(problem instanceof CellProblem)) throw problem;
    const { source } = cell;
    const empty = { id, kind, source, imports: [], code: "", pieces: [], isInPlace: true };
    const names = wanted ? declaredIn(wanted) : [];
    return { cell: empty, isOwn: true, problem, names, ...about };
  }
}

/** Which cell a name comes from: for the chapter's cells, and for the learner's, which see their own definitions first. */
export class Names {
  readonly #book = new Map<string, Place>();
  readonly #own = new Map<string, Place[]>();
  /** For each name, the statements of the learner's other cells that declare nothing and use it. */
  readonly #users = new Map<string, [Place, number][]>();
  /** For each name that an exercise asks for, the chapter's own answer. */
  readonly #answers = new Map<string, Place>();
  readonly #bookImports = new Map<string, ImportedName>();
  readonly #ownImports = new Map<string, ImportedName>();

  constructor(chapter: ReadCell[], own: Place[]) {
    for (const [at, cell] of chapter.entries()) {
      cell.imports.forEach((one) => this.#bookImports.set(one.local, one));
      if (cell.kind === "check") continue;
      const place = { cell, isOwn: false, at };
      const names = cell.kind === "solution" ? this.#answers : this.#book;
      declaredIn(cell).forEach((name) => names.set(name, place));
    }
    own.forEach((place) => this.#learn(place));
    for (const [name, { cell }] of this.#answers) {
      if (!this.#own.has(name)) this.#own.set(name, [lost(name, cell)]);
    }
  }

  #learn(place: Place): void {
    for (const name of place.problem ? place.names ?? [] : declaredIn(place.cell)) {
      this.#own.set(name, [...this.#own.get(name) ?? [], place]);
    }
    place.cell.imports.forEach((one) => this.#ownImports.set(one.local, one));
    if (place.cell.kind !== "plain") return;
    place.cell.pieces.forEach(({ declares, uses }, index) => {
      if (declares.length) return;
      for (const { name } of uses) {
        const list = this.#users.get(name);
        if (list) list.push([place, index]);
        else this.#users.set(name, [[place, index]]);
      }
    });
  }

  /**
   * The learner's cell that declares a name: the later definition wins, of those that have run when cell `before` is reached;
   * one that cannot be used wins over none.
   */
  own(name: string, before: number): Place | undefined {
    const all = this.#own.get(name) ?? [];
    const usable = all.filter(({ problem }) => !problem);
    return usable.findLast(({ at }) => at < before) ?? usable.at(-1) ?? all.at(-1);
  }

  /** Statements of the learner's cells above `before` that go on working on what another cell of the learner's declares. */
  users(name: string, before: number): [Place, number][] {
    return (this.#users.get(name) ?? []).filter(([{ at }]) => at < before);
  }

  /**
   * The cell that a name comes from. What an exercise asks for comes from the learner, whoever uses it.
   *
   * @param isOwn whether a cell of the learner's asks
   * @param before number of the learner's cell that the name is for
   * @param replaced ids of solution cells for which the chapter's own stand in
   */
  place(
    name: string,
    isOwn: boolean,
    before: number,
    replaced?: Set<string>,
  ): Place | undefined {
    const answer = this.#answers.get(name);
    if (answer && replaced?.has(answer.cell.id)) return answer;
    return (isOwn || answer ? this.own(name, before) : undefined) ?? this.#book.get(name);
  }

  /** The import that a name comes from. */
  import(name: string, isOwn: boolean): ImportedName | undefined {
    return (isOwn ? this.#ownImports.get(name) : undefined) ?? this.#bookImports.get(name);
  }

  /** Whether a name belongs to the chapter. */
  isBooks(name: string): boolean {
    return this.#book.has(name) || this.#answers.has(name) || this.#bookImports.has(name);
  }
}
