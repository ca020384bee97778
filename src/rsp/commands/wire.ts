/**
 * Numbers and short answers as they stand on the wire.
 *
 * Source: "Debugging with GDB", appendix E "GDB Remote Serial Protocol", Overview ("all numbers are represented in hex with leading zeros
 * suppressed"). What a stub sends may have leading zeros (QEMU's thread ids do) and digits of either case; ours never has.
 *
 * A value that cannot be put into a packet is the caller's mistake and raises `usage`; nothing a stub sends ever raises anything here.
 */
import { EbscopeError } from "../../base/error.ts";
import { latin1 } from "../../base/text.ts";
import { type Command, decodeReply, type Reply } from "../command.ts";

/** The answer to a command that has nothing to tell: `OK`. */
export type Done = "OK";

/** A reply that was understood. */
export type Answered<T> = Exclude<Reply<T>, { kind: "malformed" }>;

/** Sends a command and gives its reply: a connection's `send`. */
export type Send = <T>(command: Command<T>) => Promise<Reply<T>>;

/** A packet that cannot be built from the values given. */
export function badArgument(what: string): EbscopeError {
  return new EbscopeError("usage", `Cannot build a packet: ${what}`, {
    next: "Correct the value; the function's comment says what it takes.",
  });
}

/** An unsigned number of at most 64 bits, in hex. */
export function hexNumber(value: bigint | number, what: string): string {
  const fits = typeof value === "bigint" ? value >= 0n && value < 1n << 64n : Number.isSafeInteger(value) && value >= 0;
  if (!fits) throw badArgument(`${what} is ${value}, not a number from 0 to 2^64 - 1`);
  return value.toString(16);
}

/** A length in bytes, at least 1, in hex. */
export function hexLength(length: number): string {
  if (!Number.isSafeInteger(length) || length < 1) throw badArgument(`the length is ${length}, not a number from 1 on`);
  return length.toString(16);
}

/** A signal number as two hex digits: `05`. */
export function hexSignal(signal: number): string {
  if (!Number.isInteger(signal) || signal < 0 || signal > 0xff) throw badArgument(`${signal} is no signal number`);
  return signal.toString(16).padStart(2, "0");
}

/** Hex digits as a number of at most 32 bits, leading zeros aside; undefined for anything else. */
export function smallHex(text: string): number | undefined {
  return /^0{0,8}[0-9a-f]{1,8}$/i.test(text) ? Number.parseInt(text, 16) : undefined;
}

/** Hex digits as a number of at most 64 bits, leading zeros aside; undefined for anything else. */
export function wideHex(text: string): bigint | undefined {
  return /^0{0,16}[0-9a-f]{1,16}$/i.test(text) ? BigInt(`0x${text}`) : undefined;
}

/** Reads the reply of a command that is only answered with `OK`. */
export function decodeDone(reply: Uint8Array): Reply<Done> {
  return decodeReply(reply, (bytes) => (isOk(bytes) ? "OK" : undefined));
}

export function isOk(reply: Uint8Array): boolean {
  return reply.length === 2 && latin1(reply) === "OK";
}

/** As `decodeReply`, for replies that are text of at most `limit` characters. */
export function decodeText<T>(reply: Uint8Array, limit: number, read: (text: string) => T | undefined): Reply<T> {
  return decodeReply(reply, (bytes) => (bytes.length <= limit ? read(latin1(bytes)) : undefined));
}
