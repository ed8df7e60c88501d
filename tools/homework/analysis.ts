/**
 * A process that reads learners' notebooks for the grader, so that what a parser does with a stranger's text, for however long, can
 * be ended. One JSON message a line: requests on standard input, answers on standard output.
 */
import { basename } from "node:path";
import { type Cell, findChapter, type Notebook, readNotebook } from "../notebook.ts";
import { CellProblem, readCell } from "./cells.ts";
import { type Planned, type Planner, planner } from "./judge.ts";
import { type Master, readMaster } from "./program.ts";

/** A notebook to read. */
export interface Opening {
  /** Folder of the book's chapters, and the name of the one that it is measured against. */
  chapters: string;
  chapter: string;
  learner: Notebook;
  /** Ids of cells that are not to be read. */
  unreadable: string[];
}

/** What the grader asks for. */
export type Request = { open: Opening } | { plan: { exercises: string[]; standIns: string[] } };

/** What it gets: which cell is being read, and in the end a plan, or why there is none. */
export type Answer = { reading: string } | { planned: Planned[] } | { failed: string };

const masters = new Map<string, Master>();

function masterOf(folder: string, name: string): Master {
  const file = findChapter(name, folder);
  const known = masters.get(file) ?? readMaster(file, basename(file, ".ipynb"), readNotebook(file));
  masters.set(file, known);
  return known;
}

const encoder = new TextEncoder();

function answer(message: Answer): void {
  const bytes = encoder.encode(JSON.stringify(message) + "\n");
  for (let sent = 0; sent < bytes.length;) sent += Deno.stdout.writeSync(bytes.subarray(sent));
}

function opened({ chapters, chapter, learner, unreadable }: Opening): Planner {
  const read = (cell: Cell) => {
    if (unreadable.includes(cell.id)) {
      throw new CellProblem("it takes too long, or too much memory, to be read.");
    }
    answer({ reading: cell.id });
    return readCell(cell);
  };
  return planner(masterOf(chapters, chapter), learner, read);
}

async function serve(): Promise<void> {
  let plan: Planner | undefined;
  const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream());
  let rest = "";
  for await (const chunk of lines) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop()!;
    for (const text of parts) {
      const request: Request = JSON.parse(text);
      try {
        if ("open" in request) plan = opened(request.open), answer({ planned: [] });
        else answer({ planned: await plan!(request.plan.exercises, request.plan.standIns) });
      } catch (error) {
        answer({ failed: (error as Error).message });
      }
    }
  }
}

if (import.meta.main) await serve();
