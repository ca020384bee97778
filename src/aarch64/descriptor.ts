/**
 * Stage 1 descriptors of the 4 KiB granule and what they mean.
 *
 * Source: Arm ARM DDI 0487, D8.3 "Translation table descriptor formats" and D8.4 "Memory access control": AP<2:1> at bits 7:6, SH at
 * 9:8, AF at 10, nG at 11, GP at 50, DBM at 51, Contiguous at 52, PXN at 53, UXN or XN at 54; in table descriptors NSTable at 63,
 * APTable at 62:61, UXNTable or XNTable at 60, PXNTable at 59.
 *
 * Descriptors are handled as two 32-bit halves: a table page holds 512 of them, and a bigint each is the slow way.
 */

import type { Regime } from "./regime.ts";
import { memoryType } from "./registers/mair.ts";

export const INVALID = 0;
export const TABLE = 1;
export const BLOCK = 2;
export const PAGE = 3;
export type DescriptorKind = typeof INVALID | typeof TABLE | typeof BLOCK | typeof PAGE;

/** What bits 1:0 say at a level. A block at level 0 and 0b01 at level 3 are reserved: invalid. */
export function descriptorKind(low: number, level: number): DescriptorKind {
  if ((low & 1) === 0) return INVALID;
  if ((low & 2) !== 0) return level === 3 ? PAGE : TABLE;
  return level === 1 || level === 2 ? BLOCK : INVALID;
}

/** Bits 47:12 as a page number: the next table, or the start of a page or block before the block's low bits are cleared. */
export function outputPage(low: number, high: number): number {
  return (low >>> 12) + (high & 0xffff) * 0x100000;
}

/** Hierarchical attributes gathered on the way down: bit 0 PXNTable, 1 UXNTable/XNTable, 2 and 3 APTable<1:0>. */
export type Inherited = number;

/** What a table descriptor adds to what was inherited. */
export function inherit(inherited: Inherited, high: number): Inherited {
  return inherited | ((high >>> 27) & 0xf);
}

export interface Access {
  readonly read: boolean;
  readonly write: boolean;
  readonly execute: boolean;
}

/** What a mapping allows and how its memory behaves. Effective: hierarchical attributes and WXN are applied. */
export interface Attributes extends Access {
  /** Unprivileged access; null in regimes without EL0. */
  readonly el0: Access | null;
  /** The memory type in the Arm ARM's words, such as `Normal WB RAWA` or `Device-nGnRnE`. */
  readonly memory: string;
  readonly shareability: "inner" | "outer" | "none" | "reserved";
  /** In bytes. */
  readonly granule: number;
  /** The level of the block or page descriptor; null with translation off. */
  readonly level: number | null;
  readonly contiguous: boolean;
  /** AF. Clear: the first access faults, unless hardware sets it (TCR_ELx.HA). */
  readonly accessFlag: boolean;
  /** nG = 0; true in regimes without an ASID. */
  readonly global: boolean;
  /** Equal for equal attributes, whatever capture or regime they come from. */
  readonly key: string;
}

/**
 * All that decides the attributes of a leaf, as one small number: bits 11:2 and 54:50 of the descriptor, what was inherited, the
 * level. Leaves with equal keys have equal attributes within one regime.
 */
export function leafKey(low: number, high: number, inherited: Inherited, level: number): number {
  return ((low >>> 2) & 0x3ff) | (((high >>> 18) & 0x1f) << 10) | (inherited << 15) | (level << 19);
}

const SHAREABILITY = ["none", "reserved", "outer", "inner"] as const;

/** The attributes that a leaf key stands for in a regime. */
export function leafAttributes(key: number, regime: Regime): Attributes {
  const field = (shift: number, width: number): number => (key >>> shift) & ((1 << width) - 1);
  const low = field(0, 10);
  const ap1 = (low >>> 4) & 1;
  const ap2 = (low >>> 5) & 1;
  const contiguous = field(12, 1) === 1;
  const pxn = field(13, 1) === 1;
  const uxn = field(14, 1) === 1;
  const inherited = field(15, 4);
  const dirtyState = regime.dirtyState && field(11, 1) === 1;
  const readOnly = (ap2 === 1 && !dirtyState) || (inherited & 8) !== 0;
  const memory = memoryType(Number((regime.mair >> BigInt((low & 7) * 8)) & 0xffn));
  const privileged = regime.hasEl0
    ? { ap1: ap1 === 1 && (inherited & 4) === 0, never: pxn || (inherited & 1) !== 0 }
    : { ap1: false, never: uxn || (inherited & 2) !== 0 };
  const el0 = regime.hasEl0 ? unprivileged(privileged.ap1, readOnly, uxn || (inherited & 2) !== 0, regime.wxn) : null;
  const write = !readOnly;
  // What EL0 may write is never executable at EL1 (D8.4.1.2.4, "PXN effective value").
  const execute = !privileged.never && !(regime.wxn && write) && !(el0?.write ?? false);
  return withKey({
    read: true,
    write,
    execute,
    el0,
    memory,
    shareability: isCacheable(memory) ? (SHAREABILITY[(low >>> 6) & 3] ?? "none") : "outer",
    granule: 4096,
    level: field(19, 2),
    contiguous,
    accessFlag: ((low >>> 8) & 1) === 1,
    global: !regime.hasEl0 || ((low >>> 9) & 1) === 0,
  });
}

function unprivileged(allowed: boolean, readOnly: boolean, never: boolean, wxn: boolean): Access {
  const write = allowed && !readOnly;
  return { read: allowed, write, execute: !never && !(wxn && write) };
}

/** Device and Normal Non-cacheable memory is always Outer Shareable, whatever SH says (D8.6.2). */
function isCacheable(memory: string): boolean {
  return !memory.startsWith("Device") && !memory.startsWith("Normal NC");
}

/** The attributes of every address when stage 1 translation is off (D8.2.12): Device-nGnRnE for data, executable. */
export function flatAttributes(regime: Regime): Attributes {
  const all: Access = { read: true, write: true, execute: true };
  return withKey({
    ...all,
    el0: regime.hasEl0 ? all : null,
    memory: "Device-nGnRnE",
    shareability: "outer",
    granule: 4096,
    level: null,
    contiguous: false,
    accessFlag: true,
    global: true,
  });
}

function withKey(attributes: Omit<Attributes, "key">): Attributes {
  const access = ({ read, write, execute }: Access): string => `${+read}${+write}${+execute}`;
  const { el0, memory, shareability, granule, level, contiguous, accessFlag, global } = attributes;
  const key = [
    access(attributes),
    el0 === null ? "-" : access(el0),
    memory,
    shareability,
    granule,
    level,
    +contiguous,
    +accessFlag,
    +global,
  ].join("|");
  return { ...attributes, key };
}
