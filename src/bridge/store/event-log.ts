/**
 * The durable log: files `events-<number of the first event>.log` of one event a line (record.ts).
 *
 * - Appends that arrive while a write is under way go out together: one write, one fdatasync, then all are told, in order.
 * - What a write that was cut off left at the end is taken off when the log is opened: it was told to nobody. Anything else that is
 *   damaged stays in its file, and its sequence numbers stay taken: reading them fails, never is another event given for them.
 * - A full disk fails the append; nothing of it stays, and the next one tries again.
 */
import { rm } from "node:fs/promises";
import type { BridgeEvent } from "../../api/events.ts";
import { EbscopeError } from "../../base/error.ts";
import type { EventLog, LoggedEvent, NewEvent } from "../ports.ts";
import { EventRing } from "./event-ring.ts";
import { readFailure, systemCode, writeFailure } from "./files.ts";
import type { FolderLock } from "./lock.ts";
import { type OpenedSegments, openSegments } from "./open-segments.ts";
import { MAX_LINE, recordLine } from "./record.ts";
import type { Segment } from "./segment.ts";
import { type NumberedLine, type OpenFile, SegmentWriter } from "./segment-writer.ts";

const MIB = 1 << 20;
/** In bytes, of one write. */
const BATCH_BYTES = 4 * MIB;
/** In characters of JSON that wait for the disk. */
const WAITING_LIMIT = 64 * MIB;

export interface EventLogOptions {
  /** Sizes in bytes: of one file (64 MiB); of all of them, beyond which the oldest go (1 GiB); of the latest events in memory (16 MiB). */
  readonly segmentBytes?: number;
  readonly totalBytes?: number;
  readonly memoryBytes?: number;
  readonly now?: () => Date;
  readonly openFile?: OpenFile;
}

/** Sequence numbers, both included. */
export interface Damage {
  readonly from: number;
  readonly to: number;
}

export interface DurableEventLog extends EventLog {
  /** Bytes of an unfinished write that were taken off when the log was opened. */
  readonly cut: number;
  /** Events at the end that were found damaged when the log was opened; damage elsewhere shows when it is read. */
  readonly damage: Damage | undefined;
  /** Why the last append failed; undefined when it did not. */
  readonly failure: EbscopeError | undefined;
  /** The first event at or after `from` that can be read, head + 1 when there is none: how to go on after `store-corrupt`. */
  nextReadable(from: number): Promise<number>;
}

/** Opens the log in a folder, which is made if need be. Throws `store-locked`, `file-unwritable`, `file-unreadable`, `store-full`. */
export async function openEventLog(folder: string, options: EventLogOptions = {}): Promise<DurableEventLog> {
  return new FileEventLog(folder, await openSegments(folder, options.openFile), options);
}

interface Waiting {
  readonly event: NewEvent;
  readonly time: string;
  /** The JSON of the event behind its sequence number. */
  readonly tail: string;
  resolve(logged: LoggedEvent): void;
  reject(error: EbscopeError): void;
}

class FileEventLog implements DurableEventLog {
  readonly cut: number;
  readonly damage: Damage | undefined;
  readonly #folder: string;
  readonly #options: EventLogOptions;
  readonly #lock: FolderLock;
  readonly #segments: Segment[];
  readonly #ring: EventRing;
  readonly #listeners = new Set<(events: readonly LoggedEvent[]) => void>();
  #head: number;
  #writer: SegmentWriter | undefined;
  #waiting: Waiting[] = [];
  #waitingLength = 0;
  #work: Promise<void> | undefined;
  #failure: EbscopeError | undefined;
  #closed = false;

  constructor(folder: string, opened: OpenedSegments, options: EventLogOptions) {
    this.#folder = folder;
    this.#options = options;
    this.#lock = opened.lock;
    this.#segments = opened.segments;
    this.#writer = opened.writer;
    this.#head = opened.head;
    this.cut = opened.cut;
    this.damage = opened.damage;
    this.#ring = new EventRing(options.memoryBytes ?? 16 * MIB);
  }

  get head(): number {
    return this.#head;
  }

  get oldest(): number {
    return this.#segments[0]?.first ?? this.#head + 1;
  }

  get failure(): EbscopeError | undefined {
    return this.#failure;
  }

  append(event: NewEvent): Promise<LoggedEvent> {
    const time = (this.#options.now?.() ?? new Date()).toISOString();
    const tail = jsonTail(event, time);
    const refusal = tail instanceof EbscopeError ? tail : this.#refusal();
    if (refusal !== undefined || tail instanceof EbscopeError) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ event, time, tail, resolve, reject });
      this.#waitingLength += tail.length;
      this.#work ??= this.#writeAll();
    });
  }

  listen(listener: (events: readonly LoggedEvent[]) => void): () => void {
    // The same function may listen twice.
    const own = (events: readonly LoggedEvent[]) => listener(events);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  async read(from: number, to: number): Promise<readonly LoggedEvent[]> {
    const last = Math.min(to, this.#head);
    if (from < this.oldest) throw this.#gone(from);
    if (from > last) return [];
    const inMemory = this.#ring.first;
    return inMemory !== undefined && inMemory <= from ? this.#ring.read(from, last) : this.#readFile(from, last);
  }

  async nextReadable(from: number): Promise<number> {
    const start = Math.max(from, this.oldest);
    const segments = this.#segments.map((segment, i) => ({ segment, last: this.#lastOf(i) }));
    for (const { segment, last } of segments) {
      if (last < start) continue;
      const found = await segment.soundFrom(Math.max(start, segment.first), last).catch(() => undefined);
      if (found !== undefined) return found;
    }
    return this.#head + 1;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#work;
    await this.#writer?.close();
    await this.#lock.release();
  }

  #refusal(): EbscopeError | undefined {
    if (this.#closed) return new EbscopeError("interrupted", "Cannot log an event: the log is closed");
    if (this.#waitingLength < WAITING_LIMIT) return undefined;
    return new EbscopeError("store-full", "Cannot log an event: the disk does not keep up with the events");
  }

  /** Runs until nothing waits. Appends of one turn of the event loop go out together, as it begins after them. */
  async #writeAll(): Promise<void> {
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#takeBatch();
      const logged = batch.map(({ event, time, tail }, i) => numbered(event, time, tail, this.#head + 1 + i));
      try {
        await this.#write(logged.map(({ event, json }) => ({ seq: event.seq, line: recordLine(json) })));
      } catch (cause) {
        const failure = writeFailure("log an event", cause);
        this.#failure = failure;
        for (const { reject } of batch) reject(failure);
        continue;
      }
      this.#failure = undefined;
      this.#announce(batch, logged);
      await this.#dropOldest();
    }
    this.#work = undefined;
  }

  #takeBatch(): Waiting[] {
    let size = 0;
    let count = 0;
    while (count < this.#waiting.length && size < BATCH_BYTES) size += (this.#waiting[count++] as Waiting).tail.length;
    this.#waitingLength -= size;
    return this.#waiting.splice(0, count);
  }

  async #write(lines: readonly NumberedLine[]): Promise<void> {
    const size = lines.reduce((sum, { line }) => sum + line.length, 0);
    const writer = await this.#writerFor(size);
    try {
      await writer.append(lines);
    } catch (error) {
      this.#writer = undefined;
      throw error;
    }
  }

  async #writerFor(size: number): Promise<SegmentWriter> {
    const limit = this.#options.segmentBytes ?? 64 * MIB;
    const current = this.#writer;
    if (current !== undefined && (current.segment.size === 0 || current.segment.size + size <= limit)) return current;
    await current?.close();
    this.#writer = undefined;
    const writer = await SegmentWriter.create(this.#folder, this.#head + 1, this.#options.openFile);
    // One that failed before its first event had this name.
    if (this.#segments.at(-1)?.first === writer.segment.first) this.#segments.pop();
    this.#segments.push(writer.segment);
    this.#writer = writer;
    return writer;
  }

  #announce(batch: readonly Waiting[], logged: readonly LoggedEvent[]): void {
    this.#head += logged.length;
    for (const each of logged) this.#ring.push(each);
    for (const [i, { resolve }] of batch.entries()) resolve(logged[i] as LoggedEvent);
    for (const listener of [...this.#listeners]) {
      try {
        listener(logged);
      } catch (error) {
        // The log and the other listeners are not to suffer from one that is defective.
        process.emitWarning(error instanceof Error ? error : String(error));
      }
    }
  }

  /** Never rejects: a file that cannot be removed is one too many, and no reason to stop. */
  async #dropOldest(): Promise<void> {
    const limit = this.#options.totalBytes ?? 1024 * MIB;
    let total = this.#segments.reduce((sum, { size }) => sum + size, 0);
    while (total > limit && this.#segments.length > 1) {
      const dropped = this.#segments.shift() as Segment;
      total -= dropped.size;
      await rm(dropped.path, { force: true }).catch(() => undefined);
    }
  }

  /** The last sequence number that can be in a segment. */
  #lastOf(index: number): number {
    const next = this.#segments[index + 1];
    return next === undefined ? this.#head : next.first - 1;
  }

  async #readFile(from: number, to: number): Promise<readonly LoggedEvent[]> {
    const index = this.#segments.findLastIndex(({ first }) => first <= from);
    const last = Math.min(to, this.#lastOf(index));
    try {
      const events = await (this.#segments[index] as Segment).read(from, last);
      if (events.length > 0) return events;
    } catch (cause) {
      if (from < this.oldest) throw this.#gone(from);
      if (systemCode(cause) !== "ENOENT") throw readFailure(`read event ${from}`, cause);
    }
    throw await this.#damaged(from);
  }

  async #damaged(from: number): Promise<EbscopeError> {
    const next = await this.nextReadable(from);
    const what = next - from > 1 ? `events ${from} to ${next - 1}: they are` : `event ${from}: it is`;
    return new EbscopeError("store-corrupt", `Cannot read ${what} damaged`);
  }

  #gone(from: number): EbscopeError {
    return new EbscopeError("events-gone", `Cannot read event ${from}: the oldest that is kept is ${this.oldest}`);
  }
}

function jsonTail(event: NewEvent, time: string): string | EbscopeError {
  const { target, capture, kind, data } = event;
  try {
    const tail = JSON.stringify({ time, target, capture, kind, data }).slice(1);
    // In UTF-8 a character of a string takes three bytes at most.
    if (tail.length * 3 < MAX_LINE || Buffer.byteLength(tail) < MAX_LINE - 64) return tail;
    return new EbscopeError("internal", `Cannot log an event (${kind}): it is larger than any`);
  } catch (cause) {
    return new EbscopeError("internal", `Cannot log an event (${kind}): it is no JSON`, { cause });
  }
}

function numbered(event: NewEvent, time: string, tail: string, seq: number): LoggedEvent {
  const { target, capture, kind, data } = event;
  return { event: { seq, time, target, capture, kind, data } as BridgeEvent, json: `{"seq":${seq},${tail}` };
}
