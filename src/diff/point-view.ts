/** One point of a capture, decoded on demand and at most once. */

import { currentRegimeName, liveRegimes } from "../aarch64/regime.ts";
import type { RegimeMap } from "../aarch64/regime-map.ts";
import type { Regime, RegimeName } from "../aarch64/regime-model.ts";
import { Translator } from "../aarch64/translate.ts";
import { DEFAULT_MAX_VISITS, mapRegime } from "../aarch64/walk.ts";
import { phys, physPage } from "../base/address.ts";
import type { MemoryRead, PhysMemory } from "../base/memory.ts";
import type { Registers } from "../base/registers.ts";
import { type LoadedImage, readLoadedImages } from "../efi/images.ts";
import { readSystemTable } from "../efi/system-table.ts";
import { type Capture, type Point, pointPages, pointRegisters } from "../snapshot/model.ts";
import { pageMemory } from "../snapshot/page-memory.ts";

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

  regime(name: RegimeName): Regime | undefined {
    return this.regimes.find((regime) => regime.name === name);
  }

  /** The mappings of a live regime; undefined when it is not live here. */
  map(name: RegimeName): RegimeMap | undefined {
    const known = this.#maps.get(name);
    const regime = this.regime(name);
    if (known !== undefined || regime === undefined) return known;
    const map = mapRegime(regime, pointPages(this.point), { maxVisits: maxVisits(this.point) });
    this.#maps.set(name, map);
    return map;
  }

  translator(name: RegimeName): Translator | undefined {
    const regime = this.regime(name);
    return regime === undefined ? undefined : new Translator(regime, pointPages(this.point));
  }

  page(address: bigint): MemoryRead | undefined {
    return this.point.pages.get(physPage(phys(address)));
  }
}

/** Whoever captured more tables than usual (--max-tables) wants to see them; a table is rarely referred to from several places. */
function maxVisits({ pages }: Point): number {
  return Math.max(DEFAULT_MAX_VISITS, 4 * pages.size);
}

/** The loaded images that the capture knows: those of its first point with a list (later the firmware's memory is reused). */
export async function capturedImages(capture: Capture): Promise<readonly LoadedImage[]> {
  if (capture.efi === undefined) return [];
  for (const point of capture.points) {
    const memory = pageMemory(pointPages(point));
    const table = await readSystemTable(memory, capture.efi.systemTable);
    const images = table === undefined ? [] : await readLoadedImages(memory, table);
    if (images.length > 0) return images;
  }
  return [];
}
