/** What a write did to the addresses that a regime translates. */
import type { RegimeMap } from "../aarch64/regime-map.ts";
import type { RegimeName } from "../aarch64/regime-model.ts";
import { pageAddress } from "../aarch64/table-pages.ts";
import type { TableUse } from "../aarch64/table-uses.ts";
import { type PhysAddr, type VirtAddr, virt } from "../base/address.ts";
import { diffMappings, type MappingChange, type MappingSide } from "../diff/mappings.ts";
import {
  descriptorIn,
  type Entry,
  entryAt,
  entryMap,
  indexInPage,
  type LeafOutput,
  leafOutput,
  sameOutput,
} from "./entry.ts";

/** Units: numbers of 4 KiB pages of virtual addresses. */
export interface PageRange {
  readonly start: number;
  readonly pages: number;
}

/**
 * `leaf`: an entry that maps a block, a page or nothing became another such one. `table`: it was or became a table. `stage2`: a regime behind
 * stage 2 translates otherwise since stage 2 was written. `register`: a register that decides translation was written.
 */
export type EffectKind = "leaf" | "table" | "stage2" | "register";

export interface Effect {
  readonly kind: EffectKind;
  /** Index of the event; of one that was not seen, of the event where it was found. */
  readonly event: number;
  /** False: nobody was seen to do it; it was found by comparing. */
  readonly seen: boolean;
  /** False: it is not known which addresses it changed; `ranges` are all that it may have changed. */
  readonly told: boolean;
  readonly regime: RegimeName;
  /** Indices of the vCPUs that used the regime in this form. */
  readonly cpus: readonly number[];
  /** What the entry translates, in bytes; 0 and 0 for `stage2` and `register`. */
  readonly va: VirtAddr;
  readonly size: bigint;
  /** Of the table that the entry is in. */
  readonly level: number | undefined;
  /** The physical address of the descriptor, and what it was and became as the hardware reads it. */
  readonly address: PhysAddr | undefined;
  readonly before: bigint | undefined;
  readonly after: bigint | undefined;
  /** The addresses whose translation changed, ascending; none when the descriptor changed and no translation did. */
  readonly ranges: readonly PageRange[];
  /** Of a `leaf` that no stage 2 is behind: where the entry led before and after; null: nowhere. */
  sides(): { readonly before: MappingSide | null; readonly after: MappingSide | null } | undefined;
  /** What changed, as a difference of two points would have it; empty when it is not told. */
  changes(): readonly MappingChange[];
}

/** A regime and the vCPUs that have it. */
export interface RegimeUsers {
  readonly regime: RegimeName;
  readonly cpus: readonly number[];
}

/** What every effect has. */
export interface EffectPlace extends RegimeUsers {
  readonly event: number;
  readonly seen: boolean;
}

/** One write to a table: where, and what the doubleword was and becomes. */
export interface TableWrite {
  readonly event: number;
  readonly seen: boolean;
  readonly address: PhysAddr;
  readonly before: bigint;
  readonly after: bigint;
}

/** What was written: an entry of a table, or a register. */
export interface EffectSubject {
  readonly kind: EffectKind;
  readonly entry: Entry | undefined;
  readonly level: number | undefined;
  readonly address: PhysAddr | undefined;
  readonly before: bigint | undefined;
  readonly after: bigint | undefined;
}

/** Some register. */
export const A_REGISTER: EffectSubject = {
  kind: "register",
  entry: undefined,
  level: undefined,
  address: undefined,
  before: undefined,
  after: undefined,
};

const NONE: readonly never[] = [];

/** A leaf that became another leaf, or came or went: there may be a million of them, so that little is kept of each. */
export class LeafEffect implements Effect {
  readonly kind = "leaf";
  readonly told = true;
  readonly event: number;
  readonly seen: boolean;
  readonly address: PhysAddr;
  readonly before: bigint;
  readonly after: bigint;
  readonly #who: RegimeUsers;
  readonly #use: TableUse;
  readonly #changed: boolean;

  /** `before` and `after`: doublewords in memory. */
  constructor({ event, seen, address, before, after }: TableWrite, who: RegimeUsers, use: TableUse, entry: Entry) {
    this.event = event;
    this.seen = seen;
    this.address = address;
    this.before = descriptorIn(entry.regime, before);
    this.after = descriptorIn(entry.regime, after);
    this.#who = who;
    this.#use = use;
    this.#changed = !sameOutput(leafOutput(entry, this.before), leafOutput(entry, this.after));
  }

  get regime(): RegimeName {
    return this.#who.regime;
  }
  get cpus(): readonly number[] {
    return this.#who.cpus;
  }
  get va(): VirtAddr {
    return virt(BigInt(this.#entry.start) << 12n);
  }
  get size(): bigint {
    return BigInt(this.#entry.pages) << 12n;
  }
  get level(): number {
    return this.#use.level;
  }
  get ranges(): readonly PageRange[] {
    return this.#changed ? [this.#entry] : NONE;
  }

  sides(): { readonly before: MappingSide | null; readonly after: MappingSide | null } {
    const entry = this.#entry;
    return { before: sideOf(leafOutput(entry, this.before)), after: sideOf(leafOutput(entry, this.after)) };
  }

  changes(): readonly MappingChange[] {
    const entry = this.#entry;
    const map = (descriptor: bigint): RegimeMap => entryMap(entry, descriptor, NO_PAGES, undefined);
    return this.#changed ? diffMappings(this.regime, map(this.before), map(this.after)) : NONE;
  }

  get #entry(): Entry {
    return entryAt(this.#use, indexInPage(this.address));
  }
}

function sideOf(output: LeafOutput | null): MappingSide | null {
  return output === null ? null : { pa: pageAddress(output.page), attributes: output.attributes };
}

const NO_PAGES = { page: () => undefined };

/**
 * What came of replacing one map by another: the changes, and where it cannot be told, as a table was or is not at hand.
 */
export function comparedEffects(
  place: EffectPlace,
  rest: EffectSubject,
  before: RegimeMap | undefined,
  after: RegimeMap | undefined,
): WalkedEffect[] {
  const told = toldEffect(place, rest, diffMappings(place.regime, before, after));
  const [old, now] = [before?.lost ?? NONE, after?.lost ?? NONE];
  const same = old.length === now.length && old.every((each, i) => sameRange(each, now[i]));
  return same ? [told] : [told, untoldEffect(place, rest, [...old, ...now])];
}

function sameRange(a: PageRange, b: PageRange | undefined): boolean {
  return a.start === b?.start && a.pages === b.pages;
}

/** An effect with its changes worked out. */
function toldEffect(place: EffectPlace, subject: EffectSubject, changes: readonly MappingChange[]): WalkedEffect {
  const ranges = changes.map(({ va, size }) => ({ start: Number(va >> 12n), pages: Number(size >> 12n) }));
  return new WalkedEffect(place, subject, ranges, changes);
}

/** An effect of which only is known what it may have changed. */
export function untoldEffect(place: EffectPlace, subject: EffectSubject, ranges: readonly PageRange[]): WalkedEffect {
  return new WalkedEffect(place, subject, ranges, undefined);
}

/** What came of comparing maps, or of not being able to. */
export class WalkedEffect implements Effect {
  readonly ranges: readonly PageRange[];
  readonly #place: EffectPlace;
  readonly #subject: EffectSubject;
  readonly #changes: readonly MappingChange[] | undefined;

  constructor(
    place: EffectPlace,
    subject: EffectSubject,
    ranges: readonly PageRange[],
    changes: readonly MappingChange[] | undefined,
  ) {
    this.#place = place;
    this.#subject = subject;
    this.ranges = ranges;
    this.#changes = changes;
  }

  /** The same changes by another event. */
  again(place: EffectPlace): WalkedEffect {
    return new WalkedEffect(place, this.#subject, this.ranges, this.#changes);
  }

  get told(): boolean {
    return this.#changes !== undefined;
  }
  get kind(): EffectKind {
    return this.#subject.kind;
  }
  get event(): number {
    return this.#place.event;
  }
  get seen(): boolean {
    return this.#place.seen;
  }
  get regime(): RegimeName {
    return this.#place.regime;
  }
  get cpus(): readonly number[] {
    return this.#place.cpus;
  }
  get va(): VirtAddr {
    return virt(BigInt(this.#subject.entry?.start ?? 0) << 12n);
  }
  get size(): bigint {
    return BigInt(this.#subject.entry?.pages ?? 0) << 12n;
  }
  get level(): number | undefined {
    return this.#subject.level;
  }
  get address(): PhysAddr | undefined {
    return this.#subject.address;
  }
  get before(): bigint | undefined {
    return this.#subject.before;
  }
  get after(): bigint | undefined {
    return this.#subject.after;
  }

  sides(): undefined {
    return undefined;
  }

  changes(): readonly MappingChange[] {
    return this.#changes ?? NONE;
  }
}
