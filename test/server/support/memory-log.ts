/** A log of events in memory, with the ways of a real one: it answers late, in pieces, and tells several events at once. */
import type { BridgeEvent } from "../../../src/api/events.ts";
import type { EventLog, LoggedEvent, NewEvent } from "../../../src/bridge/ports.ts";

export class MemoryLog implements EventLog {
  readonly #events: LoggedEvent[] = [];
  readonly #listeners = new Set<(events: readonly LoggedEvent[]) => void>();
  /** Called before each read; what it returns is waited for. */
  beforeRead: () => Promise<void> | undefined = () => undefined;
  /** Events in one piece at most. */
  piece = 1000;
  #dropped = 0;

  get head(): number {
    return this.#events.length;
  }

  get oldest(): number {
    return this.#dropped + 1;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  async append(event: NewEvent): Promise<LoggedEvent> {
    const [logged] = this.appendAll([event]);
    return logged as LoggedEvent;
  }

  /** As a log does that wrote several events at once. */
  appendAll(events: readonly NewEvent[]): LoggedEvent[] {
    const logged = events.map((event, index): LoggedEvent => {
      const whole = { seq: this.head + 1 + index, time: "2026-01-02T03:04:05.000Z", ...event } as BridgeEvent;
      return { event: whole, json: JSON.stringify(whole) };
    });
    this.#events.push(...logged);
    for (const listener of this.#listeners) listener(logged);
    return logged;
  }

  /** Drops the events up to `seq`. */
  drop(seq: number): void {
    this.#dropped = seq;
  }

  async read(from: number, to: number): Promise<readonly LoggedEvent[]> {
    await this.beforeRead();
    const first = Math.max(from, this.oldest);
    return this.#events.slice(first - 1, Math.min(to, first + this.piece - 1));
  }

  listen(listener: (events: readonly LoggedEvent[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#listeners.clear();
  }
}

/** An event with `size` letters in it. */
export function progressEvent(text: string, target = "t1"): NewEvent {
  return { kind: "capture.progress", target, capture: "c1", data: { text } };
}
