/**
 * What ebscope needs of a PE32+ header as it lies in memory.
 *
 * Source: "PE Format" specification (Microsoft): DOS header e_lfanew at 0x3c, COFF header after `PE\0\0`, optional header magic 0x20b
 * with AddressOfEntryPoint at 16, ImageBase at 24, SizeOfImage at 56, SizeOfHeaders at 60, Subsystem at 68, NumberOfRvaAndSizes at 108;
 * data directory 6 (debug). Headers are guest data: every offset is checked, counts are bounded.
 */
import type { Structure } from "./bytes.ts";
import { MAX_SECTIONS, type PeSection, parseSections, SECTION_SIZE } from "./sections.ts";

export type { PeSection } from "./sections.ts";

/** A part of an image: offset from its base and length in bytes. */
export interface ImagePart {
  readonly offset: number;
  readonly size: number;
}

export interface PeHeader {
  readonly machine: number;
  readonly subsystem: number;
  /** Offset from the image base. */
  readonly entryPoint: number;
  /** The address the image was linked to. */
  readonly linkBase: bigint;
  readonly sizeOfImage: number;
  readonly sizeOfHeaders: number;
  readonly sections: readonly PeSection[];
  /** Where the debug directory lies. */
  readonly debugDirectory: ImagePart | undefined;
}

const DEBUG_ENTRY_SIZE = 28;
const MAX_DEBUG_ENTRIES = 16;
const COFF_SIZE = 24;
const DIRECTORIES = 112;

/** Size of the DOS header, which tells where the PE header lies. */
export const DOS_HEADER_SIZE = 64;
/** A PE header with the most sections that are read. */
export const PE_HEADER_SIZE = COFF_SIZE + 240 + MAX_SECTIONS * SECTION_SIZE;
/** One with 16 sections. */
export const SHORT_PE_HEADER_SIZE = COFF_SIZE + 240 + 16 * SECTION_SIZE;

export const MACHINE_AARCH64 = 0xaa64;

const MACHINES: Readonly<Record<number, string>> = {
  [MACHINE_AARCH64]: "AArch64",
  332: "IA32",
  450: "ARM",
  3772: "EFI byte code",
  20580: "RISC-V 64",
  34404: "X64",
};

/** The architecture of an image (IMAGE_FILE_MACHINE_*); `machine 0x…` when it has no name here. */
export function machineName(machine: number): string {
  return MACHINES[machine] ?? `machine 0x${machine.toString(16)}`;
}

const SUBSYSTEMS: Readonly<Record<number, string>> = {
  10: "EFI application",
  11: "EFI boot service driver",
  12: "EFI runtime driver",
  13: "EFI ROM image",
};

/** What kind of image it is (IMAGE_SUBSYSTEM_*); `subsystem N` for one that is none of UEFI's (PE Format; UEFI 2.10, 2.1.1). */
export function imageTypeName(subsystem: number): string {
  return SUBSYSTEMS[subsystem] ?? `subsystem ${subsystem}`;
}

/** Where the PE header lies, from the image base (images aligned to 64 KiB have it far in); undefined without a DOS header. */
export function peHeaderOffset(dos: Structure): number | undefined {
  return dos.has(0, DOS_HEADER_SIZE) && dos.u16(0) === 0x5a4d ? dos.u32(0x3c) : undefined;
}

/** Parses the bytes from `PE\0\0` on; undefined when they are no PE32+ header. */
export function parsePeHeader(header: Structure): PeHeader | undefined {
  const optional = COFF_SIZE;
  if (!header.has(0, optional + DIRECTORIES) || header.u32(0) !== 0x4550 || header.u16(optional) !== 0x20b) {
    return undefined;
  }
  return {
    machine: header.u16(4),
    subsystem: header.u16(optional + 68),
    entryPoint: header.u32(optional + 16),
    linkBase: header.u64(optional + 24),
    sizeOfImage: header.u32(optional + 56),
    sizeOfHeaders: header.u32(optional + 60),
    sections: parseSections(header, optional + header.u16(20), header.u16(6)),
    debugDirectory: readDebugDirectory(header, optional),
  };
}

function readDebugDirectory(header: Structure, optional: number): ImagePart | undefined {
  const entry = optional + DIRECTORIES + 6 * 8;
  if (!header.has(entry, 8) || header.u32(optional + 108) <= 6) return undefined;
  return debugPart(header.u32(entry), header.u32(entry + 4));
}

/** The part a debug directory takes, as the data directory tells it; undefined when there is none. Bounded to 16 entries. */
export function debugPart(offset: number, size: number): ImagePart | undefined {
  if (offset === 0 || size < DEBUG_ENTRY_SIZE) return undefined;
  return { offset, size: Math.min(size, MAX_DEBUG_ENTRIES * DEBUG_ENTRY_SIZE) };
}
