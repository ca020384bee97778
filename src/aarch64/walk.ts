/**
 * The one walker: goes through the tables of a regime in the order of virtual addresses and puts together what belongs together.
 * Printing, coalescing and diffing consume its runs.
 *
 * Source: Arm ARM DDI 0487, D8.2 and D8.3. A table that is not at hand is lost coverage, never "unmapped". Addresses inside are page
 * numbers (address / 4096, below 2^52, so exact as doubles). A descriptor that names an address wider than TCR_ELx.{IPS,PS} allows
 * maps nothing (an Address size fault, D8.2). Tables are untrusted: the numbers of tables visited and of runs are bounded, since a
 * table may be referred to from many places.
 */
import { type PhysAddr, phys, type VirtAddr, virt } from "../base/address.ts";
import type { ErrorCode } from "../base/error.ts";
import type { PageSource } from "../base/memory.ts";
import { rootWindow } from "./collect.ts";
import {
  type Attributes,
  descriptorKind,
  flatAttributes,
  INVALID,
  type Inherited,
  inherit,
  leafAttributes,
  leafKey,
  outputPage,
  TABLE,
} from "./descriptor.ts";
import { levelShift, outputEnd, type Regime, type RegimeName, type TableRoot, type Undecoded } from "./regime.ts";
import { isMissing, pageNumberOf, TablePages } from "./table-pages.ts";

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

export interface TableRef {
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

/** Tables visited in one walk, each time it is referred to. */
const MAX_VISITS = 262_144;
/** Runs of one walk: a table that is referred to from everywhere has a run for each of its entries each time. */
const MAX_RUNS = 2 ** 20;
/** The address space from the top downwards and from 0 upwards that a TTBR can translate: 2^52 bytes each. */
const HALF_PAGES = 2 ** 40;
const UPPER_HALF = 2 ** 52 - HALF_PAGES;

/** Walks a regime over the pages that `source` holds. */
export function mapRegime(regime: Regime, source: PageSource): RegimeMap {
  const walk = new Walk(regime, new TablePages(source));
  if (!regime.enabled && regime.undecoded.length === 0) walk.flat();
  for (const root of regime.roots) walk.root(root);
  for (const undecoded of regime.undecoded) walk.undecoded(undecoded);
  return walk.result();
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

interface OpenRun {
  start: number;
  pages: number;
  output: number;
  key: number;
}

class Walk {
  readonly #regime: Regime;
  readonly #tables: TablePages;
  readonly #runs: Run[] = [];
  readonly #lost: LostRun[] = [];
  readonly #seen = new Map<number, TableRef>();
  readonly #attributes = new Map<number, Attributes>();
  readonly #outputEnd: number;
  #open: OpenRun | undefined;
  #visits = 0;

  constructor(regime: Regime, tables: TablePages) {
    this.#regime = regime;
    this.#tables = tables;
    this.#outputEnd = outputEnd(regime);
  }

  /** Translation off: every address that fits is its own output. */
  flat(): void {
    this.#runs.push({ start: 0, pages: this.#outputEnd, output: 0, attributes: flatAttributes(this.#regime) });
  }

  root(root: TableRoot): void {
    const { pageNumber, first, count } = rootWindow(root);
    if (pageNumber >= this.#outputEnd) return;
    const start = pageNumberOf(root.vaBase);
    this.#table({ pageNumber, level: root.startLevel, first, count }, start, 0, root.hierarchical);
    this.#flush();
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

  #table(
    table: { pageNumber: number; level: number; first: number; count: number },
    start: number,
    inherited: Inherited,
    hierarchical: boolean,
  ): void {
    const { pageNumber, level, first, count } = table;
    const entryPages = 2 ** (levelShift(level) - 12);
    const words = this.#tables.get(pageNumber);
    const overrun = ++this.#visits > MAX_VISITS || this.#runs.length > MAX_RUNS;
    if (isMissing(words) || overrun) {
      const code = isMissing(words) ? words.missing : "too-many-tables";
      this.#lost.push({ start, pages: entryPages * count, table: pageNumber, level, code });
      return;
    }
    this.#seen.set(pageNumber * 4 + level, { pageNumber, level });
    const end = Math.min(first + count, 512);
    for (let i = first; i < end; i++) {
      const low = words[2 * i] as number;
      const kind = descriptorKind(low, level);
      if (kind === INVALID) continue;
      const high = words[2 * i + 1] as number;
      const output = outputPage(low, high);
      if (output >= this.#outputEnd) continue;
      const at = start + (i - first) * entryPages;
      if (kind === TABLE) {
        const next = { pageNumber: output, level: level + 1, first: 0, count: 512 };
        this.#table(next, at, hierarchical ? inherit(inherited, high) : 0, hierarchical);
      } else {
        this.#leaf(at, entryPages, output - (output % entryPages), leafKey(low, high, inherited, level));
      }
    }
  }

  #leaf(start: number, pages: number, output: number, key: number): void {
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
    this.#flush();
    this.#open = { start, pages, output, key };
  }

  #flush(): void {
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
    const attributes = leafAttributes(key, this.#regime);
    this.#attributes.set(key, attributes);
    return attributes;
  }
}
