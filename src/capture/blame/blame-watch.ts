/**
 * Watching who writes: translation tables, System registers, and memory that was asked for, while the guest runs between points.
 *
 * Source: QEMU's gdbstub, measured (7.2, 10.0): a write watchpoint stops a vCPU before the write and names where the watchpoint begins; resuming
 * hits it again. So the registers are read, the watchpoint is taken out, the vCPU steps, what it wrote is read, the watchpoint goes in again:
 * two round trips for a write, its call chain included where that is known. Another one is taken where the write may lead to tables that are not
 * watched yet: they are looked at before the guest runs on.
 *
 * Watchpoints are by virtual address. A table is watched wherever a live regime maps it; writes by other ways (another regime, a device) are found
 * by comparing at points, and told as what they are: not seen.
 */
import { descriptorKind, outputPage, TABLE } from "../../aarch64/descriptor.ts";
import { LAST_LEVEL } from "../../aarch64/granule.ts";
import { currentExceptionLevel, hostExtensions } from "../../aarch64/machine-state.ts";
import { liveRegimes } from "../../aarch64/regime.ts";
import { encodingNamed } from "../../aarch64/registers/encodings.ts";
import { writtenRegister } from "../../aarch64/registers/written-register.ts";
import { pageAddress } from "../../aarch64/table-pages.ts";
import { type PhysAddr, physPage, type VirtAddr, virt } from "../../base/address.ts";
import { EbscopeError } from "../../base/error.ts";
import type { VirtSpan } from "../../base/memory.ts";
import {
  isGeneral,
  type RegisterDefinition,
  type RegisterRead,
  type Registers,
  registersOf,
} from "../../base/registers.ts";
import { type SystemWord, systemWord } from "../../code/system-words.ts";
import {
  type BlameEvent,
  type BlameRecord,
  DEFAULT_MAX_EVENTS,
  type WatchedRange,
  type WatchedSite,
} from "../../snapshot/blame.ts";
import { type EfiRoots, type Point, pointPages } from "../../snapshot/model.ts";
import { pageMemory } from "../../snapshot/page-memory.ts";
import type { Breakpoint, Cpu, OutOfTheWay, Stop, Target } from "../../target/target.ts";
import type { StoppedCpu } from "../stopped.ts";
import { CodeCache } from "./code-cache.ts";
import { KnownRegisters, type RegisterDifference } from "./known-registers.ts";
import { MachineView } from "./machine-view.ts";
import { placeRange, type RangeRequest } from "./ranges.ts";
import { NOTHING, Recorder } from "./recorder.ts";
import { differences } from "./shadow.ts";
import { type CodeExtent, findSites } from "./sites.ts";
import { type StackPiece, StackReader } from "./stack-reader.ts";
import { storesOf } from "./stores.ts";
import { type WatchedWord, Watchpoints } from "./watchpoints.ts";

export interface BlameOptions {
  /** Watch the tables of the live regimes and the writes of control registers, from the call of ExitBootServices on. */
  readonly tables?: boolean;
  /** TLBI, DC and IC instructions too. */
  readonly maintenance?: boolean;
  /** Memory that is watched from when UEFI's tables are found to the end. */
  readonly ranges?: readonly RangeRequest[];
  /** Up to which point tables and registers are watched: `after` unless told, or to the end. */
  readonly until?: "after" | "end";
  /** Most events that are kept; then nothing more is watched. Default 1,000,000. */
  readonly maxEvents?: number;
}

/** What is watched. */
export interface BlameSummary {
  /** Pages of tables; undefined when tables are not watched. */
  readonly tables: number | undefined;
  /** Instructions that write System registers, or maintain. */
  readonly sites: number;
  readonly ranges: number;
}

export interface BlameEvents {
  readonly onEvent?: (event: BlameEvent) => void;
  readonly onNote: (text: string) => void;
}

/** What a stop at a store was found to be. */
interface Hit {
  readonly cpu: Cpu;
  readonly registers: Registers;
  readonly pc: VirtAddr;
  readonly word: number | undefined;
  readonly stack: number | undefined;
}

export class BlameWatch {
  readonly #target: Target;
  readonly #options: BlameOptions;
  readonly #events: BlameEvents;
  readonly #recorder: Recorder;
  readonly #general: readonly RegisterDefinition[];
  readonly #known: KnownRegisters;
  readonly #watchpoints: Watchpoints;
  readonly #stacks: StackReader;
  readonly #code: CodeCache;
  readonly #sites = new Map<VirtAddr, { readonly site: WatchedSite; readonly trap: Breakpoint }>();
  /** What the doublewords of ranges held last. */
  readonly #inRanges = new Map<VirtAddr, bigint>();
  #view: MachineView | undefined;
  #watching = false;

  constructor(target: Target, options: BlameOptions, events: BlameEvents) {
    this.#target = target;
    this.#options = options;
    this.#events = events;
    this.#recorder = new Recorder(options.maxEvents ?? DEFAULT_MAX_EVENTS, (event) => events.onEvent?.(event));
    this.#general = target.info.registers.filter(({ name }) => isGeneral(name));
    this.#known = new KnownRegisters(target.info);
    this.#watchpoints = new Watchpoints(target);
    const isMemory = (cpu: Cpu, page: VirtAddr): boolean => this.#view?.isMemory(cpu.index, page) ?? false;
    this.#stacks = new StackReader(target, isMemory);
    this.#code = new CodeCache(target, this.#recorder, isMemory);
  }

  /** Whether tables and registers are watched now. */
  get watching(): boolean {
    return this.#watching;
  }

  get watched(): BlameSummary {
    const tables = this.#watching && this.#recorder.tables ? this.#watchpoints.tablePages.length : undefined;
    return { tables, sites: this.#sites.size, ranges: this.#watchpoints.ranges.length };
  }

  record(): BlameRecord {
    return this.#recorder.result();
  }

  /** Watches the memory that was asked for, from now on. The guest is halted. Raises `usage` for a range that is nowhere. */
  async watchRanges(roots: EfiRoots): Promise<void> {
    const { ranges = [] } = this.#options;
    if (ranges.length === 0) return;
    const { cpus, registers } = this.#target.info;
    this.#known.setAll(await this.#target.readRegisters(cpus, registers));
    const view = new MachineView(this.#target.memory, await this.#target.memoryRanges());
    this.#view = view;
    await view.follow(this.#known.all);
    for (const request of ranges) await this.#watchRange(await placeRange(request, roots, this.#target.memory), view);
  }

  async #watchRange(range: WatchedRange, view: MachineView): Promise<void> {
    const cpu = this.#target.stoppedCpu;
    const spans = doublewordsOf(range).map((address) => ({ address, length: 8 }));
    if (!spans.every(({ address }) => view.isMemory(cpu.index, virt(address & ~0xfffn)))) {
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
    const reads = await this.#target.readVirtual(cpu, spans);
    for (const [i, { address }] of spans.entries()) {
      const read = reads[i];
      if (read?.state === "present") this.#inRanges.set(address, u64(read.bytes));
    }
  }

  /** From a point on, tables and registers are watched. `extents`: the images whose code is searched for what writes registers. */
  async begin(point: Point, index: number, extents: readonly CodeExtent[]): Promise<void> {
    if (this.#watching) return this.mark(point, index);
    this.#mark(index);
    if (this.#options.tables !== true) return;
    this.#watching = true;
    this.#known.setAll(point.registers);
    const view = new MachineView(this.#target.memory, point.memoryRanges);
    this.#view = view;
    await view.follow(this.#known.all, pageMemory(pointPages(point)));
    this.#recorder.tables = true;
    await this.#watchTables();
    await this.#watchSites(extents, view);
  }

  async #watchTables(): Promise<void> {
    if (this.#view === undefined || !this.#recorder.tables) return;
    if (this.#view.uses.overflowed) this.#lapse("There are more uses of tables than are followed.");
    try {
      const left = await this.#watchpoints.placeTables(this.#view.aliases());
      if (left > 0) this.#lapse(`${left} pages of tables more than can be watched are not.`);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#recorder.tables = false;
      this.#lapse(
        `Who writes to the tables cannot be seen: the stub takes no watchpoints (${error.message}). Writes of registers are seen all the same.`,
      );
    }
  }

  async #watchSites(extents: readonly CodeExtent[], view: MachineView): Promise<void> {
    const regimes = this.#known.all.flatMap((registers) => liveRegimes(registers));
    const maintenance = this.#options.maintenance === true;
    const found = await findSites(this.#target.memory, regimes, view.shadow, extents, maintenance);
    if (found.pages === 0) this.#note("No image's code was found to search for what writes System registers.");
    if (found.cut) this.#note("There is more code, or more that writes System registers, than is looked at.");
    if (found.unread > 0)
      this.#note(`${found.unread} pages of images could not be searched for what writes System registers.`);
    const put = await Promise.allSettled(
      found.sites.map(async (site) => {
        const trap = await this.#target.insertBreakpoint(site.address);
        this.#sites.set(site.address, { site, trap });
        this.#recorder.sites.push(site);
      }),
    );
    const refused = put.find((each) => each.status === "rejected");
    if (refused !== undefined && !isRefusal(refused.reason)) throw refused.reason;
    if (refused !== undefined)
      this.#note(`Not all that writes System registers is watched: ${refused.reason.message}.`);
    else this.#recorder.maintenance = maintenance;
  }

  /** A point was taken: what differs there from what was seen to be written was written unseen. */
  async mark(point: Point, index: number): Promise<void> {
    this.#recorder.nextStop();
    if (this.#watching) this.#compareWith(point);
    await this.#compareRanges(point.cpu);
    this.#mark(index);
    if (!this.#watching) return;
    this.#known.setAll(point.registers);
    await this.#follow();
  }

  #mark(index: number): void {
    this.#recorder.add({ ...NOTHING, kind: "point", cpu: this.#target.stoppedCpu.index, address: BigInt(index) });
  }

  #compareWith(point: Point): void {
    for (const [cpu, row] of point.registers.entries()) this.#tellUnseen(cpu, this.#known.compare(cpu, row));
    for (const page of this.#view?.uses.pages() ?? []) this.#comparePage(page, point.pages.get(page), point.cpu);
  }

  #comparePage(page: PhysAddr, read: ReturnType<Point["pages"]["get"]>, cpu: number, by?: Hit): void {
    const before = this.#view?.shadow.page(page);
    if (before?.state !== "present" || read?.state !== "present") return;
    for (const { address, old, now } of differences(page, before.bytes, read.bytes)) {
      const writer = by === undefined ? NOTHING : { pc: by.pc, word: by.word, stack: by.stack };
      const kind = by === undefined ? "unseen-table" : "table";
      this.#recorder.add({ ...NOTHING, ...writer, kind, cpu, address, old, new: now });
      this.#view?.written(address, now);
    }
  }

  #tellUnseen(cpu: number, found: readonly RegisterDifference[]): void {
    for (const { encoding, old, now } of found) {
      this.#recorder.add({ ...NOTHING, kind: "unseen-register", cpu, address: BigInt(encoding), old, new: now });
    }
  }

  async #compareRanges(cpu: number): Promise<void> {
    const words = [...this.#inRanges.keys()];
    if (words.length === 0) return;
    const vcpu = this.#target.info.cpus[cpu] ?? this.#target.stoppedCpu;
    const reads = await this.#target.readVirtual(
      vcpu,
      words.map((address) => ({ address, length: 8 })),
    );
    for (const [i, address] of words.entries()) {
      const read = reads[i];
      const old = this.#inRanges.get(address);
      if (read?.state !== "present" || u64(read.bytes) === old) continue;
      this.#recorder.add({ ...NOTHING, kind: "unseen-memory", cpu, address, old, new: u64(read.bytes) });
      this.#inRanges.set(address, u64(read.bytes));
    }
  }

  /** Ends watching tables and registers; ranges stay. */
  async endTables(): Promise<void> {
    if (!this.#watching) return;
    this.#watching = false;
    await this.#watchpoints.removeTables();
    const traps = [...this.#sites.values()].map(({ trap }) => trap);
    this.#sites.clear();
    await Promise.all(traps.map((trap) => trap[Symbol.asyncDispose]()));
  }

  async #giveUp(why: string): Promise<void> {
    this.#lapse(why);
    await this.endTables();
    await this.#watchpoints.removeRanges();
  }

  /** Whether the stop is a watched write; then it is recorded, and the guest runs on. */
  async handle(stop: Stop): Promise<boolean> {
    if (stop.kind !== "watchpoint") return false;
    this.#recorder.nextStop();
    if (this.#recorder.full) {
      await this.#giveUp(
        `${this.#recorder.count.toLocaleString("en")} events were kept; what came after them was not watched.`,
      );
      await this.#target.resume();
      return true;
    }
    const out = this.#watchpoints.trapAt(stop.address);
    if (out === undefined) await this.#late(stop.cpu);
    else await this.#hit(stop.cpu, out);
    return true;
  }

  /** Of a watchpoint that is not there any more: what was written, is; where is found by comparing. */
  async #late(cpu: Cpu): Promise<void> {
    await this.#compareTables(cpu);
    await this.#compareRanges(cpu.index);
    await this.#target.resumePast(cpu, "everything");
  }

  async #compareTables(cpu: Cpu, by?: Hit): Promise<void> {
    const pages = this.#watchpoints.tablePages;
    const reads = await this.#target.memory.read(pages.map((address) => ({ address, length: 4096 })));
    for (const [i, page] of pages.entries()) this.#comparePage(page, reads[i], cpu.index, by);
    await this.#relink(cpu.index);
  }

  async #hit(cpu: Cpu, out: OutOfTheWay): Promise<void> {
    const guess = this.#stacks.guess(cpu);
    const [[rows, reads], { stop, putBack }] = await Promise.all([
      Promise.all([
        this.#target.readRegisters([cpu], this.#general),
        guess.length === 0 ? [] : this.#target.readVirtual(cpu, guess),
      ]),
      this.#target.stepAside(cpu, out),
    ]);
    if (stop.kind === "watchpoint") {
      await putBack();
      // Another of ours lies there too.
      return out === "everything" ? this.#late(cpu) : this.#hit(cpu, "everything");
    }
    const registers = registersOf(this.#general, rows[0] ?? []);
    const pc = virt(registers.get("pc") ?? 0n);
    const word = this.#code.wordAt(pc);
    const stored = word === undefined ? undefined : storesOf(word, registers);
    const written = stored === undefined ? [] : this.#watchpoints.watched(stored.doublewords);
    const pieces = guess.map(({ address }, i): StackPiece => ({ address, read: reads[i] ?? UNREADABLE }));
    const { sample, missing } = this.#stacks.follow(registers, pieces);
    const stack = missing === undefined ? this.#recorder.stack(sample) : undefined;
    const isKnown = missing === undefined && stack?.isNew !== true;
    if (isKnown && written.length > 0 && this.#leavesTablesAsTheyAre(written, stored?.values)) {
      const [, after] = await Promise.all([
        putBack(),
        this.#target.readVirtual(cpu, spansOf(written, pc)),
        this.#target.resume(),
      ]);
      this.#recordWrites({ cpu, registers, pc, word, stack: stack?.index }, written, after);
      return;
    }
    await putBack();
    await this.#hitSlowly(cpu, registers, pc, pieces, stack);
    await this.#target.resume();
  }

  /** A write whose code, call chain or consequences have to be looked at first; leaves the guest halted. */
  async #hitSlowly(
    cpu: Cpu,
    registers: Registers,
    pc: VirtAddr,
    pieces: readonly StackPiece[],
    known: ReturnType<Recorder["stack"]>,
  ): Promise<void> {
    const sample = await this.#stacks.complete(cpu, registers, pieces);
    const stack = known ?? this.#recorder.stack(sample);
    this.#stacks.learn(cpu, sample);
    if (stack?.isNew) await this.#code.learn(cpu, registers, sample);
    const word = await this.#code.fetchWord(cpu, pc);
    const hit = { cpu, registers, pc, word, stack: stack?.index };
    const stored = word === undefined ? undefined : storesOf(word, registers);
    const written = stored === undefined ? [] : this.#watchpoints.watched(stored.doublewords);
    if (written.length === 0) {
      await this.#compareTables(cpu, hit);
      await this.#compareRanges(cpu.index);
      return;
    }
    this.#recordWrites(hit, written, await this.#target.readVirtual(cpu, spansOf(written, pc)));
    await this.#relink(cpu.index);
  }

  /** `after`: what the doublewords hold now, and the instruction as it is in memory now. */
  #recordWrites(hit: Hit, written: readonly WatchedWord[], after: Awaited<ReturnType<Target["readVirtual"]>>): void {
    const { cpu, pc, word, stack } = hit;
    const now = after[written.length];
    // The code was another by now: where it wrote to is found by comparing.
    if (now?.state === "present" && word !== undefined && u32(now.bytes) !== word) this.#code.forget(pc);
    for (const [i, { virtual, table, inRange }] of written.entries()) {
      const read = after[i];
      const value = read?.state === "present" ? u64(read.bytes) : undefined;
      const event = { cpu: cpu.index, pc, word, new: value, stack };
      if (table !== undefined) {
        this.#recorder.add({ ...event, kind: "table", address: table, old: this.#view?.shadow.word(table) });
        if (value !== undefined) this.#noteChange(table, value);
      }
      if (inRange) {
        this.#recorder.add({ ...event, kind: "memory", address: virtual, old: this.#inRanges.get(virtual) });
        if (value !== undefined) this.#inRanges.set(virtual, value);
      }
    }
  }

  #relinks = false;

  #noteChange(address: PhysAddr, value: bigint): void {
    const view = this.#view;
    if (view === undefined || view.shadow.word(address) === value) return;
    const { added, removed } = view.written(address, value);
    this.#relinks ||= added.length > 0 || removed.length > 0 || this.#mapsTables(address, value);
  }

  /** Whether no table comes or goes by these writes, and none gets another address to be written at. */
  #leavesTablesAsTheyAre(written: readonly WatchedWord[], values: readonly bigint[] | undefined): boolean {
    const uses = this.#view?.uses;
    return written.every(({ table }, i) => {
      if (table === undefined) return true;
      const value = values?.[i];
      if (uses === undefined || value === undefined) return false;
      const old = this.#view?.shadow.word(table) ?? 0n;
      const links = uses
        .usesOf(physPage(table))
        .some(
          ({ level, root }) => level < LAST_LEVEL && [old, value].some((each) => isTable(each, level, root.format)),
        );
      return !links && !this.#mapsTables(table, value);
    });
  }

  /** Whether a leaf leads to a page of a table. */
  #mapsTables(address: PhysAddr, value: bigint): boolean {
    const uses = this.#view?.uses;
    if (uses === undefined) return false;
    return uses.usesOf(physPage(address)).some(({ level, root }) => {
      const [low, high] = halves(value);
      const kind = descriptorKind(low, level, root.format);
      if (kind === 0 || kind === TABLE) return false;
      const output = outputPage(low, high, root.format);
      if (level === LAST_LEVEL && root.format.granuleBits === 12) return uses.usesOf(pageAddress(output)).length > 0;
      return true;
    });
  }

  /** Watches tables that have come into being, and none that are no more. */
  async #relink(cpu: number): Promise<void> {
    if (!this.#relinks || this.#view === undefined) return;
    this.#relinks = false;
    this.#tellFound(await this.#view.fetch(), cpu);
    await this.#watchTables();
  }

  #tellFound(pages: readonly PhysAddr[], cpu: number): void {
    for (const page of pages) {
      const read = this.#view?.shadow.page(page);
      const contents = read?.state === "present" ? this.#recorder.contents(read.bytes) : undefined;
      const index = contents === undefined ? undefined : BigInt(contents);
      this.#recorder.add({ ...NOTHING, kind: "table-found", cpu, address: page, new: index });
    }
  }

  /** After registers have changed. */
  async #follow(): Promise<void> {
    const view = this.#view;
    if (view === undefined) return;
    const before = new Set(view.shadow.pages);
    if (!(await view.follow(this.#known.all))) return;
    this.#tellFound(
      view.shadow.pages.filter((page) => !before.has(page)),
      this.#target.stoppedCpu.index,
    );
    await this.#watchTables();
  }

  /** Whether the vCPU stands at an instruction that is watched; then it is recorded, and the guest runs on. */
  async handleSite(at: StoppedCpu): Promise<boolean> {
    const pc = virt(at.pc);
    const site = this.#sites.get(pc)?.site;
    const system = site === undefined ? undefined : systemWord(site.word);
    if (site === undefined || system === undefined) return false;
    this.#recorder.nextStop();
    if (this.#recorder.full) {
      await this.#giveUp(
        `${this.#recorder.count.toLocaleString("en")} events were kept; what came after them was not watched.`,
      );
      await this.#target.resume();
      return true;
    }
    const definitions = system.kind === "msr" ? [...this.#general, ...this.#known.control] : this.#general;
    const guess = this.#stacks.guess(at.cpu);
    const [[rows, reads], { putBack }] = await Promise.all([
      Promise.all([
        this.#target.readRegisters([at.cpu], definitions),
        guess.length === 0 ? [] : this.#target.readVirtual(at.cpu, guess),
      ]),
      this.#target.stepAside(at.cpu, pc),
    ]);
    const row = rows[0] ?? [];
    const registers = registersOf(definitions, row);
    const pieces = guess.map(({ address }, i): StackPiece => ({ address, read: reads[i] ?? UNREADABLE }));
    const { sample, missing } = this.#stacks.follow(registers, pieces);
    const stack = missing === undefined ? this.#recorder.stack(sample) : undefined;
    const hit = { cpu: at.cpu, registers, pc, word: site.word, stack: stack?.index };
    if (system.kind !== "msr" && missing === undefined && stack?.isNew !== true) {
      await Promise.all([putBack(), this.#target.resume()]);
      this.#recordMaintenance(hit, system);
      return true;
    }
    await putBack();
    const whole = await this.#stacks.complete(at.cpu, registers, pieces);
    const kept = stack ?? this.#recorder.stack(whole);
    this.#stacks.learn(at.cpu, whole);
    if (kept?.isNew) await this.#code.learn(at.cpu, registers, whole);
    if (system.kind === "msr") await this.#recordRegister({ ...hit, stack: kept?.index }, system, definitions, row);
    else this.#recordMaintenance({ ...hit, stack: kept?.index }, system);
    await this.#target.resume();
    return true;
  }

  #recordMaintenance({ cpu, registers, pc, word, stack }: Hit, { encoding, rt }: SystemWord): void {
    const value = operand(registers, rt);
    this.#recorder.add({
      ...{ kind: "maintenance", cpu: cpu.index, pc, word, address: BigInt(encoding) },
      ...{ old: undefined, new: value, stack },
    });
  }

  async #recordRegister(
    { cpu, registers, pc, word, stack }: Hit,
    { encoding, rt }: SystemWord,
    definitions: readonly RegisterDefinition[],
    before: readonly RegisterRead[],
  ): Promise<void> {
    this.#tellUnseen(cpu.index, this.#known.set(cpu.index, definitions, before));
    const [after = []] = await this.#target.readRegisters([cpu], this.#known.control);
    const level = currentExceptionLevel(registers) ?? 1;
    const name = writtenRegister(encoding, { level, e2h: hostExtensions(this.#known.of(cpu.index)) });
    const old = this.#known.of(cpu.index).get(name);
    const found = this.#known.set(cpu.index, this.#known.control, after);
    const written = encodingNamed(name) ?? encoding;
    this.#recorder.add({
      ...{ kind: "register", cpu: cpu.index, pc, word, address: BigInt(written) },
      ...{ old, new: this.#known.of(cpu.index).get(name) ?? operand(registers, rt), stack },
    });
    this.#tellUnseen(
      cpu.index,
      found.filter((each) => each.name !== name),
    );
    if (found.length > 0) await this.#follow();
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

const UNREADABLE = { state: "unreadable", code: "read-failed" } as const;

function isRefusal(error: unknown): error is EbscopeError {
  return error instanceof EbscopeError && error.code === "stub-refused";
}

/** The doublewords that were written, and the instruction. */
function spansOf(written: readonly WatchedWord[], pc: VirtAddr): VirtSpan[] {
  return [...written.map(({ virtual }) => ({ address: virtual, length: 8 })), { address: pc, length: 4 }];
}

function doublewordsOf({ address, length }: WatchedRange): VirtAddr[] {
  const [first, end] = [address & ~7n, address + BigInt(length)];
  return Array.from({ length: Number((end - first + 7n) / 8n) }, (_, i) => virt(first + BigInt(8 * i)));
}

function isTable(value: bigint, level: number, format: Parameters<typeof descriptorKind>[2]): boolean {
  return descriptorKind(halves(value)[0], level, format) === TABLE;
}

function halves(value: bigint): readonly [number, number] {
  return [Number(value & 0xffff_ffffn), Number(value >> 32n)];
}

function operand(registers: Registers, rt: number): bigint | undefined {
  return rt === 31 ? 0n : registers.get(`x${rt}`);
}

function u64(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
}

function u32(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
}
