/** The mappings of a regime as runs: what the walker makes, and printing and diffing consume. */
import { type PhysAddr, phys, type VirtAddr, virt } from "../base/address.ts";
import type { ErrorCode } from "../base/error.ts";
import type { Attributes } from "./attributes.ts";
import type { Regime, RegimeName } from "./regime-model.ts";

/** A maximal run of pages with contiguous virtual and physical addresses and equal attributes. Units: pages of 4 KiB. */
export interface Run {
  readonly start: number;
  readonly pages: number;
  readonly output: number;
  readonly attributes: Attributes;
}

/** Virtual addresses of which nothing is known: their table is not at hand, or not decoded. Units: pages of 4 KiB. */
export interface LostRun {
  readonly start: number;
  readonly pages: number;
  /** Page number of the table; undefined when there is none to name. */
  readonly table: number | undefined;
  readonly level: number | undefined;
  readonly code: ErrorCode;
  readonly why?: string;
}

/** A page of a table: one of the 64 KiB granule has sixteen. */
export interface TableRef {
  /** Of physical memory, also where stage 2 is in between. */
  readonly pageNumber: number;
  readonly level: number;
}

/** A regime's mappings, ascending by virtual address. */
export interface RegimeMap {
  readonly regime: Regime;
  readonly runs: readonly Run[];
  readonly lost: readonly LostRun[];
  readonly tables: readonly TableRef[];
}

export interface Mapping {
  readonly regime: RegimeName;
  readonly va: VirtAddr;
  /** In bytes. */
  readonly size: bigint;
  readonly pa: PhysAddr;
  readonly attributes: Attributes;
}

export function runMapping(regime: RegimeName, run: Run): Mapping {
  return {
    regime,
    va: virt(BigInt(run.start) << 12n),
    size: BigInt(run.pages) << 12n,
    pa: phys(BigInt(run.output) << 12n),
    attributes: run.attributes,
  };
}
