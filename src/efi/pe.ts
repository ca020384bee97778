/**
 * What ebscope needs of a PE32+ header as it lies in memory: sections and the name in the CodeView record.
 *
 * Source: "PE Format" specification (Microsoft): DOS header e_lfanew at 0x3c, COFF header after `PE\0\0`, optional header magic 0x20b,
 * data directory 6 (debug), section headers of 40 bytes. Debug directory entry type 2 is CodeView: `NB10` with the path at 16, `RSDS`
 * with the path at 24; edk2 adds `MTOC` with the path at 20. Headers are guest data: every offset is checked, counts are bounded.
 */
import type { Structure } from "./bytes.ts";

const MAX_SECTIONS = 96;
const SECTION_SIZE = 40;

export interface PeSection {
  readonly name: string;
  /** Offset from the image base. */
  readonly offset: number;
  readonly size: number;
  readonly characteristics: number;
}

export interface PeHeader {
  readonly sections: readonly PeSection[];
  /** Where the debug directory lies, from the image base. */
  readonly debugDirectory: { readonly offset: number; readonly size: number } | undefined;
}

const DEBUG_ENTRY_SIZE = 28;
const CODEVIEW = 2;

/** Size of the DOS header, which tells where the PE header lies. */
export const DOS_HEADER_SIZE = 64;
/** A PE header with the most sections that are read. */
export const PE_HEADER_SIZE = 24 + 240 + MAX_SECTIONS * SECTION_SIZE;

/** Where the PE header lies, from the image base (images aligned to 64 KiB have it far in); undefined without a DOS header. */
export function peHeaderOffset(dos: Structure): number | undefined {
  return dos.has(0, DOS_HEADER_SIZE) && dos.u16(0) === 0x5a4d ? dos.u32(0x3c) : undefined;
}

/** Parses the bytes from `PE\0\0` on; undefined when they are no PE32+ header. */
export function parsePeHeader(header: Structure): PeHeader | undefined {
  const optional = 24;
  if (!header.has(0, optional + 112) || header.u32(0) !== 0x4550 || header.u16(optional) !== 0x20b) return undefined;
  const sectionCount = Math.min(header.u16(6), MAX_SECTIONS);
  return {
    sections: readSections(header, optional + header.u16(20), sectionCount),
    debugDirectory: readDebugDirectory(header, optional),
  };
}

function readSections(header: Structure, start: number, count: number): PeSection[] {
  const sections: PeSection[] = [];
  for (let i = 0; i < count; i++) {
    const at = start + i * SECTION_SIZE;
    if (!header.has(at, SECTION_SIZE)) break;
    sections.push({
      name: header.ascii(at, 8),
      offset: header.u32(at + 12),
      size: Math.max(header.u32(at + 8), header.u32(at + 16)),
      characteristics: header.u32(at + 36),
    });
  }
  return sections;
}

function readDebugDirectory(header: Structure, optional: number): PeHeader["debugDirectory"] {
  const entry = optional + 112 + 6 * 8;
  if (!header.has(entry, 8) || header.u32(optional + 108) <= 6) return undefined;
  const offset = header.u32(entry);
  const size = Math.min(header.u32(entry + 4), 16 * DEBUG_ENTRY_SIZE);
  return offset === 0 || size < DEBUG_ENTRY_SIZE ? undefined : { offset, size };
}

/** Where the CodeView record lies, from the image base; undefined when the directory names none. */
export function codeViewOffset(directory: Structure): number | undefined {
  for (let at = 0; directory.has(at, DEBUG_ENTRY_SIZE); at += DEBUG_ENTRY_SIZE) {
    const offset = directory.u32(at + 20);
    if (directory.u32(at + 12) === CODEVIEW && offset !== 0) return offset;
  }
  return undefined;
}

const PATH_OFFSETS: Readonly<Record<string, number>> = { NB10: 16, RSDS: 24, MTOC: 20 };

/** The build path in a CodeView record; undefined when there is none. */
export function codeViewPath(record: Structure): string | undefined {
  const start = PATH_OFFSETS[record.ascii(0, 4)];
  if (start === undefined || !record.has(start, 1)) return undefined;
  const path = record.ascii(start, 400);
  return path === "" ? undefined : path;
}
