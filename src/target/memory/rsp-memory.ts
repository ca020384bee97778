/**
 * Guest memory through the stub.
 *
 * Source: "Debugging with GDB", appendix E, `m`; QEMU's docs/system/gdb.rst for `Qqemu.PhyMemMode`. The mode is a global of the QEMU process
 * that outlives connections: each batch sets it first and puts back what was found last, in the same pipelined write, so that it is never
 * left set between batches. Physical reads where there is no memory give zeros (up to 10.2), and reads of device registers have side
 * effects: only RAM and ROM ranges are read. A read is half a packet long at most: two hex digits a byte.
 */
import { PAGE_SIZE, type PhysAddr } from "../../base/address.ts";
import { EbscopeError } from "../../base/error.ts";
import { decodeDigits } from "../../base/hex.ts";
import type { MemoryRange, MemoryRead, PhysMemory, PhysSpan } from "../../base/memory.ts";
import { latin1 } from "../../base/text.ts";
import type { Label } from "../../rsp/command.ts";
import type { BatchRequest, Connection } from "../../rsp/connection.ts";
import { rangeOf } from "../memory-map.ts";

const ABSENT: MemoryRead = { state: "absent", code: "outside-memory" };

export class RspMemory implements PhysMemory {
  /** What may be read: RAM and ROM as last told, ascending. */
  ranges: readonly MemoryRange[] = [];
  readonly #connection: Connection;
  readonly #maxRead: number;
  readonly #foundPhysMode: string;

  /** `foundPhysMode` is what the stub's memory mode was found at and is put back to. */
  constructor(connection: Connection, stub: { readonly packetSize: number; readonly foundPhysMode: string }) {
    this.#connection = connection;
    this.#foundPhysMode = stub.foundPhysMode;
    this.#maxRead = Math.floor(stub.packetSize / 2 / PAGE_SIZE) * PAGE_SIZE || stub.packetSize / 2;
  }

  /** Whether the stub would be asked now: the guest is halted and the connection stands. */
  get halted(): boolean {
    return !this.#connection.running && !this.#connection.closed;
  }

  async read(spans: readonly PhysSpan[]): Promise<MemoryRead[]> {
    const results: MemoryRead[] = spans.map(() => ABSENT);
    const parts = this.#parts(spans);
    if (parts.length === 0) return results;
    const requests = [physModeRequest("1"), ...parts, physModeRequest(this.#foundPhysMode)];
    let refused = false;
    await this.#connection.batch(requests, (reply, i) => {
      const part = parts[i - 1];
      if (part === undefined) refused ||= latin1(reply) !== "OK";
      else if (!part.place(reply)) results[part.span] = { state: "unreadable", code: "read-failed" };
      else if (results[part.span] === ABSENT) results[part.span] = { state: "present", bytes: part.bytes };
    });
    if (refused) {
      throw new EbscopeError("stub-refused", "Cannot read physical memory: the stub refused Qqemu.PhyMemMode");
    }
    return results;
  }

  /** The spans in pieces that the stub reads at once; none of a span that is not all RAM or ROM. One allocation holds them all. */
  #parts(spans: readonly PhysSpan[]): ReadPart[] {
    const readable = spans.map(({ address, length }) => rangeOf(this.ranges, address, length) !== undefined);
    const total = spans.reduce((sum, { length }, i) => sum + (readable[i] ? aligned(length) : 0), 0);
    const all = Buffer.allocUnsafeSlow(total);
    const parts: ReadPart[] = [];
    let place = 0;
    spans.forEach(({ address, length }, span) => {
      if (!readable[span]) return;
      const bytes = all.subarray(place, place + length);
      place += aligned(length);
      for (let at = 0; at < length; at += this.#maxRead) {
        parts.push(new ReadPart(span, bytes, at, Math.min(this.#maxRead, length - at), address));
      }
    });
    return parts;
  }
}

/** So that words in each span can be looked at as words. */
function aligned(length: number): number {
  return (length + 7) & ~7;
}

function physModeRequest(mode: string): BatchRequest {
  return { payload: `Qqemu.PhyMemMode:${mode}`, label: "switching physical memory mode" };
}

/** Below, sums of addresses and lengths are exact as numbers, which are quicker to print than bigints. */
const EXACT = 1n << 52n;

/** A piece of a span and the request for it, one object: a batch of thousands has as many of them. */
class ReadPart implements BatchRequest {
  /** Index of the span. */
  readonly span: number;
  /** The bytes of the whole span; those of the piece go to `#at`. */
  readonly bytes: Buffer;
  readonly payload: string;
  readonly #at: number;
  readonly #length: number;

  constructor(span: number, bytes: Buffer, at: number, length: number, spanAddress: PhysAddr) {
    this.span = span;
    this.bytes = bytes;
    this.#at = at;
    this.#length = length;
    const where = spanAddress < EXACT ? Number(spanAddress) + at : spanAddress + BigInt(at);
    this.payload = `m${where.toString(16)},${length.toString(16)}`;
  }

  get label(): Label {
    return () => `reading ${this.#length} bytes at physical 0x${this.payload.slice(1, this.payload.indexOf(","))}`;
  }

  /** Puts the bytes of a reply in place; false when it is not exactly the bytes that were asked for. */
  place(reply: Uint8Array): boolean {
    return reply.length === 2 * this.#length && decodeDigits(reply, this.bytes, this.#at);
  }
}
