/**
 * Goes once through what was recorded and says which addresses each write changed.
 *
 * It starts from the registers and pages of the first point in the record and does again what was seen to be done. At each later point what
 * came out is held against what was captured: each difference is a change that nobody was seen to make, and what was captured counts. The
 * same where the record says what a doubleword or register held before a write and it was to hold something else.
 *
 * Records and tables are untrusted: how much is walked, compared and kept is bounded (see budget.ts); from there on effects are not told.
 */
import { REGIME_NAMES } from "../aarch64/regime-model.ts";
import type { PhysAddr, VirtAddr } from "../base/address.ts";
import { PAGE_SIZE, phys, physPage } from "../base/address.ts";
import { littleEndianValue, type Registers } from "../base/registers.ts";
import type { BlameEvent, BlameRecord } from "../snapshot/blame.ts";
import type { Capture, Point } from "../snapshot/model.ts";
import { Budget, type ReplayBounds } from "./budget.ts";
import { type Effect, toldEffect, untoldEffect } from "./effect.ts";
import { LiveRegimes } from "./live-regimes.ts";
import { type RegisterNamer, registerNamer, type VcpuMode, vcpuMode } from "./register-names.ts";
import { RegimeStates } from "./regime-states.ts";
import { ReplayPages } from "./replay-pages.ts";
import { decidesTranslation } from "./translation-registers.ts";
import { WriteEffects } from "./write-effects.ts";
import { EVERYTHING, WholeRegimes } from "./whole-regimes.ts";

export interface ReplayOptions extends ReplayBounds {
  /** How the registers are called that an MSR writes. */
  readonly registerName?: RegisterNamer;
}

/** A write to a System register. */
export interface RegisterWrite {
  readonly event: number;
  readonly seen: boolean;
  readonly cpu: number;
  /** The register that was really written. */
  readonly name: string;
  readonly before: bigint | undefined;
  readonly after: bigint | undefined;
}

/** Where a point of the capture is in the record. */
export interface ReplayedPoint {
  readonly event: number;
  /** Index in the capture. */
  readonly point: number;
}

export interface Replay {
  readonly capture: Capture;
  readonly record: BlameRecord;
  /** In the order of the events. */
  readonly effects: readonly Effect[];
  readonly registers: readonly RegisterWrite[];
  readonly points: readonly ReplayedPoint[];
  /** Of the vCPU that an event is of, at that event. */
  mode(event: number): VcpuMode | undefined;
  /** Index of the first event whose effects are not told as too much would have to be looked at. */
  readonly untoldFrom: number | undefined;
  /** What is worth knowing about how it was replayed. */
  readonly notes: readonly string[];
}

/** What was recorded with a capture, replayed; undefined when nobody watched. */
export function replayBlame(capture: Capture, options: ReplayOptions = {}): Replay | undefined {
  return capture.blame === undefined ? undefined : new Replayer(capture, capture.blame, options).run();
}

/** Physical addresses have 56 bits at most. */
const ADDRESS_END = 1n << 56n;

class Replayer {
  readonly #capture: Capture;
  readonly #record: BlameRecord;
  readonly #nameOf: RegisterNamer;
  readonly #budget: Budget;
  readonly #pages = new ReplayPages();
  readonly #states = new RegimeStates();
  readonly #registers: Map<string, bigint>[];
  readonly #live: LiveRegimes;
  readonly #whole: WholeRegimes;
  readonly #writes: WriteEffects;
  readonly #effects: Effect[] = [];
  readonly #registerWrites: RegisterWrite[] = [];
  readonly #points: ReplayedPoint[] = [];
  readonly #modes = new Map<number, VcpuMode>();
  #untoldFrom: number | undefined;
  #unknownPages = 0;

  constructor(capture: Capture, record: BlameRecord, options: ReplayOptions) {
    this.#capture = capture;
    this.#record = record;
    this.#nameOf = options.registerName ?? registerNamer;
    this.#budget = new Budget(options);
    this.#registers = capture.threads.map(() => new Map());
    this.#live = new LiveRegimes(this.#pages, this.#budget, capture.threads.length);
    this.#whole = new WholeRegimes(this.#pages, this.#budget);
    this.#writes = new WriteEffects(this.#pages, this.#live, this.#whole, this.#budget);
  }

  run(): Replay {
    const { events } = this.#record;
    let stop: number | undefined;
    for (const [i, event] of events.entries()) {
      if (event.stop !== stop) this.#findTables(i);
      stop = event.stop;
      this.#event(i, event);
      if (this.#budget.uses <= 0 || this.#budget.effects <= this.#effects.length) this.#giveUp(i);
    }
    return {
      capture: this.#capture,
      record: this.#record,
      effects: this.#effects,
      registers: this.#registerWrites,
      points: this.#points,
      mode: (event) => this.#mode(event),
      untoldFrom: this.#untoldFrom,
      notes: this.#notes(),
    };
  }
}
