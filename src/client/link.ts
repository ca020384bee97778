/**
 * The connection that is there again after each loss: one after the other, with growing pauses between attempts that fail. What cannot get better
 * by trying again ends it: a token that is refused, a bridge that breaks the protocol, or too long a time without one.
 */

import type { Connection } from "./connection.ts";
import { BridgeError } from "./errors.ts";
import { pause } from "./timer.ts";

export type ClientState =
  | { readonly kind: "connecting" }
  | { readonly kind: "open" }
  /** The connection is lost; the next attempt is made after `delayMs`. */
  | { readonly kind: "waiting"; readonly attempt: number; readonly delayMs: number; readonly error: BridgeError }
  /** For good. `error`: why; undefined when the client was closed by its user. */
  | { readonly kind: "closed"; readonly error: BridgeError | undefined };

export interface LinkOptions {
  /** Before the second attempt; each further pause is up to twice as long. */
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
  /** Milliseconds without a lasting connection after which it is given up. */
  readonly giveUpAfterMs: number;
  /** Makes one attempt; rejects with a BridgeError. */
  readonly dial: (signal: AbortSignal) => Promise<Connection>;
  /** Whether it can get better by trying again. */
  readonly passes: (error: BridgeError) => boolean;
}

/** Who uses the connections. */
export interface LinkUser {
  opened(connection: Connection): void;
  lost(): void;
  /** There will be no other. `error` is undefined when that was asked for. */
  ended(error: BridgeError | undefined): void;
}

/** A connection that lasted so many milliseconds ends an outage. */
const LASTING = 1000;

export class Link {
  readonly #options: LinkOptions;
  readonly #user: LinkUser;
  readonly #stop = new AbortController();
  readonly #listeners = new Set<(state: ClientState) => void>();
  #state: ClientState = { kind: "connecting" };
  #connection: Connection | undefined;
  #attempt = 0;
  #outageSince = 0;

  constructor(options: LinkOptions, user: LinkUser) {
    this.#options = options;
    this.#user = user;
  }

  get state(): ClientState {
    return this.#state;
  }

  /** Told of each state from the next on. Returns the way to stop it. */
  onState(listener: (state: ClientState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Rejects when the first attempt fails, or with the signal's reason; nothing more is tried then. */
  async start(signal: AbortSignal | undefined): Promise<void> {
    const aborted = (): void => this.#stop.abort(signal?.reason);
    signal?.addEventListener("abort", aborted, { once: true });
    try {
      if (signal?.aborted) throw signal.reason;
      void this.#keep(await this.#options.dial(this.#stop.signal));
    } catch (error) {
      this.#end(error instanceof BridgeError ? error : undefined);
      throw error;
    } finally {
      signal?.removeEventListener("abort", aborted);
    }
  }

  async close(): Promise<void> {
    const connection = this.#connection;
    this.#end(undefined);
    await connection?.close();
  }

  /** Never rejects. */
  async #keep(first: Connection): Promise<void> {
    for (let connection: Connection | undefined = first; connection !== undefined; ) {
      const error = await this.#use(connection);
      connection = await this.#again(error);
    }
  }

  /** Resolves with the reason when the connection has ended. */
  #use(connection: Connection): Promise<BridgeError> {
    const since = performance.now();
    this.#connection = connection;
    this.#set({ kind: "open" });
    this.#user.opened(connection);
    return new Promise((resolve) => {
      connection.onEnd((error) => {
        this.#connection = undefined;
        this.#user.lost();
        if (performance.now() - since >= LASTING || this.#attempt === 0) this.#outageBegins();
        resolve(error);
      });
    });
  }

  #outageBegins(): void {
    this.#attempt = 0;
    this.#outageSince = performance.now();
  }

  /** The next connection; undefined when there is none any more. */
  async #again(lost: BridgeError): Promise<Connection | undefined> {
    for (let error = lost; this.#goesOn(error); ) {
      const delayMs = this.#nextPause();
      this.#set({ kind: "waiting", attempt: ++this.#attempt, delayMs, error });
      await pause(delayMs, this.#stop.signal);
      if (this.#stop.signal.aborted) return undefined;
      this.#set({ kind: "connecting" });
      try {
        const connection = await this.#options.dial(this.#stop.signal);
        if (!this.#stop.signal.aborted) return connection;
        void connection.close();
      } catch (reason) {
        error = reason instanceof BridgeError ? reason : error;
      }
    }
    return undefined;
  }

  /** Between a half and all of it: clients that were lost together do not come back together. */
  #nextPause(): number {
    const { firstPauseMs, longestPauseMs } = this.#options;
    const longest = Math.min(firstPauseMs * 2 ** Math.min(this.#attempt, 30), longestPauseMs);
    return longest * (0.5 + Math.random() / 2);
  }

  #goesOn(error: BridgeError): boolean {
    if (this.#stop.signal.aborted) return false;
    const tooLong = performance.now() - this.#outageSince > this.#options.giveUpAfterMs;
    if (this.#options.passes(error) && !tooLong) return true;
    this.#end(error);
    return false;
  }

  #end(error: BridgeError | undefined): void {
    if (this.#state.kind === "closed") return;
    this.#stop.abort();
    this.#set({ kind: "closed", error });
    this.#user.ended(error);
  }

  #set(state: ClientState): void {
    if (this.#state.kind === "closed") return;
    this.#state = state;
    for (const listener of [...this.#listeners]) tell(listener, state);
  }
}

/** What goes wrong in a listener is its own, and ends nothing here. */
function tell(listener: (state: ClientState) => void, state: ClientState): void {
  try {
    listener(state);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
