/**
 * The EFI_MEMORY_TYPE of ranges of physical memory, by the memory map that ExitBootServices was called with.
 */

import { firstSegmentAfter, type MemorySegment, memorySegments } from "../efi/memory-map.ts";
import type { StudiedMap } from "./study.ts";

export class MemoryTypes {
  /** Ascending, neighbours of one type joined, no two touching the same memory. */
  readonly #segments: readonly MemorySegment[];

  constructor(map: StudiedMap | undefined) {
    this.#segments = map?.map.state === "read" ? memorySegments(map.map.descriptors) : [];
  }

  /** The type of all memory from `start` on; `several` where there is more than one, or one in a part only; null when it is not known. */
  of(start: bigint, size: bigint): string | null {
    const first = this.#segments[firstSegmentAfter(this.#segments, start)];
    if (first === undefined || first.start >= start + size) return null;
    return first.start <= start && first.end >= start + size ? first.type : "several";
  }
}
