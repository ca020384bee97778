/**
 * Terse executables: PE images whose headers were cut down, as PEI modules have them.
 *
 * Source: PI specification 1.8, volume 1, "TE Image": EFI_TE_IMAGE_HEADER of 40 bytes {Signature `VZ`, Machine, NumberOfSections,
 * Subsystem, StrippedSize, AddressOfEntryPoint, BaseOfCode, ImageBase, DataDirectory[2]: relocations, debug}, section headers behind it.
 * All RVAs count from where the PE image would begin: StrippedSize bytes were cut off and 40 put in their place. So the header lies
 * StrippedSize - 40 bytes into the image, and not on a page boundary.
 */
import { Structure } from "./bytes.ts";
import { debugPart, MACHINE_AARCH64, type PeHeader } from "./pe.ts";
import { type PeSection, parseSections } from "./sections.ts";

export const TE_HEADER_SIZE = 40;
/** `VZ` */
const SIGNATURE = 0x5a56;
/** Their fields are 64 bits wide at most; AAVMF's stand on multiples of 8. Half of that is allowed for. */
const ALIGNMENT = 4;
const PAGE = 4096;

/** Where TE headers could stand in a page: offsets of the signature of an AArch64 image. */
function teHeaderOffsets(page: Structure): number[] {
  const offsets: number[] = [];
  for (let at = 0; page.has(at, TE_HEADER_SIZE); at += ALIGNMENT) {
    if (page.u16(at) === SIGNATURE && page.u16(at + 2) === MACHINE_AARCH64) offsets.push(at);
  }
  return offsets;
}

export interface TeHeader extends PeHeader {
  /** How far into the image the header lies. */
  readonly headerOffset: number;
}

/** Parses the bytes from `VZ` on; undefined when they are no TE header. Its sections tell its size. */
export function parseTeHeader(bytes: Structure): TeHeader | undefined {
  if (!bytes.has(0, TE_HEADER_SIZE) || bytes.u16(0) !== SIGNATURE) return undefined;
  const headerOffset = bytes.u16(6) - TE_HEADER_SIZE;
  const sections = parseSections(bytes, TE_HEADER_SIZE, bytes.bytes[4] as number);
  if (sections.length === 0) return undefined;
  return {
    headerOffset,
    machine: bytes.u16(2),
    subsystem: bytes.bytes[5] as number,
    entryPoint: bytes.u32(8),
    linkBase: bytes.u64(16),
    sizeOfImage: endOf(sections),
    sizeOfHeaders: headerOffset + TE_HEADER_SIZE + sections.length * 40,
    sections,
    debugDirectory: debugPart(bytes.u32(32), bytes.u32(36)),
  };
}

function endOf(sections: readonly PeSection[]): number {
  return sections.reduce((end, { offset, size }) => Math.max(end, offset + size), 0);
}

/** The TE header in the first page of an image, when it says that the image begins where the page does. */
export function findTeHeader(page: Structure): TeHeader | undefined {
  for (const at of teHeaderOffsets(page)) {
    // A page may hold a thousand of these signatures: only one that can be right is looked into.
    if (page.u16(at + 6) - TE_HEADER_SIZE !== at) continue;
    const header = parseTeHeader(new Structure(page.bytes.subarray(at, PAGE)));
    if (header?.headerOffset === at) return header;
  }
  return undefined;
}
