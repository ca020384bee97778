/**
 * Virtualization: HCR_EL2, HCRX_EL2, VTCR_EL2, VTTBR_EL2, VSTCR_EL2, VSTTBR_EL2, VNCR_EL2, VPIDR_EL2, VMPIDR_EL2,
 * HPFAR_EL2.
 *
 * Source: Arm ARM DDI 0487, D24.2, the register of that name. VSTCR_EL2 and VSTTBR_EL2 are stage 2 of the Secure IPA
 * space (FEAT_SEL2); what VSTCR_EL2 lacks, VTCR_EL2 gives for both spaces. VSTTBR_EL2 is described as VMSAv8-64 has
 * it. VPIDR_EL2 and VMPIDR_EL2 are what EL1 reads as MIDR_EL1 and MPIDR_EL1, and have their fields.
 */
import { MIDR_FIELDS, MPIDR_FIELDS } from "./id.ts";
import { bit, bits, described, once, type RegisterDescription, type RegisterField } from "./types.ts";
import { ADDRESS_SIZE, CACHEABILITY, GRANULE_TG0, SHAREABILITY } from "./words.ts";

const HCR_EL2_FIELDS = once(() => [
  bits(63, 60, "TWEDEL", "WFE trap delay: at least 2^(TWEDEL + 8) cycles"),
  bit(59, "TWEDEn", "Delay of WFE traps", "IMPLEMENTATION DEFINED delay", "delay given by TWEDEL"),
  bit(58, "TID5", "ID group 5 (GMID_EL1)", "not trapped", "trapped to EL2"),
  bit(57, "DCT", "With DC, Normal memory is", "Untagged", "Tagged"),
  bit(56, "ATA", "Allocation Tags at EL1 and EL0", "no access", "access"),
  bit(55, "TTLBOS", "TLB maintenance, Outer Shareable", "not trapped", "trapped to EL2"),
  bit(54, "TTLBIS", "TLB maintenance, Inner Shareable", "not trapped", "trapped to EL2"),
  bit(53, "EnSCXT", "SCXTNUM_EL1 and SCXTNUM_EL0", "trapped to EL2", "not trapped"),
  bit(52, "TOCU", "Cache maintenance to PoU", "not trapped", "trapped to EL2"),
  bit(51, "AMVOFFEN", "Activity monitors virtual offsets", "disabled", "enabled"),
  bit(50, "TICAB", "IC IALLUIS", "not trapped", "trapped to EL2"),
  bit(49, "TID4", "ID group 4 (cache ID registers)", "not trapped", "trapped to EL2"),
  bit(48, "GPF", "Granule Protection Faults at EL1 and EL0", "not routed to EL2", "routed to EL2"),
  bit(47, "FIEN", "Fault injection registers at EL1", "trapped to EL2", "not trapped"),
  bit(46, "FWB", "Memory attributes of stage 1 and 2 are", "combined", "forced by stage 2"),
  bit(45, "NV2", "Nested virtualization with VNCR_EL2", "off", "on"),
  bit(44, "AT", "Address translation instructions at EL1", "not trapped", "trapped to EL2"),
  bit(43, "NV1", "EL1 registers of nested virtualization", "not trapped", "trapped to EL2"),
  bit(42, "NV", "Nested virtualization: EL2 registers at EL1", "not trapped", "trapped to EL2"),
  bit(41, "API", "Pointer authentication instructions", "trapped to EL2", "not trapped"),
  bit(40, "APK", "Pointer authentication keys at EL1", "trapped to EL2", "not trapped"),
  bit(37, "TEA", "Synchronous External aborts at EL1, EL0", "not routed to EL2", "routed to EL2"),
  bit(36, "TERR", "Error record registers at EL1", "not trapped", "trapped to EL2"),
  bit(35, "TLOR", "LORegion registers at EL1", "not trapped", "trapped to EL2"),
  bit(34, "E2H", "EL2 Host (FEAT_VHE)", "off", "on"),
  bit(33, "ID", "Stage 2 instruction fetches", "as stage 2 says", "Non-cacheable"),
  bit(32, "CD", "Stage 2 data accesses and table walks", "as stage 2 says", "Non-cacheable"),
  bit(31, "RW", "Execution state of EL1", "AArch32", "AArch64"),
  bit(30, "TRVM", "Reads of EL1 memory control registers", "not trapped", "trapped to EL2"),
  bit(29, "HCD", "HVC instruction", "enabled", "UNDEFINED"),
  bit(28, "TDZ", "DC ZVA at EL1 and EL0", "not trapped", "trapped to EL2"),
  bit(27, "TGE", "General exceptions of EL0", "taken to EL1", "routed to EL2"),
  bit(26, "TVM", "Writes of EL1 memory control registers", "not trapped", "trapped to EL2"),
  bit(25, "TTLB", "TLB maintenance at EL1", "not trapped", "trapped to EL2"),
  bit(24, "TPU", "Cache maintenance to PoU, also broadcast", "not trapped", "trapped to EL2"),
  bit(23, "TPCP", "Data cache maintenance to PoC or PoP", "not trapped", "trapped to EL2"),
  bit(22, "TSW", "Data cache maintenance by set/way", "not trapped", "trapped to EL2"),
  bit(21, "TACR", "ACTLR_EL1", "not trapped", "trapped to EL2"),
  bit(20, "TIDCP", "IMPLEMENTATION DEFINED instructions", "not trapped", "trapped to EL2"),
  bit(19, "TSC", "SMC at EL1", "not trapped", "trapped to EL2"),
  bit(18, "TID3", "ID group 3 (feature registers)", "not trapped", "trapped to EL2"),
  bit(17, "TID2", "ID group 2 (CTR_EL0, cache ID)", "not trapped", "trapped to EL2"),
  bit(16, "TID1", "ID group 1 (REVIDR_EL1, AIDR_EL1)", "not trapped", "trapped to EL2"),
  bit(15, "TID0", "ID group 0 (AArch32 FPSID, JIDR)", "not trapped", "trapped to EL2"),
  bit(14, "TWE", "WFE at EL1 and EL0", "not trapped", "trapped to EL2"),
  bit(13, "TWI", "WFI at EL1 and EL0", "not trapped", "trapped to EL2"),
  bit(12, "DC", "Default cacheability, stage 1 off", "off", "on: Normal Write-Back"),
  bits(11, 10, "BSU", "Barriers are upgraded to at least", {
    "0b00": "no effect",
    "0b01": "Inner Shareable",
    "0b10": "Outer Shareable",
    "0b11": "Full system",
  }),
  bit(9, "FB", "Broadcast of EL1 TLB and IC maintenance", "not forced", "forced, Inner Shareable"),
  bit(8, "VSE", "Virtual SError", "not pending", "pending"),
  bit(7, "VI", "Virtual IRQ", "not pending", "pending"),
  bit(6, "VF", "Virtual FIQ", "not pending", "pending"),
  bit(5, "AMO", "Physical SError", "not routed to EL2", "routed to EL2"),
  bit(4, "IMO", "Physical IRQ", "not routed to EL2", "routed to EL2"),
  bit(3, "FMO", "Physical FIQ", "not routed to EL2", "routed to EL2"),
  bit(2, "PTW", "Stage 1 walk that hits Device at stage 2", "allowed", "faults"),
  bit(1, "SWIO", "Data cache invalidate by set/way at EL1", "invalidates", "also cleans"),
  bit(0, "VM", "Stage 2 translation", "off", "on"),
]);

const VTCR_EL2_FIELDS = once(() => [
  bit(45, "HDBSS", "Hardware dirty state tracking structure", "disabled", "enabled"),
  bit(44, "HAFT", "Hardware update of the Access flag in tables", "disabled", "enabled"),
  bit(41, "TL0", "Checks the TopLevel0 permission attribute (FEAT_THE)"),
  bit(40, "GCSH", "Guarded Control Stacks need AssuredOnly (FEAT_THE)"),
  bit(38, "D128", "128-bit stage 2 descriptors (FEAT_D128)", "off", "on"),
  bit(37, "S2POE", "Stage 2 permission overlays", "off", "on"),
  bit(36, "S2PIE", "Stage 2 permission indirection", "off", "on"),
  bit(35, "TL1", "Checks the TopLevel1 permission attribute (FEAT_THE)"),
  bit(34, "AssuredOnly", "AssuredOnly attribute of stage 2 (FEAT_THE)", "off", "on"),
  bit(33, "SL2", "Starting level of the walk, with SL0 (FEAT_LPA2)"),
  bit(32, "DS", "52-bit output addresses in descriptors (FEAT_LPA2)", "off", "on"),
  bit(30, "NSA", "Output space of Non-secure IPAs, Secure EL2", "Secure", "Non-secure"),
  bit(29, "NSW", "Table space of Non-secure IPAs, Secure EL2", "Secure", "Non-secure"),
  bit(28, "HWU62", "Hardware use of descriptor bit 62"),
  bit(27, "HWU61", "Hardware use of descriptor bit 61"),
  bit(26, "HWU60", "Hardware use of descriptor bit 60"),
  bit(25, "HWU59", "Hardware use of descriptor bit 59"),
  bit(22, "HD", "Hardware management of dirty state", "disabled", "enabled"),
  bit(21, "HA", "Hardware update of the Access flag", "disabled", "enabled"),
  bit(19, "VS", "Size of the VMID", "8 bits", "16 bits"),
  bits(18, 16, "PS", "Size of the output address", ADDRESS_SIZE),
  bits(15, 14, "TG0", "Granule of stage 2", GRANULE_TG0),
  bits(13, 12, "SH0", "Shareability of walks", SHAREABILITY),
  bits(11, 10, "ORGN0", "Outer cacheability of walks", CACHEABILITY),
  bits(9, 8, "IRGN0", "Inner cacheability of walks", CACHEABILITY),
  bits(7, 6, "SL0", "Starting level of the walk; depends on TG0"),
  bits(5, 0, "T0SZ", "Size of the IPA range: 2^(64 - T0SZ) bytes"),
]);

const VTTBR_EL2_FIELDS = once(() => [
  bits(63, 48, "VMID", "Virtual machine identifier"),
  bits(47, 1, "BADDR", "Stage 2 table base address, bits 47 to 1"),
  bit(0, "CnP", "Common, not Private: table shared between PEs", "private", "common"),
]);

const HPFAR_EL2_FIELDS = once(() => [
  bit(63, "NS", "Faulting IPA space, for Secure EL2", "Secure", "Non-secure"),
  bits(47, 4, "FIPA", "Faulting IPA, from bit 12 up: IPA = FIPA << 12"),
]);

const HCRX_EL2_FIELDS = once(() => [
  bit(26, "SRMASKEn", "System register mask registers at EL1", "trapped to EL2", "not trapped"),
  bit(24, "PACMEn", "PACM instruction at EL1 and EL0", "no effect", "as SCTLR2_EL1 says"),
  bit(23, "EnFPM", "FPMR at EL1 and EL0", "trapped to EL2", "not trapped"),
  bit(22, "GCSEn", "Guarded Control Stack at EL1 and EL0", "disabled", "enabled"),
  bit(21, "EnIDCP128", "IMPLEMENTATION DEFINED 128-bit registers", "trapped to EL2", "not trapped"),
  bit(20, "EnSDERR", "Errors of Device memory reads", "as SCTLR2_EL1.EnADERR says", "synchronous"),
  bit(19, "TMEA", "Masked error exceptions of EL1 and EL0", "not taken to EL2", "taken to EL2"),
  bit(18, "EnSNERR", "Errors of Normal memory reads", "as SCTLR2_EL1.EnANERR says", "synchronous"),
  bit(17, "D128En", "128-bit System registers at EL1", "trapped to EL2", "not trapped"),
  bit(16, "PTTWI", "Table walk incoherency at EL1 and EL0", "not permitted", "permitted"),
  bit(15, "SCTLR2En", "SCTLR2_EL1", "trapped to EL2", "not trapped"),
  bit(14, "TCR2En", "TCR2_EL1", "trapped to EL2", "not trapped"),
  bit(11, "MSCEn", "Memory Copy and Set at EL1 and EL0", "UNDEFINED", "enabled"),
  bit(10, "MCE2", "Memory Copy and Set exceptions of EL1", "taken to EL1", "taken to EL2"),
  bit(9, "CMOW", "Cache maintenance needs write permission at stage 2", "no", "yes"),
  bit(8, "VFNMI", "Virtual FIQ with Superpriority", "no", "yes"),
  bit(7, "VINMI", "Virtual IRQ with Superpriority", "no", "yes"),
  bit(6, "TALLINT", "Writes of ALLINT at EL1", "not trapped", "trapped to EL2"),
  bit(5, "SMPME", "Priority mapping of Streaming SVE mode", "off", "on"),
  bit(4, "FGTnXS", "Fine-grained traps of TLBI cover the nXS forms", "yes", "no"),
  bit(3, "FnXS", "TLBI and DSB at EL1 and EL0 act as their nXS forms", "no", "yes"),
  bit(2, "EnASR", "ST64BV at EL1 and EL0", "trapped to EL2", "not trapped"),
  bit(1, "EnALS", "LD64B and ST64B at EL1 and EL0", "trapped to EL2", "not trapped"),
  bit(0, "EnAS0", "ST64BV0 at EL1 and EL0", "trapped to EL2", "not trapped"),
]);

const VSTCR_EL2_FIELDS = once(() => [
  bit(33, "SL2", "Starting level of the walk, with SL0 (FEAT_LPA2)"),
  bit(30, "SA", "Output space of Secure IPAs", "Secure", "Non-secure"),
  bit(29, "SW", "Table space of Secure IPAs", "Secure", "Non-secure"),
  bits(15, 14, "TG0", "Granule of Secure stage 2", GRANULE_TG0),
  bits(7, 6, "SL0", "Starting level of the walk; depends on TG0"),
  bits(5, 0, "T0SZ", "Size of the IPA range: 2^(64 - T0SZ) bytes"),
]);

const VSTTBR_EL2_FIELDS = once(() => [
  bits(47, 1, "BADDR", "Secure stage 2 table base address, bits 47 to 1"),
  bit(0, "CnP", "Common, not Private: table shared between PEs", "private", "common"),
]);

const VNCR_EL2_FIELDS = once(() => [
  bits(63, 57, "RESS", "Copies of the sign bit of the address"),
  bits(56, 12, "BADDR", "Address of the register page of a guest hypervisor"),
]);

const TABLES: readonly (readonly [name: string, title: string, fields: () => readonly RegisterField[]])[] = [
  ["HCR_EL2", "Hypervisor Configuration Register", HCR_EL2_FIELDS],
  ["HCRX_EL2", "Extended Hypervisor Configuration Register", HCRX_EL2_FIELDS],
  ["VTCR_EL2", "Virtualization Translation Control Register", VTCR_EL2_FIELDS],
  ["VTTBR_EL2", "Virtualization Translation Table Base Register", VTTBR_EL2_FIELDS],
  ["VSTCR_EL2", "Virtualization Secure Translation Control Register", VSTCR_EL2_FIELDS],
  ["VSTTBR_EL2", "Virtualization Secure Translation Table Base Register", VSTTBR_EL2_FIELDS],
  ["VNCR_EL2", "Virtual Nested Control Register", VNCR_EL2_FIELDS],
  ["VPIDR_EL2", "Virtualization Processor ID Register", MIDR_FIELDS],
  ["VMPIDR_EL2", "Virtualization Multiprocessor ID Register", MPIDR_FIELDS],
  ["HPFAR_EL2", "Hypervisor IPA Fault Address Register", HPFAR_EL2_FIELDS],
];

/** HCR*, VTCR, VTTBR, VSTCR, VSTTBR, VNCR, VPIDR, VMPIDR and HPFAR_EL2. Source: Arm ARM DDI 0487, D24.2. */
export const HYPERVISOR_REGISTERS: readonly RegisterDescription[] = TABLES.map(([name, title, fields]) =>
  described("D24.2", name, title, fields),
);
