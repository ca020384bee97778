/**
 * The methods of the bridge: JSON-RPC 2.0 (jsonrpc.org/specification) over WebSocket at `/rpc`, named parameters only. The one source for
 * validation, types, OpenRPC, and the client. Names are promises to users.
 *
 * `access`: what a connection must be allowed. `read` changes nothing in a guest but its time (a stop is a stop); `control` does.
 */
import { type Static, type TSchema, Type } from "typebox";
import { BlameJson } from "./blame.ts";
import { EventFilter, EventJson, Sequence } from "./events.ts";
import { Hex, Nullable, RegimeName } from "./parts.ts";
import { CoverageJson, DiffJson, ExplainJson, FindingJson, MappingJson, PointJson, RegisterJson } from "./schemas.ts";

export const PROTOCOL_VERSION = 1;

const Seconds = Type.Number({ minimum: 0, maximum: 86_400 });
const Id = Type.String({ pattern: "^[a-z0-9-]{1,40}$" });
const cpu = Type.Optional(Type.Integer({ minimum: 0, maximum: 4095 }));
const Nothing = Type.Object({}, { additionalProperties: false });
const params = <T extends Record<string, TSchema>>(properties: T) =>
  Type.Object(properties, { additionalProperties: false });

export const TargetJson = Type.Object({
  target: Id,
  gdb: Type.String(),
  state: Type.Enum(["running", "stopped", "lost"]),
  qemuVersion: Nullable(Type.String()),
  cpus: Type.Integer(),
  /** Where it stands; null unless it is stopped. */
  stop: Nullable(Type.Object({ cpu: Type.Integer(), pc: Nullable(Hex), why: Type.String() })),
  /** The capture that has it now: until that ends, only it moves the guest. */
  capture: Nullable(Id),
  /** Why it was lost. */
  error: Nullable(Type.Object({ code: Type.String(), message: Type.String() })),
});
export type TargetJson = Static<typeof TargetJson>;

export const BreakpointJson = Type.Object({ breakpoint: Id, target: Id, address: Hex });
export type BreakpointJson = Static<typeof BreakpointJson>;

export const CaptureJson = Type.Object({
  capture: Id,
  /** The guest it was taken of; null for one that was in the store already. */
  target: Nullable(Id),
  state: Type.Enum(["running", "complete", "partial", "failed"]),
  createdAt: Type.String(),
  /** In bytes; null until it is written. */
  size: Nullable(Type.Integer()),
  points: Type.Array(PointJson),
  error: Nullable(Type.Object({ code: Type.String(), message: Type.String() })),
});
export type CaptureJson = Static<typeof CaptureJson>;

export interface Method {
  readonly summary: string;
  readonly access: "read" | "control";
  readonly params: ReturnType<typeof params>;
  readonly result: TSchema;
  /** Codes of the error registry that it is known to answer with. */
  readonly errors: readonly string[];
}

const target = { target: Id };
const capture = { capture: Id };
const NO_TARGET = ["no-such-target"] as const;
/** Of what talks to the stub. */
const STUB = ["connection-lost", "stub-silent", "guest-ended"] as const;
const HALTED = [...NO_TARGET, "target-busy", ...STUB] as const;
const STOPPED = [...HALTED, "target-running", "register-missing"] as const;
const SEARCH = ["no-system-table", "bad-boot-services", "already-exited"] as const;

/** Whose writes a capture records; what `ebscope capture` calls `--blame` and so on. */
const blameParams = {
  blame: Type.Optional(Type.Boolean()),
  blameMaintenance: Type.Optional(Type.Boolean()),
  blameBacktraces: Type.Optional(Type.Boolean()),
  blameUntil: Type.Optional(Type.Enum(["after", "end"])),
  /** As many as a capture file takes. */
  blameLimit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1 << 22 })),
  /** `gBS+0xe8`, `0x40000000..0x40001000` */
  watchWrites: Type.Optional(Type.Array(Type.String({ maxLength: 100 }), { maxItems: 64 })),
};

export const METHODS = {
  "Bridge.version": {
    summary: "Which bridge this is, and what this connection may do.",
    access: "read",
    params: Nothing,
    result: Type.Object({
      name: Type.String(),
      version: Type.String(),
      protocol: Type.Integer(),
      access: Type.Enum(["read", "control"]),
    }),
    errors: [],
  },
  "Bridge.capabilities": {
    summary: "Methods, kinds of events and limits.",
    access: "read",
    params: Nothing,
    result: Type.Object({
      methods: Type.Array(Type.String()),
      events: Type.Array(Type.String()),
      limits: Type.Object({ message: Type.Integer(), memoryRead: Type.Integer(), requestsPerSecond: Type.Integer() }),
    }),
    errors: [],
  },
  "Bridge.describe": {
    summary: "This protocol as an OpenRPC document.",
    access: "read",
    params: Nothing,
    result: Type.Unknown(),
    errors: [],
  },
  "Bridge.cancel": {
    summary: "Cancels a call of this connection that has not been answered; it is answered with `interrupted`.",
    access: "read",
    params: params({ id: Type.Union([Type.String({ maxLength: 64 }), Type.Integer()]) }),
    result: Type.Object({ cancelled: Type.Boolean() }),
    errors: [],
  },
  "Target.attach": {
    summary: "Attaches to a gdbstub: HOST:PORT or unix:PATH. The guest stands still afterwards unless `run` is given.",
    access: "control",
    params: params({
      gdb: Type.String({ maxLength: 1024 }),
      run: Type.Optional(Type.Boolean()),
      memory: Type.Optional(Type.Enum(["auto", "rsp", "process", "file"])),
    }),
    result: TargetJson,
    errors: [
      ...["connect-failed", "connect-timeout", "connection-lost", "stub-silent", "not-a-gdbstub", "stub-unsupported"],
      ...["not-aarch64", "usage", "target-busy", "store-full"],
    ],
  },
  "Target.detach": {
    summary: "Takes everything out of a guest and lets it go: as it was found, or as `run` says.",
    access: "control",
    params: params({ ...target, run: Type.Optional(Type.Boolean()) }),
    result: Type.Object({ running: Type.Boolean() }),
    errors: [...NO_TARGET],
  },
  "Target.list": {
    summary: "All guests.",
    access: "read",
    params: Nothing,
    result: Type.Array(TargetJson),
    errors: [],
  },
  "Target.status": {
    summary: "One guest.",
    access: "read",
    params: params(target),
    result: TargetJson,
    errors: [...NO_TARGET],
  },
  "Target.resume": {
    summary: "Lets a stopped guest run.",
    access: "control",
    params: params(target),
    result: TargetJson,
    errors: [...STOPPED, "store-full"],
  },
  "Target.interrupt": {
    summary: "Stops a running guest.",
    access: "control",
    params: params(target),
    result: TargetJson,
    errors: [...HALTED],
  },
  "Target.step": {
    summary: "One instruction on one vCPU, the one that stopped unless told.",
    access: "control",
    params: params({ ...target, cpu }),
    result: TargetJson,
    errors: [...STOPPED, "usage", "store-full"],
  },
  "Breakpoint.insert": {
    summary:
      "A breakpoint at a virtual address, or at a service of UEFI, for which the guest is let run, up to `findTimeout` seconds (60 unless told), until its firmware shows the system table.",
    access: "control",
    params: params({
      ...target,
      address: Type.Optional(Hex),
      service: Type.Optional(Type.Enum(["ExitBootServices"])),
      findTimeout: Type.Optional(Seconds),
    }),
    result: BreakpointJson,
    errors: [...STOPPED, "usage", "stub-refused", ...SEARCH, "interrupted"],
  },
  "Breakpoint.remove": {
    summary: "Takes a breakpoint out.",
    access: "control",
    params: params({ ...target, breakpoint: Id }),
    result: Nothing,
    errors: [...STOPPED, "no-such-breakpoint"],
  },
  "Breakpoint.list": {
    summary: "The breakpoints of a guest.",
    access: "read",
    params: params(target),
    result: Type.Array(BreakpointJson),
    errors: [...NO_TARGET],
  },
  "Registers.get": {
    summary: "Registers of a stopped guest: all, or those named, of all vCPUs or one.",
    access: "read",
    params: params({
      ...target,
      cpu,
      names: Type.Optional(Type.Array(Type.String({ maxLength: 64 }), { maxItems: 4096 })),
    }),
    result: Type.Array(RegisterJson),
    errors: [...STOPPED, "usage"],
  },
  "Registers.watch": {
    summary: "What `registers.changed` and `mappings.changed` compare at each stop from now on.",
    access: "control",
    params: params({ ...target, registers: Type.Optional(Type.Boolean()), mappings: Type.Optional(Type.Boolean()) }),
    result: Type.Object({ registers: Type.Boolean(), mappings: Type.Boolean() }),
    errors: [...HALTED],
  },
  "Memory.read": {
    summary:
      "At most 1 MiB of a stopped guest, by virtual address, or physical with `physical`; `bytes` is base64, null where it cannot be read.",
    access: "read",
    params: params({
      ...target,
      address: Hex,
      length: Type.Integer({ minimum: 1, maximum: 1 << 20 }),
      physical: Type.Optional(Type.Boolean()),
      cpu,
    }),
    result: Type.Object({ address: Hex, bytes: Nullable(Type.String()), code: Nullable(Type.String()) }),
    errors: [...STOPPED, "usage"],
  },
  "PageTable.explain": {
    summary: "The walk of an address in a stopped guest, as `ebscope explain` tells it, at one point called `now`.",
    access: "read",
    params: params({ ...target, va: Hex, cpu, regime: Type.Optional(RegimeName) }),
    result: ExplainJson,
    errors: [...STOPPED, "usage"],
  },
  "PageTable.list": {
    summary: "The mappings of a stopped guest, of its live regimes or one.",
    access: "read",
    params: params({ ...target, cpu, regime: Type.Optional(RegimeName) }),
    result: Type.Object({ mappings: Type.Array(MappingJson), coverage: Type.Array(CoverageJson) }),
    errors: [...STOPPED, "usage", "too-many-tables"],
  },
  "Capture.start": {
    summary:
      "Captures ExitBootServices of a guest (`handoff`), or what it is like now; `blame` and `watchWrites`: with who writes. Answers at once; the events tell the rest.",
    access: "control",
    params: params({
      ...target,
      what: Type.Optional(Type.Enum(["handoff", "now"])),
      watch: Type.Optional(Seconds),
      timeout: Type.Optional(Seconds),
      findTimeout: Type.Optional(Seconds),
      maxTables: Type.Optional(Type.Integer({ minimum: 1, maximum: 1 << 24 })),
      ...blameParams,
    }),
    result: CaptureJson,
    errors: [...HALTED, "store-full", "usage"],
  },
  "Capture.wait": {
    summary: "Answers when a capture has ended.",
    access: "read",
    params: params(capture),
    result: CaptureJson,
    errors: ["no-such-capture", "interrupted"],
  },
  "Capture.cancel": {
    summary: "Ends a running capture; what was captured is kept and labelled partial.",
    access: "control",
    params: params(capture),
    result: CaptureJson,
    errors: ["no-such-capture"],
  },
  "Capture.list": {
    summary: "All captures of the store, the newest first.",
    access: "read",
    params: Nothing,
    result: Type.Array(CaptureJson),
    errors: [],
  },
  "Capture.get": {
    summary: "One capture.",
    access: "read",
    params: params(capture),
    result: CaptureJson,
    errors: ["no-such-capture"],
  },
  "Capture.diff": {
    summary: "What `ebscope diff FILE --json` prints.",
    access: "read",
    params: params({
      ...capture,
      from: Type.Optional(Type.String({ maxLength: 40 })),
      to: Type.Optional(Type.String({ maxLength: 40 })),
    }),
    result: DiffJson,
    errors: ["no-such-capture", "no-such-point"],
  },
  "Capture.findings": {
    summary: "What `ebscope show FILE findings --json` prints.",
    access: "read",
    params: params(capture),
    result: Type.Array(FindingJson),
    errors: ["no-such-capture"],
  },
  "Capture.blame": {
    summary:
      "What `ebscope blame FILE --json` prints: who wrote, event by event; `what`: those that tell of an address, a register or a watched range.",
    access: "read",
    params: params({
      ...capture,
      what: Type.Optional(Type.String({ maxLength: 100 })),
      regime: Type.Optional(RegimeName),
      cpu,
    }),
    result: BlameJson,
    errors: ["no-such-capture", "no-blame", "usage", "answer-too-large"],
  },
  "Stream.subscribe": {
    summary:
      "Events after a sequence number (all that are kept: 0; only new ones: left out), then those that come, in one order without gaps. Each arrives as a notification `Stream.event`.",
    access: "read",
    params: params({ after: Type.Optional(Sequence), filter: Type.Optional(EventFilter) }),
    result: Type.Object({ subscription: Id, head: Sequence, oldest: Sequence }),
    errors: ["events-gone"],
  },
  "Stream.unsubscribe": {
    summary: "Ends a subscription.",
    access: "read",
    params: params({ subscription: Id }),
    result: Nothing,
    errors: ["no-such-subscription"],
  },
} as const satisfies Record<string, Method>;

export type MethodName = keyof typeof METHODS;
export type Params<M extends MethodName> = Static<(typeof METHODS)[M]["params"]>;
export type Result<M extends MethodName> = Static<(typeof METHODS)[M]["result"]>;

/** What the bridge sends without being asked. */
export const NOTIFICATIONS = {
  "Stream.event": Type.Object({ subscription: Id, event: EventJson }),
  /** This reader was too slow: the events from `from` to `to` were not sent. Subscribe after `from` - 1 to catch up. Nothing more comes before. */
  "Stream.lagged": Type.Object({ subscription: Id, from: Sequence, to: Sequence }),
} as const;

/** JSON-RPC's own codes; `data.code` of an error is the registry's. */
export const RPC_ERRORS = {
  parse: -32700,
  request: -32600,
  method: -32601,
  params: -32602,
  internal: -32603,
  /** Every error of the registry. */
  failed: -32000,
  /** The connection may not: it has no access to control. */
  forbidden: -32001,
  /** Too many requests. */
  rate: -32002,
} as const;
