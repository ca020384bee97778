/** Events between the connection and the program that takes them, with gaps in their places: bounded, in order. */
import type { BridgeEvent } from "../api/events.ts";
import { EventsGone, type Gap } from "./errors.ts";

type Item =
  | { readonly kind: "event"; readonly event: BridgeEvent; readonly size: number }
  | { readonly kind: "gap"; readonly gap: Gap };

/** Whoever waits for an event. */
interface Taker {
  readonly resolve: (event: BridgeEvent | undefined) => void;
  readonly reject: (reason: unknown) => void;
}

/** Characters of the events that wait; the one that goes beyond is the last that is taken. */
const MAX_SIZE = 8 << 20;

export interface QueueOptions {
  /** Events that may wait. */
  readonly most: number;
  /** Told of a gap when it is its turn; without it, the gap ends the queue with EventsGone. */
  readonly onGap: ((gap: Gap) => void) | undefined;
  /** Half of what may wait was taken, or more. */
  readonly hasRoom: () => void;
  /** A gap, or what went wrong when it was told, ended the queue. */
  readonly broken: () => void;
}

export class EventQueue {
  readonly #options: QueueOptions;
  readonly #items: Item[] = [];
  /** Items before it are taken: an array that is shifted a thousand times is slow. */
  #first = 0;
  #size = 0;
  readonly #takers: Taker[] = [];
  #end: { readonly reason: unknown } | undefined;

  constructor(options: QueueOptions) {
    this.#options = options;
  }

  /** Whether it takes no more now. */
  get isFull(): boolean {
    return this.#count >= this.#options.most || this.#size >= MAX_SIZE;
  }

  get #count(): number {
    return this.#items.length - this.#first;
  }

  /** `size`: characters of the event. */
  push(event: BridgeEvent, size: number): void {
    this.#add({ kind: "event", event, size }, size);
  }

  pushGap(gap: Gap): void {
    this.#add({ kind: "gap", gap }, 0);
  }

  /** The next event; undefined at the end. Rejects with the reason when it ended with one. */
  take(): Promise<BridgeEvent | undefined> {
    return new Promise((resolve, reject) => {
      this.#takers.push({ resolve, reject });
      this.#serve();
    });
  }

  /** Nothing is added any more; what waits can still be taken, then `reason` comes, or just the end when it is undefined. */
  end(reason: unknown): void {
    this.#end ??= { reason };
    this.#serve();
  }

  /** Ends it now; what waits is dropped. */
  drop(reason: unknown): void {
    this.#end = { reason };
    this.#clear();
    this.#serve();
  }

  #add(item: Item, size: number): void {
    if (this.#end !== undefined) return;
    this.#items.push(item);
    this.#size += size;
    this.#serve();
  }

  #serve(): void {
    while (this.#takers.length > 0) {
      const item = this.#shift();
      if (item?.kind === "gap") this.#tellGap(item.gap);
      else if (item !== undefined) this.#takers.shift()?.resolve(item.event);
      else if (this.#end === undefined) return;
      else this.#serveEnd(this.#end);
    }
  }

  /** The reason is told once; who asks on is told of the end. */
  #serveEnd({ reason }: { readonly reason: unknown }): void {
    const taker = this.#takers.shift();
    if (reason === undefined) taker?.resolve(undefined);
    else taker?.reject(reason);
    this.#end = { reason: undefined };
  }

  #tellGap(gap: Gap): void {
    try {
      if (this.#options.onGap === undefined) throw new EventsGone(gap.from, gap.to);
      this.#options.onGap(gap);
    } catch (error) {
      this.#end = { reason: error };
      this.#clear();
      this.#options.broken();
    }
  }

  #shift(): Item | undefined {
    const item = this.#items[this.#first];
    if (item === undefined) return undefined;
    this.#first++;
    if (item.kind === "event") this.#size -= item.size;
    if (this.#first * 2 >= this.#items.length) this.#compact();
    return item;
  }

  #compact(): void {
    this.#items.splice(0, this.#first);
    this.#first = 0;
    if (this.#count * 2 <= this.#options.most && this.#size * 2 <= MAX_SIZE) this.#options.hasRoom();
  }

  #clear(): void {
    this.#items.length = 0;
    this.#first = 0;
    this.#size = 0;
  }
}
