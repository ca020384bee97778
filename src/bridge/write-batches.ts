/**
 * The writes that a capture records, told while it happens: many in one event. An event a write would be a wait for the disk a write: the log takes
 * half a millisecond for an event alone, and less than one for 150 writes in one event (300 and 150,000 writes a second, where a guest that is
 * watched does some 1,500).
 */
import { MAX_WRITES, type WriteJson } from "../api/events.ts";
import { encodeWrite, type WriteSurroundings } from "../encode/write.ts";
import type { BlameEvent } from "../snapshot/blame.ts";

/** What `blame.write` says. */
export interface Writes {
  readonly writes: WriteJson[];
  readonly total: number;
}

export interface WriteTeller {
  /** Resolves when whoever is told has taken it. Calls keep their order. */
  tell(writes: Writes): Promise<unknown>;
  /** Whether what is told now would only be held: then it waits here, and goes out together. */
  readonly isHolding: boolean;
}

/** How long a write waits for others. */
const TOGETHER_MS = 100;
/** Writes of one capture that are listed; the rest are counted. */
const MAX_LISTED = 20_000;
/** How often the count is told then. */
const COUNT_MS = 1_000;

export class WriteBatches {
  ranges: WriteSurroundings["ranges"] = [];
  readonly #teller: WriteTeller;
  #events = 0;
  #total = 0;
  /** Of the last that was told. */
  #told = 0;
  #listed = 0;
  #waiting: WriteJson[] = [];
  #timer: NodeJS.Timeout | undefined;
  #telling = 0;

  constructor(teller: WriteTeller) {
    this.#teller = teller;
  }

  /** The next event of the record; all of them, in their order. */
  add(event: BlameEvent, { images }: Pick<WriteSurroundings, "images">): void {
    const write = encodeWrite(event, { event: this.#events++, ranges: this.ranges, images });
    if (write === undefined) return;
    this.#total++;
    if (this.#listed < MAX_LISTED) {
      this.#listed++;
      this.#waiting.push(write);
    }
    if (this.#waiting.length >= MAX_WRITES && !this.#isSlow) this.flush();
    else this.#timer ??= this.#later();
  }

  get #isSlow(): boolean {
    return this.#telling > 0 || this.#teller.isHolding;
  }

  #later(): NodeJS.Timeout {
    const timer = setTimeout(
      () => {
        this.#timer = undefined;
        if (this.#isSlow) this.#timer = this.#later();
        else this.flush();
      },
      this.#listed < MAX_LISTED ? TOGETHER_MS : COUNT_MS,
    );
    return timer.unref();
  }

  /** Tells what has not been told: before whatever came after it is told. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#told < this.#total) {
      const writes = this.#waiting.splice(0, MAX_WRITES);
      // Those that are only counted came after all that are listed.
      this.#told = this.#waiting.length === 0 ? this.#total : this.#listed - this.#waiting.length;
      this.#telling++;
      void this.#teller.tell({ writes, total: this.#told }).finally(() => this.#telling--);
    }
  }
}
