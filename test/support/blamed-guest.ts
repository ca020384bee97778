/**
 * A small machine at EL1 whose tables are made by hand, for records of writes: 4 KiB granule, 39-bit addresses, translation from address to the
 * same address. Shares no code with src.
 */
import { RecordedGuest } from "./recorded-guest.ts";

/** The tables: of levels 1 and 2, and of level 3 for AREA. */
export const LEVEL1 = 0x4000_0000n;
export const LEVEL2 = 0x4000_1000n;
export const LEVEL3 = 0x4000_2000n;
/** 2 MiB of code, a block; RO+X. */
export const CODE = 0x4020_0000n;
/** 2 MiB by pages; RWX. */
export const AREA = 0x4040_0000n;
/** 2 MiB of stack, a block; RW+NX. */
export const STACK = 0x4060_0000n;

/** AttrIndx 1, inner shareable, AF. */
const NORMAL = 0x704n;
export const READ_ONLY = 1n << 7n;
export const NEVER_EXECUTED = 3n << 53n;

/** A descriptor of a page. */
export function page(address: bigint, more = 0n): bigint {
  return address | NORMAL | 3n | more;
}

function block(address: bigint, more = 0n): bigint {
  return address | NORMAL | 1n | more;
}

/** Where the descriptor of page `index` of AREA lies. */
export function entryOf(index: number): bigint {
  return LEVEL3 + BigInt(index * 8);
}

export function addressOf(index: number): bigint {
  return AREA + BigInt(index * 4096);
}

const REGISTERS: ReadonlyMap<string, bigint> = new Map([
  ["pc", CODE],
  ["sp", STACK],
  ["cpsr", 0x3c5n],
  // M, C and I.
  ["SCTLR_EL1", 0x1005n],
  // T0SZ 25, EPD1, inner and outer write-back, inner shareable, 36-bit output.
  ["TCR_EL1", 25n | (0x35n << 8n) | (1n << 23n) | (25n << 16n) | (1n << 32n)],
  ["TTBR0_EL1", LEVEL1],
  ["TTBR1_EL1", 0n],
  ["MAIR_EL1", 0xff00n],
  ["VBAR_EL1", CODE + 0x10_0000n],
]);

/** The machine before anything was done. */
export function blamedGuest(vcpus = 1): RecordedGuest {
  const guest = new RecordedGuest(Array.from({ length: vcpus }, () => REGISTERS));
  guest.memory.setWord(LEVEL1 + 8n, LEVEL2 | 3n);
  guest.memory.setWord(LEVEL2, block(LEVEL1, NEVER_EXECUTED));
  guest.memory.setWord(LEVEL2 + 8n, block(CODE, READ_ONLY));
  guest.memory.setWord(LEVEL2 + 16n, LEVEL3 | 3n);
  guest.memory.setWord(LEVEL2 + 24n, block(STACK, NEVER_EXECUTED));
  for (let i = 0; i < 512; i++) guest.memory.setWord(entryOf(i), page(addressOf(i)));
  return guest;
}
