/** What a write did to the addresses that a regime translates. */
import type { RegimeMap } from "../aarch64/regime-map.ts";
import type { RegimeName } from "../aarch64/regime-model.ts";
import { type PhysAddr, type VirtAddr, virt } from "../base/address.ts";
import { diffMappings, type MappingChange } from "../diff/mappings.ts";
import { descriptorIn, type Entry, entryMap, leafOutput, sameOutput } from "./entry.ts";

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
  /** What changed, as a difference of two points would have it; empty when it is not told. */
  changes(): readonly MappingChange[];
}

/** What every effect has. */
export interface EffectPlace {
  readonly event: number;
  readonly seen: boolean;
  readonly regime: RegimeName;
  readonly cpus: readonly number[];
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
  readonly #place: EffectPlace;
  readonly #entry: Entry;
  readonly address: PhysAddr;
  readonly before: bigint;
  readonly after: bigint;
  readonly #changed: boolean;

  /** `before` and `after`: doublewords in memory. */
  constructor(place: EffectPlace, entry: Entry, address: PhysAddr, before: bigint, after: bigint) {
    this.#place = place;
    this.#entry = entry;
    this.address = address;
    this.before = descriptorIn(entry.regime, before);
    this.after = descriptorIn(entry.regime, after);
    this.#changed = !sameOutput(leafOutput(entry, this.before), leafOutput(entry, this.after));
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
    return virt(BigInt(this.#entry.start) << 12n);
  }
  get size(): bigint {
    return BigInt(this.#entry.pages) << 12n;
  }
  get level(): number {
    return this.#entry.level;
  }
  get ranges(): readonly PageRange[] {
    return this.#changed ? [this.#entry] : NONE;
  }

  changes(): readonly MappingChange[] {
    const map = (descriptor: bigint): RegimeMap => entryMap(this.#entry, descriptor, NO_PAGES, undefined);
    return this.#changed ? diffMappings(this.regime, map(this.before), map(this.after)) : NONE;
  }
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
): Effect[] {
  const told = toldEffect(place, rest, diffMappings(place.regime, before, after));
  const [old, now] = [before?.lost ?? NONE, after?.lost ?? NONE];
  const same = old.length === now.length && old.every((each, i) => sameRange(each, now[i]));
  return same ? [told] : [told, untoldEffect(place, rest, [...old, ...now])];
}

function sameRange(a: PageRange, b: PageRange | undefined): boolean {
  return a.start === b?.start && a.pages === b.pages;
}

/** An effect with its changes worked out. */
export function toldEffect(place: EffectPlace, rest: EffectSubject, changes: readonly MappingChange[]): Effect {
  const ranges = changes.map(({ va, size }) => ({ start: Number(va >> 12n), pages: Number(size >> 12n) }));
  return { ...assembled(place, rest), told: true, ranges, changes: () => changes };
}

/** An effect of which only is known what it may have changed. */
export function untoldEffect(place: EffectPlace, rest: EffectSubject, ranges: readonly PageRange[]): Effect {
  return { ...assembled(place, rest), told: false, ranges, changes: () => NONE };
}

function assembled(place: EffectPlace, { entry, ...rest }: EffectSubject): Omit<Effect, "told" | "ranges" | "changes"> {
  const { event, seen, regime, cpus } = place;
  return {
    ...{ event, seen, regime, cpus },
    ...rest,
    va: virt(BigInt(entry?.start ?? 0) << 12n),
    size: BigInt(entry?.pages ?? 0) << 12n,
  };
}
