/**
 * One client at `/rpc` (RFC 6455): its messages become calls, its calls answers; its subscriptions write between them. What a client sends can
 * harm nobody but itself: it is bounded in length, in number and in time, and what waits to be sent to it is, too.
 */
import type { Socket } from "node:net";
import type { WebSocket } from "ws";
import { PROTOCOL_VERSION, RPC_ERRORS } from "../../api/protocol.ts";
import { asEbscopeError } from "../../base/error.ts";
import { printableJson } from "../../base/text.ts";
import type { EventLog } from "../../bridge/ports.ts";
import type { Access, Handlers } from "../handlers.ts";
import type { Limits } from "../limits.ts";
import { REFUSALS } from "../security/refusal.ts";
import type { SharedFrames } from "../stream/frames.ts";
import { type Outlet, Subscriptions } from "../stream/subscriptions.ts";
import { Budget } from "./budget.ts";
import { Calls } from "./calls.ts";
import { admitCall } from "./dispatch.ts";
import { type Call, type CallId, type Message, type Part, parseMessage } from "./message.ts";
import { errorObject, RpcError, tooMany } from "./rpc-error.ts";

/** What all connections share. */
export interface Services {
  /** Of the bridge, and those about it that are the same for every connection. */
  readonly handlers: Handlers;
  readonly log: EventLog;
  readonly frames: SharedFrames;
  readonly limits: Limits;
  readonly name: string;
  readonly version: string;
}

/** Close codes (RFC 6455, 7.4.1). */
const CLOSE = { goingAway: 1001, unsupported: 1003, policy: 1008, internal: 1011 } as const;

interface Answer {
  readonly id: CallId;
  readonly text: string;
  /** Called when it is on its way. */
  readonly sent?: (() => void) | undefined;
}

/** Bytes, at a beat: what waits in the process, as the system takes no more, and all that was ever written. */
interface Unsent {
  readonly waiting: number;
  readonly written: number;
}

/** What the system has taken. */
function handedOver({ waiting, written }: Unsent): number {
  return written - waiting;
}

export class RpcConnection {
  readonly #ws: WebSocket;
  readonly #socket: Socket;
  readonly #access: Access;
  readonly #services: Services;
  readonly #own: Handlers;
  readonly #handlers: Handlers;
  readonly #budget: Budget;
  readonly #calls: Calls;
  readonly #subscriptions: Subscriptions;
  /** What is to happen when the answer with this result was sent. */
  readonly #afterwards = new WeakMap<object, () => void>();
  /** Messages that came with others in one piece, before the client was not read from any more. */
  readonly #held: Buffer[] = [];
  #taking = false;
  #alive = true;
  #unsent: Unsent = { waiting: 0, written: 0 };
  #missed = 0;

  /** `ws` on `socket`, its handshake done. */
  constructor(ws: WebSocket, socket: Socket, access: Access, services: Services) {
    this.#ws = ws;
    this.#socket = socket;
    this.#access = access;
    this.#services = services;
    this.#budget = new Budget(services.limits);
    this.#calls = new Calls(services.limits.callsInFlight);
    this.#subscriptions = new Subscriptions(services.log, services.frames, this.#outlet(), services.limits);
    this.#own = this.#ownHandlers();
    this.#handlers = { ...services.handlers, ...this.#own };
    this.#attach();
  }

  /** Says that the bridge ends. */
  goAway(): void {
    this.#ws.close(CLOSE.goingAway, "the bridge ends");
    this.#ws.resume();
  }

  kill(): void {
    this.#ws.terminate();
  }

  /** Once every ping interval: a client that twice gave no sign of life is cut off. One that takes what waits for it is alive. */
  beat(): void {
    const before = this.#unsent;
    this.#unsent = { waiting: this.#socket.writableLength, written: this.#socket.bytesWritten };
    const taken = before.waiting > 0 && handedOver(this.#unsent) > handedOver(before);
    this.#missed = this.#alive || taken ? 0 : this.#missed + 1;
    this.#alive = false;
    if (this.#missed >= 2) this.kill();
    else if (this.#ws.readyState === this.#ws.OPEN) this.#ws.ping();
  }

  #attach(): void {
    this.#ws.on("message", (data, isBinary) => this.#received(data as Buffer, isBinary));
    this.#ws.on("pong", () => this.#heard());
    this.#ws.on("ping", () => this.#spend(1, 0));
    // A close follows, with the code that RFC 6455 has for what was wrong.
    this.#ws.on("error", () => undefined);
    this.#ws.on("close", () => this.#end());
    this.#socket.on("drain", () => this.#drained());
  }

  #end(): void {
    // What was held is for nobody any more, and a subscription in it would have no end.
    this.#held.length = 0;
    this.#subscriptions.end();
    this.#calls.end();
  }

  #drained(): void {
    if (this.#ws.isPaused) this.#ws.resume();
    this.#subscriptions.drained();
    void this.#takeHeld();
  }

  /** One at a turn of the event loop, in which a quick answer goes out: it may be what fills the connection again. */
  async #takeHeld(): Promise<void> {
    if (this.#taking) return;
    this.#taking = true;
    while (!this.#ws.isPaused && this.#held.length > 0) {
      this.#take(this.#held.shift() as Buffer);
      await new Promise(setImmediate);
    }
    this.#taking = false;
  }

  #heard(): void {
    this.#alive = true;
  }

  /** What comes after the connection was closed from this side is not looked at. */
  #received(data: Buffer, isBinary: boolean): void {
    if (this.#ws.readyState !== this.#ws.OPEN) return;
    this.#heard();
    if (isBinary) {
      this.#ws.close(CLOSE.unsupported, "messages are text: JSON-RPC 2.0");
      return;
    }
    if (this.#ws.isPaused || this.#held.length > 0) this.#held.push(data);
    else this.#take(data);
  }

  #take(data: Buffer): void {
    const { batch, parts } = this.#parse(data.toString("utf8"));
    const served = this.#spend(parts.length, data.length);
    const answers = parts.map((part) => this.#answer(part, served));
    const sent = batch ? this.#sendTogether(answers) : this.#sendAlone(answers[0]);
    sent.catch((error: unknown) => this.#ws.close(CLOSE.internal, asEbscopeError(error).code));
  }

  /** False when that was more than the connection may ask for; it is closed when it goes on nonetheless. */
  #spend(requests: number, bytes: number): boolean {
    this.#heard();
    const verdict = this.#budget.take(requests, bytes);
    if (verdict === "flood") this.#ws.close(CLOSE.policy, "too many requests");
    return verdict === "served";
  }

  #parse(text: string): Message {
    try {
      return parseMessage(text, this.#services.limits.batch);
    } catch (error) {
      const { code, message, data } = errorObject(error);
      return { batch: false, parts: [new RpcError(code, data.code, message, data)] };
    }
  }

  async #sendAlone(answer: Promise<Answer> | undefined): Promise<void> {
    if (answer === undefined) return;
    const { text, sent } = await answer;
    this.#send(text);
    sent?.();
  }

  async #sendTogether(answers: readonly (Promise<Answer> | undefined)[]): Promise<void> {
    const made = await Promise.all(this.#fitted(answers.filter((each) => each !== undefined)));
    if (made.length === 0) return;
    this.#send(`[${made.map(({ text }) => text).join(",")}]`);
    for (const { sent } of made) sent?.();
  }

  /**
   * One message is as long as one answer may be, however many are in it: those that find no room are answered with that, in the order in
   * which they are made, so that they do not wait for each other in memory. A subscription's is short, and is not taken back.
   */
  #fitted(answers: readonly Promise<Answer>[]): Promise<Answer>[] {
    let left = this.#services.limits.answer;
    return answers.map(async (answer) => {
      const made = await answer;
      if (made.text.length > left && made.sent === undefined)
        return { id: made.id, text: errorText(made.id, tooLarge()) };
      left -= made.text.length;
      return made;
    });
  }

  /** Never rejects. Undefined for what is not answered. */
  #answer(part: Part, served: boolean): Promise<Answer> | undefined {
    if (part === undefined) return undefined;
    if (part instanceof RpcError) return Promise.resolve({ id: null, text: errorText(null, part) });
    return this.#serve(part, served);
  }

  async #serve(call: Call, served: boolean): Promise<Answer> {
    try {
      const { requestsPerSecond } = this.#services.limits;
      if (!served) throw tooMany(`Cannot call now: this connection may make ${requestsPerSecond} calls a second`);
      const result = await this.#run(call);
      const sent = typeof result === "object" && result !== null ? this.#afterwards.get(result) : undefined;
      return { id: call.id, text: this.#resultText(call.id, result), sent };
    } catch (error) {
      return { id: call.id, text: errorText(call.id, error) };
    }
  }

  /** Calls that the connection itself answers are done at once: there is nothing to cancel. */
  #run(call: Call): Promise<unknown> {
    const run = admitCall(call, this.#handlers, this.#access);
    if (Object.hasOwn(this.#own, call.method)) return run(new AbortController().signal);
    return this.#calls.run(call.id, run);
  }

  #resultText(id: CallId, result: unknown): string {
    const json = jsonText(result ?? null);
    if (json === undefined || json.length > this.#services.limits.answer) throw tooLarge();
    return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${json}}`;
  }

  /** A client that asks and does not read is not read from; one to which very much is to be sent already is cut off. */
  #send(text: string): void {
    if (this.#ws.readyState !== this.#ws.OPEN) return;
    this.#ws.send(text);
    const { bufferedAmount } = this.#ws;
    if (bufferedAmount > this.#services.limits.unreadAnswers) this.#ws.terminate();
    else if (bufferedAmount > this.#services.limits.unsent) this.#ws.pause();
  }

  #outlet(): Outlet {
    const [ws, socket, { unsent }] = [this.#ws, this.#socket, this.#services.limits];
    return {
      get ready() {
        return ws.readyState === ws.OPEN && ws.bufferedAmount < unsent;
      },
      send: (text) => ws.send(text),
      // Without compression ws writes each frame of its own at once and whole: between two of its calls is between two frames.
      sendFrame: (frame) => void (ws.readyState === ws.OPEN && socket.write(frame)),
      cork: () => socket.cork(),
      uncork: () => socket.uncork(),
      fail: (error) => ws.close(CLOSE.internal, asEbscopeError(error).code),
    };
  }

  /** The methods whose answer depends on the connection. */
  #ownHandlers(): Handlers {
    const { name, version } = this.#services;
    const access = this.#access;
    return {
      "Bridge.version": async () => ({ name, version, protocol: PROTOCOL_VERSION, access }),
      "Bridge.cancel": async ({ id }) => ({ cancelled: this.#calls.cancel(id) }),
      "Stream.subscribe": async (params) => {
        const { result, start } = this.#subscriptions.subscribe(params);
        this.#afterwards.set(result, start);
        return result;
      },
      "Stream.unsubscribe": async ({ subscription }) => {
        this.#subscriptions.unsubscribe(subscription);
        return {};
      },
    };
  }
}

/** Undefined for what is longer than any string of this engine. */
function jsonText(value: unknown): string | undefined {
  try {
    return printableJson(JSON.stringify(value));
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function tooLarge(): RpcError {
  const message = "Cannot send the answer: it is longer than any may be, alone or together with those of its batch";
  return new RpcError(RPC_ERRORS.failed, "answer-too-large", message, { next: REFUSALS["answer-too-large"] });
}

function errorText(id: CallId, error: unknown): string {
  return printableJson(JSON.stringify({ jsonrpc: "2.0", id, error: errorObject(error) }));
}
