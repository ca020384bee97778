/** The calls of one connection that are not answered yet: a bound on them, and their end by request or with the connection. */
import { RPC_ERRORS } from "../../api/protocol.ts";
import { EbscopeError } from "../../base/error.ts";
import { untilAborted } from "./dispatch.ts";
import type { CallId } from "./message.ts";
import { RpcError, tooMany } from "./rpc-error.ts";

export class Calls {
  readonly #most: number;
  readonly #byId = new Map<CallId, AbortController>();
  readonly #all = new Set<AbortController>();
  #ended = false;

  constructor(most: number) {
    this.#most = most;
  }

  /** What `work` comes to, or `interrupted` as soon as the call is cancelled. Rejects at once when there are too many, or one with that id. */
  async run<T>(id: CallId, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.#refuse(id);
    const call = new AbortController();
    this.#all.add(call);
    if (id !== null) this.#byId.set(id, call);
    const running = work(call.signal);
    // Work that does not heed its signal keeps its place: the bound is on the work, not on the answers.
    const settled = (): boolean => this.#all.delete(call);
    running.then(settled, settled);
    try {
      return await untilAborted(running, call.signal);
    } finally {
      if (this.#byId.get(id) === call) this.#byId.delete(id);
    }
  }

  /** Whether there was such a call. */
  cancel(id: string | number): boolean {
    const call = this.#byId.get(id);
    call?.abort(new EbscopeError("interrupted", "The call was cancelled by its caller"));
    return call !== undefined;
  }

  /** The connection is gone, and with it whoever would take an answer. */
  end(): void {
    this.#ended = true;
    for (const call of this.#all)
      call.abort(new EbscopeError("interrupted", "The connection of the caller was closed"));
  }

  #refuse(id: CallId): void {
    if (this.#ended) throw new EbscopeError("interrupted", "The connection of the caller was closed");
    if (this.#all.size >= this.#most) throw tooMany(`Cannot call now: ${this.#most} calls are not answered yet`);
    if (id === null || !this.#byId.has(id)) return;
    const message = `Cannot call with the id ${JSON.stringify(id)}: a call that has it is not answered yet`;
    throw new RpcError(RPC_ERRORS.request, "usage", message, { next: "Give each call an id of its own." });
  }
}
