/**
 * The one walker: goes through the tables of a regime in the order of virtual addresses and puts together what belongs together.
 * Printing, coalescing and diffing consume its runs.
 *
 * Source: Arm ARM DDI 0487, D8.2 and D8.3. A table that is not at hand is lost coverage, never "unmapped". Addresses inside are page
 * numbers (address / 4096, below 2^52, so exact as doubles). A descriptor that names an address wider than TCR_ELx.{IPS,PS} allows
 * maps nothing (an Address size fault, D8.2). Tables are untrusted: the numbers of tables visited and of runs are bounded, since a
 * table may be referred to from many places.
 */
import type { PageSource } from "../base/memory.ts";
import { type Attributes, flatAttributes, leafAttributes } from "./attributes.ts";
import { throughStage2 } from "./compose.ts";
import {
  blockPage,
  descriptorKind,
  INVALID,
  type Inherited,
  inherit,
  leafKey,
  outputPage,
  TABLE,
} from "./descriptor.ts";
import { entryPages, LAST_LEVEL, tableEntries } from "./granule.ts";
import { LeafDecoder, RUN_SIZE } from "./leaf-runs.ts";
import type { LostRun, RegimeMap, Run, TableRef } from "./regime-map.ts";
import type { Regime, TableRoot, Undecoded } from "./regime-model.ts";
import { isWords, pageNumberOf, type TablePart, type TableReader, tableParts } from "./table-pages.ts";
import { outputEnd, tableReader } from "./translate.ts";

/** Pages of tables visited in one walk, each time they are referred to: what 512 GiB in pages of 4 KiB need. */
export const DEFAULT_MAX_VISITS = 2 ** 18;
/** The address space from the top downwards and from 0 upwards that a TTBR can translate: 2^52 bytes each. */
const HALF_PAGES = 2 ** 40;
const UPPER_HALF = 2 ** 52 - HALF_PAGES;

/** Descriptors in a page of a table. */
const PAGE_ENTRIES = 512;
const LEVELS = [-1, 0, 1, 2, LAST_LEVEL];

/** Runs of one walk: a table that is referred to from everywhere has a run for each of its entries each time. */
export const DEFAULT_MAX_RUNS = 2 ** 16;

export interface MapOptions {
  /** The most table pages visited, counting each reference. Default 262,144. */
  readonly maxVisits?: number;
  /** The most runs made, and as many more as the last table has. Default 65,536. */
  readonly maxRuns?: number;
  /** What several walks may visit together, in place of `maxVisits`: counted down. */
  readonly visits?: { left: number };
  /** What tables above the roots say of permissions, for a walk that starts below the top. Default: nothing. */
  readonly inherited?: Inherited;
}

/** Walks a regime over the pages that `source` holds; through stage 2 where the regime is behind it. */
export function mapRegime(regime: Regime, source: PageSource, options: MapOptions = {}): RegimeMap {
  const maxRuns = options.maxRuns ?? DEFAULT_MAX_RUNS;
  const visits = options.visits ?? { left: options.maxVisits ?? DEFAULT_MAX_VISITS };
  const walk = new Walk(regime, tableReader(regime, source), visits, maxRuns);
  if (!regime.enabled && regime.undecoded.length === 0) walk.flat();
  for (const root of regime.roots) walk.root(root, options.inherited ?? 0);
  for (const undecoded of regime.undecoded) walk.undecoded(undecoded);
  const map = walk.result();
  if (regime.behind === undefined) return map;
  return throughStage2(map, mapRegime(regime.behind, source, { ...options, inherited: 0 }), maxRuns);
}

interface OpenRun {
  start: number;
  pages: number;
  output: number;
  key: number;
}

class Walk {
  readonly #regime: Regime;
  readonly #tables: TableReader;
  readonly #runs: Run[] = [];
  readonly #lost: LostRun[] = [];
  readonly #seen = new Map<number, TableRef>();
  readonly #maxRuns: number;
  readonly #visits: { left: number };

  constructor(regime: Regime, tables: TableReader, visits: { left: number }, maxRuns: number) {
    this.#visits = visits;
    this.#maxRuns = maxRuns;
    this.#regime = regime;
    this.#tables = tables;
  }

  /** Translation off: every address that fits is its own output. */
  flat(): void {
    const pages = 2 ** (this.#regime.physicalBits - 12);
    this.#runs.push({ start: 0, pages, output: 0, attributes: flatAttributes(this.#regime) });
  }

  root(root: TableRoot, inherited: Inherited): void {
    if (pageNumberOf(root.table) >= outputEnd(root)) return;
    const runs = new RunList(this.#runs, root, this.#regime);
    this.#table(tableParts(root.table, root.entries), root.startLevel, pageNumberOf(root.vaBase), inherited, runs);
    runs.flush();
  }

  undecoded({ code, why, root, halves }: Undecoded): void {
    const table = root === undefined ? undefined : pageNumberOf(root);
    for (const half of halves) {
      const start = half === "lower" ? 0 : UPPER_HALF;
      this.#lost.push({ start, pages: HALF_PAGES, table, level: undefined, code, why });
    }
  }

  result(): RegimeMap {
    const lost = this.#lost.sort((a, b) => a.start - b.start);
    return { regime: this.#regime, runs: this.#runs, lost, tables: [...this.#seen.values()] };
  }

  #table(parts: readonly TablePart[], level: number, start: number, inherited: Inherited, runs: RunList): void {
    let at = start;
    for (const part of parts) {
      this.#part(part, level, at, inherited, runs);
      at += part.count * runs.entryPages(level);
    }
  }

  #part(part: TablePart, level: number, start: number, inherited: Inherited, runs: RunList): void {
    const words = this.#tables.get(part.pageNumber);
    const whole = isWords(words);
    const overrun = --this.#visits.left < 0 || this.#runs.length > this.#maxRuns;
    if (!whole && "fault" in words && !overrun) return;
    const pageNumber = this.#physical(part.pageNumber);
    if (!whole || pageNumber === undefined || overrun) {
      const pages = runs.entryPages(level) * part.count;
      const code = whole || "fault" in words ? "too-many-tables" : words.missing;
      this.#lost.push({ start, pages, table: pageNumber, level, code });
      return;
    }
    this.#seen.set(pageNumber * 8 + level + 1, { pageNumber, level });
    if (level === LAST_LEVEL) runs.addLeaves(words, part, start, inherited);
    else this.#entries(words, part, level, start, inherited, runs);
  }

  /** The physical page of a page of tables; undefined when it has none that is known. */
  #physical(pageNumber: number): number | undefined {
    if (this.#regime.behind === undefined) return pageNumber;
    const place = this.#tables.locate(pageNumber);
    return "page" in place ? place.page : undefined;
  }

  /** The table that a descriptor names: whole pages. */
  #below(page: number, level: number, start: number, inherited: Inherited, runs: RunList): void {
    const pages = runs.entryPages(level) * PAGE_ENTRIES;
    for (let i = 0; i < runs.tablePages; i++) {
      this.#part({ pageNumber: page + i, first: 0, count: PAGE_ENTRIES }, level, start + i * pages, inherited, runs);
    }
  }

  #entries(
    words: Uint32Array,
    { first, count }: TablePart,
    level: number,
    start: number,
    inherited: Inherited,
    runs: RunList,
  ): void {
    const { format, hierarchical } = runs.root;
    const pages = runs.entryPages(level);
    for (let i = 0; i < count; i++) {
      const low = words[2 * (first + i)] as number;
      const kind = descriptorKind(low, level, format);
      if (kind === INVALID) continue;
      const high = words[2 * (first + i) + 1] as number;
      const output = kind === TABLE ? outputPage(low, high, format) : blockPage(low, high, format, pages);
      if (output >= runs.outputEnd) continue;
      const at = start + i * pages;
      if (kind === TABLE) {
        this.#below(output, level + 1, at, hierarchical ? inherit(inherited, high) : 0, runs);
      } else {
        runs.add(at, pages, output, leafKey(low, high, inherited, level, format));
      }
    }
  }
}

/** The runs of one root, put together as they come. */
class RunList {
  readonly root: TableRoot;
  readonly outputEnd: number;
  /** Pages of a table that a descriptor names. */
  readonly tablePages: number;
  readonly #entryPages: readonly number[];
  readonly #regime: Regime;
  readonly #runs: Run[];
  readonly #leaves: LeafDecoder;
  readonly #attributes = new Map<number, Attributes>();
  #open: OpenRun | undefined;

  constructor(runs: Run[], root: TableRoot, regime: Regime) {
    this.root = root;
    this.outputEnd = outputEnd(root);
    const { granuleBits } = root.format;
    this.tablePages = tableEntries(granuleBits) / PAGE_ENTRIES;
    this.#entryPages = LEVELS.map((level) => entryPages(granuleBits, level));
    this.#regime = regime;
    this.#runs = runs;
    this.#leaves = new LeafDecoder(root.format, this.outputEnd);
  }

  /** What an entry of a level translates, in pages. */
  entryPages(level: number): number {
    return this.#entryPages[level + 1] as number;
  }

  /** The leaves of a page of the last level. */
  addLeaves(words: Uint32Array, part: TablePart, start: number, inherited: Inherited): void {
    const pages = this.entryPages(LAST_LEVEL);
    const leaves = this.#leaves.runs(words, part, inherited);
    for (let i = 0; i < leaves.length; i += RUN_SIZE) {
      const at = start + (leaves[i] as number) * pages;
      this.add(at, (leaves[i + 1] as number) * pages, leaves[i + 2] as number, leaves[i + 3] as number);
    }
  }

  add(start: number, pages: number, output: number, key: number): void {
    const open = this.#open;
    if (
      open !== undefined &&
      open.start + open.pages === start &&
      open.output + open.pages === output &&
      this.#sameAttributes(open.key, key)
    ) {
      open.pages += pages;
      return;
    }
    this.flush();
    this.#open = { start, pages, output, key };
  }

  flush(): void {
    const open = this.#open;
    if (open === undefined) return;
    this.#open = undefined;
    const { start, pages, output } = open;
    this.#runs.push({ start, pages, output, attributes: this.#attributesOf(open.key) });
  }

  /** Keys may differ in bits that mean nothing here. */
  #sameAttributes(a: number, b: number): boolean {
    return a === b || this.#attributesOf(a).key === this.#attributesOf(b).key;
  }

  #attributesOf(key: number): Attributes {
    const known = this.#attributes.get(key);
    if (known !== undefined) return known;
    const attributes = leafAttributes(key, this.root, this.#regime);
    this.#attributes.set(key, attributes);
    return attributes;
  }
}
