/**
 * A point of a plan while the plan runs: whether it is armed, which of its hits are recorded, and when it is done.
 *
 * States: waiting (for the point that `after` names) → armed → over: its records are there, it was given up (`until`, `limit.time`, the plan's
 * end), or it was never armed.
 */
import type { PlanPoint } from "../plan/index.ts";

/** Reasons for which a condition was unknown that are told of a point; they are of the plan's making, but may hold addresses. */
const MAX_REASONS = 16;

export class PointRun {
  readonly point: PlanPoint;
  #state: "waiting" | "armed" | "over" = "waiting";
  #armedAt = 0;
  #hits = 0;
  #records = 0;
  #undecided = 0;
  readonly #reasons = new Set<string>();

  constructor(point: PlanPoint) {
    this.point = point;
  }

  get id(): string {
    return this.point.id;
  }

  get isWaiting(): boolean {
    return this.#state === "waiting";
  }

  get isArmed(): boolean {
    return this.#state === "armed";
  }

  get isOver(): boolean {
    return this.#state === "over";
  }

  /** How often the guest came there and the condition held. */
  get hits(): number {
    return this.#hits;
  }

  /** How many of these were recorded. */
  get records(): number {
    return this.#records;
  }

  /** How many records there are in the end. */
  get kept(): number {
    return this.point.keep === "last" ? Math.min(this.#records, this.point.limit.count) : this.#records;
  }

  /** How often it could not be told whether the condition held. */
  get undecided(): number {
    return this.#undecided;
  }

  /** Why that was. */
  get reasons(): readonly string[] {
    return [...this.#reasons];
  }

  /** It has what the plan asks for, or gets no more. */
  get isSatisfied(): boolean {
    return this.isOver || this.#records >= this.point.limit.count;
  }

  /** When it is given up; undefined: not by itself. In milliseconds of `performance.now()`. */
  get deadline(): number | undefined {
    const { ms } = this.point.limit;
    return this.isArmed && ms !== undefined ? this.#armedAt + ms : undefined;
  }

  /** How many hits from now on the point changes nothing but its records: at the one after it is over, or others wait for it. */
  hitsToChange(isNamed: boolean): number {
    const { hits, limit, keep } = this.point;
    if (isNamed && this.#records === 0) return hits.from - this.#hits;
    const last = keep === "last" ? Number.POSITIVE_INFINITY : hits.from + limit.count - 1;
    // Of `keep: last` the plan may be done when there are enough.
    const enough = this.#records < limit.count ? hits.from + limit.count - 1 : Number.POSITIVE_INFINITY;
    return Math.min(hits.to ?? Number.POSITIVE_INFINITY, last, enough) - this.#hits;
  }

  arm(now: number): void {
    this.#state = "armed";
    this.#armedAt = now;
  }

  /** No more hits count. */
  giveUp(): void {
    this.#state = "over";
  }

  /** Counts a hit whose condition held; whether it is to be recorded. */
  countHit(): boolean {
    const { from, to = Number.POSITIVE_INFINITY } = this.point.hits;
    const hit = ++this.#hits;
    if (hit >= to) this.giveUp();
    return hit >= from && hit <= to;
  }

  countRecord(): void {
    const { limit, keep } = this.point;
    if (++this.#records >= limit.count && keep === "first") this.giveUp();
  }

  /** Whether this reason is a new one. */
  countUndecided(why: string): boolean {
    this.#undecided++;
    if (this.#reasons.has(why) || this.#reasons.size >= MAX_REASONS) return false;
    this.#reasons.add(why);
    return true;
  }
}
