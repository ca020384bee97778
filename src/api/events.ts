/** What happens, as the bridge tells it: one log for all guests, each event with its sequence number. Names are promises to users. */
import { type Static, Type } from "typebox";
import { Hex, Nullable } from "./parts.ts";
import { DiffJson, FindingJson } from "./schemas.ts";

/** Ascends by one from event to event; never given twice, also after a restart. */
export const Sequence = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

export const EVENT_KINDS = [
  "bridge.started",
  "target.attached",
  "target.stopped",
  "target.resumed",
  "target.lost",
  "target.detached",
  "registers.changed",
  "mappings.changed",
  "capture.started",
  "capture.progress",
  "capture.completed",
  "capture.failed",
  "blame.write",
  "finding",
] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

const Stop = Type.Object({
  cpu: Type.Integer(),
  pc: Nullable(Hex),
  why: Type.Enum(["breakpoint", "interrupt", "step", "attach"]),
});
const Failure = Type.Object({ code: Type.String(), message: Type.String() });

/** Writes that one `blame.write` lists at most. */
export const MAX_WRITES = 256;

/** One write of those that a capture records. */
export const WriteJson = Type.Object({
  /** Index of the event in the record, from 0: as in `ebscope blame FILE --json`. */
  event: Type.Integer(),
  kind: Type.Enum(["table", "memory", "register", "maintenance"]),
  cpu: Type.Integer(),
  /** Of the instruction; null: nobody was seen to do it. */
  pc: Nullable(Hex),
  /** Of the doubleword: physical for `table`, virtual for `memory`; null for the others. */
  address: Nullable(Hex),
  old: Nullable(Hex),
  /** The operand of `maintenance`. */
  new: Nullable(Hex),
  /** The register, the operation, or the range as it was asked for; null for `table`. */
  name: Nullable(Type.String()),
  /** `CpuDxe+0x2638`; null where no image is known at `pc`. */
  image: Nullable(Type.String()),
});
export type WriteJson = Static<typeof WriteJson>;

/** What an event says beside its head, by kind. */
export const EVENT_DATA = {
  /** The bridge came up; `cut`: bytes of the log that a crash had left unfinished and that were taken off. */
  "bridge.started": Type.Object({ version: Type.String(), cut: Type.Integer() }),
  "target.attached": Type.Object({ gdb: Type.String(), qemuVersion: Nullable(Type.String()), cpus: Type.Integer() }),
  "target.stopped": Stop,
  "target.resumed": Type.Object({}),
  "target.lost": Failure,
  "target.detached": Type.Object({ running: Type.Boolean() }),
  /** What differs from the stop before, by field. */
  "registers.changed": Type.Object({ registers: DiffJson.properties.registers }),
  /** What differs from the stop before. `complete`: the list was not cut. */
  "mappings.changed": Type.Object({ mappings: DiffJson.properties.mappings, complete: Type.Boolean() }),
  "capture.started": Type.Object({}),
  "capture.progress": Type.Object({ text: Type.String() }),
  "capture.completed": Type.Object({ points: Type.Array(Type.String()), faulted: Type.Boolean() }),
  /** `partial`: what was captured until then is kept. */
  "capture.failed": Type.Object({ ...Failure.properties, partial: Type.Boolean() }),
  /** What was seen to be written since the last one; `total`: all until now, listed or not. */
  "blame.write": Type.Object({ writes: Type.Array(WriteJson, { maxItems: MAX_WRITES }), total: Type.Integer() }),
  finding: FindingJson,
} as const;

const head = {
  seq: Sequence,
  /** ISO 8601, UTC. */
  time: Type.String(),
  target: Nullable(Type.String()),
  capture: Nullable(Type.String()),
};

export const EventJson = Type.Union(
  EVENT_KINDS.map((kind) => Type.Object({ ...head, kind: Type.Literal(kind), data: EVENT_DATA[kind] })),
);

type Data = { readonly [K in EventKind]: Static<(typeof EVENT_DATA)[K]> };

/** An event of one kind; of any kind without one. */
export type BridgeEvent<K extends EventKind = EventKind> = {
  [Each in K]: {
    readonly seq: number;
    readonly time: string;
    readonly target: string | null;
    readonly capture: string | null;
    readonly kind: Each;
    readonly data: Data[Each];
  };
}[K];

/** All that are given must let an event through. An empty list lets nothing through. */
export const EventFilter = Type.Object(
  {
    targets: Type.Optional(Type.Array(Type.String(), { maxItems: 64 })),
    kinds: Type.Optional(Type.Array(Type.Enum(EVENT_KINDS), { maxItems: 64 })),
    /** `registers.changed` has only these registers, and does not come without any of them. */
    registers: Type.Optional(Type.Array(Type.String({ maxLength: 64 }), { maxItems: 1024 })),
    /** `mappings.changed` has only runs that touch one of these, and does not come without any. */
    ranges: Type.Optional(Type.Array(Type.Object({ start: Hex, size: Hex }), { maxItems: 256 })),
  },
  { additionalProperties: false },
);
export type EventFilter = Static<typeof EventFilter>;
