/**
 * One walk through the tables of one stage, 64-bit descriptors.
 *
 * Source: Arm ARM DDI 0487, D8.2 "Translation process", D8.3 (descriptor formats; shared pseudocode AArch64.S1Walk, AArch64.S2Walk,
 * AArch64.S1TTBaseAddress, AArch64.S2TTBaseAddress, AArch64.NextTableBase, AArch64.LeafBase, AArch64.BlockDescSupported,
 * AArch64.ContiguousBit, AArch64.PhysicalAddressSize, AArch64.OAOutOfRange).
 *
 * Choices where the manual leaves one: a Contiguous bit over entries that do not belong together, or over more than the input
 * address range, neither faults nor changes the output (it is that of the descriptor itself); nT (bit 16) does not fault.
 */
import { bits, isSet, need, type SlowMachine } from "./slow-bits.ts";
import type { SlowFault, SlowUnreadable } from "./slow-types.ts";

/** log2 of the granule. */
export type GranuleBits = 12 | 14 | 16;

/** How tables of one stage are laid out. */
export interface Layout {
  readonly granuleBits: GranuleBits;
  readonly inputBits: number;
  /** Where the walk starts: -1 to 3. */
  readonly level: number;
  readonly outputBits: number;
  /** The Effective value of DS: 52-bit addresses with 4 KiB and 16 KiB granules. */
  readonly ds: boolean;
  /** FEAT_LPA. */
  readonly lpa: boolean;
  /** TCR.PS says 52 bits. */
  readonly ps52: boolean;
}

export interface Walk extends Layout {
  readonly stage: 1 | 2;
  /** A walk of stage 2 for a table of stage 1. */
  readonly onWalk: boolean;
  readonly root: bigint;
  /** The descriptor at an address, bytes in order. */
  readonly fetch: (address: bigint, level: number) => bigint | SlowFault | SlowUnreadable;
}

export interface Leaf {
  readonly outcome: "leaf";
  readonly descriptor: bigint;
  readonly level: number;
  readonly output: bigint;
  /** The table descriptors on the way. */
  readonly tables: readonly bigint[];
}

/** The lowest address bit that the index of a level takes. */
export function lowestBit(granuleBits: GranuleBits, level: number): number {
  return granuleBits + (3 - level) * (granuleBits - 3);
}

export function stageFault({ stage, onWalk }: Walk, kind: SlowFault["kind"], level: number): SlowFault {
  return { outcome: "fault", stage, onWalk, kind, level };
}

export function walkTables(walk: Walk, input: bigint): Leaf | SlowFault | SlowUnreadable {
  const tooWide = (address: bigint): boolean => address >> BigInt(walk.outputBits) !== 0n;
  if (tooWide(walk.root)) return stageFault(walk, "address size", 0);
  const tables: bigint[] = [];
  let table = walk.root;
  let top = walk.inputBits - 1;
  for (let level = walk.level; ; level++) {
    const bottom = lowestBit(walk.granuleBits, level);
    const descriptor = walk.fetch(table + bits(input, top, bottom) * 8n, level);
    if (typeof descriptor !== "bigint") return descriptor;
    const kind = kindOf(walk, descriptor, level);
    if (kind === "invalid") return stageFault(walk, "translation", level);
    const base = baseAddress(walk, descriptor, kind === "table" ? walk.granuleBits : bottom);
    if (tooWide(base)) return stageFault(walk, "address size", level);
    if (kind === "leaf") {
      return { outcome: "leaf", descriptor, level, output: base + bits(input, bottom - 1, 0), tables };
    }
    tables.push(descriptor);
    table = base;
    top = bottom - 1;
  }
}

function kindOf(layout: Layout, descriptor: bigint, level: number): "invalid" | "table" | "leaf" {
  if (!isSet(descriptor, 0)) return "invalid";
  if (isSet(descriptor, 1)) return level === 3 ? "leaf" : "table";
  return blockSupported(layout, level) ? "leaf" : "invalid";
}

export function blockSupported({ granuleBits, ds, lpa }: Layout, level: number): boolean {
  switch (granuleBits) {
    case 12:
      return level === 1 || level === 2 || (level === 0 && ds);
    case 14:
      return level === 2 || (level === 1 && ds);
    case 16:
      // Level 1 where the physical address size is 52 bits: what FEAT_LPA means.
      return level === 2 || (level === 1 && lpa);
  }
}

/** The next table or the output of a descriptor, from its bit `low` up. */
function baseAddress({ granuleBits, ds, lpa }: Layout, descriptor: bigint, low: number): bigint {
  const address = bits(descriptor, 47, low) << BigInt(low);
  if (granuleBits === 16) return lpa ? address | (bits(descriptor, 15, 12) << 48n) : address;
  if (!ds) return address;
  return address | (bits(descriptor, 49, 48) << 48n) | (bits(descriptor, 9, 8) << 50n);
}

/** The first table: TTBR<47:1>, or with 52-bit addresses TTBR<5:2>:TTBR<47:6>, aligned to the size of the table(s). */
export function rootAddress(layout: Layout, ttbr: bigint): bigint {
  const { granuleBits, inputBits, level, ds, lpa, ps52 } = layout;
  const size = 8n << BigInt(inputBits - lowestBit(granuleBits, level));
  const wide = ds || (granuleBits === 16 && lpa && ps52);
  const address = wide ? (bits(ttbr, 5, 2) << 48n) | (bits(ttbr, 47, 6) << 6n) : bits(ttbr, 47, 1) << 1n;
  const alignment = wide && size < 64n ? 64n : size;
  return address - (address % alignment);
}

/** The Contiguous bit, which the largest blocks do not have. */
export function contiguousBit({ granuleBits }: Layout, { descriptor, level }: Leaf): boolean {
  return level !== (granuleBits === 12 ? 0 : 1) && isSet(descriptor, 52);
}

/** TCR_ELx.{IPS,PS}, VTCR_EL2.PS and ID_AA64MMFR0_EL1.PARange. */
export function sizeOfAddresses(encoding: bigint): number {
  return [32, 36, 40, 42, 44, 48, 52, 56][Number(encoding)] ?? 56;
}

export function physicalAddressBits(machine: SlowMachine): number {
  return sizeOfAddresses(bits(need(machine, "ID_AA64MMFR0_EL1"), 3, 0));
}

/** AArch64.PhysicalAddressSize, without 128-bit descriptors. */
export function outputAddressBits(machine: SlowMachine, ps: bigint, granuleBits: GranuleBits, ds: boolean): number {
  const implemented = physicalAddressBits(machine);
  const most = (granuleBits === 16 && implemented >= 52) || ds ? 52 : 48;
  return Math.min(sizeOfAddresses(ps), most, implemented);
}
