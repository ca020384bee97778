/**
 * What can be asked of a guest while it stands still. Nothing changes meanwhile, so each thing is read at most once; when the guest has
 * moved the view is stale, and says so instead of telling what is there by then.
 */
import { type Mapping, runMapping } from "../aarch64/regime-map.ts";
import type { RegimeName } from "../aarch64/regime-model.ts";
import { Translator } from "../aarch64/translate.ts";
import { translatedMemory } from "../aarch64/virtual-memory.ts";
import { type PhysAddr, phys, virt } from "../base/address.ts";
import { EbscopeError } from "../base/error.ts";
import type { MemoryRead } from "../base/memory.ts";
import type { RegisterRead, Registers } from "../base/registers.ts";
import { registersOf } from "../base/registers.ts";
import { assemble } from "../capture/assemble.ts";
import { takePoint } from "../capture/point.ts";
import { type PointWalk, walksOf } from "../diagnose/walks.ts";
import { type Coverage, coverageOf, regimeNames } from "../diff/diff.ts";
import { PointView } from "../diff/point-view.ts";
import { DemandPages } from "../snapshot/demand-pages.ts";
import type { Capture, Point } from "../snapshot/model.ts";
import type { Cpu, Target } from "../target/target.ts";
import type { RunControl } from "./run-control.ts";

/** Whose view is meant: the vCPU that stopped, and the regime that it executes in, where nothing is said. */
export interface ViewOptions {
  readonly cpu?: number;
  readonly regime?: RegimeName;
}

export interface MemoryOptions extends ViewOptions {
  /** The address is a physical one. */
  readonly physical?: boolean;
}

export interface GuestMappings {
  readonly mappings: readonly Mapping[];
  /** What is not known: no mapping is claimed or denied there. */
  readonly coverage: readonly Coverage[];
}

/** Bytes of one read: 64 MiB. */
const MAX_LENGTH = 64 << 20;

export class GuestView {
  readonly #target: Target;
  readonly #control: RunControl;
  readonly #createdBy: string;
  readonly #epoch: number;
  readonly #time = new Date().toISOString();
  #rows: Promise<RegisterRead[][]> | undefined;
  #pages: Promise<DemandPages> | undefined;
  #whole: Promise<PointView> | undefined;

  constructor(target: Target, control: RunControl, createdBy: string) {
    this.#target = target;
    this.#control = control;
    this.#createdBy = createdBy;
    this.#epoch = control.epoch;
  }

  get isStale(): boolean {
    return this.#control.running || this.#control.epoch !== this.#epoch;
  }

  mustHold(): void {
    if (!this.isStale) return;
    throw new EbscopeError("target-running", "Cannot look at this stop any more: the guest has gone on since", {
      next: "Read what is needed before the guest is resumed.",
    });
  }

  /** All registers of a vCPU; those of all vCPUs come as one batch, once. */
  async registers(cpu = this.#target.stoppedCpu.index): Promise<Registers> {
    this.#mustHave(cpu);
    return registersOf(this.#target.info.registers, (await this.#allRows())[cpu] ?? []);
  }

  /** Those of a vCPU that have these names: nothing else is read. */
  async registersNamed(names: ReadonlySet<string>, cpu = this.#target.stoppedCpu.index): Promise<Registers> {
    this.#mustHave(cpu);
    this.mustHold();
    if (this.#rows !== undefined) return this.registers(cpu);
    const { info } = this.#target;
    const definitions = info.registers.filter(({ name }) => names.has(name));
    const [row] = await this.#target.readRegisters([info.cpus[cpu] as Cpu], definitions);
    return registersOf(definitions, row ?? []);
  }

  #allRows(): Promise<RegisterRead[][]> {
    this.mustHold();
    const { info } = this.#target;
    this.#rows ??= this.#target.readRegisters(info.cpus, info.registers);
    return this.#rows;
  }

  /** Present, absent or unreadable, as a whole. Devices are absent: they are never read. `length` is in bytes. */
  async memory(address: bigint, length: number, options: MemoryOptions = {}): Promise<MemoryRead> {
    this.mustHold();
    if (!Number.isSafeInteger(length) || length < 1 || length > MAX_LENGTH) {
      throw new EbscopeError("usage", `Cannot read ${length} bytes: 1 to ${MAX_LENGTH} can be read at once`);
    }
    if (address < 0n || address + BigInt(length) > 1n << 64n) return { state: "absent", code: "outside-memory" };
    const pages = await this.#demandPages();
    const span = { address: phys(address), length };
    const [read] = options.physical
      ? await this.#target.memory.read([span])
      : await this.#virtual(pages, address, length, options);
    return read as MemoryRead;
  }

  async #virtual(pages: DemandPages, address: bigint, length: number, options: ViewOptions): Promise<MemoryRead[]> {
    const view = await this.#registerView(options.cpu);
    const regime = view.regime(options.regime ?? view.currentRegime);
    // Each page once, to have the tables at hand.
    const translator = await pages.resolve((source) => {
      const each = new Translator(regime, source);
      for (let at = address; at < address + BigInt(length); at = (at & ~0xfffn) + 0x1000n) each.translate(virt(at));
      return each;
    });
    return translatedMemory(translator, this.#target.memory).read([{ address: virt(address), length }]);
  }

  /** The walk of a virtual address, level by level, and where it leads. */
  async explain(address: bigint, options: ViewOptions = {}): Promise<PointWalk> {
    const view = await this.#registerView(options.cpu);
    const regime = options.regime ?? view.currentRegime;
    const pages = await this.#demandPages();
    await pages.resolve((source) => new Translator(view.regime(regime), source).translate(virt(address)));
    const point = this.#point(pages.pages, await this.#allRows());
    return walksOf(this.#capture(point), virt(address), options.cpu, regime)[0] as PointWalk;
  }

  /** Everything that is mapped: in all live regimes, or in one. */
  async mappings(options: ViewOptions = {}): Promise<GuestMappings> {
    this.#mustHave(options.cpu);
    const whole = await this.#wholePoint();
    const view = options.cpu === undefined ? whole : new PointView(whole.capture, whole.point, options.cpu);
    const names = options.regime === undefined ? regimeNames(view) : [options.regime];
    return {
      mappings: names.flatMap((name) => view.mapAny(name).runs.map((run) => runMapping(name, run))),
      coverage: coverageOf(view, names),
    };
  }

  /** The whole point: registers, all tables, the call chain. Nothing of UEFI. */
  #wholePoint(): Promise<PointView> {
    this.mustHold();
    this.#whole ??= takePoint(this.#target, { id: "now", kind: "after" }).then(({ point, lost }) => {
      if (lost !== undefined) throw lost;
      if (point === undefined) throw new EbscopeError("internal", "Nothing was captured");
      return new PointView(this.#capture(point), point);
    });
    return this.#whole;
  }

  /** The layout of memory is asked for first: it may be another than at the stop before. */
  #demandPages(): Promise<DemandPages> {
    this.#pages ??= this.#target.memoryRanges().then(() => new DemandPages(this.#target.memory));
    return this.#pages;
  }

  async #registerView(cpu: number | undefined): Promise<PointView> {
    this.#mustHave(cpu);
    const point = this.#point(new Map(), await this.#allRows());
    return new PointView(this.#capture(point), point, cpu);
  }

  #point(pages: ReadonlyMap<PhysAddr, MemoryRead>, registers: RegisterRead[][]): Point {
    const common = { memoryRanges: [], images: [], complete: true, time: this.#time };
    return { ...common, id: "now", kind: "now", cpu: this.#target.stoppedCpu.index, registers, pages };
  }

  #capture(point: Point): Capture {
    return assemble(this.#target, this.#createdBy, { points: [point], partial: undefined });
  }

  #mustHave(cpu: number | undefined): void {
    const { length } = this.#target.info.cpus;
    if (cpu === undefined || (Number.isInteger(cpu) && cpu >= 0 && cpu < length)) return;
    throw new EbscopeError("usage", `Cannot look at vCPU ${cpu}: the guest has ${length}, numbered from 0`);
  }
}
