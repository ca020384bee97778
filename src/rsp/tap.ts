/** Listening in on a transport: what a recorder of a session sees. Nothing here knows the protocol. */
import type { Transport } from "./transport.ts";

export type Direction = "sent" | "received";

/** Who ended a connection; the stub's side with what the system said about it, if it was no plain end. */
export type TapEnd = { readonly by: "client" } | { readonly by: "stub"; readonly cause: Error | undefined };

/** Must not throw: a session is never ended by who listens in. Times are of `performance.now()`, in milliseconds. */
export interface Tap {
  /** Bytes as they went over the wire, cut anywhere; borrowed, valid during the call. */
  bytes(direction: Direction, bytes: Uint8Array, time: number): void;
  /** Told once, after the last bytes. */
  ended(end: TapEnd, time: number): void;
}

/** The same transport, with each tap told of everything that goes through it. Without taps it is the transport itself. */
export function tapped(transport: Transport, taps: readonly Tap[]): Transport {
  return taps.length === 0 ? transport : new TappedTransport(transport, taps);
}

class TappedTransport implements Transport {
  readonly #inner: Transport;
  readonly #taps: readonly Tap[];
  /** What is written from here on goes nowhere. */
  #closing = false;
  #ended = false;

  constructor(inner: Transport, taps: readonly Tap[]) {
    this.#inner = inner;
    this.#taps = taps;
  }

  start(handlers: Parameters<Transport["start"]>[0]): void {
    this.#inner.start({
      // The taps first: should these bytes be the end of this program, they are on record.
      data: (chunk) => {
        this.#tell("received", chunk);
        handlers.data(chunk);
      },
      closed: (cause) => {
        this.#end({ by: "stub", cause });
        handlers.closed(cause);
      },
    });
  }

  write(bytes: Uint8Array): void {
    if (this.#closing) return;
    this.#inner.write(bytes);
    this.#tell("sent", bytes);
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#inner.close();
    this.#end({ by: "client" });
  }

  #tell(direction: Direction, bytes: Uint8Array): void {
    if (this.#ended) return;
    const time = performance.now();
    for (const tap of this.#taps) tap.bytes(direction, bytes, time);
  }

  #end(end: TapEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#closing = true;
    const time = performance.now();
    for (const tap of this.#taps) tap.ended(end, time);
  }
}
