/** Who made the changes that the rows of a list tell of: a note below each row, or one for all of them. */
import type { AuthorsText } from "../../report/blame-words.ts";
import { style } from "./style.ts";

export interface ByNotes {
  /** By row; empty strings where there is nothing to say. */
  readonly each: readonly string[];
  /** Lines below the list. */
  readonly all: readonly string[];
}

/** `groups`: the changes of each row. */
export function byNotes<T>(
  groups: readonly (readonly T[])[],
  by: ((changes: readonly T[]) => AuthorsText) | undefined,
): ByNotes {
  if (by === undefined || groups.length === 0) return { each: [], all: [] };
  const texts = groups.map(by);
  const [first] = texts;
  if (texts.length > 1 && first?.key !== "" && texts.every(({ key }) => key === first?.key)) {
    return { each: [], all: [style.quiet(`  all by ${by(groups.flat()).text}`)] };
  }
  return { each: texts.map(({ text }) => (text === "" ? "" : `by ${text}`)), all: [] };
}
