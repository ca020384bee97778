/**
 * Words for values that many registers share.
 *
 * Source: Arm ARM DDI 0487, D24.2 TCR_EL1 (SH, IRGN, ORGN, TG0, TG1, IPS) and D24.2 CPACR_EL1.
 */

/** SH0, SH1: shareability of table walks, and of the address in PAR_EL1. 0b01 is reserved. */
export const SHAREABILITY = {
  "0b00": "Non-shareable",
  "0b01": "reserved",
  "0b10": "Outer Shareable",
  "0b11": "Inner Shareable",
} as const;

/** IRGN, ORGN: cacheability of table walks. */
export const CACHEABILITY = {
  "0b00": "Non-cacheable",
  "0b01": "Write-Back, Read-Allocate, Write-Allocate",
  "0b10": "Write-Through, Read-Allocate, no Write-Allocate",
  "0b11": "Write-Back, Read-Allocate, no Write-Allocate",
} as const;

/** TG0: the granule of the lower range; not the encoding of TG1. */
export const GRANULE_TG0 = {
  "0b00": "4 KiB granule",
  "0b01": "64 KiB granule",
  "0b10": "16 KiB granule",
  "0b11": "reserved",
} as const;

/** TG1: the granule of the upper range; not the encoding of TG0. */
export const GRANULE_TG1 = {
  "0b00": "reserved",
  "0b01": "16 KiB granule",
  "0b10": "4 KiB granule",
  "0b11": "64 KiB granule",
} as const;

/** PS, IPS: size of the output address. 0b110 needs FEAT_LPA, 0b111 FEAT_D128. */
export const ADDRESS_SIZE = {
  "0b000": "32 bits, 4 GiB",
  "0b001": "36 bits, 64 GiB",
  "0b010": "40 bits, 1 TiB",
  "0b011": "42 bits, 4 TiB",
  "0b100": "44 bits, 16 TiB",
  "0b101": "48 bits, 256 TiB",
  "0b110": "52 bits, 4 PiB",
  "0b111": "56 bits, 64 PiB",
} as const;

/** FPEN, ZEN, SMEN of CPACR_EL1. */
export const TRAP_EL1 = {
  "0b00": "trapped at EL0 and EL1",
  "0b01": "trapped at EL0",
  "0b10": "trapped at EL0 and EL1",
  "0b11": "not trapped",
} as const;

/** FPEN, ZEN, SMEN of CPTR_EL2 with HCR_EL2.E2H = 1. */
export const TRAP_EL2 = {
  "0b00": "trapped at EL0, EL1 and EL2",
  "0b01": "trapped at EL0 while HCR_EL2.TGE is 1",
  "0b10": "trapped at EL0, EL1 and EL2",
  "0b11": "not trapped",
} as const;

/** SCTLR_ELx.TCF and TCF0: what a tag check fault does (FEAT_MTE2). */
export const TAG_CHECK_FAULT = {
  "0b00": "no effect",
  "0b01": "synchronous exception",
  "0b10": "accumulated asynchronously",
  "0b11": "synchronous on reads, asynchronous on writes",
} as const;
