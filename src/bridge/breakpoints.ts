/**
 * The breakpoints of the clients in one guest. Two clients may have one at the same address: it is in the guest once, and stays until the
 * last of them is removed. While a capture has the guest all are out of it: what it stops at is the capture's alone.
 */
import type { BreakpointJson } from "../api/protocol.ts";
import type { VirtAddr } from "../base/address.ts";
import { EbscopeError } from "../base/error.ts";
import { hex } from "../base/hex.ts";
import { printable } from "../base/text.ts";
import type { Breakpoint, Target } from "../target/target.ts";

const MAX_BREAKPOINTS = 1_024;

export class Breakpoints {
  readonly #guest: string;
  readonly #target: Target;
  readonly #addresses = new Map<string, VirtAddr>();
  readonly #inserted = new Map<VirtAddr, Breakpoint>();
  #next = 1;

  constructor(guest: string, target: Target) {
    this.#guest = guest;
    this.#target = target;
  }

  list(): BreakpointJson[] {
    return [...this.#addresses].map(([breakpoint, address]) => this.#json(breakpoint, address));
  }

  /** Whether one is in the guest at this address. */
  isAt(address: VirtAddr): boolean {
    return this.#inserted.has(address);
  }

  /** The guest is halted. Raises what the stub says where it takes none. */
  async insert(address: VirtAddr): Promise<BreakpointJson> {
    if (this.#addresses.size >= MAX_BREAKPOINTS) {
      throw new EbscopeError("usage", `Cannot insert a breakpoint: the guest has ${MAX_BREAKPOINTS}`, {
        next: "Remove some (`Breakpoint.remove`).",
      });
    }
    await this.#putIn(address);
    const id = `b${this.#next++}`;
    this.#addresses.set(id, address);
    return this.#json(id, address);
  }

  /** The guest is halted. */
  async remove(id: string): Promise<void> {
    const address = this.#addresses.get(id);
    if (address === undefined) {
      throw new EbscopeError(
        "no-such-breakpoint",
        `Cannot remove ${printable(id, 40)}: ${this.#guest} has none like it`,
      );
    }
    const isLast = ![...this.#addresses].some(([other, each]) => other !== id && each === address);
    if (isLast) await this.#takeOut(address);
    this.#addresses.delete(id);
  }

  /** Takes all out of the halted guest; they are kept for `restore`. */
  async suspend(): Promise<void> {
    for (const address of [...this.#inserted.keys()]) await this.#takeOut(address);
  }

  /** Puts all back into the halted guest; those that the stub does not take any more are gone. Raises what ended the connection. */
  async restore(): Promise<void> {
    for (const [id, address] of [...this.#addresses]) {
      try {
        await this.#putIn(address);
      } catch (error) {
        if (!(error instanceof EbscopeError) || error.code !== "stub-refused") throw error;
        this.#addresses.delete(id);
      }
    }
  }

  async #putIn(address: VirtAddr): Promise<void> {
    if (!this.#inserted.has(address)) this.#inserted.set(address, await this.#target.insertBreakpoint(address));
  }

  async #takeOut(address: VirtAddr): Promise<void> {
    const breakpoint = this.#inserted.get(address);
    this.#inserted.delete(address);
    await breakpoint?.[Symbol.asyncDispose]();
  }

  #json(breakpoint: string, address: VirtAddr): BreakpointJson {
    return { breakpoint, target: this.#guest, address: hex(address) };
  }
}
