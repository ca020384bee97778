/**
 * Requests on their way: those that wait to be sent and those that wait for their reply, in order, within bounds of count and bytes;
 * and the deadline of the oldest.
 */
import type { EbscopeError } from "../base/error.ts";
import type { Label } from "./command.ts";

export interface Pending {
  readonly label: Label;
  /** The encoded packet. */
  readonly bytes: Uint8Array;
  readonly deadlineMs?: number | undefined;
  /** The answer may be a stop reply (`?`). */
  readonly expectsStop?: boolean | undefined;
  /** The answer is bytes of any kind (`x` of LLDB's stubs). */
  readonly anyBytes?: boolean | undefined;
  readonly onOutput?: ((hexText: string) => void) | undefined;
  resolve(reply: Uint8Array): void;
  reject(error: EbscopeError): void;
}

export interface RequestBounds {
  readonly deadlineMs: number;
  /** Requests under way at once. */
  readonly count: number;
  /** Bytes of requests under way at once; a single request may be longer. */
  readonly bytes: number;
}

/** Answered requests that are kept in the list at most: cutting it for each would cost more than they do. */
const FORGET_AFTER = 1024;

export class RequestQueue {
  readonly #bounds: RequestBounds;
  readonly #onLate: (head: Pending, deadlineMs: number) => void;
  #queued: Pending[] = [];
  /** Requests before this index of #queued were sent. */
  #taken = 0;
  #inFlight: Pending[] = [];
  /** Requests before this index of #inFlight were answered. */
  #answered = 0;
  #bytesInFlight = 0;
  #timer: NodeJS.Timeout | undefined;
  /** When the timer looks at the head, in the time of `performance.now()`. */
  #timerDue = 0;
  /** When the oldest request in flight became the oldest. */
  #headSince = 0;
  #idleWaiters: (() => void)[] = [];

  constructor(bounds: RequestBounds, onLate: (head: Pending, deadlineMs: number) => void) {
    this.#bounds = bounds;
    this.#onLate = onLate;
  }

  /** The request that the next reply answers. */
  get head(): Pending | undefined {
    return this.#inFlight[this.#answered];
  }

  get inFlight(): number {
    return this.#inFlight.length - this.#answered;
  }

  get unsent(): number {
    return this.#queued.length - this.#taken;
  }

  get busy(): boolean {
    return this.inFlight > 0 || this.unsent > 0;
  }

  add(pending: Pending): void {
    this.#queued.push(pending);
  }

  /**
   * The requests to be sent now, at most `window` under way. Topped up in large pieces, when half of the window is free: a write for
   * each reply that comes costs more than the replies.
   */
  takeNext(window: number, send: (bytes: Uint8Array) => void): void {
    const limit = Math.min(window, this.#bounds.count);
    if (this.unsent === 0 || this.inFlight > limit / 2) return;
    if (this.#bytesInFlight > this.#bounds.bytes / 2) return;
    if (this.inFlight === 0) this.#headSince = performance.now();
    while (this.unsent > 0 && this.inFlight < limit) {
      const pending = this.#queued[this.#taken] as Pending;
      if (this.inFlight > 0 && this.#bytesInFlight + pending.bytes.length > this.#bounds.bytes) break;
      this.#taken++;
      this.#inFlight.push(pending);
      this.#bytesInFlight += pending.bytes.length;
      send(pending.bytes);
    }
    if (this.unsent === 0) {
      this.#queued = [];
      this.#taken = 0;
    }
    this.#watchHead();
  }

  /** Takes the oldest request in flight, which has been answered. */
  answered(): Pending | undefined {
    const head = this.#inFlight[this.#answered];
    if (head === undefined) return undefined;
    this.#bytesInFlight -= head.bytes.length;
    this.#headSince = performance.now();
    if (++this.#answered === this.#inFlight.length || this.#answered === FORGET_AFTER) {
      this.#inFlight = this.#inFlight.slice(this.#answered);
      this.#answered = 0;
    }
    if (this.head?.deadlineMs !== undefined) this.#watchHead();
    return head;
  }

  /**
   * Resolves when nothing is under way, or all was given up. To be awaited in a loop that looks again: a reply may give rise to the next
   * request before the one who waits goes on.
   */
  nextIdle(): Promise<void> {
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  wakeIdle(): void {
    const waiters = this.#idleWaiters;
    this.#idleWaiters = [];
    for (const wake of waiters) wake();
  }

  /** Gives everything up. */
  failAll(error: EbscopeError): void {
    clearTimeout(this.#timer);
    const waiting = [...this.#inFlight.slice(this.#answered), ...this.#queued.slice(this.#taken)];
    this.#inFlight = [];
    this.#answered = 0;
    this.#queued = [];
    this.#taken = 0;
    for (const pending of waiting) pending.reject(error);
    this.wakeIdle();
  }

  #headDeadline(): number {
    return this.head?.deadlineMs ?? this.#bounds.deadlineMs;
  }

  /** One timer serves many requests: it looks again when it was early, and is set anew for a head that has less time than it would take. */
  #watchHead(): void {
    const due = this.#headSince + this.#headDeadline();
    if (this.#timer !== undefined && this.#timerDue <= due) return;
    clearTimeout(this.#timer);
    this.#timerDue = due;
    this.#timer = setTimeout(() => this.#checkDeadline(), due - performance.now());
  }

  #checkDeadline(): void {
    this.#timer = undefined;
    const { head } = this;
    if (head === undefined) return;
    const deadlineMs = this.#headDeadline();
    if (this.#headSince + deadlineMs > performance.now()) this.#watchHead();
    // Not at once: when this process itself was stopped for a while, the answer may lie there unread.
    else setImmediate(() => this.#giveUpOn(head, deadlineMs));
  }

  #giveUpOn(head: Pending, deadlineMs: number): void {
    if (this.head === head) this.#onLate(head, deadlineMs);
    else if (this.inFlight > 0) this.#watchHead();
  }
}
