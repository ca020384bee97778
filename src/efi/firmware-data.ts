/**
 * Where the DXE core keeps what GetMemoryMap tells, found in its data without symbols.
 *
 * Source: edk2, MdeModulePkg/Core/Dxe: Mem/Imem.h (MEMORY_MAP, signature `mmap`; head gMemoryMap), Gcd/Gcd.h (EFI_GCD_MAP_ENTRY, signature
 * `gcdm`; head mGcdMemorySpaceMap), Mem/Page.c (mMemoryTypeStatistics: for each EFI_MEMORY_TYPE {BaseAddress, MaximumAddress, CurrentNumberOfPages,
 * NumberOfPages, InformationIndex, Special, Runtime}, 48 bytes each). All three are initialised variables, so they stand in the
 * first pages of .data. Heads are recognised by what their first entry is and points back at; the statistics by their flags, which no
 * other data has 48 bytes apart. More than one list has entries with each signature (free entries, I/O space): firmware-map.ts
 * tells them apart by what they say.
 */
import { Structure } from "./bytes.ts";
import { entryOf, isHead, type ListHead, type PageReader } from "./firmware-list.ts";
import type { ImageDetails } from "./images.ts";

/** Where the variables stand, from the base of the DXE core's image. */
export interface FirmwareOffsets {
  readonly gMemoryMap: number;
  readonly mGcdMemorySpaceMap: number;
  readonly mMemoryTypeStatistics: number;
}

/** `mmap` and `gcdm`, as UINTN. */
export const MEMORY_MAP_SIGNATURE = 0x70616d6dn;
export const GCD_MAP_SIGNATURE = 0x6d646367n;

/** A range that the firmware keeps for one type, so that the map looks the same at the next boot. */
export interface MemoryBin {
  readonly type: number;
  readonly start: bigint;
  /** Its last byte. */
  readonly last: bigint;
}

export interface TypeStatistics {
  readonly address: bigint;
  /** Bins of the types with Special set: what is free in them is told as theirs. */
  readonly bins: readonly MemoryBin[];
}

export interface FirmwareData {
  readonly memoryMaps: readonly ListHead[];
  readonly memorySpaces: readonly ListHead[];
  /** Undefined when it was not found, or cannot be trusted. */
  readonly statistics: TypeStatistics | undefined;
  /** Places in its data, and such that it points at, that could not be read. */
  readonly unread: number;
}

/** Bytes of data that are searched. */
const SEARCHED = 64 << 10;
const PAGE = 4096;
const MAX_CANDIDATES = 1024;
const MAX_HEADS = 8;
const HEAD_SIZE = 16;
/** Signature and links of an entry. */
const FIRST_SIZE = 24;
const WRITABLE = 0x8000_0000;

/** Searches the first 64 KiB of the writable sections. Two batches. */
export async function searchData(pages: PageReader, core: ImageDetails): Promise<FirmwareData> {
  const spans = dataSpans(core);
  await pages.fetch(spans);
  const read = spans.map(({ address, length }) => ({ address, bytes: pages.at(address, length) }));
  const blocks = joined(read);
  const candidates = blocks.flatMap(candidatesIn).slice(0, MAX_CANDIDATES);
  const firsts = candidates.map(({ forward }) => ({ address: entryOf(forward), length: FIRST_SIZE }));
  await pages.fetch(firsts);
  const statistics = blocks.flatMap(({ address, bytes }) => statisticsIn(address, bytes));
  return {
    memoryMaps: headsOf(pages, candidates, MEMORY_MAP_SIGNATURE),
    memorySpaces: headsOf(pages, candidates, GCD_MAP_SIGNATURE),
    statistics: statistics.length === 1 ? statistics[0] : undefined,
    unread: [...spans, ...firsts].filter((span) => isUnread(pages, span)).length,
  };
}

/** Reads the variables where a fingerprint says that they are. One batch. */
export async function readKnownData(
  pages: PageReader,
  core: ImageDetails,
  offsets: FirmwareOffsets,
): Promise<FirmwareData> {
  const at = (offset: number): bigint => core.base + BigInt(offset);
  const statistics = { address: at(offsets.mMemoryTypeStatistics), length: STATISTICS_SIZE };
  const heads = [at(offsets.gMemoryMap), at(offsets.mGcdMemorySpaceMap)];
  await pages.fetch([statistics, ...heads.map((address) => ({ address, length: HEAD_SIZE }))]);
  const [memoryMaps = [], memorySpaces = []] = heads.map((address) => {
    const bytes = pages.at(address, HEAD_SIZE);
    return bytes === undefined ? [] : [headAt(bytes, 0, address)].filter(isHead);
  });
  const bytes = pages.at(statistics.address, STATISTICS_SIZE);
  return {
    ...{ memoryMaps, memorySpaces },
    statistics: bytes === undefined ? undefined : statisticsIn(statistics.address, bytes)[0],
    unread: heads.filter((address) => isUnread(pages, { address, length: HEAD_SIZE })).length,
  };
}

interface Span {
  readonly address: bigint;
  readonly length: number;
}

/** Not when there is no memory: then nothing is lost. */
function isUnread(pages: PageReader, { address, length }: Span): boolean {
  return pages.at(address, length) === undefined && !pages.isAbsent(address, length);
}

interface Block {
  readonly address: bigint;
  readonly bytes: Structure;
}

/** Page by page, so that one that cannot be read does not cost the others. */
function dataSpans({ base, size, sections }: ImageDetails): Span[] {
  const spans: Span[] = [];
  const image = Number(size);
  for (const section of sections) {
    if ((section.characteristics & WRITABLE) === 0) continue;
    const end = Math.min(section.offset + section.size, image);
    // Variables are aligned to 8 bytes, whatever a header says of its section.
    for (let at = Math.ceil(section.offset / 8) * 8; at < end && spans.length < SEARCHED / PAGE; at += PAGE) {
      spans.push({ address: base + BigInt(at), length: Math.min(PAGE, end - at) });
    }
  }
  return spans;
}

/** Spans that follow each other as one block; what could not be read parts them. */
function joined(spans: readonly { readonly address: bigint; readonly bytes: Structure | undefined }[]): Block[] {
  const runs: { address: bigint; parts: Uint8Array[]; end: bigint }[] = [];
  for (const { address, bytes } of spans) {
    if (bytes === undefined) continue;
    const last = runs.at(-1);
    const run = last?.end === address ? last : { address, parts: [], end: address };
    if (run !== last) runs.push(run);
    run.parts.push(bytes.bytes);
    run.end += BigInt(bytes.length);
  }
  return runs.map(({ address, parts }) => ({ address, bytes: new Structure(Buffer.concat(parts)) }));
}

function candidatesIn({ address, bytes }: Block): ListHead[] {
  const found: ListHead[] = [];
  // LIST_ENTRY is aligned to 8 bytes, and so are sections.
  for (let at = 0; bytes.has(at, HEAD_SIZE) && found.length < MAX_CANDIDATES; at += 8) {
    const head = headAt(bytes, at, address + BigInt(at));
    if (isHead(head)) found.push(head);
  }
  return found;
}

function headAt(bytes: Structure, at: number, address: bigint): ListHead {
  return { address, forward: bytes.u64(at), back: bytes.u64(at + 8) };
}

/** Candidates whose first entry has the signature and points back at them. */
function headsOf(pages: PageReader, candidates: readonly ListHead[], signature: bigint): ListHead[] {
  const heads = candidates.filter((head) => {
    const first = pages.at(entryOf(head.forward), FIRST_SIZE);
    return first?.u64(0) === signature && first.u64(16) === head.address;
  });
  return heads.slice(0, MAX_HEADS);
}

/** Special and Runtime of the types from EfiReservedMemoryType to EfiPersistentMemory, as bytes of a word. */
const FLAGS = [1, 0, 0, 0, 0, 0x101, 0x101, 0, 0, 1, 1, 0, 0, 0x101, 0].map(BigInt);
const STATISTICS_STEP = 48;
const STATISTICS_SIZE = FLAGS.length * STATISTICS_STEP;

function statisticsIn(address: bigint, bytes: Structure): TypeStatistics[] {
  const found: TypeStatistics[] = [];
  for (let at = 0; bytes.has(at, STATISTICS_SIZE); at += 8) {
    if (!FLAGS.every((flags, i) => bytes.u64(at + i * STATISTICS_STEP + 40) === flags)) continue;
    const bins = binsAt(bytes, at);
    if (bins !== undefined) found.push({ address: address + BigInt(at), bins });
  }
  return found;
}

/** Bins of types that are special; undefined when one is not the size that it is said to have. */
function binsAt(bytes: Structure, start: number): MemoryBin[] | undefined {
  const bins: MemoryBin[] = [];
  for (const [type, flags] of FLAGS.entries()) {
    const at = start + type * STATISTICS_STEP;
    const [first, last, pages] = [bytes.u64(at), bytes.u64(at + 8), bytes.u64(at + 24)];
    if (pages === 0n) continue;
    if (first % BigInt(PAGE) !== 0n || last + 1n - first !== pages * BigInt(PAGE)) return undefined;
    if ((flags & 1n) === 1n) bins.push({ type, start: first, last });
  }
  return bins;
}
