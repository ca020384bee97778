/**
 * Fetches the tables of regimes from a machine, level by level: all tables of one level are one batch of reads.
 *
 * Source: Arm ARM DDI 0487, D8.2 "Translation process". Tables are untrusted: each table is fetched once a level however often it is
 * referred to, so a table that refers to itself ends at the last level, and the number of pages is bounded.
 */
import { PAGE_SIZE, type PhysAddr } from "../base/address.ts";
import type { ErrorCode } from "../base/error.ts";
import type { MemoryRead, PageSource, PhysMemory } from "../base/memory.ts";
import { descriptorKind, outputPage, TABLE } from "./descriptor.ts";
import { LAST_LEVEL, type TableFormat, tableEntries } from "./granule.ts";
import type { Regime, RegimeName, TableRoot } from "./regime-model.ts";
import {
  isWords,
  pageAddress,
  pageNumberOf,
  type TablePart,
  type TablePlace,
  tablePage,
  tableParts,
} from "./table-pages.ts";
import { outputEnd, tableLocator } from "./translate.ts";

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
  /** The most table pages of 4 KiB fetched for one regime. Default 16,384 (64 MiB). */
  readonly maxTables?: number;
}

export const DEFAULT_MAX_TABLES = 16_384;

/** Gaps that are told one by one; tables that were never asked for are told as such by whoever looks for them. */
const MAX_GAPS = 1024;

/**
 * Fetches every table page that the regime's live roots lead to, through `memory` (which keeps what it reads), those of stage 2 first
 * where the regime is behind it, and the root pages of what is not decoded. Returns what could not be had.
 */
export async function collectTables(
  memory: PhysMemory,
  regime: Regime,
  options: CollectOptions = {},
): Promise<readonly CoverageGap[]> {
  const behind = regime.behind;
  const fetch = new TableFetch(memory, options.maxTables ?? DEFAULT_MAX_TABLES);
  const gaps = behind === undefined ? [] : await fetch.regime(behind, (page) => ({ page }));
  const locate = behind === undefined ? (page: number): TablePlace => ({ page }) : tableLocator(behind, fetch);
  return gaps.concat(await fetch.regime(regime, locate));
}

/** What was fetched for a regime, and how much more may be. */
class TableFetch implements PageSource {
  readonly #memory: PhysMemory;
  readonly #reads = new Map<PhysAddr, MemoryRead>();
  readonly #maxTables: number;
  #left = 0;

  constructor(memory: PhysMemory, maxTables: number) {
    this.#memory = memory;
    this.#maxTables = maxTables;
  }

  page(page: PhysAddr): MemoryRead | undefined {
    return this.#reads.get(page);
  }

  async regime(regime: Regime, locate: (page: number) => TablePlace): Promise<CoverageGap[]> {
    this.#left = this.#maxTables;
    const gaps: CoverageGap[] = regime.undecoded.map(({ code, why, root }) => ({
      regime: regime.name,
      pa: root,
      level: undefined,
      code,
      why,
    }));
    const raw = regime.undecoded.flatMap(({ root }) => (root === undefined ? [] : [pageNumberOf(root)]));
    await this.#read([...new Set(raw)]);
    for (const root of regime.roots) await this.#root(regime, root, locate, gaps);
    return gaps;
  }

  async #root(
    regime: Regime,
    root: TableRoot,
    locate: (page: number) => TablePlace,
    gaps: CoverageGap[],
  ): Promise<void> {
    const end = outputEnd(root);
    let parts = pageNumberOf(root.table) < end ? tableParts(root.table, root.entries) : [];
    for (let level = root.startLevel; level <= LAST_LEVEL && parts.length > 0; level++) {
      const gap = (page: number | undefined, code: ErrorCode): void => {
        if (gaps.length >= MAX_GAPS) return;
        gaps.push({ regime: regime.name, pa: page === undefined ? undefined : pageAddress(page), level, code });
      };
      const placed = place(parts, locate, gap);
      for (const { page } of placed.splice(Math.max(this.#left, 0))) gap(page, "too-many-tables");
      this.#left -= placed.length;
      const reads = await this.#read(placed.map(({ page }) => page));
      const next = new Set<number>();
      placed.forEach(({ part, page }, i) => {
        const words = tablePage(reads[i], regime.bigEndian);
        if (!isWords(words)) gap(page, words.missing);
        else if (level < LAST_LEVEL && next.size < this.#left + MAX_GAPS) {
          addNextTables(words, part, level, root.format, end, next);
        }
      });
      parts = [...next].flatMap((page) => tableParts(pageAddress(page), tableEntries(root.format.granuleBits)));
    }
  }

  async #read(pages: readonly number[]): Promise<MemoryRead[]> {
    if (pages.length === 0) return [];
    const reads = await this.#memory.read(pages.map((page) => ({ address: pageAddress(page), length: PAGE_SIZE })));
    pages.forEach((page, i) => {
      this.#reads.set(pageAddress(page), reads[i] as MemoryRead);
    });
    return reads;
  }
}

interface PlacedPart {
  readonly part: TablePart;
  /** Its physical page. */
  readonly page: number;
}

/** Where parts of tables lie; those that stage 2 keeps out of reach are no gap, as the hardware cannot reach them either. */
function place(
  parts: readonly TablePart[],
  locate: (page: number) => TablePlace,
  gap: (page: undefined, code: ErrorCode) => void,
): PlacedPart[] {
  return parts.flatMap((part) => {
    const found = locate(part.pageNumber);
    if ("page" in found) return [{ part, page: found.page }];
    if ("missing" in found) gap(undefined, found.missing);
    return [];
  });
}

/** Adds the tables that a table names below `limit`; what lies above is no address (an Address size fault). */
function addNextTables(
  words: Uint32Array,
  { first, count }: TablePart,
  level: number,
  format: TableFormat,
  limit: number,
  next: Set<number>,
): void {
  for (let i = first; i < first + count; i++) {
    const low = words[2 * i] as number;
    if (descriptorKind(low, level, format) !== TABLE) continue;
    const output = outputPage(low, words[2 * i + 1] as number, format);
    if (output < limit) next.add(output);
  }
}
