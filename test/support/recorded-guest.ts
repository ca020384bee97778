/**
 * A guest of a test, and the record of what it does: writes to tables, to registers, points. Tables are found by a walk of its own, of 4 KiB
 * granules and 48-bit addresses without stage 2. Shares no code with src.
 */
import type { PhysAddr, VirtAddr } from "../../src/base/address.ts";
import type { MemoryRead } from "../../src/base/memory.ts";
import type { RegisterRead } from "../../src/base/registers.ts";
import type { BlameEvent, BlameKind, BlameRecord, StackSample } from "../../src/snapshot/blame.ts";
import type { Capture, Point } from "../../src/snapshot/model.ts";
import { FakeMemory } from "./fake-memory.ts";

/** op0, op1, CRn, CRm, op2 of the registers of EL1; those of EL2 and EL3 have op1 4 and 6. */
const NUMBERS: Readonly<Record<string, readonly [number, number, number]>> = {
  SCTLR: [1, 0, 0],
  TTBR0: [2, 0, 0],
  TTBR1: [2, 0, 1],
  TCR: [2, 0, 2],
  MAIR: [10, 2, 0],
  VBAR: [12, 0, 0],
  HCR: [1, 1, 0],
};

export function encodingOfRegister(name: string): bigint {
  const [base = "", level = ""] = name.split("_EL");
  const [crn, crm, op2] = NUMBERS[base] ?? [];
  if (crn === undefined || crm === undefined || op2 === undefined) throw new Error(`no encoding for ${name}`);
  const op1 = level === "1" ? 0 : level === "2" ? 4 : 6;
  return BigInt((3 << 14) | (op1 << 11) | (crn << 7) | (crm << 3) | op2);
}

/** What an event may be given besides what happened. */
export interface By {
  readonly cpu?: number;
  readonly pc?: bigint;
  readonly stack?: number;
  /** Not written down: only the next comparison can find it. */
  readonly missed?: boolean;
  /** Belongs to the stop of the event before. */
  readonly sameStop?: boolean;
}

export interface RecordParts extends Partial<Omit<BlameRecord, "events" | "contents">> {
  readonly events?: readonly BlameEvent[];
}

export class RecordedGuest {
  readonly memory: FakeMemory;
  /** By vCPU. */
  readonly registers: Map<string, bigint>[];
  readonly events: BlameEvent[] = [];
  readonly contents: Uint8Array[] = [];
  readonly stacks: StackSample[] = [];
  readonly points: Point[] = [];
  readonly #names: readonly string[];
  #stop = 0;
  #live = new Set<bigint>();

  constructor(registers: readonly ReadonlyMap<string, bigint>[], memory = new FakeMemory()) {
    this.memory = memory;
    this.registers = registers.map((each) => new Map(each));
    this.#names = [...new Set(registers.flatMap((each) => [...each.keys()]))];
  }

  /** Stores a doubleword; recorded when it lies in a table that is live. Returns the index of the event. */
  write(address: bigint, value: bigint, by: By = {}): number | undefined {
    const old = this.memory.word(address);
    const isTable = this.#live.has(address & ~0xfffn);
    this.memory.setWord(address, value);
    if (!isTable || by.missed) return undefined;
    const index = this.#add("table", { address, old, new: value }, by);
    this.#findTables(by.cpu ?? 0);
    return index;
  }

  setRegister(name: string, value: bigint, by: By = {}): number | undefined {
    const registers = this.registers[by.cpu ?? 0] as Map<string, bigint>;
    const old = registers.get(name);
    registers.set(name, value);
    if (by.missed) return undefined;
    const index = this.#add("register", { address: encodingOfRegister(name), old, new: value }, by);
    this.#findTables(by.cpu ?? 0);
    return index;
  }

  /** Anything else. */
  event(kind: BlameKind, address: bigint, rest: { old?: bigint; new?: bigint } = {}, by: By = {}): number {
    return this.#add(kind, { address, old: rest.old, new: rest.new }, by);
  }

  /** Takes a point, with the tables that are live and the pages asked for. */
  point(id: string, pages: readonly bigint[] = []): Point {
    this.#live = this.#liveTables();
    const kept = new Map<PhysAddr, MemoryRead>();
    for (const page of [...this.#live, ...pages]) kept.set(page as PhysAddr, this.#read(page));
    const point: Point = {
      ...{ id, kind: "now", time: "2026-11-22T11:00:00.000Z", cpu: 0, memoryRanges: [], images: [], complete: true },
      registers: this.registers.map((values) => this.#names.map((name) => registerRead(values.get(name)))),
      pages: kept,
    };
    this.#add("point", { address: BigInt(this.points.length), old: undefined, new: undefined }, {});
    this.points.push(point);
    return point;
  }

  capture(parts: RecordParts = {}): Capture {
    const blame: BlameRecord = {
      ...{ tables: true, maintenance: true, ranges: [], sites: [], uncounted: 0, code: new Map(), notes: [] },
      ...{ events: this.events, stacks: this.stacks, contents: this.contents },
      ...parts,
    };
    return {
      ...{ createdAt: "", createdBy: "test", qemuVersion: undefined, architecture: "aarch64", efi: undefined },
      threads: this.registers.map((_, i) => `p1.${i + 1}`),
      registers: this.#names.map((name, number) => ({ name, stubName: name, number, bits: 64, feature: "f" })),
      ...{ attempts: [], memoryMap: undefined, points: this.points, notes: [], symbols: undefined, blame },
      partial: undefined,
    };
  }

  #add(kind: BlameKind, what: Pick<BlameEvent, "address" | "old" | "new">, by: By): number {
    if (!by.sameStop) this.#stop++;
    const pc = by.pc === undefined ? undefined : (by.pc as VirtAddr);
    this.events.push({ kind, stop: this.#stop, cpu: by.cpu ?? 0, pc, word: undefined, ...what, stack: by.stack });
    return this.events.length - 1;
  }

  #findTables(cpu: number): void {
    const live = this.#liveTables();
    for (const page of live) {
      if (this.#live.has(page)) continue;
      const read = this.#read(page);
      if (read.state === "present") this.contents.push(read.bytes);
      const index = read.state === "present" ? BigInt(this.contents.length - 1) : undefined;
      this.#add("table-found", { address: page, old: undefined, new: index }, { cpu, sameStop: true });
    }
    this.#live = live;
  }

  #read(page: bigint): MemoryRead {
    const read = this.memory.page(page as PhysAddr);
    return read.state === "present" ? { state: "present", bytes: read.bytes.slice() } : read;
  }

  #liveTables(): Set<bigint> {
    const seen = new Set<string>();
    const pages = new Set<bigint>();
    const visit = (table: bigint, entries: number, level: number): void => {
      if (seen.has(`${table} ${level}`)) return;
      seen.add(`${table} ${level}`);
      pages.add(table & ~0xfffn);
      if (level === 3) return;
      for (let i = 0; i < entries; i++) {
        const word = this.memory.word(table + BigInt(i * 8)) ?? 0n;
        if ((word & 3n) === 3n) visit(word & 0xffff_ffff_f000n, 512, level + 1);
      }
    };
    for (const registers of this.registers) for (const root of rootsOf(registers)) visit(...root);
    return pages;
  }
}

/** Table, entries and level of what TTBRs name while translation is on. */
function rootsOf(registers: ReadonlyMap<string, bigint>): [bigint, number, number][] {
  const host = ((registers.get("HCR_EL2") ?? 0n) >> 34n) % 2n === 1n;
  return [1, 2, 3].flatMap((level) => {
    if ((registers.get(`SCTLR_EL${level}`) ?? 0n) % 2n === 0n) return [];
    const tcr = registers.get(`TCR_EL${level}`) ?? 0n;
    const halves = level === 1 || (level === 2 && host) ? [0, 1] : [0];
    return halves.flatMap((half): [bigint, number, number][] => {
      const ttbr = registers.get(`TTBR${half}_EL${level}`);
      if (ttbr === undefined || (halves.length === 2 && (tcr >> BigInt(half === 0 ? 7 : 23)) % 2n === 1n)) return [];
      const inputBits = 64 - Number((tcr >> BigInt(half * 16)) & 63n);
      const start = [39, 30, 21, 12].findIndex((bit) => inputBits > bit);
      const entries = 2 ** (inputBits - ([39, 30, 21, 12][start] as number));
      const table = ttbr & 0xffff_ffff_fffen & ~BigInt(entries * 8 - 1);
      return [[table, entries, start]];
    });
  });
}

function registerRead(value: bigint | undefined): RegisterRead {
  if (value === undefined) return { state: "unavailable" };
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return { state: "present", bytes };
}
