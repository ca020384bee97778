/** Pages of a stopped guest that are fetched when they turn out to be needed: a few addresses are translated without all of its tables. */
import type { PhysAddr } from "../base/address.ts";
import { PAGE_SIZE } from "../base/address.ts";
import type { MemoryRead, PageSource, PhysMemory } from "../base/memory.ts";
import { RecordingMemory } from "./page-memory.ts";

/** Rounds until an answer is known: four levels, each through five lookups of stage 2, and those of the result; more is no walk. */
const MAX_ROUNDS = 40;
/** Pages that are kept from one question to the next. */
const MAX_KEPT = 8_192;

export class DemandPages {
  readonly #memory: PhysMemory;
  #record: RecordingMemory;

  constructor(memory: PhysMemory) {
    this.#memory = memory;
    this.#record = new RecordingMemory(memory);
  }

  /** What was fetched until now. */
  get pages(): ReadonlyMap<PhysAddr, MemoryRead> {
    return this.#record.pages;
  }

  /** What `work` makes of the pages that it asks for; it is called again whenever there were some that had to be fetched first. */
  async resolve<T>(work: (source: PageSource) => T): Promise<T> {
    if (this.#record.pages.size > MAX_KEPT) this.#record = new RecordingMemory(this.#memory);
    for (let round = 1; ; round++) {
      const missing = new Set<PhysAddr>();
      const result = work({ page: (page) => this.#record.page(page) ?? this.#miss(page, missing) });
      if (missing.size === 0 || round === MAX_ROUNDS) return result;
      await this.#record.read([...missing].map((address) => ({ address, length: PAGE_SIZE })));
    }
  }

  #miss(page: PhysAddr, missing: Set<PhysAddr>): undefined {
    missing.add(page);
    return undefined;
  }
}
