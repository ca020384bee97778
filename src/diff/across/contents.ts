/**
 * What a map says of ranges of addresses, and when two of them say the same. The level of a descriptor and the Contiguous bit are left
 * out: they follow from where neighbours lie, not from what somebody asked for.
 */
import type { Attributes } from "../../aarch64/attributes.ts";
import type { RegimeMap } from "../../aarch64/regime-map.ts";
import { firstAfter, type PageRange } from "./ranges.ts";

/** `unknown`: a table could not be read or decoded. */
export type Content =
  | {
      readonly state: "mapped";
      readonly attributes: Attributes /** Output page less input page. */;
      readonly shift: number;
    }
  | { readonly state: "not mapped" }
  | { readonly state: "unknown" };

export interface Piece extends PageRange {
  readonly content: Content;
}

export const NOT_MAPPED: Content = { state: "not mapped" };
const UNKNOWN: Content = { state: "unknown" };

/** A map by address, what it does not map included. */
export class MapPieces {
  readonly #pieces: readonly Piece[];

  private constructor(pieces: readonly Piece[]) {
    this.#pieces = pieces;
  }

  static of({ runs, lost }: RegimeMap): MapPieces {
    const mapped = runs.map(({ start, pages, output, attributes }): Piece => {
      return { start, end: start + pages, content: { state: "mapped", attributes, shift: output - start } };
    });
    const gone = lost.map(({ start, pages }): Piece => ({ start, end: start + pages, content: UNKNOWN }));
    return new MapPieces(gone.length === 0 ? mapped : [...mapped, ...gone].sort((a, b) => a.start - b.start));
  }

  /** What is mapped at its own address, and what is not known. */
  own(): MapPieces {
    return new MapPieces(this.#pieces.filter(({ content }) => content.state !== "mapped" || content.shift === 0));
  }

  get all(): readonly Piece[] {
    return this.#pieces;
  }

  /** Everything from `start` to `end`, without a gap. */
  within(start: number, end: number): Piece[] {
    const found: Piece[] = [];
    let at = start;
    for (let i = firstAfter(this.#pieces, start); at < end; i++) {
      const piece = this.#pieces[i];
      const next = Math.min(piece?.start ?? end, end);
      if (next > at) found.push({ start: at, end: next, content: NOT_MAPPED });
      if (piece === undefined || piece.start >= end) break;
      const from = Math.max(piece.start, at);
      at = Math.min(piece.end, end);
      found.push({ start: from, end: at, content: piece.content });
    }
    return found;
  }
}

/** Equal for attributes that count as the same here. */
const keys = new Map<string, string>();
const MAX_KEYS = 4096;

export function attributesKey(attributes: Attributes): string {
  const known = keys.get(attributes.key);
  if (known !== undefined) return known;
  const key = JSON.stringify(telling(attributes));
  if (keys.size < MAX_KEYS) keys.set(attributes.key, key);
  return key;
}

function telling(attributes: Attributes): readonly unknown[] {
  const { read, write, execute, el0, memory, fetch, shareability, granule } = attributes;
  const { accessFlag, faultsOnAccess, global, guarded, el0Denied, level } = attributes;
  const access = [read, write, execute, ...(el0 === null ? ["", "", ""] : [el0.read, el0.write, el0.execute])];
  return [
    ...access,
    memory,
    fetch,
    shareability,
    granule,
    accessFlag,
    faultsOnAccess,
    global,
    guarded,
    el0Denied,
    level === null,
  ];
}

/** Whether two sets of attributes are the same; `unknown` where they differ in nothing but what cannot be told. */
export function sameAttributes(a: Attributes, b: Attributes): boolean | "unknown" {
  if (attributesKey(a) === attributesKey(b)) return true;
  const [left, right] = [telling(a), telling(b)];
  const differing = left.filter((each, i) => each !== right[i] && each !== null && right[i] !== null);
  return differing.length === 0 ? "unknown" : false;
}

/** The same of what two maps say; `base`: the shift that is right. Two that lead somewhere else are alike in that. */
export function sameContent(
  a: Content,
  b: Content,
  base: { readonly a: number; readonly b: number },
): boolean | "unknown" {
  if (a.state === "unknown" || b.state === "unknown") return "unknown";
  if (a.state === "not mapped" || b.state === "not mapped") return a.state === b.state;
  const same = sameAttributes(a.attributes, b.attributes);
  return same === true ? (a.shift === base.a) === (b.shift === base.b) : same;
}

export function contentKey(content: Content): string {
  return content.state === "mapped" ? attributesKey(content.attributes) : content.state;
}
