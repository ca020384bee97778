/** A transport with the test at the other end: what was written is text, what arrives is given by hand. */
import type { Transport } from "../../src/rsp/transport.ts";

export class FakeTransport implements Transport {
  /** One entry a write, latin1. */
  readonly writes: string[] = [];
  closed = false;
  #handlers: Parameters<Transport["start"]>[0] | undefined;

  start(handlers: Parameters<Transport["start"]>[0]): void {
    this.#handlers = handlers;
  }

  write(bytes: Uint8Array): void {
    this.writes.push(Buffer.from(bytes).toString("latin1"));
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  /** Everything written so far. */
  get wire(): string {
    return this.writes.join("");
  }

  receive(bytes: string): void {
    this.#handlers?.data(Buffer.from(bytes, "latin1"));
  }

  hangUp(cause?: Error): void {
    this.#handlers?.closed(cause);
  }
}

/** Lets everything run that only waits for a microtask. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
