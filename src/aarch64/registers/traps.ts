/**
 * Registers that trap floating point, vectors and trace, or bound vectors: CPACR_EL1, CPTR_ELx, ZCR_ELx, SMCR_ELx,
 * SVCR.
 *
 * Source: Arm ARM DDI 0487, D24.2, the register of that name. CPTR_EL2 has the layout of CPACR_EL1 while HCR_EL2.E2H
 * is 1. In CPTR_EL2 with E2H=0 a set bit traps; in CPTR_EL3 the bits ESM and EZ trap when they are clear. The vector
 * length in effect is also bounded by the levels above.
 */
import { bit, bits, described, HOST, NOT_HOST, once, type RegisterDescription } from "./types.ts";
import { TRAP_EL1, TRAP_EL2 } from "./words.ts";

const TCPAC_EL2 = bit(31, "TCPAC", "CPACR_EL1 at EL1", "not trapped to EL2", "trapped to EL2");
const TAM_EL2 = bit(30, "TAM", "Activity Monitor registers", "not trapped to EL2", "trapped to EL2");

const CPACR_EL1_FIELDS = once(() => [
  bit(31, "TCPAC", "As CPTR_EL2.TCPAC, for a guest hypervisor (FEAT_NV2p1)"),
  bit(30, "TAM", "As CPTR_EL2.TAM, for a guest hypervisor (FEAT_NV2p1)"),
  bit(29, "E0POE", "POR_EL0 at EL0", "trapped", "not trapped"),
  bit(28, "TTA", "Trace registers", "not trapped", "trapped to EL1"),
  bits(25, 24, "SMEN", "SME instructions and registers", TRAP_EL1),
  bits(21, 20, "FPEN", "Floating point, Advanced SIMD and SVE", TRAP_EL1),
  bits(17, 16, "ZEN", "SVE instructions and registers", TRAP_EL1),
]);

const CPTR_EL2_FIELDS = once(() => [
  TCPAC_EL2,
  TAM_EL2,
  bit(20, "TTA", "Trace registers", "not trapped to EL2", "trapped to EL2"),
  bit(12, "TSM", "SME instructions and registers", "not trapped to EL2", "trapped to EL2"),
  bit(10, "TFP", "Floating point, Advanced SIMD and SVE", "not trapped to EL2", "trapped to EL2"),
  bit(8, "TZ", "SVE instructions and registers", "not trapped to EL2", "trapped to EL2"),
]);

const CPTR_EL2_HOST_FIELDS = once(() => [
  TCPAC_EL2,
  TAM_EL2,
  bit(29, "E0POE", "POR_EL0 at EL0", "trapped to EL2", "not trapped to EL2"),
  bit(28, "TTA", "Trace registers", "not trapped to EL2", "trapped to EL2"),
  bits(25, 24, "SMEN", "SME instructions and registers", TRAP_EL2),
  bits(21, 20, "FPEN", "Floating point, Advanced SIMD and SVE", TRAP_EL2),
  bits(17, 16, "ZEN", "SVE instructions and registers", TRAP_EL2),
]);

const CPTR_EL3_FIELDS = once(() => [
  bit(31, "TCPAC", "CPTR_EL2 and CPACR_EL1", "not trapped to EL3", "trapped to EL3"),
  bit(30, "TAM", "Activity Monitor registers", "not trapped to EL3", "trapped to EL3"),
  bit(20, "TTA", "Trace registers", "not trapped to EL3", "trapped to EL3"),
  bit(12, "ESM", "SME instructions and registers", "trapped to EL3", "not trapped to EL3"),
  bit(10, "TFP", "Floating point, Advanced SIMD and SVE", "not trapped to EL3", "trapped to EL3"),
  bit(8, "EZ", "SVE instructions and registers", "trapped to EL3", "not trapped to EL3"),
]);

const ZCR_FIELDS = once(() => [bits(3, 0, "LEN", "SVE vector length: (LEN + 1) * 128 bits")]);

const SMCR_FIELDS = once(() => [
  bit(31, "FA64", "All A64 instructions in Streaming SVE mode", "not legal", "legal"),
  bit(30, "EZT0", "ZT0 instructions (FEAT_SME2)", "trapped", "not trapped"),
  bits(3, 0, "LEN", "Streaming SVE vector length: (LEN + 1) * 128 bits"),
]);

const SVCR_FIELDS = once(() => [
  bit(1, "ZA", "ZA and ZT0 storage", "disabled", "enabled"),
  bit(0, "SM", "Streaming SVE mode", "off", "on"),
]);

/** CPACR_EL1, CPTR_ELx, ZCR_ELx, SMCR_ELx, SVCR. Source: Arm ARM DDI 0487, D24.2 and C5.2. */
export const TRAP_REGISTERS: readonly RegisterDescription[] = [
  described("D24.2", "CPACR_EL1", "Architectural Feature Access Control Register", CPACR_EL1_FIELDS),
  described("D24.2", "CPTR_EL2", "Architectural Feature Trap Register (EL2)", CPTR_EL2_FIELDS, NOT_HOST),
  described("D24.2", "CPTR_EL2", "Architectural Feature Trap Register (EL2), E2H=1", CPTR_EL2_HOST_FIELDS, HOST),
  described("D24.2", "CPTR_EL3", "Architectural Feature Trap Register (EL3)", CPTR_EL3_FIELDS),
  ...["EL1", "EL2", "EL3"].flatMap((level) => [
    described("D24.2", `ZCR_${level}`, `SVE Control Register (${level})`, ZCR_FIELDS),
    described("D24.2", `SMCR_${level}`, `SME Control Register (${level})`, SMCR_FIELDS),
  ]),
  described("C5.2", "SVCR", "Streaming Vector Control Register", SVCR_FIELDS),
];
