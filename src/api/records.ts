/**
 * What `ebscope run` prints with --json and writes with --records: lines of JSON, one for each hit of a plan's points, for what else
 * happened, and at the end one that says how the plan ended. Names are promises to users.
 */
import { type Static, Type } from "typebox";
import { Hex, Nullable } from "./parts.ts";
import { BacktraceJson, DiffJson } from "./schemas.ts";

const closed = { additionalProperties: false } as const;
const Count = Type.Integer({ minimum: 0 });

/** Bytes as hex digits, two a byte, in the order of their addresses. `code`: why there are none. */
const Bytes = Type.Union([
  Type.Object({ state: Type.Literal("present"), bytes: Type.String({ pattern: "^([0-9a-f]{2})*$" }) }, closed),
  Type.Object({ state: Type.Enum(["absent", "unreadable"]), code: Type.String() }, closed),
]);
/** An expression has no value, or not one that can be read: nothing was read. */
const Unknown = Type.Object({ state: Type.Literal("unknown"), why: Type.String() }, closed);

const Argument = Type.Object(
  {
    /** The prototype's, or `x0` … `x7`. */
    name: Type.String(),
    type: Nullable(Type.String()),
    value: Nullable(Hex),
    /** The name or the digits of the GUID, or the string, that it leads to. */
    text: Nullable(Type.String()),
  },
  closed,
);

/** What is null was not to be recorded, or cannot be known. */
export const HitJson = Type.Object(
  {
    kind: Type.Literal("hit"),
    point: Type.String(),
    /** From 1 on. */
    hit: Type.Integer({ minimum: 1 }),
    time: Type.String(),
    cpu: Type.Integer(),
    pc: Nullable(Hex),
    place: Type.String(),
    at: Nullable(Type.String()),
    condition: Nullable(Type.Literal("true")),
    registers: Nullable(
      Type.Array(Type.Object({ cpu: Type.Integer(), values: Type.Record(Type.String(), Nullable(Hex)) }, closed)),
    ),
    memory: Nullable(
      Type.Array(
        Type.Object(
          { name: Type.String(), address: Nullable(Hex), length: Nullable(Hex), read: Type.Union([Bytes, Unknown]) },
          closed,
        ),
      ),
    ),
    written: Nullable(Type.Object({ address: Hex, before: Bytes, after: Bytes }, closed)),
    arguments: Nullable(Type.Object({ service: Nullable(Type.String()), arguments: Type.Array(Argument) }, closed)),
    /** What the function returned: x0, and its name where it is an EFI_STATUS. */
    returned: Nullable(Type.Object({ value: Hex, status: Nullable(Type.String()) }, closed)),
    backtrace: Nullable(BacktraceJson),
    /** The point of the capture that was taken. */
    capture: Nullable(Type.String()),
    note: Nullable(Type.String()),
  },
  closed,
);
export type HitJson = Static<typeof HitJson>;

/** Told once for each reason; the last line has how often it was. */
export const UndecidedJson = Type.Object(
  {
    kind: Type.Literal("undecided"),
    point: Type.String(),
    time: Type.String(),
    cpu: Type.Integer(),
    pc: Nullable(Hex),
    condition: Type.Literal("unknown"),
    why: Type.String(),
  },
  closed,
);
export type UndecidedJson = Static<typeof UndecidedJson>;

export const DiffLineJson = Type.Object(
  {
    kind: Type.Literal("diff"),
    /** As the plan names them. */
    from: Type.String(),
    to: Type.String(),
    /** As `ebscope diff --json` prints it; null where one of the points was not recorded. */
    diff: Nullable(DiffJson),
  },
  closed,
);

export const EndJson = Type.Object(
  {
    kind: Type.Literal("end"),
    plan: Type.String(),
    /** `partial`: something ended it before it was done. */
    state: Type.Enum(["done", "partial"]),
    error: Nullable(Type.Object({ code: Type.String(), message: Type.String() }, closed)),
    points: Type.Array(
      Type.Object(
        {
          id: Type.String(),
          hits: Count,
          records: Count,
          undecided: Count,
          reasons: Type.Array(Type.String()),
        },
        closed,
      ),
    ),
    /** The file that the capture was written to. */
    capture: Nullable(Type.String()),
  },
  closed,
);
export type EndJson = Static<typeof EndJson>;

export const RecordLine = Type.Union([HitJson, UndecidedJson, DiffLineJson, EndJson]);
export type RecordLine = Static<typeof RecordLine>;
