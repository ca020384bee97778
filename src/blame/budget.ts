/** What replaying a record may cost: records and tables are untrusted, and a table may be referred to from everywhere. */
import type { RegimeMap } from "../aarch64/regime-map.ts";
import { DEFAULT_MAX_VISITS, type MapOptions } from "../aarch64/walk.ts";

export interface ReplayBounds {
  /** Comparisons of a whole regime with itself after a register was written. Default 4,096. */
  readonly comparisons?: number;
  /** Table pages visited in all walks, counting each reference. Default 4,194,304. */
  readonly visits?: number;
  /** Changed runs kept of what is no single leaf. Default 1,048,576. */
  readonly changes?: number;
  /** Uses of table pages looked at, in building the list of them and at each write. Default 67,108,864. */
  readonly uses?: number;
  /** Effects kept. Default 4,194,304. */
  readonly effects?: number;
}

/** What a walk costs however small it is, in visits. */
const LEAST_VISITS = 16;
/** Runs that cost as much as a visit. */
const RUNS_A_VISIT = 64;

export class Budget {
  comparisons: number;
  visits: number;
  changes: number;
  uses: number;
  effects: number;

  constructor(bounds: ReplayBounds = {}) {
    this.comparisons = bounds.comparisons ?? 4096;
    this.visits = bounds.visits ?? 2 ** 22;
    this.changes = bounds.changes ?? 2 ** 20;
    this.uses = bounds.uses ?? 2 ** 26;
    this.effects = bounds.effects ?? 2 ** 22;
  }

  /** Whether another walk may be begun. */
  get mayWalk(): boolean {
    return this.visits > 0 && this.changes > 0;
  }

  /** Whether another write may be looked at. */
  get mayGoOn(): boolean {
    return this.uses > 0 && this.mayWalk;
  }

  /** Makes a map and takes what it cost. */
  walk(make: (options: MapOptions) => RegimeMap): RegimeMap {
    const most = Math.max(0, Math.min(DEFAULT_MAX_VISITS, this.visits));
    const visits = { left: most };
    const map = make({ visits });
    this.visits -= LEAST_VISITS + (most - visits.left) + Math.ceil(map.runs.length / RUNS_A_VISIT);
    return map;
  }
}
