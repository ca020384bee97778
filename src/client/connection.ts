/**
 * One WebSocket to a bridge from its opening to its end: calls go out with ids, answers come back to them, events to their subscriptions.
 * What comes is checked; what no bridge sends ends the connection. Nothing here knows of connections before or after.
 */
import type { BridgeEvent } from "../api/events.ts";
import { BridgeError, protocolError } from "./errors.ts";
import { type Outcome, readMessage } from "./message.ts";
import type { OpenSocket, Socket, SocketEnd } from "./socket.ts";
import { startBeat, startTimer } from "./timer.ts";

/** Of every version of this protocol so far (docs/security.md). */
const SUBPROTOCOL = "ebscope.v1";
const TOKEN_PROTOCOL = "ebscope.token.";

/** Status codes for programs (RFC 6455, 7.4.2). */
const CLOSE = { done: 1000, broken: 4000, silent: 4001 } as const;
/** Of `readyState`. */
const OPEN = 1;
/** Milliseconds that the other side has to heed a close. */
const CLOSE_GRACE = 1000;
/** Milliseconds between two looks at whether anything came. */
const BEAT = 10_000;
/** After so many beats without a sign of life the bridge is asked for one, and after so many the connection is lost. */
const [BEATS_TO_ASK, BEATS_TO_LOSE] = [3, 6];

export interface Dial {
  readonly url: string;
  readonly token: string;
  readonly openSocket: OpenSocket;
  readonly timeoutMs: number;
  /** Bytes of one message from the bridge. */
  readonly maxMessage: number;
}

/** Where the events of a subscription go. `size`: characters of the message. */
export interface Subscriber {
  event(event: BridgeEvent, size: number): void;
  lagged(from: number, to: number): void;
}

interface Pending {
  readonly method: string;
  readonly answered: (outcome: Outcome) => void;
}

export class Connection {
  readonly #dial: Dial;
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  readonly #subscribers = new Map<string, Subscriber>();
  readonly #settle: { readonly opened: () => void; readonly failed: (error: BridgeError) => void };
  readonly #ended = new Set<(error: BridgeError) => void>();
  readonly #stopBeat: () => void;
  #state: "opening" | "open" | "ended" = "opening";
  #error: BridgeError | undefined;
  #lastId = 0;
  #quietBeats = 0;
  #gone = false;
  #whenGone: (() => void)[] = [];
  #stopGrace: () => void = () => undefined;

  private constructor(dial: Dial, settle: { opened: () => void; failed: (error: BridgeError) => void }) {
    this.#dial = dial;
    this.#settle = settle;
    const protocols = [SUBPROTOCOL, TOKEN_PROTOCOL + dial.token];
    this.#socket = dial.openSocket(dial.url, protocols, dial.maxMessage, {
      opened: () => this.#opened(),
      received: (data) => this.#received(data),
      ended: (end) => this.#socketEnded(end),
    });
    this.#stopBeat = startBeat(BEAT, () => this.#beat());
  }

  /** Rejects with a BridgeError, or the signal's reason. */
  static open(dial: Dial, signal: AbortSignal): Promise<Connection> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const settled = (): void => {
        stop();
        signal.removeEventListener("abort", aborted);
      };
      const opened = (): void => {
        settled();
        resolve(connection);
      };
      const failed = (error: unknown): void => {
        settled();
        reject(error);
      };
      const connection = new Connection(dial, { opened, failed });
      const aborted = (): void => {
        failed(signal.reason);
        void connection.close();
      };
      const stop = startTimer(dial.timeoutMs, () => connection.#end(CLOSE.done, connectTimeout(dial)));
      signal.addEventListener("abort", aborted, { once: true });
    });
  }

  /** Whether what is sent now can arrive, as far as is known. */
  get isOpen(): boolean {
    return this.#state === "open" && this.#socket.readyState === OPEN;
  }

  /** Calls that were sent and not answered. */
  get unanswered(): number {
    return this.#pending.size;
  }

  /** Called once when the connection has ended, after the calls that were not answered; at once when it has already. */
  onEnd(listener: (error: BridgeError) => void): void {
    if (this.#error !== undefined) listener(this.#error);
    else this.#ended.add(listener);
  }

  /** Sends a call, its parameters as JSON; the id it was given. `answered` is called once, before anything that came after the answer is looked at. */
  request(method: string, params: string, answered: (outcome: Outcome) => void): number {
    const id = ++this.#lastId;
    this.#pending.set(id, { method, answered });
    this.#socket.send(`{"jsonrpc":"2.0","id":${id},"method":"${method}","params":${params}}`);
    return id;
  }

  /** Sends a call whose answer is of no interest. */
  tell(method: string, params: object): void {
    if (this.isOpen) this.request(method, JSON.stringify(params), () => undefined);
  }

  /** The answer is of no interest any more. */
  forget(id: number): void {
    this.#pending.delete(id);
  }

  subscribed(subscription: string, subscriber: Subscriber): void {
    this.#subscribers.set(subscription, subscriber);
  }

  unsubscribe(subscription: string): void {
    this.#subscribers.delete(subscription);
    this.tell("Stream.unsubscribe", { subscription });
  }

  /** Ends it from this side; resolves when the socket is gone. */
  close(): Promise<void> {
    this.#end(CLOSE.done, new BridgeError("interrupted", "The client was closed", { next: "Connect anew." }));
    return new Promise((resolve) => {
      if (this.#gone) resolve();
      else this.#whenGone.push(resolve);
    });
  }

  /** What is wrong on the other side ends the connection. */
  fail(error: BridgeError): void {
    this.#end(CLOSE.broken, error);
  }

  #opened(): void {
    if (this.#state !== "opening") return;
    if (this.#socket.protocol !== SUBPROTOCOL) {
      this.fail(protocolError(`it does not speak ${SUBPROTOCOL}`));
      return;
    }
    this.#state = "open";
    this.#settle.opened();
  }

  #received(data: unknown): void {
    if (this.#state !== "open") return;
    this.#quietBeats = 0;
    try {
      if (typeof data !== "string") throw protocolError("it sent a binary message");
      if (data.length > this.#dial.maxMessage) throw tooLong(this.#dial);
      this.#take(data);
    } catch (error) {
      if (!(error instanceof BridgeError)) throw error;
      this.fail(error);
    }
  }

  #take(text: string): void {
    const message = readMessage(text);
    switch (message.kind) {
      case "answer":
        this.#answered(message.id, message.outcome);
        break;
      case "event":
        this.#subscribers.get(message.subscription)?.event(message.event, text.length);
        break;
      case "lagged": {
        const subscriber = this.#subscribers.get(message.subscription);
        this.#subscribers.delete(message.subscription);
        subscriber?.lagged(message.from, message.to);
        break;
      }
      case "unknown":
        break;
    }
  }

  /** An answer to a call that was given up meanwhile is no fault. */
  #answered(id: number, outcome: Outcome): void {
    if (id < 1 || id > this.#lastId) throw protocolError(`it answered a call that was not made (${id})`);
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.answered(outcome);
  }

  #beat(): void {
    if (this.#state !== "open") return;
    // Counted in beats, not in time: a program that did not get to run for a while has not looked at what came.
    this.#quietBeats++;
    if (this.#quietBeats === BEATS_TO_ASK) this.tell("Bridge.version", {});
    if (this.#quietBeats >= BEATS_TO_LOSE) this.#end(CLOSE.silent, lost(this.#dial, "it gave no sign of life"));
  }

  #socketEnded(end: SocketEnd): void {
    this.#goneNow();
    this.#end(CLOSE.done, this.#errorOf(end));
  }

  #goneNow(): void {
    this.#gone = true;
    this.#stopGrace();
    for (const resolve of this.#whenGone.splice(0)) resolve();
  }

  #errorOf({ code, reason, failure, refusal }: SocketEnd): BridgeError {
    if (refusal !== undefined) return refusal;
    if (failure !== undefined && /max payload size/i.test(failure)) return tooLong(this.#dial);
    const said = [failure ?? "", reason].filter((text) => text !== "").join(", ");
    const why = said === "" ? `closed with ${code}` : `closed with ${code}: ${said}`;
    return this.#state === "opening" ? connectFailed(this.#dial, failure ?? why) : lost(this.#dial, why);
  }

  #end(code: number, error: BridgeError): void {
    if (this.#state === "ended") return;
    const opening = this.#state === "opening";
    this.#state = "ended";
    this.#error = error;
    this.#stopBeat();
    if (!this.#gone) this.#closeSocket(code);
    this.#subscribers.clear();
    for (const { method, answered } of [...this.#pending.values()])
      answered({ ok: false, error: unknown(method, error) });
    this.#pending.clear();
    if (opening) this.#settle.failed(error);
    for (const listener of this.#ended) listener(error);
  }

  #closeSocket(code: number): void {
    this.#stopGrace = startTimer(CLOSE_GRACE, () => {
      this.#socket.terminate();
      this.#goneNow();
    });
    this.#socket.close(code, "");
  }
}

function connectTimeout({ url, timeoutMs }: Dial): BridgeError {
  return new BridgeError("connect-timeout", `Cannot connect to ${url}: no answer within ${timeoutMs} ms`, {
    next: "Check the address, and whether a firewall stands between.",
  });
}

function connectFailed({ url }: Dial, why: string): BridgeError {
  return new BridgeError("connect-failed", `Cannot connect to ${url}: ${why}`, {
    next: "Check that `ebscope serve` runs there, and that the token is its own.",
  });
}

function lost({ url }: Dial, why: string): BridgeError {
  return new BridgeError("connection-lost", `The connection to ${url} was lost: ${why}`, {
    next: "The client connects again by itself. Check that `ebscope serve` still runs.",
  });
}

function tooLong({ maxMessage }: Dial): BridgeError {
  return protocolError(`a message is longer than ${maxMessage} bytes`);
}

/** What is told to the caller of a call that will not be answered. */
function unknown(method: string, cause: BridgeError): BridgeError {
  if (cause.code === "interrupted") return cause;
  const message = `Cannot tell what became of ${method}: ${cause.message}`;
  const next = "It may have been carried out: look before calling it again.";
  return new BridgeError(cause.code, message, { next, cause });
}
