/** The description inside the part `BLAM`: its JSON Schema and its type, from one source. */
import type { Static } from "typebox";
import { MAX_NOTES, MAX_RANGES } from "./blame-bounds.ts";
import { count, hexText, MAX_TEXT, text } from "./meta.ts";

/** In bytes: texts at their longest, all of whose characters JSON escapes with six. */
export const MAX_BLAME_META = 6 * MAX_TEXT * (MAX_NOTES + MAX_RANGES) + (1 << 16);

const range = {
  type: "object",
  required: ["name", "address", "length"],
  properties: { name: text, address: hexText, length: count },
} as const;

export const BLAME_META_SCHEMA = {
  type: "object",
  required: ["tables", "maintenance", "uncounted", "ranges", "notes"],
  properties: {
    tables: { type: "boolean" },
    maintenance: { type: "boolean" },
    uncounted: count,
    ranges: { type: "array", items: range, maxItems: MAX_RANGES },
    notes: { type: "array", items: text, maxItems: MAX_NOTES },
  },
} as const;

export type BlameMeta = Static<typeof BLAME_META_SCHEMA>;
