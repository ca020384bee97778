/**
 * Files that survive what may come: written under another name, synced, renamed, and the folder synced too, since a name is on disk
 * only when its folder is (fsync(2)). What the store holds is guest memory: only the user may read it.
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { EbscopeError } from "../../base/error.ts";
import { systemReason } from "../../base/system-error.ts";

export const PRIVATE_FILE = 0o600;
const PRIVATE_FOLDER = 0o700;
const UNFINISHED = ".part";

/** ENOSPC, EDQUOT and EFBIG: no room. EIO: a thinly provisioned disk that is out of room says that as well. */
const FULL = new Set(["ENOSPC", "EDQUOT", "EFBIG", "EIO"]);

/** A failed write as an error of the registry; `action` completes "Cannot …". */
export function writeFailure(action: string, cause: unknown): EbscopeError {
  if (cause instanceof EbscopeError) return cause;
  const code = isFull(cause) ? "store-full" : "file-unwritable";
  return new EbscopeError(code, `Cannot ${action}: ${systemReason(cause)}`, { cause });
}

/** A failed read as an error of the registry; `action` completes "Cannot …". */
export function readFailure(action: string, cause: unknown): EbscopeError {
  if (cause instanceof EbscopeError) return cause;
  return new EbscopeError("file-unreadable", `Cannot ${action}: ${systemReason(cause)}`, { cause });
}

/** Whether the system had no room for a write. */
export function isFull(error: unknown): boolean {
  return FULL.has(systemCode(error));
}

/** The system's code of an error, or nothing. */
export function systemCode(error: unknown): string {
  return (error as NodeJS.ErrnoException | undefined)?.code ?? "";
}

/**
 * Makes a folder and those above it, durably. Rejects with the system's errors. One after the other: node's own way for all of them never
 * ends where the system says ENOENT of a folder whose parent is there, as below /proc.
 */
export async function makeFolder(path: string): Promise<void> {
  const whole = resolve(path);
  const parent = dirname(whole);
  try {
    await mkdir(whole, PRIVATE_FOLDER);
  } catch (error) {
    if (await hasFolder(whole)) return;
    if (systemCode(error) !== "ENOENT" || parent === whole) throw error;
    await makeFolder(parent);
    await mkdir(whole, PRIVATE_FOLDER).catch(async (again) => {
      // Somebody else has just made it.
      if (!(await hasFolder(whole))) throw again;
    });
  }
  await syncFolder(parent);
}

async function hasFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (about) => about.isDirectory(),
    () => false,
  );
}

/** Makes the names in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } catch (error) {
    // Not every file system syncs folders; there is nothing else to be done there.
    if (!["EINVAL", "EPERM", "ENOTSUP"].includes(systemCode(error))) throw error;
  } finally {
    await folder.close();
  }
}

/** Puts a file there whole or not at all; it is on disk when this resolves. Throws the system's errors. */
export async function writeDurably(folder: string, name: string, parts: readonly Uint8Array[]): Promise<void> {
  const temporary = join(folder, `${name}.${randomBytes(4).toString("hex")}${UNFINISHED}`);
  try {
    const file = await open(temporary, "wx", PRIVATE_FILE);
    try {
      await writeAll(file, parts);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, join(folder, name));
    // Where the name may not last, it is not to be there at all.
    await syncFolder(folder).catch((error) =>
      rm(join(folder, name), { force: true }).then(() => Promise.reject(error)),
    );
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** What a killed writer left; only for who has the lock of the folder. */
export async function removeUnfinished(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.endsWith(UNFINISHED)) await rm(join(folder, name), { force: true });
  }
}

async function writeAll(file: FileHandle, parts: readonly Uint8Array[]): Promise<void> {
  let position = 0;
  for (const part of parts) {
    await writeAt(file, part, position);
    position += part.length;
  }
}

/** A nearly full disk takes a part of what it is given, and fails at the next. */
export async function writeAt(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, position + at);
    at += bytesWritten;
  }
}

/** The bytes from `position`; fewer at the end of the file. */
export async function readAt(file: FileHandle, length: number, position: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  let have = 0;
  while (have < length) {
    const { bytesRead } = await file.read(bytes, have, length - have, position + have);
    if (bytesRead === 0) break;
    have += bytesRead;
  }
  return bytes.subarray(0, have);
}
