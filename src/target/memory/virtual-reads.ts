/**
 * Memory as a vCPU sees it, translated by the stub: `Hg`, then `m` for each piece.
 *
 * The physical memory mode (see rsp-memory.ts) is off between batches unless somebody had left it on before us; then it is taken off here
 * and put back in the same write.
 */

import { decodeDigits } from "../../base/hex.ts";
import type { MemoryRead, VirtSpan } from "../../base/memory.ts";
import { latin1 } from "../../base/text.ts";
import type { BatchRequest, Connection } from "../../rsp/connection.ts";
import type { Cpu } from "../target.ts";

export interface SeenBy {
  readonly cpu: Cpu;
  readonly packetSize: number;
  /** Whether the mode is on between batches. */
  readonly physMode: boolean;
}

const UNREADABLE: MemoryRead = { state: "unreadable", code: "read-failed" };

/** One answer a span, in their order; one that the stub does not give as asked is unreadable. */
export async function readVirtual(
  connection: Connection,
  { cpu, packetSize, physMode }: SeenBy,
  spans: readonly VirtSpan[],
): Promise<MemoryRead[]> {
  const pieces = spans.flatMap((span, index) => piecesOf(span, index, packetSize >> 1));
  if (pieces.length === 0) return [];
  const buffers = spans.map(({ length }) => new Uint8Array(length));
  const results: MemoryRead[] = buffers.map((bytes) => ({ state: "present", bytes }));
  const before = [...(physMode ? [modeRequest("0")] : []), selection(cpu)];
  const after = physMode ? [modeRequest("1")] : [];
  let ready = true;
  await connection.batch([...before, ...pieces, ...after], (reply, i) => {
    const piece = pieces[i - before.length];
    if (piece === undefined) ready &&= i >= before.length || latin1(reply) === "OK";
    else if (!ready || !isPlaced(reply, piece, buffers[piece.span] as Uint8Array)) results[piece.span] = UNREADABLE;
  });
  return results;
}

interface Piece extends BatchRequest {
  /** Index of the span, where in it the piece begins, and its bytes. */
  readonly span: number;
  readonly at: number;
  readonly length: number;
}

function piecesOf({ address, length }: VirtSpan, span: number, most: number): Piece[] {
  return Array.from({ length: Math.ceil(length / most) }, (_, i) => {
    const at = i * most;
    const size = Math.min(most, length - at);
    const where = BigInt.asUintN(64, address + BigInt(at)).toString(16);
    const label = (): string => `reading ${size} bytes at virtual 0x${where}`;
    return { span, at, length: size, payload: `m${where},${size.toString(16)}`, label };
  });
}

function isPlaced(reply: Uint8Array, { at, length }: Piece, into: Uint8Array): boolean {
  return reply.length === 2 * length && decodeDigits(reply, into, at);
}

function selection({ thread, index }: Cpu): BatchRequest {
  return { payload: `Hg${thread}`, label: () => `selecting vCPU ${index}` };
}

function modeRequest(mode: string): BatchRequest {
  return { payload: `Qqemu.PhyMemMode:${mode}`, label: "switching physical memory mode" };
}
