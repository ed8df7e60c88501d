/**
 * Which names a piece of code takes from outside, and which of them it assigns to: scoping as ECMAScript has it, types
 * left out.
 */
import type { AnyNode } from "../syntax.ts";

/** A name that is used but not declared in the piece itself. */
export interface FreeName {
  name: string;
  /** Whether the piece assigns to it somewhere. */
  isWritten: boolean;
  /** Line of the first use (of the first assignment, if there is one), from 1. */
  line: number;
}

/** The free names of statements that stand together at the top of a cell. */
export function freeNames(statements: AnyNode[]): Map<string, FreeName> {
  const found = new Map<string, FreeName>();
  const top = new Scope(undefined, true);
  declareAll(statements, top);
  statements.forEach((statement) => read(statement, top, found));
  return found;
}

/** The names of values (not of types) that statements declare at their top. */
export function declaredNames(statements: AnyNode[]): string[] {
  const top = new Scope(undefined, true);
  declareAll(statements, top);
  return [...top.names];
}

class Scope {
  readonly names = new Set<string>();
  constructor(readonly parent: Scope | undefined, readonly isFunction: boolean) {}

  has(name: string): boolean {
    return this.names.has(name) || (this.parent?.has(name) ?? false);
  }

  /** The scope that `var` declares in. */
  get function(): Scope {
    return this.isFunction || !this.parent ? this : this.parent.function;
  }
}

/** Names that a list of statements declares in its own block; `var` goes to the function around it. */
function declareAll(statements: AnyNode[], scope: Scope): void {
  for (const statement of statements) {
    const inner = unexported(statement);
    if (/^(Function|Class|TSEnum)Declaration$/.test(inner?.type) && inner.id) {
      scope.names.add(inner.id.name);
    }
    if (inner?.type === "VariableDeclaration" && inner.kind !== "var" && !inner.declare) {
      inner.declarations.forEach((one: AnyNode) => declarePattern(one.id, scope));
    }
    if (statement?.type === "ImportDeclaration" && statement.importKind !== "type") {
      statement.specifiers.forEach((one: AnyNode) => scope.names.add(one.local.name));
    }
    hoistVars(inner, scope.function);
  }
}

/** The declaration inside an `export`, or the statement itself. */
function unexported(statement: AnyNode): AnyNode {
  return /^Export(Named|Default)Declaration$/.test(statement?.type) && statement.declaration
    ? statement.declaration
    : statement;
}

function hoistVars(node: AnyNode, scope: Scope): void {
  if (Array.isArray(node)) return node.forEach((child) => hoistVars(child, scope));
  if (typeof node?.type !== "string" || isFunction(node) || /^(Class|TS)/.test(node.type)) return;
  if (node.type === "VariableDeclaration" && node.kind === "var") {
    node.declarations.forEach((one: AnyNode) => declarePattern(one.id, scope));
  }
  childrenOf(node).forEach((child) => hoistVars(child, scope));
}

function declarePattern(pattern: AnyNode, scope: Scope): void {
  switch (pattern?.type) {
    case "Identifier":
      scope.names.add(pattern.name);
      return;
    case "ObjectPattern":
      return pattern.properties.forEach((one: AnyNode) =>
        declarePattern(one.type === "RestElement" ? one.argument : one.value, scope)
      );
    case "ArrayPattern":
      return pattern.elements.forEach((one: AnyNode) => declarePattern(one, scope));
    case "AssignmentPattern":
      return declarePattern(pattern.left, scope);
    case "RestElement":
      return declarePattern(pattern.argument, scope);
    case "TSParameterProperty":
      return declarePattern(pattern.parameter, scope);
  }
}

function isFunction(node: AnyNode): boolean {
  return /Function(Declaration|Expression)$|^(Object|Class|ClassPrivate)Method$/.test(node.type);
}

const TYPE_KEYS = new Set([
  "typeAnnotation",
  "typeParameters",
  "typeArguments",
  "returnType",
  "implements",
  "superTypeParameters",
  "superTypeArguments",
  "predicate",
]);

/** Children that hold values: no types, comments or places. */
function childrenOf(node: AnyNode): AnyNode[] {
  return Object.entries(node)
    .filter(([key, value]) =>
      typeof value === "object" && value !== null && !TYPE_KEYS.has(key) &&
      !/omments$|^loc$|^extra$|^tokens$/.test(key)
    ).flatMap(([, value]) => value as AnyNode);
}

const VALUE_WRAPPERS =
  /^TS(As|Satisfies|NonNull|Instantiation)Expression$|^TSTypeAssertion$|^TSParameterProperty$|^TSEnum/;

function read(node: AnyNode, scope: Scope, found: Map<string, FreeName>): void {
  if (Array.isArray(node)) return node.forEach((child) => read(child, scope, found));
  if (typeof node?.type !== "string") return;
  if (node.type.startsWith("TS") && !VALUE_WRAPPERS.test(node.type)) return;
  if (isFunction(node)) return readFunction(node, scope, found);
  switch (node.type) {
    case "Identifier":
      return use(node, scope, found, false);
    case "ImportDeclaration":
    case "LabeledStatement":
    case "BreakStatement":
    case "ContinueStatement":
      return read(node.type === "LabeledStatement" ? node.body : undefined, scope, found);
    case "MemberExpression":
    case "OptionalMemberExpression":
      return read([node.object, node.computed ? node.property : undefined], scope, found);
    case "ObjectProperty":
    case "ClassProperty":
    case "ClassAccessorProperty":
      return read(
        [node.computed ? node.key : undefined, node.value, node.decorators],
        scope,
        found,
      );
    case "ClassPrivateProperty":
      return read(node.value, scope, found);
    case "MetaProperty":
      return;
    case "ExportNamedDeclaration":
      if (node.source) return;
      return read(
        [node.declaration, ...(node.specifiers ?? []).map((one: AnyNode) => one.local)],
        scope,
        found,
      );
    case "AssignmentExpression":
      writeTo(node.left, scope, found);
      return read([node.left, node.right], scope, found);
    case "UpdateExpression":
      writeTo(node.argument, scope, found);
      return read(node.argument, scope, found);
    case "TSEnumDeclaration":
    case "TSEnumBody":
      return read(node.members ?? node.body, scope, found);
    case "TSEnumMember":
      return read(node.initializer, scope, found);
    default:
      return readScoped(node, scope, found);
  }
}

function readScoped(node: AnyNode, scope: Scope, found: Map<string, FreeName>): void {
  let inner = scope;
  if (/^(BlockStatement|StaticBlock)$/.test(node.type)) {
    inner = new Scope(scope, node.type === "StaticBlock");
    declareAll(node.body, inner);
  } else if (/^For(In|Of|)Statement$/.test(node.type)) {
    inner = new Scope(scope, false);
    const head = node.type === "ForStatement" ? node.init : node.left;
    if (head?.type === "VariableDeclaration") declareAll([head], inner);
    else if (node.type !== "ForStatement") writeTo(head, scope, found);
  } else if (node.type === "SwitchStatement") {
    inner = new Scope(scope, false);
    declareAll(node.cases.flatMap((one: AnyNode) => one.consequent), inner);
  } else if (node.type === "CatchClause") {
    inner = new Scope(scope, false);
    declarePattern(node.param, inner);
  } else if (/^Class(Declaration|Expression)$/.test(node.type) && node.id) {
    inner = new Scope(scope, false);
    inner.names.add(node.id.name);
  }
  read(childrenOf(node), inner, found);
}

function readFunction(node: AnyNode, scope: Scope, found: Map<string, FreeName>): void {
  const inner = new Scope(scope, true);
  if (node.type === "FunctionExpression" && node.id) inner.names.add(node.id.name);
  if (node.type !== "ArrowFunctionExpression") inner.names.add("arguments");
  node.params.forEach((one: AnyNode) => declarePattern(one, inner));
  if (node.body?.type === "BlockStatement") declareAll(node.body.body, inner);
  if (node.computed) read(node.key, scope, found);
  read([node.params, node.body, node.decorators], inner, found);
}

function use(node: AnyNode, scope: Scope, found: Map<string, FreeName>, isWritten: boolean): void {
  if (scope.has(node.name)) return;
  const known = found.get(node.name);
  const line = node.loc?.start.line ?? 1;
  if (!known) found.set(node.name, { name: node.name, isWritten, line });
  else if (isWritten && !known.isWritten) Object.assign(known, { isWritten, line });
}

/** Marks the names that an assignment's left side writes. */
function writeTo(target: AnyNode, scope: Scope, found: Map<string, FreeName>): void {
  switch (target?.type) {
    case "Identifier":
      return use(target, scope, found, true);
    case "ObjectPattern":
      return target.properties.forEach((one: AnyNode) =>
        writeTo(one.type === "RestElement" ? one.argument : one.value, scope, found)
      );
    case "ArrayPattern":
      return target.elements.forEach((one: AnyNode) => writeTo(one, scope, found));
    case "AssignmentPattern":
      return writeTo(target.left, scope, found);
    case "RestElement":
      return writeTo(target.argument, scope, found);
    case "TSAsExpression":
    case "TSNonNullExpression":
    case "TSSatisfiesExpression":
    case "TSTypeAssertion":
    case "ParenthesizedExpression":
      return writeTo(target.expression, scope, found);
  }
}
