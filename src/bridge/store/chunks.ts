/**
 * Files in chunks: magic (8 bytes), version (u32), flags (u32), then chunks of type (4 characters), length (u32), CRC-32 (u32) and
 * contents, the last one `END `; little-endian (docs/capture-format.md). The store has the same with another magic for its own files.
 */
import { crc32 } from "node:zlib";
import { EbscopeError } from "../../base/error.ts";

export const FILE_HEADER = 16;
const CHUNK_HEADER = 12;
const LAST = "END ";

export interface Chunk {
  readonly type: string;
  readonly contents: Uint8Array;
}

/** The head of a file of the store. */
export function fileHeader(magic: string, version: number): Buffer {
  const header = Buffer.alloc(FILE_HEADER);
  header.write(magic, "latin1");
  header.writeUInt32LE(version, 8);
  return header;
}

/** Throws `capture-newer` or `capture-corrupt` unless the file begins as `fileHeader` says; `name` is for messages. */
export function checkHeader(file: Buffer, magic: string, version: number, name: string): void {
  if (file.length < FILE_HEADER || file.toString("latin1", 0, 8) !== magic) throw damaged(name, "it begins wrong");
  const found = file.readUInt32LE(8);
  if (found === version) return;
  if (found < version) throw damaged(name, `format version ${found} never existed`);
  throw new EbscopeError("capture-newer", `Cannot read ${name}: a newer ebscope wrote it`);
}

/** All chunks, the last one too. */
export function chunkParts(chunks: readonly Chunk[]): Uint8Array[] {
  return chunks.flatMap(({ type, contents }) => {
    const header = Buffer.alloc(CHUNK_HEADER);
    header.write(type, "latin1");
    header.writeUInt32LE(contents.length, 4);
    header.writeUInt32LE(crc32(contents), 8);
    return [header, contents];
  });
}

/** The chunks of a file behind its header; throws `capture-corrupt` unless all are whole and the last one is there. */
export function readChunks(file: Buffer, name: string): Chunk[] {
  const chunks: Chunk[] = [];
  for (let at = FILE_HEADER; chunks.at(-1)?.type !== LAST; ) {
    const chunk = chunkAt(file, at);
    if (chunk === undefined) throw damaged(name, `the part at ${at} is damaged or cut`);
    chunks.push(chunk);
    at += CHUNK_HEADER + chunk.contents.length;
  }
  return chunks;
}

/** The chunk at a place; undefined when it is not whole. */
export function chunkAt(file: Buffer, at: number): Chunk | undefined {
  const start = at + CHUNK_HEADER;
  if (start > file.length) return undefined;
  const end = start + file.readUInt32LE(at + 4);
  if (end > file.length) return undefined;
  const contents = file.subarray(start, end);
  if (crc32(contents) !== file.readUInt32LE(at + 8)) return undefined;
  return { type: file.toString("latin1", at, at + 4), contents };
}

export function damaged(name: string, why: string, cause?: unknown): EbscopeError {
  return new EbscopeError("capture-corrupt", `Cannot read ${name}: ${why}`, { cause });
}
