/** Captures on disk. */
import { randomBytes } from "node:crypto";
import { type FileHandle, open, readFile, rename, rm, stat } from "node:fs/promises";
import { EbscopeError } from "../base/error.ts";
import { systemError, systemReason } from "../base/system-error.ts";
import { printable } from "../base/text.ts";
import { decodeCapture, encodeCapture } from "./file.ts";
import type { Capture } from "./model.ts";

const MAX_FILE = 2 ** 30;

/** Reads a capture; throws an EbscopeError that says what is wrong with the file. */
export async function readCapture(path: string): Promise<Capture> {
  let bytes: Uint8Array;
  try {
    const about = await stat(path);
    // A pipe or a device has no size and may never end.
    if (!about.isFile() && !about.isDirectory()) {
      throw new EbscopeError("not-a-capture", `Cannot read ${printable(path)}: it is no regular file`);
    }
    const { size } = about;
    if (size > MAX_FILE)
      throw new EbscopeError("not-a-capture", `Cannot read ${printable(path)}: it is larger than any capture`);
    bytes = await readFile(path);
  } catch (cause) {
    if (cause instanceof EbscopeError) throw cause;
    throw new EbscopeError("file-unreadable", `Cannot read ${printable(path)}: ${systemReason(cause)}`, { cause });
  }
  return decodeCapture(bytes, path);
}

/** Writes a capture whole or not at all: a reader never sees half a file. */
export async function writeCapture(path: string, capture: Capture): Promise<void> {
  await writeWhole(path, encodeCapture(capture));
}

/** Writes a file under another name first, and takes nothing's place that is no file. Throws `file-unwritable`. */
export async function writeWhole(path: string, contents: Uint8Array | string): Promise<void> {
  await besides(path, async (temporary, file) => {
    await file.writeFile(contents);
    await file.sync();
    await rename(temporary, path);
  });
}

/** Throws what `writeCapture` would: to be told before a guest is booted, and not when its handoff has passed. */
export async function checkWritable(path: string): Promise<void> {
  await besides(path, async () => undefined);
}

/** Runs `work` with a new file in the folder of `path`, which is gone afterwards unless `work` renamed it. */
async function besides(path: string, work: (temporary: string, file: FileHandle) => Promise<void>): Promise<void> {
  const temporary = `${path}.${randomBytes(4).toString("hex")}.part`;
  try {
    const existing = await stat(path).catch(() => undefined);
    // A rename would put a file in the place of a device (`--out /dev/null`).
    if (existing !== undefined && !existing.isFile()) throw systemError(existing.isDirectory() ? "EISDIR" : "ENOTREG");
    const file = await open(temporary, "wx");
    try {
      await work(temporary, file);
    } finally {
      await file.close();
      await rm(temporary, { force: true }).catch(() => undefined);
    }
  } catch (cause) {
    throw new EbscopeError("file-unwritable", `Cannot write ${printable(path)}: ${systemReason(cause)}`, { cause });
  }
}
