/**
 * Descriptors of the VMSAv8-64 formats: which kind one is, where it leads, and what of it decides the attributes of a leaf.
 *
 * Source: Arm ARM DDI 0487, D8.3 "Translation table descriptor formats". Descriptors are handled as two 32-bit halves: tables hold
 * hundreds of them, and a bigint each is the slow way.
 */
import { LAST_LEVEL, type TableFormat } from "./granule.ts";

export const INVALID = 0;
export const TABLE = 1;
export const BLOCK = 2;
export const PAGE = 3;
export type DescriptorKind = typeof INVALID | typeof TABLE | typeof BLOCK | typeof PAGE;

/** What bits 1:0 say at a level. A block where the format has none, and 0b01 at level 3, are reserved: invalid. */
export function descriptorKind(low: number, level: number, format: TableFormat): DescriptorKind {
  if ((low & 1) === 0) return INVALID;
  if ((low & 2) !== 0) return level === LAST_LEVEL ? PAGE : TABLE;
  return level < LAST_LEVEL && level >= format.firstBlockLevel ? BLOCK : INVALID;
}

/** The address that a block descriptor names, in 4 KiB pages; `pages`: its size in them. What stands below is no part of it. */
export function blockPage(low: number, high: number, format: TableFormat, pages: number): number {
  const page = outputPage(low, high, format);
  return page - (page % pages);
}

/** The address that a table or page descriptor names, in 4 KiB pages. */
export function outputPage(low: number, high: number, format: TableFormat): number {
  // Bits 31:12 less those below the granule, which are RES0 or address bits of another place.
  const base = (low >>> format.granuleBits) * 2 ** (format.granuleBits - 12);
  switch (format.addressForm) {
    case "48":
      return base + (high & 0xffff) * 2 ** 20;
    case "lpa":
      return base + (high & 0xffff) * 2 ** 20 + ((low >>> 12) & 0xf) * 2 ** 36;
    case "lpa2":
      return base + (high & 0x3ffff) * 2 ** 20 + ((low >>> 8) & 3) * 2 ** 38;
  }
}

/** Hierarchical attributes gathered on the way down: bit 0 PXNTable, 1 UXNTable/XNTable, 2 and 3 APTable<1:0>. */
export type Inherited = number;

/** What a table descriptor adds to what was inherited. */
export function inherit(inherited: Inherited, high: number): Inherited {
  return inherited | ((high >>> 27) & 0xf);
}

/**
 * All that decides the attributes of a leaf, as one number: bits 11:2, 54:50 and 62:59 of the descriptor, what was inherited, the
 * level. Leaves with equal keys have equal attributes below one root.
 */
export function leafKey(low: number, high: number, inherited: Inherited, level: number, format: TableFormat): number {
  // With FEAT_LPA2 bits 9:8 are address bits.
  const lower = (low >>> 2) & (format.addressForm === "lpa2" ? 0x33f : 0x3ff);
  return (
    lower | (((high >>> 18) & 0x1f) << 10) | (((high >>> 27) & 0xf) << 15) | (inherited << 19) | ((level + 1) << 23)
  );
}

/** A leaf key in parts; bit fields are as the Arm ARM numbers descriptor bits. */
export interface LeafBits {
  /** Bits 11:2, in place. */
  readonly lower: number;
  /** Bits 54:50, shifted down. */
  readonly upper: number;
  /** Bits 62:59, shifted down. */
  readonly top: number;
  readonly inherited: Inherited;
  readonly level: number;
}

export function leafBits(key: number): LeafBits {
  return {
    lower: (key & 0x3ff) << 2,
    upper: (key >>> 10) & 0x1f,
    top: (key >>> 15) & 0xf,
    inherited: (key >>> 19) & 0xf,
    level: (key >>> 23) - 1,
  };
}
