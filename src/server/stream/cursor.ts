/**
 * A reader's place in the log of events. Replay and live are one path: the cursor has the sequence number it wants next, reads the log from
 * there until it has caught up, and then takes what the log tells; whatever does not begin with that number it reads from the log again. So
 * there is no gap and no event twice.
 *
 * A reader that takes no more is not sent to: nothing waits for it in memory, the log keeps it. When it falls too far behind, or the log
 * drops what it wants, it is told so once, and that ends the cursor.
 */
import { EbscopeError } from "../../base/error.ts";
import type { EventLog, LoggedEvent } from "../../bridge/ports.ts";
import type { DurableEventLog } from "../../bridge/store/event-log.ts";
import type { Sieve } from "./filter.ts";

/** A log that may know where it goes on behind what is damaged. */
export type ReadableLog = EventLog & Partial<Pick<DurableEventLog, "nextReadable">>;

/** Where events go. */
export interface Sink {
  /** Whether it takes more now; when it did not, `Cursor.drained` is called as soon as it does. */
  readonly ready: boolean;
  /** `changed`: the event's JSON when a filter took something out of it. */
  send(event: LoggedEvent, changed: string | undefined): void;
  /** Events that are sent in one go stand between these two. */
  cork(): void;
  uncork(): void;
  /** The events `from` to `to` are not sent; nothing comes after this. */
  lagged(from: number, to: number): void;
  /** The log cannot be read; nothing comes after this. */
  failed(error: unknown): void;
  /** Events up to the end of the log have been sent. */
  caughtUp?(): void;
}

export interface CursorOptions {
  /** The last event that the reader has. */
  readonly after: number;
  readonly sieve: Sieve | undefined;
  /** Events that it may fall further behind. */
  readonly behind: number;
}

/**
 * Events that are asked of the log at once. Many readers that replay at the same time hold a piece each, which is read from a file and decoded:
 * small ones are gone before the next garbage collection, so that memory does not grow with them.
 */
const PIECE = 32;

type State = "new" | "caught up" | "reading" | "stalled" | "ended";

/**
 * The last event of a reader that asked for those after `after`: 0 is all that are kept, undefined only new ones. Throws `events-gone` when
 * some of them are not kept any more, and when there is no event `after` yet: the reader had it from another log.
 */
export function startOf(log: EventLog, after: number | undefined): number {
  if (after === undefined) return log.head;
  if (after === 0) return log.oldest - 1;
  if (after + 1 < log.oldest) {
    throw new EbscopeError(
      "events-gone",
      `Cannot send the events after ${after}: the oldest that is kept is ${log.oldest}`,
    );
  }
  if (after > log.head) {
    const next = "This is another log than before: subscribe after 0.";
    throw new EbscopeError("events-gone", `Cannot send the events after ${after}: the log ends at ${log.head}`, {
      next,
    });
  }
  return after;
}

export class Cursor {
  readonly #log: ReadableLog;
  readonly #sink: Sink;
  readonly #sieve: Sieve | undefined;
  readonly #mayFall: number;
  #state: State = "new";
  #next: number;
  /** The fewest events that it ever was behind. */
  #closest: number;
  #stop: (() => void) | undefined;

  constructor(log: ReadableLog, sink: Sink, { after, sieve, behind }: CursorOptions) {
    this.#log = log;
    this.#sink = sink;
    this.#sieve = sieve;
    this.#mayFall = behind;
    this.#next = after + 1;
    this.#closest = log.head - after;
  }

  start(): void {
    this.#stop = this.#log.listen((events) => this.#told(events));
    this.#read();
  }

  /** The sink takes more. */
  drained(): void {
    if (this.#state === "stalled") this.#read();
  }

  end(): void {
    this.#state = "ended";
    this.#stop?.();
  }

  #told(events: readonly LoggedEvent[]): void {
    if (this.#state === "caught up") {
      const fresh =
        events[0]?.event.seq === this.#next ? events : events.filter(({ event }) => event.seq >= this.#next);
      if (fresh[0] === undefined) return;
      this.#state = "reading";
      if (fresh[0].event.seq === this.#next) this.#deliver(fresh);
      this.#read();
    } else if (this.#state === "stalled" || this.#state === "reading") {
      this.#endIfTooFar();
    }
  }

  #read(): void {
    this.#state = "reading";
    if (!this.#settled()) this.#readOn().catch((error: unknown) => this.#cannotRead(error));
  }

  async #readOn(): Promise<void> {
    do {
      const events = await this.#log.read(this.#next, Math.min(this.#log.head, this.#next + PIECE - 1));
      if (this.#state !== "reading") return;
      const first = events[0]?.event.seq;
      if (first !== this.#next) {
        this.#missing(first);
        return;
      }
      this.#deliver(events);
      // A log in memory answers without a turn of the event loop: a long replay would keep it from all others.
      await new Promise(setImmediate);
    } while (!this.#settled());
  }

  /** Whether there is nothing to read now; sets the state that says why. */
  #settled(): boolean {
    if (this.#state !== "reading") return true;
    if (this.#next > this.#log.head) {
      this.#state = "caught up";
      this.#sink.caughtUp?.();
      return true;
    }
    if (this.#next < this.#log.oldest) {
      this.#lag(this.#log.oldest - 1);
      return true;
    }
    if (this.#sink.ready) return false;
    this.#state = "stalled";
    return true;
  }

  #deliver(events: readonly LoggedEvent[]): void {
    const several = events.length > 1;
    if (several) this.#sink.cork();
    for (const logged of events) {
      if (logged.event.seq !== this.#next || !this.#sink.ready) break;
      this.#next++;
      const sifted = this.#sieve === undefined ? true : this.#sieve(logged.event);
      if (sifted !== false) this.#sink.send(logged, sifted === true ? undefined : JSON.stringify(sifted));
    }
    if (several) this.#sink.uncork();
    this.#closest = Math.min(this.#closest, this.#behind());
  }

  #behind(): number {
    return this.#log.head - this.#next + 1;
  }

  #endIfTooFar(): void {
    if (this.#behind() > this.#closest + this.#mayFall) this.#lag(this.#log.head);
  }

  #lag(to: number): void {
    const from = this.#next;
    this.end();
    this.#sink.lagged(from, to);
  }

  /** The log had another event than the one that was asked of it, or none: it dropped some meanwhile, or they are damaged. */
  #missing(first: number | undefined): void {
    if (first !== undefined && first > this.#next) this.#lag(first - 1);
    else if (this.#next < this.#log.oldest) this.#lag(this.#log.oldest - 1);
    else throw new EbscopeError("store-corrupt", `Cannot read event ${this.#next} from the log`);
  }

  /** What cannot be read is told as missed, up to where the log goes on; a reader that is told the same twice goes on there. */
  async #cannotRead(error: unknown): Promise<void> {
    const next = await this.#log.nextReadable?.(this.#next).catch(() => undefined);
    const readable = Math.max(next ?? 0, this.#log.oldest);
    if (this.#state === "ended") return;
    if (readable > this.#next) this.#lag(readable - 1);
    else this.#fail(error);
  }

  #fail(error: unknown): void {
    this.end();
    this.#sink.failed(error);
  }
}
