/** A bridge as a program sees it: calls, events, and a connection that comes back by itself. The same in Node and in a browser. */
import type { EventKind } from "../api/events.ts";
import type { MethodName, Params, Result } from "../api/protocol.ts";
import { type CallOptions, Calls } from "./calls.ts";
import type { Connection } from "./connection.ts";
import { Dialer, type TokenSource } from "./dialer.ts";
import { BridgeError } from "./errors.ts";
import { type EventOptions, EventStream } from "./event-stream.ts";
import { type ClientState, Link } from "./link.ts";
import { type OpenSocket, socketUrl } from "./socket.ts";

/** Milliseconds, everywhere. */
export interface ClientOptions {
  /** Ends the first attempt to connect. */
  readonly signal?: AbortSignal | undefined;
  /** For each attempt to connect. 10 s unless told. */
  readonly connectTimeoutMs?: number | undefined;
  /** For calls that say nothing else, from the call to the answer. One minute unless told. */
  readonly callTimeoutMs?: number | undefined;
  /** Without a connection after one was lost. 10 minutes unless told; Infinity never gives up. */
  readonly giveUpAfterMs?: number | undefined;
  /** Between attempts to connect again: 100 ms, doubled up to 10 s, each shortened by chance to no less than half. */
  readonly pauseMs?: { readonly first?: number; readonly longest?: number } | undefined;
  /** Bytes of one message from the bridge; a longer one ends the connection. 96 MiB unless told. */
  readonly maxMessage?: number | undefined;
}

/** The methods to call. Subscriptions and cancellation are the client's own: `events`, and `signal`. */
export type CallableMethod = Exclude<MethodName, `Stream.${string}` | "Bridge.cancel">;

/** What follows the method: parameters may be left out where none are needed. */
export type CallArguments<M extends CallableMethod> =
  Record<never, never> extends Params<M>
    ? [params?: Params<M>, options?: CallOptions]
    : [params: Params<M>, options?: CallOptions];

type DomainName = CallableMethod extends `${infer Name}.${string}` ? Name : never;

/** `Target.attach` as `client.Target.attach`. */
export type Domain<Name extends DomainName> = {
  readonly [M in CallableMethod as M extends `${Name}.${infer Short}` ? Short : never]: (
    ...args: CallArguments<M>
  ) => Promise<Result<M>>;
};

const DEFAULTS = {
  connectTimeoutMs: 10_000,
  callTimeoutMs: 60_000,
  giveUpAfterMs: 600_000,
  firstPauseMs: 100,
  longestPauseMs: 10_000,
  /** An answer has 64 Mi characters at most (docs/api.md, Limits), nearly all of them of one byte. */
  maxMessage: 96 << 20,
} as const;

export class Client implements AsyncDisposable {
  readonly #link: Link;
  readonly #calls: Calls;
  readonly #streams = new Set<EventStream>();
  #connection: Connection | undefined;
  #closed: { readonly error: BridgeError | undefined } | undefined;

  readonly Bridge: Domain<"Bridge"> = this.#domain("Bridge");
  readonly Target: Domain<"Target"> = this.#domain("Target");
  readonly Breakpoint: Domain<"Breakpoint"> = this.#domain("Breakpoint");
  readonly Registers: Domain<"Registers"> = this.#domain("Registers");
  readonly Memory: Domain<"Memory"> = this.#domain("Memory");
  readonly PageTable: Domain<"PageTable"> = this.#domain("PageTable");
  readonly Capture: Domain<"Capture"> = this.#domain("Capture");

  private constructor(dialer: Dialer, options: ClientOptions) {
    this.#calls = new Calls(options.callTimeoutMs ?? DEFAULTS.callTimeoutMs);
    const link = {
      firstPauseMs: options.pauseMs?.first ?? DEFAULTS.firstPauseMs,
      longestPauseMs: options.pauseMs?.longest ?? DEFAULTS.longestPauseMs,
      giveUpAfterMs: options.giveUpAfterMs ?? DEFAULTS.giveUpAfterMs,
      dial: (signal: AbortSignal) => dialer.dial(signal),
      passes: (error: BridgeError) => dialer.passes(error),
    };
    this.#link = new Link(link, {
      opened: (connection) => this.#opened(connection),
      lost: () => this.#lost(),
      ended: (error) => this.#ended(error),
    });
  }

  /** Connects. Rejects with a BridgeError when the first attempt fails, or with the reason of `options.signal`. */
  static async connect(
    openSocket: OpenSocket,
    url: string,
    token: TokenSource,
    options: ClientOptions,
  ): Promise<Client> {
    const timeoutMs = options.connectTimeoutMs ?? DEFAULTS.connectTimeoutMs;
    const maxMessage = options.maxMessage ?? DEFAULTS.maxMessage;
    const dialer = new Dialer({ url: socketUrl(url), openSocket, timeoutMs, maxMessage }, token);
    const client = new Client(dialer, options);
    await client.#link.start(options.signal);
    return client;
  }

  get state(): ClientState {
    return this.#link.state;
  }

  /** Tells the listener of each state from the next on. Returns the way to stop it. */
  onState(listener: (state: ClientState) => void): () => void {
    return this.#link.onState(listener);
  }

  /**
   * Calls a method. Rejects with a BridgeError, or with the reason of the signal. Without a connection it waits for one, as long as its deadline
   * lets it; a call that is under way when the connection is lost rejects with `connection-lost`: it is not made again, as it may have been carried out.
   */
  call<M extends CallableMethod>(method: M, ...args: CallArguments<M>): Promise<Result<M>> {
    const [params, options = {}] = args;
    // What the bridge answers is of this type: its schemas are where the type is from.
    return this.#calls.run(method, params ?? {}, options) as Promise<Result<M>>;
  }

  /**
   * Events in order, none twice and none left out, across lost connections. Subscribes at once: what is called afterwards happens afterwards. Iterate
   * once; leaving the loop ends it. Throws a usage error for options that are none.
   */
  events<K extends EventKind = EventKind>(options: EventOptions<K> = {}): EventStream<K> {
    const stream = new EventStream<K>(options, (ended) => this.#streams.delete(ended as unknown as EventStream));
    if (options.signal?.aborted) return stream;
    if (this.#closed !== undefined) {
      stream.end(this.#closed.error);
      return stream;
    }
    this.#streams.add(stream as unknown as EventStream);
    if (this.#connection !== undefined) stream.opened(this.#connection);
    return stream;
  }

  /** Ends everything: calls reject with `interrupted`, iterations end. Never rejects. */
  close(): Promise<void> {
    return this.#link.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Those of the streams first: a call that waited may cause events. */
  #opened(connection: Connection): void {
    if (this.#closed !== undefined) return;
    this.#connection = connection;
    for (const stream of [...this.#streams]) stream.opened(connection);
    this.#calls.opened(connection);
  }

  #lost(): void {
    this.#connection = undefined;
    this.#calls.lost();
    for (const stream of [...this.#streams]) stream.lost();
  }

  #ended(error: BridgeError | undefined): void {
    this.#closed = { error };
    this.#calls.end(error ?? new BridgeError("interrupted", "The client was closed", { next: "Connect anew." }));
    for (const stream of [...this.#streams]) stream.end(error);
  }

  /** The names are those of the type: this class holds no list of methods, as that comes with the schemas and the library for them. */
  #domain<Name extends DomainName>(name: Name): Domain<Name> {
    const get = (_target: object, short: string | symbol): unknown => {
      // What is awaited is asked for `then`.
      if (typeof short === "symbol" || short === "then") return undefined;
      return (params: object = {}, options: CallOptions = {}) =>
        this.#calls.run(`${name}.${short}` as MethodName, params, options);
    };
    return new Proxy({}, { get }) as Domain<Name>;
  }
}
