/** Breakpoints, vectors and watched writes as users of the API have them: what counts as a hit, and how many there were. */
import type { VirtAddr } from "../base/address.ts";
import { EbscopeError } from "../base/error.ts";
import type { Expression } from "../plan/expression/expression.ts";
import type { FoundPlace } from "./places.ts";
import type { Stop } from "./stop.ts";

/** An expression (its text, or one that was read already), or a function that looks at the stop. */
export type Condition = string | Expression | ((stop: Stop) => boolean | Promise<boolean>);

/** Counted from 1, both ends included. */
export interface HitRange {
  readonly from?: number;
  readonly to?: number;
}

export interface BreakpointOptions {
  /** What has to hold for an arrival to be a hit. */
  readonly condition?: Condition;
  /** The hits that are told of: the n-th, or those of a range. All where left out. */
  readonly hits?: number | HitRange;
}

export type BreakpointKind = "breakpoint" | "vector" | "watchpoint";

/** Decides over an arrival; undefined: it cannot be told whether the condition holds. */
export type Decide = (stop: Stop) => Promise<boolean | undefined>;

export interface BreakpointSetup {
  readonly kind: BreakpointKind;
  readonly place: FoundPlace;
  /** Bytes that are watched; 4 for a breakpoint. */
  readonly length: number;
  readonly hits: HitRange;
  readonly decide: Decide;
  readonly remove: () => Promise<void>;
}

export class Breakpoint implements AsyncDisposable {
  readonly kind: BreakpointKind;
  readonly place: FoundPlace;
  readonly length: number;
  readonly #setup: BreakpointSetup;
  #removed: Promise<void> | undefined;
  #arrivals = 0;
  #hits = 0;
  #undecided = 0;

  constructor(setup: BreakpointSetup) {
    this.kind = setup.kind;
    this.place = setup.place;
    this.length = setup.length;
    this.#setup = setup;
  }

  get address(): VirtAddr {
    return this.place.address;
  }

  get name(): string {
    return this.place.name;
  }

  /** How often a vCPU came here while it was in the guest. */
  get arrivals(): number {
    return this.#arrivals;
  }

  /** How many of the arrivals met the condition. */
  get hits(): number {
    return this.#hits;
  }

  /** At how many arrivals the condition could not be decided: memory or a register that it names could not be read. They are no hits. */
  get undecided(): number {
    return this.#undecided;
  }

  get isRemoved(): boolean {
    return this.#removed !== undefined;
  }

  /** All hits that are told of have come. */
  get isSpent(): boolean {
    return this.#hits >= (this.#setup.hits.to ?? Number.POSITIVE_INFINITY);
  }

  /** Counts an arrival; the number of the hit when it is to be told of. */
  async arrive(stop: Stop): Promise<number | undefined> {
    this.#arrivals++;
    const decided = await this.#setup.decide(stop);
    if (decided === undefined) this.#undecided++;
    if (decided !== true) return undefined;
    const hit = ++this.#hits;
    const { from = 1, to = Number.POSITIVE_INFINITY } = this.#setup.hits;
    return hit >= from && hit <= to ? hit : undefined;
  }

  /** Takes it out of the guest; a running guest is halted for that. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#removed ??= this.#setup.remove();
    return this.#removed;
  }
}

/** Raises `usage` for a range that holds no number. */
export function hitRange(hits: BreakpointOptions["hits"]): HitRange {
  const range = typeof hits === "number" ? { from: hits, to: hits } : (hits ?? {});
  const { from = 1, to = Number.POSITIVE_INFINITY } = range;
  const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 1;
  if (isCount(from) && (isCount(to) || to === Number.POSITIVE_INFINITY) && from <= to) return range;
  throw new EbscopeError("usage", `Cannot tell of the hits ${from} to ${to}: hits are counted from 1`, {
    next: "Give a number from 1 on, or a range whose `from` is not above its `to`.",
  });
}
