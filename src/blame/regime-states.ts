/**
 * Which regimes follow from the registers, each worked out once: a guest that switches between address spaces comes back to the same few.
 *
 * Records are untrusted: how often regimes are worked out is bounded.
 */
import { liveRegimes } from "../aarch64/regime.ts";
import type { Regime, RegimeName } from "../aarch64/regime-model.ts";
import { TRANSLATION_REGISTERS } from "./translation-registers.ts";

/** A regime; vCPUs and times that have the same one share the object. */
export interface SharedRegime {
  readonly id: number;
  readonly name: RegimeName;
  readonly regime: Regime;
}

/** The values that decide translation on a vCPU, and what follows from them. */
export interface RegimeState {
  readonly values: ReadonlyMap<string, bigint>;
  readonly regimes: readonly SharedRegime[];
}

/** How many distinct sets of register values are looked at. */
const MAX_STATES = 2 ** 13;

interface KnownState extends RegimeState {
  /** By register and value: where writing it leads. */
  readonly next: Map<string, KnownState>;
}

export class RegimeStates {
  readonly #states = new Map<string, KnownState>();
  readonly #regimes = new Map<string, SharedRegime>();

  /** What follows from these registers; undefined when there have been too many. */
  of(registers: ReadonlyMap<string, bigint>): RegimeState | undefined {
    const values = new Map<string, bigint>();
    for (const name of TRANSLATION_REGISTERS) {
      const value = registers.get(name);
      if (value !== undefined) values.set(name, relevant(name, value));
    }
    return this.#state(values);
  }

  /** The state with one register changed. */
  after(state: RegimeState, name: string, value: bigint): RegimeState | undefined {
    const { next } = state as KnownState;
    const kept = relevant(name, value);
    const key = `${name} ${kept}`;
    const known = next.get(key);
    if (known !== undefined) return known;
    const found = this.#state(new Map(state.values).set(name, kept));
    if (found !== undefined) next.set(key, found);
    return found;
  }

  #state(values: ReadonlyMap<string, bigint>): KnownState | undefined {
    const key = TRANSLATION_REGISTERS.map((name) => values.get(name)?.toString(36) ?? "").join(",");
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    if (this.#states.size >= MAX_STATES) return undefined;
    const regimes = liveRegimes({ get: (name) => values.get(name) }).map((regime) => this.#shared(regime));
    const state = { values, regimes, next: new Map() };
    this.#states.set(key, state);
    return state;
  }

  #shared(regime: Regime): SharedRegime {
    const identity = regimeIdentity(regime);
    const known = this.#regimes.get(identity);
    if (known !== undefined) return known;
    const shared = { id: this.#regimes.size, name: regime.name, regime };
    this.#regimes.set(identity, shared);
    return shared;
  }
}

/** Bits 63:48 of a TTBR are an ASID or VMID: which tables there are does not depend on it. */
function relevant(name: string, value: bigint): bigint {
  return /^V?TTBR/.test(name) ? BigInt.asUintN(48, value) : value;
}

/** Equal for parts of regimes that are equal in everything. */
export function regimeIdentity(part: unknown): string {
  return JSON.stringify(part, (_, value: unknown) => (typeof value === "bigint" ? `${value}n` : value));
}
