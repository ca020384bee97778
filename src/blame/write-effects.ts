/**
 * What a write to a doubleword of a table changes, in every live regime that the table belongs to.
 *
 * A leaf is decoded by itself. Where the doubleword is or was one of a table, what is below it is walked before and after. Where a regime is
 * behind stage 2 and stage 2 is written, the whole of it is compared.
 */
import { entryPages } from "../aarch64/granule.ts";
import type { RegimeMap } from "../aarch64/regime-map.ts";
import type { TableUse } from "../aarch64/table-uses.ts";
import type { PhysAddr } from "../base/address.ts";
import type { MemoryRead } from "../base/memory.ts";
import type { Budget } from "./budget.ts";
import {
  A_REGISTER,
  comparedEffects,
  type Effect,
  type EffectKind,
  type EffectPlace,
  type EffectSubject,
  LeafEffect,
  type PageRange,
  type TableWrite,
  untoldEffect,
} from "./effect.ts";
import { descriptorIn, type Entry, entryAt, entryMap, indexInPage, isEntry, leadsToTable } from "./entry.ts";
import type { LiveRegime, LiveRegimes } from "./live-regimes.ts";
import type { ReplayPages } from "./replay-pages.ts";
import { EVERYTHING, type WholeRegimes } from "./whole-regimes.ts";

interface UsedEntry {
  readonly live: LiveRegime;
  readonly entry: Entry;
  /** Undefined where it stands for all of a table that is referred to too often. */
  readonly use: TableUse | undefined;
  /** The doubleword is or was a descriptor of a table. */
  readonly structural: boolean;
}

/** Entries of one doubleword that are looked at one by one; a table that is referred to more often is told of as a whole. */
const MAX_ENTRIES = 1024;

const PAGE_ENTRIES = 512;

/** Some entries of a table. */
const A_TABLE: EffectSubject = { ...A_REGISTER, kind: "table" };

export class WriteEffects {
  readonly #pages: ReplayPages;
  readonly #live: LiveRegimes;
  readonly #whole: WholeRegimes;
  readonly #budget: Budget;

  constructor(pages: ReplayPages, live: LiveRegimes, whole: WholeRegimes, budget: Budget) {
    this.#pages = pages;
    this.#live = live;
    this.#whole = whole;
    this.#budget = budget;
  }

  /** Does the write, and returns its effects. */
  of(write: TableWrite): readonly Effect[] {
    this.#live.memoryChanges();
    const used = this.#entries(write);
    const stage2 = used.some(({ live }) => live.shared.name === "stage2");
    const behind = stage2 ? this.#live.list().filter(({ shared }) => shared.regime.behind !== undefined) : [];
    const mapsBefore = behind.map(({ shared }) => this.#whole.mapOf(shared));
    const pending = used.map((each) => this.#before(each, write));
    this.#pages.write(write.address, write.after);
    this.#whole.memoryChanged(stage2);
    if (used.some(({ structural }) => structural)) this.#follow(write.address);
    const effects = pending.flatMap((finish) => finish());
    if (behind.length === 0) return effects;
    this.#live.rebuildBehind();
    return [...effects, ...behind.flatMap((live, i) => this.#compareBehind(live, mapsBefore[i], write))];
  }

  /** What may have changed when a doubleword was written whose page is not at hand. */
  unknown(write: TableWrite): readonly Effect[] {
    return this.#entries(write).map(({ live, entry }) =>
      untoldEffect(placeOf(write, live), subjectOf(write, entry, "table"), [entry]),
    );
  }

  /** A page is put in the place of what is known of it; where it is a table, it is not known what it was before. */
  arrived(event: number, page: PhysAddr, read: MemoryRead): readonly Effect[] {
    this.#live.memoryChanges();
    this.#pages.load(page, read);
    this.#whole.memoryChanged(true);
    return this.#live.list().flatMap((live) => {
      const uses = [...live.uses.usesOf(page)];
      if (uses.length === 0) return [];
      live.uses.arrived(page);
      this.#budget.uses -= uses.length + PAGE_ENTRIES;
      const ranges = uses.slice(0, MAX_ENTRIES).map(rangeOf);
      const place = { event, seen: false, ...live.who };
      return [untoldEffect(place, A_TABLE, uses.length > MAX_ENTRIES ? EVERYTHING : ranges)];
    });
  }

  #follow(address: PhysAddr): void {
    for (const { uses } of this.#live.list()) {
      uses.written(address);
      this.#budget.uses -= 16;
    }
  }

  /** The entries that the doubleword is, less those that are below another one of it: what it was and is tells of them too. */
  #entries({ address, before, after }: TableWrite): UsedEntry[] {
    const index = indexInPage(address);
    return this.#live.list().flatMap((live) => {
      const uses = live.uses.usesOf(address);
      this.#budget.uses -= uses.length;
      if (uses.length > MAX_ENTRIES) return this.#everything(live);
      const { regime } = live.shared;
      const [old, now] = [descriptorIn(regime, before), descriptorIn(regime, after)];
      const found: UsedEntry[] = [];
      for (const use of uses) {
        if (!isEntry(use, index)) continue;
        const entry = entryAt(use, index);
        found.push({ live, entry, use, structural: leadsToTable(entry, old) || leadsToTable(entry, now) });
      }
      return found.length > 1 ? withoutNested(found) : found;
    });
  }

  #everything(live: LiveRegime): UsedEntry[] {
    const [root] = live.shared.regime.roots;
    if (root === undefined) return [];
    const entry = { regime: live.shared.regime, root, level: root.startLevel, inherited: 0, start: 0, pages: 0 };
    return [{ live, entry, use: undefined, structural: true }];
  }

  /** Looks at an entry before the write; what is returned does so after it. */
  #before({ live, entry, use, structural }: UsedEntry, write: TableWrite): () => readonly Effect[] {
    const { regime } = entry;
    if (!structural && use !== undefined && regime.behind === undefined) {
      return () => [new LeafEffect(write, live.who, use, entry)];
    }
    const place = placeOf(write, live);
    const { before, after, ...subject } = subjectOf(write, entry, structural ? "table" : "leaf");
    const ranges: readonly PageRange[] = entry.pages === 0 ? EVERYTHING : [entry];
    const untold = (): Effect[] => [untoldEffect(place, { ...subject, before, after }, ranges)];
    if (entry.pages === 0 || !this.#budget.mayWalk) return untold;
    const stage2 = this.#whole.stage2Of(regime);
    const old = this.#map(entry, before, stage2);
    return () => {
      if (!this.#budget.mayWalk) return untold();
      return this.#counted(comparedEffects(place, { ...subject, before, after }, old, this.#map(entry, after, stage2)));
    };
  }

  #map(entry: Entry, descriptor: bigint, stage2: RegimeMap | undefined): RegimeMap {
    return this.#budget.walk((options) => entryMap(entry, descriptor, this.#pages, stage2, options));
  }

  #compareBehind(live: LiveRegime, before: RegimeMap | undefined, write: TableWrite): readonly Effect[] {
    const place = placeOf(write, live);
    const { address, before: old, after: now } = write;
    const subject = { kind: "stage2", entry: undefined, level: undefined, address, before: old, after: now } as const;
    const allowed = --this.#budget.comparisons >= 0;
    const after = allowed ? this.#whole.mapOf(live.shared) : undefined;
    if (before === undefined || after === undefined) return [untoldEffect(place, subject, EVERYTHING)];
    return this.#counted(comparedEffects(place, subject, before, after));
  }

  #counted(effects: readonly Effect[]): readonly Effect[] {
    for (const { ranges } of effects) this.#budget.changes -= ranges.length;
    return effects;
  }
}

function placeOf({ event, seen }: TableWrite, { who }: LiveRegime): EffectPlace {
  return { event, seen, ...who };
}

function subjectOf(
  { address, before, after }: TableWrite,
  entry: Entry,
  kind: EffectKind,
): EffectSubject & { readonly before: bigint; readonly after: bigint } {
  const { regime, level } = entry;
  return { kind, entry, level, address, before: descriptorIn(regime, before), after: descriptorIn(regime, after) };
}

/** All that a page translates under a use. */
function rangeOf({ start, count, level, root }: TableUse): PageRange {
  return { start, pages: count * entryPages(root.format.granuleBits, level) };
}

/** Nearest to the root first; an entry inside another one that has or had a table below it is left out. */
function withoutNested(entries: readonly UsedEntry[]): UsedEntry[] {
  const kept: UsedEntry[] = [];
  for (const each of [...entries].sort((a, b) => a.entry.level - b.entry.level)) {
    if (!kept.some((above) => above.structural && isInside(each.entry, above.entry))) kept.push(each);
  }
  return kept;
}

function isInside(inner: Entry, outer: Entry): boolean {
  return inner.root === outer.root && inner.start >= outer.start && inner.start < outer.start + outer.pages;
}
