/** Those who wait for the next stop of a running guest, and the stops that nobody has waited for yet. */
import { abortError } from "../base/abort.ts";
import type { EbscopeError } from "../base/error.ts";
import type { StopReply } from "./reply.ts";

interface Waiter {
  resolve(stop: StopReply): void;
  reject(error: EbscopeError): void;
}

/** A stop that is owed within a time, and the error when it has not come by then. */
export interface DueStop {
  readonly withinMs: number;
  readonly late: () => EbscopeError;
}

export class StopQueue {
  #stops: StopReply[] = [];
  /** The guest was not resumed after all, and nobody has been told yet. */
  #refusal: EbscopeError | undefined;
  readonly #waiters = new Set<Waiter>();

  /** A stop that has come and was not taken yet. */
  take(): StopReply | undefined {
    return this.#stops.shift();
  }

  /** Why there will be no stop, if nobody was told. */
  takeRefusal(): EbscopeError | undefined {
    const refusal = this.#refusal;
    this.#refusal = undefined;
    return refusal;
  }

  clear(): void {
    this.#stops = [];
    this.#refusal = undefined;
  }

  /** To everyone who waits; kept for the next who asks when nobody does. */
  push(stop: StopReply): void {
    if (this.#waiters.size === 0) this.#stops.push(stop);
    for (const waiter of this.#waiters) waiter.resolve(stop);
  }

  /** There will be no stop: the stub did not resume the guest. */
  refuse(error: EbscopeError): void {
    if (this.#waiters.size === 0) this.#refusal = error;
    this.fail(error);
  }

  fail(error: EbscopeError): void {
    for (const waiter of this.#waiters) waiter.reject(error);
  }

  /** The next stop; rejects with the signal's reason when it is aborted first. */
  wait(signal: AbortSignal | undefined, due: DueStop | undefined): Promise<StopReply> {
    if (signal?.aborted) return Promise.reject(abortError(signal));
    return new Promise((resolve, reject) => {
      const timer = due === undefined ? undefined : setTimeout(() => waiter.reject(due.late()), due.withinMs);
      const settle = (): void => {
        this.#waiters.delete(waiter);
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      };
      const onAbort = (): void => {
        settle();
        reject(abortError(signal as AbortSignal));
      };
      const waiter: Waiter = {
        resolve: (stop) => {
          settle();
          resolve(stop);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#waiters.add(waiter);
    });
  }
}
