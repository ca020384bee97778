/** Doing again, event by event, what a record says was done; see replay.ts. */
import { REGIME_NAMES } from "../aarch64/regime-model.ts";
import { systemNameOf } from "../aarch64/registers/index.ts";
import { PAGE_SIZE, type PhysAddr, phys, physPage } from "../base/address.ts";
import type { MemoryRead } from "../base/memory.ts";
import { littleEndianValue } from "../base/registers.ts";
import type { BlameEvent, BlameRecord } from "../snapshot/blame.ts";
import type { Capture, Point } from "../snapshot/model.ts";
import { Budget, type ReplayBounds } from "./budget.ts";
import { A_REGISTER, type Effect, untoldEffect } from "./effect.ts";
import { LiveRegimes } from "./live-regimes.ts";
import { RegimeStates } from "./regime-states.ts";
import { RegisterEffects } from "./register-effects.ts";
import type { RegisterWrite, Replay, ReplayedPoint } from "./replay.ts";
import { ReplayPages } from "./replay-pages.ts";
import { ModeList, vcpuMode } from "./vcpu-mode.ts";
import { EVERYTHING, WholeRegimes } from "./whole-regimes.ts";
import { WriteEffects } from "./write-effects.ts";

/** Physical addresses have 56 bits at most. */
const ADDRESS_END = 1n << 56n;
const UNREADABLE: MemoryRead = { state: "unreadable", code: "read-failed" };

export class Replayer {
  readonly #capture: Capture;
  readonly #record: BlameRecord;
  readonly #budget: Budget;
  readonly #pages = new ReplayPages();
  readonly #registers: Map<string, bigint>[];
  readonly #live: LiveRegimes;
  readonly #whole: WholeRegimes;
  readonly #writes: WriteEffects;
  readonly #switches: RegisterEffects;
  readonly #effects: Effect[] = [];
  readonly #registerWrites: RegisterWrite[] = [];
  readonly #points: ReplayedPoint[] = [];
  readonly #lapses: number[] = [];
  readonly #modes: ModeList;
  #untoldFrom: number | undefined;
  /** Writes to tables whose contents were not at hand. */
  #strangers = 0;

  constructor(capture: Capture, record: BlameRecord, bounds: ReplayBounds) {
    this.#capture = capture;
    this.#record = record;
    this.#budget = new Budget(bounds);
    this.#registers = capture.threads.map(() => new Map());
    this.#modes = new ModeList(record.events.length);
    this.#live = new LiveRegimes(this.#pages, this.#budget, capture.threads.length);
    this.#whole = new WholeRegimes(this.#pages, this.#budget);
    this.#writes = new WriteEffects(this.#pages, this.#live, this.#whole, this.#budget);
    this.#switches = new RegisterEffects(this.#live, this.#whole, new RegimeStates());
  }

  run(): Replay {
    const { events } = this.#record;
    let stop: number | undefined;
    for (const [i, event] of events.entries()) {
      if (event.stop !== stop && this.#points.length > 0) this.#newTables(i);
      stop = event.stop;
      this.#event(i, event);
      const spent = !this.#budget.mayGoOn || this.#effects.length >= this.#budget.effects;
      if (spent && this.#untoldFrom === undefined) this.#giveUp(i + 1);
    }
    return {
      capture: this.#capture,
      record: this.#record,
      effects: this.#effects,
      registers: this.#registerWrites,
      points: this.#points,
      mode: (event) => this.#modes.get(event),
      lapses: this.#lapses,
      untoldFrom: this.#untoldFrom,
      notes: this.#notes(),
    };
  }

  #event(i: number, event: BlameEvent): void {
    if (event.kind === "point") this.#point(i, Number(event.address));
    if (event.kind === "lapse") this.#lapses.push(i);
    // What was written before the first point was written to nothing that is known.
    if (this.#points.length === 0) return;
    this.#setMode(i, event);
    switch (event.kind) {
      case "table":
        this.#table(i, event, true);
        break;
      case "unseen-table":
        this.#table(i, event, false);
        break;
      case "register":
        this.#register(i, event, true);
        break;
      case "unseen-register":
        this.#register(i, event, false);
        break;
      case "table-found":
        this.#found(i, event);
        break;
      case "point":
      case "lapse":
      case "memory":
      case "unseen-memory":
      case "maintenance":
      case "use":
        break;
    }
  }

  #setMode(i: number, { cpu, stack }: BlameEvent): void {
    const registers = this.#registers[cpu];
    const sample = stack === undefined ? undefined : this.#record.stacks[stack];
    this.#modes.set(i, vcpuMode(sample?.cpsr ?? registers?.get("cpsr"), registers?.get("HCR_EL2") ?? 0n));
  }

  /** From here on nothing is told: anything may have changed. */
  #giveUp(event: number): void {
    this.#untoldFrom = event;
    const cpus = this.#capture.threads.map((_, cpu) => cpu);
    for (const regime of REGIME_NAMES) {
      this.#effects.push(untoldEffect({ event, seen: false, regime, cpus }, A_REGISTER, EVERYTHING));
    }
  }

  #add(effects: readonly Effect[]): void {
    for (const effect of effects) this.#effects.push(effect);
  }

  // ---- tables

  #table(i: number, event: BlameEvent, seen: boolean): void {
    if (this.#untoldFrom !== undefined || event.address >= ADDRESS_END) return;
    const address = phys(event.address & ~7n);
    const held = this.#pages.word(address);
    if (held === undefined) this.#stranger(i, event, address, seen);
    // What was there before the write is not what was left there: somebody wrote in between.
    else if (event.old !== undefined && event.old !== held) this.#write(i, address, event.old, false);
    if (held !== undefined && event.new !== undefined) this.#write(i, address, event.new, seen);
  }

  #write(event: number, address: PhysAddr, after: bigint, seen: boolean): void {
    const before = this.#pages.word(address);
    if (before === undefined || before === after) return;
    this.#add(this.#writes.of({ event, seen, address, before, after }));
  }

  #stranger(event: number, { old = 0n, new: now = 0n }: BlameEvent, address: PhysAddr, seen: boolean): void {
    const effects = this.#writes.unknown({ event, seen, address, before: old, after: now });
    if (effects.length > 0) this.#strangers++;
    this.#add(effects);
  }

  /** Tables that come into being at a stop are there when the write that makes them tables is looked at. */
  #newTables(first: number): void {
    if (this.#untoldFrom !== undefined) return;
    const { events } = this.#record;
    const stop = events[first]?.stop;
    for (let i = first; events[i]?.stop === stop; i++) {
      const event = events[i] as BlameEvent;
      if (event.kind === "table-found" && !this.#isUsed(physPage(phys(event.address)))) this.#load(i, event);
    }
  }

  #isUsed(page: PhysAddr): boolean {
    return this.#live.list().some(({ uses }) => uses.usesOf(page).length > 0);
  }

  #load(i: number, event: BlameEvent): void {
    if (event.address >= ADDRESS_END) return;
    const bytes = this.#contents(event);
    this.#put(i, phys(event.address), bytes === undefined ? UNREADABLE : { state: "present", bytes });
  }

  #contents({ new: index }: BlameEvent): Uint8Array | undefined {
    const bytes = index === undefined ? undefined : this.#record.contents[Number(index)];
    return bytes?.length === PAGE_SIZE ? bytes : undefined;
  }

  #put(event: number, address: PhysAddr, read: MemoryRead): void {
    const known = this.#pages.word(physPage(address)) !== undefined;
    if (!known && read.state !== "present") this.#pages.load(physPage(address), read);
    else if (!this.#pages.holds(address, read)) this.#add(this.#writes.arrived(event, physPage(address), read));
  }

  /** A table that was one already: what differs from what was expected of it was written unseen. */
  #found(i: number, event: BlameEvent): void {
    if (this.#untoldFrom !== undefined || event.address >= ADDRESS_END) return;
    const page = physPage(phys(event.address));
    const bytes = this.#contents(event);
    if (bytes === undefined || this.#pages.word(page) === undefined) this.#load(i, event);
    else this.#become(i, page, bytes);
  }

  /** A page turns out to hold these bytes. */
  #become(event: number, page: PhysAddr, bytes: Uint8Array): void {
    this.#budget.uses -= 1;
    if (this.#pages.holds(page, { state: "present", bytes })) return;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#budget.uses -= PAGE_SIZE / 8;
    for (let at = 0; at < PAGE_SIZE; at += 8) {
      this.#write(event, phys(page + BigInt(at)), view.getBigUint64(at, true), false);
    }
  }

  // ---- registers

  #register(i: number, event: BlameEvent, seen: boolean): void {
    const registers = this.#registers[event.cpu];
    if (registers === undefined) return;
    const name = systemNameOf(Number(event.address));
    const held = registers.get(name);
    const { old, new: now, cpu } = event;
    if (held !== undefined && old !== undefined && held !== old) this.#setRegister(i, cpu, name, old, false);
    this.#registerWrites.push({ event: i, seen, cpu, name, before: old ?? held, after: now });
    // One that the stub does not offer decides nothing that is decoded.
    if (now !== undefined && held !== undefined) this.#setRegister(i, cpu, name, now, seen);
  }

  #setRegister(event: number, cpu: number, name: string, value: bigint, seen: boolean): void {
    this.#registers[cpu]?.set(name, value);
    if (this.#untoldFrom !== undefined) return;
    const effects = this.#switches.written({ event, seen, cpu }, name, value);
    if (effects === undefined) this.#giveUp(event);
    else this.#add(effects);
  }

  // ---- points

  #point(i: number, index: number): void {
    const point = this.#capture.points[index];
    // A point is taken once.
    if (point === undefined || this.#points.some((each) => each.point === index)) return;
    const first = this.#points.length === 0;
    this.#points.push({ event: i, point: index });
    if (first) for (const [page, read] of point.pages) this.#pages.load(page, read);
    else if (this.#untoldFrom === undefined) this.#comparePages(i, point);
    for (const cpu of this.#capture.threads.keys()) this.#takeRegisters(i, cpu, point, first);
  }

  /** What is in no table now comes first: so it is there if one of the differences makes it a table. */
  #comparePages(i: number, point: Point): void {
    const used = new Set(this.#live.list().flatMap(({ uses }) => uses.pages()));
    for (const [page, read] of point.pages) if (!used.has(page)) this.#put(i, page, read);
    for (const page of used) {
      const read = point.pages.get(page);
      if (read?.state !== "present" || read.bytes.length !== PAGE_SIZE) continue;
      if (this.#pages.word(page) === undefined) this.#put(i, page, read);
      else this.#become(i, page, read.bytes);
    }
  }

  #takeRegisters(event: number, cpu: number, point: Point, first: boolean): void {
    const registers = new Map<string, bigint>();
    for (const [k, { name }] of this.#capture.registers.entries()) {
      const read = point.registers[cpu]?.[k];
      if (read?.state === "present") registers.set(name, littleEndianValue(read.bytes));
    }
    this.#registers[cpu] = registers;
    if (this.#untoldFrom !== undefined) return;
    const effects = this.#switches.taken({ event, seen: false, cpu }, registers, first);
    if (effects === undefined) this.#giveUp(event);
    else this.#add(effects);
  }

  #notes(): string[] {
    const notes: string[] = [];
    const { uncounted } = this.#record;
    if (this.#points.length === 0) notes.push("The record names no point of the capture: no change can be attributed.");
    if (uncounted > 0)
      notes.push(`${uncounted} more events came after as many as are kept: what they did is not told.`);
    if (this.#untoldFrom !== undefined) {
      notes.push(`What changed is not told from event ${this.#untoldFrom} on: there is too much to look at.`);
    }
    if (this.#strangers > 0) {
      notes.push(
        `${this.#strangers} writes went to tables whose contents are not known: what they changed is not told.`,
      );
    }
    if (this.#whole.refused > 0) {
      notes.push(`What ${this.#whole.refused} writes to registers changed is not told: there is too much to compare.`);
    }
    return notes;
  }
}
