/**
 * Pages by content. A pack holds pages that no pack held when it was written; it never changes, and its name comes from what it
 * holds. So there is nothing to append to and no end to be torn off: a pack is there whole or not at all.
 *
 * Layout, little-endian: magic (8 bytes), version (u32), number of pages (u32), CRC-32 of the index (u32); the index: SHA-256 (32
 * bytes) and stored length (u16) of each page; then the pages one after the other, each deflated by itself (RFC 1951), or as it is where
 * that is no longer. A page is checked against its SHA-256 whenever it is read.
 */
import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { crc32, deflateRawSync, inflateRawSync } from "node:zlib";
import { PAGE_SIZE } from "../../base/address.ts";
import { readAt, writeDurably } from "./files.ts";

const MAGIC = "\x89EBP\r\n\x1a\n";
const VERSION = 1;
const HEADER = 20;
export const DIGEST = 32;
const ENTRY = DIGEST + 2;
const MAX_PAGES = 1 << 20;
const NAME = /^[0-9a-f]{32}\.pages$/;
/** A window of one page and little memory: five times as fast as zlib's defaults, as good here. */
const DEFLATE = { level: 4, windowBits: 12, memLevel: 5, chunkSize: PAGE_SIZE };
const INFLATE = { maxOutputLength: PAGE_SIZE, chunkSize: PAGE_SIZE };
/** Deflated before other work gets its turn: some milliseconds. */
const PAGES_AT_ONCE = 64;
/** In bytes: read in one go, and what lies between two pages and is read along with them. */
const READ_SIZE = 1 << 20;
const READ_GAP = 16 << 10;

/** SHA-256 of a page, one character a byte. */
export type Digest = string;

export function digestOf(page: Uint8Array): Digest {
  return createHash("sha256").update(page).digest("binary");
}

export function isPackName(name: string): boolean {
  return NAME.test(name);
}

/** Where the pages of a pack are. */
export class PackIndex {
  readonly #entries: Buffer;

  constructor(entries: Buffer) {
    this.#entries = entries;
  }

  get count(): number {
    return this.#entries.length / ENTRY;
  }

  *places(): Generator<Place> {
    let offset = HEADER + this.#entries.length;
    for (let at = 0; at < this.#entries.length; at += ENTRY) {
      const length = this.#entries.readUInt16LE(at + DIGEST);
      yield { digest: this.#entries.toString("latin1", at, at + DIGEST), offset, length };
      offset += length;
    }
  }
}

export interface Place {
  readonly digest: Digest;
  readonly offset: number;
  /** As stored, in bytes. */
  readonly length: number;
}

/** Size of a pack with these pages, in bytes. */
export function packSize(places: readonly Place[]): number {
  return places.reduce((sum, { length }) => sum + ENTRY + length, HEADER);
}

/** Writes a pack; resolves with its name when it is on disk. Rejects with the system's errors. */
export async function writePack(folder: string, pages: ReadonlyMap<Digest, Uint8Array>): Promise<string> {
  const entries = Buffer.alloc(pages.size * ENTRY);
  const parts: Uint8Array[] = [];
  for (const [digest, page] of pages) {
    const at = parts.length * ENTRY;
    if (parts.length % PAGES_AT_ONCE === 0) await new Promise(setImmediate);
    const deflated = deflateRawSync(page, DEFLATE);
    const stored = deflated.length < PAGE_SIZE ? deflated : page;
    entries.write(digest, at, "latin1");
    entries.writeUInt16LE(stored.length, at + DIGEST);
    parts.push(stored);
  }
  const name = `${createHash("sha256").update(entries).digest("hex").slice(0, 32)}.pages`;
  await writeDurably(folder, name, [packHeader(entries), entries, Buffer.concat(parts)]);
  return name;
}

function packHeader(entries: Buffer): Buffer {
  const header = Buffer.alloc(HEADER);
  header.write(MAGIC, "latin1");
  header.writeUInt32LE(VERSION, 8);
  header.writeUInt32LE(entries.length / ENTRY, 12);
  header.writeUInt32LE(crc32(entries), 16);
  return header;
}

/** The index of a pack; undefined when it is damaged, as if its pages were not there. */
export async function readPackIndex(file: FileHandle): Promise<PackIndex | undefined> {
  const header = await readAt(file, HEADER, 0);
  if (header.length < HEADER || header.toString("latin1", 0, 8) !== MAGIC) return undefined;
  const count = header.readUInt32LE(12);
  if (header.readUInt32LE(8) !== VERSION || count > MAX_PAGES) return undefined;
  const entries = await readAt(file, count * ENTRY, HEADER);
  if (entries.length !== count * ENTRY || crc32(entries) !== header.readUInt32LE(16)) return undefined;
  return new PackIndex(entries);
}

/** Takes the pages at these places, which ascend, into `pages`; leaves out the damaged ones. */
export async function readPages(
  file: FileHandle,
  places: readonly Place[],
  pages: Map<Digest, Uint8Array>,
): Promise<void> {
  for (const run of runsOf(places)) {
    const [first, last] = [run[0] as Place, run.at(-1) as Place];
    const bytes = await readAt(file, last.offset + last.length - first.offset, first.offset);
    for (const { digest, offset, length } of run) {
      const at = offset - first.offset;
      const page = pageOf(bytes.subarray(at, at + length));
      if (page !== undefined && digestOf(page) === digest) pages.set(digest, page);
    }
  }
}

function* runsOf(places: readonly Place[]): Generator<Place[]> {
  let run: Place[] = [];
  for (const place of places) {
    const [first, last] = [run[0], run.at(-1)];
    const near = last !== undefined && place.offset - (last.offset + last.length) <= READ_GAP;
    if (first !== undefined && (!near || place.offset + place.length - first.offset > READ_SIZE)) {
      yield run;
      run = [];
    }
    run.push(place);
  }
  if (run.length > 0) yield run;
}

function pageOf(stored: Buffer): Uint8Array | undefined {
  if (stored.length === PAGE_SIZE) return Uint8Array.from(stored);
  try {
    const page = inflateRawSync(stored, INFLATE);
    return page.length === PAGE_SIZE ? page : undefined;
  } catch {
    return undefined;
  }
}
