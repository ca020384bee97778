/**
 * How the vCPUs translate while they are watched: their live regimes, the pages of the tables, where these are to be written to, and what lies in
 * memory.
 */
import { currentRegimeName, liveRegimes } from "../../aarch64/regime.ts";
import { type Regime, regimeKey } from "../../aarch64/regime-model.ts";
import { pageAddress, pageNumberOf } from "../../aarch64/table-pages.ts";
import { type TableChange, TableUses } from "../../aarch64/table-uses.ts";
import { type Translation, Translator, type WalkStep } from "../../aarch64/translate.ts";
import { mapRegime } from "../../aarch64/walk.ts";
import { type PhysAddr, phys, physPage, rangeContains, type VirtAddr, virt } from "../../base/address.ts";
import type { MemoryRange, PhysMemory } from "../../base/memory.ts";
import type { Registers } from "../../base/registers.ts";
import { Shadow } from "./shadow.ts";

/** Virtual addresses at which one page is watched. */
const MAX_ALIASES = 8;
/** Virtual pages of which it is remembered whether they lie in memory, a regime. */
const MAX_KNOWN = 4_096;
/** Levels of tables below which nothing can be: more rounds of fetching than that are none of a guest's. */
const MAX_ROUNDS = 8;

/** Whether a virtual page lies in memory, as long as nothing is written to certain descriptors. */
interface KnownPage {
  readonly isMemory: boolean;
  /** Those on the way; undefined: what is written anywhere may change it. */
  readonly through: readonly PhysAddr[] | undefined;
}

export class MachineView {
  readonly shadow = new Shadow();
  readonly #memory: PhysMemory;
  readonly #ranges: readonly MemoryRange[];
  #regimes: readonly Regime[] = [];
  /** The regime that each vCPU executes in. */
  #current: readonly (Regime | undefined)[] = [];
  #uses = new TableUses([], this.shadow);
  /** Where virtual pages lead, by regime. */
  #known = new Map<Regime, Map<VirtAddr, KnownPage>>();

  constructor(memory: PhysMemory, ranges: readonly MemoryRange[]) {
    this.#memory = memory;
    this.#ranges = ranges;
  }

  get uses(): TableUses {
    return this.#uses;
  }

  /** Takes the registers of all vCPUs. False when the tables are the same as before. */
  async follow(vcpus: readonly Registers[], memory: PhysMemory = this.#memory): Promise<boolean> {
    const live = vcpus.map((registers) => liveRegimes(registers));
    const regimes = new Map(live.flat().map((regime) => [regimeKey(regime), regime]));
    this.#current = vcpus.map((registers, i) => {
      const name = currentRegimeName(registers);
      const regime = live[i]?.find((each) => each.name === name);
      return regime === undefined ? undefined : regimes.get(regimeKey(regime));
    });
    this.#known.clear();
    if ([...regimes.keys()].join("\n") === this.#regimes.map(regimeKey).join("\n")) {
      this.#regimes = [...regimes.values()];
      return false;
    }
    this.#regimes = [...regimes.values()];
    // Stage 2 first: it tells where the tables of what is behind it lie.
    for (const regimes of [this.#regimes.filter(({ name }) => name === "stage2"), this.#regimes]) {
      this.#uses = new TableUses(regimes, this.shadow);
      await this.fetch(memory);
    }
    const kept = new Set(this.#uses.pages());
    for (const page of this.shadow.pages) if (!kept.has(page)) this.shadow.drop(page);
    return true;
  }

  /** Reads the tables that are not known yet; returns them. */
  async fetch(memory: PhysMemory = this.#memory): Promise<readonly PhysAddr[]> {
    const found: PhysAddr[] = [];
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const missing = this.#uses.pages().filter((page) => this.shadow.page(page) === undefined);
      if (missing.length === 0) break;
      await this.shadow.fetch(memory, missing);
      for (const page of missing) this.#uses.arrived(page);
      found.push(...missing);
    }
    return found;
  }

  /** A doubleword of a table has another value now. */
  written(address: PhysAddr, value: bigint): TableChange {
    this.shadow.write(address, value);
    const change = this.#uses.written(address);
    for (const page of change.removed) this.shadow.drop(page);
    for (const known of this.#known.values()) {
      for (const [page, { through }] of known) if (through?.includes(address) ?? true) known.delete(page);
    }
    return change;
  }

  /**
   * Where each page of a table in memory can be written to: virtual addresses by page, as the tables are now. `cut`: whether there are more. What
   * is no memory is left out: it could not be looked at.
   */
  aliases(): { readonly places: ReadonlyMap<PhysAddr, readonly VirtAddr[]>; readonly cut: boolean } {
    let cut = false;
    const pages = this.#uses
      .pages()
      .filter((page) => this.#ranges.some((range) => rangeContains(range, page, 4096)))
      .map(pageNumberOf)
      .sort((a, b) => a - b);
    const found = new Map<PhysAddr, VirtAddr[]>(pages.map((page) => [pageAddress(page), []]));
    for (const regime of this.#regimes) {
      if (regime.name === "stage2") continue;
      for (const { start, pages: length, output } of mapRegime(regime, this.shadow).runs) {
        for (let i = lowerBound(pages, output); i < pages.length && (pages[i] as number) < output + length; i++) {
          const page = pages[i] as number;
          const at = virt(pageAddress(start + (page - output)));
          const list = found.get(pageAddress(page)) as VirtAddr[];
          if (list.includes(at)) continue;
          if (list.length < MAX_ALIASES) list.push(at);
          else cut = true;
        }
      }
    }
    return { places: found, cut };
  }

  /** Whether a virtual page leads to RAM or ROM for a vCPU. */
  isMemory(cpu: number, page: VirtAddr): boolean {
    const regime = this.#current[cpu];
    if (regime === undefined) return false;
    const known = this.#known.get(regime) ?? new Map<VirtAddr, KnownPage>();
    this.#known.set(regime, known);
    const before = known.get(page);
    if (before !== undefined) return before.isMemory;
    const { steps, result } = new Translator(regime, this.shadow).translate(page);
    const isMemory = result.mapped === true && this.#isMemoryAt(result.pa);
    if (known.size >= MAX_KNOWN) known.clear();
    known.set(page, { isMemory, through: mayKeep(regime, result) ? steps.map(descriptorOf) : undefined });
    return isMemory;
  }

  #isMemoryAt(address: PhysAddr): boolean {
    return this.#ranges.some((range) => rangeContains(range, physPage(address), 4096));
  }
}

/** Whether the steps of a translation are all that it rests on: behind stage 2 there are those to the tables as well. */
function mayKeep(regime: Regime, { mapped }: Translation): boolean {
  return mapped === true && regime.behind === undefined;
}

function descriptorOf({ table, index }: WalkStep): PhysAddr {
  return phys(table + BigInt(8 * index));
}

/** The index of the first number that is not below `value`. */
function lowerBound(ascending: readonly number[], value: number): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ascending[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
