/** Imports of several cells, made into those of one module. */
import { NotebookError } from "../notebook.ts";
import { type AnyNode, parseModule, type Statement } from "../syntax.ts";

/** One name that a cell imports, or one import for its effect only. */
export interface ImportedName {
  /** Module specifier as written, with its attributes: `"./x.json" with { type: "json" }`. */
  from: string;
  /** What the module calls it; `default`, `*` for all of it, "" for an import for its effect. */
  imported: string;
  /** What the cell calls it. */
  local: string;
  isType: boolean;
  cell: string;
  /** Line in the cell, from 1. */
  line: number;
  /** Comment lines that stand with the statement. */
  comments: string[];
}

/** Whether a statement is an import that can be hoisted. */
export function isImport(statement: Statement): boolean {
  return statement.type === "ImportDeclaration";
}

/** The names that a text imports, each with the first and last line of its statement. */
export function importsIn(text: string): (ImportedName & { first: number; last: number })[] {
  return parseModule(text).program.body.filter(isImport).flatMap((statement) => {
    const place = { first: statement.loc!.start.line, last: statement.loc!.end.line };
    return namesOf(statement, "", []).map((one) => ({ ...one, ...place }));
  });
}

/** The module that a name comes from, without attributes. */
export function specifierOf({ from }: ImportedName): string {
  return JSON.parse(/^"(?:[^"\\]|\\.)*"/.exec(from)![0]);
}

/** The names that one import statement brings. */
export function namesOf(statement: AnyNode, cell: string, comments: string[]): ImportedName[] {
  const attributes = (statement.attributes ?? []).map((one: AnyNode) =>
    `${one.key.name ?? JSON.stringify(one.key.value)}: ${JSON.stringify(one.value.value)}`
  );
  const suffix = attributes.length ? ` with { ${attributes.join(", ")} }` : "";
  const common = { from: JSON.stringify(statement.source.value) + suffix, cell, comments };
  const isType = statement.importKind === "type";
  const line = statement.loc.start.line;
  if (statement.specifiers.length === 0) {
    return [{ ...common, imported: "", local: "", isType, line }];
  }
  return statement.specifiers.map((one: AnyNode) => ({
    ...common,
    imported: importedAs(one),
    local: one.local.name,
    isType: isType || one.importKind === "type",
    line: one.loc.start.line,
  }));
}

function importedAs(specifier: AnyNode): string {
  if (specifier.type === "ImportDefaultSpecifier") return "default";
  if (specifier.type === "ImportNamespaceSpecifier") return "*";
  return specifier.imported.name ?? JSON.stringify(specifier.imported.value);
}

/**
 * Each import once, in the order of first appearance; a value wins over a type of the same name.
 *
 * @throws NotebookError if two cells give one name to different things
 */
export function mergeImports(file: string, all: ImportedName[]): ImportedName[] {
  const merged = new Map<string, ImportedName>();
  for (const one of all) {
    const key = one.local || `effect of ${one.from}`;
    const first = merged.get(key);
    if (!first) merged.set(key, { ...one });
    else if (first.from !== one.from || first.imported !== one.imported) {
      const problem = `imports ${describe(one)}, but cell "${first.cell}" imports ${
        describe(first)
      }: give one another name`;
      throw new NotebookError(file, problem, one.cell);
    } else {
      first.isType &&= one.isType;
      first.comments = [...new Set([...first.comments, ...one.comments])];
    }
  }
  return [...merged.values()];
}

function describe({ local, imported, from }: ImportedName): string {
  const what = imported === local ? local : `${imported} as ${local}`;
  return `\`${what}\` from ${from}`;
}

/** One statement for one name, so that each line of a tangled chapter belongs to one cell. */
export function importLine(one: ImportedName): string {
  const type = one.isType ? "type " : "";
  if (one.imported === "") return `import ${one.from};`;
  if (one.imported === "*") return `import ${type}* as ${one.local} from ${one.from};`;
  if (one.imported === "default") return `import ${type}${one.local} from ${one.from};`;
  return `import { ${type}${renamed(one)} } from ${one.from};`;
}

/** The statements for merged imports: one for each module, or two where one cannot say it. */
export function importStatements(merged: ImportedName[]): string {
  const modules = Map.groupBy(merged, (one) => one.from);
  return [...modules.values()].map((names) => {
    const comments = [...new Set(names.flatMap((one) => one.comments))];
    return [...comments, ...statementsOf(names)].join("\n");
  }).join("\n");
}

function statementsOf(names: ImportedName[]): string[] {
  const alone = names.filter((one) =>
    one.imported === "*" || (one.imported === "default" && one.isType)
  );
  const first = names.find((one) => one.imported === "default" && !one.isType);
  const named = names.filter((one) => one !== first && one.imported !== "" && !alone.includes(one));
  const statements = alone.map(importLine);
  if (first || named.length) statements.push(together(first, named));
  const effect = names.find((one) => one.imported === "");
  const isLoaded = names.some((one) => one.imported !== "" && !one.isType);
  return effect && !isLoaded ? [importLine(effect), ...statements] : statements;
}

function together(first: ImportedName | undefined, named: ImportedName[]): string {
  const allTypes = !first && named.every((one) => one.isType);
  const list = named.map((one) => (one.isType && !allTypes ? "type " : "") + renamed(one));
  const parts = [first?.local, list.length ? `{ ${list.join(", ")} }` : undefined].filter(Boolean);
  return `import ${allTypes ? "type " : ""}${parts.join(", ")} from ${(first ?? named[0]).from};`;
}

function renamed({ imported, local }: ImportedName): string {
  return imported === local ? local : `${imported} as ${local}`;
}
