/**
 * A record of writes as the part `BLAM` of an `.ebs` file. docs/capture-format.md describes it for other readers.
 *
 * Seven counts (u32), then deflated: columns of events, stacks, sites and pages (columns.ts), and JSON for the rest. Pages are those of the
 * part `PAGE`, by index, so that a table that was found is there once, in whatever points it is too. The bytes are untrusted: the counts are
 * checked first, and all that is read afterwards has the length that they give.
 */
import { deflateSync, inflateSync } from "node:zlib";
import { Check } from "typebox/schema";
import { virt } from "../base/address.ts";
import { hex } from "../base/hex.ts";
import type { BlameRecord } from "./blame.ts";
import {
  MAX_CODE_PAGES,
  MAX_CONTENTS,
  MAX_EVENTS,
  MAX_SITES,
  MAX_STACKS,
  MAX_WORDS,
  withinBounds,
} from "./blame-bounds.ts";
import { EVENT_BYTES, type Referred, readEvents, writeEvents } from "./blame-events.ts";
import { BLAME_META_SCHEMA, type BlameMeta, MAX_BLAME_META } from "./blame-meta.ts";
import {
  CODE_BYTES,
  CONTENTS_BYTES,
  type PageIndexes,
  readCode,
  readContents,
  readSites,
  SITE_BYTES,
  writeCode,
  writeContents,
  writeSites,
} from "./blame-places.ts";
import { countWords, readStacks, STACK_BYTES, WORD_BYTES, writeStacks } from "./blame-stacks.ts";
import { Columns } from "./columns.ts";
import { corrupt } from "./damage.ts";
import { clip } from "./records.ts";

/** In the order of the file: what there are so many of, how many there may be, and the bytes of one. */
const PARTS = [
  { name: "events", most: MAX_EVENTS, bytes: EVENT_BYTES },
  { name: "stacks", most: MAX_STACKS, bytes: STACK_BYTES },
  { name: "words", most: MAX_WORDS, bytes: WORD_BYTES },
  { name: "sites", most: MAX_SITES, bytes: SITE_BYTES },
  { name: "contents", most: MAX_CONTENTS, bytes: CONTENTS_BYTES },
  { name: "code", most: MAX_CODE_PAGES, bytes: CODE_BYTES },
  { name: "meta", most: MAX_BLAME_META, bytes: 1 },
] as const;
const HEADER_SIZE = 4 * PARTS.length;
/** What inflating and deflating allocate at once, in bytes. */
const MIN_CHUNK = 1 << 14;
const MAX_CHUNK = 1 << 24;

type Counts = Record<(typeof PARTS)[number]["name"], number>;

/** The contents of the part. */
export function encodeBlame(whole: BlameRecord, pages: PageIndexes): Buffer {
  const record = withinBounds(whole);
  const { events, stacks, sites, contents, code } = record;
  const meta = Buffer.from(JSON.stringify(encodeMeta(record)));
  const counts: Counts = {
    events: events.length,
    stacks: stacks.length,
    words: countWords(stacks),
    sites: sites.length,
    contents: contents.length,
    code: code.size,
    meta: meta.length,
  };
  const bytes = Buffer.alloc(sizeOf(counts));
  const columns = new Columns(bytes);
  writeEvents(columns, events);
  writeStacks(columns, stacks);
  writeSites(columns, sites);
  writeContents(columns, contents, pages);
  writeCode(columns, code, pages);
  columns.bytes(meta.length).set(meta);
  const header = Buffer.alloc(HEADER_SIZE);
  for (const [i, { name }] of PARTS.entries()) header.writeUInt32LE(counts[name], i * 4);
  return Buffer.concat([header, deflateSync(bytes, { chunkSize: chunkSize(bytes.length) })]);
}

function sizeOf(counts: Counts): number {
  return PARTS.reduce((sum, { name, bytes }) => sum + counts[name] * bytes, 0);
}

/** In pieces of zlib's usual 16 KiB most of the time would go into putting them together. */
function chunkSize(length: number): number {
  return Math.min(Math.max(length, MIN_CHUNK), MAX_CHUNK);
}

/** What the rest of a file says that a record refers to. */
export interface Surroundings {
  /** Printable, for messages. */
  readonly file: string;
  readonly cpus: number;
  readonly points: number;
  /** Of the part `PAGE`. */
  readonly pages: readonly Uint8Array[];
}

/** The record in the contents of the part; throws `capture-corrupt`. */
export function decodeBlame(contents: Buffer, surroundings: Surroundings): BlameRecord {
  const wrong = (why: string, cause?: unknown): Error =>
    corrupt(surroundings.file, `its record of writes ${why}`, cause);
  const counts = readCounts(contents, wrong);
  const bytes = inflate(contents.subarray(HEADER_SIZE), sizeOf(counts), wrong);
  const meta = readMeta(bytes.subarray(bytes.length - counts.meta), wrong);
  const { cpus, points, pages } = surroundings;
  const columns = new Columns(bytes);
  const referred: Referred = {
    cpus,
    points,
    notes: meta.notes.length,
    stacks: counts.stacks,
    contents: counts.contents,
  };
  const pageAt = (index: number): Uint8Array => {
    const page = pages[index];
    if (page === undefined) throw wrong("refers to a page that is not there");
    return page;
  };
  // In the order of the columns.
  const events = readEvents(columns, counts.events, referred, wrong);
  const stacks = readStacks(columns, counts.stacks, counts.words, wrong);
  const sites = readSites(columns, counts.sites);
  const tables = readContents(columns, counts.contents, pageAt);
  const code = readCode(columns, counts.code, pageAt);
  if (code.size !== counts.code) throw wrong("has two pages of code at one address");
  return {
    tables: meta.tables,
    maintenance: meta.maintenance,
    ranges: meta.ranges.map(({ name, address, length }) => ({ name, address: virt(BigInt(address)), length })),
    sites,
    events,
    uncounted: meta.uncounted,
    stacks,
    contents: tables,
    code,
    notes: meta.notes,
  };
}

type Wrong = (why: string, cause?: unknown) => Error;

function readCounts(contents: Buffer, wrong: Wrong): Counts {
  if (contents.length < HEADER_SIZE) throw wrong("is incomplete");
  const entries = PARTS.map(({ name, most }, i) => {
    const count = contents.readUInt32LE(i * 4);
    if (count > most) throw wrong(`has more ${name} than there may be`);
    return [name, count] as const;
  });
  return Object.fromEntries(entries) as Counts;
}

function inflate(deflated: Buffer, size: number, wrong: Wrong): Buffer {
  let bytes: Buffer;
  try {
    bytes = inflateSync(deflated, { maxOutputLength: Math.max(size, 1), chunkSize: chunkSize(size) });
  } catch (cause) {
    throw wrong("is unreadable", cause);
  }
  if (bytes.length !== size) throw wrong("is incomplete");
  return bytes;
}

function encodeMeta({ tables, maintenance, uncounted, ranges, notes }: BlameRecord): BlameMeta {
  return {
    tables,
    maintenance,
    uncounted,
    ranges: ranges.map(({ name, address, length }) => ({ name: clip(name), address: hex(address), length })),
    notes: notes.map(clip),
  };
}

function readMeta(bytes: Buffer, wrong: Wrong): BlameMeta {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString("utf8"));
  } catch (cause) {
    throw wrong("has an unreadable description", cause);
  }
  if (!Check(BLAME_META_SCHEMA, value)) throw wrong("has a wrong description");
  return value;
}
