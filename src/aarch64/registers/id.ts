/**
 * Identification registers: ID_AA64PFR0-1, ID_AA64ISAR0-1, ID_AA64MMFR0-2, MIDR_EL1, MPIDR_EL1, CurrentEL.
 *
 * Source: Arm ARM DDI 0487, D24.2, the register of that name. All fields of the ID_AA64* registers are four bits wide.
 */

import { feature, LEVEL_STATES, NO, signedFeature, YES } from "./id-feature.ts";
import { bit, bits, described, once, type RegisterDescription, type RegisterField } from "./types.ts";

const PFR0 = once(() => [
  feature(60, "CSV3", "Speculative use of faulting loads", "not disclosed", "FEAT_CSV3"),
  feature(56, "CSV2", "Speculative use of branch targets", "not disclosed", "FEAT_CSV2", "FEAT_CSV2_2", "FEAT_CSV2_3"),
  feature(52, "RME", "Realm Management Extension", NO, "FEAT_RME", "FEAT_RME_GPC2", "FEAT_RME_GPC3"),
  feature(48, "DIT", "Data Independent Timing", NO, "FEAT_DIT"),
  feature(44, "AMU", "Activity Monitors", NO, "FEAT_AMUv1", "FEAT_AMUv1p1"),
  feature(40, "MPAM", "MPAM major version"),
  feature(36, "SEL2", "Secure EL2", NO, "FEAT_SEL2"),
  feature(32, "SVE", "Scalable Vector Extension", NO, "FEAT_SVE"),
  feature(28, "RAS", "RAS Extension", NO, "FEAT_RAS", "FEAT_RASv1p1", "FEAT_RASv2"),
  feature(24, "GIC", "System register interface to the GIC", NO, "GICv3 and v4.0", null, "GICv4.1"),
  signedFeature(20, "AdvSIMD", "Advanced SIMD", YES, "FEAT_FP16"),
  signedFeature(16, "FP", "Floating point", YES, "FEAT_FP16"),
  feature(12, "EL3", "EL3", ...LEVEL_STATES),
  feature(8, "EL2", "EL2", ...LEVEL_STATES),
  feature(4, "EL1", "EL1", null, "AArch64 only", "AArch64 and AArch32"),
  feature(0, "EL0", "EL0", null, "AArch64 only", "AArch64 and AArch32"),
]);

const PFR1 = once(() => [
  feature(60, "PFAR", "Physical Fault Address Registers", NO, "FEAT_PFAR"),
  feature(56, "DF2", "Double Fault Extension 2", NO, "FEAT_DoubleFault2"),
  feature(52, "MTEX", "Canonical tag checks", NO, "FEAT_MTE_CANONICAL_TAGS"),
  feature(48, "THE", "Translation Hardening Extension", NO, "FEAT_THE"),
  feature(44, "GCS", "Guarded Control Stack", NO, "FEAT_GCS"),
  feature(40, "MTE_frac", "Asynchronous tag check faults"),
  feature(36, "NMI", "Non-maskable interrupts", NO, "FEAT_NMI"),
  feature(32, "CSV2_frac", "Fraction of CSV2", NO, "FEAT_CSV2_1p1", "FEAT_CSV2_1p2"),
  feature(28, "RNDR_trap", "Trap of RNDR to EL3", NO, "FEAT_RNG_TRAP"),
  feature(24, "SME", "Scalable Matrix Extension", NO, "FEAT_SME", "FEAT_SME2"),
  feature(16, "MPAM_frac", "MPAM minor version"),
  feature(12, "RAS_frac", "Fraction of RAS", NO, "FEAT_RASv1p1"),
  feature(8, "MTE", "Memory Tagging Extension", NO, "FEAT_MTE", "FEAT_MTE2", "FEAT_MTE3"),
  feature(4, "SSBS", "Speculative Store Bypass Safe", NO, "FEAT_SSBS", "FEAT_SSBS2"),
  feature(0, "BT", "Branch Target Identification", NO, "FEAT_BTI"),
]);

const ISAR0 = once(() => [
  feature(60, "RNDR", "Random number instructions", NO, "FEAT_RNG"),
  feature(56, "TLB", "TLB maintenance", NO, "FEAT_TLBIOS", "FEAT_TLBIOS and FEAT_TLBIRANGE"),
  feature(52, "TS", "Flag manipulation", NO, "FEAT_FlagM", "FEAT_FlagM2"),
  feature(48, "FHM", "FMLAL and FMLSL", NO, "FEAT_FHM"),
  feature(44, "DP", "Dot product", NO, "FEAT_DotProd"),
  feature(40, "SM4", "SM4 instructions", NO, "FEAT_SM4"),
  feature(36, "SM3", "SM3 instructions", NO, "FEAT_SM3"),
  feature(32, "SHA3", "SHA3 instructions", NO, "FEAT_SHA3"),
  feature(28, "RDM", "Rounding double multiply", NO, "FEAT_RDM"),
  feature(20, "Atomic", "Atomic instructions", NO, null, "FEAT_LSE", "FEAT_LSE128"),
  feature(16, "CRC32", "CRC32 instructions", NO, "FEAT_CRC32"),
  feature(12, "SHA2", "SHA2 instructions", NO, "FEAT_SHA256", "FEAT_SHA512"),
  feature(8, "SHA1", "SHA1 instructions", NO, "FEAT_SHA1"),
  feature(4, "AES", "AES instructions", NO, "FEAT_AES", "FEAT_AES and FEAT_PMULL"),
]);

const PAUTH = ["FEAT_PAuth", "FEAT_EPAC", "FEAT_PAuth2", "FEAT_FPAC", "FEAT_FPACCOMBINE", "FEAT_PAuth_LR"] as const;

const ISAR1 = once(() => [
  feature(60, "LS64", "64-byte loads and stores", NO, "FEAT_LS64", "FEAT_LS64_V", "FEAT_LS64_ACCDATA", "FEAT_LS64WB"),
  feature(56, "XS", "XS attribute", NO, "FEAT_XS"),
  feature(52, "I8MM", "Int8 matrix multiply", NO, "FEAT_I8MM"),
  feature(48, "DGH", "Data Gathering Hint", NO, "FEAT_DGH"),
  feature(44, "BF16", "BFloat16", NO, "FEAT_BF16", "FEAT_EBF16"),
  feature(40, "SPECRES", "Prediction invalidation", NO, "FEAT_SPECRES", "FEAT_SPECRES2"),
  feature(36, "SB", "SB instruction", NO, "FEAT_SB"),
  feature(32, "FRINTTS", "FRINT32 and FRINT64", NO, "FEAT_FRINTTS"),
  feature(28, "GPI", "Generic authentication, IMPDEF algorithm", NO, YES),
  feature(24, "GPA", "Generic authentication, QARMA5", NO, YES),
  feature(20, "LRCPC", "RCpc instructions", NO, "FEAT_LRCPC", "FEAT_LRCPC2", "FEAT_LRCPC3"),
  feature(16, "FCMA", "Complex numbers", NO, "FEAT_FCMA"),
  feature(12, "JSCVT", "JavaScript conversion", NO, "FEAT_JSCVT"),
  feature(8, "API", "Address authentication, IMPDEF algorithm", NO, ...PAUTH),
  feature(4, "APA", "Address authentication, QARMA5", NO, ...PAUTH),
  feature(0, "DPB", "Clean to Point of Persistence", NO, "FEAT_DPB", "FEAT_DPB2"),
]);

const MMFR0 = once(() => [
  feature(60, "ECV", "Enhanced Counter Virtualization", NO, "FEAT_ECV", "FEAT_ECV_POFF"),
  feature(56, "FGT", "Fine-grained traps", NO, "FEAT_FGT", "FEAT_FGT2"),
  feature(44, "ExS", "Non-synchronizing exception entry and exit", NO, "FEAT_ExS"),
  feature(40, "TGran4_2", "4 KiB granule, stage 2", "as TGran4", NO, YES, "with 52-bit addresses"),
  feature(36, "TGran64_2", "64 KiB granule, stage 2", "as TGran64", NO, YES),
  feature(32, "TGran16_2", "16 KiB granule, stage 2", "as TGran16", NO, YES, "with 52-bit addresses"),
  signedFeature(28, "TGran4", "4 KiB granule", YES, "with 52-bit addresses"),
  signedFeature(24, "TGran64", "64 KiB granule", YES),
  feature(20, "TGran16", "16 KiB granule", NO, YES, "with 52-bit addresses"),
  feature(16, "BigEndEL0", "Mixed-endian at EL0 only", NO, YES),
  feature(12, "SNSMem", "Secure and Non-secure memory", NO, YES),
  feature(8, "BigEnd", "Mixed-endian", NO, YES),
  feature(4, "ASIDBits", "Size of the ASID", "8 bits", null, "16 bits"),
  feature(
    0,
    "PARange",
    "Physical address size",
    "32 bits, 4 GiB",
    "36 bits, 64 GiB",
    "40 bits, 1 TiB",
    "42 bits, 4 TiB",
    "44 bits, 16 TiB",
    "48 bits, 256 TiB",
    "52 bits, 4 PiB",
    "56 bits, 64 PiB",
  ),
]);

const MMFR1 = once(() => [
  feature(60, "ECBHB", "Exploitative control of branch history", "not disclosed", "FEAT_ECBHB"),
  feature(56, "CMOW", "Cache maintenance write permission", NO, "FEAT_CMOW"),
  feature(52, "TIDCP1", "Trap of IMPDEF instructions at EL0", NO, "FEAT_TIDCP1"),
  feature(48, "nTLBPA", "Intermediate walk caching", "may be by PA", "FEAT_nTLBPA"),
  feature(44, "AFP", "Alternate floating-point behavior", NO, "FEAT_AFP"),
  feature(40, "HCX", "HCRX_EL2", NO, "FEAT_HCX"),
  feature(36, "ETS", "Enhanced Translation Synchronization", NO, null, "FEAT_ETS2", "FEAT_ETS3"),
  feature(32, "TWED", "Delayed trapping of WFE", NO, "FEAT_TWED"),
  feature(28, "XNX", "Stage 2 execute-never by level", NO, "FEAT_XNX"),
  feature(24, "SpecSEI", "SError from speculative reads", "never", "possible"),
  feature(20, "PAN", "Privileged Access Never", NO, "FEAT_PAN", "FEAT_PAN2", "FEAT_PAN3"),
  feature(16, "LO", "LORegions", NO, "FEAT_LOR"),
  feature(12, "HPDS", "Hierarchical permission disables", NO, "FEAT_HPDS", "FEAT_HPDS2"),
  feature(8, "VH", "Virtualization Host Extensions", NO, "FEAT_VHE"),
  feature(4, "VMIDBits", "Size of the VMID", "8 bits", null, "16 bits"),
  feature(
    0,
    "HAFDBS",
    "Hardware Access flag and dirty state",
    NO,
    "Access flag",
    "Access flag and dirty state",
    "FEAT_HAFT",
    "FEAT_HDBSS",
  ),
]);

const MMFR2 = once(() => [
  feature(60, "E0PD", "Fault EL0 accesses by range", NO, "FEAT_E0PD"),
  feature(56, "EVT", "Enhanced Virtualization Traps", NO, "FEAT_EVT, no TTLBxS", "FEAT_EVT"),
  feature(52, "BBM", "Break-before-make level", "level 0", "level 1", "level 2"),
  feature(48, "TTL", "Translation Table Level hints", NO, "FEAT_TTL"),
  feature(40, "FWB", "Stage 2 forced Write-Back", NO, "FEAT_S2FWB"),
  feature(36, "IDS", "EC of exceptions from ID registers", "0x0", "0x18, FEAT_IDST", "0x18, and traps to EL3"),
  feature(32, "AT", "Unaligned atomicity", NO, "FEAT_LSE2"),
  feature(28, "ST", "Small translation tables", NO, "FEAT_TTST"),
  feature(24, "NV", "Nested virtualization", NO, "FEAT_NV", "FEAT_NV2"),
  feature(20, "CCIDX", "Format of CCSIDR_EL1", "32-bit", "64-bit, FEAT_CCIDX"),
  feature(16, "VARange", "Virtual address size", "48 bits", "52 bits with 64 KiB, FEAT_LVA", "56 bits, FEAT_LVA3"),
  feature(12, "IESB", "IESB bit of SCTLR_ELx", NO, "FEAT_IESB"),
  feature(8, "LSM", "LSMAOE and nTLSMD bits", NO, "FEAT_LSMAOC"),
  feature(4, "UAO", "User Access Override", NO, "FEAT_UAO"),
  feature(0, "CnP", "Common not Private translations", NO, "FEAT_TTCNP"),
]);

/** MIDR_EL1, and VPIDR_EL2. Source: Arm ARM DDI 0487, D24.2 MIDR_EL1. */
export const MIDR_FIELDS = once(() => [
  bits(31, 24, "Implementer", "Implementer code", { "0b01000001": "Arm Limited" }),
  bits(23, 20, "Variant", "Major revision"),
  bits(19, 16, "Architecture", "Architecture", { "0b1111": "see the ID registers" }),
  bits(15, 4, "PartNum", "Part number"),
  bits(3, 0, "Revision", "Minor revision"),
]);

/** MPIDR_EL1, and VMPIDR_EL2. Source: Arm ARM DDI 0487, D24.2 MPIDR_EL1. */
export const MPIDR_FIELDS = once(() => [
  bits(39, 32, "Aff3", "Affinity level 3"),
  bit(30, "U", "System", "multiprocessor", "uniprocessor"),
  bit(24, "MT", "Lowest affinity level", "independent PEs", "interdependent PEs"),
  bits(23, 16, "Aff2", "Affinity level 2"),
  bits(15, 8, "Aff1", "Affinity level 1"),
  bits(7, 0, "Aff0", "Affinity level 0"),
]);

const CURRENT_EL = once(() => [
  bits(3, 2, "EL", "Current Exception level", { "0b00": "EL0", "0b01": "EL1", "0b10": "EL2", "0b11": "EL3" }),
]);

const TABLES: readonly (readonly [name: string, title: string, fields: () => readonly RegisterField[]])[] = [
  ["ID_AA64PFR0_EL1", "AArch64 Processor Feature Register 0", PFR0],
  ["ID_AA64PFR1_EL1", "AArch64 Processor Feature Register 1", PFR1],
  ["ID_AA64ISAR0_EL1", "AArch64 Instruction Set Attribute Register 0", ISAR0],
  ["ID_AA64ISAR1_EL1", "AArch64 Instruction Set Attribute Register 1", ISAR1],
  ["ID_AA64MMFR0_EL1", "AArch64 Memory Model Feature Register 0", MMFR0],
  ["ID_AA64MMFR1_EL1", "AArch64 Memory Model Feature Register 1", MMFR1],
  ["ID_AA64MMFR2_EL1", "AArch64 Memory Model Feature Register 2", MMFR2],
  ["MIDR_EL1", "Main ID Register", MIDR_FIELDS],
  ["MPIDR_EL1", "Multiprocessor Affinity Register", MPIDR_FIELDS],
];

/** ID_AA64*, MIDR_EL1, MPIDR_EL1, CurrentEL. Source: Arm ARM DDI 0487, D24.2 and C5.2. */
export const ID_REGISTERS: readonly RegisterDescription[] = [
  ...TABLES.map(([name, title, fields]) => described("D24.2", name, title, fields)),
  described("C5.2", "CurrentEL", "Current Exception Level", CURRENT_EL),
];
