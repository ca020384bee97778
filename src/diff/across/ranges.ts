/** Ranges of pages: which RAM is of which type, and what is left when images are taken out. Units: pages of 4 KiB. */
import type { ImageDetails } from "../../efi/images.ts";
import { type MemoryDescriptor, memorySegments } from "../../efi/memory-map.ts";
import type { Point } from "../../snapshot/model.ts";

/** `end` is not included. */
export interface PageRange {
  readonly start: number;
  readonly end: number;
}

export interface TypedRange extends PageRange {
  /** EFI_MEMORY_TYPE, or `RAM` where no map tells. */
  readonly type: string;
}

export function pageRange(start: bigint, size: bigint): PageRange {
  return { start: Number(start >> 12n), end: Number((start + size + 0xfffn) >> 12n) };
}

export function imageRanges(images: readonly ImageDetails[]): PageRange[] {
  return images.map(({ base, size }) => pageRange(base, size));
}

/** Ascending, without overlaps. */
export function union(ranges: readonly PageRange[]): PageRange[] {
  const joined: PageRange[] = [];
  for (const range of ranges.toSorted((a, b) => a.start - b.start)) {
    const last = joined.at(-1);
    if (last !== undefined && range.start <= last.end) {
      joined[joined.length - 1] = { start: last.start, end: Math.max(last.end, range.end) };
    } else if (range.end > range.start) joined.push(range);
  }
  return joined;
}

/** What of a range lies in none of `holes`, which are a union. */
export function without<R extends PageRange>(range: R, holes: readonly PageRange[]): R[] {
  const rest: R[] = [];
  let at = range.start;
  for (let i = firstAfter(holes, at); i < holes.length; i++) {
    const hole = holes[i] as PageRange;
    if (hole.start >= range.end) break;
    if (hole.start > at) rest.push({ ...range, start: at, end: hole.start });
    at = hole.end;
  }
  if (at < range.end) rest.push({ ...range, start: at });
  return rest;
}

/** The index of the first of ascending ranges that ends behind a page. */
export function firstAfter(ranges: readonly PageRange[], page: number): number {
  let [low, high] = [0, ranges.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ranges[middle] as PageRange).end > page) high = middle;
    else low = middle + 1;
  }
  return low;
}

export function ramRanges({ memoryRanges }: Point): PageRange[] {
  return union(memoryRanges.filter(({ kind }) => kind === "ram").map(({ start, size }) => pageRange(start, size)));
}

/** The RAM of a machine by type, ascending; all of it is `RAM` without a map. */
export function typedRam(point: Point, descriptors: readonly MemoryDescriptor[] | undefined): TypedRange[] {
  const types = memorySegments(descriptors ?? []).map(({ start, end, type }) => ({
    ...pageRange(start, end - start),
    type,
  }));
  const other = descriptors === undefined ? "RAM" : NOT_IN_MAP;
  return ramRanges(point).flatMap((ram) => {
    const told = types.flatMap((each) => {
      const [start, end] = [Math.max(each.start, ram.start), Math.min(each.end, ram.end)];
      return start < end ? [{ ...each, start, end }] : [];
    });
    const rest = without({ ...ram, type: other }, union(types));
    return [...told, ...rest].sort((a, b) => a.start - b.start);
  });
}

export const NOT_IN_MAP = "RAM that UEFI's memory map does not have";
