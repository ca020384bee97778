/**
 * Waiting for the next load or store through a mapping that was changed while it was valid: until TLB maintenance is seen, a TLB may still hold
 * what it was, and a use of it is what makes that matter.
 *
 * A stub's watchpoint on reads and writes stops before the access. QEMU forgets what its own TLB holds of a page when a watchpoint is put there, so
 * that a guest in which maintenance is missing may see the new mapping where it would have seen the old one.
 */

import type { TableUse } from "../../aarch64/table-uses.ts";
import { translatedBy } from "../../aarch64/table-uses.ts";
import { type VirtAddr, virt } from "../../base/address.ts";
import type { Target, Watchpoint } from "../../target/target.ts";
import { type Hit, isRefusal } from "./hit.ts";
import type { Recorder } from "./recorder.ts";

/** Mappings that are waited for at a time; the oldest is given up for another. */
const MAX_WAITING = 16;
/** The most bytes of one mapping: a block of level 2 with the 4 KiB granule. */
const MAX_SIZE = 1n << 21n;

export class UseWatch {
  readonly #target: Target;
  readonly #recorder: Recorder;
  readonly #waiting = new Map<VirtAddr, Watchpoint>();
  /** Changed since, and not waited for yet. */
  #changed: { readonly va: VirtAddr; readonly size: number }[] = [];
  #refused = false;

  constructor(target: Target, recorder: Recorder) {
    this.#target = target;
    this.#recorder = recorder;
  }

  /** Whether anything is waited for. */
  get isWaiting(): boolean {
    return this.#waiting.size > 0 || this.#changed.length > 0;
  }

  /** A descriptor that was valid has become another one. */
  noteChange(use: TableUse, entry: number): void {
    const mapped = translatedBy(use, entry);
    if (mapped === undefined || mapped.size > MAX_SIZE || this.#refused) return;
    this.#changed.push({ va: virt(mapped.va), size: Number(mapped.size) });
  }

  /** Waits for the uses of what has changed since; the guest is halted. */
  async arm(): Promise<void> {
    for (const { va, size } of this.#changed.splice(0)) {
      if (this.#waiting.has(va) || this.#refused) continue;
      if (this.#waiting.size >= MAX_WAITING) await this.#remove([...this.#waiting.keys()][0] as VirtAddr);
      try {
        this.#waiting.set(va, await this.#target.insertWatchpoint(va, size, "access"));
      } catch (error) {
        if (!isRefusal(error)) throw error;
        this.#refused = true;
        this.#recorder.note("Uses of changed mappings are not seen: the stub takes no watchpoints on reads.");
      }
    }
  }

  /** Whether a stop at a watchpoint on reads and writes is one of these; then the access is recorded, and not waited for any more. */
  async handle(address: bigint, hit: () => Promise<Hit>): Promise<boolean> {
    const va = virt(address);
    if (!this.#waiting.has(va)) return false;
    const { cpu, pc, word, stack } = await hit();
    this.#recorder.add({
      ...{ kind: "use", cpu: cpu.index, pc, word, address: va },
      ...{ old: undefined, new: undefined, stack },
    });
    await this.#remove(va);
    return true;
  }

  /** TLB maintenance was seen, or nobody watches any more. The guest is halted. */
  async clear(): Promise<void> {
    this.#changed = [];
    await Promise.all([...this.#waiting.keys()].map((va) => this.#remove(va)));
  }

  async #remove(va: VirtAddr): Promise<void> {
    const trap = this.#waiting.get(va);
    this.#waiting.delete(va);
    await trap?.[Symbol.asyncDispose]();
  }
}
