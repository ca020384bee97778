/**
 * Watching who writes: translation tables, System registers, and memory that was asked for, while the guest runs between points.
 *
 * Watchpoints are by virtual address. A table is watched wherever a live regime maps it; writes by other ways (another regime, a device) are found
 * by comparing at points, and told as what they are: not seen.
 */
import { liveRegimes } from "../../aarch64/regime.ts";
import { type VirtAddr, virt } from "../../base/address.ts";
import { EbscopeError } from "../../base/error.ts";
import type { MemoryRange } from "../../base/memory.ts";
import { isGeneral, registersOf } from "../../base/registers.ts";
import {
  type BlameEvent,
  type BlameRecord,
  DEFAULT_MAX_EVENTS,
  WATCH_ENDED,
  type WatchedRange,
} from "../../snapshot/blame.ts";
import { type EfiRoots, type Point, pointPages } from "../../snapshot/model.ts";
import { pageMemory } from "../../snapshot/page-memory.ts";
import type { Cpu, Stop, Target } from "../../target/target.ts";
import type { StoppedCpu } from "../stopped.ts";
import { Chains } from "./chains.ts";
import { CodeCache } from "./code-cache.ts";
import { type Handled, isRefusal } from "./hit.ts";
import { KnownRegisters } from "./known-registers.ts";
import { LiveTables } from "./live-tables.ts";
import { MachineView } from "./machine-view.ts";
import { doublewordsOf, RangeWords } from "./range-words.ts";
import { placeRange, type RangeRequest } from "./ranges.ts";
import { NOTHING, Recorder } from "./recorder.ts";
import { RegisterHits } from "./register-hits.ts";
import { type CodeExtent, findSites } from "./sites.ts";
import { UseWatch } from "./use-watch.ts";
import { Watchpoints } from "./watchpoints.ts";
import { WriteHits } from "./write-hits.ts";

export interface BlameOptions {
  /** Watch the tables of the live regimes and the writes of control registers, from the call of ExitBootServices on. */
  readonly tables?: boolean;
  /** TLBI, DC and IC instructions too. */
  readonly maintenance?: boolean;
  /** Memory that is watched from when UEFI's tables are found to the end. */
  readonly ranges?: readonly RangeRequest[];
  /** Up to which point tables and registers are watched: `after` unless told, or to the end. */
  readonly until?: "after" | "end";
  /** Whether the call chain of each write is read; true unless told. Without it, it is known which instruction wrote, and not who called it. */
  readonly backtraces?: boolean;
  /** Most events that are kept; then nothing more is watched. Default 1,000,000. */
  readonly maxEvents?: number;
}

/** What is watched. */
export interface BlameSummary {
  /** Pages of tables; undefined when tables are not watched. */
  readonly tables: number | undefined;
  /** Instructions that write System registers. */
  readonly registers: number;
  /** Those of TLB and cache maintenance. */
  readonly maintenance: number;
  readonly ranges: readonly WatchedRange[];
}

export interface BlameEvents {
  readonly onEvent?: (event: BlameEvent) => void;
  readonly onNote: (text: string) => void;
}

export class BlameWatch {
  readonly #target: Target;
  readonly #options: BlameOptions;
  readonly #events: BlameEvents;
  readonly #recorder: Recorder;
  readonly #known: KnownRegisters;
  readonly #watchpoints: Watchpoints;
  readonly #ranges: RangeWords;
  readonly #writes: WriteHits;
  readonly #registers: RegisterHits;
  /** Undefined when nobody watches for maintenance. */
  readonly #useWatch: UseWatch | undefined;
  #view: MachineView | undefined;
  /** While tables and registers are watched. */
  #tables: LiveTables | undefined;
  /** RAM and ROM, when the watched ranges were placed. */
  #memory: readonly MemoryRange[] = [];
  /** As much is recorded as may be. */
  #isOver = false;

  constructor(target: Target, options: BlameOptions, events: BlameEvents) {
    this.#target = target;
    this.#options = options;
    this.#events = events;
    const recorder = new Recorder(options.maxEvents ?? DEFAULT_MAX_EVENTS, (event) => events.onEvent?.(event));
    this.#recorder = recorder;
    const general = target.info.registers.filter(({ name }) => isGeneral(name));
    const known = new KnownRegisters(target.info);
    this.#known = known;
    const watchpoints = new Watchpoints(target);
    this.#watchpoints = watchpoints;
    const isMemory = (cpu: Cpu, page: VirtAddr): boolean => this.#view?.isMemory(cpu.index, page) ?? false;
    const code = new CodeCache(target, recorder, isMemory);
    const chains = new Chains(target, recorder, code, isMemory, options.backtraces ?? true);
    const ranges = new RangeWords(target, recorder, isMemory);
    this.#ranges = ranges;
    const tables = (): LiveTables | undefined => this.#tables;
    this.#writes = new WriteHits({ target, general, known, code, isMemory, chains, watchpoints, ranges, tables });
    const onChange = async ({ index }: Cpu): Promise<void> => this.#tables?.follow(known.all, index);
    const useWatch = options.maintenance === true ? new UseWatch(target, recorder) : undefined;
    this.#useWatch = useWatch;
    this.#registers = new RegisterHits({ target, recorder, general, known, chains, useWatch, onChange });
  }

  get watched(): BlameSummary {
    const tables = this.#tables?.watched ? this.#watchpoints.tablePages.length : undefined;
    return { tables, ...this.#registers.count, ranges: this.#watchpoints.ranges };
  }

  record(): BlameRecord {
    return this.#recorder.result();
  }

  /** Watches the memory that was asked for, from now on. The guest is halted. Raises `usage` for a range that is nowhere. */
  async watchRanges(roots: EfiRoots | undefined): Promise<void> {
    const { ranges = [] } = this.#options;
    if (ranges.length === 0) return;
    const view = await this.#lookAnew(await this.#target.memoryRanges());
    for (const request of ranges) await this.#watchRange(await placeRange(request, roots, this.#target.memory), view);
  }

  /** How the machine translates now, when nobody has followed its tables. */
  async #lookAnew(memory: readonly MemoryRange[]): Promise<MachineView> {
    const { cpus, registers } = this.#target.info;
    this.#known.setAll(await this.#target.readRegisters(cpus, registers));
    const view = new MachineView(this.#target.memory, memory);
    this.#memory = memory;
    this.#view = view;
    await view.follow(this.#known.all);
    return view;
  }

  async #watchRange(range: WatchedRange, view: MachineView): Promise<void> {
    const cpu = this.#target.stoppedCpu;
    if (!doublewordsOf(range).every((address) => view.isMemory(cpu.index, virt(address & ~0xfffn)))) {
      throw new EbscopeError("usage", `Cannot watch writes to ${range.name}: there is no memory at its address`);
    }
    try {
      await this.#watchpoints.addRange(range);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#note(`Writes to ${range.name} are not watched: ${error.message}.`);
      return;
    }
    this.#recorder.ranges.push(range);
    await this.#ranges.add(cpu, range);
  }

  /** From a point on, tables and registers are watched. `extents`: the images whose code is searched for what writes registers. */
  async begin(point: Point, index: number, extents: readonly CodeExtent[]): Promise<void> {
    if (this.#tables !== undefined) return this.mark(point, index);
    this.#mark(index);
    if (this.#options.tables !== true || this.#isOver) return;
    this.#known.setAll(point.registers);
    const view = new MachineView(this.#target.memory, point.memoryRanges);
    await view.follow(this.#known.all, pageMemory(pointPages(point)));
    this.#view = view;
    const onLapse = (why: string): void => this.#lapse(why);
    const [target, recorder, watchpoints, useWatch] = [this.#target, this.#recorder, this.#watchpoints, this.#useWatch];
    this.#tables = new LiveTables({ target, recorder, watchpoints, view, useWatch, onLapse });
    await this.#tables.place();
    this.#recorder.tables = this.#tables.watched;
    await this.#watchSites(extents, view);
  }

  async #watchSites(extents: readonly CodeExtent[], view: MachineView): Promise<void> {
    const regimes = this.#known.all.flatMap((registers) => liveRegimes(registers));
    const maintenance = this.#options.maintenance === true;
    const found = await findSites(this.#target.memory, regimes, view.shadow, extents, maintenance);
    if (found.pages === 0) this.#note("No image's code was found to search for what writes System registers.");
    if (found.cut) this.#note("There is more code, or more that writes System registers, than is looked at.");
    if (found.unread > 0) {
      this.#note(`${found.unread} pages of images could not be searched for what writes System registers.`);
    }
    const refused = await this.#registers.insert(found.sites);
    if (refused !== undefined) this.#note(`Not all that writes System registers is watched: ${refused}.`);
    this.#recorder.maintenance = maintenance && refused === undefined && !found.cut;
  }

  /** A point was taken: what differs there from what was seen to be written was written unseen. */
  async mark(point: Point, index: number): Promise<void> {
    this.#recorder.nextStop();
    const cpu = this.#target.info.cpus[point.cpu] ?? this.#target.stoppedCpu;
    if (this.#tables !== undefined) {
      for (const [i, row] of point.registers.entries()) this.#registers.tellUnseen(i, this.#known.compare(i, row));
      this.#tables.compareWith(point.pages, point.cpu);
    }
    await this.#compareRanges(point, cpu);
    this.#mark(index);
    if (this.#tables === undefined) return;
    this.#known.setAll(point.registers);
    await this.#tables.settle(cpu);
    await this.#tables.follow(this.#known.all, point.cpu);
  }

  /** By the addresses as they are translated at the point. */
  async #compareRanges(point: Point, cpu: Cpu): Promise<void> {
    if (this.#watchpoints.ranges.length === 0) return;
    const followed = this.#view;
    const view = new MachineView(this.#target.memory, point.memoryRanges);
    const { registers } = this.#target.info;
    await view.follow(
      point.registers.map((row) => registersOf(registers, row)),
      pageMemory(pointPages(point)),
    );
    this.#view = view;
    await this.#ranges.compare(cpu);
    if (this.#tables !== undefined) this.#view = followed;
  }

  #mark(index: number): void {
    this.#recorder.add({ ...NOTHING, kind: "point", cpu: this.#target.stoppedCpu.index, address: BigInt(index) });
  }

  /** Ends watching tables and registers; ranges stay. */
  async endTables(): Promise<void> {
    if (this.#tables === undefined) return;
    this.#recorder.lapse(this.#target.stoppedCpu.index, WATCH_ENDED);
    this.#tables = undefined;
    await this.#useWatch?.clear();
    await this.#watchpoints.removeTables();
    await this.#registers.removeAll();
  }

  /** Ends watching everything. The guest is halted. */
  async end(): Promise<void> {
    await this.endTables();
    await this.#watchpoints.removeRanges();
  }

  /** Undefined for a stop that is no watched write; one that is gets recorded, and the guest runs on, if it may. */
  async handle(stop: Exclude<Stop, { kind: "ended" }>, mayRun = true): Promise<Handled | undefined> {
    if (this.#isOver) return undefined;
    const isWrite = stop.kind === "watchpoint";
    const looksAtCode = isWrite || this.#target.info.cpus.length > 1;
    if (this.#tables === undefined && looksAtCode && this.#watchpoints.count > 0) {
      await this.#lookAnew(this.#memory);
    }
    if (isWrite) return this.#handled(() => this.#atWatchpoint(stop, mayRun), mayRun);
    await this.#writes.settleOthers(stop.cpu);
    return undefined;
  }

  async #atWatchpoint(stop: Extract<Stop, { kind: "watchpoint" }>, mayRun: boolean): Promise<Handled> {
    if (stop.of !== "access") return this.#writes.handle(stop, mayRun);
    await this.#writes.settleOthers(stop.cpu);
    const isUse = await this.#useWatch?.handle(stop.address, () => this.#writes.standing(stop.cpu));
    if (mayRun) await this.#target.resume();
    return isUse ? "ran" : "stuck";
  }

  /** Whether there is a breakpoint at an address for what the instruction there writes. */
  isSite(pc: bigint): boolean {
    return this.#registers.isSite(pc);
  }

  /** As `handle`, where the vCPU stands at an instruction that writes a register, or maintains. */
  async handleSite(at: StoppedCpu, mayRun = true): Promise<Handled | undefined> {
    return this.isSite(at.pc) ? this.#handled(() => this.#registers.handle(at, mayRun), mayRun) : undefined;
  }

  async #handled(record: () => Promise<Handled>, mayRun: boolean): Promise<Handled> {
    this.#recorder.nextStop();
    if (this.#recorder.full) {
      await this.#giveUp(mayRun);
      return "ran";
    }
    const { seen } = this.#recorder;
    const outcome = await record();
    return this.#recorder.seen > seen ? "ran" : outcome;
  }

  /** As much is recorded as may be: the guest runs on unwatched. */
  async #giveUp(mayRun: boolean): Promise<void> {
    this.#isOver = true;
    const count = this.#recorder.count.toLocaleString("en");
    this.#lapse(`${count} events were recorded, as many as may be: what came after them was not watched.`);
    await this.end();
    if (mayRun) await this.#target.resume();
  }

  #note(text: string): void {
    this.#recorder.note(text);
    this.#events.onNote(text);
  }

  #lapse(why: string): void {
    this.#recorder.lapse(this.#target.stoppedCpu.index, why);
    this.#events.onNote(why);
  }
}
