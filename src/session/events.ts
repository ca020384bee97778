/** What happens in a session, for whoever listens: one bounded queue a listener. */
import type { EbscopeError } from "../base/error.ts";
import type { Point } from "../snapshot/model.ts";
import type { Breakpoint } from "./breakpoint.ts";
import type { Stop } from "./stop.ts";

export type SessionEvent =
  | { readonly kind: "resumed" }
  | { readonly kind: "stopped"; readonly stop: Stop }
  | { readonly kind: "breakpoint-added" | "breakpoint-removed"; readonly breakpoint: Breakpoint }
  | { readonly kind: "point"; readonly point: Point; readonly pauseMs: number }
  /** Why the firmware's tables are waited for. */
  | { readonly kind: "waiting"; readonly why: string }
  /** A line that a launched guest printed. Printable. */
  | { readonly kind: "line"; readonly source: "stdout" | "stderr"; readonly line: string }
  /** So many events were dropped: nobody took them in time. */
  | { readonly kind: "dropped"; readonly count: number }
  /** The session is over; the last event. */
  | { readonly kind: "ended"; readonly error: EbscopeError };

const MAX_QUEUED = 10_000;

class Listener {
  readonly #queue: SessionEvent[] = [];
  #dropped = 0;
  #over = false;
  #wake: () => void = () => undefined;

  push(event: SessionEvent): void {
    if (this.#queue.length < MAX_QUEUED) this.#queue.push(event);
    else this.#dropped++;
    this.#wake();
  }

  end(): void {
    this.#over = true;
    this.#wake();
  }

  /** Undefined when there will be none any more. */
  async next(): Promise<SessionEvent | undefined> {
    while (this.#queue.length === 0 && this.#dropped === 0 && !this.#over) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const event = this.#queue.shift();
    if (event !== undefined || this.#dropped === 0) return event;
    const count = this.#dropped;
    this.#dropped = 0;
    return { kind: "dropped", count };
  }
}

export class Events {
  readonly #listeners = new Set<Listener>();
  #ended: SessionEvent | undefined;

  tell(event: SessionEvent): void {
    if (this.#ended !== undefined) return;
    for (const listener of this.#listeners) listener.push(event);
  }

  end(error: EbscopeError): void {
    const event: SessionEvent = { kind: "ended", error };
    this.tell(event);
    this.#ended ??= event;
    for (const listener of this.#listeners) listener.end();
  }

  /** From now on until the session is over, or `signal` is aborted. */
  listen(signal?: AbortSignal): AsyncIterableIterator<SessionEvent> {
    const listener = new Listener();
    if (this.#ended === undefined) this.#listeners.add(listener);
    else listener.push(this.#ended);
    if (this.#ended !== undefined || signal?.aborted) listener.end();
    signal?.addEventListener("abort", () => listener.end(), { once: true });
    return this.#events(listener);
  }

  async *#events(listener: Listener): AsyncGenerator<SessionEvent, void, void> {
    try {
      for (let event = await listener.next(); event !== undefined; event = await listener.next()) yield event;
    } finally {
      this.#listeners.delete(listener);
    }
  }
}
