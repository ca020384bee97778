/**
 * Bytes of one direction, cut anywhere, into the pieces that a recording is made of. Unlike the decoder it judges nothing: a packet with
 * a wrong checksum is a packet, and the pieces in their order are the bytes that came, each of them.
 *
 * Source: "Debugging with GDB", appendix E, E.1 Overview. A packet goes from `$` (`%` for a notification) to the first `#` and the two
 * bytes after it: `#` cannot stand inside, it is escaped.
 */

export type PieceKind =
  | "packet"
  | "notification"
  /** One or more `+`. */
  | "acks"
  /** One or more `-`. */
  | "naks"
  /** 0x03, alone. */
  | "interrupt"
  /** Bytes that begin no packet, or the middle of one that is too long. */
  | "other";

/** Bytes are a view of what was pushed, or memory of their own. */
export type OnPiece = (kind: PieceKind, bytes: Uint8Array) => void;

const INTERRUPT = 0x03;
const HASH = 0x23;
const DOLLAR = 0x24;
const PERCENT = 0x25;
const PLUS = 0x2b;
const MINUS = 0x2d;
/** An unfinished packet longer than this is passed on as it is. */
const MAX_HELD = 4 << 20;

export class Splitter {
  /** The beginning of a packet whose end has not come. */
  #held: Uint8Array[] = [];
  #heldLength = 0;
  /** Bytes that the packet still lacks, once its `#` has come. */
  #missing: number | undefined;

  /** `chunk` is borrowed: what has to wait is copied. */
  push(chunk: Uint8Array, onPiece: OnPiece): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let at = this.#heldLength > 0 ? this.#finish(bytes, onPiece) : 0;
    while (at < bytes.length) at = this.#piece(bytes, at, onPiece);
  }

  /** Takes what is left of a packet that was cut; empty when there is none. */
  rest(): Uint8Array {
    const rest = this.#held.length === 1 ? (this.#held[0] as Uint8Array) : Buffer.concat(this.#held);
    this.#held = [];
    this.#heldLength = 0;
    this.#missing = undefined;
    return rest;
  }

  /** Adds to the packet that is held; returns where the next piece begins. */
  #finish(bytes: Buffer, onPiece: OnPiece): number {
    let end = this.#missing;
    if (end === undefined) {
      const hash = bytes.indexOf(HASH);
      if (hash >= 0) end = hash + 3;
    }
    if (end === undefined || end > bytes.length) {
      this.#hold(bytes, end === undefined ? undefined : end - bytes.length);
      if (this.#heldLength > MAX_HELD) onPiece("other", this.rest());
      return bytes.length;
    }
    this.#hold(bytes.subarray(0, end), 0);
    const packet = this.rest();
    onPiece(frameKind(packet[0]), packet);
    return end;
  }

  #hold(bytes: Buffer, missing: number | undefined): void {
    this.#held.push(new Uint8Array(bytes));
    this.#heldLength += bytes.length;
    this.#missing = missing;
  }

  #piece(bytes: Buffer, start: number, onPiece: OnPiece): number {
    const first = bytes[start] as number;
    if (first === DOLLAR || first === PERCENT) return this.#frame(bytes, start, onPiece);
    let end = start + 1;
    if (first === PLUS || first === MINUS) while (bytes[end] === first) end++;
    else if (first !== INTERRUPT) while (end < bytes.length && !beginsPiece(bytes[end] as number)) end++;
    onPiece(shortKind(first), bytes.subarray(start, end));
    return end;
  }

  #frame(bytes: Buffer, start: number, onPiece: OnPiece): number {
    const hash = bytes.indexOf(HASH, start + 1);
    const end = hash + 3;
    if (hash < 0 || end > bytes.length) {
      this.#hold(bytes.subarray(start), hash < 0 ? undefined : end - bytes.length);
      return bytes.length;
    }
    onPiece(frameKind(bytes[start]), bytes.subarray(start, end));
    return end;
  }
}

function frameKind(first: number | undefined): PieceKind {
  return first === PERCENT ? "notification" : "packet";
}

function shortKind(first: number): PieceKind {
  if (first === PLUS) return "acks";
  if (first === MINUS) return "naks";
  return first === INTERRUPT ? "interrupt" : "other";
}

function beginsPiece(byte: number): boolean {
  return byte === DOLLAR || byte === PERCENT || byte === PLUS || byte === MINUS || byte === INTERRUPT;
}
