/**
 * Secure Configuration Register: SCR_EL3.
 *
 * Source: Arm ARM DDI 0487, D24.2 SCR_EL3. "Lower levels" are EL2, EL1 and EL0.
 */
import { bit, bits, described, once, type RegisterDescription } from "./types.ts";

const SCR_EL3_FIELDS = once(() => [
  bit(62, "NSE", "With NS, the Security state of lower levels (FEAT_RME)"),
  bit(61, "HACDBSEn", "HACDBSBR_EL2 and HACDBSCONS_EL2", "trapped to EL3", "not trapped"),
  bit(60, "HDBSSEn", "HDBSSBR_EL2 and HDBSSPROD_EL2", "trapped to EL3", "not trapped"),
  bit(59, "FGTEn2", "Fine-grained trap registers, second set", "trapped to EL3", "not trapped"),
  bit(58, "EnDSE", "Delegated SError exceptions", "disabled", "enabled"),
  bit(57, "DSE", "Delegated SError exception", "not pending", "pending"),
  bit(55, "EnIDCP128", "IMPLEMENTATION DEFINED 128-bit registers", "trapped to EL3", "not trapped"),
  bit(54, "SRMASKEn", "System register mask registers", "trapped to EL3", "not trapped"),
  bit(53, "PFAREn", "Physical fault address registers", "trapped to EL3", "not trapped"),
  bit(52, "TWERR", "Writes of error record registers", "not trapped", "trapped to EL3"),
  bit(51, "TMEA", "Trap masked External aborts", "not taken to EL3", "taken to EL3"),
  bit(50, "EnFPM", "FPMR at lower levels", "trapped to EL3", "not trapped"),
  bit(49, "MECEn", "MECID registers at EL2", "trapped to EL3", "not trapped"),
  bit(48, "GPF", "Granule Protection Faults", "not routed to EL3", "routed to EL3"),
  bit(47, "D128En", "128-bit System registers at lower levels", "trapped to EL3", "not trapped"),
  bit(46, "AIEn", "MAIR2_ELx and AMAIR2_ELx", "trapped to EL3", "not trapped"),
  bit(45, "PIEn", "Permission indirection and overlay registers", "trapped to EL3", "not trapped"),
  bit(44, "SCTLR2En", "SCTLR2_ELx at lower levels", "trapped to EL3", "not trapped"),
  bit(43, "TCR2En", "TCR2_ELx at lower levels", "trapped to EL3", "not trapped"),
  bit(42, "RCWMASKEn", "RCWMASK_EL1 and RCWSMASK_EL1", "trapped to EL3", "not trapped"),
  bit(41, "EnTP2", "TPIDR2_EL0 at lower levels", "trapped to EL3", "not trapped"),
  bit(40, "TRNDR", "RNDR and RNDRRS", "not trapped", "trapped to EL3"),
  bit(39, "GCSEn", "Guarded Control Stack at lower levels", "disabled", "enabled"),
  bit(38, "HXEn", "HCRX_EL2", "trapped to EL3", "not trapped"),
  bit(37, "ADEn", "ACCDATA_EL1", "trapped to EL3", "not trapped"),
  bit(36, "EnAS0", "ST64BV0 at lower levels", "trapped to EL3", "not trapped"),
  bit(35, "AMVOFFEN", "Activity monitors virtual offsets", "disabled", "enabled"),
  bits(33, 30, "TWEDEL", "WFE trap delay: at least 2^(TWEDEL + 8) cycles"),
  bit(29, "TWEDEn", "Delay of WFE traps", "IMPLEMENTATION DEFINED delay", "delay given by TWEDEL"),
  bit(28, "ECVEn", "CNTPOFF_EL2", "trapped to EL3", "not trapped"),
  bit(27, "FGTEn", "Fine-grained trap registers", "trapped to EL3", "not trapped"),
  bit(26, "ATA", "Allocation Tags at lower levels", "no access", "access"),
  bit(25, "EnSCXT", "SCXTNUM_ELx at lower levels", "trapped to EL3", "not trapped"),
  bit(23, "TID5", "ID group 5", "not trapped", "trapped to EL3"),
  bit(22, "TID3", "ID group 3", "not trapped", "trapped to EL3"),
  bit(21, "FIEN", "Fault injection registers", "trapped to EL3", "not trapped"),
  bit(20, "NMEA", "SErrors at EL3 while PSTATE.A is 1", "not taken", "taken"),
  bit(19, "EASE", "Synchronous External aborts at EL3", "synchronous vector", "SError vector"),
  bit(18, "EEL2", "Secure EL2", "disabled", "enabled"),
  bit(17, "API", "Pointer authentication instructions", "trapped to EL3", "not trapped"),
  bit(16, "APK", "Pointer authentication keys", "trapped to EL3", "not trapped"),
  bit(15, "TERR", "Error record registers", "not trapped", "trapped to EL3"),
  bit(14, "TLOR", "LORegion registers", "not trapped", "trapped to EL3"),
  bit(13, "TWE", "WFE at lower levels", "not trapped", "trapped to EL3"),
  bit(12, "TWI", "WFI at lower levels", "not trapped", "trapped to EL3"),
  bit(11, "ST", "Secure physical timer at Secure EL1", "trapped to EL3", "not trapped"),
  bit(10, "RW", "Execution state of the next lower level", "AArch32", "AArch64"),
  bit(9, "SIF", "Secure fetches from Non-secure memory", "permitted", "not permitted"),
  bit(8, "HCE", "HVC instruction", "UNDEFINED", "enabled"),
  bit(7, "SMD", "SMC instruction", "enabled", "UNDEFINED"),
  bit(3, "EA", "External aborts and SErrors", "not taken to EL3", "taken to EL3"),
  bit(2, "FIQ", "Physical FIQ", "not taken to EL3", "taken to EL3"),
  bit(1, "IRQ", "Physical IRQ", "not taken to EL3", "taken to EL3"),
  bit(0, "NS", "Security state of lower levels; with NSE (FEAT_RME)"),
]);

/** SCR_EL3. Source: Arm ARM DDI 0487, D24.2 SCR_EL3. */
export const MONITOR_REGISTERS: readonly RegisterDescription[] = [
  described("D24.2", "SCR_EL3", "Secure Configuration Register", SCR_EL3_FIELDS),
];
