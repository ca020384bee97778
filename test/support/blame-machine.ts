/**
 * A machine with translation tables for the tests of who writes: UEFI's tables of firmware.ts below, and code that is written down as places with
 * what they store. Tables by hand after the Arm ARM DDI 0487, D8.3: bits 1:0 01 block, 11 table or page; bit 10 AF.
 */
import type { BlameOptions } from "../../src/capture/blame/blame-watch.ts";
import type { BlameEvent, BlameRecord } from "../../src/snapshot/blame.ts";
import type { FakeMemory } from "./fake-memory.ts";
import { FAKE_REGISTERS, FakeTarget, type Visit } from "./fake-target.ts";
import type { FakeImage } from "./firmware.ts";
import { captureHandoff, exitBootServices, type Handoff, STACK } from "./handoff-target.ts";

export const L1 = 0x4610_0000n;
export const L2 = 0x4610_1000n;
/** Maps 2 MiB from 0x46000000 on, page by page: stacks and the tables themselves. */
export const L3 = 0x4610_2000n;
/** Memory in the same 2 MiB that is nothing yet. */
export const SPARE = 0x4618_0000n;
/** In the DXE core of handoff-target.ts. */
export const CODE = 0x474f_2000n;

export const leaf = (address: bigint): bigint => address | 0x703n;
export const block = (address: bigint): bigint => address | 0x701n;
export const table = (address: bigint): bigint => address | 3n;
/** The descriptor of a page in those 2 MiB. */
export const entryOf = (address: bigint): bigint => L3 + ((address >> 12n) & 511n) * 8n;

/** As llvm-mc 14 encodes them. */
export const WORDS = {
  "str x0, [x1]": 0xf900_0020,
  "stp x0, x2, [x1]": 0xa900_0820,
  "strb w0, [x1]": 0x3900_0020,
  "st1d {z0.d}, p0, [x1]": 0xe5e0_e020,
  "msr sctlr_el1, x0": 0xd518_1000,
  "msr ttbr0_el1, x0": 0xd518_2000,
  "msr vbar_el1, x0": 0xd518_c000,
  "msr mair_el1, x0": 0xd518_a200,
  "msr tpidr_el1, x0": 0xd518_d080,
  "tlbi vae1is, x0": 0xd508_8320,
  nop: 0xd503_201f,
} as const;
export type Instruction = keyof typeof WORDS;

/** 39 bits of addresses from level 1 on, the upper half off; MAIR: 0 Normal, 1 Device. */
export const ON = {
  ...{ SCTLR_EL1: 0x1005n, TCR_EL1: 25n | (1n << 23n) | (5n << 32n), TTBR0_EL1: L1, MAIR_EL1: 0x00ffn },
  ...{ cpsr: 0x3c5n, x29: STACK + 0x100n },
};

export function setWord32(memory: FakeMemory, address: bigint, word: number): void {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, word, true);
  memory.write(address, bytes);
}

/** Tables that map the first GiB to devices and RAM to itself. */
export function buildTables(memory: FakeMemory): void {
  memory.setWord(L1, 0x705n);
  memory.setWord(L1 + 8n, table(L2));
  for (let i = 0n; i < 64n; i++) memory.setWord(L2 + 8n * i, block(0x4000_0000n + (i << 21n)));
  memory.setWord(L2 + 8n * 48n, table(L3));
  for (let i = 0n; i < 512n; i++) memory.setWord(L3 + 8n * i, leaf(0x4600_0000n + (i << 12n)));
  // Two frames: the second record ends the chain.
  memory.setWord(STACK + 0x100n, STACK + 0x140n);
  memory.setWord(STACK + 0x108n, CODE + 0x804n);
  memory.setWord(STACK + 0x140n, 0n);
  memory.setWord(STACK + 0x148n, CODE + 0x904n);
}

/** A vCPU that stores 8 bytes with STR X0, [X1]. */
export function store(pc: bigint, address: bigint, word: bigint, more: Partial<Visit> = {}): Visit {
  return { pc, writes: { address, word }, ...more, registers: { x0: word, x1: address, sp: STACK, ...more.registers } };
}

/** A vCPU that writes a register with MSR. */
export function msr(pc: bigint, name: string, value: bigint): Visit {
  return { pc, sets: { [name]: value }, registers: { x0: value, sp: STACK } };
}

export interface BlameCase {
  readonly blame?: BlameOptions;
  /** Instructions in memory; STR X0, [X1] where none is given. */
  readonly code?: Readonly<Record<string, Instruction>>;
  readonly cpus?: number;
  readonly images?: readonly FakeImage[];
  readonly before?: readonly Visit[];
  /** A call of ExitBootServices that fails, in which this happens. */
  readonly failing?: readonly Visit[];
  readonly later?: readonly Visit[];
  readonly prepare?: (target: FakeTarget, memory: FakeMemory) => void;
  readonly machine?: (memory: FakeMemory, visits: readonly Visit[], cpus: number) => FakeTarget;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  readonly onBlame?: (event: BlameEvent) => void;
}

export interface Blamed extends Handoff {
  readonly record: BlameRecord;
  readonly notes: readonly string[];
}

/** Captures a guest that does this inside ExitBootServices. */
export async function captureBlame(inside: readonly Visit[], options: BlameCase = {}): Promise<Blamed> {
  const { blame = { tables: true }, code = {}, cpus, before = [], failing, later = [], signal, timeoutMs } = options;
  const failed = failing === undefined ? [] : exitBootServices(7n, { fails: true, inside: failing });
  const visits = [...before, ...failed, ...exitBootServices(7n, { inside }), ...later];
  const handoff = await captureHandoff(visits, {
    ...(cpus !== undefined && { cpus }),
    ...(options.images && { images: options.images }),
    ...(options.machine && { machine: options.machine }),
    prepare: ({ memory }, target) => {
      buildTables(memory);
      for (const { pc, together } of [...inside, ...(failing ?? []), ...before, ...later]) {
        if (pc >= CODE && pc < CODE + 0x1_0000n) setWord32(memory, pc, WORDS["str x0, [x1]"]);
        if (together !== undefined) setWord32(memory, together.pc, WORDS["str x0, [x1]"]);
      }
      for (const [pc, word] of Object.entries(code)) setWord32(memory, BigInt(pc), WORDS[word]);
      target.setRegisters(ON);
      options.prepare?.(target, memory);
    },
    capture: {
      blame,
      ...(signal !== undefined && { signal }),
      ...(timeoutMs !== undefined && { timeoutMs }),
      ...(options.onBlame && { onBlame: options.onBlame }),
    },
  });
  const { blame: record, notes } = handoff.capture ?? {};
  if (record === undefined) throw handoff.error ?? new Error("no record");
  return { ...handoff, record, notes: notes ?? [] };
}

/** What an event says, in short: `table 0x4610…: 0x… -> 0x… at 0x… cpu 0`. */
export function told(record: BlameRecord): string[] {
  const hex = (value: bigint | undefined): string => (value === undefined ? "?" : `0x${value.toString(16)}`);
  return record.events
    .filter(({ kind }) => kind !== "point" && kind !== "lapse")
    .map((event) => `${event.kind} ${hex(event.address)}: ${hex(event.old)} -> ${hex(event.new)} at ${hex(event.pc)}`);
}

/** From when on not all is seen, and why; but for the end of the watch. */
export function lapses({ events, notes }: BlameRecord): string[] {
  const told = events.flatMap(({ kind, address }) => (kind === "lapse" ? [notes[Number(address)] ?? "?"] : []));
  return told.filter((why) => why !== "Tables and registers were watched up to here.");
}

/** With registers of EL2 besides. */
export function withEl2(memory: FakeMemory, visits: readonly Visit[], cpus: number): FakeTarget {
  const names = ["HCR_EL2", "SCTLR_EL2", "TCR_EL2", "TTBR0_EL2", "TTBR1_EL2", "MAIR_EL2", "VBAR_EL2"];
  const more = names.map((name, i) => ({ name, stubName: name, number: 100 + i, bits: 64, feature: "test" }));
  return new FakeTarget(memory, visits, cpus, [...FAKE_REGISTERS, ...more]);
}
