/**
 * `qXfer:OBJECT:read`: documents and other objects that a stub hands out in pieces.
 *
 * Source: "Debugging with GDB", appendix E, General Query Packets (qXfer). `m` and data: there may be more behind it, and at least one byte
 * came; `l` and data: this is the end. The data is binary; its escapes are the framing's affair and undone here. A piece may be shorter
 * than asked for, and the next one begins where it ended.
 *
 * Objects: `features` (annex `target.xml`), `memory-map`, `threads`, `auxv` (no annex), and others as the stub says in qSupported.
 *
 * Quirks: QEMU up to 10.1 gives half of what was asked for; an annex it does not have, or an offset behind the end, is E00. A piece does not say
 * where it belongs: a stub that always sends the first one is only found by the bounds, or by whoever reads the document.
 */
import { EbscopeError } from "../../base/error.ts";
import { printable } from "../../base/text.ts";
import { type Command, decodeReply } from "../command.ts";
import { type Answered, badArgument, hexLength, hexNumber, type Send } from "./wire.ts";

export interface ObjectPiece {
  readonly bytes: Uint8Array;
  /** Nothing comes behind it. */
  readonly last: boolean;
}

const LOWER_L = 0x6c;
const LOWER_M = 0x6d;

/** One piece of an object, at most `length` bytes from `offset` on; a longer one, or `m` without data, is `malformed`. */
export function readObjectPiece(object: string, annex: string, offset: number, length: number): Command<ObjectPiece> {
  if (!/^[\w-]{1,60}$/.test(object)) throw badArgument(`${JSON.stringify(object)} is no object's name`);
  if (!isAnnex(annex)) throw badArgument(`${JSON.stringify(annex)} is no annex`);
  return {
    payload: `qXfer:${object}:read:${annex}:${hexNumber(offset, "the offset")},${hexLength(length)}`,
    label: () => `reading ${objectName(object, annex)}`,
    decode: (reply) => decodeReply(reply, (bytes) => piece(bytes, length)),
  };
}

/** Whether an annex can stand in a packet; to be asked before one is used that the stub itself named (`xi:include`). */
export function isAnnex(text: string): boolean {
  return /^[\w.+/@=,;-]{0,200}$/.test(text);
}

function objectName(object: string, annex: string): string {
  return annex === "" ? object : `${object} ${annex}`;
}

function piece(reply: Uint8Array, length: number): ObjectPiece | undefined {
  const last = reply[0] === LOWER_L;
  if ((!last && reply[0] !== LOWER_M) || reply.length - 1 > length) return undefined;
  return last || reply.length > 1 ? { bytes: new Uint8Array(reply.subarray(1)), last } : undefined;
}

export interface ObjectBounds {
  /** Bytes asked for at once; the reply has to fit the packet size. Default 4091, what fits QEMU's 4096. */
  readonly pieceLength?: number;
  /** Bytes of the whole object. Default 4 MiB. */
  readonly maxBytes?: number;
  /** Pieces it may come in. Default 8192. */
  readonly maxPieces?: number;
}

/**
 * A whole object. That the stub does not have it is told by the reply; an object that does not end, or a piece that the protocol does not
 * allow, raises `protocol-error`.
 */
export async function readObject(
  send: Send,
  object: string,
  annex: string = "",
  { pieceLength = 4091, maxBytes = 4 << 20, maxPieces = 8192 }: ObjectBounds = {},
): Promise<Answered<Uint8Array>> {
  const pieces: Uint8Array[] = [];
  let offset = 0;
  while (pieces.length < maxPieces && offset <= maxBytes) {
    const reply = await send(readObjectPiece(object, annex, offset, pieceLength));
    if (reply.kind === "error" || (reply.kind === "unsupported" && offset === 0)) return reply;
    if (reply.kind !== "ok") throw unusable(object, annex, "the stub sent no piece of it, or more than was asked for");
    pieces.push(reply.value.bytes);
    offset += reply.value.bytes.length;
    if (reply.value.last && offset <= maxBytes) return { kind: "ok", value: Buffer.concat(pieces) };
    if (reply.value.last) break;
  }
  throw unusable(object, annex, offset > maxBytes ? `it is longer than ${maxBytes} bytes` : "it does not end");
}

function unusable(object: string, annex: string, why: string): EbscopeError {
  return new EbscopeError(
    "protocol-error",
    `Cannot read the stub's ${printable(objectName(object, annex), 80)}: ${why}`,
  );
}
