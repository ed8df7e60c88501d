/**
 * The program that judges one exercise: the chapter's own statements that its check needs, the learner's cells, the check. What
 * else a notebook holds is left out, so a check takes milliseconds and edited cells change nothing.
 *
 * A program is a list of parts. Each part is compiled by itself, as a function whose parameters are the names that it takes from
 * other parts and whose result is the names that it declares. So a learner's text, whatever a parser makes of it, can neither
 * leave its part nor assign to a name of another, and a part that does not compile costs nothing but itself.
 */
import { type ImportedName, specifierOf } from "../export/imports.ts";
import type { Cell, Notebook } from "../notebook.ts";
import type { Origin } from "../tangle.ts";
import {
  CellProblem,
  declaredIn,
  kindOf,
  only,
  type ReadCell,
  readCell,
  withResult,
} from "./cells.ts";
import { type Answers, answersTo, isAnswer } from "./answers.ts";
import { type Exercise, exercisesOf, gradeIdOf, visibleCheck } from "./exercises.ts";
import { Names, type Place, placesOf } from "./places.ts";

/** Where a part takes a name from: another part, by its number, or a module. */
export type Source = { part: number } | { isQuiet: true } | {
  module: string;
  imported: string;
  /** Functions of the module that throw this when they are called. */
  refused?: Record<string, string>;
};

/** A piece of a program. */
export interface Part {
  /** The cell that it is from. */
  cell: string;
  /** Body of an async function. */
  code: string;
  takes: [name: string, from: Source][];
  gives: string[];
  /** Why there is no code: the names are there, and throw this when they are used. */
  problem?: string;
  /** Whether it is the learner's. */
  isOwn: boolean;
  /** Whether its lines are the cell's. */
  isInPlace: boolean;
}

/** A program for the sandbox; the last part is the check. */
export interface Program {
  parts: Part[];
  /** Modules that it imports. */
  modules: string[];
  /** Exercises whose solutions it runs besides its own. */
  uses: string[];
}

/** A chapter as grading sees it. */
export interface Master {
  name: string;
  module: string | undefined;
  notebook: Notebook;
  exercises: Exercise[];
  cells: ReadCell[];
  /** Whether its solutions are the book's, and not those of the learner who is judged. */
  hasSolutions: boolean;
}

/**
 * Reads a chapter for grading.
 *
 * @throws NotebookError if its exercises are not in order; CellProblem if a cell does not parse
 */
export function readMaster(file: string, name: string, notebook: Notebook): Master {
  return { ...master(file, name, notebook, readCell), hasSolutions: true };
}

/** `readMaster` on a notebook of a learner's, in which cells may be broken: those are left out, checks must be whole. */
export function readOwnMaster(file: string, name: string, notebook: Notebook): Master {
  const read = (cell: Cell) => {
    try {
      return readCell(cell);
    } catch (error) {
      if (error instanceof CellProblem) return emptyCell(cell);
      throw error;
    }
  };
  return { ...master(file, name, notebook, read), hasSolutions: false };
}

function master(
  file: string,
  name: string,
  notebook: Notebook,
  read: (cell: Cell) => ReadCell,
): Omit<Master, "hasSolutions"> {
  const code = notebook.cells.filter(({ cell_type, metadata }) =>
    cell_type === "code" || metadata.nbgrader?.solution
  ).map((cell) => ({ ...cell, cell_type: "code" as const }));
  const module = /^\s*\/\/\|\s*default_exp\s+(\S+)/m.exec(code[0]?.source ?? "")?.[1];
  const exercises = exercisesOf(file, notebook);
  return { name, module, notebook, exercises, cells: code.map(read) };
}

function emptyCell(cell: Cell): ReadCell {
  const [id, kind] = [gradeIdOf(cell), kindOf(cell)];
  return { id, kind, source: cell.source, imports: [], code: "", pieces: [], isInPlace: true };
}

/** The place of a line of a part in its cell, if that is known. */
export function originOf({ cell, isInPlace }: Part, line: number): Origin | undefined {
  return isInPlace ? { cell, line } : undefined;
}

/** Programs for one learner's notebook, measured against a chapter. */
export class Judge {
  readonly #master: Master;
  readonly #learner: Notebook;
  readonly #places: Place[];
  readonly #names: Names;
  readonly #isAllowed: (specifier: string) => boolean;

  /**
   * @param learner the notebook that was handed in
   * @param isAllowed which modules a learner's cell may import
   * @param read reads one of the learner's cells
   */
  constructor(
    master: Master,
    learner: Notebook,
    isAllowed: (specifier: string) => boolean,
    read: (cell: Cell) => ReadCell = readCell,
  ) {
    this.#master = master;
    this.#isAllowed = isAllowed;
    this.#learner = learner;
    this.#places = placesOf(master.cells, learner, read, master.hasSolutions);
    this.#names = new Names(master.cells, this.#places);
  }

  /** What keeps an exercise from being run at all: a cell that is missing, does not parse or does what it may not. */
  problem(exercise: Exercise): { cell: string; message: string; line?: number } | undefined {
    for (const id of exercise.solutions) {
      for (const place of this.#answers(id, exercise)) {
        const problem = this.#problemOf(place, exercise);
        if (problem) return { cell: place.cell.id, ...messageOf(problem) };
      }
    }
  }

  /** Which cells answer a solution cell: those that declare its names; of a chapter's cell that does not parse, the cell itself. */
  #answers(id: string, exercise: Exercise): Place[] {
    const before = this.#before(exercise);
    const places = this.#asked(id).map((name) => this.#names.own(name, before)!);
    const itself = this.#places.filter(({ solutions }) => solutions?.includes(id));
    return places.length ? places : itself;
  }

  #problemOf(place: Place, exercise: Exercise): CellProblem | undefined {
    return place.problem ??
      new Selection(this.#names, this.#isAllowed, { exercise, before: this.#before(exercise) })
        .refusal(place);
  }

  /** The learner's cell that an exercise is judged at: its check, or what follows its last solution. */
  #before({ check, solutions }: Exercise): number {
    const at = this.#learner.cells.findLastIndex((cell) => gradeIdOf(cell) === check);
    const own = this.#places.filter((one) => one.solutions?.some((id) => solutions.includes(id)));
    return Math.max(at < 0 ? Infinity : at, ...own.map((one) => one.at + 1));
  }

  /** The names that a solution cell is there for. */
  #asked(id: string): string[] {
    const cell = this.#master.cells.find((cell) => cell.kind === "solution" && cell.id === id);
    return cell ? declaredIn(cell) : [];
  }

  /** The learner's text for a solution cell, wherever it stands; "" if there is none. */
  source(id: string): string {
    const exercise = this.#master.exercises.find(({ solutions }) => solutions.includes(id))!;
    const texts = this.#answers(id, exercise).map(({ cell }) => cell.source);
    return [...new Set(texts)].join("\n");
  }

  /**
   * The program for one exercise.
   *
   * @param version with which cases, and whose solutions of other exercises
   */
  program(exercise: Exercise, version: Version): Program {
    const { hidden, standIns = [], alone } = version;
    const isCheck = ({ id, kind }: ReadCell) => kind === "check" && id === exercise.check;
    const { id, source } = this.#master.cells.find(isCheck)!;
    const text = hidden ? source : visibleCheck(source);
    const check = readCell({ id, cell_type: "code", source: text, metadata: {} });
    const { exercises } = this.#master;
    const others = exercises.filter(({ name }) => name !== exercise.name);
    const replaced = others.filter(({ name }) => standIns.includes(name));
    // An exercise that comes later may well answer this one: it does not stand in for what a learner calls.
    const earlier = replaced.filter((one) => exercises.indexOf(one) < exercises.indexOf(exercise));
    const cells = (list: Exercise[]) => new Set(list.flatMap(({ solutions }) => solutions));
    const seen = alone === undefined ? cells(replaced) : cells(exercises);
    if (alone !== undefined) seen.delete(alone);
    const selection = new Selection(this.#names, this.#isAllowed, {
      exercise,
      before: this.#before(exercise),
      forChapter: seen,
      forLearner: cells(earlier),
    });
    const parts = selection.parts({ ...check, kind: "check", code: withResult(check) });
    const modules = parts.flatMap(({ takes }) =>
      takes.flatMap(([, from]) => "module" in from ? [from.module] : [])
    );
    const own = selection.solutions();
    const uses = others.filter(({ solutions }) => solutions.some((one) => own.has(one)));
    return { parts, modules: [...new Set(modules)], uses: uses.map(({ name }) => name) };
  }
}

/** Which version of an exercise's program is wanted. */
export interface Version {
  /** With the cases that learners do not see. */
  hidden: boolean;
  /** Other exercises whose solutions are to be the chapter's, not the learner's. */
  standIns?: string[];
  /** The one solution cell that is the learner's; check and chapter see the chapter's solutions of all others. */
  alone?: string;
}

/** Whose solutions a selection takes. */
interface Standing {
  exercise: Exercise;
  /** Number of the learner's cell that it is judged at. */
  before: number;
  /** Ids of solution cells for which the chapter's own stand in, where the chapter or the check uses them. */
  forChapter?: Set<string>;
  /** The same, where the learner's code uses them. */
  forLearner?: Set<string>;
}

function messageOf({ message, line }: CellProblem): { message: string; line?: number } {
  return { message, ...line === undefined ? {} : { line } };
}

/** The statements that a program needs, found from its check on. */
class Selection {
  readonly #names: Names;
  readonly #isAllowed: (specifier: string) => boolean;
  readonly #standing: Standing;
  readonly #answers: Answers;
  readonly #chosen = new Map<Place, Set<number>>();
  readonly #queue: [Place, number][] = [];
  /** For a cell, others that go on working on what it declares. */
  readonly #workers = new Map<Place, Set<Place>>();

  constructor(
    names: Names,
    isAllowed: (specifier: string) => boolean,
    standing: Standing,
  ) {
    this.#names = names;
    this.#isAllowed = isAllowed;
    this.#standing = standing;
    this.#answers = answersTo(standing.exercise.name);
  }

  /** The parts of a program, each behind those that it takes from, the check last. */
  parts(check: ReadCell): Part[] {
    const last: Place = { cell: check, isOwn: false, at: Infinity };
    this.#chooseAll(last);
    const order: Place[] = [];
    this.#inOrder(last, order, new Set());
    return order.map((place) => this.#part(place, order));
  }

  /** Ids of the solution cells that are the learner's. */
  solutions(): Set<string> {
    const own = [...this.#chosen.keys()].filter(({ isOwn }) => isOwn);
    return new Set(own.flatMap(({ solutions = [] }) => solutions));
  }

  /** What a learner's cell does that it may not, as far as its statements count. */
  refusal(place: Place): CellProblem | undefined {
    if (!place.isOwn) return undefined;
    const chosen = this.#chosen.get(place) ?? this.#wanted(place);
    const own = new Set(declaredIn(place.cell));
    for (const index of chosen) {
      for (const { name, isWritten, line } of place.cell.pieces[index].uses) {
        if (own.has(name)) continue;
        if (isWritten && this.#names.isBooks(name) && !this.#place(name, place)?.isOwn) {
          return new CellProblem(`it assigns to \`${name}\`, which is not its own.`, line);
        }
        if (this.#isAnswer(name, place)) return new CellProblem(isAnswer(name), line);
        const imported = this.#place(name, place) ? undefined : this.#names.import(name, true);
        if (imported && this.#isOfTf(imported) && this.#answers.tf.includes(imported.imported)) {
          return new CellProblem(isAnswer(`tf.${imported.imported}`), line);
        }
        if (!imported || this.#isAllowed(specifierOf(imported)) || isQuiet(imported)) continue;
        // What the chapter itself imports there is the chapter's business.
        const chapters = this.#names.import(name, false);
        if (chapters?.from === imported.from && chapters.imported === imported.imported) continue;
        return new CellProblem(
          `it imports "${specifierOf(imported)}", which an exercise may not.`,
          place.cell.imports.includes(imported) ? imported.line : line,
        );
      }
    }
  }

  #place(name: string, asker: Place): Place | undefined {
    const { before, forChapter, forLearner } = this.#standing;
    const replaced = asker.isOwn ? forLearner : forChapter;
    return this.#names.place(name, asker.isOwn, before, replaced);
  }

  /** Whether a learner's cell takes from the chapter what it is asked for. */
  #isAnswer(name: string, asker: Place): boolean {
    return this.#isAsked(asker) && this.#answers.names.includes(name) &&
      !this.#place(name, asker)?.isOwn;
  }

  /** Whether a cell is the learner's for this exercise, or not for any. */
  #isAsked({ isOwn, solutions = [] }: Place): boolean {
    const { exercise } = this.#standing;
    return isOwn && (!solutions.length || solutions.some((id) => exercise.solutions.includes(id)));
  }

  #isOfTf(imported: ImportedName): boolean {
    return specifierOf(imported) === "@tensorflow/tfjs";
  }

  #chooseAll(place: Place): void {
    this.#wanted(place).forEach((index) => this.#choose(place, index));
    while (this.#queue.length) this.#follow(...this.#queue.pop()!);
  }

  /** All statements of a cell but those that show something in the notebook. */
  #wanted(place: Place): Set<number> {
    const { pieces, kind } = place.cell;
    const wanted = [...pieces.keys()].filter((index) =>
      kind === "check" || pieces[index].declares.length > 0 ||
      !this.#uses(place, index, /^lib\/notebook\//)
    );
    return new Set(wanted);
  }

  #choose(place: Place, index: number): void {
    const chosen = this.#chosen.get(place) ?? new Set();
    if (chosen.has(index)) return;
    this.#chosen.set(place, chosen.add(index));
    this.#queue.push([place, index]);
  }

  /** Chooses what a statement needs, and what goes on working on the names that it declares. */
  #follow(place: Place, index: number): void {
    const { pieces } = place.cell;
    const { uses, declares } = pieces[index];
    for (const { name } of uses) {
      const here = pieces.findIndex((piece) => piece.declares.includes(name));
      if (here >= 0) this.#choose(place, here);
      else this.#need(this.#place(name, place), name);
    }
    if (declares.length === 0) return;
    const names = place.isOwn ? withFunctions(declares, place.cell) : new Set(declares);
    pieces.forEach((piece, at) => {
      if (at <= index || piece.declares.length || this.#isDisplay(place, at)) return;
      if (piece.uses.some(({ name }) => names.has(name))) this.#choose(place, at);
    });
    if (place.isOwn && place.cell.kind === "plain") this.#workOn(place, declares);
  }

  /** Chooses what other cells of the learner's do with what a cell declares. */
  #workOn(place: Place, declares: string[]): void {
    for (const name of declares) {
      for (const [other, index] of this.#names.users(name, this.#standing.before)) {
        if (other === place || this.#place(name, other) !== place) continue;
        if (this.#isDisplay(other, index)) continue;
        this.#choose(other, index);
        this.#workers.set(place, (this.#workers.get(place) ?? new Set()).add(other));
      }
    }
  }

  #need(place: Place | undefined, name: string): void {
    if (!place || this.#chosen.has(place) && place.cell.kind === "solution") return;
    if (!this.#chosen.has(place)) this.#chosen.set(place, new Set());
    if (place.cell.kind === "solution") {
      return this.#wanted(place).forEach((index) => this.#choose(place, index));
    }
    place.cell.pieces.forEach(({ declares }, index) => {
      if (declares.includes(name)) this.#choose(place, index);
    });
  }

  /** Whether a statement only shows or asserts something; a learner's loop that does so may do more. */
  #isDisplay(place: Place, index: number): boolean {
    if (place.isOwn && !place.cell.pieces[index].expression) return false;
    return this.#uses(place, index, /^lib\/notebook\/|^@std\/assert|^console$/);
  }

  /** Whether a statement uses a module, or a global, of such a name. */
  #uses(place: Place, index: number, wanted: RegExp): boolean {
    return place.cell.pieces[index].uses.some(({ name }) => {
      if (this.#place(name, place)) return false;
      const imported = this.#names.import(name, place.isOwn);
      return wanted.test(imported ? specifierOf(imported) : name);
    });
  }

  /** Names that the chosen statements of a cell take from elsewhere. */
  #taken(place: Place): string[] {
    const own = new Set(declaredIn(place.cell));
    const chosen = this.#chosen.get(place) ?? [];
    const used = [...chosen].flatMap((index) => place.cell.pieces[index].uses);
    return [...new Set(used.map(({ name }) => name))].filter((name) => !own.has(name));
  }

  #inOrder(place: Place, order: Place[], seen: Set<Place>): void {
    if (seen.has(place)) return;
    seen.add(place);
    if (!place.problem) {
      for (const name of this.#taken(place)) {
        const from = this.#place(name, place);
        if (from) this.#inOrder(from, order, seen);
      }
    }
    order.push(place);
    this.#workers.get(place)?.forEach((one) => this.#inOrder(one, order, seen));
  }

  #part(place: Place, order: Place[]): Part {
    const { cell } = place;
    const problem = place.problem ?? this.refusal(place);
    const chosen = this.#chosen.get(place) ?? new Set();
    if (problem) {
      const gives = place.names ?? declaredIn(cell);
      const why = `cell "${cell.id}" cannot be used: ${problem.message}`;
      return {
        cell: cell.id,
        code: "",
        takes: [],
        gives,
        problem: why,
        isOwn: true,
        isInPlace: false,
      };
    }
    return {
      cell: cell.id,
      code: cell.kind === "check" ? cell.code : only(cell, chosen),
      takes: this.#taken(place).flatMap((name) => this.#take(name, place, order)),
      gives: [...new Set([...chosen].flatMap((index) => cell.pieces[index].declares))],
      isOwn: place.isOwn,
      isInPlace: cell.isInPlace,
    };
  }

  #take(name: string, place: Place, order: Place[]): [string, Source][] {
    const from = this.#place(name, place);
    if (from) return [[name, { part: order.indexOf(from) }]];
    const imported = this.#names.import(name, place.isOwn);
    if (!imported) return [];
    if (place.isOwn && isQuiet(imported)) return [[name, { isQuiet: true }]];
    const source = { module: specifierOf(imported), imported: imported.imported };
    const { tf } = this.#answers;
    if (!tf.length || !this.#isOfTf(imported) || !this.#isAsked(place)) return [[name, source]];
    const refused = Object.fromEntries(tf.map((one) => [one, isAnswer(`tf.${one}`)]));
    return [[name, { ...source, refused }]];
  }
}

/** Whether an import is of what shows something or chooses a backend: where a learner's cell calls it, nothing happens. */
function isQuiet(imported: ImportedName): boolean {
  return /^lib\/(notebook\/|engine\/backend\.ts$)/.test(specifierOf(imported));
}

/** Names, and those of a cell's functions that use them. */
function withFunctions(names: string[], { pieces }: ReadCell): Set<string> {
  const all = new Set(names);
  for (let before = 0; before !== all.size;) {
    before = all.size;
    for (const { isFunction, declares, uses } of pieces) {
      if (isFunction && uses.some(({ name }) => all.has(name))) {
        declares.forEach((one) => all.add(one));
      }
    }
  }
  return all;
}
