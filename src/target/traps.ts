/**
 * What this debugger has put into the guest: breakpoints and write watchpoints, each once.
 *
 * Requests are sent when they are made and not waited for one by one: those for a step, the step itself and what is read before it share a
 * write. QEMU holds a breakpoint twice that was inserted twice, and keeps one when it is removed: so each address is inserted once, and taken out
 * when nobody wants it any more.
 */
import type { VirtAddr } from "../base/address.ts";
import { EbscopeError } from "../base/error.ts";
import type { Reply } from "../rsp/command.ts";
import { type BreakpointRequest, insertBreakpoint, removeBreakpoint } from "../rsp/commands/breakpoints.ts";
import type { Connection } from "../rsp/connection.ts";
import { saidText } from "./negotiate.ts";
import type { Breakpoint, OutOfTheWay, WatchKind, Watchpoint } from "./target.ts";

/** A64 instructions have four bytes. */
const INSTRUCTION = 4;

interface Trap {
  readonly request: BreakpointRequest;
  users: number;
}

export class Traps {
  readonly #connection: Connection;
  /** Halts the guest where it runs: only then a trap can be taken out. */
  readonly #halt: () => Promise<unknown>;
  readonly #traps = new Map<string, Trap>();
  /** Those whose answer is awaited. */
  readonly #inserting = new Map<string, Promise<void>>();

  constructor(connection: Connection, halt: () => Promise<unknown>) {
    this.#connection = connection;
    this.#halt = halt;
  }

  insertBreakpoint(address: VirtAddr): Promise<Breakpoint> {
    return this.#insertOnce(breakpointAt(address));
  }

  insertWatchpoint(address: VirtAddr, length: number, kind: WatchKind): Promise<Watchpoint> {
    return this.#insertOnce(watchpointOn({ address, length, kind }));
  }

  async #insertOnce(request: BreakpointRequest): Promise<Breakpoint & Watchpoint> {
    const key = keyOf(request);
    if (!this.#traps.has(key)) await this.#inserted(key, request);
    const trap = this.#traps.get(key) ?? { request, users: 0 };
    this.#traps.set(key, trap);
    trap.users++;
    let isHeld = true;
    return {
      address: request.address as VirtAddr,
      length: Number(request.kind),
      kind: request.type === "access" ? ("access" as const) : ("write" as const),
      [Symbol.asyncDispose]: async () => {
        if (!isHeld) return;
        isHeld = false;
        trap.users--;
        await this.#removeUnused(key);
      },
    };
  }

  #inserted(key: string, request: BreakpointRequest): Promise<void> {
    const known = this.#inserting.get(key);
    if (known !== undefined) return known;
    const inserting = this.#send(request, true).finally(() => this.#inserting.delete(key));
    this.#inserting.set(key, inserting);
    return inserting;
  }

  async #removeUnused(key: string): Promise<void> {
    const isUnused = (): boolean => this.#traps.get(key)?.users === 0 && !this.#connection.closed;
    if (!isUnused()) return;
    await this.#halt();
    const trap = this.#traps.get(key);
    if (trap === undefined || !isUnused()) return;
    this.#traps.delete(key);
    await this.#send(trap.request, false);
  }

  /** Takes everything out. One that the stub does not give back must not keep the others in the guest. */
  async removeAll(): Promise<void> {
    for (const [key, trap] of [...this.#traps]) {
      trap.users = 0;
      await this.#removeUnused(key).catch(() => undefined);
    }
  }

  /** Sends the removal of what is in the way. `back` sends it in again. */
  takeOut(which: OutOfTheWay): { readonly removed: Promise<unknown>; readonly back: () => Promise<unknown> } {
    const requests = this.#inTheWay(which);
    const all = (insert: boolean): Promise<unknown> => Promise.all(requests.map((each) => this.#send(each, insert)));
    return { removed: all(false), back: () => all(true) };
  }

  #inTheWay(which: OutOfTheWay): readonly BreakpointRequest[] {
    if (which === "nothing") return [];
    if (which === "everything") return [...this.#traps.values()].map(({ request }) => request);
    const trap = this.#traps.get(keyOf(typeof which === "bigint" ? breakpointAt(which) : watchpointOn(which)));
    return trap === undefined ? [] : [trap.request];
  }

  /** Sent at once: what is asked for next may share the round trip. */
  async #send(request: BreakpointRequest, insert: boolean): Promise<void> {
    const command = insert ? insertBreakpoint(request) : removeBreakpoint(request);
    const reply = await this.#connection.send(command);
    if (reply.kind !== "ok") throw refused(request, insert, reply);
  }
}

function breakpointAt(address: VirtAddr): BreakpointRequest {
  return { type: "software", address, kind: INSTRUCTION };
}

function watchpointOn({ address, length, kind }: Pick<Watchpoint, "address" | "length" | "kind">): BreakpointRequest {
  return { type: kind ?? "write", address, kind: length };
}

function keyOf({ type, address, kind }: BreakpointRequest): string {
  return `${type} ${address} ${kind}`;
}

function refused(
  { type, address }: BreakpointRequest,
  insert: boolean,
  reply: Exclude<Reply<unknown>, { kind: "ok" }>,
): EbscopeError {
  const what = type === "software" || type === "hardware" ? "breakpoint" : "watchpoint";
  const action = insert ? `insert a ${what}` : `remove the ${what}`;
  return new EbscopeError(
    "stub-refused",
    `Cannot ${action} at 0x${address.toString(16)}: the stub says ${saidText(reply)}`,
  );
}
