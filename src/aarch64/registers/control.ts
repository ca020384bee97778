/**
 * System control registers: SCTLR_ELx and SCTLR2_ELx.
 *
 * Source: Arm ARM DDI 0487, D24.2, the register of that name. SCTLR_EL2 has the fields that govern EL0 only while
 * HCR_EL2.E2H is 1; SCTLR_EL3 has none of them. The meanings speak of "this level" so that the three can share them.
 * SCTLR2_EL2 has one layout, whatever E2H is; its fields for EL0 have no effect while E2H or TGE is 0.
 */
import { bit, bits, described, HOST, NOT_HOST, once, type RegisterDescription } from "./types.ts";
import { TAG_CHECK_FAULT } from "./words.ts";

const SCTLR_EL1_FIELDS = once(() => [
  bit(63, "TIDCP", "IMPLEMENTATION DEFINED instructions at EL0", "not trapped", "trapped"),
  bit(62, "SPINTMASK", "PSTATE.SP masks interrupts, while NMI is 1"),
  bit(61, "NMI", "Non-maskable interrupts", "disabled", "enabled"),
  bit(60, "EnTP2", "TPIDR2_EL0 at EL0", "trapped", "not trapped"),
  bit(59, "TCSO", "Tag checks on stores only"),
  bit(58, "TCSO0", "Tag checks on stores only, at EL0"),
  bit(57, "EPAN", "PAN also covers pages that EL0 can execute"),
  bit(56, "EnALS", "LD64B and ST64B at EL0", "trapped", "not trapped"),
  bit(55, "EnAS0", "ST64BV0 at EL0", "trapped", "not trapped"),
  bit(54, "EnASR", "ST64BV at EL0", "trapped", "not trapped"),
  bits(49, 46, "TWEDEL", "WFE trap delay: at least 2^(TWEDEL + 8) cycles"),
  bit(45, "TWEDEn", "Delay of WFE traps", "IMPLEMENTATION DEFINED delay", "delay given by TWEDEL"),
  bit(44, "DSSBS", "PSTATE.SSBS on exception entry", "set to 0", "set to 1"),
  bit(43, "ATA", "Allocation Tags at this level", "no access", "access"),
  bit(42, "ATA0", "Allocation Tags at EL0", "no access", "access"),
  bits(41, 40, "TCF", "Effect of a tag check fault at this level", TAG_CHECK_FAULT),
  bits(39, 38, "TCF0", "Effect of a tag check fault at EL0", TAG_CHECK_FAULT),
  bit(37, "ITFSB", "Tag check faults are synchronized on exception entry"),
  bit(36, "BT1", "PACIASP, PACIBSP as a target of BTYPE 0b11", "accepted", "not accepted"),
  bit(35, "BT0", "PACIASP, PACIBSP as such a target at EL0", "accepted", "not accepted"),
  bit(34, "EnFPM", "FPMR at EL0", "trapped", "not trapped"),
  bit(33, "MSCEn", "Memory Copy and Set instructions at EL0", "UNDEFINED", "enabled"),
  bit(32, "CMOW", "EL0 cache maintenance by VA needs write permission"),
  bit(31, "EnIA", "Pointer authentication with APIAKey_EL1", "disabled", "enabled"),
  bit(30, "EnIB", "Pointer authentication with APIBKey_EL1", "disabled", "enabled"),
  bit(29, "LSMAOE", "AArch32 load/store multiple at EL0 keep their order"),
  bit(28, "nTLSMD", "AArch32 load/store multiple to Device at EL0", "trapped", "not trapped"),
  bit(27, "EnDA", "Pointer authentication with APDAKey_EL1", "disabled", "enabled"),
  bit(26, "UCI", "Cache maintenance at EL0", "trapped", "not trapped"),
  bit(25, "EE", "Byte order of data and of table walks", "little-endian", "big-endian"),
  bit(24, "E0E", "Byte order of data at EL0", "little-endian", "big-endian"),
  bit(23, "SPAN", "PSTATE.PAN on exception entry", "set to 1", "unchanged"),
  bit(22, "EIS", "Exception entry synchronizes context", "no", "yes"),
  bit(21, "IESB", "Implicit error synchronization events", "disabled", "enabled"),
  bit(20, "TSCXT", "SCXTNUM_EL0 at EL0", "not trapped", "trapped"),
  bit(19, "WXN", "Writable memory is execute-never", "no effect", "writable memory is execute-never"),
  bit(18, "nTWE", "WFE at EL0", "trapped", "not trapped"),
  bit(16, "nTWI", "WFI at EL0", "trapped", "not trapped"),
  bit(15, "UCT", "CTR_EL0 at EL0", "trapped", "not trapped"),
  bit(14, "DZE", "DC ZVA at EL0", "trapped", "not trapped"),
  bit(13, "EnDB", "Pointer authentication with APDBKey_EL1", "disabled", "enabled"),
  bit(12, "I", "Instruction fetches", "Non-cacheable", "cacheable"),
  bit(11, "EOS", "Exception return synchronizes context", "no", "yes"),
  bit(10, "EnRCTX", "Speculation restriction (RCTX) at EL0", "trapped", "not trapped"),
  bit(9, "UMA", "PSTATE.DAIF at EL0", "trapped", "not trapped"),
  bit(8, "SED", "SETEND at EL0 (AArch32)", "enabled", "UNDEFINED"),
  bit(7, "ITD", "IT at EL0 (AArch32)", "fully enabled", "partly disabled"),
  bit(6, "nAA", "Ordered and atomic accesses that cross 16 bytes", "fault", "do not fault"),
  bit(5, "CP15BEN", "CP15 barriers at EL0 (AArch32)", "UNDEFINED", "enabled"),
  bit(4, "SA0", "SP alignment check at EL0", "off", "on"),
  bit(3, "SA", "SP alignment check", "off", "on"),
  bit(2, "C", "Data accesses and table walks", "Non-cacheable", "cacheable"),
  bit(1, "A", "Alignment check of data accesses", "off", "on"),
  bit(0, "M", "Stage 1 translation (MMU)", "MMU off", "MMU on"),
]);

/** SCTLR_EL2 with E2H=1 is SCTLR_EL1 without UMA, and with BT1 named BT. */
const SCTLR_EL2_HOST_FIELDS = once(() =>
  SCTLR_EL1_FIELDS()
    .filter((field) => field.name !== "UMA")
    .map((field) => (field.name === "BT1" ? { ...field, name: "BT" } : field)),
);

const GOVERN_EL0: ReadonlySet<string> = new Set(
  (
    "TIDCP EnTP2 TCSO0 EPAN EnALS EnAS0 EnASR TWEDEL TWEDEn ATA0 TCF0 BT0 EnFPM MSCEn CMOW LSMAOE nTLSMD " +
    "UCI E0E SPAN TSCXT nTWE nTWI UCT DZE EnRCTX SED ITD CP15BEN SA0"
  ).split(" "),
);

/** What is left of SCTLR_EL2 with E2H=0; SCTLR_EL3 has the same fields. */
const OWN_LEVEL_FIELDS = once(() => SCTLR_EL2_HOST_FIELDS().filter((field) => !GOVERN_EL0.has(field.name)));

const SCTLR2_EL2_FIELDS = once(() => [
  bit(12, "CPTM0", "Pointer multiplication at EL0 (FEAT_CPA2)", "not checked", "checked"),
  bit(11, "CPTM", "Pointer multiplication at this level (FEAT_CPA2)", "not checked", "checked"),
  bit(10, "CPTA0", "Pointer addition at EL0 (FEAT_CPA2)", "not checked", "checked"),
  bit(9, "CPTA", "Pointer addition at this level (FEAT_CPA2)", "not checked", "checked"),
  bit(8, "EnPACM0", "PACM instruction at EL0", "no effect", "sets PSTATE.PACM"),
  bit(7, "EnPACM", "PACM instruction at this level", "no effect", "sets PSTATE.PACM"),
  bit(6, "EnIDCP128", "IMPLEMENTATION DEFINED 128-bit registers at EL0", "trapped", "not trapped"),
  bit(5, "EASE", "Synchronous External aborts", "synchronous vector", "SError vector"),
  bit(4, "EnANERR", "Errors of Normal memory reads", "synchronous", "may be asynchronous"),
  bit(3, "EnADERR", "Errors of Device memory reads", "synchronous", "may be asynchronous"),
  bit(2, "NMEA", "SErrors while PSTATE.A is 1", "not taken", "taken"),
  bit(1, "EMEC", "Memory Encryption Contexts (FEAT_MEC)", "disabled", "enabled"),
]);

/** Source: Arm ARM DDI 0487, D24.2 SCTLR2_EL1 and D24.2 SCTLR2_EL3: what they have of SCTLR2_EL2. */
const SCTLR2_EL1_FIELDS = once(() => SCTLR2_EL2_FIELDS().filter((field) => field.name !== "EMEC"));
const SCTLR2_EL3_NAMES: ReadonlySet<string> = new Set("CPTM CPTA EnPACM EnANERR EnADERR EMEC".split(" "));
const SCTLR2_EL3_FIELDS = once(() => SCTLR2_EL2_FIELDS().filter((field) => SCTLR2_EL3_NAMES.has(field.name)));

/** SCTLR_ELx and SCTLR2_ELx. Source: Arm ARM DDI 0487, D24.2. */
export const CONTROL_REGISTERS: readonly RegisterDescription[] = [
  described("D24.2", "SCTLR_EL1", "System Control Register (EL1)", SCTLR_EL1_FIELDS),
  described("D24.2", "SCTLR_EL2", "System Control Register (EL2)", OWN_LEVEL_FIELDS, NOT_HOST),
  described("D24.2", "SCTLR_EL2", "System Control Register (EL2), E2H=1", SCTLR_EL2_HOST_FIELDS, HOST),
  described("D24.2", "SCTLR_EL3", "System Control Register (EL3)", OWN_LEVEL_FIELDS),
  described("D24.2", "SCTLR2_EL1", "Extended System Control Register (EL1)", SCTLR2_EL1_FIELDS),
  described("D24.2", "SCTLR2_EL2", "Extended System Control Register (EL2)", SCTLR2_EL2_FIELDS),
  described("D24.2", "SCTLR2_EL3", "Extended System Control Register (EL3)", SCTLR2_EL3_FIELDS),
];
