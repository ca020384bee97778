/**
 * Where in the log a stream stands, and what a bridge may say next (docs/api.md, Events). The bridge promises one order without gaps; what does
 * not fit is no event that is left out in silence, but an error.
 */
import { EventsGone, type Gap, protocolError } from "./errors.ts";
import { isSequence } from "./message.ts";

/** The answer to Stream.subscribe. */
export interface Subscribed {
  readonly subscription: string;
  readonly head: number;
  readonly oldest: number;
}

/** Lags one after the other that get the stream no further. */
const MAX_LAGS = 10;

export class EventPlace {
  readonly #whole: boolean;
  /** The last event that the stream has; undefined until it is known where "new" begins. */
  #after: number | undefined;
  #begun = false;
  #lag: Gap | undefined;
  #lags = 0;

  /** `whole`: no filter leaves out events. */
  constructor(after: number | undefined, whole: boolean) {
    this.#after = after;
    this.#whole = whole;
  }

  /** What to subscribe after; undefined for new events only. */
  get after(): number | undefined {
    return this.#after;
  }

  /**
   * It was subscribed: after 0 as the events behind its place are `gone`, else after its place. What is missing before the first event that comes
   * is returned; throws EventsGone when the log is another one.
   */
  subscribed({ head, oldest }: Subscribed, gone: boolean): Gap | undefined {
    const fresh = !this.#begun;
    this.#begun = true;
    if (this.#after === undefined) this.#after = head;
    else if (fresh && this.#after === 0) this.#after = oldest - 1;
    else if (gone || this.#after === 0) return this.#fromOldest(this.#after, head, oldest, gone);
    return undefined;
  }

  /** After 0 means all that are kept: what was dropped before is not told. */
  #fromOldest(after: number, head: number, oldest: number, gone: boolean): Gap | undefined {
    if (head < after) throw new EventsGone(after + 1, undefined);
    if (oldest - 1 > after) return this.#skip({ from: after + 1, to: oldest - 1 });
    if (gone) throw protocolError(`it does not send the events after ${after}, which it has`);
    return undefined;
  }

  event(seq: number): void {
    const expected = (this.#after ?? 0) + 1;
    if (this.#whole ? seq !== expected : seq < expected) {
      throw protocolError(`it sent event ${seq} where ${expected} was the next`);
    }
    this.#after = seq;
    this.#lag = undefined;
    this.#lags = 0;
  }

  /** The subscription ended with Stream.lagged: they can still be had unless the same is said twice; then they are the gap that is returned. */
  lagged(from: number, to: number): Gap | undefined {
    const expected = (this.#after ?? 0) + 1;
    if (this.#whole ? from !== expected : from < expected) {
      throw protocolError(`it left out events from ${from} on where ${expected} was the next`);
    }
    const before = this.#lag;
    if (before?.from === from && before.to === to) return this.#skip({ from, to });
    this.#lags = before?.from === from ? this.#lags + 1 : 0;
    if (this.#lags >= MAX_LAGS) throw protocolError(`it says again and again that it did not send event ${from}`);
    this.#lag = { from, to };
    this.#after = from - 1;
    return undefined;
  }

  #skip(gap: Gap): Gap {
    this.#after = gap.to;
    this.#lag = undefined;
    this.#lags = 0;
    return gap;
  }
}

/** Throws a protocol error for what is no answer to Stream.subscribe. */
export function readSubscribed(result: unknown): Subscribed {
  const { subscription, head, oldest } = (result ?? {}) as Readonly<Record<string, unknown>>;
  const named = typeof subscription === "string" && /^[a-z0-9-]{1,40}$/.test(subscription);
  if (named && (head === 0 || isSequence(head)) && isSequence(oldest)) return { subscription, head, oldest };
  throw protocolError("its answer to Stream.subscribe is none");
}
