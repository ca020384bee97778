/** The regimes that vCPUs have now, each once, with the pages that their tables lie in. */
import { TableUses } from "../aarch64/table-uses.ts";
import type { Budget } from "./budget.ts";
import type { RegimeUsers } from "./effect.ts";
import type { RegimeState, SharedRegime } from "./regime-states.ts";
import type { ReplayPages } from "./replay-pages.ts";

/** What finding a use costs: most of a table's entries are looked at. */
const USE_COST = 32;

export interface LiveRegime {
  readonly shared: SharedRegime;
  readonly who: RegimeUsers;
  readonly uses: TableUses;
}

export class LiveRegimes {
  readonly #pages: ReplayPages;
  readonly #budget: Budget;
  readonly #states: (RegimeState | undefined)[];
  /** Of all regimes since the last change of memory; of the live ones always up to date. */
  readonly #uses = new Map<SharedRegime, TableUses>();
  #list: readonly LiveRegime[] | undefined;

  constructor(pages: ReplayPages, budget: Budget, cpus: number) {
    this.#pages = pages;
    this.#budget = budget;
    this.#states = new Array<RegimeState | undefined>(cpus).fill(undefined);
  }

  stateOf(cpu: number): RegimeState | undefined {
    return this.#states[cpu];
  }

  /** A vCPU has other regimes from now on. */
  set(cpu: number, state: RegimeState): void {
    if (this.#states[cpu]?.regimes !== state.regimes) this.#list = undefined;
    this.#states[cpu] = state;
  }

  /** All of them; the lists of table pages are made when they are first asked for. */
  list(): readonly LiveRegime[] {
    this.#list ??= this.#build();
    return this.#list;
  }

  /** Memory changes from now on: what is not kept up to date is forgotten. To be called before. */
  memoryChanges(): void {
    const live = this.list();
    if (this.#uses.size === live.length) return;
    const kept = new Set(live.map(({ shared }) => shared));
    for (const shared of this.#uses.keys()) if (!kept.has(shared)) this.#uses.delete(shared);
  }

  /** Regimes whose tables are looked up through stage 2, which has changed. */
  rebuildBehind(): void {
    for (const shared of this.#uses.keys()) if (shared.regime.behind !== undefined) this.#uses.delete(shared);
    this.#list = undefined;
  }

  #build(): readonly LiveRegime[] {
    const cpus = new Map<SharedRegime, number[]>();
    for (const [cpu, state] of this.#states.entries()) {
      for (const shared of state?.regimes ?? []) {
        const known = cpus.get(shared);
        if (known === undefined) cpus.set(shared, [cpu]);
        else known.push(cpu);
      }
    }
    return [...cpus].map(([shared, each]) => ({
      shared,
      who: { regime: shared.name, cpus: each },
      uses: this.#usesOf(shared),
    }));
  }

  #usesOf(shared: SharedRegime): TableUses {
    const known = this.#uses.get(shared);
    if (known !== undefined) return known;
    // Little-endian words are the bytes themselves; through stage 2, and big-endian, something is made of them and kept.
    const { bigEndian, behind } = shared.regime;
    const source = bigEndian || behind !== undefined ? this.#pages : this.#pages.passing;
    const uses = new TableUses([shared.regime], source);
    this.#budget.uses -= (uses.size + 1) * USE_COST;
    this.#uses.set(shared, uses);
    return uses;
  }
}
