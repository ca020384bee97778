/**
 * UEFI's memory map and its memory attributes table.
 *
 * Source: UEFI specification 2.10, 7.2.3 EFI_BOOT_SERVICES.GetMemoryMap(): descriptors {Type (32 bits), PhysicalStart at 8, VirtualStart at
 * 16, NumberOfPages at 24, Attribute at 32}, DescriptorSize bytes apart, which is at least 40 and may grow (edk2 uses 48); pages of 4 KiB.
 * 4.6.4 EFI_MEMORY_ATTRIBUTES_TABLE: {Version, NumberOfEntries, DescriptorSize, Flags} of 32 bits each, then descriptors.
 *
 * Guest data: at most 4,096 descriptors. What is odd in a map (overlaps, ranges past the end of the address space) is told beside it.
 */
import type { PhysMemory } from "../base/memory.ts";
import type { Structure } from "./bytes.ts";
import { readStructure } from "./memory.ts";
import { memoryTypeName } from "./structures.ts";

export interface MemoryDescriptor {
  /** EFI_MEMORY_TYPE. */
  readonly type: number;
  readonly typeName: string;
  readonly physicalStart: bigint;
  /** Where the OS wants it after SetVirtualAddressMap; 0 before. */
  readonly virtualStart: bigint;
  /** Of 4 KiB. */
  readonly pages: bigint;
  readonly attribute: bigint;
  /** The bits of `attribute` in words: `WB`, `XP`, `RUNTIME`; those without a name as one hexadecimal number at the end. */
  readonly attributes: readonly string[];
}

/** Where a caller of GetMemoryMap had the map written, and what the call returned beside it. */
export interface MemoryMapPlace {
  readonly address: bigint;
  /** In bytes, as returned in MemoryMapSize. */
  readonly size: bigint;
  readonly descriptorSize: bigint;
  readonly descriptorVersion: number;
}

export type MemoryMapRead =
  | {
      readonly state: "read";
      readonly descriptors: readonly MemoryDescriptor[];
      /** Whether the descriptors ascend. Nothing says that they must. */
      readonly sorted: boolean;
      /** What is wrong with the map, one sentence each; empty for a sound one. */
      readonly problems: readonly string[];
    }
  /** The place cannot be one of a memory map. */
  | { readonly state: "invalid"; readonly why: string }
  | { readonly state: "unreadable"; readonly why: string };

const DESCRIPTOR_SIZE = 40n;
const MAX_DESCRIPTOR_SIZE = 256n;
const MAX_DESCRIPTORS = 4096n;
const VERSION = 1;
const TOP = 1n << 64n;

/** Reads and checks a memory map, in one read. */
export async function readMemoryMap(memory: PhysMemory, place: MemoryMapPlace): Promise<MemoryMapRead> {
  const why = whyNoMap(place);
  if (why !== undefined) return { state: "invalid", why };
  const bytes = await readStructure(memory, place.address, Number(place.size));
  if (bytes === undefined) return { state: "unreadable", why: "the memory map could not be read whole" };
  const descriptors = parseDescriptors(bytes, Number(place.descriptorSize));
  const versions = place.descriptorVersion === VERSION ? [] : [`the descriptor version is ${place.descriptorVersion}`];
  return judged(descriptors, versions);
}

function whyNoMap({ address, size, descriptorSize }: MemoryMapPlace): string | undefined {
  if (descriptorSize < DESCRIPTOR_SIZE || descriptorSize > MAX_DESCRIPTOR_SIZE || descriptorSize % 8n !== 0n) {
    return `a descriptor has ${descriptorSize} bytes`;
  }
  if (size <= 0n || size % descriptorSize !== 0n) return `${size} bytes are no whole descriptors of ${descriptorSize}`;
  if (size / descriptorSize > MAX_DESCRIPTORS) return `${size / descriptorSize} descriptors are more than can be`;
  return address === 0n || address + size > TOP ? "its address is none" : undefined;
}

function parseDescriptors(bytes: Structure, step: number): MemoryDescriptor[] {
  return Array.from({ length: Math.floor(bytes.length / step) }, (_, i) => {
    const at = i * step;
    const [type, attribute] = [bytes.u32(at), bytes.u64(at + 32)];
    return {
      type,
      typeName: memoryTypeName(type),
      physicalStart: bytes.u64(at + 8),
      virtualStart: bytes.u64(at + 16),
      pages: bytes.u64(at + 24),
      attribute,
      attributes: attributeWords(attribute),
    };
  });
}

/** EFI_MEMORY_* (7.2.3). */
const ATTRIBUTES: readonly (readonly [bit: bigint, name: string])[] = [
  [0x1n, "UC"],
  [0x2n, "WC"],
  [0x4n, "WT"],
  [0x8n, "WB"],
  [0x10n, "UCE"],
  [0x1000n, "WP"],
  [0x2000n, "RP"],
  [0x4000n, "XP"],
  [0x8000n, "NV"],
  [0x1_0000n, "MORE_RELIABLE"],
  [0x2_0000n, "RO"],
  [0x4_0000n, "SP"],
  [0x8_0000n, "CPU_CRYPTO"],
  [1n << 62n, "ISA_VALID"],
  [1n << 63n, "RUNTIME"],
];
const NAMED_BITS = ATTRIBUTES.reduce((bits, [bit]) => bits | bit, 0n);

/** The bits of a descriptor's Attribute in words. */
export function attributeWords(attribute: bigint): string[] {
  const words = ATTRIBUTES.filter(([bit]) => (attribute & bit) !== 0n).map(([, name]) => name);
  const rest = attribute & ~NAMED_BITS;
  return rest === 0n ? words : [...words, `0x${rest.toString(16)}`];
}

function judged(descriptors: readonly MemoryDescriptor[], problems: readonly string[]): MemoryMapRead {
  const sorted = descriptors.every((each, i) => i === 0 || start(descriptors[i - 1]) <= each.physicalStart);
  return {
    state: "read",
    descriptors,
    sorted,
    problems: [...problems, ...rangeProblems(descriptors), ...overlaps(descriptors)],
  };
}

function start(descriptor: MemoryDescriptor | undefined): bigint {
  return descriptor?.physicalStart ?? 0n;
}

/** Past the last byte of a descriptor's memory. May lie past the end of the address space in a damaged map. */
export function descriptorEnd({ physicalStart, pages }: MemoryDescriptor): bigint {
  return physicalStart + pages * 4096n;
}

const KINDS_OF_DAMAGE: readonly (readonly [is: (each: MemoryDescriptor) => boolean, text: string])[] = [
  [({ physicalStart }) => physicalStart % 4096n !== 0n, "begins inside a page"],
  [({ pages }) => pages === 0n, "has no pages"],
  [(each) => descriptorEnd(each) > TOP, "ends past the end of the address space"],
];

/** One sentence a kind of damage, with the first place. */
function rangeProblems(descriptors: readonly MemoryDescriptor[]): string[] {
  return KINDS_OF_DAMAGE.flatMap(([is, text]) => {
    const damaged = descriptors.filter(is);
    const at = `0x${start(damaged[0]).toString(16)}`;
    return damaged.length === 0 ? [] : [`the range at ${at} ${text}${others(damaged.length)}`];
  });
}

function overlaps(descriptors: readonly MemoryDescriptor[]): string[] {
  const ascending = descriptors.toSorted((a, b) => compare(a.physicalStart, b.physicalStart));
  const found: string[] = [];
  let [end, owner] = [0n, 0n];
  for (const each of ascending) {
    const { physicalStart } = each;
    if (physicalStart < end)
      found.push(`the ranges at 0x${owner.toString(16)} and 0x${physicalStart.toString(16)} overlap`);
    if (descriptorEnd(each) > end) [end, owner] = [descriptorEnd(each), physicalStart];
  }
  return found.length === 0 ? [] : [`${found[0]}${others(found.length)}`];
}

function others(count: number): string {
  return count === 1 ? "" : `, and ${count - 1} more`;
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : Number(a > b);
}

/** The descriptor whose memory holds an address: the first, where they overlap. */
export function descriptorAt(descriptors: readonly MemoryDescriptor[], address: bigint): MemoryDescriptor | undefined {
  return descriptors.find((each) => address >= each.physicalStart && address < descriptorEnd(each));
}

/** Memory of one type: from `start` to `end`, which is not included. */
export interface MemorySegment {
  readonly start: bigint;
  readonly end: bigint;
  readonly type: string;
}

/**
 * The memory that descriptors tell of: ascending, neighbours of one type joined, no two touching the same memory. Guest data: descriptors
 * may overlap. What begins first has the memory then; a sound map has no overlaps.
 */
export function memorySegments(descriptors: readonly MemoryDescriptor[]): MemorySegment[] {
  const ascending = descriptors.toSorted((a, b) => compare(a.physicalStart, b.physicalStart));
  const segments: MemorySegment[] = [];
  for (const descriptor of ascending) {
    const last = segments.at(-1);
    const end = descriptorEnd(descriptor);
    const from = last !== undefined && last.end > descriptor.physicalStart ? last.end : descriptor.physicalStart;
    if (end <= from) continue;
    const { typeName: type } = descriptor;
    if (last?.end === from && last.type === type) segments[segments.length - 1] = { start: last.start, end, type };
    else segments.push({ start: from, end, type });
  }
  return segments;
}

/** The index of the first of ascending segments that ends behind an address. */
export function firstSegmentAfter(segments: readonly MemorySegment[], address: bigint): number {
  let [low, high] = [0, segments.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((segments[middle] as MemorySegment).end > address) high = middle;
    else low = middle + 1;
  }
  return low;
}

const ATTRIBUTES_HEADER_SIZE = 16;

/** Reads the memory attributes table: its descriptors say how parts of runtime images may be mapped (RO, XP). Two reads. */
export async function readMemoryAttributes(memory: PhysMemory, address: bigint): Promise<MemoryMapRead> {
  const header = await readStructure(memory, address, ATTRIBUTES_HEADER_SIZE);
  if (header === undefined) return { state: "unreadable", why: "the memory attributes table could not be read" };
  const [version, count, descriptorSize] = [header.u32(0), header.u32(4), BigInt(header.u32(8))];
  if (version !== 1 && version !== 2) return { state: "invalid", why: `the table's version is ${version}` };
  const place = {
    address: address + BigInt(ATTRIBUTES_HEADER_SIZE),
    size: BigInt(count) * descriptorSize,
    descriptorSize,
  };
  return count === 0
    ? { state: "read", descriptors: [], sorted: true, problems: [] }
    : readMemoryMap(memory, { ...place, descriptorVersion: VERSION });
}
