/** What was seen to be written, as JSON, in order: what `ebscope blame FILE --json` prints. Names are promises to users. */
import { type Static, Type } from "typebox";
import { AuthorJson, codeFields } from "./authors.ts";
import { Hex, Nullable, RegimeName } from "./parts.ts";
import { DiffJson } from "./schemas.ts";

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
  /** False: nobody was seen to do it; it was found by comparing. */
  seen: Type.Boolean(),
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
  /** A point of the capture, and what was found there that nobody was seen to do. */
  Type.Object({ ...entry, kind: Type.Literal("point"), point: Type.String(), effects: Type.Array(TableEffectJson) }),
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
  /** A load or store through a mapping whose descriptor was valid and had been changed, before maintenance was seen: `va` is its first address. */
  Type.Object({ ...entry, kind: Type.Literal("use"), va: Hex }),
  /** A page became a table of a live regime, or was found to be one. */
  Type.Object({ ...entry, kind: Type.Literal("table-found"), address: Hex, effects: Type.Array(TableEffectJson) }),
  /** From here on not all was seen. */
  Type.Object({ ...entry, kind: Type.Literal("lapse"), why: Type.String() }),
]);
export type BlameEntryJson = Static<typeof BlameEntryJson>;
export const BlameJson = Type.Array(BlameEntryJson);
