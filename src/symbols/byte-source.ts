/** Bytes of a symbol file by position: only the parts that are needed are ever read, for a vmlinux with DWARF has a gigabyte. */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { systemError, systemReason } from "../base/system-error.ts";
import { symbolsUnreadable } from "./unreadable.ts";

export interface ByteSource {
  /** What messages call it. */
  readonly path: string;
  readonly size: number;
  /** Exactly `length` bytes from `position` on; rejects with an EbscopeError when the file ends before. */
  read(position: number, length: number): Promise<Buffer>;
}

/** Bytes that are at hand already. */
export function bytesSource(path: string, bytes: Uint8Array): ByteSource {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    path,
    size: all.length,
    read(position, length) {
      if (position + length > all.length) return Promise.reject(symbolsUnreadable(path, "it ends early"));
      return Promise.resolve(all.subarray(position, position + length));
    },
  };
}

/** Opens a regular file for the time that `use` takes. Anything else (a pipe, a device) is refused before it can block. */
export async function withFile<T>(path: string, use: (source: ByteSource) => Promise<T>): Promise<T> {
  const handle = await openRegular(path);
  try {
    const { size } = await handle.stat();
    return await use({ path, size, read: (position, length) => readFully(handle, path, position, length) });
  } finally {
    await handle.close();
  }
}

async function openRegular(path: string): Promise<FileHandle> {
  try {
    const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    if ((await handle.stat()).isFile()) return handle;
    await handle.close();
    throw systemError("ENOTREG");
  } catch (error) {
    throw symbolsUnreadable(path, systemReason(error), error);
  }
}

async function readFully(handle: FileHandle, path: string, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await readSome(handle, path, bytes.subarray(done), position + done);
    if (bytesRead === 0) throw symbolsUnreadable(path, "it ends early");
    done += bytesRead;
  }
  return bytes;
}

async function readSome(handle: FileHandle, path: string, into: Buffer, position: number) {
  try {
    return await handle.read(into, 0, into.length, position);
  } catch (error) {
    throw symbolsUnreadable(path, systemReason(error), error);
  }
}
