/** A stop of the guest, and what can be asked of it until the guest goes on. */
import type { VirtAddr } from "../base/address.ts";
import type { MemoryRead } from "../base/memory.ts";
import type { Registers } from "../base/registers.ts";
import type { Place } from "../diagnose/place.ts";
import type { PointTrace } from "../diagnose/trace.ts";
import type { PointWalk } from "../diagnose/walks.ts";
import type { Point } from "../snapshot/model.ts";
import type { Arrival, Written } from "./arrival.ts";
import type { Breakpoint } from "./breakpoint.ts";
import { type CallArguments, callArguments } from "./call-arguments.ts";
import type { GuestMappings, GuestView, MemoryOptions, ViewOptions } from "./guest-view.ts";
import type { SnapshotOptions } from "./snapshots.ts";

/** A breakpoint that was hit, with the number of the hit, from 1 on. */
export interface Hit {
  readonly breakpoint: Breakpoint;
  readonly hit: number;
}

/** What a stop asks of the session that it is of. */
export interface StopHost {
  readonly view: GuestView;
  snapshot(id: string, options: SnapshotOptions): Promise<Point>;
  backtrace(cpu: number): Promise<PointTrace>;
  placeOf(address: bigint): Promise<Place>;
  serviceAt(address: bigint): Promise<string | undefined>;
}

export class Stop {
  readonly #arrival: Arrival;
  readonly #host: StopHost;
  readonly #view: GuestView;
  /** The breakpoints that were hit here: as a rule one. */
  readonly hits: readonly Hit[];

  constructor(arrival: Arrival, host: StopHost, hits: readonly Hit[] = []) {
    this.#arrival = arrival;
    this.#host = host;
    this.#view = host.view;
    this.hits = hits;
  }

  /** `watchpoint`: the write is done, and `written` tells of it. */
  get reason(): Arrival["reason"] {
    return this.#arrival.reason;
  }

  /** The vCPU that stopped. */
  get cpu(): number {
    return this.#arrival.cpu.index;
  }

  /** The instruction that comes next; at a watchpoint the one that has written. Undefined when it could not be read. */
  get pc(): VirtAddr | undefined {
    return this.#arrival.pc;
  }

  /** The first of `hits`. */
  get breakpoint(): Breakpoint | undefined {
    return this.hits[0]?.breakpoint;
  }

  /** Which hit of the breakpoint it is, from 1 on; 0 without one. */
  get hit(): number {
    return this.hits[0]?.hit ?? 0;
  }

  /** What the watched range held before the write and after it. */
  get written(): Written | undefined {
    return this.#arrival.written;
  }

  /** x0 … x30, sp, pc and cpsr, as they were at `pc`. They came with the stop, and stay readable when the guest has gone on. */
  get general(): Registers {
    return this.#arrival.general;
  }

  /** Every register of a vCPU: all of all vCPUs come as one batch, once. */
  registers(cpu = this.cpu): Promise<Registers> {
    return this.#view.registers(cpu);
  }

  /** Those that are named, and no others. */
  registersNamed(names: ReadonlySet<string>, cpu = this.cpu): Promise<Registers> {
    return this.#view.registersNamed(names, cpu);
  }

  /** As this vCPU sees it now. */
  memory(address: bigint, length: number, options: MemoryOptions = {}): Promise<MemoryRead> {
    return this.#view.memory(address, length, { cpu: this.cpu, ...options });
  }

  /** How an address translates now. */
  explain(address: bigint, options: ViewOptions = {}): Promise<PointWalk> {
    return this.#view.explain(address, { cpu: this.cpu, ...options });
  }

  mappings(options: ViewOptions = {}): Promise<GuestMappings> {
    return this.#view.mappings({ cpu: this.cpu, ...options });
  }

  /** The call chain, innermost first, with names. */
  backtrace(): Promise<PointTrace> {
    this.#view.mustHold();
    return this.#host.backtrace(this.cpu);
  }

  /**
   * What the function was called with whose first instruction this is: by the prototype of the UEFI service that it is, else x0 to x7 without
   * names.
   */
  async arguments(): Promise<CallArguments> {
    this.#view.mustHold();
    const pc = this.pc;
    const service = this.breakpoint?.place.service ?? (pc === undefined ? undefined : await this.#host.serviceAt(pc));
    return callArguments(service, this.general, (address, length) => this.memory(address, length));
  }

  /** Takes a point of the session's capture. */
  snapshot(id: string, options: SnapshotOptions = {}): Promise<Point> {
    this.#view.mustHold();
    return this.#host.snapshot(id, { cpu: this.cpu, ...options });
  }

  /** What is at an address: image, section, symbol, line. */
  place(address: bigint | undefined = this.pc): Promise<Place> {
    return this.#host.placeOf(address ?? 0n);
  }
}
