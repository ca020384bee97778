/**
 * Stop replies, errors and feature lists of the remote protocol as typed values.
 *
 * Source: "Debugging with GDB", appendix E, Stop Reply Packets: `S` and `T` (stopped by a signal), `W` and `X` (the process exited, or a
 * signal ended it), `w` (a thread exited) and `N` (no resumed thread is left). `T` carries pairs `n:r;`: expedited registers by number,
 * `thread`, `core`, and why it stopped; unknown ones are passed over, as the manual asks.
 *
 * Assumptions: a pair that cannot be read costs that pair, never the stop: a client that misses a stop waits for ever. Counts are bounded.
 *
 * Quirks: QEMU says `T05thread:01;` and from 11.0 on `T05core:01;`; it sends no registers. GDB allows one reason, and several watchpoints when
 * a stub cannot tell which one was hit (`multi-wp-addr`). Exit statuses have one digit or more: gdbserver says `W0;process:2a`, and on
 * Windows they have eight.
 */
import { bytesOfHex } from "../base/hex.ts";
import { latin1, printable } from "../base/text.ts";
import { decodeReply, type Reply } from "./command.ts";
import { parseThreadId, type ThreadId } from "./commands/thread-id.ts";
import { smallHex, wideHex } from "./commands/wire.ts";

export interface Watch {
  readonly kind: "write" | "read" | "access";
  /** The data address. */
  readonly address: bigint;
}

/** Why a thread stopped, where the stub says it. */
export type StopReason =
  | { readonly kind: "watchpoint"; readonly watch: Watch }
  | { readonly kind: "software-breakpoint" }
  | { readonly kind: "hardware-breakpoint" }
  /** The list of loaded libraries has changed. */
  | { readonly kind: "library" }
  /** Replaying came to an end of the log: going backward to `begin`, forward to `end`. */
  | { readonly kind: "replay-log"; readonly at: "begin" | "end" }
  | { readonly kind: "fork" | "vfork" | "clone"; readonly child: ThreadId }
  | { readonly kind: "vfork-done" }
  /** `path` is printable. */
  | { readonly kind: "exec"; readonly path: string }
  | { readonly kind: "thread-created" }
  | { readonly kind: "syscall-entry" | "syscall-return"; readonly number: bigint };

export interface SignalStop {
  readonly kind: "signal";
  /** In GDB's numbering: see `signalName`. */
  readonly signal: number;
  /** The thread that stopped, as the stub names it (`01`, `p1.2`); undefined when the stub does not say. */
  readonly thread: string | undefined;
  readonly threadId: ThreadId | undefined;
  /** The processor core it stopped on. */
  readonly core: number | undefined;
  /** The first of the watchpoints in `reasons`. */
  readonly watch: Watch | undefined;
  readonly reasons: readonly StopReason[];
  /** Expedited registers by number, bytes in target byte order. */
  readonly registers: ReadonlyMap<number, Uint8Array>;
}

export type StopReply =
  | SignalStop
  | { readonly kind: "exited"; readonly status: number; readonly process: bigint | undefined }
  | { readonly kind: "terminated"; readonly signal: number; readonly process: bigint | undefined }
  | { readonly kind: "thread-exited"; readonly status: number; readonly thread: string; readonly threadId: ThreadId }
  | { readonly kind: "no-resumed" };

/** Longer than any stop reply; also bounds the pairs. */
const MAX_STOP_TEXT = 1 << 16;
const MAX_REASONS = 64;
const MAX_PATH = 4096;

/** Parses `S`, `T`, `W`, `X`, `w` and `N` replies; undefined for anything else. */
export function parseStopReply(text: string): StopReply | undefined {
  if (text.length > MAX_STOP_TEXT) return undefined;
  switch (text[0]) {
    case "S":
    case "T":
      return /^.[0-9a-f]{2}/i.test(text) ? signalStop(text) : undefined;
    case "W":
    case "X":
      return processEnd(text);
    case "w":
      return threadEnd(text);
    case "N":
      return text === "N" ? { kind: "no-resumed" } : undefined;
    default:
      return undefined;
  }
}

/** `?`, and what a resume may be answered with at once: a stop, or that the stub refuses it. */
export function decodeStopReply(reply: Uint8Array): Reply<StopReply> {
  return decodeReply(reply, (bytes) => parseStopReply(latin1(bytes)));
}

function processEnd(text: string): StopReply | undefined {
  const [, status = "", rest = ""] = /^.([0-9a-f]{1,16})(?:;(.*))?$/is.exec(text) ?? [];
  const value = smallHex(status);
  if (value === undefined) return undefined;
  const process = rest.startsWith("process:") ? wideHex(rest.slice(8)) : undefined;
  return text[0] === "W" ? { kind: "exited", status: value, process } : { kind: "terminated", signal: value, process };
}

function threadEnd(text: string): StopReply | undefined {
  const [, code = "", thread = ""] = /^w([0-9a-f]{1,16});(.{1,40})$/i.exec(text) ?? [];
  const status = smallHex(code);
  const threadId = parseThreadId(thread);
  if (status === undefined || threadId === undefined) return undefined;
  return { kind: "thread-exited", status, thread, threadId };
}

function signalStop(text: string): SignalStop {
  const details = new StopDetails();
  if (text[0] === "T") {
    for (const pair of text.slice(3).split(";")) {
      const colon = pair.indexOf(":");
      if (colon > 0) details.add(pair.slice(0, colon), pair.slice(colon + 1));
    }
  }
  return { kind: "signal", signal: Number.parseInt(text.slice(1, 3), 16), ...details.all() };
}

/** What the pairs of a `T` reply say. */
class StopDetails {
  #thread: string | undefined;
  #threadId: ThreadId | undefined;
  #core: number | undefined;
  readonly #reasons: StopReason[] = [];
  readonly #registers = new Map<number, Uint8Array>();

  add(key: string, value: string): void {
    if (key === "thread") this.#addThread(value);
    else if (key === "core") this.#core = smallHex(value) ?? this.#core;
    else if (/^[0-9a-f]+$/i.test(key)) this.#addRegister(key, value);
    else this.#addReason(stopReason(key, value));
  }

  #addThread(value: string): void {
    const id = parseThreadId(value);
    if (id === undefined) return;
    this.#thread = value;
    this.#threadId = id;
  }

  #addRegister(key: string, value: string): void {
    const number = smallHex(key);
    const bytes = bytesOfHex(value);
    if (number !== undefined && bytes !== undefined && bytes.length > 0) this.#registers.set(number, bytes);
  }

  #addReason(reason: StopReason | undefined): void {
    if (reason !== undefined && this.#reasons.length < MAX_REASONS) this.#reasons.push(reason);
  }

  all(): Omit<SignalStop, "kind" | "signal"> {
    const hit = this.#reasons.find((reason) => reason.kind === "watchpoint");
    return {
      thread: this.#thread,
      threadId: this.#threadId,
      core: this.#core,
      watch: hit?.watch,
      reasons: this.#reasons,
      registers: this.#registers,
    };
  }
}

function stopReason(key: string, value: string): StopReason | undefined {
  switch (key) {
    case "watch":
      return watchpoint("write", value);
    case "rwatch":
      return watchpoint("read", value);
    case "awatch":
      return watchpoint("access", value);
    case "swbreak":
      return { kind: "software-breakpoint" };
    case "hwbreak":
      return { kind: "hardware-breakpoint" };
    case "library":
      return { kind: "library" };
    case "replaylog":
      return value === "begin" || value === "end" ? { kind: "replay-log", at: value } : undefined;
    default:
      return eventReason(key, value);
  }
}

function watchpoint(kind: Watch["kind"], value: string): StopReason | undefined {
  const address = wideHex(value);
  return address === undefined ? undefined : { kind: "watchpoint", watch: { kind, address } };
}

/** Events of processes and threads: reported only to a client that asked for them. */
function eventReason(key: string, value: string): StopReason | undefined {
  switch (key) {
    case "fork":
    case "vfork":
    case "clone": {
      const child = parseThreadId(value);
      return child === undefined ? undefined : { kind: key, child };
    }
    case "vforkdone":
      return { kind: "vfork-done" };
    case "create":
      return { kind: "thread-created" };
    case "exec": {
      const path = bytesOfHex(value);
      return path === undefined ? undefined : { kind: "exec", path: printable(Buffer.from(path).toString(), MAX_PATH) };
    }
    case "syscall_entry":
    case "syscall_return": {
      const number = wideHex(value);
      const kind = key === "syscall_entry" ? "syscall-entry" : "syscall-return";
      return number === undefined ? undefined : { kind, number };
    }
    default:
      return undefined;
  }
}

/** `E01`, `E.text`: what the stub said instead of an answer; undefined when the reply is no error. */
export function errorReply(text: string): string | undefined {
  return /^E([0-9a-f]{2}$|\.)/i.test(text) ? text : undefined;
}

/** More than any stub has; what comes behind is not looked at. */
const MAX_FEATURES = 4096;

/**
 * The list that answers qSupported: `PacketSize=1000`, `swbreak+`, `multiprocess-`, `x?`. The value of a feature is what stands behind
 * `=`, or `+` (supported), `-` (not) or `?` (to be found out).
 */
export function parseSupported(text: string): ReadonlyMap<string, string> {
  const features = new Map<string, string>();
  for (const item of text.split(";", MAX_FEATURES)) {
    const equals = item.indexOf("=");
    if (equals > 0) features.set(item.slice(0, equals), item.slice(equals + 1));
    else if (/[+\-?]$/.test(item)) features.set(item.slice(0, -1), item.slice(-1));
  }
  return features;
}
