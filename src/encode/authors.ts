/** Who made changes, as JSON. */
import type { AuthorJson, FrameJson } from "../api/authors.ts";
import type { DiffJson } from "../api/schemas.ts";
import { hex } from "../base/hex.ts";
import type { ChangeAuthors, NamedAuthor } from "../diagnose/blame/authors.ts";
import type { WriterChain, WriterFrame } from "../diagnose/blame/writers.ts";
import type { Place } from "../diagnose/place.ts";
import { orNull } from "./walks.ts";

type MappingAuthorsJson = Pick<DiffJson["mappings"][number], "by" | "unattributed">;
type RegisterAuthorsJson = Pick<DiffJson["registers"][number], "by" | "unattributed">;

export function encodeMappingAuthors(authors: ChangeAuthors | undefined): MappingAuthorsJson {
  if (authors === undefined) return {};
  if (authors.by === undefined) return { by: null, unattributed: null };
  const by = authors.by.map((author) => ({ ...encodeAuthor(author), last: hex(author.last) }));
  return { by, unattributed: hex(authors.unattributed) };
}

export function encodeRegisterAuthors(authors: ChangeAuthors | undefined): RegisterAuthorsJson {
  if (authors === undefined) return {};
  if (authors.by === undefined) return { by: null, unattributed: null };
  return { by: authors.by.map(encodeAuthor), unattributed: authors.isUnattributed };
}

function encodeAuthor({ writer, events }: NamedAuthor): AuthorJson {
  return {
    pc: orNull(writer?.pc),
    ...encodeCode(writer?.place),
    count: events.length,
    last: null,
    backtrace: encodeChain(writer?.chain),
  };
}

export function encodeCode(place: Place | undefined): Pick<FrameJson, "image" | "section" | "function" | "line"> {
  return {
    image: place?.image ?? null,
    section: place?.section ?? null,
    function: place?.symbol ?? null,
    line: place?.line ?? null,
  };
}

/** Chains that many events have are the same objects in all of them. */
const encoded = new WeakMap<WriterChain, FrameJson[]>();

export function encodeChain(chain: WriterChain | undefined): FrameJson[] | null {
  if (chain === undefined) return null;
  const known = encoded.get(chain);
  if (known !== undefined) return known;
  const frames = chain.frames.map(encodeFrame);
  encoded.set(chain, frames);
  return frames;
}

function encodeFrame({ pc, call, place, trust, doubts }: WriterFrame): FrameJson {
  return { pc: hex(pc), call: orNull(call), ...encodeCode(place), trust, doubts: [...doubts] };
}
