/**
 * Caches as the PE describes them: CTR_EL0, CLIDR_EL1, CSSELR_EL1, DCZID_EL0.
 *
 * Source: Arm ARM DDI 0487, D24.2, the register of that name. Sizes are log2 of a number of words.
 */
import { bit, bits, described, once, type RegisterDescription, type RegisterField } from "./types.ts";

const CTR_FIELDS = once(() => [
  bits(37, 32, "TminLine", "Smallest line of Allocation Tags: log2 of words"),
  bit(29, "DIC", "Instruction cache invalidation for new code", "needed", "not needed"),
  bit(28, "IDC", "Data cache clean for new code", "needed", "not needed"),
  bits(27, 24, "CWG", "Cache writeback granule: log2 of words"),
  bits(23, 20, "ERG", "Exclusives reservation granule: log2 of words"),
  bits(19, 16, "DminLine", "Smallest line of data caches: log2 of words"),
  bits(15, 14, "L1Ip", "Level 1 instruction cache", { "0b10": "VIPT", "0b11": "PIPT" }),
  bits(3, 0, "IminLine", "Smallest line of instruction caches: log2 of words"),
]);

const CACHE_TYPES = {
  "0b000": "no cache",
  "0b001": "instruction cache",
  "0b010": "data cache",
  "0b011": "separate instruction and data caches",
  "0b100": "unified cache",
} as const;

const CLIDR_FIELDS = once(() => [
  ...[7, 6, 5, 4, 3, 2, 1].map((level) =>
    bits(2 * level + 32, 2 * level + 31, `Ttype${level}`, `Tags in the level ${level} cache (FEAT_MTE2)`),
  ),
  bits(32, 30, "ICB", "Inner cache boundary: level of the last Inner cache"),
  bits(29, 27, "LoUU", "Level of Unification Uniprocessor"),
  bits(26, 24, "LoC", "Level of Coherence"),
  bits(23, 21, "LoUIS", "Level of Unification Inner Shareable"),
  ...[7, 6, 5, 4, 3, 2, 1].map((level) =>
    bits(3 * level - 1, 3 * level - 3, `Ctype${level}`, `Type of the level ${level} cache`, CACHE_TYPES),
  ),
]);

const CSSELR_FIELDS = once(() => [
  bit(4, "TnD", "Tag not Data", "data, instruction or unified", "tags apart"),
  bits(3, 1, "Level", "Level of the cache, less one"),
  bit(0, "InD", "Instruction not Data", "data or unified", "instruction"),
]);

const DCZID_FIELDS = once(() => [
  bit(4, "DZP", "DC ZVA at this Exception level", "permitted", "prohibited"),
  bits(3, 0, "BS", "Block that DC ZVA clears: log2 of words"),
]);

const TABLES: readonly (readonly [name: string, title: string, fields: () => readonly RegisterField[]])[] = [
  ["CTR_EL0", "Cache Type Register", CTR_FIELDS],
  ["CLIDR_EL1", "Cache Level ID Register", CLIDR_FIELDS],
  ["CSSELR_EL1", "Cache Size Selection Register", CSSELR_FIELDS],
  ["DCZID_EL0", "Data Cache Zero ID Register", DCZID_FIELDS],
];

/** CTR_EL0, CLIDR_EL1, CSSELR_EL1, DCZID_EL0. Source: Arm ARM DDI 0487, D24.2. */
export const CACHE_REGISTERS: readonly RegisterDescription[] = TABLES.map(([name, title, fields]) =>
  described("D24.2", name, title, fields),
);
