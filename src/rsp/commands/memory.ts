/**
 * Memory: `m` and `M` in hex, `x` and `X` in binary.
 *
 * Source: "Debugging with GDB", appendix E, Packets; for the older `x`, LLDB's "GDB Remote Protocol Extensions".
 *
 * - A read may give fewer bytes than asked for: those from the start on that could be read. Whoever needs all of them looks at the length.
 * - `x` came with LLDB, whose stubs answer with the bytes as they are (`raw`) and `OK` for no bytes; GDB 16 took the letter over with a
 *   reply that begins with `b` (`prefixed`), announced as `binary-upload+` in qSupported. `probeBinaryRead` tells which one it is.
 *   A raw reply cannot be told from an error when the memory holds the characters of one (`E01`, `E.`): it is taken for the
 *   error, never for data; `m` reads such a place.
 *
 * Quirks: QEMU knows neither `x` nor `X`, answers `m` for more than half its packet size with E22 and for an unmapped address with
 * E14, and drops a request longer than its packet size without a word. A reply to `m` of no bytes would be the empty reply, so no such
 * request can be built.
 */
import { bytesOfHex, hexOfBytes } from "../../base/hex.ts";
import { latin1 } from "../../base/text.ts";
import { type Command, decodeReply } from "../command.ts";
import { type Done, decodeDone, hexLength, hexNumber, isOk } from "./wire.ts";

/** How a stub answers `x`. */
export type BinaryReadStyle = "prefixed" | "raw";

const LOWER_B = 0x62;

/** `m`: at least 1 byte, at most `length`; more than that is `malformed`. */
export function readMemory(address: bigint | number, length: number): Command<Uint8Array> {
  const where = hexNumber(address, "the address");
  return {
    payload: `m${where},${hexLength(length)}`,
    label: () => `reading ${length} bytes at 0x${where}`,
    decode: (reply) => decodeReply(reply, (digits) => memoryOfHex(digits, length)),
  };
}

function memoryOfHex(digits: Uint8Array, length: number): Uint8Array | undefined {
  return digits.length <= 2 * length ? bytesOfHex(latin1(digits)) : undefined;
}

/** `M`. */
export function writeMemory(address: bigint | number, bytes: Uint8Array): Command<Done> {
  const where = hexNumber(address, "the address");
  return {
    payload: `M${where},${bytes.length.toString(16)}:${hexOfBytes(bytes)}`,
    label: () => `writing ${bytes.length} bytes at 0x${where}`,
    decode: decodeDone,
  };
}

/** `x`: as `readMemory`, at half the bytes on the wire. With `prefixed` the value may have no bytes: none could be read. */
export function readMemoryBinary(
  address: bigint | number,
  length: number,
  style: BinaryReadStyle = "prefixed",
): Command<Uint8Array> {
  const where = hexNumber(address, "the address");
  const skip = style === "prefixed" ? 1 : 0;
  return {
    payload: `x${where},${hexLength(length)}`,
    label: () => `reading ${length} bytes at 0x${where}`,
    anyBytes: style === "raw",
    decode: (reply) =>
      decodeReply(reply, (bytes) => {
        if (style === "prefixed" && bytes[0] !== LOWER_B) return undefined;
        return bytes.length - skip <= length ? new Uint8Array(bytes.subarray(skip)) : undefined;
      }),
  };
}

/** `x` of no bytes: how the stub would answer one, if it knows `x` at all. */
export function probeBinaryRead(address: bigint | number = 0n): Command<BinaryReadStyle> {
  return {
    payload: `x${hexNumber(address, "the address")},0`,
    label: "looking for binary reads (x)",
    decode: (reply) =>
      decodeReply(reply, (bytes): BinaryReadStyle | undefined => {
        if (bytes.length === 1 && bytes[0] === LOWER_B) return "prefixed";
        return isOk(bytes) ? "raw" : undefined;
      }),
  };
}

/** `X`. Without bytes it asks only whether the stub knows the packet. */
export function writeMemoryBinary(address: bigint | number, bytes: Uint8Array): Command<Done> {
  const where = hexNumber(address, "the address");
  const head = Buffer.from(`X${where},${bytes.length.toString(16)}:`, "latin1");
  return {
    payload: Buffer.concat([head, bytes]),
    label: () => `writing ${bytes.length} bytes at 0x${where}`,
    decode: decodeDone,
  };
}
