/**
 * A machine whose memory can be had by two ways, for tests: through a stub, and at positions of an open file. Both read the same bytes
 * until a test makes them differ. Shares no code with src.
 */
import type { PhysAddr } from "../../src/base/address.ts";
import type { MemoryRange, MemoryRead, PhysSpan } from "../../src/base/memory.ts";
import type { HostSource, HostWindow, Located } from "../../src/target/memory/channel.ts";
import type { StubMemory } from "../../src/target/memory/guest-memory.ts";

const PAGE = 4096;

/** What fills a page: bytes of its own (`told`), or one byte over and over. */
export type Filling = "told" | { readonly fill: number };

/** Pages made so far: making one takes longer than all the rest of a test. */
const told = new Map<number, Uint8Array>();
const filled = new Map<number, Uint8Array>();

export interface FakeRange {
  readonly start: number;
  readonly size: number;
  readonly name?: string;
  readonly kind?: "ram" | "rom";
}

/** A byte that tells its address: no two pages are alike. */
export function toldByte(address: number): number {
  const mixed = Math.imul(Math.floor(address / PAGE) + 1, 0x9e3779b1) ^ Math.imul((address % PAGE) + 7, 0x85ebca6b);
  return ((mixed >>> 13) ^ (mixed >>> 24)) & 0xff;
}

/** The physical memory of a machine, the stub that reads it, and its monitor. */
export class FakeMachine implements StubMemory {
  /** What the stub may read, as the one who uses it said last. */
  ranges: readonly MemoryRange[] = [];
  halted = true;
  /** The machine's real ranges. */
  layout: readonly FakeRange[];
  /** Pages that are not `told`, by address. */
  readonly fillings = new Map<number, Filling>();
  /** What every other page is. */
  filling: Filling = "told";
  readonly stubReads: PhysSpan[][] = [];
  /** Pages that the stub cannot read. */
  readonly refused = new Set<number>();
  /** Held back until it resolves, if it is set. */
  gate: Promise<void> | undefined;
  /** Thrown by the stub from now on. */
  lost: Error | undefined;

  constructor(layout: readonly FakeRange[], filling: Filling = "told") {
    this.layout = layout;
    this.filling = filling;
  }

  bytes(address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const at = address + done;
      const part = this.#page(at - (at % PAGE)).subarray(at % PAGE, (at % PAGE) + length - done);
      bytes.set(part, done);
      done += part.length;
    }
    return bytes;
  }

  #page(page: number): Uint8Array {
    const filling = this.fillings.get(page) ?? this.filling;
    const key = filling === "told" ? page : filling.fill;
    const kept = filling === "told" ? told : filled;
    const known =
      kept.get(key) ?? Uint8Array.from({ length: PAGE }, (_, i) => (filling === "told" ? toldByte(page + i) : key));
    kept.set(key, known);
    return known;
  }

  async read(spans: readonly PhysSpan[]): Promise<MemoryRead[]> {
    if (this.lost !== undefined) throw this.lost;
    if (!this.halted) throw new Error("the guest runs");
    this.stubReads.push([...spans]);
    const reads = spans.map((span) => this.#readSpan(span));
    await this.gate;
    if (this.lost !== undefined) throw this.lost;
    return reads;
  }

  #readSpan({ address, length }: PhysSpan): MemoryRead {
    const at = Number(address);
    const inside = this.ranges.some(({ start, size }) => at >= start && BigInt(at + length) <= start + size);
    if (!inside) return { state: "absent", code: "outside-memory" };
    for (const page of this.refused) {
      if (page < at + length && page + PAGE > at) return { state: "unreadable", code: "read-failed" };
    }
    return { state: "present", bytes: this.bytes(at, length) };
  }

  get stubBytes(): number {
    return this.stubReads.flat().reduce((sum, { length }) => sum + length, 0);
  }

  /** Answers of a monitor that knows `info mtree -f` only. */
  readonly monitor = async (command: string): Promise<string | undefined> => {
    if (this.lost !== undefined) throw this.lost;
    if (command !== "info mtree -f") return `unknown command: '${command}'\r\n`;
    const hex = (value: number): string => value.toString(16).padStart(16, "0");
    const line = ({ start, size, kind = "ram", name = "ram" }: FakeRange): string =>
      `  ${hex(start)}-${hex(start + size - 1)} (prio 0, ${kind === "rom" ? "romd" : "ram"}): ${name}\r\n`;
    return `FlatView #0\r\n AS "cpu-memory-0", root: system\r\n${this.layout.map(line).join("")}\r\n`;
  };
}

export interface HostRead {
  readonly position: number;
  readonly length: number;
}

/** The machine's memory in a file of this host: guest address A lies at position A + `offset`. */
export class FakeHost implements HostSource {
  readonly kind = "process";
  readonly name = "process 4711";
  readonly fd = 77;
  /** Where windows are said to be. */
  offset = 0x7f00_0000_0000;
  /** Where the machine's memory really is. */
  realOffset = 0x7f00_0000_0000;
  /** Ranges that are not told of, by name. */
  readonly hidden = new Set<string>();
  /** Another machine's memory instead of the machine's. */
  other: FakeMachine | undefined;
  readonly reads: HostRead[] = [];
  closed = 0;
  /** What a read does instead: fail with a code, or give so many bytes. */
  failing: { readonly code: string } | { readonly came: number } | undefined;
  locatedWith: readonly MemoryRange[] = [];
  /** What telling where these ranges lie has to wait for. */
  gate: (ranges: readonly MemoryRange[]) => Promise<void> | undefined = () => undefined;
  readonly #machine: FakeMachine;

  constructor(machine: FakeMachine) {
    this.#machine = machine;
  }

  async locate(ranges: readonly MemoryRange[]): Promise<Located> {
    this.locatedWith = ranges;
    const windows = ranges
      .filter(({ name }) => !this.hidden.has(name))
      .map(({ start, size }): HostWindow => {
        return { start: start as PhysAddr, size, fd: this.fd, position: Number(start) + this.offset };
      });
    await this.gate(ranges);
    return { windows, why: "nothing is told of" };
  }

  close(): void {
    this.closed++;
  }

  /** Stands in for pread(2). */
  readonly pread = (fd: number, into: Uint8Array, position: number): number => {
    this.reads.push({ position, length: into.length });
    if (fd !== this.fd || this.closed > 0) throw new Error("read from a file that is not open");
    const { failing } = this;
    if (failing !== undefined && "code" in failing) throw Object.assign(new Error("failed"), { code: failing.code });
    into.set((this.other ?? this.#machine).bytes(position - this.realOffset, into.length));
    return failing === undefined ? into.length : Math.min(failing.came, into.length);
  };
}
