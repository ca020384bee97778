/**
 * Registers that trap floating point, vectors and trace: CPACR_EL1, CPTR_EL2, CPTR_EL3.
 *
 * Source: Arm ARM DDI 0487, D24.2, the register of that name. CPTR_EL2 has the layout of CPACR_EL1 while HCR_EL2.E2H
 * is 1. In CPTR_EL2 with E2H=0 a set bit traps; in CPTR_EL3 the bits ESM and EZ trap when they are clear.
 */
import { bit, bits, type RegisterDescription, type RegisterField } from "./types.ts";
import { TRAP_EL1, TRAP_EL2 } from "./words.ts";

const TCPAC_EL2 = bit(31, "TCPAC", "CPACR_EL1 at EL1", "not trapped to EL2", "trapped to EL2");
const TAM_EL2 = bit(30, "TAM", "Activity Monitor registers", "not trapped to EL2", "trapped to EL2");

const CPACR_EL1_FIELDS: readonly RegisterField[] = [
  bit(31, "TCPAC", "As CPTR_EL2.TCPAC, for a guest hypervisor (FEAT_NV2p1)"),
  bit(30, "TAM", "As CPTR_EL2.TAM, for a guest hypervisor (FEAT_NV2p1)"),
  bit(29, "E0POE", "POR_EL0 at EL0", "trapped", "not trapped"),
  bit(28, "TTA", "Trace registers", "not trapped", "trapped to EL1"),
  bits(25, 24, "SMEN", "SME instructions and registers", TRAP_EL1),
  bits(21, 20, "FPEN", "Floating point, Advanced SIMD and SVE", TRAP_EL1),
  bits(17, 16, "ZEN", "SVE instructions and registers", TRAP_EL1),
];

const CPTR_EL2_FIELDS: readonly RegisterField[] = [
  TCPAC_EL2,
  TAM_EL2,
  bit(20, "TTA", "Trace registers", "not trapped to EL2", "trapped to EL2"),
  bit(12, "TSM", "SME instructions and registers", "not trapped to EL2", "trapped to EL2"),
  bit(10, "TFP", "Floating point, Advanced SIMD and SVE", "not trapped to EL2", "trapped to EL2"),
  bit(8, "TZ", "SVE instructions and registers", "not trapped to EL2", "trapped to EL2"),
];

const CPTR_EL2_HOST_FIELDS: readonly RegisterField[] = [
  TCPAC_EL2,
  TAM_EL2,
  bit(29, "E0POE", "POR_EL0 at EL0", "trapped to EL2", "not trapped to EL2"),
  bit(28, "TTA", "Trace registers", "not trapped to EL2", "trapped to EL2"),
  bits(25, 24, "SMEN", "SME instructions and registers", TRAP_EL2),
  bits(21, 20, "FPEN", "Floating point, Advanced SIMD and SVE", TRAP_EL2),
  bits(17, 16, "ZEN", "SVE instructions and registers", TRAP_EL2),
];

const CPTR_EL3_FIELDS: readonly RegisterField[] = [
  bit(31, "TCPAC", "CPTR_EL2 and CPACR_EL1", "not trapped to EL3", "trapped to EL3"),
  bit(30, "TAM", "Activity Monitor registers", "not trapped to EL3", "trapped to EL3"),
  bit(20, "TTA", "Trace registers", "not trapped to EL3", "trapped to EL3"),
  bit(12, "ESM", "SME instructions and registers", "trapped to EL3", "not trapped to EL3"),
  bit(10, "TFP", "Floating point, Advanced SIMD and SVE", "not trapped to EL3", "trapped to EL3"),
  bit(8, "EZ", "SVE instructions and registers", "trapped to EL3", "not trapped to EL3"),
];

/** CPACR_EL1 and CPTR_ELx. Source: Arm ARM DDI 0487, D24.2. */
export const TRAP_REGISTERS: readonly RegisterDescription[] = [
  {
    name: "CPACR_EL1",
    title: "Architectural Feature Access Control Register",
    source: "Arm ARM DDI 0487, D24.2 CPACR_EL1",
    fields: CPACR_EL1_FIELDS,
  },
  {
    name: "CPTR_EL2",
    title: "Architectural Feature Trap Register (EL2)",
    source: "Arm ARM DDI 0487, D24.2 CPTR_EL2",
    when: { kind: "e2h", value: false },
    fields: CPTR_EL2_FIELDS,
  },
  {
    name: "CPTR_EL2",
    title: "Architectural Feature Trap Register (EL2), E2H=1",
    source: "Arm ARM DDI 0487, D24.2 CPTR_EL2",
    when: { kind: "e2h", value: true },
    fields: CPTR_EL2_HOST_FIELDS,
  },
  {
    name: "CPTR_EL3",
    title: "Architectural Feature Trap Register (EL3)",
    source: "Arm ARM DDI 0487, D24.2 CPTR_EL3",
    fields: CPTR_EL3_FIELDS,
  },
];
