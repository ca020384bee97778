/**
 * Calls of a program: each is sent once, as soon as there is a connection and room on it, and ends with its answer, its deadline or its signal.
 * A call that was sent on a connection that was lost is never sent again: it may have done something.
 */
import type { MethodName } from "../api/protocol.ts";
import type { Connection } from "./connection.ts";
import { BridgeError } from "./errors.ts";
import { paramsText } from "./params.ts";
import { startTimer } from "./timer.ts";

export interface CallOptions {
  /** Ends the call, on the bridge too (`Bridge.cancel`): it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** From now to the answer, in milliseconds; Infinity is none. One minute unless told; none for what waits for a guest. */
  readonly timeoutMs?: number | undefined;
}

interface Call {
  readonly method: string;
  /** As JSON. */
  readonly params: string;
  readonly resolve: (result: unknown) => void;
  readonly reject: (reason: unknown) => void;
  sent: { readonly connection: Connection; readonly id: number } | undefined;
}

/** Calls that are not answered, on one connection; the bridge takes 64, and subscriptions need some. */
const MAX_UNANSWERED = 48;
/** Calls that wait to be sent. */
const MAX_WAITING = 10_000;
/** They end when the guest does something. */
const WITHOUT_DEADLINE: ReadonlySet<MethodName> = new Set(["Capture.wait", "Capture.cancel", "Breakpoint.insert"]);

export class Calls {
  readonly #timeoutMs: number;
  /** In the order of the calls. */
  readonly #waiting = new Set<Call>();
  #connection: Connection | undefined;
  #ended: BridgeError | undefined;

  /** `timeoutMs`: of calls that say nothing else. */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  opened(connection: Connection): void {
    this.#connection = connection;
    this.#send();
  }

  lost(): void {
    this.#connection = undefined;
  }

  end(error: BridgeError): void {
    this.#ended = error;
    for (const call of [...this.#waiting]) call.reject(error);
    this.#waiting.clear();
  }

  run(method: MethodName, params: object, { signal, timeoutMs }: CallOptions): Promise<unknown> {
    const deadline = timeoutMs ?? (WITHOUT_DEADLINE.has(method) ? Number.POSITIVE_INFINITY : this.#timeoutMs);
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      if (this.#ended !== undefined) return reject(this.#ended);
      if (this.#waiting.size >= MAX_WAITING) return reject(tooMany(method));
      const settled = (): void => {
        stop();
        signal?.removeEventListener("abort", aborted);
      };
      const aborted = (): void => this.#giveUp(call, signal?.reason);
      const call: Call = {
        method,
        params: paramsText(method, params),
        resolve: (result) => {
          settled();
          resolve(result);
        },
        reject: (reason) => {
          settled();
          reject(reason);
        },
        sent: undefined,
      };
      const stop = startTimer(deadline, () => this.#giveUp(call, timedOut(call, deadline)));
      signal?.addEventListener("abort", aborted, { once: true });
      this.#waiting.add(call);
      this.#send();
    });
  }

  #send(): void {
    for (const call of this.#waiting) {
      const connection = this.#connection;
      if (connection === undefined || !connection.isOpen || connection.unanswered >= MAX_UNANSWERED) return;
      this.#waiting.delete(call);
      const id = connection.request(call.method, call.params, (outcome) => {
        if (outcome.ok) call.resolve(outcome.result);
        else call.reject(outcome.error);
        this.#send();
      });
      call.sent = { connection, id };
    }
  }

  #giveUp(call: Call, reason: unknown): void {
    this.#waiting.delete(call);
    call.reject(reason);
    if (call.sent === undefined) return;
    const { connection, id } = call.sent;
    connection.forget(id);
    connection.tell("Bridge.cancel", { id });
    this.#send();
  }
}

function timedOut({ method, sent }: Call, deadline: number): BridgeError {
  const state = sent === undefined ? "it could not be sent" : "it was not answered";
  const next = "Give it more time (`timeoutMs`), or look whether the bridge and the guest still answer.";
  return new BridgeError("timed-out", `Cannot wait for ${method} any longer: ${state} within ${deadline} ms`, { next });
}

function tooMany(method: string): BridgeError {
  const next = "Wait for answers before calling on.";
  return new BridgeError("too-many-requests", `Cannot call ${method}: ${MAX_WAITING} calls wait to be sent`, { next });
}
