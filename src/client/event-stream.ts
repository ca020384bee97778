/**
 * The events of a bridge as an async iterator. Across lost connections it goes on after the last event it has; while the program takes its time,
 * the bridge's log keeps what comes, not this process: a full queue ends the subscription, and room in it makes the next one.
 */
import type { BridgeEvent, EventFilter, EventKind } from "../api/events.ts";
import type { Connection } from "./connection.ts";
import { type BridgeError, EventsGone, type Gap, usageError } from "./errors.ts";
import { EventPlace, readSubscribed } from "./event-place.ts";
import { EventQueue } from "./event-queue.ts";
import { paramsText } from "./params.ts";
import { startTimer } from "./timer.ts";

export interface EventOptions<K extends EventKind = EventKind> {
  /** The events behind this sequence number; 0: all that are kept; left out: those from now on. */
  readonly after?: number | undefined;
  /** All that are given must let an event through (docs/api.md, Filters). */
  readonly filter?: (Omit<EventFilter, "kinds"> & { readonly kinds?: readonly K[] }) | undefined;
  /** Ends the iteration, which throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Told of events that the log does not have any more, when it is their turn; the iteration goes on behind them. Without it, it throws EventsGone. */
  readonly onGap?: ((gap: Gap) => void) | undefined;
  /** Events that may wait in this process. 1024 unless told. */
  readonly queue?: number | undefined;
}

type Phase =
  /** Not subscribed: there is no connection, or it is about to ask. */
  | { readonly kind: "away" }
  | { readonly kind: "asking" }
  | { readonly kind: "live"; readonly subscription: string }
  /** Not subscribed, as the queue is full. */
  | { readonly kind: "full" }
  | { readonly kind: "ended" };

const AWAY: Phase = { kind: "away" };

const QUEUE = 1024;
/** Times that a bridge may have too much to do for a subscription; milliseconds before the first is made again, twice as many each time. */
const [MAX_REFUSALS, REFUSAL_PAUSE] = [5, 100];

export class EventStream<K extends EventKind = EventKind> implements AsyncIterableIterator<BridgeEvent<K>> {
  /** As JSON. */
  readonly #filter: string;
  readonly #signal: AbortSignal | undefined;
  readonly #place: EventPlace;
  readonly #queue: EventQueue;
  readonly #onEnd: (stream: EventStream<K>) => void;
  readonly #onAbort = (): void => this.#drop(this.#signal?.reason);
  #phase: Phase = AWAY;
  #connection: Connection | undefined;
  #refusals = 0;
  #stopPause: () => void = () => undefined;

  /** `onEnd`: called once, when it wants no more. Throws a usage error for a place or a queue that is none. */
  constructor(
    { after, filter, signal, onGap, queue = QUEUE }: EventOptions<K>,
    onEnd: (stream: EventStream<K>) => void,
  ) {
    checkWhole("after", after ?? 0, 0);
    checkWhole("queue", queue, 1);
    this.#filter = paramsText("Stream.subscribe", filter ?? {});
    this.#signal = signal;
    this.#onEnd = onEnd;
    this.#place = new EventPlace(after, Object.keys(filter ?? {}).length === 0);
    const hasRoom = (): void => this.#hasRoom();
    this.#queue = new EventQueue({ most: queue, onGap, hasRoom, broken: () => this.#finish() });
    if (signal?.aborted) this.#drop(signal.reason);
    signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** For the client: there is a connection. */
  opened(connection: Connection): void {
    this.#connection = connection;
    this.#ask();
  }

  /** For the client: there is none any more. */
  lost(): void {
    this.#connection = undefined;
    if (this.#phase.kind === "asking" || this.#phase.kind === "live") this.#phase = AWAY;
  }

  /** For the client: there will be none. What waits can still be taken, then the reason is thrown. */
  end(reason: unknown): void {
    this.#queue.end(reason);
    this.#finish();
  }

  async next(): Promise<IteratorResult<BridgeEvent<K>, undefined>> {
    const event = await this.#queue.take();
    // The filter lets through the kinds of K only.
    return event === undefined ? { done: true, value: undefined } : { done: false, value: event as BridgeEvent<K> };
  }

  async return(): Promise<IteratorResult<BridgeEvent<K>, undefined>> {
    this.#drop(undefined);
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#drop(undefined);
  }

  #drop(reason: unknown): void {
    this.#queue.drop(reason);
    this.#finish();
  }

  #finish(): void {
    if (this.#phase.kind === "ended") return;
    if (this.#phase.kind === "live") this.#connection?.unsubscribe(this.#phase.subscription);
    this.#phase = { kind: "ended" };
    this.#stopPause();
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#onEnd(this);
  }

  #hasRoom(): void {
    if (this.#phase.kind !== "full") return;
    this.#phase = AWAY;
    this.#ask();
  }

  /** Subscribes after its place, or after 0 when what comes then is `gone`. */
  #ask(gone = false): void {
    const connection = this.#connection;
    if (this.#phase.kind !== "away" || connection === undefined) return;
    const asking: Phase = { kind: "asking" };
    this.#phase = asking;
    const after = gone ? 0 : this.#place.after;
    const params = `{${after === undefined ? "" : `"after":${after},`}"filter":${this.#filter}}`;
    connection.request("Stream.subscribe", params, (outcome) => {
      const wanted = this.#phase === asking;
      if (outcome.ok) this.#subscribed(connection, outcome.result, { wanted, gone });
      else if (wanted) this.#refused(outcome.error, gone);
    });
  }

  #subscribed(connection: Connection, result: unknown, { wanted, gone }: { wanted: boolean; gone: boolean }): void {
    const answer = readSubscribed(result);
    const { subscription } = answer;
    this.#phase = wanted ? { kind: "live", subscription } : this.#phase;
    try {
      const gap = wanted ? this.#place.subscribed(answer, gone) : undefined;
      if (gap !== undefined) this.#queue.pushGap(gap);
    } catch (error) {
      if (!(error instanceof EventsGone)) throw error;
      this.end(error);
    }
    if (!wanted) connection.unsubscribe(subscription);
    if (this.#phase.kind === "live") this.#listen(connection, subscription);
  }

  #listen(connection: Connection, subscription: string): void {
    this.#refusals = 0;
    connection.subscribed(subscription, {
      event: (event, size) => this.#event(event, size),
      lagged: (from, to) => this.#lagged(from, to),
    });
  }

  #event(event: BridgeEvent, size: number): void {
    this.#place.event(event.seq);
    this.#queue.push(event, size);
    if (this.#queue.isFull && this.#phase.kind === "live") {
      this.#connection?.unsubscribe(this.#phase.subscription);
      this.#phase = { kind: "full" };
    }
  }

  #lagged(from: number, to: number): void {
    const gap = this.#place.lagged(from, to);
    this.#phase = AWAY;
    if (gap !== undefined) this.#queue.pushGap(gap);
    this.#ask();
  }

  #refused(error: BridgeError, gone: boolean): void {
    this.#phase = AWAY;
    // Not the bridge's answer: the connection was lost.
    if (error.rpcCode === undefined) return;
    if (error.code === "events-gone" && !gone) this.#ask(true);
    else if (error.code === "too-many-requests" && this.#refusals < MAX_REFUSALS) {
      this.#stopPause = startTimer(REFUSAL_PAUSE * 2 ** this.#refusals++, () => this.#ask());
    } else this.end(error);
  }
}

function checkWhole(name: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw usageError(
    `Cannot take events with \`${name}: ${value}\``,
    `\`${name}\` is a whole number of ${least} or more.`,
  );
}
