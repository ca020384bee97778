/**
 * YAML nodes to values, each with its place in the text.
 *
 * Keys are text, as JSON's are. A number that a double cannot hold exactly (0xffff000012345678) stays the text that was written. Tags are
 * refused: what a value is, the schema says. An alias stands for what its anchor holds; what all of them stand for together is bounded.
 */
import {
  type Alias,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type ParsedNode,
  type Scalar,
  type YAMLMap,
  type YAMLSeq,
} from "yaml";
import { printable } from "../base/text.ts";
import { MAX_DEPTH } from "./yaml-text.ts";

/** A value with where it stands: offsets of its first character and behind its last, and of its key. */
export interface Placed {
  readonly value: unknown;
  readonly start: number;
  readonly end: number;
  readonly key: number;
  readonly children: ReadonlyMap<string, Placed>;
}

/** Called for each thing that is wrong; may raise. */
export type Report = (offset: number, message: string, cure: string) => void;

const MAX_VALUES = 100_000;
const NO_CHILDREN: ReadonlyMap<string, Placed> = new Map();

export function placeValues(root: ParsedNode | null, text: string, report: Report): Placed {
  return new Placer(text, report).place(root, 0, 0);
}

class Placer {
  readonly #text: string;
  readonly #report: Report;
  readonly #anchors = new Map<string, ParsedNode>();
  /** What each alias stands for: the anchor of its name that stood last before it. */
  readonly #targets = new Map<Alias, ParsedNode | undefined>();
  /** Anchors whose aliases are being followed. */
  readonly #open = new Set<ParsedNode>();
  #left = MAX_VALUES;

  constructor(text: string, report: Report) {
    this.#text = text;
    this.#report = report;
  }

  place(node: ParsedNode | null, key: number, depth: number): Placed {
    const [start, end] = node?.range ?? [key, key];
    const leaf = (value: unknown): Placed => ({ value, start, end, key, children: NO_CHILDREN });
    if (node === null || this.#refused(start, depth)) return leaf(null);
    if (isAlias(node)) return this.#followed(node, start, key, depth);
    if (node.tag !== undefined) {
      const tag = Math.max(0, this.#text.lastIndexOf("!", start - 1));
      this.#report(tag, `A tag stands here: ${quoted(node.tag)}`, "Put text that begins with ! in quotes.");
    }
    // What an alias stands for was named where it was written.
    if (node.anchor !== undefined && this.#open.size === 0) this.#anchors.set(node.anchor, node);
    if (isScalar(node)) return leaf(scalarValue(node));
    const children = isMap(node) ? this.#members(node, depth) : this.#items(node, depth);
    return { value: membersOf(isSeq(node), children), start, end, key, children };
  }

  /** Whether no more is read. */
  #refused(start: number, depth: number): boolean {
    if (this.#left === 0) return true;
    this.#left--;
    if (this.#left === 0) this.#report(start, "It has too many values", "Use fewer aliases, or split it.");
    if (depth > MAX_DEPTH) this.#report(start, "It is nested too deeply", `${MAX_DEPTH} levels are read.`);
    return this.#left === 0 || depth > MAX_DEPTH;
  }

  #followed(alias: Alias, start: number, key: number, depth: number): Placed {
    if (!this.#targets.has(alias)) this.#targets.set(alias, this.#anchors.get(alias.source));
    const node = this.#targets.get(alias);
    const nothing: Placed = { value: null, start, end: start, key, children: NO_CHILDREN };
    if (node === undefined || this.#open.has(node) || encloses(node, start)) {
      this.#report(
        start,
        `The alias *${printable(alias.source, 40)} leads nowhere`,
        "Put text that begins with * in quotes.",
      );
      return nothing;
    }
    this.#open.add(node);
    const placed = this.place(node, key, depth + 1);
    this.#open.delete(node);
    return placed;
  }

  #members(map: YAMLMap.Parsed, depth: number): Map<string, Placed> {
    const members = new Map<string, Placed>();
    for (const pair of map.items) {
      const start = (pair.key as ParsedNode | null)?.range[0] ?? map.range[0];
      const name = isScalar(pair.key) ? keyText(pair.key) : undefined;
      if (name === undefined) this.#report(start, "A key has to be text", "Put it in quotes.");
      else if (members.has(name)) this.#report(start, `${quoted(name)} stands here twice`, "Leave one of them out.");
      else members.set(name, this.place(pair.value, start, depth + 1));
      if (this.#left === 0) break;
    }
    return members;
  }

  #items(seq: YAMLSeq.Parsed, depth: number): Map<string, Placed> {
    const items = new Map<string, Placed>();
    // A pair in a list (`[a: 1]`) has been made a map of one key.
    for (const [i, item] of (seq.items as readonly ParsedNode[]).entries()) {
      if (this.#left === 0) break;
      items.set(String(i), this.place(item, item.range[0], depth + 1));
    }
    return items;
  }
}

function encloses(node: ParsedNode, offset: number): boolean {
  return node.range[0] <= offset && offset < node.range[1];
}

function keyText(key: Scalar): string | undefined {
  if (key.tag !== undefined) return undefined;
  if (typeof key.value === "string") return key.value;
  return key.value === null ? undefined : (key.source ?? String(key.value));
}

function scalarValue({ value, source }: Scalar): unknown {
  if (typeof value !== "number") return typeof value === "bigint" ? String(value) : value;
  const exact = Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value);
  return exact ? value : (source ?? String(value));
}

function membersOf(isList: boolean, children: ReadonlyMap<string, Placed>): unknown {
  if (isList) return [...children.values()].map(({ value }) => value);
  const object: Record<string, unknown> = {};
  // Defined, not assigned: a key may be called __proto__.
  for (const [name, { value }] of children) {
    Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true });
  }
  return object;
}

/** A name from the document as messages show it. */
export function quoted(name: string): string {
  return `"${printable(name, 60)}"`;
}
