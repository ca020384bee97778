/**
 * Stage 1 translation, continued: TCR2_ELx, MAIR2_ELx, AMAIR_ELx, AMAIR2_ELx.
 *
 * Source: Arm ARM DDI 0487, D24.2, the register of that name. TCR2_EL2 has the layout of TCR2_EL1, less FEAT_THE's
 * FNGNA<n> and with AMEC<n>, while HCR_EL2.E2H is 1. EL3 has these controls in TCR_EL3.
 */
import { memoryType } from "./mair.ts";
import { bit, bits, described, generated, HOST, NOT_HOST, once, type RegisterDescription } from "./types.ts";

const TABLE_CONTROLS = once(() => [
  bit(11, "HAFT", "Hardware update of the Access flag in tables", "disabled", "enabled"),
  bit(10, "PTTWI", "Table walk incoherency is permitted"),
]);
const D128 = bit(5, "D128", "128-bit descriptors (FEAT_D128)", "off", "on");
const AIE = bit(4, "AIE", "Attribute index extension (MAIR2_ELx)", "off", "on");
const POE = bit(3, "POE", "Permission overlays, privileged accesses", "off", "on");
const E0POE = bit(2, "E0POE", "Permission overlays, accesses of EL0", "off", "on");
const PIE = bit(1, "PIE", "Permission indirection", "off", "on");
const PNCH = bit(0, "PnCH", "Bit 52 of a descriptor is", "Contiguous", "Protected");

const ASID_CONTROLS = once(() => [
  bit(18, "FNG1", "Upper range: translations are", "as nG says", "not global"),
  bit(17, "FNG0", "Lower range: translations are", "as nG says", "not global"),
  bit(16, "A2", "Two ASIDs at a time (FEAT_ASID2)", "disabled", "enabled"),
  bit(15, "DisCH1", "Contiguous bit is ignored in the start table, upper range"),
  bit(14, "DisCH0", "Contiguous bit is ignored in the start table, lower range"),
]);

const TCR2_EL1_FIELDS = once(() => [
  bit(21, "FNGNA1", "Unassured translations of the upper range", "as nG says", "not global"),
  bit(20, "FNGNA0", "Unassured translations of the lower range", "as nG says", "not global"),
  ...ASID_CONTROLS(),
  ...TABLE_CONTROLS(),
  D128,
  AIE,
  POE,
  E0POE,
  PIE,
  PNCH,
]);

const AMEC0 = bit(12, "AMEC0", "Alternate MECID, lower range (FEAT_MEC)", "disabled", "enabled");
const TCR2_EL2_FIELDS = once(() => [AMEC0, ...TABLE_CONTROLS(), AIE, POE, PIE, PNCH]);

const TCR2_EL2_HOST_FIELDS = once(() => [
  ...ASID_CONTROLS(),
  bit(13, "AMEC1", "Alternate MECID, upper range (FEAT_MEC)", "disabled", "enabled"),
  AMEC0,
  ...TABLE_CONTROLS(),
  D128,
  AIE,
  POE,
  E0POE,
  PIE,
  PNCH,
]);

const MAIR2_FIELDS = once(() =>
  [7, 6, 5, 4, 3, 2, 1, 0].map((index) =>
    generated(8 * index + 7, 8 * index, `Attr${index}`, `Memory type for AttrIndx ${index + 8}`, memoryType),
  ),
);

const AMAIR_FIELDS = once(() => [bits(63, 0, "IMPDEF", "IMPLEMENTATION DEFINED memory attributes")]);

/** TCR2_ELx, MAIR2_ELx, AMAIR_ELx, AMAIR2_ELx. Source: Arm ARM DDI 0487, D24.2. */
export const EXTENDED_TRANSLATION_REGISTERS: readonly RegisterDescription[] = [
  described("D24.2", "TCR2_EL1", "Extended Translation Control Register (EL1)", TCR2_EL1_FIELDS),
  described("D24.2", "TCR2_EL2", "Extended Translation Control Register (EL2)", TCR2_EL2_FIELDS, NOT_HOST),
  described("D24.2", "TCR2_EL2", "Extended Translation Control Register (EL2), E2H=1", TCR2_EL2_HOST_FIELDS, HOST),
  ...["EL1", "EL2", "EL3"].flatMap((level) => [
    described("D24.2", `MAIR2_${level}`, `Extended Memory Attribute Indirection Register (${level})`, MAIR2_FIELDS),
    described("D24.2", `AMAIR_${level}`, `Auxiliary Memory Attribute Indirection Register (${level})`, AMAIR_FIELDS),
    described(
      "D24.2",
      `AMAIR2_${level}`,
      `Extended Auxiliary Memory Attribute Indirection Register (${level})`,
      AMAIR_FIELDS,
    ),
  ]),
];
