/** A guest at EL1 with one table of each level (4 KiB granule, 39-bit addresses): 2 MiB at 0 mapped page by page, one to one. */
import { RecordedGuest } from "./recorded-guest.ts";

export const LEVEL_1 = 0x4000_1000n;
export const LEVEL_2 = 0x4000_2000n;
export const LEVEL_3 = 0x4000_3000n;
/** A page for another table. */
export const SPARE = 0x4000_4000n;

export const READ_ONLY = 1n << 7n;
export const NEVER = 1n << 54n;
const NOT_GLOBAL = 1n << 11n;
export const BLOCK = 0x4020_0000n | 0x701n;

/** RW, executable, Normal WB, inner shareable, AF; global or not. */
export function pageAt(pa: bigint, extra = 0n): bigint {
  return pa | 0x703n | extra;
}

export function notGlobal(descriptor: bigint): bigint {
  return descriptor | NOT_GLOBAL;
}

/** Where the descriptor of a page of the 2 MiB is. */
export function leafOf(va: bigint): bigint {
  return LEVEL_3 + (va >> 12n) * 8n;
}

/** T0SZ 25, TTBR1 disabled, 48-bit outputs; MAIR: 0 Normal WB RAWA, 1 Device-nGnRnE, 2 Normal NC. */
export const EL1_VALUES: Readonly<Record<string, bigint>> = {
  cpsr: 0x3c5n,
  pc: 0x10_0000n,
  SCTLR_EL1: 0x1005n,
  TCR_EL1: 25n | (1n << 23n) | (0b10n << 30n) | (5n << 32n),
  MAIR_EL1: 0x4400ffn,
  TTBR0_EL1: LEVEL_1,
  TTBR1_EL1: 0n,
  VBAR_EL1: 0x8_0000n,
  ID_AA64MMFR2_EL1: 0n,
};

export function smallGuest(cpus: readonly Readonly<Record<string, bigint>>[] = [{}]): RecordedGuest {
  const guest = new RecordedGuest(cpus.map((values) => new Map(Object.entries({ ...EL1_VALUES, ...values }))));
  guest.memory.setWord(LEVEL_1, LEVEL_2 | 3n);
  guest.memory.setWord(LEVEL_2, LEVEL_3 | 3n);
  guest.memory.setWord(LEVEL_2 + 8n, BLOCK);
  for (let va = 0n; va < 0x20_0000n; va += 0x1000n) guest.memory.setWord(leafOf(va), pageAt(0x4000_0000n + va));
  return guest;
}
