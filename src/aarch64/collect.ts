/**
 * Fetches the tables of regimes from a machine, level by level: all tables of one level are one batch of reads.
 *
 * Source: Arm ARM DDI 0487, D8.2 "Translation process". Tables are untrusted: each table is fetched once a level however often it is
 * referred to, so a table that refers to itself ends at level 3, and the number of tables is bounded.
 */
import { PAGE_SIZE, type PhysAddr } from "../base/address.ts";
import type { ErrorCode } from "../base/error.ts";
import type { MemoryRead, PhysMemory } from "../base/memory.ts";
import { descriptorKind, outputPage, TABLE } from "./descriptor.ts";
import { levelShift, outputEnd, type Regime, type RegimeName, type TableRoot, type TableShape } from "./regime.ts";
import { isMissing, pageAddress, pageNumberOf, type TablePage, tablePage } from "./table-pages.ts";

/** A table that could not be looked into, or a part of a regime that could not be decoded. */
export interface CoverageGap {
  readonly regime: RegimeName;
  /** The physical address of the table; undefined when the gap has none. */
  readonly pa: PhysAddr | undefined;
  readonly level: number | undefined;
  readonly code: ErrorCode;
  readonly why?: string;
}

export interface CollectOptions {
  /** The most table pages fetched for one regime. Default 16,384 (64 MiB). */
  readonly maxTables?: number;
}

export const DEFAULT_MAX_TABLES = 16_384;

/** Entries of a root table: a root may be shorter than a page and start inside one. */
export function rootWindow(root: TableRoot): {
  readonly pageNumber: number;
  readonly first: number;
  readonly count: number;
} {
  return {
    pageNumber: pageNumberOf(root.table),
    first: Number(root.table & 0xfffn) / 8,
    count: 2 ** (root.inputBits - levelShift(root.startLevel)),
  };
}

interface Wanted {
  readonly pageNumber: number;
  readonly first: number;
  readonly count: number;
}

/**
 * Fetches every table page that the regime's live roots lead to, through `memory` (which keeps what it reads), and as many tables of
 * what is not decoded as can be reached. Returns what could not be had.
 */
export async function collectTables(
  memory: PhysMemory,
  regime: Regime,
  options: CollectOptions = {},
): Promise<readonly CoverageGap[]> {
  const gaps: CoverageGap[] = regime.undecoded.map(({ code, why, root }) => ({
    regime: regime.name,
    pa: root,
    level: undefined,
    code,
    why,
  }));
  const budget = { left: options.maxTables ?? DEFAULT_MAX_TABLES };
  for (const { root, shape } of regime.undecoded) {
    if (root !== undefined) await collectRaw(memory, root, shape, budget);
  }
  for (const root of regime.roots) gaps.push(...(await collectRoot(memory, regime, root, budget)));
  return gaps;
}

async function collectRoot(
  memory: PhysMemory,
  regime: Regime,
  root: TableRoot,
  budget: { left: number },
): Promise<CoverageGap[]> {
  const gaps: CoverageGap[] = [];
  const end = outputEnd(regime);
  const window = rootWindow(root);
  let wanted: Wanted[] = window.pageNumber < end ? [window] : [];
  for (let level = root.startLevel; level <= 3 && wanted.length > 0; level++) {
    const gap = (pageNumber: number, code: ErrorCode): void => {
      gaps.push({ regime: regime.name, pa: pageAddress(pageNumber), level, code });
    };
    for (const { pageNumber } of wanted.splice(Math.max(budget.left, 0))) gap(pageNumber, "too-many-tables");
    budget.left -= wanted.length;
    const pages = await readPages(
      memory,
      wanted.map(({ pageNumber }) => pageNumber),
    );
    const next = new Set<number>();
    pages.forEach((page, i) => {
      const table = wanted[i] as Wanted;
      if (isMissing(page)) gap(table.pageNumber, page.missing);
      else if (level < 3) addNextTables(page, table, level, end, next);
    });
    wanted = [...next].map((pageNumber) => ({ pageNumber, first: 0, count: 512 }));
  }
  return gaps;
}

/**
 * Fetches tables of which it is only known where table descriptors lead: a granule or an extension that is not decoded. What cannot
 * be reached is no gap of its own, as nothing is claimed of the whole.
 */
async function collectRaw(
  memory: PhysMemory,
  root: PhysAddr,
  shape: TableShape | undefined,
  budget: { left: number },
): Promise<void> {
  if (shape === undefined) {
    await readPages(memory, [pageNumberOf(root)]);
    return;
  }
  const tablePages = 2 ** (shape.granuleBits - 12);
  let wanted = pagesOfTable(root, shape.entries);
  for (let level = shape.startLevel; level <= 3 && wanted.length > 0; level++) {
    wanted.splice(Math.max(budget.left, 0));
    budget.left -= wanted.length;
    const pages = await readPages(
      memory,
      wanted.map(({ pageNumber }) => pageNumber),
    );
    if (level === 3) return;
    const next = new Set<number>();
    pages.forEach((page, i) => {
      if (!isMissing(page)) addNextTables(page, wanted[i] as Wanted, level, Number.POSITIVE_INFINITY, next);
    });
    const tables = new Set([...next].map((pageNumber) => pageNumber - (pageNumber % tablePages)));
    wanted = [...tables].flatMap((pageNumber) => pagesOfTable(pageAddress(pageNumber), tablePages * 512));
  }
}

/** A table of any size as pages with the entries of each that belong to it. */
function pagesOfTable(address: PhysAddr, entries: number): Wanted[] {
  const pages: Wanted[] = [];
  let first = Number(address & 0xfffn) >> 3;
  for (let left = entries, pageNumber = pageNumberOf(address); left > 0; pageNumber++) {
    const count = Math.min(left, 512 - first);
    pages.push({ pageNumber, first, count });
    left -= count;
    first = 0;
  }
  return pages;
}

/** Adds the tables that a table names below `limit`; what lies above is no address (an Address size fault). */
function addNextTables(
  page: Uint32Array,
  { first, count }: Wanted,
  level: number,
  limit: number,
  next: Set<number>,
): void {
  const end = Math.min(first + count, 512);
  for (let i = first; i < end; i++) {
    const low = page[2 * i] as number;
    if (descriptorKind(low, level) !== TABLE) continue;
    const output = outputPage(low, page[2 * i + 1] as number);
    if (output < limit) next.add(output);
  }
}

async function readPages(memory: PhysMemory, pageNumbers: readonly number[]): Promise<TablePage[]> {
  if (pageNumbers.length === 0) return [];
  const reads: MemoryRead[] = await memory.read(
    pageNumbers.map((pageNumber) => ({ address: pageAddress(pageNumber), length: PAGE_SIZE })),
  );
  return reads.map(tablePage);
}
