/**
 * Stage 1 translation: TCR_ELx, TTBR0_ELx, TTBR1_ELx, MAIR_ELx, CONTEXTIDR_ELx, PAR_EL1.
 *
 * Source: Arm ARM DDI 0487, D24.2, the register of that name. TCR_EL2 has the layout of TCR_EL1 while HCR_EL2.E2H is
 * 1, and TTBR0_EL2 has an ASID only then. PAR_EL1 has two layouts, told apart by its bit F. The 128-bit forms of
 * FEAT_D128 are not described.
 */
import { faultStatus } from "./fault-status.ts";
import { memoryType } from "./mair.ts";
import { bit, bits, described, generated, HOST, NOT_HOST, once, type RegisterDescription } from "./types.ts";
import { ADDRESS_SIZE, CACHEABILITY, GRANULE_TG0, GRANULE_TG1, SHAREABILITY } from "./words.ts";

const TCR_LOWER_RANGE = once(() => [
  bits(15, 14, "TG0", "Granule of the lower range", GRANULE_TG0),
  bits(13, 12, "SH0", "Shareability of walks, lower range", SHAREABILITY),
  bits(11, 10, "ORGN0", "Outer cacheability of walks, lower range", CACHEABILITY),
  bits(9, 8, "IRGN0", "Inner cacheability of walks, lower range", CACHEABILITY),
]);
const T0SZ = bits(5, 0, "T0SZ", "Size of the lower range: 2^(64 - T0SZ) bytes");

const TCR_TWO_RANGES = once(() => [
  bit(61, "MTX1", "Extended memory tag checking, upper range"),
  bit(60, "MTX0", "Extended memory tag checking, lower range"),
  bit(59, "DS", "52-bit output addresses in descriptors (FEAT_LPA2)", "off", "on"),
  bit(58, "TCMA1", "Accesses with tag 0b1111 are unchecked, upper range"),
  bit(57, "TCMA0", "Accesses with tag 0b0000 are unchecked, lower range"),
  bit(56, "E0PD1", "EL0 accesses to the upper range", "allowed to walk", "always fault"),
  bit(55, "E0PD0", "EL0 accesses to the lower range", "allowed to walk", "always fault"),
  bit(54, "NFD1", "Non-fault walks for the upper range", "enabled", "disabled"),
  bit(53, "NFD0", "Non-fault walks for the lower range", "enabled", "disabled"),
  bit(52, "TBID1", "TBI1 applies to", "instructions and data", "data only"),
  bit(51, "TBID0", "TBI0 applies to", "instructions and data", "data only"),
  bit(50, "HWU162", "Hardware use of descriptor bit 62, upper range"),
  bit(49, "HWU161", "Hardware use of descriptor bit 61, upper range"),
  bit(48, "HWU160", "Hardware use of descriptor bit 60, upper range"),
  bit(47, "HWU159", "Hardware use of descriptor bit 59, upper range"),
  bit(46, "HWU062", "Hardware use of descriptor bit 62, lower range"),
  bit(45, "HWU061", "Hardware use of descriptor bit 61, lower range"),
  bit(44, "HWU060", "Hardware use of descriptor bit 60, lower range"),
  bit(43, "HWU059", "Hardware use of descriptor bit 59, lower range"),
  bit(42, "HPD1", "Hierarchical permissions, upper range", "enabled", "disabled"),
  bit(41, "HPD0", "Hierarchical permissions, lower range", "enabled", "disabled"),
  bit(40, "HD", "Hardware management of dirty state", "disabled", "enabled"),
  bit(39, "HA", "Hardware update of the Access flag", "disabled", "enabled"),
  bit(38, "TBI1", "Top byte of addresses, upper range", "used", "ignored"),
  bit(37, "TBI0", "Top byte of addresses, lower range", "used", "ignored"),
  bit(36, "AS", "Size of the ASID", "8 bits", "16 bits"),
  bits(34, 32, "IPS", "Size of the output address", ADDRESS_SIZE),
  bits(31, 30, "TG1", "Granule of the upper range", GRANULE_TG1),
  bits(29, 28, "SH1", "Shareability of walks, upper range", SHAREABILITY),
  bits(27, 26, "ORGN1", "Outer cacheability of walks, upper range", CACHEABILITY),
  bits(25, 24, "IRGN1", "Inner cacheability of walks, upper range", CACHEABILITY),
  bit(23, "EPD1", "Walks for the upper range (TTBR1)", "enabled", "disabled"),
  bit(22, "A1", "The ASID comes from", "TTBR0", "TTBR1"),
  bits(21, 16, "T1SZ", "Size of the upper range: 2^(64 - T1SZ) bytes"),
  ...TCR_LOWER_RANGE(),
  bit(7, "EPD0", "Walks for the lower range (TTBR0)", "enabled", "disabled"),
  T0SZ,
]);

const TCR_ONE_RANGE = once(() => [
  bit(33, "MTX", "Extended memory tag checking"),
  bit(32, "DS", "52-bit output addresses in descriptors (FEAT_LPA2)", "off", "on"),
  bit(30, "TCMA", "Accesses with tag 0b0000 are unchecked"),
  bit(29, "TBID", "TBI applies to", "instructions and data", "data only"),
  bit(28, "HWU62", "Hardware use of descriptor bit 62"),
  bit(27, "HWU61", "Hardware use of descriptor bit 61"),
  bit(26, "HWU60", "Hardware use of descriptor bit 60"),
  bit(25, "HWU59", "Hardware use of descriptor bit 59"),
  bit(24, "HPD", "Hierarchical permissions", "enabled", "disabled"),
  bit(22, "HD", "Hardware management of dirty state", "disabled", "enabled"),
  bit(21, "HA", "Hardware update of the Access flag", "disabled", "enabled"),
  bit(20, "TBI", "Top byte of addresses", "used", "ignored"),
  bits(18, 16, "PS", "Size of the output address", ADDRESS_SIZE),
  ...TCR_LOWER_RANGE(),
  T0SZ,
]);

const TCR_EL3_FIELDS = once(() => [
  bit(43, "DisCH0", "Contiguous bit is ignored in the start table"),
  bit(42, "HAFT", "Hardware update of the Access flag in tables", "disabled", "enabled"),
  bit(41, "PTTWI", "Table walk incoherency is permitted"),
  bit(38, "D128", "128-bit descriptors (FEAT_D128)", "off", "on"),
  bit(37, "AIE", "Attribute index extension (MAIR2_EL3)", "off", "on"),
  bit(36, "POE", "Permission overlays", "off", "on"),
  bit(35, "PIE", "Permission indirection", "off", "on"),
  bit(34, "PnCH", "The Contiguous bit is used as the Protected bit"),
  ...TCR_ONE_RANGE(),
]);

const ASID = bits(63, 48, "ASID", "Address space identifier");
const TABLE_BASE = once(() => [
  bits(47, 1, "BADDR", "Table base address, bits 47 to 1"),
  bit(0, "CnP", "Common, not Private: table shared between PEs", "private", "common"),
]);

const TABLE_BASE_WITH_ASID = once(() => [ASID, ...TABLE_BASE()]);

const MAIR_FIELDS = once(() =>
  [7, 6, 5, 4, 3, 2, 1, 0].map((index) =>
    generated(8 * index + 7, 8 * index, `Attr${index}`, `Memory type for AttrIndx ${index}`, memoryType),
  ),
);

const PAR_SUCCESS_FIELDS = once(() => [
  generated(63, 56, "ATTR", "Memory type, as in MAIR_ELx", memoryType),
  bits(51, 48, "PA[51:48]", "Output address, bits 51 to 48 (FEAT_LPA)"),
  bits(47, 12, "PA[47:12]", "Output address, bits 47 to 12"),
  bit(11, "NSE", "With NS, the physical address space (FEAT_RME), else 1"),
  bit(10, "IMPDEF", "IMPLEMENTATION DEFINED"),
  bit(9, "NS", "Non-secure attribute of the entry"),
  bits(8, 7, "SH", "Shareability", SHAREABILITY),
  bit(0, "F", "Result of the address translation", "succeeded", "aborted"),
]);

const PAR_FAULT_FIELDS = once(() => [
  bits(63, 48, "IMPDEF", "IMPLEMENTATION DEFINED"),
  bit(15, "DirtyBit", "Permission fault due to dirty state"),
  bit(14, "Overlay", "Permission fault due to overlay permissions"),
  bit(13, "TopLevel", "Fault due to TopLevel (FEAT_THE)"),
  bit(12, "AssuredOnly", "Fault due to AssuredOnly (FEAT_THE)"),
  bit(9, "S", "Stage at which the translation aborted", "stage 1", "stage 2"),
  bit(8, "PTW", "Stage 2 fault during a stage 1 table walk", "no", "yes"),
  generated(6, 1, "FST", "Fault status code", faultStatus),
  bit(0, "F", "Result of the address translation", "succeeded", "aborted"),
]);

const CONTEXTIDR_FIELDS = once(() => [bits(31, 0, "PROCID", "Process identifier, for debug and trace")]);

/** TCR_ELx, TTBRn_ELx, MAIR_ELx, CONTEXTIDR_ELx, PAR_EL1. Source: Arm ARM DDI 0487, D24.2. */
export const TRANSLATION_REGISTERS: readonly RegisterDescription[] = [
  described("D24.2", "TCR_EL1", "Translation Control Register (EL1)", TCR_TWO_RANGES),
  described("D24.2", "TCR_EL2", "Translation Control Register (EL2)", TCR_ONE_RANGE, NOT_HOST),
  described("D24.2", "TCR_EL2", "Translation Control Register (EL2), E2H=1", TCR_TWO_RANGES, HOST),
  described("D24.2", "TCR_EL3", "Translation Control Register (EL3)", TCR_EL3_FIELDS),
  ...["TTBR0_EL1", "TTBR1_EL1", "TTBR1_EL2"].map((name) =>
    described("D24.2", name, `Translation Table Base Register ${name[4]} (${name.slice(6)})`, TABLE_BASE_WITH_ASID),
  ),
  described("D24.2", "TTBR0_EL2", "Translation Table Base Register 0 (EL2)", TABLE_BASE, NOT_HOST),
  described("D24.2", "TTBR0_EL2", "Translation Table Base Register 0 (EL2), E2H=1", TABLE_BASE_WITH_ASID, HOST),
  described("D24.2", "TTBR0_EL3", "Translation Table Base Register 0 (EL3)", TABLE_BASE),
  ...["EL1", "EL2", "EL3"].map((level) =>
    described("D24.2", `MAIR_${level}`, `Memory Attribute Indirection Register (${level})`, MAIR_FIELDS),
  ),
  ...["EL1", "EL2"].map((level) =>
    described("D24.2", `CONTEXTIDR_${level}`, `Context ID Register (${level})`, CONTEXTIDR_FIELDS),
  ),
  described("D24.2", "PAR_EL1", "Physical Address Register, after a success", PAR_SUCCESS_FIELDS, {
    kind: "bit",
    bit: 0,
    value: 0,
  }),
  described("D24.2", "PAR_EL1", "Physical Address Register, after a fault", PAR_FAULT_FIELDS, {
    kind: "bit",
    bit: 0,
    value: 1,
  }),
];
