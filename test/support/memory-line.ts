/** A line in memory between a client and a stub: bytes wait on it until they are delivered, and may be damaged. */
import type { Transport } from "../../src/rsp/transport.ts";

export type Direction = "to-stub" | "to-client";

/** One bit of a session's traffic: which way, and which of that way's bits, counted from the first. */
export interface Flip {
  readonly direction: Direction;
  readonly bit: number;
}

export class MemoryLine implements Transport {
  /** Bytes sent so far, each way. */
  readonly sent: Record<Direction, number> = { "to-stub": 0, "to-client": 0 };
  /** What is under way, a piece a write. */
  readonly waiting: Record<Direction, string[]> = { "to-stub": [], "to-client": [] };
  closed = false;
  readonly #flip: Flip | undefined;
  #handlers: Parameters<Transport["start"]>[0] | undefined;

  constructor(flip?: Flip) {
    this.#flip = flip;
  }

  start(handlers: Parameters<Transport["start"]>[0]): void {
    this.#handlers = handlers;
  }

  write(bytes: Uint8Array): void {
    this.put("to-stub", Buffer.from(bytes).toString("latin1"));
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  /** Puts a piece on the line; it is damaged here if it is to be. */
  put(direction: Direction, bytes: string): void {
    const at = this.sent[direction];
    this.sent[direction] += bytes.length;
    this.waiting[direction].push(this.#flip?.direction === direction ? flipped(bytes, this.#flip.bit - at * 8) : bytes);
  }

  /** Hands the client bytes. */
  toClient(bytes: string): void {
    if (!this.closed) this.#handlers?.data(Buffer.from(bytes, "latin1"));
  }
}

function flipped(bytes: string, bit: number): string {
  if (bit < 0 || bit >= bytes.length * 8) return bytes;
  const at = bit >> 3;
  const byte = String.fromCharCode(bytes.charCodeAt(at) ^ (1 << (bit & 7)));
  return bytes.slice(0, at) + byte + bytes.slice(at + 1);
}
