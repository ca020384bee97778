/** Who made changes, in words. */
import { hex, sizeText } from "../base/hex.ts";
import { printable } from "../base/text.ts";
import type { ChangeAuthors, NamedAuthor } from "../diagnose/blame/authors.ts";
import type { Writer } from "../diagnose/blame/writers.ts";
import { type Place, placeName } from "../diagnose/place.ts";

/** `flip_execute+0x28 (kernel+0x2250), from DxeCore+0x7238`: the innermost function, and the first one that is in another image. */
export function writerText(writer: Writer | undefined): string {
  if (writer === undefined) return "an instruction that is not known";
  const from = callerOf(writer);
  return printable(placeName(writer.place), MAX_NAME) + (from === undefined ? "" : `, from ${nameText(from)}`);
}

const MAX_NAME = 120;

function callerOf({ place, chain }: Writer): Place | undefined {
  const own = imageName(place);
  return chain?.frames.slice(1).find((frame) => {
    const name = imageName(frame.place);
    return frame.trust !== "broken" && name !== undefined && name !== own;
  })?.place;
}

/** `kernel` of `kernel+0x2250`. */
function imageName({ image }: Place): string | undefined {
  return image?.replace(/\+0x[0-9a-f]+$/, "");
}

function nameText({ symbol, image, address }: Place): string {
  return printable(symbol ?? image ?? hex(address), MAX_NAME);
}

/** Authors of one change that are named. */
const MAX_NAMED = 3;

export interface AuthorsText {
  /** `flip_execute+0x28 (kernel+0x2250) ×2, from …; make_read_only …; 8 KiB by nobody who was seen`; empty when nobody watched. */
  readonly text: string;
  /** The same without the numbers: equal for changes of the same authors. */
  readonly key: string;
}

/** Who made one or more changes. `most`: authors that are named. */
export function authorsText(changes: readonly (ChangeAuthors | undefined)[], most = MAX_NAMED): AuthorsText {
  const watched = changes.filter((each) => each?.by !== undefined) as ChangeAuthors[];
  if (watched.length === 0) return { text: "", key: "" };
  const events = new Map<string, Set<number>>();
  for (const author of watched.flatMap(({ by }) => by as readonly NamedAuthor[])) {
    const name = writerText(author.writer);
    const known = events.get(name) ?? new Set();
    for (const event of author.events) known.add(event);
    events.set(name, known);
  }
  const named = [...events].slice(0, most).map(([name, { size }]) => (size > 1 ? counted(name, size) : name));
  const more = events.size - named.length;
  const nobody = nobodyText(watched, events.size === 0);
  const parts = [...named, ...(more > 0 ? [`${more} more`] : []), ...(nobody === undefined ? [] : [nobody])];
  const key = [...events.keys(), ...(nobody === undefined ? [] : ["nobody"])].join("; ");
  return { text: parts.join("; "), key };
}

/** The number behind the name of the function. */
function counted(name: string, count: number): string {
  const times = ` ×${count}`;
  return name.includes(", from ") ? name.replace(", from ", `${times}, from `) : name + times;
}

function nobodyText(changes: readonly ChangeAuthors[], alone: boolean): string | undefined {
  const unknown = changes.filter(({ isUnattributed }) => isUnattributed);
  if (unknown.length === 0) return undefined;
  if (alone && unknown.length === changes.length) return "nobody who was seen";
  const bytes = unknown.reduce((sum, { unattributed }) => sum + unattributed, 0n);
  return bytes === 0n ? "at last nobody who was seen" : `${sizeText(bytes)} nobody who was seen`;
}
