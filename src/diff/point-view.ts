/** One point of a capture, decoded on demand and at most once. */

import { currentRegimeName, liveRegimes, readRegime } from "../aarch64/regime.ts";
import type { RegimeMap } from "../aarch64/regime-map.ts";
import type { Regime, RegimeName } from "../aarch64/regime-model.ts";
import { Translator } from "../aarch64/translate.ts";
import { DEFAULT_MAX_RUNS, DEFAULT_MAX_VISITS, mapRegime } from "../aarch64/walk.ts";
import { phys, physPage } from "../base/address.ts";
import type { MemoryRead, PhysMemory } from "../base/memory.ts";
import type { Registers } from "../base/registers.ts";
import { type Capture, type Point, pointPages, pointRegisters } from "../snapshot/model.ts";
import { pageMemory } from "../snapshot/page-memory.ts";

/** Runs of one regime that fit into memory together with what is made of them. */
const MOST_RUNS = 2 ** 20;

export class PointView {
  readonly capture: Capture;
  readonly point: Point;
  /** The vCPU whose regimes are looked at. */
  readonly cpu: number;
  readonly registers: Registers;
  readonly regimes: readonly Regime[];
  readonly memory: PhysMemory;
  readonly #maps = new Map<RegimeName, RegimeMap>();

  constructor(capture: Capture, point: Point, cpu: number = point.cpu) {
    this.capture = capture;
    this.point = point;
    this.cpu = cpu;
    this.registers = pointRegisters(capture, point, cpu);
    this.regimes = liveRegimes(this.registers);
    this.memory = pageMemory(pointPages(point));
  }

  get currentRegime(): RegimeName {
    return currentRegimeName(this.registers);
  }

  isLive(name: RegimeName): boolean {
    return this.regimes.some((regime) => regime.name === name);
  }

  /** A regime as the registers have it, live or not. */
  regime(name: RegimeName): Regime {
    return this.regimes.find((regime) => regime.name === name) ?? readRegime(name, this.registers);
  }

  /** The mappings of a live regime; undefined when it is not live here. */
  map(name: RegimeName): RegimeMap | undefined {
    return this.isLive(name) ? this.mapAny(name) : undefined;
  }

  /** The mappings of a regime, live or not; of one that is not, the tables may not have been captured. */
  mapAny(name: RegimeName): RegimeMap {
    const known = this.#maps.get(name);
    if (known !== undefined) return known;
    const regime = this.regime(name);
    const map = mapRegime(regime, pointPages(this.point), boundsOf(this.point));
    this.#maps.set(name, map);
    return map;
  }

  translator(name: RegimeName): Translator {
    return new Translator(this.regime(name), pointPages(this.point));
  }

  page(address: bigint): MemoryRead | undefined {
    return this.point.pages.get(physPage(phys(address)));
  }
}

/**
 * What one walk may cost, from what was captured: whoever captured more tables than usual (--max-tables) wants to see them. A table is
 * rarely referred to from several places, and a page of one has 512 runs at most.
 */
function boundsOf({ pages }: Point): { readonly maxVisits: number; readonly maxRuns: number } {
  const maxRuns = Math.min(Math.max(DEFAULT_MAX_RUNS, 512 * pages.size), MOST_RUNS);
  return { maxVisits: Math.max(DEFAULT_MAX_VISITS, 4 * pages.size), maxRuns };
}
