/** What goes wrong between a program and a bridge. */
import type { ErrorCode } from "../base/error.ts";
import { printable } from "../base/text.ts";

/** One of docs/errors.md; a newer bridge may know others. */
export type BridgeErrorCode = ErrorCode | (string & Record<never, never>);

export interface BridgeErrorOptions {
  readonly next: string;
  readonly rpcCode?: number | undefined;
  readonly cause?: unknown;
}

const MAX_MESSAGE = 2000;

/** A call that failed, or a bridge that cannot be had. `message` and `next` are for people and safe to print, `code` is for programs. */
export class BridgeError extends Error {
  override readonly name: string = "BridgeError";
  readonly code: BridgeErrorCode;
  /** What to do next. */
  readonly next: string;
  /** JSON-RPC's number; undefined when it was not the bridge that answered so. */
  readonly rpcCode: number | undefined;

  constructor(code: BridgeErrorCode, message: string, { next, rpcCode, cause }: BridgeErrorOptions) {
    super(printable(message, MAX_MESSAGE), cause === undefined ? undefined : { cause });
    this.code = printable(code, 60);
    this.next = printable(next, MAX_MESSAGE);
    this.rpcCode = rpcCode;
  }
}

/** Events `from` to `to`, both included, that the log does not have any more. */
export interface Gap {
  readonly from: number;
  readonly to: number;
}

/** Events that were asked for and cannot be had: where the stream stands, there would be a hole in it. */
export class EventsGone extends BridgeError {
  override readonly name = "EventsGone";
  readonly from: number;
  /** The last that is missing; undefined when the log is another one, whose numbers mean other events. */
  readonly to: number | undefined;

  constructor(from: number, to: number | undefined) {
    const what = to === undefined ? `events from ${from} on` : `events ${from} to ${to}`;
    const why = to === undefined ? "the bridge has another log than before" : "the log does not have them any more";
    const next = to === undefined ? "Begin anew: `after: 0`." : `Go on with \`after: ${to}\`, or give \`onGap\`.`;
    super("events-gone", `Cannot send the ${what}: ${why}`, { next });
    this.from = from;
    this.to = to;
  }
}

/** The bridge, or what answers in its place, does not keep to the protocol. */
export function protocolError(state: string): BridgeError {
  return new BridgeError("protocol-error", `Cannot go on with the bridge: ${state}`, {
    next: "Check the address: an ebscope bridge of this version is expected there.",
  });
}

export function usageError(message: string, next: string): BridgeError {
  return new BridgeError("usage", message, { next });
}
