/**
 * A capture in the store: its `.ebs` file with the pages taken out. In the place of the chunk `PAGE` stands `REFS`, the SHA-256 of each
 * page (32 bytes) in order; before the other chunks, which are kept as they are, `INFO` says what the file is (JSON) and `HEAD`
 * holds the header of the `.ebs` file. So the file can be put together again without a look at what a capture means.
 */
import { promisify } from "node:util";
import { deflate, inflate } from "node:zlib";
import { PAGE_SIZE } from "../../base/address.ts";
import {
  type Chunk,
  checkHeader,
  chunkAt,
  chunkParts,
  damaged,
  FILE_HEADER,
  fileHeader,
  readChunks,
} from "./chunks.ts";
import { DIGEST, type Digest, digestOf } from "./pack.ts";

const MAGIC = "\x89EBC\r\n\x1a\n";
const VERSION = 1;
/** The header and `INFO` are not longer: texts of a capture have 4,096 characters, which JSON escapes with six each at most. */
export const INFO_BYTES = 32 << 10;
const MAX_PAGES = 1 << 18;
/** That of the snapshot's own files: the bytes come out the same. */
const PAGE_LEVEL = 4;
/** Hashed before other work gets its turn: some milliseconds. */
const PAGES_AT_ONCE = 512;

const deflateBytes = promisify(deflate);
const inflateBytes = promisify<Buffer, { maxOutputLength: number; chunkSize: number }, Buffer>(inflate);

export interface Info {
  readonly createdAt: string;
  /** Of the `.ebs` file, in bytes. */
  readonly size: number;
}

export interface TakenApart {
  /** Of the file in the store. */
  readonly parts: readonly Uint8Array[];
  readonly pages: ReadonlyMap<Digest, Uint8Array>;
}

/** The `.ebs` file of a capture, as a file of the store and pages. */
export async function takeApart(ebs: Buffer, createdAt: string): Promise<TakenApart> {
  const info: Info = { createdAt, size: ebs.length };
  const pages = new Map<Digest, Uint8Array>();
  const chunks: Chunk[] = [
    { type: "INFO", contents: Buffer.from(JSON.stringify(info)) },
    { type: "HEAD", contents: ebs.subarray(0, FILE_HEADER) },
  ];
  for (const chunk of readChunks(ebs, "the capture")) {
    chunks.push(chunk.type === "PAGE" ? { type: "REFS", contents: await takePages(chunk.contents, pages) } : chunk);
  }
  return { parts: [fileHeader(MAGIC, VERSION), ...chunkParts(chunks)], pages };
}

async function takePages(contents: Uint8Array, pages: Map<Digest, Uint8Array>): Promise<Buffer> {
  const chunk = Buffer.from(contents.buffer, contents.byteOffset, contents.length);
  const size = chunk.readUInt32LE(0) * PAGE_SIZE;
  const chunkSize = Math.min(Math.max(size, 1 << 14), 1 << 24);
  const bytes = await inflateBytes(chunk.subarray(4), { maxOutputLength: Math.max(size, 1), chunkSize });
  const digests: Digest[] = [];
  for (let at = 0; at < bytes.length; at += PAGE_SIZE) {
    if (digests.length % PAGES_AT_ONCE === 0) await new Promise(setImmediate);
    const page = bytes.subarray(at, at + PAGE_SIZE);
    const digest = digestOf(page);
    digests.push(digest);
    pages.set(digest, page);
  }
  return Buffer.from(digests.join(""), "latin1");
}

/** What the first bytes of a file of the store say of it; undefined when they are damaged. */
export function readInfo(start: Buffer): Info | undefined {
  try {
    checkHeader(start, MAGIC, VERSION, "");
    const info: unknown = JSON.parse(Buffer.from(chunkAt(start, FILE_HEADER)?.contents ?? []).toString("utf8"));
    const { createdAt, size } = info as Partial<Info>;
    return typeof createdAt === "string" && Number.isSafeInteger(size) ? { createdAt, size: Number(size) } : undefined;
  } catch {
    return undefined;
  }
}

/** The pages that a file of the store needs, in order; throws what is wrong with the file. */
export function digestsOf(stored: Buffer, name: string): Digest[] {
  const refs = storedChunks(stored, name).find(({ type }) => type === "REFS")?.contents;
  if (refs === undefined || refs.length % DIGEST !== 0 || refs.length > MAX_PAGES * DIGEST) {
    throw damaged(name, "its list of pages is wrong");
  }
  const text = Buffer.from(refs.buffer, refs.byteOffset, refs.length).toString("latin1");
  return Array.from({ length: text.length / DIGEST }, (_, i) => text.slice(i * DIGEST, (i + 1) * DIGEST));
}

/**
 * The `.ebs` file again. `compress`: as the capture had it; otherwise its pages are only wrapped, for who reads it at once. Throws what
 * is wrong with the stored file, or that pages are gone.
 */
export async function putTogether(
  stored: Buffer,
  pages: ReadonlyMap<Digest, Uint8Array>,
  compress: boolean,
  name: string,
): Promise<Buffer> {
  const digests = digestsOf(stored, name);
  const missing = digests.filter((digest) => !pages.has(digest)).length;
  if (missing > 0) throw damaged(name, `${missing} of its ${digests.length} pages are damaged or gone`);
  const bytes = Buffer.concat(digests.map((digest) => pages.get(digest) as Uint8Array));
  const count = Buffer.alloc(4);
  count.writeUInt32LE(digests.length);
  const page = Buffer.concat([count, await deflateBytes(bytes, { level: compress ? PAGE_LEVEL : 0 })]);
  const chunks = storedChunks(stored, name);
  const head = chunks.find(({ type }) => type === "HEAD")?.contents;
  if (head === undefined) throw damaged(name, "it has no part HEAD");
  const own = chunks.filter(({ type }) => type !== "INFO" && type !== "HEAD");
  return Buffer.concat([
    head,
    ...chunkParts(own.map((chunk) => (chunk.type === "REFS" ? { type: "PAGE", contents: page } : chunk))),
  ]);
}

function storedChunks(stored: Buffer, name: string): Chunk[] {
  checkHeader(stored, MAGIC, VERSION, name);
  return readChunks(stored, name);
}
