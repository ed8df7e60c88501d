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
): Place[] {
  const solutions = new Map<Cell, ReadCell>();
  const places: Place[] = [];
  for (const wanted of chapter.filter(({ kind }) => kind === "solution")) {
    const cell = learner.cells.findLast((one) => gradeIdOf(one) === wanted.id) ??
      learner.cells.findLast(({ id }) => id === wanted.id);
    if (cell) solutions.set(cell, wanted);
    else places.push(missing(wanted));
  }
  const original = new Map(chapter.map(({ id, source }) => [id, source]));
  const checks = new Set(chapter.filter(({ kind }) => kind === "check").map(({ id }) => id));
  for (const cell of learner.cells) {
    const wanted = solutions.get(cell);
    const isExtra = cell.cell_type === "code" && original.get(cell.id) !== cell.source;
    if (wanted) places.push(place(cell, read, wanted));
    else if (isExtra && !checks.has(gradeIdOf(cell))) places.push(place(cell, read));
  }
  return places;
}

function missing(wanted: ReadCell): Place {
  const problem = new CellProblem("the cell is not in the notebook.");
  const cell = { ...wanted, source: "", code: "", pieces: [], imports: [] };
  return { cell, isOwn: true, problem, names: declaredIn(wanted), solutions: [wanted.id] };
}

function place(cell: Cell, read: (cell: Cell) => ReadCell, wanted?: ReadCell): Place {
  const about = wanted ? { solutions: [wanted.id] } : {};
  const [id, kind] = wanted ? [wanted.id, wanted.kind] : [cell.id, "plain" as const];
  try {
    const found = read(cell);
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
  readonly #own = new Map<string, Place>();
  /** For each name that an exercise asks for, the chapter's own answer. */
  readonly #answers = new Map<string, Place>();
  readonly #bookImports = new Map<string, ImportedName>();
  readonly #ownImports = new Map<string, ImportedName>();

  constructor(chapter: ReadCell[], own: Place[]) {
    for (const cell of chapter) {
      cell.imports.forEach((one) => this.#bookImports.set(one.local, one));
      if (cell.kind === "check") continue;
      const place = { cell, isOwn: false };
      const names = cell.kind === "solution" ? this.#answers : this.#book;
      declaredIn(cell).forEach((name) => names.set(name, place));
    }
    own.forEach((place) => this.#learn(place));
  }

  /** The later definition wins; one that cannot be used wins over none. */
  #learn(place: Place): void {
    for (const name of place.problem ? place.names ?? [] : declaredIn(place.cell)) {
      if (!place.problem || !this.#own.has(name)) this.#own.set(name, place);
    }
    place.cell.imports.forEach((one) => this.#ownImports.set(one.local, one));
  }

  /** The learner's cell that declares a name. */
  own(name: string): Place | undefined {
    return this.#own.get(name);
  }

  /**
   * The cell that a name comes from. What an exercise asks for comes from the learner, whoever uses it.
   *
   * @param isOwn whether a cell of the learner's asks
   * @param replaced ids of solution cells for which the chapter's own stand in
   */
  place(name: string, isOwn: boolean, replaced: Set<string>): Place | undefined {
    const answer = this.#answers.get(name);
    if (answer && replaced.has(answer.cell.id)) return answer;
    return (isOwn || answer ? this.#own.get(name) : undefined) ?? this.#book.get(name);
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
