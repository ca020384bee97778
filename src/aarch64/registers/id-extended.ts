/**
 * Identification registers, continued: ID_AA64PFR2, ID_AA64ISAR2-3, ID_AA64MMFR3-4 and ID_AA64DFR0-2.
 *
 * Source: Arm ARM DDI 0487, D24.2, the register of that name. All fields are four bits wide, save the counts of
 * breakpoints and watchpoints in ID_AA64DFR1_EL1. Numbers of breakpoints and watchpoints are one less than how many
 * there are.
 */
import { feature, NO, signedFeature, YES } from "./id-feature.ts";
import { bits, described, once, type RegisterDescription, type RegisterField } from "./types.ts";

const PFR2 = once(() => [
  feature(32, "FPMR", "Floating-point Mode Register", NO, "FEAT_FPMR"),
  feature(16, "UINJ", "Injection of Undefined Instruction exceptions", NO, "FEAT_UINJ"),
  feature(8, "MTEFAR", "FAR holds the whole address after a Tag Check Fault", NO, "FEAT_MTE_TAGGED_FAR"),
  feature(4, "MTESTOREONLY", "Tag checks on stores only", NO, "FEAT_MTE_STORE_ONLY"),
  feature(0, "MTEPERM", "NoTagAccess memory attribute", NO, "FEAT_MTE_PERM"),
]);

const PAUTH3 = ["FEAT_PAuth", "FEAT_EPAC", "FEAT_PAuth2", "FEAT_FPAC", "FEAT_FPACCOMBINE", "FEAT_PAuth_LR"] as const;

const ISAR2 = once(() => [
  feature(60, "ATS1A", "AT without a permission check", NO, "FEAT_ATS1A"),
  feature(56, "LUT", "Lookup table instructions", NO, "FEAT_LUT"),
  feature(52, "CSSC", "Common short sequence compression", NO, "FEAT_CSSC", "FEAT_CMPBR"),
  feature(48, "RPRFM", "Range prefetch hint", NO, "FEAT_RPRFM"),
  feature(44, "PCDPHINT", "Producer-consumer data placement hints", NO, "FEAT_PCDPHINT"),
  feature(40, "PRFMSLC", "Prefetch to the system level cache", NO, "FEAT_PRFMSLC"),
  feature(36, "SYSINSTR_128", "128-bit System instructions", NO, "FEAT_SYSINSTR128"),
  feature(32, "SYSREG_128", "128-bit System registers", NO, "FEAT_SYSREG128"),
  feature(28, "CLRBHB", "Clear branch history instruction", NO, "FEAT_CLRBHB"),
  feature(24, "PAC_frac", "Bit 55 does not move the PAC field", NO, "FEAT_CONSTPACFIELD"),
  feature(20, "BC", "Hinted conditional branches", NO, "FEAT_HBC"),
  feature(16, "MOPS", "Memory Copy and Set instructions", NO, "FEAT_MOPS"),
  feature(12, "APA3", "Address authentication, QARMA3", NO, ...PAUTH3),
  feature(8, "GPA3", "Generic authentication, QARMA3", NO, YES),
  feature(4, "RPRES", "Reciprocal estimates with 12 bits of mantissa", NO, "FEAT_RPRES"),
  feature(0, "WFxT", "WFE and WFI with a timeout", NO, null, "FEAT_WFxT"),
]);

const ISAR3 = once(() => [
  feature(28, "FPRCVT", "Conversions in floating-point registers", NO, "FEAT_FPRCVT"),
  feature(24, "LSUI", "Unprivileged atomic instructions", NO, "FEAT_LSUI"),
  feature(20, "OCCMO", "Outer cacheable cache maintenance", NO, "FEAT_OCCMO"),
  feature(16, "LSFE", "Floating-point atomic instructions", NO, "FEAT_LSFE"),
  feature(12, "PACM", "PACM instruction", NO, "trivial", "full"),
  feature(8, "TLBIW", "TLBI VMALLWS2E1", NO, "FEAT_TLBIW"),
  feature(4, "FAMINMAX", "Absolute maximum and minimum", NO, "FEAT_FAMINMAX"),
  feature(0, "CPA", "Checked Pointer Arithmetic", NO, "FEAT_CPA", "FEAT_CPA2"),
]);

const MMFR3 = once(() => [
  feature(60, "Spec_FPACC", "Speculative use of a failed authentication", "possible", "prevented"),
  feature(56, "ADERR", "Asynchronous errors of Device reads", NO, "always", "FEAT_ADERR", "FEAT_ADERR, independent"),
  feature(52, "SDERR", "Synchronous errors of Device reads", NO, "always", "FEAT_ADERR", "FEAT_ADERR, independent"),
  feature(44, "ANERR", "Asynchronous errors of Normal reads", NO, "always", "FEAT_ANERR", "FEAT_ANERR, independent"),
  feature(40, "SNERR", "Synchronous errors of Normal reads", NO, "always", "FEAT_ANERR", "FEAT_ANERR, independent"),
  feature(36, "D128_2", "128-bit descriptors at stage 2", NO, YES),
  feature(32, "D128", "128-bit descriptors", NO, "FEAT_D128"),
  feature(28, "MEC", "Memory Encryption Contexts", NO, "FEAT_MEC"),
  feature(24, "AIE", "Attribute index extension, stage 1", NO, "FEAT_AIE"),
  feature(20, "S2POE", "Permission overlays, stage 2", NO, "FEAT_S2POE"),
  feature(16, "S1POE", "Permission overlays, stage 1", NO, "FEAT_S1POE"),
  feature(12, "S2PIE", "Permission indirection, stage 2", NO, "FEAT_S2PIE"),
  feature(8, "S1PIE", "Permission indirection, stage 1", NO, "FEAT_S1PIE"),
  feature(4, "SCTLRX", "SCTLR2_ELx", NO, "FEAT_SCTLR2"),
  feature(0, "TCRX", "TCR2_ELx", NO, "FEAT_TCR2"),
]);

/** HCR_EL2.E2H: 0b0000 is the Armv8.1 behaviour, and the two others say that E2H cannot be 0. */
const E2H0 = bits(27, 24, "E2H0", "HCR_EL2.E2H can be 0", {
  "0b0000": "yes, FEAT_E2H0",
  "0b1110": "no, and HCR_EL2.NV1 is RES0",
  "0b1111": "no",
});

const MMFR4 = once(() => [
  feature(44, "SRMASK", "Mask registers for System registers", NO, "FEAT_SRMASK"),
  feature(36, "E3DSE", "Delegated SErrors of EL3", NO, "FEAT_E3DSE"),
  feature(28, "RMEGDI", "Granular data isolation", NO, "FEAT_RME_GDI"),
  E2H0,
  feature(20, "NV_frac", "Fraction of ID_AA64MMFR2_EL1.NV", "as NV says", "FEAT_NV2 alone", "FEAT_NV2p1"),
  feature(16, "FGWTE3", "Fine-grained write traps of EL3", NO, "FEAT_FGWTE3"),
  feature(12, "HACDBS", "Hardware cleaner of dirty state", NO, "FEAT_HACDBS"),
  feature(8, "ASID2", "Two ASIDs at a time", NO, "FEAT_ASID2"),
  signedFeature(4, "EIESB", "Early implicit error synchronization", NO, "to EL3", "to any level"),
  feature(0, "PoPS", "Point of Physical Storage", NO, "FEAT_PoPS"),
]);

const SPE = ["FEAT_SPE", "FEAT_SPEv1p1", "FEAT_SPEv1p2", "FEAT_SPEv1p3", "FEAT_SPEv1p4", "FEAT_SPEv1p5"] as const;

const PMU = bits(11, 8, "PMUVer", "Performance Monitors", {
  "0b0000": NO,
  "0b0001": "FEAT_PMUv3",
  "0b0100": "FEAT_PMUv3p1",
  "0b0101": "FEAT_PMUv3p4",
  "0b0110": "FEAT_PMUv3p5",
  "0b0111": "FEAT_PMUv3p7",
  "0b1000": "FEAT_PMUv3p8",
  "0b1001": "FEAT_PMUv3p9",
  "0b1111": "IMPLEMENTATION DEFINED",
});

const DEBUG = bits(3, 0, "DebugVer", "Debug architecture", {
  "0b0110": "Armv8.0",
  "0b0111": "FEAT_Debugv8p1",
  "0b1000": "FEAT_Debugv8p2",
  "0b1001": "FEAT_Debugv8p4",
  "0b1010": "FEAT_Debugv8p8",
  "0b1011": "FEAT_Debugv8p9",
});

const DFR0 = once(() => [
  feature(60, "HPMN0", "MDCR_EL2.HPMN of 0", "UNPREDICTABLE", "FEAT_HPMN0"),
  feature(56, "ExtTrcBuff", "External mode of the trace buffer", NO, "FEAT_TRBE_EXT"),
  feature(52, "BRBE", "Branch Record Buffer", NO, "FEAT_BRBE", "FEAT_BRBEv1p1"),
  signedFeature(48, "MTPMU", "Multi-threaded PMU", "IMPLEMENTATION DEFINED", "FEAT_MTPMU"),
  feature(44, "TraceBuffer", "Trace Buffer", NO, "FEAT_TRBE", "FEAT_TRBEv1p1"),
  feature(40, "TraceFilt", "Self-hosted trace", NO, "FEAT_TRF"),
  signedFeature(36, "DoubleLock", "OS Double Lock", YES),
  feature(32, "PMSVer", "Statistical Profiling", NO, ...SPE),
  bits(31, 28, "CTX_CMPs", "Context-aware breakpoints, less one"),
  feature(24, "SEBEP", "Synchronous event profiling", NO, "FEAT_SEBEP"),
  bits(23, 20, "WRPs", "Watchpoints, less one"),
  feature(16, "PMSS", "PMU snapshots", NO, "FEAT_PMUv3_SS"),
  bits(15, 12, "BRPs", "Breakpoints, less one"),
  PMU,
  feature(4, "TraceVer", "Trace registers", NO, YES),
  DEBUG,
]);

const DFR1 = once(() => [
  bits(63, 56, "ABL_CMPs", "Breakpoints that can link addresses, less one"),
  feature(52, "DPFZS", "PMCCNTR_EL0 while PMCR_EL0.DP and FZS freeze", "not frozen", "frozen"),
  feature(48, "EBEP", "Exceptions of the PMU", NO, "FEAT_EBEP"),
  feature(44, "ITE", "Instrumentation trace", NO, "FEAT_ITE"),
  feature(40, "ABLE", "Address breakpoint linking", NO, "FEAT_ABLE"),
  feature(36, "PMICNTR", "PMU instruction counter", NO, "FEAT_PMUv3_ICNTR"),
  feature(32, "SPMU", "System PMU", NO, "FEAT_SPMU", "FEAT_SPMU2"),
  bits(31, 24, "CTX_CMPs", "Context-aware breakpoints, less one; 0: see DFR0"),
  bits(23, 16, "WRPs", "Watchpoints, less one; 0: see DFR0"),
  bits(15, 8, "BRPs", "Breakpoints, less one; 0: see DFR0"),
  bits(7, 0, "SYSPMUID", "System PMU identification"),
]);

const DFR2 = once(() => [
  feature(24, "TRBE_EXC", "Exceptions of the trace buffer", NO, "FEAT_TRBE_EXC"),
  feature(20, "SPE_nVM", "Profiling by physical addresses", NO, "FEAT_SPE_nVM"),
  feature(16, "SPE_EXC", "Exceptions of Statistical Profiling", NO, "FEAT_SPE_EXC"),
  feature(4, "BWE", "Breakpoint masks and mismatches", NO, "FEAT_BWE", "FEAT_BWE2"),
  feature(0, "STEP", "Software step of a given instruction", NO, "FEAT_STEP2"),
]);

const TABLES: readonly (readonly [name: string, title: string, fields: () => readonly RegisterField[]])[] = [
  ["ID_AA64PFR2_EL1", "AArch64 Processor Feature Register 2", PFR2],
  ["ID_AA64ISAR2_EL1", "AArch64 Instruction Set Attribute Register 2", ISAR2],
  ["ID_AA64ISAR3_EL1", "AArch64 Instruction Set Attribute Register 3", ISAR3],
  ["ID_AA64MMFR3_EL1", "AArch64 Memory Model Feature Register 3", MMFR3],
  ["ID_AA64MMFR4_EL1", "AArch64 Memory Model Feature Register 4", MMFR4],
  ["ID_AA64DFR0_EL1", "AArch64 Debug Feature Register 0", DFR0],
  ["ID_AA64DFR1_EL1", "AArch64 Debug Feature Register 1", DFR1],
  ["ID_AA64DFR2_EL1", "AArch64 Debug Feature Register 2", DFR2],
];

/** ID_AA64PFR2, ISAR2-3, MMFR3-4, DFR0-2. Source: Arm ARM DDI 0487, D24.2. */
export const EXTENDED_ID_REGISTERS: readonly RegisterDescription[] = TABLES.map(([name, title, fields]) =>
  described("D24.2", name, title, fields),
);
