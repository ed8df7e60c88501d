/** What a statement declares: names, their signatures on one line, the first sentence of their docstrings. */
import type { AnyNode } from "../syntax.ts";

/** A name that a cell declares. */
export interface Declaration {
  name: string;
  isExported: boolean;
  /** Its head on one line: `smooth(values: number[], keep: number): number[]`. */
  signature: string;
  /** First sentence of its docstring, "" without one. */
  summary: string;
  line: number;
}

/** The names that a statement at the top of a cell declares or exports; `source` is the cell's. */
export function declarationsOf(statement: AnyNode, source: string): Declaration[] {
  const isExported = statement.type.startsWith("Export");
  const inner = statement.declaration ?? statement;
  const common = { isExported, summary: summaryOf(statement), line: statement.loc.start.line };
  const one = (name: string, signature: string) => [{ ...common, name, signature }];
  const text = (from: number, to: number) => oneLine(source.slice(from, to));
  if (statement.type === "ExportDefaultDeclaration") return one("default", "default");
  switch (inner.type) {
    case "FunctionDeclaration":
    case "TSDeclareFunction":
      return one(
        inner.id.name,
        text(inner.id.start, inner.body?.start ?? inner.end).replace(/;$/, ""),
      );
    case "ClassDeclaration":
      return one(inner.id.name, text(inner.start, inner.body.start));
    case "VariableDeclaration":
      return inner.declarations.flatMap((declarator: AnyNode) =>
        boundNames(declarator.id).map((name) => ({
          ...common,
          name,
          signature: `const ${text(declarator.id.start, declarator.id.end)}`,
        }))
      );
    case "TSInterfaceDeclaration":
      return one(inner.id.name, `interface ${inner.id.name}`);
    case "TSTypeAliasDeclaration":
      return one(inner.id.name, text(inner.start, inner.end).replace(/;$/, ""));
    case "TSEnumDeclaration":
      return one(inner.id.name, `enum ${inner.id.name}`);
  }
  const listed = statement.type === "ExportNamedDeclaration" ? statement.specifiers : [];
  return listed.map(({ exported }: AnyNode) => {
    const name = exported.name ?? exported.value;
    return { ...common, name, signature: name };
  });
}

function oneLine(code: string): string {
  return code.replace(/\s+/g, " ").replace(/([(<[]) /g, "$1").replace(/,? ([)>\]])/g, "$1").replace(
    /, }/g,
    " }",
  ).trim();
}

function boundNames(pattern: AnyNode): string[] {
  switch (pattern?.type) {
    case "Identifier":
      return [pattern.name];
    case "ObjectPattern":
      return pattern.properties.flatMap((one: AnyNode) => boundNames(one.value ?? one.argument));
    case "ArrayPattern":
      return pattern.elements.flatMap(boundNames);
    case "AssignmentPattern":
      return boundNames(pattern.left);
    case "RestElement":
      return boundNames(pattern.argument);
    default:
      return [];
  }
}

function summaryOf(statement: AnyNode): string {
  const docs = (statement.leadingComments ?? []).filter((one: AnyNode) =>
    one.type === "CommentBlock" && one.value.startsWith("*")
  );
  const text = (docs.at(-1)?.value ?? "").replace(/^\s*\* ?/gm, "").split(/\n\s*\n|\n\s*@/)[0];
  return (/^[^]*?[.!?](?=\s+[A-Z]|$)/.exec(text.trim())?.[0] ?? text).replace(/\s+/g, " ").trim();
}
