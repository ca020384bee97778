/**
 * Commands of the remote protocol as values: what goes out, and how the reply is read. One is built by a function of its packet
 * (`readMemory`, `insertBreakpoint`, …), sent by a connection, and its reply decoded into a typed union. A reply is never passed on
 * as a string to be guessed at: an empty one is `unsupported`, `E…` is `error`, and what fits neither is `malformed`.
 *
 * Source: "Debugging with GDB", appendix E, E.1 Overview ("For any command not supported by the stub, an empty response should be
 * returned") and E.2 Packets.
 */
import { latin1, printable } from "../base/text.ts";

/** What is being done, for error messages: "reading SCTLR_EL1". A function is asked only when it is needed. */
export type Label = string | (() => string);

export function labelText(label: Label): string {
  return typeof label === "string" ? label : label();
}

/** What a stub made of a command. */
export type Reply<T> =
  | { readonly kind: "ok"; readonly value: T }
  /** The empty reply: the stub does not know the packet. */
  | { readonly kind: "unsupported" }
  /** `E NN` (its number in `code`) or `E.text`. The text is printable and bounded; `code` is undefined for `E.text`. */
  | { readonly kind: "error"; readonly code: number | undefined; readonly text: string }
  /** Not what the protocol allows as an answer here. `text` is its beginning, printable. */
  | { readonly kind: "malformed"; readonly text: string };

/** One packet and how its reply is read. */
export interface Command<T> {
  /** Unescaped; a string holds one byte a character (latin1). */
  readonly payload: string | Uint8Array;
  readonly label: Label;
  /** Never throws: what it cannot read is `malformed`. The bytes are borrowed and valid only during the call. */
  readonly decode: (reply: Uint8Array) => Reply<T>;
  /** The answer may be a stop reply (`?`). */
  readonly expectsStop?: boolean;
  /** The answer is bytes of any kind (`x` of LLDB's stubs): however it begins, it is no stop reply and no output. */
  readonly anyBytes?: boolean;
  /** Called for each `O` packet before the final reply (qRcmd), with its payload without the `O`. */
  readonly onOutput?: (hexText: string) => void;
}

export const UNSUPPORTED = { kind: "unsupported" } as const;

export function ok<T>(value: T): Reply<T> {
  return { kind: "ok", value };
}

export function malformed(reply: Uint8Array): Reply<never> {
  return { kind: "malformed", text: printable(latin1(reply.subarray(0, 80)), 60) };
}

/**
 * What every command has in common: the empty reply and `E…` are looked at first, the rest is left to `read`; undefined from it is
 * `malformed`. Bytes in hex could look like an error (`E01…` has another length than `ENN`), so only `ENN` and `E.text` count.
 */
export function decodeReply<T>(reply: Uint8Array, read: (reply: Uint8Array) => T | undefined): Reply<T> {
  if (reply.length === 0) return UNSUPPORTED;
  const error = reply[0] === 0x45 ? readError(reply) : undefined;
  if (error !== undefined) return error;
  const value = read(reply);
  return value === undefined ? malformed(reply) : ok(value);
}

function readError(reply: Uint8Array): Reply<never> | undefined {
  const text = latin1(reply.subarray(0, 200));
  if (reply.length === 3 && /^E[0-9a-f]{2}$/i.test(text)) {
    return { kind: "error", code: Number.parseInt(text.slice(1), 16), text };
  }
  return text.startsWith("E.") ? { kind: "error", code: undefined, text: printable(text, 120) } : undefined;
}
