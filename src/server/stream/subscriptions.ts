/** The subscriptions of one connection to `/rpc`. */
import type { Params, Result } from "../../api/protocol.ts";
import { EbscopeError } from "../../base/error.ts";
import type { EventLog } from "../../bridge/ports.ts";
import type { Limits } from "../limits.ts";
import { tooMany } from "../rpc/rpc-error.ts";
import { Cursor, type Sink, startOf } from "./cursor.ts";
import { sieveOf } from "./filter.ts";
import { eventText, laggedText, type SharedFrames } from "./frames.ts";

/** The connection, as a subscription sees it. */
export interface Outlet {
  /** Whether it takes more events now. */
  readonly ready: boolean;
  send(text: string): void;
  /** A frame that is made already. */
  sendFrame(frame: Buffer): void;
  cork(): void;
  uncork(): void;
  /** The connection is of no use any more. */
  fail(error: unknown): void;
}

export class Subscriptions {
  readonly #log: EventLog;
  readonly #frames: SharedFrames;
  readonly #outlet: Outlet;
  readonly #limits: Pick<Limits, "subscriptions" | "behind">;
  readonly #cursors = new Map<string, Cursor>();
  #count = 0;

  constructor(log: EventLog, frames: SharedFrames, outlet: Outlet, limits: Pick<Limits, "subscriptions" | "behind">) {
    this.#log = log;
    this.#frames = frames;
    this.#outlet = outlet;
    this.#limits = limits;
  }

  /** A subscription that sends nothing before `start` is called: its name is to be told first. */
  subscribe(params: Params<"Stream.subscribe">): { result: Result<"Stream.subscribe">; start: () => void } {
    const { subscriptions: most, behind } = this.#limits;
    if (this.#cursors.size >= most)
      throw tooMany(`Cannot subscribe: this connection has ${most} subscriptions already`);
    const after = startOf(this.#log, params.after);
    const subscription = `s${++this.#count}`;
    const cursor = new Cursor(this.#log, this.#sink(subscription), { after, sieve: sieveOf(params.filter), behind });
    this.#cursors.set(subscription, cursor);
    const { head, oldest } = this.#log;
    const start = (): void => {
      if (this.#cursors.has(subscription)) cursor.start();
    };
    return { result: { subscription, head, oldest }, start };
  }

  unsubscribe(subscription: string): void {
    const cursor = this.#cursors.get(subscription);
    if (cursor === undefined) {
      throw new EbscopeError("no-such-subscription", `Cannot end the subscription ${subscription}: there is none`);
    }
    this.#cursors.delete(subscription);
    cursor.end();
  }

  /** The connection takes more. */
  drained(): void {
    for (const cursor of this.#cursors.values()) cursor.drained();
  }

  end(): void {
    for (const cursor of this.#cursors.values()) cursor.end();
    this.#cursors.clear();
  }

  #sink(subscription: string): Sink {
    const outlet = this.#outlet;
    return {
      get ready() {
        return outlet.ready;
      },
      cork: () => outlet.cork(),
      uncork: () => outlet.uncork(),
      send: (event, changed) => {
        if (changed === undefined) outlet.sendFrame(this.#frames.of(subscription, event));
        else outlet.send(eventText(subscription, changed));
      },
      lagged: (from, to) => {
        this.#cursors.delete(subscription);
        outlet.send(laggedText(subscription, from, to));
      },
      failed: (error) => {
        this.#cursors.delete(subscription);
        outlet.fail(error);
      },
    };
  }
}
