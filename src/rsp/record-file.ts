/**
 * A file that grows while a session runs, and must not disturb it. What is appended is on its way to the file in the same turn of the
 * event loop, and at the exit of this process whatever ends it (but SIGKILL), so that a crash keeps what led to it. A disk that
 * fills up ends the recording, with a word to who opened it, and never the session.
 */
import { closeSync, openSync, statSync, writeSync } from "node:fs";
import { EbscopeError } from "../base/error.ts";
import { systemError, systemReason } from "../base/system-error.ts";
import { printable } from "../base/text.ts";

/** Bytes that are not kept back until the end of the turn. */
const LARGE = 1 << 20;

export class RecordFile {
  readonly path: string;
  readonly #onFailure: (error: EbscopeError) => void;
  #descriptor: number | undefined;
  #parts: Uint8Array[] = [];
  #length = 0;
  #flushing = false;
  readonly #atExit = (): void => this.#flush();

  /** Creates the file, or empties it. Throws `file-unwritable`; later failures are told to `onFailure`, once. */
  constructor(path: string, onFailure: (error: EbscopeError) => void) {
    this.path = path;
    this.#onFailure = onFailure;
    try {
      // Opening a pipe that nobody reads would wait for ever.
      const existing = statSync(path, { throwIfNoEntry: false });
      if (existing !== undefined && !existing.isFile() && !existing.isDirectory()) throw systemError("ENOTREG");
      this.#descriptor = openSync(path, "w");
    } catch (cause) {
      throw this.#failure("record the session in", cause);
    }
    process.on("exit", this.#atExit);
  }

  /** Whether it was closed, or has failed. */
  get closed(): boolean {
    return this.#descriptor === undefined;
  }

  /** `bytes` must not change afterwards. Never throws. */
  append(bytes: Uint8Array): void {
    if (this.#descriptor === undefined || bytes.length === 0) return;
    this.#parts.push(bytes);
    this.#length += bytes.length;
    if (this.#length >= LARGE) this.#flush();
    else if (!this.#flushing) {
      this.#flushing = true;
      setImmediate(() => this.#flush());
    }
  }

  /** Writes what is left. Never throws; closing twice is nothing. */
  close(): void {
    this.#flush();
    this.#end();
  }

  #flush(): void {
    this.#flushing = false;
    const parts = this.#parts;
    this.#parts = [];
    this.#length = 0;
    if (this.#descriptor === undefined || parts.length === 0) return;
    try {
      writeWhole(this.#descriptor, parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts));
    } catch (cause) {
      this.#end();
      this.#onFailure(this.#failure("go on recording the session in", cause));
    }
  }

  #end(): void {
    const descriptor = this.#descriptor;
    if (descriptor === undefined) return;
    this.#descriptor = undefined;
    process.removeListener("exit", this.#atExit);
    try {
      closeSync(descriptor);
    } catch {
      // What could be written has been.
    }
  }

  #failure(doing: string, cause: unknown): EbscopeError {
    const message = `Cannot ${doing} ${printable(this.path)}: ${systemReason(cause)}`;
    return new EbscopeError("file-unwritable", message, { cause });
  }
}

/** A nearly full disk takes a part of what it is given. */
function writeWhole(descriptor: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
}
