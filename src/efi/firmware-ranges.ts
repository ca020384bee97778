/**
 * What the entries of the DXE core's lists say, and whether they are those of the memory map (gMemoryMap) and of the GCD map
 * (mGcdMemorySpaceMap): see firmware-map.ts for the layouts.
 */
import type { Structure } from "./bytes.ts";
import type { ListEntry } from "./firmware-list.ts";
import type { ImageDetails } from "./images.ts";

export const PAGE = 4096n;

interface Range {
  readonly start: bigint;
  /** Its last byte. */
  readonly last: bigint;
  readonly attribute: bigint;
}

export interface MapRange extends Range {
  /** EFI_MEMORY_TYPE. */
  readonly type: number;
}

export interface SpaceRange extends Range {
  /** EFI_GCD_MEMORY_TYPE. */
  readonly space: number;
  readonly capabilities: bigint;
}

export const EFI_CONVENTIONAL_MEMORY = 7;

/** The ranges of gMemoryMap, ascending; undefined when the list is another one. */
export function memoryMapOf(entries: readonly ListEntry[], core: ImageDetails): readonly MapRange[] | undefined {
  const ranges = entries.map(({ bytes }) => mapRange(bytes)).sort((a, b) => compare(a.start, b.start));
  if (!ranges.every(isWhole) || ranges.some(({ start }, i) => i > 0 && start <= (ranges[i - 1] as Range).last)) {
    return undefined;
  }
  const used = ranges.filter(({ type }) => type !== EFI_CONVENTIONAL_MEMORY);
  const own = [{ start: core.base, last: core.base + core.size - 1n }];
  for (const { address, bytes } of entries) own.push({ start: address, last: address + BigInt(bytes.length) - 1n });
  return own.every(({ start, last }) => covers(used, start, last)) ? ranges : undefined;
}

function mapRange(bytes: Structure): MapRange {
  return { type: bytes.u32(28), start: bytes.u64(32), last: bytes.u64(40), attribute: bytes.u64(56) };
}

/** Whether it begins and ends between pages. */
export function isWhole({ start, last }: Range): boolean {
  return start < last && start % PAGE === 0n && (last + 1n) % PAGE === 0n;
}

/** Whether ascending ranges hold every byte from `start` to `last`. */
function covers(ranges: readonly Range[], start: bigint, last: bigint): boolean {
  let next = start;
  for (let i = firstUpTo(ranges, start); i < ranges.length && next <= last; i++) {
    const range = ranges[i] as Range;
    if (range.start > next || range.last < next) return false;
    next = range.last + 1n;
  }
  return next > last;
}

/** The index of the last range that starts at or before an address; 0 when there is none. */
function firstUpTo(ranges: readonly Range[], address: bigint): number {
  let [low, high] = [0, ranges.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((ranges[middle] as Range).start <= address) low = middle;
    else high = middle;
  }
  return low;
}

export function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : Number(a > b);
}

/** EFI_GCD_MEMORY_TYPE (PI specification 1.8, volume 2, 7.2.4). */
export const SPACE = { reserved: 1, system: 2, mmio: 3, persistent: 4, moreReliable: 5, unaccepted: 6 } as const;

/** The ranges of mGcdMemorySpaceMap: they part the whole address space, and the DXE core lies in system memory. */
export function memorySpaceOf(entries: readonly ListEntry[], core: ImageDetails): readonly SpaceRange[] | undefined {
  const ranges = entries.map(({ bytes }) => spaceRange(bytes));
  const parts = ranges.every(({ start, last }, i) => start <= last && start === (ranges[i - 1]?.last ?? -1n) + 1n);
  const home = ranges.find(({ start, last }) => core.base >= start && core.base <= last)?.space;
  return parts && (home === SPACE.system || home === SPACE.moreReliable) ? ranges : undefined;
}

function spaceRange(bytes: Structure): SpaceRange {
  return {
    ...{ start: bytes.u64(24), last: bytes.u64(32), capabilities: bytes.u64(40), attribute: bytes.u64(48) },
    space: bytes.u32(56),
  };
}
