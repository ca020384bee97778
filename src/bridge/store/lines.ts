/** The lines of a file in pieces of bounded size, with the places where they stand. */
import type { FileHandle } from "node:fs/promises";
import { readAt } from "./files.ts";
import { MAX_LINE } from "./record.ts";

const CHUNK = 256 << 10;
const LINE_FEED = 0x0a;

export interface Line {
  /** Without the line feed; only until the visitor returns. Undefined for a line longer than any that was ever written. */
  readonly bytes: Buffer | undefined;
  /** Where it begins in the file. */
  readonly start: number;
  /** Behind its line feed. */
  readonly end: number;
}

/** The bytes behind the last line feed. */
export interface Rest {
  readonly start: number;
  readonly bytes: Buffer | undefined;
}

/** Visits the lines between two places of a file until the visitor says `false`; what is left is the rest. */
export async function visitLines(
  file: FileHandle,
  from: number,
  to: number,
  visit: (line: Line) => boolean,
): Promise<Rest> {
  const splitter = new LineSplitter(from);
  for (let at = from; at < to; ) {
    const chunk = await readAt(file, Math.min(CHUNK, to - at), at);
    if (chunk.length === 0 || !splitter.push(chunk, visit)) break;
    at += chunk.length;
  }
  return splitter.rest;
}

class LineSplitter {
  #start: number;
  #parts: Buffer[] = [];
  #length = 0;

  constructor(start: number) {
    this.#start = start;
  }

  get rest(): Rest {
    const [only] = this.#parts;
    const bytes = only !== undefined && this.#parts.length === 1 ? only : Buffer.concat(this.#parts);
    return { start: this.#start, bytes: this.#length > MAX_LINE ? undefined : bytes };
  }

  /** False when the visitor has had enough. */
  push(chunk: Buffer, visit: (line: Line) => boolean): boolean {
    let from = 0;
    for (let feed = chunk.indexOf(LINE_FEED); feed >= 0; feed = chunk.indexOf(LINE_FEED, from)) {
      this.#keep(chunk.subarray(from, feed));
      from = feed + 1;
      const { start, bytes } = this.rest;
      this.#start = start + this.#length + 1;
      this.#parts = [];
      this.#length = 0;
      if (!visit({ bytes, start, end: this.#start })) return false;
    }
    this.#keep(chunk.subarray(from));
    return true;
  }

  #keep(part: Buffer): void {
    this.#length += part.length;
    // Beyond the bound only the length counts.
    if (this.#length > MAX_LINE) this.#parts = [];
    else if (part.length > 0) this.#parts.push(part);
  }
}
