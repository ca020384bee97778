/**
 * What is wrong with a value that a schema does not take, in words for the one who wrote it.
 *
 * It knows the keywords that ebscope's schemas use. Whether a value is taken at all is decided by typebox; of what stands in a choice
 * (`anyOf`) the branch is explained that was probably meant. `title` in a schema is the noun for messages: "a duration, such as 300s".
 */
import type { TSchema } from "typebox";
import { Check } from "typebox/schema";
import { nearNames } from "../base/near.ts";
import { quoted } from "./values.ts";

export type Path = readonly (string | number)[];

export interface Fault {
  readonly path: Path;
  /** Whether the key is wrong, not what it holds. */
  readonly atKey: boolean;
  readonly message: string;
  readonly cure: string;
}

/** The keywords of JSON Schema (json-schema.org, 2020-12) that are used. */
interface Keywords {
  readonly title?: string;
  readonly type?: string;
  readonly anyOf?: readonly Keywords[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly properties?: Readonly<Record<string, Keywords>>;
  readonly required?: readonly string[];
  readonly patternProperties?: Readonly<Record<string, Keywords>>;
  readonly additionalProperties?: boolean;
  readonly propertyNames?: Keywords;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly items?: Keywords;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minimum?: number;
  readonly maximum?: number;
}

const MAX_FAULTS = 100;
const MAX_NAMES = 24;

/** Why `schema` does not take `value`; empty when it does. */
export function explain(schema: TSchema, value: unknown): readonly Fault[] {
  if (Check(schema, value)) return [];
  const faults = [...faultsOf(schema as Keywords, value, [])].slice(0, MAX_FAULTS);
  if (faults.length > 0) return faults;
  return [{ path: [], atKey: false, message: "It is not what the schema asks for", cure: "Look at the schema." }];
}

function takes(schema: Keywords, value: unknown): boolean {
  return Check(schema as TSchema, value);
}

function* faultsOf(schema: Keywords, value: unknown, path: Path): Generator<Fault> {
  if (takes(schema, value)) return;
  if (schema.anyOf !== undefined) yield* ofChoice(schema, schema.anyOf, value, path);
  else if (schema.type === "object" && isObject(value)) yield* ofObject(schema, value, path);
  else if (schema.type === "array" && Array.isArray(value)) yield* ofList(schema, value, path);
  else yield fault(path, `${shown(value)} is not ${nounOf(schema)}`, cureOf(schema, value));
}

function fault(path: Path, message: string, cure: string, atKey = false): Fault {
  return { path, atKey, message, cure };
}

/** The branch that was meant is the one of the value's kind; among objects, the one with most of its keys. */
function* ofChoice(whole: Keywords, branches: readonly Keywords[], value: unknown, path: Path): Generator<Fault> {
  const [meant, rival] = branches
    .filter((branch) => kindOf(branch) === kindOf(value, true))
    .map((branch) => ({ branch, score: scoreOf(branch, value) }))
    .sort((a, b) => b.score - a.score);
  const clear = typeof value === "object" || (rival === undefined && whole.title === undefined);
  if (meant !== undefined && clear) yield* faultsOf(meant.branch, value, path);
  else yield fault(path, `${shown(value)} is not ${nounOf(whole)}`, cureOf(whole, value));
}

function kindOf(schemaOrValue: unknown, isValue = false): string {
  if (!isValue) {
    const { type, const: only, enum: names } = schemaOrValue as Keywords;
    const kind = type ?? typeof (only ?? names?.[0]);
    return kind === "integer" ? "number" : kind;
  }
  if (schemaOrValue === null) return "null";
  return Array.isArray(schemaOrValue) ? "array" : typeof schemaOrValue;
}

function scoreOf({ properties = {}, required = [] }: Keywords, value: unknown): number {
  if (!isObject(value)) return 0;
  const names = Object.keys(value);
  const known = names.filter((name) => Object.hasOwn(properties, name)).length;
  const told = names.filter((name) => properties[name]?.const !== undefined && properties[name].const === value[name]);
  return told.length * 10_000 + known * 100 - required.filter((name) => !Object.hasOwn(value, name)).length;
}

function* ofObject(schema: Keywords, value: Record<string, unknown>, path: Path): Generator<Fault> {
  for (const name of Object.keys(value)) yield* ofMember(schema, name, value[name], [...path, name]);
  for (const name of schema.required ?? []) {
    if (!Object.hasOwn(value, name)) yield missing(schema, name, path);
  }
  const count = Object.keys(value).length;
  const { minProperties = 0, maxProperties = count } = schema;
  if (count < minProperties || count > maxProperties) yield wrongCount(path, count, minProperties, maxProperties);
}

function* ofMember(schema: Keywords, name: string, value: unknown, path: Path): Generator<Fault> {
  const { properties = {}, patternProperties = {} } = schema;
  if (Object.hasOwn(properties, name)) return yield* faultsOf(properties[name] as Keywords, value, path);
  const [pattern, member] = Object.entries(patternProperties)[0] ?? [];
  if (pattern !== undefined && member !== undefined) {
    if (new RegExp(pattern, "u").test(name)) return yield* faultsOf(member, value, path);
    const noun = schema.propertyNames?.title ?? "a name that can be used here";
    return yield fault(path, `${quoted(name)} is not ${noun}`, "Name it otherwise.", true);
  }
  if (schema.additionalProperties === false) yield unknownKey(Object.keys(properties), name, path);
}

function unknownKey(known: readonly string[], name: string, path: Path): Fault {
  const near = nearNames(name, known, Math.max(1, Math.min(4, Math.floor(name.length / 2))));
  const cure = near.length > 0 ? `Did you mean ${orList(near)}?` : `Known here: ${commaList(known)}.`;
  return fault(path, `${quoted(name)} is not known here`, cure, true);
}

function missing({ properties = {} }: Keywords, name: string, path: Path): Fault {
  const schema = properties[name];
  const noun = schema === undefined ? "" : `: ${nounOf(schema)}`;
  return fault(path, `${quoted(name)} is missing`, `Add ${name}${noun}.`);
}

function* ofList(schema: Keywords, value: readonly unknown[], path: Path): Generator<Fault> {
  const { minItems = 0, maxItems = value.length } = schema;
  if (value.length < minItems || value.length > maxItems) yield wrongCount(path, value.length, minItems, maxItems);
  if (schema.items === undefined) return;
  for (const [i, item] of value.entries()) yield* faultsOf(schema.items, item, [...path, i]);
}

function wrongCount(path: Path, count: number, least: number, most: number): Fault {
  const wanted = count < least ? `at least ${least}` : `at most ${most}`;
  return fault(path, `${count} stand here`, `Give ${wanted}.`);
}

function cureOf(schema: Keywords, value: unknown): string {
  if (value === null) return "Give it a value, or leave its key out.";
  const names = namesOf(schema);
  const near = typeof value === "string" ? nearNames(value, names, Math.max(1, Math.min(4, value.length >> 1))) : [];
  if (near.length > 0) return `Did you mean ${orList(near)}?`;
  return `Write ${nounOf(schema)}.`;
}

/** What texts a schema takes, as far as it lists them. */
function namesOf(schema: Keywords): readonly string[] {
  if (schema.anyOf !== undefined) return schema.anyOf.flatMap(namesOf);
  return [schema.const, ...(schema.enum ?? [])].filter((each) => typeof each === "string");
}

/** What a schema takes, as a noun. */
function nounOf(schema: Keywords): string {
  if (schema.title !== undefined) return schema.title;
  if (schema.anyOf !== undefined) return orList([...new Set(schema.anyOf.map(nounOf))]);
  if (schema.const !== undefined) return String(schema.const);
  if (schema.enum !== undefined) return orList(schema.enum.slice(0, MAX_NAMES).map(String));
  return NOUNS[schema.type ?? ""]?.(schema) ?? "of the right kind";
}

const NOUNS: Readonly<Record<string, (schema: Keywords) => string>> = {
  string: () => "text",
  boolean: () => "true or false",
  number: (schema) => `a number${rangeText(schema)}`,
  integer: (schema) => `a whole number${rangeText(schema)}`,
  array: ({ items }) => (items?.title === undefined ? "a list" : `a list: each ${items.title}`),
  object: () => "a group of keys",
};

function rangeText({ minimum, maximum }: Keywords): string {
  if (minimum !== undefined && maximum !== undefined) return ` from ${minimum} to ${maximum}`;
  if (minimum !== undefined) return `, ${minimum} or more`;
  return maximum === undefined ? "" : `, ${maximum} or less`;
}

function shown(value: unknown): string {
  if (value === null) return "Nothing";
  if (Array.isArray(value)) return "A list";
  if (typeof value === "object") return "A group of keys";
  return typeof value === "string" ? quoted(value) : String(value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function commaList(names: readonly string[]): string {
  const rest = names.length > MAX_NAMES ? ", …" : "";
  return names.slice(0, MAX_NAMES).join(", ") + rest;
}

/** `a, b or c` */
export function orList(names: readonly string[]): string {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;
}
