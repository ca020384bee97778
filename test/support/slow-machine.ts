/** A machine of a few registers and words, spelled out by a test. */
import { type SlowMachine, swapBytes } from "./slow-decoder.ts";

/** PARange 48 bits, no FEAT_LPA2; everything that ID registers 1 and 2 can say for these tests is there. */
const IDS = {
  ID_AA64MMFR0_EL1: 5n,
  ID_AA64MMFR1_EL1: 2n | (1n << 12n) | (1n << 28n),
  ID_AA64MMFR2_EL1: (1n << 16n) | (1n << 28n) | (1n << 40n) | (1n << 60n),
};

/** ID_AA64MMFR0_EL1 of a machine with 52-bit addresses in all granules. */
export const WIDE = { ID_AA64MMFR0_EL1: 6n | (2n << 20n) | (1n << 28n) };

/** EL1&0 on with caches on: T0SZ 25, TTBR1 disabled, 48-bit output; MAIR 0 WB, 1 Device-nGnRE, 2 NC, 3 WT, 4 Tagged. */
const EL1 = {
  SCTLR_EL1: 0b101n,
  TCR_EL1: 25n | (1n << 23n) | (0b10n << 30n) | (16n << 16n) | (5n << 32n),
  MAIR_EL1: 0xf0_bb_44_04_ffn,
  TTBR0_EL1: 0x1000n,
  TTBR1_EL1: 0n,
};

export type Values = Readonly<Record<string, bigint | undefined>>;

export function slowMachine(
  registers: Values,
  words: Readonly<Record<string, bigint>> = {},
  bigEndian = false,
): SlowMachine {
  const known = new Map<string, bigint | undefined>(Object.entries({ ...IDS, ...EL1, ...registers }));
  const memory = new Map(
    Object.entries(words).map(([address, word]) => [BigInt(address), bigEndian ? swapBytes(word) : word]),
  );
  return { register: (name) => known.get(name), word: (address) => memory.get(address) };
}

/** TCR_EL1 by its fields; the rest as in EL1 above. */
export function tcrOf(options: { t0sz?: number; tg0?: number; ips?: number; extra?: bigint } = {}): bigint {
  const { t0sz = 25, tg0 = 0, ips = 5, extra = 0n } = options;
  const upper = (1n << 23n) | (0b10n << 30n) | (16n << 16n);
  return BigInt(t0sz) | (BigInt(tg0) << 14n) | upper | (BigInt(ips) << 32n) | extra;
}
