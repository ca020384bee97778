/** The watchpoints on pages of tables and on ranges, and what lies behind an address that is written to. */
import { PAGE_SIZE, type PhysAddr, phys, type VirtAddr, virt } from "../../base/address.ts";
import { EbscopeError } from "../../base/error.ts";
import type { WatchedRange } from "../../snapshot/blame.ts";
import type { OutOfTheWay, Target, Watchpoint } from "../../target/target.ts";
import { touches } from "./ranges.ts";

/** A doubleword that is watched. */
export interface WatchedWord {
  readonly virtual: VirtAddr;
  /** Where it lies in a table; undefined when it is none's. */
  readonly table: PhysAddr | undefined;
  readonly inRange: boolean;
}

/** Most pages of tables that are watched: the stub looks through all watchpoints at each access to a watched page. */
const MAX_PAGES = 4_096;

export class Watchpoints {
  readonly #target: Target;
  /** By virtual page. */
  readonly #tables = new Map<VirtAddr, { readonly physical: PhysAddr; readonly trap: Watchpoint }>();
  readonly #ranges: { readonly range: WatchedRange; readonly trap: Watchpoint }[] = [];

  constructor(target: Target) {
    this.#target = target;
  }

  get count(): number {
    return this.#tables.size + this.#ranges.length;
  }

  get ranges(): readonly WatchedRange[] {
    return this.#ranges.map(({ range }) => range);
  }

  /** Raises `stub-refused`. */
  async addRange(range: WatchedRange): Promise<void> {
    this.#ranges.push({ range, trap: await this.#target.insertWatchpoint(range.address, range.length) });
  }

  /**
   * Watches these pages of tables and no others. Returns how many there would have been too many. Raises `stub-refused`, with nothing in that was
   * not before.
   */
  async placeTables(wanted: ReadonlyMap<PhysAddr, readonly VirtAddr[]>): Promise<number> {
    const places = new Map([...wanted].flatMap(([physical, all]) => all.map((at) => [at, physical] as const)));
    const gone = [...this.#tables].filter(([at, { physical }]) => places.get(at) !== physical);
    for (const [at] of gone) this.#tables.delete(at);
    // Before others go in: the trap at an address is one, whatever lies there.
    await Promise.all(gone.map(([, { trap }]) => trap[Symbol.asyncDispose]()));
    const missing = [...places].filter(([at]) => !this.#tables.has(at));
    const fitting = missing.slice(0, Math.max(MAX_PAGES - this.#tables.size, 0));
    const inserted = await Promise.allSettled(
      fitting.map(async ([at, physical]) => {
        this.#tables.set(at, { physical, trap: await this.#target.insertWatchpoint(at, PAGE_SIZE) });
      }),
    );
    const refused = inserted.find((each) => each.status === "rejected");
    if (refused === undefined) return missing.length - fitting.length;
    if (refused.reason instanceof EbscopeError && refused.reason.code === "stub-refused") await this.removeTables();
    throw refused.reason;
  }

  async removeTables(): Promise<void> {
    const traps = [...this.#tables.values()].map(({ trap }) => trap);
    this.#tables.clear();
    await Promise.all(traps.map((trap) => trap[Symbol.asyncDispose]()));
  }

  async removeRanges(): Promise<void> {
    await Promise.all(this.#ranges.splice(0).map(({ trap }) => trap[Symbol.asyncDispose]()));
  }

  /** What to take out for a step from a stop that the stub told with the address where a watchpoint begins; undefined when none does. */
  trapAt(address: bigint): OutOfTheWay | undefined {
    const traps = this.#ranges.filter(({ range }) => range.address === address).map(({ trap }) => trap);
    const table = this.#tables.get(virt(address));
    if (table !== undefined) traps.push(table.trap);
    return traps.length > 1 ? "everything" : traps[0];
  }

  /** The pages of tables that a stop there may have been about. */
  tableAt(address: bigint): PhysAddr | undefined {
    return this.#tables.get(virt(address & ~0xfffn))?.physical;
  }

  /** The pages of all tables that are watched. */
  get tablePages(): readonly PhysAddr[] {
    return [...new Set([...this.#tables.values()].map(({ physical }) => physical))];
  }

  /** Those of some doublewords that are watched. */
  watched(doublewords: readonly VirtAddr[]): WatchedWord[] {
    return doublewords.flatMap((virtual) => {
      const page = this.#tables.get(virt(virtual & ~0xfffn));
      const inRange = this.#ranges.some(({ range }) => touches(range, virtual));
      if (page === undefined && !inRange) return [];
      return [{ virtual, table: page && phys(page.physical + (virtual & 0xfffn)), inRange }];
    });
  }
}
