/**
 * What was seen to be written while the guest ran between the points of a capture: stores to translation tables and to watched memory, writes
 * to System registers, maintenance instructions. Raw: words, addresses, registers; what they mean is worked out on the way out.
 */
import type { VirtAddr } from "../base/address.ts";

/**
 * `point`: a point of the capture was taken here: `address` is its index.
 * `table`: a doubleword of a table of a live regime was stored to: `address` is its physical address, `old` and `new` what it held.
 * `memory`: a doubleword of a watched range was stored to: `address` is its virtual address.
 * `register`: an MSR was executed: `address` is the encoding of the register (see `encodingOf`), `old` and `new` what it held before and after,
 * undefined where the stub does not offer it.
 * `maintenance`: a TLBI, DC or IC instruction was executed: `address` is its encoding, `new` what its register held; 0 without one.
 * `table-found`: a page became part of the tables of a live regime, or was found to be: `address` is its physical address, `new` the index of
 * its contents in `contents`. Undefined `new`: it could not be read.
 * `unseen-table`, `unseen-memory`, `unseen-register`: a difference that no seen write explains, found by comparing at this stop.
 * `lapse`: from here on not all is seen: `address` is the index of why in `notes`.
 * `use`: a load or store through a mapping whose descriptor was valid and had been changed, before any maintenance was seen: `address` is the first
 * virtual address of the mapping. The first one only, and only where maintenance is watched.
 *
 * In the order of the numbers that they have in files: new ones come last.
 */
export const BLAME_KINDS = [
  "point",
  "table",
  "memory",
  "register",
  "maintenance",
  "table-found",
  "unseen-table",
  "unseen-memory",
  "unseen-register",
  "lapse",
  "use",
] as const;
export type BlameKind = (typeof BLAME_KINDS)[number];

export interface BlameEvent {
  readonly kind: BlameKind;
  /** Ascends by one from stop to stop of the guest; what one instruction wrote shares it. */
  readonly stop: number;
  /** Index of the vCPU. */
  readonly cpu: number;
  /** Of the instruction that wrote; undefined where none was seen. */
  readonly pc: VirtAddr | undefined;
  /** The instruction; undefined where none was seen or it could not be read. */
  readonly word: number | undefined;
  readonly address: bigint;
  readonly old: bigint | undefined;
  readonly new: bigint | undefined;
  /** Index into `stacks`; undefined when it was not read. */
  readonly stack: number | undefined;
}

/** What a call chain is followed from: a few registers of the vCPU before the instruction, and what its frame pointers led to. */
export interface StackSample {
  readonly sp: bigint;
  readonly fp: bigint;
  readonly lr: bigint;
  readonly cpsr: bigint;
  /** Doublewords of the stack that were read: address and value by turns, ascending. */
  readonly words: readonly bigint[];
}

/** A range that was watched on request. */
export interface WatchedRange {
  /** As it was asked for: `gBS+0xe8`. */
  readonly name: string;
  readonly address: VirtAddr;
  /** In bytes. */
  readonly length: number;
}

/** An instruction where a breakpoint was, for what it writes. */
export interface WatchedSite {
  readonly address: VirtAddr;
  readonly word: number;
}

export interface BlameRecord {
  /** Whether the tables were watched; without watchpoints they were not. */
  readonly tables: boolean;
  /** Whether TLBI, DC and IC were watched. */
  readonly maintenance: boolean;
  readonly ranges: readonly WatchedRange[];
  readonly sites: readonly WatchedSite[];
  readonly events: readonly BlameEvent[];
  /** Events that came after as many as are kept. */
  readonly uncounted: number;
  readonly stacks: readonly StackSample[];
  /** Pages of tables as they were when they were found. */
  readonly contents: readonly Uint8Array[];
  /** Pages of code that the chains lead through, by virtual address, as the vCPU saw them. */
  readonly code: ReadonlyMap<VirtAddr, Uint8Array>;
  readonly notes: readonly string[];
}

/** The note of the lapse where the watch of tables and registers ended as it was meant to; ranges may be watched further. */
export const WATCH_ENDED = "Tables and registers were watched up to here.";

/** Most events that are kept unless asked otherwise. */
export const DEFAULT_MAX_EVENTS = 1_000_000;
