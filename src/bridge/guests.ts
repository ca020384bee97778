/** All guests of the bridge, by id. */
import type { Params, TargetJson } from "../api/protocol.ts";
import { abortError } from "../base/abort.ts";
import { EbscopeError } from "../base/error.ts";
import { printable } from "../base/text.ts";
import { parseStubAddress, type StubAddress, stubAddressText } from "../rsp/transport.ts";
import { type AttachOptions, attachQemu } from "../target/qemu.ts";
import type { Target } from "../target/target.ts";
import type { EventWriter } from "./event-writer.ts";
import { Guest } from "./guest.ts";
import { until } from "./until.ts";

export type Attach = (address: StubAddress, options: AttachOptions) => Promise<Target>;

export interface GuestsOptions {
  readonly writer: Pick<EventWriter, "tell" | "ready">;
  readonly createdBy: string;
  /** Default: `attachQemu`. */
  readonly attach?: Attach;
}

const MAX_GUESTS = 64;

export class Guests {
  readonly #options: GuestsOptions;
  readonly #guests = new Map<string, Guest>();
  /** By the stub's address. */
  readonly #attaching = new Map<string, Promise<unknown>>();
  readonly #closing = new AbortController();
  #next = 1;

  constructor(options: GuestsOptions) {
    this.#options = options;
  }

  list(): TargetJson[] {
    return [...this.#guests.values()].map(({ json }) => json);
  }

  get(id: string): Guest {
    const guest = this.#guests.get(id);
    if (guest !== undefined) return guest;
    throw new EbscopeError("no-such-target", `Cannot find the guest ${JSON.stringify(printable(id, 60))}`);
  }

  /**
   * Attaches; where somebody has attached to that stub before, that is the guest, as it is now: a stub serves one debugger, and the bridge
   * shares it. A lost guest of the same address makes place for the new one.
   */
  async attach(request: Params<"Target.attach">, signal: AbortSignal): Promise<TargetJson> {
    const address = parseStubAddress(request.gdb);
    if (address.kind === "replay") {
      throw new EbscopeError("usage", "Cannot attach to a recording: there is no guest behind it");
    }
    const gdb = stubAddressText(address);
    for (;;) {
      const known = this.#at(gdb);
      if (known !== undefined) return known.json;
      const attaching = this.#attaching.get(gdb);
      if (attaching === undefined) break;
      // Whether it comes to something or not is told to the one who began it.
      await until(attaching.then(ignore, ignore), signal);
    }
    const attaching = this.#attach(address, request, signal);
    this.#attaching.set(gdb, attaching);
    return attaching.finally(() => this.#attaching.delete(gdb));
  }

  /** Lets a guest go, as it was found or as `run` says; one that was lost is forgotten. */
  async detach({ target, run }: Params<"Target.detach">): Promise<{ running: boolean }> {
    const guest = this.get(target);
    const released = await guest.release(run);
    this.#guests.delete(target);
    return released;
  }

  /** Lets all go as they were found. No capture has any. */
  async close(): Promise<void> {
    this.#closing.abort(ending());
    await Promise.allSettled(this.#attaching.values());
    await Promise.allSettled([...this.#guests.keys()].map((target) => this.detach({ target })));
  }

  #at(gdb: string): Guest | undefined {
    return [...this.#guests.values()].find((guest) => guest.gdb === gdb && !guest.isLost);
  }

  async #attach(address: StubAddress, { run = false, memory }: Params<"Target.attach">, signal: AbortSignal) {
    this.#makePlace();
    const { attach = attachQemu, writer, createdBy } = this.#options;
    await writer.ready();
    const asked = AbortSignal.any([signal, this.#closing.signal]);
    const target = await attach(address, { signal: asked, ...(memory !== undefined && { memory }) });
    if (asked.aborted) {
      await target.release(target.info.wasRunning);
      throw abortError(asked);
    }
    const gdb = stubAddressText(address);
    for (const lost of this.#guests.values()) if (lost.gdb === gdb) this.#guests.delete(lost.id);
    const guest = new Guest({ id: `t${this.#next++}`, gdb, target, writer, createdBy });
    this.#guests.set(guest.id, guest);
    return guest.begin(run);
  }

  #makePlace(): void {
    if (this.#closing.signal.aborted) throw ending();
    if (this.#guests.size + this.#attaching.size < MAX_GUESTS) return;
    const lost = [...this.#guests.values()].find(({ isLost }) => isLost);
    if (lost === undefined) {
      throw new EbscopeError("usage", `Cannot attach: the bridge has ${MAX_GUESTS} guests`, {
        next: "Let one go first (`Target.detach`).",
      });
    }
    this.#guests.delete(lost.id);
  }
}

function ending(): EbscopeError {
  return new EbscopeError("interrupted", "Cannot attach: the bridge ends");
}

function ignore(): void {}
