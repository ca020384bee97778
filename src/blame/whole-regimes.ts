/** Whole regimes compared with each other: what a write to a register changed, and what stage 2 did to a regime behind it. */
import type { RegimeMap } from "../aarch64/regime-map.ts";
import type { Regime, TableRoot } from "../aarch64/regime-model.ts";
import { mapRegime } from "../aarch64/walk.ts";
import type { PageSource } from "../base/memory.ts";
import type { Budget } from "./budget.ts";
import {
  A_REGISTER,
  comparedEffects,
  type Effect,
  type EffectPlace,
  type PageRange,
  type WalkedEffect,
} from "./effect.ts";
import { regimeIdentity, type SharedRegime } from "./regime-states.ts";

/** The address space from the top downwards and from 0 upwards that a TTBR can translate: 2^52 bytes each. */
const HALF_PAGES = 2 ** 40;
export const EVERYTHING: readonly PageRange[] = [
  { start: 0, pages: HALF_PAGES },
  { start: 2 ** 52 - HALF_PAGES, pages: HALF_PAGES },
];

export class WholeRegimes {
  readonly #source: PageSource;
  readonly #budget: Budget;
  readonly #maps = new Map<SharedRegime, RegimeMap>();
  readonly #changes = new Map<string, readonly WalkedEffect[]>();
  #refused = 0;
  /** Maps of stage 2, by the regime that is behind it. */
  readonly #stage2 = new Map<Regime, RegimeMap>();

  constructor(source: PageSource, budget: Budget) {
    this.#source = source;
    this.#budget = budget;
  }

  /** Memory has changed; `stage2`: so has a table of stage 2. */
  memoryChanged(stage2: boolean): void {
    if (this.#maps.size > 0) this.#maps.clear();
    if (this.#changes.size > 0) this.#changes.clear();
    if (stage2) this.#stage2.clear();
  }

  /** The map of the stage 2 that a regime is behind. */
  stage2Of({ behind }: Regime): RegimeMap | undefined {
    if (behind === undefined) return undefined;
    const known = this.#stage2.get(behind);
    if (known !== undefined) return known;
    const map = this.#budget.walk((options) => mapRegime(behind, this.#source, options));
    this.#stage2.set(behind, map);
    return map;
  }

  /** The map of a regime; undefined when no more may be walked. */
  mapOf(shared: SharedRegime): RegimeMap | undefined {
    const known = this.#maps.get(shared);
    if (known !== undefined) return known;
    if (!this.#budget.mayWalk) return undefined;
    const map = this.#budget.walk((options) => mapRegime(shared.regime, this.#source, options));
    this.#maps.set(shared, map);
    return map;
  }

  /** What changes when one regime takes the place of another, either of which may be none; undefined when that costs too much. */
  replaced(
    place: EffectPlace,
    before: SharedRegime | undefined,
    after: SharedRegime | undefined,
  ): Effect[] | undefined {
    const key = `${place.regime} ${before?.id} ${after?.id}`;
    const known = this.#changes.get(key);
    if (known !== undefined) return known.map((effect) => effect.again(place));
    const maps = --this.#budget.comparisons >= 0 ? this.#pair(before, after) : undefined;
    if (maps === undefined) {
      this.#refused++;
      return undefined;
    }
    const effects = comparedEffects(place, A_REGISTER, ...maps).filter(({ ranges }) => ranges.length > 0);
    for (const { ranges } of effects) this.#budget.changes -= ranges.length;
    this.#changes.set(key, effects);
    return effects;
  }

  /** How often it cost too much. */
  get refused(): number {
    return this.#refused;
  }

  #pair(
    before: SharedRegime | undefined,
    after: SharedRegime | undefined,
  ): readonly [RegimeMap | undefined, RegimeMap | undefined] | undefined {
    if (!this.#budget.mayWalk) return undefined;
    if (before !== undefined && after !== undefined) {
      const roots = otherRoots(before.regime, after.regime);
      if (roots !== undefined) {
        const walk = (regime: Regime): RegimeMap =>
          this.#budget.walk((options) => mapRegime(regime, this.#source, options));
        return [walk({ ...before.regime, roots: roots.before }), walk({ ...after.regime, roots: roots.after })];
      }
    }
    const [old, now] = [before && this.mapOf(before), after && this.mapOf(after)];
    if ((before !== undefined && old === undefined) || (after !== undefined && now === undefined)) return undefined;
    return [old, now];
  }
}

/** The roots in which two regimes differ, if that is all they differ in. */
function otherRoots(
  before: Regime,
  after: Regime,
): { readonly before: readonly TableRoot[]; readonly after: readonly TableRoot[] } | undefined {
  const rest = (regime: Regime): string => regimeIdentity({ ...regime, roots: [] });
  if (rest(before) !== rest(after)) return undefined;
  const [old, now] = [before.roots.map(regimeIdentity), after.roots.map(regimeIdentity)];
  return {
    before: before.roots.filter((_, i) => !now.includes(old[i] as string)),
    after: after.roots.filter((_, i) => !old.includes(now[i] as string)),
  };
}
