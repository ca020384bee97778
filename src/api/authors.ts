/** Who wrote, as JSON: an instruction, what its address is called, and the call chain that led to it. Names are promises to users. */
import { type Static, Type } from "typebox";
import { Hex, Nullable } from "./parts.ts";

/** What is known of an address of code; null wherever nothing is. */
export const codeFields = {
  /** `CpuDxe+0x2638` */
  image: Nullable(Type.String()),
  section: Nullable(Type.String()),
  /** `UpdateRegionMappingRecursive+0x1f8`, out of symbols. */
  function: Nullable(Type.String()),
  line: Nullable(Type.Object({ file: Type.String(), line: Type.Integer() })),
};

export const FrameJson = Type.Object({
  /** Where the function returns to; where it executes, for the innermost. */
  pc: Hex,
  /** The call in this function, which the names are of; null for the innermost. */
  call: Nullable(Hex),
  ...codeFields,
  trust: Type.Enum(["sure", "likely", "doubtful", "broken"]),
  doubts: Type.Array(Type.String()),
});
export type FrameJson = Static<typeof FrameJson>;

/** One instruction, reached through one call chain. */
export const AuthorJson = Type.Object({
  /** null: the record does not say which instruction it was. */
  pc: Nullable(Hex),
  ...codeFields,
  /** Writes of it that changed what this is about. */
  count: Type.Integer(),
  /** Bytes of the run that it changed last of all; null for registers. */
  last: Nullable(Hex),
  /** From the innermost function on; null where it was not recorded, or where there are more chains than are followed. */
  backtrace: Nullable(Type.Array(FrameJson)),
});
export type AuthorJson = Static<typeof AuthorJson>;

/** Those that were seen to make a change, in the order of their first writes; empty: nobody was seen. null: nobody watched. At most 64. */
export const Authors = Nullable(Type.Array(AuthorJson));
