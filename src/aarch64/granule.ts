/**
 * The geometry of translation tables: granules, levels, and how addresses are written in descriptors and TTBRs.
 *
 * Source: Arm ARM DDI 0487, D8.2 "Translation process" and D8.3 "Translation table descriptor formats". A granule is the size of a
 * table and of a page; each level resolves log2(granule) - 3 bits of the address. Levels are numbered -1 to 3, the last being 3.
 *
 * Inside, addresses are numbers of 4 KiB pages whatever the granule (below 2^40, so exact as doubles), since memory is recorded in
 * pages of 4 KiB: a table of the 64 KiB granule is sixteen of them.
 */
import { type PhysAddr, phys } from "../base/address.ts";
import { bits } from "../base/bits.ts";

/** log2 of the granule: 4, 16 or 64 KiB. */
export type GranuleBits = 12 | 14 | 16;

/**
 * Where a descriptor has the bits of an address above bit 47. `48`: nowhere. `lpa`: 51:48 in bits 15:12 (FEAT_LPA, 64 KiB granule).
 * `lpa2`: 51:50 in bits 9:8, 49:48 in their own place (FEAT_LPA2 with DS = 1, 4 and 16 KiB granules).
 */
export type AddressForm = "48" | "lpa" | "lpa2";

/** What the descriptors of a set of tables look like. */
export interface TableFormat {
  readonly granuleBits: GranuleBits;
  readonly addressForm: AddressForm;
  /** The first level at which a block descriptor is one, and not reserved. */
  readonly firstBlockLevel: number;
}

export const LAST_LEVEL = 3;
/** 4 KiB pages are what addresses are counted in. */
const PAGE_BITS = 12;

/** log2 of the granule by TG0 (TCR_ELx, VTCR_EL2); undefined: reserved. */
export function granuleOfTg0(field: number): GranuleBits | undefined {
  return ([12, 16, 14] as const)[field];
}

/** log2 of the granule by TG1; undefined: reserved. */
export function granuleOfTg1(field: number): GranuleBits | undefined {
  return ([undefined, 14, 12, 16] as const)[field];
}

/** The bits of an address that one level resolves: 9, 11 or 13. */
export function strideBits(granuleBits: GranuleBits): number {
  return granuleBits - 3;
}

/** The bit of the address at which the index of a level starts: 39, 30, 21, 12 for levels 0 to 3 of the 4 KiB granule. */
export function levelShift(granuleBits: GranuleBits, level: number): number {
  return granuleBits + (LAST_LEVEL - level) * strideBits(granuleBits);
}

/** The size of what one entry of a level translates, in 4 KiB pages. */
export function entryPages(granuleBits: GranuleBits, level: number): number {
  return 2 ** (levelShift(granuleBits, level) - PAGE_BITS);
}

/** Entries of a whole table: 512, 2048 or 8192. */
export function tableEntries(granuleBits: GranuleBits): number {
  return 2 ** strideBits(granuleBits);
}

/** Stage 1: as few levels as resolve the input address (D8.2.4, D8.2.5, D8.2.6). */
export function startLevelFor(granuleBits: GranuleBits, inputBits: number): number {
  return LAST_LEVEL + 1 - Math.ceil((inputBits - granuleBits) / strideBits(granuleBits));
}

/** The table formats of a granule, given what the machine has (`firstBlockLevel`: D8.3.1, "Block descriptor"). */
export function tableFormat(granuleBits: GranuleBits, extensions: { lpa: boolean; lpa2: boolean }): TableFormat {
  if (granuleBits === 16) {
    return extensions.lpa
      ? { granuleBits, addressForm: "lpa", firstBlockLevel: 1 }
      : { granuleBits, addressForm: "48", firstBlockLevel: 2 };
  }
  const smallest = granuleBits === 12 ? 1 : 2;
  return extensions.lpa2
    ? { granuleBits, addressForm: "lpa2", firstBlockLevel: smallest - 1 }
    : { granuleBits, addressForm: "48", firstBlockLevel: smallest };
}

/**
 * The table that a TTBR names: bits 47:1 are an address, aligned to the size of the table; with 52-bit addresses bits 51:48 stand in its
 * bits 5:2, and the alignment is 64 bytes at least (pseudocode AArch64.S1TTBaseAddress).
 */
export function tableBase(ttbr: bigint, entries: number, wide: boolean): PhysAddr {
  const address = wide ? (bits(ttbr, 47, 6) << 6n) | (bits(ttbr, 5, 2) << 48n) : bits(ttbr, 47, 1) << 1n;
  const alignment = BigInt(Math.max(entries * 8, wide ? 64 : 0));
  return phys(address & ~(alignment - 1n));
}
