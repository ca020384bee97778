/** The latest events in memory, so that readers who keep up never wait for the disk. */
import type { LoggedEvent } from "../ports.ts";
import { PIECE_BYTES, PIECE_EVENTS } from "./segment.ts";

/** Room that is kept at the front of the array before it is moved. */
const SLACK = 1024;

export class EventRing {
  readonly #limit: number;
  /** Dropped ones are undefined until the array is moved: a few large events are worth more than their places. */
  #events: (LoggedEvent | undefined)[] = [];
  #start = 0;
  #size = 0;

  /** `limit`: of all JSON, in characters. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The first event that is here; undefined when there is none. */
  get first(): number | undefined {
    return this.#events[this.#start]?.event.seq;
  }

  /** Must follow the event that was pushed before. */
  push(logged: LoggedEvent): void {
    this.#events.push(logged);
    this.#size += logged.json.length;
    while (this.#size > this.#limit && this.#start < this.#events.length - 1) {
      this.#size -= (this.#events[this.#start] as LoggedEvent).json.length;
      this.#events[this.#start++] = undefined;
    }
    if (this.#start < SLACK || this.#start * 2 < this.#events.length) return;
    this.#events = this.#events.slice(this.#start);
    this.#start = 0;
  }

  /** Events from `from`, which is here, to `to` at most. */
  read(from: number, to: number): readonly LoggedEvent[] {
    const at = this.#start + from - (this.first ?? from);
    const last = Math.min(this.#events.length, at + Math.min(to - from + 1, PIECE_EVENTS));
    let room = PIECE_BYTES;
    let end = at;
    while (end < last && room > 0) room -= (this.#events[end++] as LoggedEvent).json.length;
    return this.#events.slice(at, end) as LoggedEvent[];
  }
}
