/** What the rooms around the bridge see of it: events in order, captures by id. */
import type { BridgeEvent, EventKind } from "../api/events.ts";
import type { Capture } from "../snapshot/model.ts";

/** An event that has not got its place in the log yet. */
export type NewEvent = { [K in EventKind]: Omit<BridgeEvent<K>, "seq" | "time"> }[EventKind];

/** An event with the text that is sent of it: made once, however many readers there are. */
export interface LoggedEvent {
  readonly event: BridgeEvent;
  /** `event` as JSON. */
  readonly json: string;
}

/** The durable log of all events. An event is told to nobody before it is on disk. */
export interface EventLog {
  /** The last sequence number; 0 when there is no event. */
  readonly head: number;
  /** The first event that is kept; head + 1 when there is none. */
  readonly oldest: number;
  /** Appends in the order of the calls; resolves when the event is on disk. Rejects with `store-full` (and stays usable for reading). */
  append(event: NewEvent): Promise<LoggedEvent>;
  /** Events with sequence numbers from `from` to `to`, both included, ascending; fewer where that is too much for one piece (at least one). */
  read(from: number, to: number): Promise<readonly LoggedEvent[]>;
  /** Told of each event after it is on disk, in order. Returns the way to stop it. */
  listen(listener: (events: readonly LoggedEvent[]) => void): () => void;
  close(): Promise<void>;
}

export interface StoredCapture {
  readonly id: string;
  readonly createdAt: string;
  /** In bytes. */
  readonly size: number;
}

/** Captures by id, pages stored once by content. */
export interface CaptureStore {
  list(): Promise<readonly StoredCapture[]>;
  /** Rejects with `no-such-capture`, or with what is wrong with it. */
  read(id: string): Promise<Capture>;
  /** The capture as an `.ebs` file. */
  file(id: string): Promise<Uint8Array>;
  /** Whole or not at all, on disk when it resolves; rejects with `store-full`. */
  write(id: string, capture: Capture): Promise<StoredCapture>;
  remove(id: string): Promise<void>;
}
