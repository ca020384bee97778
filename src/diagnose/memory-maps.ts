/** What is worked out of memory maps: totals by type, and how the memory attributes table changes from point to point. */

import type { MemoryDescriptor } from "../efi/memory-map.ts";
import type { StudiedMap, Study } from "./study.ts";

/** The maps of a capture, or those of one point of it. */
export interface ShownMaps {
  readonly map: StudiedMap | undefined;
  readonly attributes: readonly StudiedMap[];
}

/** All maps, or those of the point with an id; undefined when the capture holds none of them. */
export function mapsAt(
  { memoryMap, attributes }: Pick<Study, "memoryMap" | "attributes">,
  id?: string,
): ShownMaps | undefined {
  const isShown = (each: StudiedMap | undefined): boolean =>
    each !== undefined && (id === undefined || each.point === id);
  const map = isShown(memoryMap) ? memoryMap : undefined;
  const tables = attributes.filter(isShown);
  return map === undefined && !tables.some(isCaptured) ? undefined : { map, attributes: tables };
}

/** Whether its bytes are there, whatever they say. */
export function isCaptured({ map }: StudiedMap): boolean {
  return map.state !== "unreadable";
}

export function descriptorsOf({ map }: StudiedMap): readonly MemoryDescriptor[] {
  return map.state === "read" ? map.descriptors : [];
}

export interface TypeTotal {
  readonly type: string;
  readonly descriptors: number;
  /** Of 4 KiB. */
  readonly pages: bigint;
}

/** Pages by type, most first. */
export function totalsByType(descriptors: readonly MemoryDescriptor[]): TypeTotal[] {
  const totals = new Map<string, TypeTotal>();
  for (const { typeName: type, pages } of descriptors) {
    const sum = totals.get(type) ?? { type, descriptors: 0, pages: 0n };
    totals.set(type, { type, descriptors: sum.descriptors + 1, pages: sum.pages + pages });
  }
  return [...totals.values()].sort((a, b) => (a.pages < b.pages ? 1 : -1));
}

/** A descriptor of the memory attributes table that is another at a later point. */
export interface DescriptorChange {
  readonly from: string;
  readonly to: string;
  /** Undefined when there was, or is, none with this start. */
  readonly before: MemoryDescriptor | undefined;
  readonly after: MemoryDescriptor | undefined;
}

/** Each table that could be read against the first one. */
export function attributesChanges(tables: readonly StudiedMap[]): DescriptorChange[] {
  const [first, ...later] = tables.filter(({ map }) => map.state === "read");
  if (first === undefined) return [];
  return later.flatMap((table) => {
    const [old, now] = [byStart(first), byStart(table)];
    const starts = [...new Set([...old.keys(), ...now.keys()])].sort((a, b) => (a < b ? -1 : 1));
    return starts.flatMap((start) => {
      const [before, after] = [old.get(start), now.get(start)];
      return isSame(before, after) ? [] : [{ from: first.point, to: table.point, before, after }];
    });
  });
}

function byStart(table: StudiedMap): ReadonlyMap<bigint, MemoryDescriptor> {
  return new Map(descriptorsOf(table).map((each) => [each.physicalStart, each]));
}

function isSame(a: MemoryDescriptor | undefined, b: MemoryDescriptor | undefined): boolean {
  return a?.type === b?.type && a?.pages === b?.pages && a?.attribute === b?.attribute;
}
