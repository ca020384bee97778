/**
 * Memory as a vCPU sees it, translated by the stub: an `m` for each piece, with the vCPU selected.
 *
 * The physical memory mode (see rsp-memory.ts) is off between batches unless somebody had left it on before us; then it is taken off here
 * and put back in the same write.
 */

import { decodeDigits } from "../../base/hex.ts";
import type { MemoryRead, VirtSpan } from "../../base/memory.ts";
import { latin1 } from "../../base/text.ts";
import type { BatchRequest } from "../../rsp/connection.ts";
import type { SelectedCpu } from "../selected-cpu.ts";
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
  stub: SelectedCpu,
  { cpu, packetSize, physMode }: SeenBy,
  spans: readonly VirtSpan[],
): Promise<MemoryRead[]> {
  const pieces = spans.flatMap((span, index) => piecesOf(span, index, packetSize >> 1));
  if (pieces.length === 0) return [];
  const buffers = spans.map(({ length }) => new Uint8Array(length));
  const results: MemoryRead[] = buffers.map((bytes) => ({ state: "present", bytes }));
  const requests = physMode ? [modeRequest("0"), ...pieces, modeRequest("1")] : pieces;
  const first = physMode ? 1 : 0;
  let ready = true;
  await stub.batch(cpu, requests, (reply, i, selected) => {
    const piece = pieces[i - first];
    if (piece === undefined) ready &&= i >= first || latin1(reply) === "OK";
    else if (!ready || !selected || !isPlaced(reply, piece, buffers[piece.span] as Uint8Array))
      results[piece.span] = UNREADABLE;
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

function modeRequest(mode: string): BatchRequest {
  return { payload: `Qqemu.PhyMemMode:${mode}`, label: "switching physical memory mode" };
}
