/** Captures on disk. */
import { randomBytes } from "node:crypto";
import { open, readFile, rename, rm, stat } from "node:fs/promises";
import { EbscopeError } from "../base/error.ts";
import { printable } from "../base/text.ts";
import { decodeCapture, encodeCapture } from "./file.ts";
import type { Capture } from "./model.ts";

const MAX_FILE = 2 ** 30;

/** Reads a capture; throws an EbscopeError that says what is wrong with the file. */
export async function readCapture(path: string): Promise<Capture> {
  let bytes: Uint8Array;
  try {
    const { size } = await stat(path);
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
  const bytes = encodeCapture(capture);
  const temporary = `${path}.${randomBytes(4).toString("hex")}.part`;
  try {
    const file = await open(temporary, "wx");
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new EbscopeError("file-unwritable", `Cannot write ${printable(path)}: ${systemReason(cause)}`, { cause });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "no such file or folder",
  EACCES: "permission denied",
  EISDIR: "it is a folder",
  ENOSPC: "the disk is full",
  EROFS: "the file system is read-only",
  ENOTDIR: "a part of the path is no folder",
};

function systemReason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  return REASONS[code] ?? (code || String(error));
}
