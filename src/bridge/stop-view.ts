/**
 * What can be asked of a guest that stands still. While it does nothing changes, so all of it is read at most once a stop, and only when
 * somebody asks; the next stop has a view of its own.
 */

import { runMapping } from "../aarch64/regime-map.ts";
import type { RegimeName } from "../aarch64/regime-model.ts";
import { Translator } from "../aarch64/translate.ts";
import { translatedMemory } from "../aarch64/virtual-memory.ts";
import type { CoverageJson, ExplainJson, MappingJson, RegisterJson } from "../api/schemas.ts";
import { type PhysAddr, phys, virt } from "../base/address.ts";
import { EbscopeError } from "../base/error.ts";
import type { MemoryRead } from "../base/memory.ts";
import type { RegisterRead } from "../base/registers.ts";
import { plural } from "../base/text.ts";
import { assemble } from "../capture/assemble.ts";
import { captureNow } from "../capture/now.ts";
import { walksOf } from "../diagnose/walks.ts";
import { coverageOf, regimeNames } from "../diff/diff.ts";
import { capturedImages } from "../diff/images.ts";
import { PointView } from "../diff/point-view.ts";
import { encodeCoverage } from "../encode/diff.ts";
import { encodeExplanation, encodeMappings, encodeRegisters } from "../encode/point.ts";
import { DemandPages } from "../snapshot/demand-pages.ts";
import type { Capture, Point } from "../snapshot/model.ts";
import type { Target } from "../target/target.ts";

/** Which vCPU and regime are meant; the one that stopped, and what it executes in (or all live ones), without. */
export interface Scope {
  readonly cpu?: number | undefined;
  readonly regime?: RegimeName | undefined;
}

export interface MemorySpan {
  readonly address: bigint;
  /** In bytes. */
  readonly length: number;
  readonly physical: boolean;
  readonly cpu?: number | undefined;
}

/** Mappings that one answer holds: about 400 bytes each. */
const MAX_MAPPINGS = 100_000;

export class StopView {
  readonly #target: Target;
  readonly #createdBy: string;
  readonly #time = new Date().toISOString();
  #rows: Promise<RegisterRead[][]> | undefined;
  #pages: Promise<DemandPages> | undefined;
  #whole: Promise<Capture> | undefined;

  constructor(target: Target, createdBy: string) {
    this.#target = target;
    this.#createdBy = createdBy;
  }

  /** Every register of every vCPU, one batch. */
  rows(): Promise<RegisterRead[][]> {
    const { info } = this.#target;
    this.#rows ??= this.#target.readRegisters(info.cpus, info.registers);
    return this.#rows;
  }

  /** The registers as a point that holds no memory. */
  async registerPoint(): Promise<Point> {
    return this.#point(new Map(), await this.rows());
  }

  /** Those named, or all, of one vCPU or all. Raises `register-missing`. */
  async registers(names: readonly string[] | undefined, cpu: number | undefined): Promise<RegisterJson[]> {
    this.#mustHave(cpu);
    const point = await this.registerPoint();
    const all = encodeRegisters(this.#capture(point), point).filter((each) => cpu === undefined || each.cpu === cpu);
    if (names === undefined) return all;
    const wanted = new Set(names);
    const found = all.filter(({ name, stubName }) => wanted.has(name) || wanted.has(stubName));
    for (const { name, stubName } of found) {
      wanted.delete(name);
      wanted.delete(stubName);
    }
    const [missing] = wanted;
    if (missing === undefined) return found;
    throw new EbscopeError(
      "register-missing",
      `Cannot read ${JSON.stringify(missing)}: the stub offers no such register`,
      {
        next: "`Registers.get` without names has all that there are.",
      },
    );
  }

  async memory({ address, length, physical, cpu }: MemorySpan): Promise<MemoryRead> {
    this.#mustHave(cpu);
    if (address + BigInt(length) > 1n << 64n) return { state: "absent", code: "outside-memory" };
    const pages = await this.#demandPages();
    if (physical) return this.#read(phys(address), length);
    const view = await this.#registerView(cpu);
    const regime = view.regime(view.currentRegime);
    // The first and the last byte of each page, to have the tables at hand.
    const translator = await pages.resolve((source) => {
      const each = new Translator(regime, source);
      for (let at = address; at < address + BigInt(length); at = (at & ~0xfffn) + 0x1000n) each.translate(virt(at));
      return each;
    });
    const [read] = await translatedMemory(translator, this.#target.memory).read([{ address: virt(address), length }]);
    return read as MemoryRead;
  }

  /** As `ebscope explain` tells it of a capture with this point only. */
  async explain(va: bigint, { cpu, regime }: Scope): Promise<ExplainJson> {
    const view = await this.#registerView(cpu);
    const pages = await this.#demandPages();
    const walked = view.regime(regime ?? view.currentRegime);
    await pages.resolve((source) => new Translator(walked, source).translate(virt(va)));
    const point = this.#point(pages.pages, await this.rows());
    return encodeExplanation(va, walksOf(this.#capture(point), va, cpu, regime));
  }

  /** The mappings with their owners, and what is not known of them. Raises `too-many-tables` where an answer could not hold them. */
  async mappings({ cpu, regime }: Scope): Promise<{ mappings: MappingJson[]; coverage: CoverageJson[] }> {
    this.#mustHave(cpu);
    const capture = await this.#wholeCapture();
    const view = new PointView(capture, capture.points[0] as Point, cpu);
    const names = regime === undefined ? regimeNames(view) : [regime];
    const maps = names.map((name) => ({ name, runs: view.mapAny(name).runs }));
    const count = maps.reduce((sum, { runs }) => sum + runs.length, 0);
    if (count > MAX_MAPPINGS) throw tooManyMappings(count);
    const lists = maps.map(({ name, runs }) => ({ mappings: runs.map((run) => runMapping(name, run)) }));
    const coverage = coverageOf(view, names).map(encodeCoverage);
    return { mappings: encodeMappings(lists, await capturedImages(capture)), coverage };
  }

  async #read(address: PhysAddr, length: number): Promise<MemoryRead> {
    const [read] = await this.#target.memory.read([{ address, length }]);
    return read as MemoryRead;
  }

  /** The layout of memory is asked for first: it may be another than at the stop before. */
  #demandPages(): Promise<DemandPages> {
    this.#pages ??= this.#target.memoryRanges().then(() => new DemandPages(this.#target.memory));
    return this.#pages;
  }

  async #registerView(cpu: number | undefined): Promise<PointView> {
    this.#mustHave(cpu);
    const point = await this.registerPoint();
    return new PointView(this.#capture(point), point, cpu);
  }

  /** As `ebscope snapshot` takes it. */
  #wholeCapture(): Promise<Capture> {
    this.#whole ??= captureNow(this.#target, this.#createdBy).then(({ capture, error }) => {
      if (error !== undefined) throw error;
      if (capture === undefined) throw new EbscopeError("internal", "Nothing was captured");
      return capture;
    });
    return this.#whole;
  }

  #capture(point: Point): Capture {
    return assemble(this.#target, this.#createdBy, { points: [point], partial: undefined });
  }

  #point(pages: Point["pages"], registers: RegisterRead[][]): Point {
    const common = { memoryRanges: [], images: [], complete: true, time: this.#time };
    return { ...common, id: "now", kind: "now", cpu: this.#target.stoppedCpu.index, registers, pages };
  }

  #mustHave(cpu: number | undefined): void {
    const { length } = this.#target.info.cpus;
    if (cpu === undefined || cpu < length) return;
    throw new EbscopeError("usage", `Cannot look at vCPU ${cpu}: the guest has ${length}, numbered from 0`);
  }
}

function tooManyMappings(count: number): EbscopeError {
  return new EbscopeError(
    "too-many-tables",
    `Cannot list ${plural(count, "mapping")}: an answer holds ${MAX_MAPPINGS}`,
    {
      next: "Ask for one regime, or take a capture (`Capture.start` with `now`) and read its file.",
    },
  );
}
