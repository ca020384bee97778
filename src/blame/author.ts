/** Who made changes: one instruction, reached through one call chain. */
import type { VirtAddr } from "../base/address.ts";
import type { BlameRecord } from "../snapshot/blame.ts";

export interface AuthoredEvent {
  /** Index in the record. */
  readonly event: number;
  /** 4 KiB pages of the change that it changed; 0 for registers. */
  readonly pages: number;
}

export interface Author {
  readonly pc: VirtAddr | undefined;
  /** Index of the call chain in the record; undefined when it was not read. */
  readonly stack: number | undefined;
  /** In order. */
  readonly events: readonly AuthoredEvent[];
  /** 4 KiB pages of the change that it changed last of all; 0 for registers. */
  readonly lastPages: number;
}

/** Groups events by who did them, those that came first in front. */
export class AuthorList {
  readonly #record: BlameRecord;
  readonly #authors = new Map<
    string,
    { pc: VirtAddr | undefined; stack: number | undefined; events: AuthoredEvent[] }
  >();
  readonly #last = new Map<string, number>();

  constructor(record: BlameRecord) {
    this.#record = record;
  }

  add(event: number, pages: number): void {
    const key = this.#key(event);
    const known = this.#authors.get(key);
    if (known !== undefined) known.events.push({ event, pages });
    else {
      const by = this.#record.events[event];
      this.#authors.set(key, { pc: by?.pc, stack: by?.stack, events: [{ event, pages }] });
    }
  }

  /** The event was the last one to change so many pages. */
  addLast(event: number, pages: number): void {
    const key = this.#key(event);
    this.#last.set(key, (this.#last.get(key) ?? 0) + pages);
  }

  list(): readonly Author[] {
    return [...this.#authors].map(([key, author]) => ({ ...author, lastPages: this.#last.get(key) ?? 0 }));
  }

  #key(event: number): string {
    const by = this.#record.events[event];
    return `${by?.pc} ${by?.stack}`;
  }
}
