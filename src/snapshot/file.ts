/**
 * The `.ebs` file: one capture, self-describing, pages stored once by content. docs/capture-format.md describes it for other readers.
 *
 * Layout, all numbers little-endian: 8 bytes of magic; version (u32); flags (u32, 0). Then chunks: type (4 ASCII characters), length
 * (u32), CRC-32 of the contents (u32), contents. `META`: deflated JSON; `PAGE`: number of pages (u32), then that many pages of 4 KiB,
 * deflated; `BLAM`: what was seen to be written (blame-chunk.ts); `END ` closes the file. A reader skips chunks it does not know; a new
 * version number means that it must not read on.
 *
 * A file is untrusted: lengths are checked before they are used, inflating is bounded, the JSON is checked against its schema.
 */
import { createHash } from "node:crypto";
import { crc32, deflateSync, inflateSync } from "node:zlib";
import { Check, Errors } from "typebox/schema";
import { PAGE_SIZE, type PhysAddr, phys } from "../base/address.ts";
import { EbscopeError, type ErrorCode, isErrorCode } from "../base/error.ts";
import { bytesOfHex, hex, hexOfBytes } from "../base/hex.ts";
import type { MemoryRead } from "../base/memory.ts";
import type { RegisterRead } from "../base/registers.ts";
import { printable } from "../base/text.ts";
import { decodeBlame, encodeBlame } from "./blame-chunk.ts";
import { corrupt, truncated } from "./damage.ts";
import { MAX_POINTS, MAX_ROWS, META_SCHEMA, type Meta, type MetaPoint } from "./meta.ts";
import type { Capture, Point } from "./model.ts";
import {
  clip,
  decodeAttempt,
  decodeFoundImages,
  decodeMemoryMap,
  decodeRoots,
  decodeSymbols,
  encodeAttempt,
  encodeFoundImages,
  encodeMemoryMap,
  encodeRoots,
  encodeSymbols,
} from "./records.ts";

/** Like PNG's: a byte with the high bit, CR LF and Ctrl-Z show a copy mangled as text. */
const MAGIC = Buffer.from("\x89EBS\r\n\x1a\n", "latin1");
const VERSION = 1;
const HEADER_SIZE = 16;
const CHUNK_HEADER_SIZE = 12;
const MAX_META = 256 << 20;
const MAX_PAGES = 1 << 18;
/** What inflating allocates at once, in bytes. */
const MIN_CHUNK = 1 << 14;
const MAX_CHUNK = 1 << 24;
/** In tables everything looks like everything: from level 5 on zlib takes five times as long over them, and gains nothing. */
const PAGE_LEVEL = 4;

/** A capture as the bytes of an `.ebs` file. */
export function encodeCapture(capture: Capture): Uint8Array {
  const pages = new PageTable();
  const meta: Meta = {
    format: "ebscope capture",
    createdAt: capture.createdAt,
    createdBy: capture.createdBy,
    qemuVersion: capture.qemuVersion ?? null,
    architecture: capture.architecture,
    threads: [...capture.threads],
    registers: capture.registers.map((definition) => ({ ...definition })),
    efi: encodeRoots(capture.efi),
    attempts: capture.attempts.map(encodeAttempt),
    memoryMap: encodeMemoryMap(capture.memoryMap),
    points: capture.points.map((point) => encodePoint(point, pages)),
    notes: capture.notes.map(clip),
    symbols: encodeSymbols(capture.symbols),
    partial: capture.partial === undefined ? null : { ...capture.partial, message: clip(capture.partial.message) },
  };
  const header = Buffer.alloc(HEADER_SIZE);
  MAGIC.copy(header);
  header.writeUInt32LE(VERSION, 8);
  const { blame } = capture;
  // Before the pages are counted: it adds its own.
  const writes = blame === undefined ? [] : [chunk("BLAM", encodeBlame(blame, pages))];
  const count = Buffer.alloc(4);
  count.writeUInt32LE(pages.count);
  return Buffer.concat([
    header,
    chunk("META", deflateSync(JSON.stringify(meta))),
    chunk("PAGE", Buffer.concat([count, deflateSync(pages.bytes(), { level: PAGE_LEVEL })])),
    ...writes,
    chunk("END ", Buffer.alloc(0)),
  ]);
}

function chunk(type: string, contents: Buffer): Buffer {
  const header = Buffer.alloc(CHUNK_HEADER_SIZE);
  header.write(type, "latin1");
  header.writeUInt32LE(contents.length, 4);
  header.writeUInt32LE(crc32(contents), 8);
  return Buffer.concat([header, contents]);
}

/** Pages by content. Points share the objects of pages that did not change between them: those are known by sight. */
class PageTable {
  readonly #byObject = new Map<Uint8Array, number>();
  readonly #byDigest = new Map<string, number>();
  readonly #pages: Uint8Array[] = [];

  get count(): number {
    return this.#pages.length;
  }

  indexOf(page: Uint8Array): number {
    const seen = this.#byObject.get(page);
    if (seen !== undefined) return seen;
    const digest = createHash("sha256").update(page).digest("base64");
    const index = this.#byDigest.get(digest) ?? this.#pages.push(page) - 1;
    this.#byDigest.set(digest, index);
    this.#byObject.set(page, index);
    return index;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#pages);
  }
}

function encodePoint(point: Point, pages: PageTable): MetaPoint {
  const present: number[] = [];
  const missing = { absent: [] as number[], unreadable: [] as number[] };
  const codes: string[] = [];
  for (const [address, read] of point.pages) {
    const pageNumber = Number(address >> 12n);
    if (read.state === "present") {
      present.push(pageNumber, pages.indexOf(read.bytes));
    } else {
      if (!codes.includes(read.code)) codes.push(read.code);
      missing[read.state].push(pageNumber, codes.indexOf(read.code));
    }
  }
  const { id, kind, time, cpu, complete } = point;
  return {
    id,
    kind,
    time,
    cpu,
    registers: point.registers.map((row) => row.map(encodeRegister)),
    memoryRanges: point.memoryRanges.map((range) => ({ ...range, start: hex(range.start), size: hex(range.size) })),
    present,
    ...missing,
    codes,
    images: encodeFoundImages(point.images),
    complete,
  };
}

function encodeRegister(read: RegisterRead): string {
  if (read.state === "present") return hexOfBytes(read.bytes);
  return read.state === "unavailable" ? "-" : "?";
}

/** The capture in the bytes of an `.ebs` file; throws what is wrong with them. `name` is for messages. */
export function decodeCapture(bytes: Uint8Array, name: string): Capture {
  const file = printable(name, 100);
  const chunks = readChunks(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), file);
  const meta = readMeta(need(chunks, "META", file), file);
  const pages = readPages(need(chunks, "PAGE", file), file);
  if (new Set(meta.points.map(({ id }) => id)).size !== meta.points.length)
    throw corrupt(file, "two points have one name");
  const writes = chunks.get("BLAM");
  return {
    createdAt: meta.createdAt,
    createdBy: meta.createdBy,
    qemuVersion: meta.qemuVersion ?? undefined,
    architecture: meta.architecture,
    threads: meta.threads,
    registers: meta.registers,
    efi: decodeRoots(meta.efi),
    attempts: meta.attempts.map(decodeAttempt),
    memoryMap: decodeMemoryMap(meta.memoryMap),
    points: meta.points.map((point) => decodePoint(point, meta, pages, file)),
    notes: meta.notes,
    symbols: decodeSymbols(meta.symbols),
    blame: writes && decodeBlame(writes, { file, cpus: meta.threads.length, points: meta.points.length, pages }),
    partial: meta.partial === null ? undefined : { code: errorCode(meta.partial.code), message: meta.partial.message },
  };
}

function readChunks(file: Buffer, name: string): ReadonlyMap<string, Buffer> {
  if (!file.subarray(0, MAGIC.length).equals(MAGIC.subarray(0, file.length)) || file.length === 0) {
    throw new EbscopeError("not-a-capture", `Cannot read ${name}: it is no ebscope capture`);
  }
  if (file.length < HEADER_SIZE) throw truncated(name);
  const version = file.readUInt32LE(8);
  if (version > VERSION) {
    throw new EbscopeError(
      "capture-newer",
      `Cannot read ${name}: its format is version ${version}, this ebscope reads ${VERSION}`,
    );
  }
  if (version !== VERSION) throw corrupt(name, `format version ${version} never existed`);
  const chunks = new Map<string, Buffer>();
  for (let at = HEADER_SIZE; !chunks.has("END "); ) {
    if (at + CHUNK_HEADER_SIZE > file.length) throw truncated(name);
    const type = file.toString("latin1", at, at + 4);
    const start = at + CHUNK_HEADER_SIZE;
    const end = start + file.readUInt32LE(at + 4);
    if (end > file.length) throw truncated(name);
    const contents = file.subarray(start, end);
    if (crc32(contents) !== file.readUInt32LE(at + 8))
      throw corrupt(name, `the checksum of part ${JSON.stringify(printable(type))} is wrong`);
    chunks.set(type, contents);
    at = end;
  }
  return chunks;
}

function need(chunks: ReadonlyMap<string, Buffer>, type: string, name: string): Buffer {
  const contents = chunks.get(type);
  if (contents === undefined) throw corrupt(name, `it has no part ${type}`);
  return contents;
}

function readMeta(contents: Buffer, name: string): Meta {
  let value: unknown;
  try {
    value = JSON.parse(inflateSync(contents, { maxOutputLength: MAX_META }).toString("utf8"));
  } catch (cause) {
    throw corrupt(name, "its description is unreadable", cause);
  }
  // Before the schema, whose check of so many would take its time.
  if (rowsIn(value) > MAX_ROWS) throw corrupt(name, "it has too many points for its vCPUs");
  if (Check(META_SCHEMA, value)) return value;
  const [, [first]] = Errors(META_SCHEMA, value);
  throw corrupt(name, `its description is wrong at ${printable(String(first?.instancePath ?? "/"), 80)}`);
}

/** Rows of registers, as far as the lists of points and vCPUs are lists; more than there may be for more points than there may be. */
function rowsIn(value: unknown): number {
  const { points, threads } = (value ?? {}) as { points?: unknown; threads?: unknown };
  if (!Array.isArray(points) || !Array.isArray(threads)) return 0;
  return points.length > MAX_POINTS ? Number.POSITIVE_INFINITY : points.length * threads.length;
}

function readPages(contents: Buffer, name: string): Uint8Array[] {
  const count = contents.length >= 4 ? contents.readUInt32LE(0) : Number.NaN;
  if (!(count <= MAX_PAGES)) throw corrupt(name, "its number of pages is wrong");
  let bytes: Buffer;
  try {
    const length = Math.max(count * PAGE_SIZE, 1);
    // In pieces of zlib's usual 16 KiB most of the time would go into putting them together.
    const chunkSize = Math.min(Math.max(length, MIN_CHUNK), MAX_CHUNK);
    bytes = inflateSync(contents.subarray(4), { maxOutputLength: length, chunkSize });
  } catch (cause) {
    throw corrupt(name, "its pages are unreadable", cause);
  }
  if (bytes.length !== count * PAGE_SIZE) throw corrupt(name, "its pages are incomplete");
  return Array.from({ length: count }, (_, i) => bytes.subarray(i * PAGE_SIZE, (i + 1) * PAGE_SIZE));
}

function decodePoint(point: MetaPoint, meta: Meta, pages: readonly Uint8Array[], name: string): Point {
  const where = `point ${point.id}`;
  if (point.registers.length !== meta.threads.length || point.cpu >= meta.threads.length) {
    throw corrupt(name, `${where} does not fit the vCPUs`);
  }
  const reads = new Map<PhysAddr, MemoryRead>();
  for (const [pageNumber, index] of pairs(point.present, name)) {
    const bytes = pages[index];
    if (bytes === undefined) throw corrupt(name, `${where} refers to a page that is not there`);
    reads.set(address(pageNumber), { state: "present", bytes });
  }
  for (const state of ["absent", "unreadable"] as const) {
    for (const [pageNumber, index] of pairs(point[state], name)) {
      reads.set(address(pageNumber), { state, code: errorCode(point.codes[index] ?? "") });
    }
  }
  return {
    id: point.id,
    kind: point.kind,
    time: point.time,
    cpu: point.cpu,
    registers: point.registers.map((row) => {
      if (row.length !== meta.registers.length) throw corrupt(name, `${where} does not fit the registers`);
      return row.map((text, i) => decodeRegister(text, (meta.registers[i] as Meta["registers"][number]).bits, name));
    }),
    memoryRanges: point.memoryRanges.map((range) => ({
      start: phys(BigInt(range.start)),
      size: BigInt(range.size),
      kind: range.kind,
      name: range.name,
    })),
    pages: reads,
    images: decodeFoundImages(point.images),
    complete: point.complete,
  };
}

function address(pageNumber: number): PhysAddr {
  return phys(BigInt(pageNumber) << 12n);
}

function* pairs(numbers: readonly number[], name: string): Generator<readonly [number, number]> {
  if (numbers.length % 2 !== 0) throw corrupt(name, "a list of pages is cut");
  for (let i = 0; i < numbers.length; i += 2) yield [numbers[i] as number, numbers[i + 1] as number];
}

function decodeRegister(text: string, bits: number, name: string): RegisterRead {
  if (text === "-") return { state: "unavailable" };
  if (text === "?") return { state: "unreadable" };
  const bytes = bytesOfHex(text);
  if (bytes === undefined || bytes.length !== Math.ceil(bits / 8)) throw corrupt(name, "a register has the wrong size");
  return { state: "present", bytes };
}

function errorCode(text: string): ErrorCode {
  return isErrorCode(text) ? text : "read-failed";
}
