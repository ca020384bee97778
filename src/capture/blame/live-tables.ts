/** The tables that are in use, write by write: what each write does to them, and which pages have to be watched from then on. */
import { descriptorKind, INVALID, outputPage, TABLE } from "../../aarch64/descriptor.ts";
import { LAST_LEVEL } from "../../aarch64/granule.ts";
import { pageAddress } from "../../aarch64/table-pages.ts";
import type { TableUse } from "../../aarch64/table-uses.ts";
import { PAGE_SIZE, type PhysAddr, physPage } from "../../base/address.ts";
import type { MemoryRead } from "../../base/memory.ts";
import type { Registers } from "../../base/registers.ts";
import type { Cpu, Target } from "../../target/target.ts";
import { type Hit, isRefusal } from "./hit.ts";
import type { MachineView } from "./machine-view.ts";
import { NOTHING, type Recorder } from "./recorder.ts";
import { differences } from "./shadow.ts";
import type { UseWatch } from "./use-watch.ts";
import type { WatchedWord, Watchpoints } from "./watchpoints.ts";

export interface LiveTablesParts {
  readonly target: Target;
  readonly recorder: Recorder;
  readonly watchpoints: Watchpoints;
  readonly view: MachineView;
  /** Who uses mappings that were changed; undefined when nobody watches for maintenance. */
  readonly useWatch: UseWatch | undefined;
  /** Told why not all is seen from here on. */
  readonly onLapse: (why: string) => void;
}

export class LiveTables {
  readonly #target: Target;
  readonly #recorder: Recorder;
  readonly #watchpoints: Watchpoints;
  readonly #view: MachineView;
  readonly #useWatch: UseWatch | undefined;
  readonly #onLapse: (why: string) => void;
  /** Whether tables have come or gone, or can be written to at other addresses, since the watchpoints were placed. */
  #moved = false;
  #refused = false;
  readonly #told = new Set<string>();

  constructor({ target, recorder, watchpoints, view, useWatch, onLapse }: LiveTablesParts) {
    this.#target = target;
    this.#recorder = recorder;
    this.#watchpoints = watchpoints;
    this.#view = view;
    this.#useWatch = useWatch;
    this.#onLapse = onLapse;
  }

  /** Whether the stub takes watchpoints. */
  get watched(): boolean {
    return !this.#refused;
  }

  /** Puts watchpoints on all pages of tables, and takes them off others. */
  async place(): Promise<void> {
    if (this.#refused) return;
    this.#moved = false;
    if (this.#view.uses.overflowed) this.#lapse("There are more uses of tables than are followed.");
    const { places, cut } = this.#view.aliases();
    if (cut) this.#lapse("Tables can be written to at more addresses than are watched.");
    try {
      const left = await this.#watchpoints.placeTables(places);
      if (left > 0) this.#lapse("There are more pages of tables than are watched.");
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#refused = true;
      this.#onLapse(`Who writes to the tables cannot be seen: the stub takes no watchpoints (${error.message}).`);
    }
  }

  /** Told once: a guest may change its tables without end. */
  #lapse(why: string): void {
    if (this.#told.has(why)) return;
    this.#told.add(why);
    this.#onLapse(why);
  }

  /** Whether these writes bring no table and take none, and let none be written to at another address. `values`: what they will hold, if known. */
  leavesTables(written: readonly WatchedWord[], values: readonly bigint[] | undefined): boolean {
    return written.every(({ table }, i) => {
      if (table === undefined) return true;
      const value = values?.[i];
      if (value === undefined) return false;
      const old = this.#view.shadow.word(table) ?? 0n;
      // What was valid and becomes another is waited for, before the guest runs on.
      if (this.#useWatch !== undefined && (old & 1n) === 1n && old !== value) return false;
      const uses = this.#view.uses.usesOf(physPage(table));
      const tells = (use: TableUse): boolean => isTable(old, use) || isTable(value, use) || use.regime.bigEndian;
      return !uses.some((use) => tells(use) || this.#mapsTables(old, use) || this.#mapsTables(value, use));
    });
  }

  /** A doubleword of a table was stored to; undefined: what it holds now could not be read. */
  written({ cpu, pc, word, stack }: Hit, address: PhysAddr, value: bigint | undefined): void {
    const old = this.#view.shadow.word(address);
    this.#recorder.add({ kind: "table", cpu: cpu.index, pc, word, address, old, new: value, stack });
    if (value !== undefined && value !== old) this.#change(address, value);
  }

  #change(address: PhysAddr, value: bigint): void {
    const uses = this.#view.uses.usesOf(physPage(address));
    const old = this.#view.shadow.word(address) ?? 0n;
    // A page that a leaf does not map any more is not to be watched there either: something else may be.
    const maps = uses.some((use) => this.#mapsTables(old, use) || this.#mapsTables(value, use));
    const entry = Number(address & 0xfffn) >> 3;
    for (const use of uses) {
      if (this.#useWatch !== undefined && isLeaf(old, use)) this.#useWatch.noteChange(use, entry);
    }
    const { added, removed } = this.#view.written(address, value);
    this.#moved ||= maps || added.length > 0 || removed.length > 0;
  }

  /** Whether a leaf may lead to a page of a table. */
  #mapsTables(value: bigint, { level, root, regime }: TableUse): boolean {
    const { format } = root;
    const [low, high] = halves(value, regime.bigEndian);
    const kind = descriptorKind(low, level, format);
    if (kind === INVALID || kind === TABLE) return false;
    if (level < LAST_LEVEL || format.granuleBits !== 12) return true;
    return this.#view.uses.usesOf(pageAddress(outputPage(low, high, format))).length > 0;
  }

  /** Looks at what the writes since have led to, before the guest runs on. */
  async settle(cpu: Cpu): Promise<void> {
    await this.#useWatch?.arm();
    if (!this.#moved) return;
    this.#tellFound(await this.#view.fetch(), cpu.index);
    await this.place();
  }

  /** Registers that decide translation have changed. */
  async follow(vcpus: readonly Registers[], cpu: number): Promise<void> {
    const before = new Set(this.#view.shadow.pages);
    if (!(await this.#view.follow(vcpus))) return;
    this.#tellFound(
      this.#view.shadow.pages.filter((page) => !before.has(page)),
      cpu,
    );
    await this.place();
  }

  #tellFound(pages: readonly PhysAddr[], cpu: number): void {
    for (const page of pages) {
      const read = this.#view.shadow.page(page);
      const contents = read?.state === "present" ? this.#recorder.contents(read.bytes) : undefined;
      const index = contents === undefined ? undefined : BigInt(contents);
      this.#recorder.add({ ...NOTHING, kind: "table-found", cpu, address: page, new: index });
    }
  }

  /** Tells what differs in all tables from what was seen to be written; `by`: the instruction that must have done it. */
  async compareAll(cpu: Cpu, by?: Hit): Promise<void> {
    const pages = this.#view.uses.pages();
    const reads = await this.#target.memory.read(pages.map((address) => ({ address, length: PAGE_SIZE })));
    for (const [i, page] of pages.entries()) this.#compare(page, reads[i], cpu.index, by);
    await this.settle(cpu);
  }

  /** As `compareAll`, with the pages of a point. */
  compareWith(pages: ReadonlyMap<PhysAddr, MemoryRead>, cpu: number): void {
    for (const page of this.#view.uses.pages()) this.#compare(page, pages.get(page), cpu);
  }

  #compare(page: PhysAddr, read: MemoryRead | undefined, cpu: number, by?: Hit): void {
    const before = this.#view.shadow.page(page);
    if (before?.state !== "present" || read?.state !== "present" || before.bytes === read.bytes) return;
    for (const { address, old, now } of differences(page, before.bytes, read.bytes)) {
      if (by !== undefined) {
        this.written(by, address, now);
        continue;
      }
      this.#recorder.add({ ...NOTHING, kind: "unseen-table", cpu, address, old, new: now });
      this.#change(address, now);
    }
  }
}

function isTable(value: bigint, { level, root, regime }: TableUse): boolean {
  return level < LAST_LEVEL && descriptorKind(halves(value, regime.bigEndian)[0], level, root.format) === TABLE;
}

function isLeaf(value: bigint, { level, root, regime }: TableUse): boolean {
  const kind = descriptorKind(halves(value, regime.bigEndian)[0], level, root.format);
  return kind !== INVALID && kind !== TABLE;
}

/** Of a descriptor as it was read from memory. */
function halves(value: bigint, bigEndian: boolean): readonly [number, number] {
  if (!bigEndian) return [Number(value & 0xffff_ffffn), Number(value >> 32n)];
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, value, true);
  return [view.getUint32(4), view.getUint32(0)];
}
