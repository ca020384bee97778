/** What a write to a register that decides translation changes: the regimes of its vCPU before are held against those after. */
import type { RegimeName } from "../aarch64/regime-model.ts";
import { A_REGISTER, type Effect, type EffectPlace, untoldEffect } from "./effect.ts";
import type { LiveRegimes } from "./live-regimes.ts";
import type { RegimeState, RegimeStates, SharedRegime } from "./regime-states.ts";
import { decidesTranslation } from "./translation-registers.ts";
import { EVERYTHING, type WholeRegimes } from "./whole-regimes.ts";

export interface RegisterPlace {
  readonly event: number;
  readonly seen: boolean;
  readonly cpu: number;
}

export class RegisterEffects {
  readonly #live: LiveRegimes;
  readonly #whole: WholeRegimes;
  readonly #states: RegimeStates;

  constructor(live: LiveRegimes, whole: WholeRegimes, states: RegimeStates) {
    this.#live = live;
    this.#whole = whole;
    this.#states = states;
  }

  /** One register has another value; undefined when there have been too many to look at. */
  written(place: RegisterPlace, name: string, value: bigint): readonly Effect[] | undefined {
    const state = this.#live.stateOf(place.cpu);
    if (state === undefined || !decidesTranslation(name)) return [];
    const next = this.#states.after(state, name, value);
    return next && this.#switch(place, next);
  }

  /** All registers of the vCPU as a point has them; `first`: there is nothing to hold them against. */
  taken(place: RegisterPlace, registers: ReadonlyMap<string, bigint>, first: boolean): readonly Effect[] | undefined {
    const next = this.#states.of(registers);
    if (next === undefined) return undefined;
    if (!first) return this.#switch(place, next);
    this.#live.set(place.cpu, next);
    return [];
  }

  #switch({ event, seen, cpu }: RegisterPlace, next: RegimeState): Effect[] {
    const before = this.#live.stateOf(cpu)?.regimes ?? [];
    const names = new Set([...before, ...next.regimes].map(({ name }) => name));
    const effects = [...names].flatMap((regime) => {
      const place = { event, seen, regime, cpus: [cpu] };
      return this.#compare(place, find(before, regime), find(next.regimes, regime));
    });
    this.#live.set(cpu, next);
    return effects;
  }

  #compare(place: EffectPlace, before: SharedRegime | undefined, after: SharedRegime | undefined): Effect[] {
    if (before === after) return [];
    const effects = this.#whole.replaced(place, before, after);
    return effects ?? [untoldEffect(place, A_REGISTER, EVERYTHING)];
  }
}

function find(regimes: readonly SharedRegime[], name: RegimeName): SharedRegime | undefined {
  return regimes.find((each) => each.name === name);
}
