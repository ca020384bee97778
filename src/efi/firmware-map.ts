/**
 * The memory map out of the firmware's own lists: what GetMemoryMap would tell now, without anybody calling it.
 *
 * Source: edk2, MdeModulePkg/Core/Dxe. Mem/Imem.h: MEMORY_MAP {Signature, Link, FromPages (8 bits at 24), Type (32 bits at 28), Start at 32, End
 * (last byte) at 40, VirtualStart at 48, Attribute at 56}. Gcd/Gcd.h: EFI_GCD_MAP_ENTRY {Signature, Link, BaseAddress at 24, EndAddress at
 * 32, Capabilities at 40, Attributes at 48, GcdMemoryType (32 bits) at 56}. Mem/Page.c, CoreGetMemoryMap: how a map is made of them.
 *
 * The list alone is not the map that a caller gets. Free memory in a bin (firmware-data.ts) is told as memory of the bin's type; runtime types
 * get EFI_MEMORY_RUNTIME; reserved, unaccepted, persistent and runtime MMIO ranges come from the GCD map; RP, XP and RO are left
 * out, as they would be capabilities only; neighbours that are equal are merged. All of that is done here too. A caller's map is in the order of
 * the list, with the GCD ranges at its end; here it ascends. What is not followed: a GetMemoryMap that was put in the place of
 * this one. edk2 of old did so with its properties table (PcdPropertiesTableEnable), to split runtime code by the sections of images.
 *
 * Which list is the memory map is decided by what must hold of it: whole, no range odd or twice, the DXE core's image and the list's own
 * entries in memory that it says is used. Free entries hang in a list of the same kind, which cannot say that. Two that can are none.
 */
import type { PhysMemory } from "../base/memory.ts";
import { dxeCoreOf, identifyFirmware } from "./firmware.ts";
import {
  type FirmwareData,
  type FirmwareOffsets,
  GCD_MAP_SIGNATURE,
  MEMORY_MAP_SIGNATURE,
  readKnownData,
  searchData,
  type TypeStatistics,
} from "./firmware-data.ts";
import { type EntryLayout, type ListEntry, type ListHead, PageReader, readList } from "./firmware-list.ts";
import {
  compare,
  EFI_CONVENTIONAL_MEMORY,
  isWhole,
  type MapRange,
  memoryMapOf,
  memorySpaceOf,
  PAGE,
  SPACE,
  type SpaceRange,
} from "./firmware-ranges.ts";
import type { ImageDetails } from "./images.ts";
import { attributeWords, type MemoryDescriptor, type MemoryMapRead } from "./memory-map.ts";
import { memoryTypeName } from "./structures.ts";

const MAP_ENTRY: EntryLayout = { signature: MEMORY_MAP_SIGNATURE, size: 64 };
const SPACE_ENTRY: EntryLayout = { signature: GCD_MAP_SIGNATURE, size: 64 };

/** What was found of the firmware's memory map, and where: what a fingerprint is made of. */
export interface FirmwareMap {
  readonly map: MemoryMapRead;
  /** Where its variables stand; undefined for those that were not found. */
  readonly offsets: Partial<FirmwareOffsets>;
}

/**
 * Reads the memory map of an edk2 firmware from its own lists: as GetMemoryMap would tell it, ascending. `images` are those of
 * readLoadedImages. Works from boot services until an operating system reuses the memory. With a fingerprint of the firmware some
 * ten pages are read, each in a batch of its own but the first; without one, 64 KiB of the DXE core's data and what it points at come
 * first. At most 2 MiB are read.
 *
 * `invalid`: no such list is there, or not at this moment. `unreadable`: it may be there. What the map lacks stands in `problems`.
 */
export async function readFirmwareMemoryMap(
  memory: PhysMemory,
  images: readonly ImageDetails[],
): Promise<MemoryMapRead> {
  const pages = new PageReader(memory);
  const known = identifyFirmware(images)?.offsets;
  const read = known === undefined ? undefined : await findIn(pages, images, known);
  return read?.map.state === "read" ? read.map : (await findIn(pages, images)).map;
}

/** The same, telling where the variables are. `known` offsets are all that is looked at when they are given. */
export function findFirmwareMap(
  memory: PhysMemory,
  images: readonly ImageDetails[],
  known?: FirmwareOffsets,
): Promise<FirmwareMap> {
  return findIn(new PageReader(memory), images, known);
}

async function findIn(
  pages: PageReader,
  images: readonly ImageDetails[],
  known?: FirmwareOffsets,
): Promise<FirmwareMap> {
  const core = dxeCoreOf(images);
  if (core === undefined) return { map: invalid("the firmware lists no DXE core of edk2"), offsets: {} };
  const data = await (known === undefined ? searchData(pages, core) : readKnownData(pages, core, known));
  const lists = new Lists(pages, core);
  const map = await lists.only(data.memoryMaps, MAP_ENTRY, memoryMapOf);
  if (map.state !== "found") return { map: missing(map, data), offsets: {} };
  const space = await lists.only(data.memorySpaces, SPACE_ENTRY, memorySpaceOf);
  const offset = (address: bigint): number => Number(address - core.base);
  return {
    map: assemble(map.ranges, space.state === "found" ? space.ranges : undefined, data.statistics),
    offsets: {
      gMemoryMap: offset(map.head),
      ...(space.state === "found" && { mGcdMemorySpaceMap: offset(space.head) }),
      ...(data.statistics && { mMemoryTypeStatistics: offset(data.statistics.address) }),
    },
  };
}

function missing(search: Exclude<ListSearch<unknown>, { state: "found" }>, { unread }: FirmwareData): MemoryMapRead {
  if (search.state === "unreadable") return { state: "unreadable", why: search.why };
  if (search.state === "none" && unread > 0) {
    return {
      state: "unreadable",
      why: `${unread} places of the DXE core's data, or that it points at, could not be read`,
    };
  }
  return invalid(search.why);
}

function invalid(why: string): MemoryMapRead {
  return { state: "invalid", why };
}

type ListSearch<T> =
  | { readonly state: "found"; readonly head: bigint; readonly ranges: readonly T[] }
  | { readonly state: "none" | "unreadable" | "ambiguous"; readonly why: string };

/** Judges whether a whole list is the one that is looked for. */
type Judge<T> = (entries: readonly ListEntry[], core: ImageDetails) => readonly T[] | undefined;

class Lists {
  readonly #pages: PageReader;
  readonly #core: ImageDetails;

  constructor(pages: PageReader, core: ImageDetails) {
    this.#pages = pages;
    this.#core = core;
  }

  /** The one list of a kind that is what it should be. */
  async only<T>(heads: readonly ListHead[], layout: EntryLayout, judge: Judge<T>): Promise<ListSearch<T>> {
    const found: { head: bigint; ranges: readonly T[] }[] = [];
    let [unread, why] = [undefined as string | undefined, "no list of memory ranges is in the DXE core's data"];
    for (const head of heads) {
      const list = await readList(this.#pages, head, layout);
      if (list.state === "unreadable") unread = list.why;
      if (list.state === "broken") why = `the firmware's list of memory ranges is not whole: ${list.why}`;
      const ranges = list.state === "whole" ? judge(list.entries, this.#core) : undefined;
      if (ranges !== undefined) found.push({ head: head.address, ranges });
    }
    const [first, second] = found;
    if (second !== undefined) return { state: "ambiguous", why: "two lists may be the firmware's memory map" };
    if (first !== undefined) return { state: "found", ...first };
    return unread === undefined ? { state: "none", why } : { state: "unreadable", why: unread };
  }
}

/** EfiRuntimeServicesCode, EfiRuntimeServicesData, EfiPalCode: those with Runtime set. */
const RUNTIME_TYPES: ReadonlySet<number> = new Set([5, 6, 13]);
const RUNTIME = 1n << 63n;
const PORT_IO = 1n << 62n;
const NV = 0x8000n;
/** RP, XP, RO. */
const ACCESS = 0x2_6000n;
/** UC, WC, WT, WB, UCE, WP; SP and CPU_CRYPTO. */
const TOLD_CAPABILITIES = 0x101fn | 0xc_0000n;

function assemble(
  map: readonly MapRange[],
  space: readonly SpaceRange[] | undefined,
  statistics: TypeStatistics | undefined,
): MemoryMapRead {
  const told = [...map.map((range) => toldRange(range, statistics)), ...(space ?? []).flatMap(spaceTold)]
    .map((range) => ({ ...range, attribute: range.attribute & ~ACCESS }))
    .sort((a, b) => compare(a.start, b.start));
  const problems = [
    ...(space === undefined ? ["the firmware's reserved and memory-mapped ranges were not found"] : []),
    ...(statistics === undefined ? ["which free memory the firmware keeps for runtime types was not found"] : []),
    ...overlap(told),
  ];
  return { state: "read", descriptors: merged(told).map(descriptor), sorted: true, problems };
}

/** The first place where a GCD range lies over another one. */
function overlap(ranges: readonly MapRange[]): string[] {
  const i = ranges.findIndex(({ start }, at) => at > 0 && start <= (ranges[at - 1] as MapRange).last);
  const [first, second] = [ranges[i - 1], ranges[i]];
  if (first === undefined || second === undefined) return [];
  return [`the ranges at 0x${first.start.toString(16)} and 0x${second.start.toString(16)} overlap`];
}

function toldRange(range: MapRange, statistics: TypeStatistics | undefined): MapRange {
  const bin =
    range.type === EFI_CONVENTIONAL_MEMORY
      ? statistics?.bins.findLast(({ start, last }) => range.start >= start && range.last <= last)
      : undefined;
  const type = bin?.type ?? range.type;
  return { ...range, type, attribute: range.attribute | (RUNTIME_TYPES.has(type) ? RUNTIME : 0n) };
}

/** The ranges of the GCD map that a memory map tells. */
function spaceTold({ start, last, attribute, capabilities, space }: SpaceRange): MapRange[] {
  const told = (type: number, attributes: bigint): MapRange[] => {
    const range = { type, start, last, attribute: attributes | (capabilities & TOLD_CAPABILITIES) };
    return isWhole(range) ? [range] : [];
  };
  switch (space) {
    case SPACE.reserved:
      return told(0, attribute & ~PORT_IO);
    case SPACE.mmio:
      if ((attribute & RUNTIME) === 0n) return [];
      return told((attribute & PORT_IO) === 0n ? 11 : 12, attribute & ~PORT_IO);
    case SPACE.persistent:
      return told(14, attribute | NV);
    case SPACE.unaccepted:
      return told(15, attribute);
    default:
      return [];
  }
}

function merged(ranges: readonly MapRange[]): MapRange[] {
  const runs: MapRange[] = [];
  for (const range of ranges) {
    const before = runs.at(-1);
    const follows =
      before !== undefined &&
      before.last + 1n === range.start &&
      before.type === range.type &&
      before.attribute === range.attribute;
    if (follows) runs[runs.length - 1] = { ...before, last: range.last };
    else runs.push(range);
  }
  return runs;
}

function descriptor({ type, start, last, attribute }: MapRange): MemoryDescriptor {
  return {
    type,
    typeName: memoryTypeName(type),
    physicalStart: start,
    virtualStart: 0n,
    pages: (last + 1n - start) / PAGE,
    attribute,
    attributes: attributeWords(attribute),
  };
}
