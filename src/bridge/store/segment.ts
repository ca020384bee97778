/**
 * A file of the log: the events from the one in its name on. Which sequence numbers it may hold is known from the names alone: the next
 * file's name ends it. Lines beyond are left from a write that failed, and were told to nobody.
 */
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import type { LoggedEvent } from "../ports.ts";
import { type Line, type Rest, visitLines } from "./lines.ts";
import { claims, decodeRecord, recordSequence } from "./record.ts";

const NAME = /^events-(\d{16})\.log$/;
/** In bytes: as much is read in vain at most before the event that is looked for. */
const MARK_DISTANCE = 64 << 10;
/** What one read gives at most, in bytes of JSON and in events; one event in any case. */
export const PIECE_BYTES = 1 << 20;
export const PIECE_EVENTS = 1024;

/** Ascending by name is ascending by number. */
export function segmentName(first: number): string {
  return `events-${String(first).padStart(16, "0")}.log`;
}

/** The first event of the file of this name; undefined for another file. */
export function firstOfName(name: string): number | undefined {
  const first = Number(NAME.exec(name)?.[1]);
  return Number.isSafeInteger(first) && first > 0 ? first : undefined;
}

/** Where the events of a segment stand, roughly. */
export class SegmentIndex {
  readonly #sequences: number[] = [];
  readonly #offsets: number[] = [];
  #last: number;

  constructor(first: number) {
    this.#last = first - 1;
  }

  /** The last event that is there; the one before the first when there is none. */
  get last(): number {
    return this.#last;
  }

  /** Of ascending sequence numbers. */
  add(seq: number, offset: number): void {
    this.#last = seq;
    if (offset - (this.#offsets.at(-1) ?? -MARK_DISTANCE) < MARK_DISTANCE) return;
    this.#sequences.push(seq);
    this.#offsets.push(offset);
  }

  /** A place at or before the event. */
  placeOf(seq: number): number {
    let [low, high] = [0, this.#sequences.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sequences[middle] as number) <= seq) low = middle + 1;
      else high = middle;
    }
    return this.#offsets[low - 1] ?? 0;
  }
}

export class Segment {
  readonly first: number;
  readonly path: string;
  /** In bytes, of what is on disk and was told. */
  size: number;
  #index: Promise<SegmentIndex> | undefined;

  constructor(folder: string, first: number, size: number, index?: SegmentIndex) {
    this.first = first;
    this.path = join(folder, segmentName(first));
    this.size = size;
    this.#index = index && Promise.resolve(index);
  }

  /** Consecutive events from `from` to `to` at most; none when `from` is damaged. Rejects with the system's errors. */
  async read(from: number, to: number): Promise<LoggedEvent[]> {
    const events: LoggedEvent[] = [];
    let room = PIECE_BYTES;
    await this.#visitFrom(from, ({ bytes }) => {
      const seq = bytes && recordSequence(bytes);
      if (bytes === undefined || seq === undefined || seq < from) return true;
      if (seq !== from + events.length || seq > to) return false;
      const logged = decodeRecord(bytes);
      if (logged === undefined) return false;
      events.push(logged);
      room -= bytes.length;
      return room > 0 && seq < to && events.length < PIECE_EVENTS;
    });
    return events;
  }

  /** The first event from `from` to `to` that is sound; undefined when there is none. */
  async soundFrom(from: number, to: number): Promise<number | undefined> {
    let found: number | undefined;
    await this.#visitFrom(from, ({ bytes }) => {
      const seq = bytes && decodeRecord(bytes)?.event.seq;
      if (seq !== undefined && seq >= from && seq <= to) found = seq;
      return found === undefined;
    });
    return found;
  }

  async #visitFrom(from: number, visit: (line: Line) => boolean): Promise<void> {
    const end = this.size;
    const file = await open(this.path, "r");
    try {
      await visitLines(file, (await this.#indexed(file)).placeOf(from), end, visit);
    } finally {
      await file.close();
    }
  }

  /** Made at the first read, once for all readers who wait for it. */
  #indexed(file: FileHandle): Promise<SegmentIndex> {
    this.#index ??= scanSegment(file, this.first, this.size).then(
      ({ index }) => index,
      (error) => {
        this.#index = undefined;
        throw error;
      },
    );
    return this.#index;
  }
}

export interface Scan {
  readonly index: SegmentIndex;
  /** Events that the damaged lines behind the last sound event may have been: they may have been told. */
  readonly damaged: number;
  /** Behind the last line feed: the end of a write that was cut off. */
  readonly rest: Rest;
}

/** Looks at each line of a file of the log. Rejects with the system's errors. */
export async function scanSegment(file: FileHandle, first: number, size: number): Promise<Scan> {
  const index = new SegmentIndex(first);
  let damaged = 0;
  const rest = await visitLines(file, 0, size, ({ bytes, start }) => {
    const seq = bytes && recordSequence(bytes);
    if (seq === undefined || seq <= index.last) {
      damaged += claims(bytes);
    } else {
      index.add(seq, start);
      damaged = 0;
    }
    return true;
  });
  return { index, damaged, rest };
}
