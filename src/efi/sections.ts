/**
 * Sections of an image, and what their characteristics say.
 *
 * Source: "PE Format" specification (Microsoft), "Section Table (Section Headers)" and "Section Flags": headers of 40 bytes with the name
 * at 0, VirtualSize at 8, VirtualAddress at 12, SizeOfRawData at 16, Characteristics at 36. TE images (PI specification 1.8, volume 1,
 * "TE Image") have the same headers. Guest data: the count is bounded, what lies beyond the bytes at hand is left out.
 */
import type { Structure } from "./bytes.ts";

export interface PeSection {
  readonly name: string;
  /** Offset from the image base. */
  readonly offset: number;
  readonly size: number;
  readonly characteristics: number;
}

export const MAX_SECTIONS = 96;
export const SECTION_SIZE = 40;

/** Parses up to `count` section headers from `start` on. */
export function parseSections(header: Structure, start: number, count: number): PeSection[] {
  const sections: PeSection[] = [];
  for (let i = 0; i < Math.min(count, MAX_SECTIONS); i++) {
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

const CONTENTS = [
  [0x20, "code"],
  [0x40, "data"],
  [0x80, "zeroed data"],
] as const;

/** What a section holds: `code`, `data`, `zeroed data`, several joined by `+`; `unknown` when its flags (IMAGE_SCN_CNT_*) say nothing. */
export function sectionContents({ characteristics }: Pick<PeSection, "characteristics">): string {
  const words = CONTENTS.filter(([bit]) => (characteristics & bit) !== 0).map(([, word]) => word);
  return words.length === 0 ? "unknown" : words.join("+");
}

const ACCESS = [
  [0x4000_0000, "R"],
  [0x8000_0000, "W"],
  [0x2000_0000, "X"],
] as const;

/** The access a section asks for (IMAGE_SCN_MEM_READ, WRITE, EXECUTE), such as `R-X`. */
export function sectionAccess({ characteristics }: Pick<PeSection, "characteristics">): string {
  return ACCESS.map(([bit, letter]) => ((characteristics & bit) === 0 ? "-" : letter)).join("");
}

/** Whether the section may be dropped after loading (IMAGE_SCN_MEM_DISCARDABLE), as relocations are. */
export function isDiscardable({ characteristics }: Pick<PeSection, "characteristics">): boolean {
  return (characteristics & 0x0200_0000) !== 0;
}
