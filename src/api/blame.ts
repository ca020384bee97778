/** Who wrote, as JSON: the authors of the changes of a difference, and what `ebscope blame FILE --json` prints. Names are promises to users. */
import { type Static, Type } from "typebox";
import { Hex, Nullable, RegimeName } from "./parts.ts";
import { DiffJson } from "./schemas.ts";

/** What is known of an address of code; null wherever nothing is. */
const codeFields = {
  /** `CpuDxe+0x2638` */
  image: Nullable(Type.String()),
  section: Nullable(Type.String()),
  /** `UpdateRegionMappingRecursive+0x1f8`, out of symbols. */
  function: Nullable(Type.String()),
  line: Nullable(Type.Object({ file: Type.String(), line: Type.Integer() })),
};

const FrameJson = Type.Object({
  /** Where the function returns to; where it executes, for the innermost. */
  pc: Hex,
  /** The call in this function; null for the innermost. */
  call: Nullable(Hex),
  ...codeFields,
  trust: Type.Enum(["sure", "likely", "doubtful", "broken"]),
  doubts: Type.Array(Type.String()),
});

/** One instruction, reached through one call chain. */
export const AuthorJson = Type.Object({
  /** null: nobody was seen to do it. */
  pc: Nullable(Hex),
  ...codeFields,
  /** Writes of it that changed what this is about. */
  count: Type.Integer(),
  /** From the innermost function on; null where it was not recorded. */
  backtrace: Nullable(Type.Array(FrameJson)),
});
export type AuthorJson = Static<typeof AuthorJson>;

const entry = {
  /** Index of the event in the record, from 0: the order in which it was seen. */
  event: Type.Integer(),
  /** What one instruction wrote shares it. */
  stop: Type.Integer(),
  cpu: Type.Integer(),
  /** null: nobody was seen to do it; it was found by comparing. */
  by: Nullable(
    Type.Object({
      pc: Hex,
      instruction: Nullable(Type.String()),
      ...codeFields,
      backtrace: AuthorJson.properties.backtrace,
    }),
  ),
};

const { before, after } = DiffJson.properties.mappings.items.properties;

/** What a write to a table did to the addresses of one regime. */
const TableEffectJson = Type.Object({
  regime: RegimeName,
  va: Hex,
  size: Hex,
  level: Nullable(Type.Integer()),
  /** The runs whose translation changed by it; none when none did. At most 64. */
  changes: Type.Array(
    Type.Object({
      kind: Type.Enum(["added", "removed", "changed", "moved"]),
      va: Hex,
      size: Hex,
      before,
      after,
    }),
  ),
  /** False: it is not known what it changed; or there are more changes than are listed. */
  complete: Type.Boolean(),
});

export const BlameEntryJson = Type.Union([
  /** A point of the capture. */
  Type.Object({ ...entry, kind: Type.Literal("point"), point: Type.String() }),
  Type.Object({
    ...entry,
    kind: Type.Literal("table"),
    /** Of the descriptor, and what memory held there. */
    address: Hex,
    old: Nullable(Hex),
    new: Nullable(Hex),
    /** The change of the descriptor that this is a part of: `replaced` by break-before-make, with the other event of the pair. */
    change: Nullable(
      Type.Object({
        kind: Type.Enum(["replaced", "direct", "made", "broken"]),
        with: Nullable(Type.Integer()),
        old: Hex,
        new: Hex,
      }),
    ),
    effects: Type.Array(TableEffectJson),
  }),
  Type.Object({
    ...entry,
    kind: Type.Literal("register"),
    name: Type.String(),
    old: Nullable(Hex),
    new: Nullable(Hex),
    fields: DiffJson.properties.registers.items.properties.fields,
    effects: Type.Array(TableEffectJson),
  }),
  Type.Object({
    ...entry,
    kind: Type.Literal("memory"),
    /** As it was asked for: `gBS+0xe8`. */
    range: Nullable(Type.String()),
    /** Of the aligned doubleword that was written to. */
    address: Hex,
    old: Nullable(Hex),
    new: Nullable(Hex),
  }),
  /** A TLBI, DC or IC instruction. */
  Type.Object({ ...entry, kind: Type.Literal("maintenance"), operation: Type.String(), value: Nullable(Hex) }),
  /** A page became a table of a live regime, or was found to be one. */
  Type.Object({ ...entry, kind: Type.Literal("table-found"), address: Hex }),
  /** From here on not all was seen. */
  Type.Object({ ...entry, kind: Type.Literal("lapse"), why: Type.String() }),
]);
export type BlameEntryJson = Static<typeof BlameEntryJson>;
export const BlameJson = Type.Array(BlameEntryJson);
