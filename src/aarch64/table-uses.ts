/**
 * Which pages the tables of regimes lie in, and what each translates: kept up to date while descriptors change.
 *
 * Units: numbers of 4 KiB pages, unless said otherwise. A page may be a table of several regimes, several times in one, and at several levels; a
 * table that refers to itself is a table of each level below. Where stage 2 lies behind a regime, its tables are looked up through stage 2 when
 * they are linked: a later change of stage 2 is not followed.
 */
import { type PhysAddr, physPage } from "../base/address.ts";
import type { PageSource } from "../base/memory.ts";
import { descriptorKind, type Inherited, inherit, outputPage, TABLE } from "./descriptor.ts";
import { entryPages, LAST_LEVEL, tableEntries } from "./granule.ts";
import type { Regime, TableRoot } from "./regime-model.ts";
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

/** What a page is to a regime. */
export interface TableUse {
  readonly regime: Regime;
  readonly root: TableRoot;
  readonly level: number;
  /** Index of the first entry in the page that belongs to the table, and how many do. */
  readonly first: number;
  readonly count: number;
  /** The address, counted from 0, that entry `first` translates. */
  readonly start: number;
  /** What the descriptors above say of permissions. */
  readonly inherited: Inherited;
}

interface Use extends TableUse {
  /** By entry: the uses that its table descriptor leads to. */
  readonly below: Map<number, readonly PlacedUse[]>;
  /** Its place among the uses of its page: a page that refers to itself has very many, and they go one by one. */
  place: number;
  /** What led here leads elsewhere now. */
  gone: boolean;
}

interface PlacedUse {
  readonly page: number;
  readonly use: Use;
}

/** Pages that became tables, and that are none any more. */
export interface TableChange {
  readonly added: readonly PhysAddr[];
  readonly removed: readonly PhysAddr[];
}

/** Most uses that are followed, unless told otherwise. */
export const MAX_TABLE_USES = 1 << 18;
const PAGE_ENTRIES = 512;
const PAGE_BITS = 12n;

export class TableUses {
  readonly #source: PageSource;
  readonly #uses = new Map<number, Use[]>();
  readonly #locators = new Map<Regime, (page: number) => TablePlace>();
  readonly #most: number;
  #count = 0;
  #overflowed = false;
  #added = new Set<number>();
  #removed = new Set<number>();

  /** `source` holds the pages as they are at any time; one that it does not have yet is told of by `arrived`. */
  constructor(regimes: readonly Regime[], source: PageSource, most: number = MAX_TABLE_USES) {
    this.#source = source;
    this.#most = most;
    for (const regime of regimes) for (const root of regime.roots) this.#root(regime, root);
    this.#change();
  }

  /** Whether there are more than are followed. */
  get overflowed(): boolean {
    return this.#overflowed;
  }

  /** How many uses there are, counting each reference to a page. */
  get size(): number {
    return this.#count;
  }

  /** What a page (by any address in it) is used for. */
  usesOf(page: PhysAddr): readonly TableUse[] {
    return this.#uses.get(pageNumberOf(page)) ?? [];
  }

  /** All pages of tables, whether the source has them or not. */
  pages(): PhysAddr[] {
    return [...this.#uses.keys()].map(pageAddress);
  }

  /** After the doubleword at a physical address has changed in the source. */
  written(address: PhysAddr): TableChange {
    const entry = Number(address & 0xfffn) >> 3;
    for (const use of [...(this.#uses.get(pageNumberOf(address)) ?? [])]) this.#entry(physPage(address), use, entry);
    return this.#change();
  }

  /** After a page has come into the source, or has changed all over. */
  arrived(page: PhysAddr): TableChange {
    for (const use of [...(this.#uses.get(pageNumberOf(page)) ?? [])]) this.#entries(pageNumberOf(page), use);
    return this.#change();
  }

  #change(): TableChange {
    const change = { added: [...this.#added].map(pageAddress), removed: [...this.#removed].map(pageAddress) };
    this.#added = new Set();
    this.#removed = new Set();
    return change;
  }

  #root(regime: Regime, root: TableRoot): void {
    const table = pageNumberOf(root.table);
    if (!regime.enabled || table >= outputEnd(root)) return;
    const inherited = 0;
    this.#table(
      regime,
      root,
      tableParts(root.table, root.entries),
      root.startLevel,
      pageNumberOf(root.vaBase),
      inherited,
    );
  }

  #table(
    regime: Regime,
    root: TableRoot,
    parts: readonly TablePart[],
    level: number,
    start: number,
    inherited: Inherited,
  ): PlacedUse[] {
    const placed: PlacedUse[] = [];
    const pages = entryPages(root.format.granuleBits, level);
    let at = start;
    for (const { pageNumber, first, count } of parts) {
      const page = this.#locate(regime, pageNumber);
      if (page !== undefined && this.#mayAdd()) {
        const place = this.#uses.get(page)?.length ?? 0;
        const use = { regime, root, level, first, count, start: at, inherited, below: new Map(), place, gone: false };
        this.#add(page, use);
        placed.push({ page, use });
        this.#entries(page, use);
      }
      at += count * pages;
    }
    return placed;
  }

  #locate(regime: Regime, page: number): number | undefined {
    const { behind } = regime;
    if (behind === undefined) return page;
    const locator = this.#locators.get(regime) ?? tableLocator(behind, this.#source);
    this.#locators.set(regime, locator);
    const place = locator(page);
    return "page" in place ? place.page : undefined;
  }

  #mayAdd(): boolean {
    this.#overflowed ||= this.#count >= this.#most;
    return !this.#overflowed;
  }

  #add(page: number, use: Use): void {
    const uses = this.#uses.get(page);
    this.#count++;
    if (uses !== undefined) uses.push(use);
    else {
      this.#uses.set(page, [use]);
      if (!this.#removed.delete(page)) this.#added.add(page);
    }
  }

  #remove({ page, use }: PlacedUse): void {
    const uses = this.#uses.get(page);
    if (uses === undefined || use.gone) return;
    use.gone = true;
    this.#count--;
    const last = uses.pop() as Use;
    if (last !== use) {
      uses[use.place] = last;
      last.place = use.place;
    }
    if (uses.length === 0) {
      this.#uses.delete(page);
      if (!this.#added.delete(page)) this.#removed.add(page);
    }
    for (const below of use.below.values()) for (const each of below) this.#remove(each);
  }

  #entries(page: number, use: Use): void {
    if (use.level === LAST_LEVEL) return;
    const words = tablePage(this.#source.page(pageAddress(page)), use.regime.bigEndian);
    for (let i = use.first; i < use.first + use.count; i++) {
      const mayBeTable = isWords(words) && ((words[2 * i] as number) & 3) === 3;
      if (mayBeTable || use.below.has(i)) this.#entry(pageAddress(page), use, i);
    }
  }

  /** Follows what an entry leads to now. */
  #entry(page: PhysAddr, use: Use, entry: number): void {
    const { regime, root, level, first, count, inherited } = use;
    // In a table that refers to itself, what was done for one use may have ended another.
    if (use.gone || level === LAST_LEVEL || entry < first || entry >= first + count) return;
    const old = use.below.get(entry);
    const words = tablePage(this.#source.page(page), regime.bigEndian);
    const [low, high] = isWords(words) ? [words[2 * entry] as number, words[2 * entry + 1] as number] : [0, 0];
    const next = descriptorKind(low, level, root.format) === TABLE ? outputPage(low, high, root.format) : undefined;
    use.below.delete(entry);
    if (next !== undefined && next < outputEnd(root)) {
      const { granuleBits } = root.format;
      const start = use.start + (entry - first) * entryPages(granuleBits, level);
      const handedDown = root.hierarchical ? inherit(inherited, high) : 0;
      const parts = tableParts(pageAddress(next), tableEntries(granuleBits));
      use.below.set(entry, this.#table(regime, root, parts, level + 1, start, handedDown));
    }
    // After the new ones are there: a page that stays a table is neither added nor removed.
    for (const each of old ?? []) this.#remove(each);
  }
}

/** The virtual address that an entry of a page translates under a use, and how many bytes; undefined when it is no entry of that table. */
export function translatedBy(use: TableUse, entry: number): { readonly va: bigint; readonly size: bigint } | undefined {
  if (entry < use.first || entry >= use.first + use.count || entry >= PAGE_ENTRIES) return undefined;
  const pages = entryPages(use.root.format.granuleBits, use.level);
  const page = BigInt(use.start + (entry - use.first) * pages);
  return { va: page << PAGE_BITS, size: BigInt(pages) << PAGE_BITS };
}
