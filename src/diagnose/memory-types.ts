/**
 * The EFI_MEMORY_TYPE of ranges of physical memory, by the memory map that ExitBootServices was called with.
 *
 * Guest data: descriptors may overlap. What begins first has the memory then; a sound map has no overlaps.
 */

import { descriptorEnd, type MemoryDescriptor } from "../efi/memory-map.ts";
import type { StudiedMap } from "./study.ts";

interface Segment {
  readonly start: bigint;
  readonly end: bigint;
  readonly type: string;
}

export class MemoryTypes {
  /** Ascending, neighbours of one type joined, no two touching the same memory. */
  readonly #segments: readonly Segment[];

  constructor(map: StudiedMap | undefined) {
    this.#segments = map?.map.state === "read" ? segmentsOf(map.map.descriptors) : [];
  }

  /** The type of all memory from `start` on; `several` where there is more than one, or one in a part only; null when it is not known. */
  of(start: bigint, size: bigint): string | null {
    const first = this.#segments[this.#after(start)];
    if (first === undefined || first.start >= start + size) return null;
    return first.start <= start && first.end >= start + size ? first.type : "several";
  }

  /** The index of the first segment that ends behind an address. */
  #after(address: bigint): number {
    let [low, high] = [0, this.#segments.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#segments[middle] as Segment).end > address) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function segmentsOf(descriptors: readonly MemoryDescriptor[]): Segment[] {
  const ascending = descriptors.toSorted((a, b) => (a.physicalStart < b.physicalStart ? -1 : 1));
  const segments: Segment[] = [];
  for (const descriptor of ascending) {
    const last = segments.at(-1);
    const end = descriptorEnd(descriptor);
    const start = last !== undefined && last.end > descriptor.physicalStart ? last.end : descriptor.physicalStart;
    if (end <= start) continue;
    const { typeName: type } = descriptor;
    if (last?.end === start && last.type === type) segments[segments.length - 1] = { start: last.start, end, type };
    else segments.push({ start, end, type });
  }
  return segments;
}
