/**
 * TLB maintenance that was not seen: a valid descriptor of a live table was changed, and no TLBI that covers what it mapped came before the next
 * point or before the next use of its addresses that was seen; or it was changed without break-before-make where the architecture asks for it.
 *
 * Source: Arm ARM DDI 0487, D8.17 "TLB maintenance", "Using break-before-make when updating translation table entries".
 *
 * Only what was seen counts: without TLBI watched nothing is said, nor after a `lapse`. What no breakpoint was at (code that was not there at the
 * search) may have done maintenance all the same: whoever shows a gap says so.
 */
import { liveRegimes } from "../aarch64/regime.ts";
import type { RegimeName } from "../aarch64/regime-model.ts";
import { tlbiScope } from "../aarch64/tlbi.ts";
import type { VirtAddr } from "../base/address.ts";
import { type Point, pointRegisters } from "../snapshot/model.ts";
import { asksForBreak } from "./break-before-make.ts";
import type { Effect } from "./effect.ts";
import { type DescriptorChange, descriptorChanges } from "./pairs.ts";
import {
  covers,
  isIn,
  mayBeCached,
  type PendingChange,
  pendingChange,
  regimeIn,
  type SeenUse,
} from "./pending-change.ts";
import type { Replay } from "./replay.ts";

export interface MaintenanceGap {
  readonly kind: "no-tlbi" | "no-break-before-make";
  /** Index of the event that made the change: for break-before-make, of the one that wrote the new valid descriptor. */
  readonly event: number;
  readonly regime: RegimeName;
  /** What the entry translates; the size is in bytes. */
  readonly va: VirtAddr;
  readonly size: bigint;
  /** The descriptor before and after, as the hardware reads them. */
  readonly before: bigint;
  readonly after: bigint;
  /** Index of the event at which the addresses were seen to be used; undefined: a point came first. */
  readonly seenUse: number | undefined;
  readonly why: string;
}

export interface MaintenanceGaps {
  readonly gaps: readonly MaintenanceGap[];
  /** There are more, or there was too much to look at. */
  readonly cut: boolean;
}

/** Changes that are waited for at a time. */
const MAX_PENDING = 1024;
const MAX_GAPS = 4096;
/** Times that an event is held against a change. */
const MAX_CHECKS = 2 ** 26;

/** Undefined when TLB maintenance was not watched. */
export function maintenanceGaps(replay: Replay): MaintenanceGaps | undefined {
  return replay.record.maintenance ? new Maintenance(replay).run() : undefined;
}

class Maintenance {
  readonly #replay: Replay;
  readonly #pending = new Map<string, PendingChange>();
  readonly #gaps: MaintenanceGap[] = [];
  /** By the event that made, the changes of descriptors that became valid in one way or the other. */
  readonly #made = new Map<string, DescriptorChange>();
  #checksLeft = MAX_CHECKS;
  #cut = false;

  constructor(replay: Replay) {
    this.#replay = replay;
    for (const change of descriptorChanges(replay)) {
      if (change.kind === "replaced") this.#made.set(`${change.events[1]} ${change.address}`, change);
    }
  }

  run(): MaintenanceGaps {
    const { record, effects, lapses, untoldFrom } = this.#replay;
    const end = Math.min(lapses[0] ?? Number.POSITIVE_INFINITY, untoldFrom ?? Number.POSITIVE_INFINITY);
    let next = 0;
    for (const [i, event] of record.events.entries()) {
      if (i >= end || this.#checksLeft < 0 || this.#gaps.length >= MAX_GAPS) break;
      this.#checksLeft -= this.#pending.size;
      this.#seeUse(i);
      if (event.kind === "maintenance") this.#invalidate(i);
      if (event.kind === "point") this.#settle(i, Number(event.address));
      for (; (effects[next]?.event ?? Number.POSITIVE_INFINITY) <= i; next++) this.#change(effects[next] as Effect);
    }
    if (this.#checksLeft < 0 || this.#gaps.length >= MAX_GAPS) this.#cut = true;
    return { gaps: this.#gaps, cut: this.#cut };
  }

  #change(effect: Effect): void {
    if (effect.kind !== "leaf" && effect.kind !== "table") return;
    const key = `${effect.regime} ${effect.address}`;
    if (!effect.seen || !effect.told) {
      this.#pending.delete(key);
      return;
    }
    this.#askForBreak(effect, this.#pending.get(key));
    if (this.#pending.has(key) || effect.ranges.length === 0 || !mayBeCached(effect)) return;
    if (this.#pending.size >= MAX_PENDING) this.#cut = true;
    else this.#pending.set(key, pendingChange(effect, this.#useAt(effect.event)));
  }

  /** Valid to valid by one write, or by two with no TLBI that was seen in between. */
  #askForBreak(effect: Effect, pending: PendingChange | undefined): void {
    const { before = 0n, after = 0n, event } = effect;
    if ((after & 1n) === 0n) return;
    const direct = (before & 1n) === 1n;
    const pair = direct ? undefined : this.#made.get(`${event} ${effect.address}`);
    // Of a pair, only one that nothing has covered since it was broken.
    if (!direct && (pair === undefined || pending?.effect.event !== pair.events[0])) return;
    const broke = direct ? effect : (pending as PendingChange).effect;
    if (!mayBeCached(broke)) return;
    const reason = asksForBreak(broke, effect, this.#mmfr2(effect));
    if (reason === undefined) return;
    const how = direct ? "it was valid all the time" : "no TLBI was seen between making it invalid and valid again";
    this.#report("no-break-before-make", effect, broke.before, undefined, `${reason}, and ${how}`);
  }

  #mmfr2({ cpus }: Effect): bigint | undefined {
    const { capture } = this.#replay;
    const [point] = capture.points;
    return point && pointRegisters(capture, point, cpus[0] ?? 0).get("ID_AA64MMFR2_EL1");
  }

  #invalidate(i: number): void {
    const event = this.#replay.record.events[i];
    if (event === undefined || this.#pending.size === 0) return;
    const { level, e2h, tge } = this.#replay.mode(i);
    if (level === undefined) {
      this.#pending.clear();
      return;
    }
    const scope = tlbiScope(Number(event.address), event.new ?? 0n, { level, e2h, tge });
    if (scope === undefined) return;
    for (const [key, each] of this.#pending) if (covers(scope, event.cpu, each)) this.#pending.delete(key);
  }

  #seeUse(i: number): void {
    if (this.#pending.size === 0) return;
    const use = this.#useAt(i);
    if (use === undefined) return;
    for (const [key, each] of this.#pending) {
      if (each.byItself || !isIn(use, each)) continue;
      this.#pending.delete(key);
      const why = "its addresses were used before a TLBI that covers them was seen";
      this.#report("no-tlbi", each.effect, each.effect.before, i, why);
    }
  }

  /** What is recorded at an event executed, and where its stack was. */
  #useAt(i: number): SeenUse | undefined {
    const { record } = this.#replay;
    const event = record.events[i];
    if (event?.pc === undefined) return undefined;
    const sample = event.stack === undefined ? undefined : record.stacks[event.stack];
    const [pc, sp] = [Number(event.pc >> 12n), sample === undefined ? undefined : Number(sample.sp >> 12n)];
    const data = event.kind === "use" ? Number(event.address >> 12n) : undefined;
    return { cpu: event.cpu, regime: regimeIn(this.#replay.mode(i)), pc, sp, data };
  }

  /** A point came before a TLBI. */
  #settle(event: number, index: number): void {
    const point = this.#replay.capture.points[index];
    if (point === undefined || this.#replay.points.every((each) => each.event !== event)) return;
    const live = new Map<number, readonly RegimeName[]>();
    for (const { effect } of this.#pending.values()) {
      const isLive = effect.cpus.some((cpu) => {
        const names = live.get(cpu) ?? this.#liveAt(point, cpu);
        live.set(cpu, names);
        return names.includes(effect.regime);
      });
      const why = `no TLBI that covers it was seen up to the point ${point.id}`;
      if (isLive) this.#report("no-tlbi", effect, effect.before, undefined, why);
    }
    this.#pending.clear();
  }

  #liveAt(point: Point, cpu: number): readonly RegimeName[] {
    return liveRegimes(pointRegisters(this.#replay.capture, point, cpu)).map(({ name }) => name);
  }

  #report(
    kind: MaintenanceGap["kind"],
    effect: Effect,
    before: bigint | undefined,
    seenUse: number | undefined,
    why: string,
  ): void {
    const { event, regime, va, size, after } = effect;
    this.#gaps.push({ kind, event, regime, va, size, before: before ?? 0n, after: after ?? 0n, seenUse, why });
  }
}
