/** The memory maps of two runs by type: where each range lies follows from the order of allocations. */
import type { MemoryDescriptor } from "../../efi/memory-map.ts";
import { type AcrossMap, descriptorsIn, type Two } from "./side.ts";

export interface TypeAcross {
  /** EFI_MEMORY_TYPE. */
  readonly type: string;
  /** Attributes in words, one text a distinct set: `WB RUNTIME`. */
  readonly attributes: Two<readonly string[]>;
  /** Of 4 KiB. */
  readonly pages: Two<bigint>;
}

export interface MemoryMapAcross {
  readonly descriptors: Two<number>;
  /** Those whose pages or attributes differ, by the first capture's amount, most first. */
  readonly types: readonly TypeAcross[];
  /** Types that both have, alike. */
  readonly same: number;
}

/** Undefined unless both have a map that could be read. */
export function compareMemoryMaps(maps: Two<AcrossMap | undefined>): MemoryMapAcross | undefined {
  const [a, b] = [descriptorsIn(maps.a), descriptorsIn(maps.b)];
  if (a === undefined || b === undefined) return undefined;
  const [left, right] = [totals(a), totals(b)];
  const all = [...new Set([...left.keys(), ...right.keys()])].map((type): TypeAcross => {
    const [mine, other] = [left.get(type) ?? NONE, right.get(type) ?? NONE];
    return {
      type,
      attributes: { a: [...mine.attributes].sort(), b: [...other.attributes].sort() },
      pages: { a: mine.pages, b: other.pages },
    };
  });
  const types = all.filter((each) => !isSame(each)).sort((one, other) => (one.pages.a > other.pages.a ? -1 : 1));
  return { descriptors: { a: a.length, b: b.length }, types, same: all.length - types.length };
}

interface Total {
  readonly attributes: ReadonlySet<string>;
  readonly pages: bigint;
}

const NONE: Total = { attributes: new Set(), pages: 0n };

function totals(descriptors: readonly MemoryDescriptor[]): ReadonlyMap<string, Total> {
  const sums = new Map<string, Total>();
  for (const { typeName, pages, attributes } of descriptors) {
    const sum = sums.get(typeName) ?? NONE;
    sums.set(typeName, {
      attributes: new Set([...sum.attributes, attributes.join(" ")]),
      pages: sum.pages + pages,
    });
  }
  return sums;
}

function isSame({ attributes, pages }: TypeAcross): boolean {
  return pages.a === pages.b && attributes.a.join("\n") === attributes.b.join("\n");
}
