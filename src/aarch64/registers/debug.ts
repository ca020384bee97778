/**
 * Self-hosted debug without its breakpoints: MDSCR_EL1, MDCR_EL2, MDCR_EL3, OS Lock, Debug Communications Channel,
 * CLAIM tags, authentication, ROM table.
 *
 * Source: Arm ARM DDI 0487, D24.3 (debug registers), the register of that name. The pairs NSTB and NSTBE, NSPB and
 * NSPBE of MDCR_EL3 say who owns the trace and the profiling buffer only together, so a value of one alone has no
 * words. In DBGAUTHSTATUS_EL1 a field of 0b00 means that the Security state is not implemented. What OSLAR_EL1 reads
 * as is UNKNOWN: it is written only.
 */
import { bit, bits, described, once, type RegisterDescription, type RegisterField } from "./types.ts";

const MDSCR_EL1_FIELDS = once(() => [
  bit(50, "EnSTEPOP", "Execution from MDSTEPOP_EL1 (FEAT_STEP2)", "disabled", "enabled"),
  bit(35, "EHBWE", "Extended halting breakpoints and watchpoints", "disabled", "enabled"),
  bit(34, "EnSPM", "System PMU registers at EL0", "trapped", "not trapped"),
  bit(33, "TTA", "Trace registers; saves EDSCR.TTA"),
  bit(32, "EMBWE", "Extended breakpoints and watchpoints", "disabled", "enabled"),
  bit(31, "TFO", "Trace filter override; saves EDSCR.TFO"),
  bit(30, "RXfull", "DTRRX full; saves EDSCR.RXfull"),
  bit(29, "TXfull", "DTRTX full; saves EDSCR.TXfull"),
  bit(27, "RXO", "DTRRX overrun; saves EDSCR.RXO"),
  bit(26, "TXU", "DTRTX underrun; saves EDSCR.TXU"),
  bits(23, 22, "INTdis", "Interrupt disable; saves EDSCR.INTdis"),
  bit(21, "TDA", "Trap of debug registers; saves EDSCR.TDA"),
  bit(19, "SC2", "Sample CONTEXTIDR_EL2; saves EDSCR.SC2"),
  bit(15, "MDE", "Breakpoint, watchpoint, vector catch exceptions", "disabled", "enabled"),
  bit(14, "HDE", "Halting debug enable; saves EDSCR.HDE"),
  bit(13, "KDE", "Debug exceptions of the level they are taken to", "disabled", "enabled"),
  bit(12, "TDCC", "Debug Communications Channel at EL0", "not trapped", "trapped"),
  bit(6, "ERR", "Cumulative error; saves EDSCR.ERR"),
  bit(0, "SS", "Software step", "disabled", "enabled"),
]);

const MDCR_EL2_FIELDS = once(() => [
  bit(50, "EnSTEPOP", "MDSTEPOP_EL1 (FEAT_STEP2)", "trapped to EL2", "not trapped"),
  bit(43, "EBWE", "Extended breakpoints and watchpoints", "disabled", "enabled"),
  bits(41, 40, "PMEE", "PMU profiling exceptions"),
  bit(36, "HPMFZS", "Freeze EL2 event counters on an SPE event"),
  bits(31, 30, "PMSSE", "PMU snapshots"),
  bit(29, "HPMFZO", "Freeze EL2 event counters on overflow"),
  bit(28, "MTPME", "Multi-threaded PMU counting", "disabled", "enabled"),
  bit(27, "TDCC", "Debug Communications Channel", "not trapped", "trapped to EL2"),
  bit(26, "HLP", "Overflow of the EL2 event counters", "at bit 31", "at bit 63"),
  bits(25, 24, "E2TB", "Owner of the trace buffer, and its traps"),
  bit(23, "HCCD", "Cycle counter at EL2", "not prohibited", "prohibited"),
  bit(19, "TTRF", "TRFCR_EL1", "not trapped", "trapped to EL2"),
  bit(17, "HPMD", "Event counting at EL2", "allowed", "prohibited"),
  bit(15, "EnSPM", "System PMU registers", "trapped to EL2", "not trapped"),
  bit(14, "TPMS", "Statistical Profiling control registers", "not trapped", "trapped to EL2"),
  bits(13, 12, "E2PB", "Owner of the profiling buffer, and its traps"),
  bit(11, "TDRA", "Debug ROM address registers", "not trapped", "trapped to EL2"),
  bit(10, "TDOSA", "OS Lock and power-down debug registers", "not trapped", "trapped to EL2"),
  bit(9, "TDA", "Debug registers", "not trapped", "trapped to EL2"),
  bit(8, "TDE", "Debug exceptions of EL1 and EL0", "not routed to EL2", "routed to EL2"),
  bit(7, "HPME", "EL2 event counters", "disabled", "enabled"),
  bit(6, "TPM", "Performance Monitors", "not trapped", "trapped to EL2"),
  bit(5, "TPMCR", "PMCR_EL0", "not trapped", "trapped to EL2"),
  bits(4, 0, "HPMN", "Event counters that EL1 may use"),
]);

const MDCR_EL3_FIELDS = once(() => [
  bit(55, "EnPMS4", "Profiling by physical addresses: its register", "trapped to EL3", "not trapped"),
  bits(54, 53, "TRBEE", "Exceptions of the trace buffer"),
  bits(52, 51, "PMSEE", "Exceptions of the profiling buffer"),
  bit(50, "EnSTEPOP", "MDSTEPOP_EL1 (FEAT_STEP2)", "trapped to EL3", "not trapped"),
  bits(49, 48, "ETBAD", "Access of an external debugger to the trace buffer"),
  bit(47, "EnITE", "Instrumentation trace registers", "trapped to EL3", "not trapped"),
  bits(46, 45, "EPMSSAD", "Access of an external debugger to PMU snapshots"),
  bit(44, "EnPMSS", "PMU snapshot registers", "trapped to EL3", "not trapped"),
  bit(43, "EBWE", "Extended breakpoints and watchpoints", "disabled", "enabled"),
  bit(42, "EnPMS3", "Profiling data source filter: its register", "trapped to EL3", "not trapped"),
  bits(41, 40, "PMEE", "PMU profiling exceptions"),
  bit(39, "EnTB2", "Trace buffer: its newer registers", "trapped to EL3", "not trapped"),
  bit(38, "E3BREC", "Branch recording at EL3, with E3BREW"),
  bit(37, "E3BREW", "Branch recording at EL3, with E3BREC"),
  bit(36, "EnPMSN", "PMSNEVFR_EL1", "trapped to EL3", "not trapped"),
  bit(35, "MPMX", "Event counting at EL3, with SPME"),
  bit(34, "MCCD", "Cycle counter at EL3", "not prohibited", "prohibited"),
  bits(33, 32, "SBRBE", "Branch recording, and traps of its registers"),
  bits(31, 30, "PMSSE", "PMU snapshots"),
  bit(28, "MTPME", "Multi-threaded PMU counting", "disabled", "enabled"),
  bit(27, "TDCC", "Debug Communications Channel", "not trapped", "trapped to EL3"),
  bit(26, "NSTBE", "Owner of the trace buffer, with NSTB"),
  bits(25, 24, "NSTB", "Owner of the trace buffer, and traps, with NSTBE"),
  bit(23, "SCCD", "Cycle counter in Secure state and at EL3", "not prohibited", "prohibited"),
  bit(22, "ETAD", "Access of an external debugger to the trace unit, with ETADE"),
  bit(21, "EPMAD", "Access of an external debugger to the PMU, with EPMADE"),
  bit(20, "EDAD", "Access of an external debugger to breakpoints, with EDADE"),
  bit(19, "TTRF", "Trace Filter registers", "not trapped", "trapped to EL3"),
  bit(18, "STE", "Trace in Secure state", "prohibited", "allowed"),
  bit(17, "SPME", "Event counting in Secure state, with MPMX"),
  bit(16, "SDD", "Debug exceptions in Secure state (AArch64)", "enabled", "disabled"),
  bits(15, 14, "SPD32", "Debug exceptions of Secure EL1 (AArch32)"),
  bits(13, 12, "NSPB", "Owner of the profiling buffer, and traps, with NSPBE"),
  bit(11, "NSPBE", "Owner of the profiling buffer, with NSPB"),
  bit(10, "TDOSA", "OS Lock and power-down debug registers", "not trapped", "trapped to EL3"),
  bit(9, "TDA", "Debug registers", "not trapped", "trapped to EL3"),
  bit(7, "EnPM2", "Performance Monitors: their newer registers", "trapped to EL3", "not trapped"),
  bit(6, "TPM", "Performance Monitors", "not trapped", "trapped to EL3"),
  bit(4, "EDADE", "Access of an external debugger to breakpoints, with EDAD"),
  bit(3, "ETADE", "Access of an external debugger to the trace unit, with ETAD"),
  bit(2, "EPMADE", "Access of an external debugger to the PMU, with EPMAD"),
  bit(0, "RLTE", "Trace in Realm state", "prohibited", "allowed"),
]);

const AUTHENTICATION = { "0b00": "not implemented", "0b10": "disabled", "0b11": "enabled" } as const;

const DBGAUTHSTATUS_FIELDS = once(() => [
  bits(27, 26, "RTNID", "Root non-invasive debug", AUTHENTICATION),
  bits(25, 24, "RTID", "Root invasive debug", AUTHENTICATION),
  bits(15, 14, "RLNID", "Realm non-invasive debug", AUTHENTICATION),
  bits(13, 12, "RLID", "Realm invasive debug", AUTHENTICATION),
  bits(7, 6, "SNID", "Secure non-invasive debug", AUTHENTICATION),
  bits(5, 4, "SID", "Secure invasive debug", AUTHENTICATION),
  bits(3, 2, "NSNID", "Non-secure non-invasive debug", AUTHENTICATION),
  bits(1, 0, "NSID", "Non-secure invasive debug", AUTHENTICATION),
]);

const OSLSR_FIELDS = once(() => [
  bit(3, "OSLM[1]", "OS Lock", "not implemented", "implemented"),
  bit(2, "nTT", "Always 0: 32-bit access to OSLAR_EL1"),
  bit(1, "OSLK", "OS Lock", "unlocked", "locked"),
  bit(0, "OSLM[0]", "Low bit of OSLM"),
]);

const MDRAR_FIELDS = once(() => [
  bits(55, 52, "ROMADDR[55:52]", "ROM table address, bits 55 to 52 (FEAT_D128)"),
  bits(51, 48, "ROMADDR[51:48]", "ROM table address, bits 51 to 48 (FEAT_LPA)"),
  bits(47, 12, "ROMADDR[47:12]", "ROM table address, bits 47 to 12"),
  bits(1, 0, "Valid", "ROM table address is", { "0b00": "not valid", "0b11": "valid" }),
]);

const RECEIVE = bits(31, 0, "DTRRX", "Word from the debugger");
const TRANSMIT = bits(31, 0, "DTRTX", "Word to the debugger");
const CLAIM = bits(7, 0, "CLAIM", "CLAIM tags, one bit for each");

const TABLES: readonly (readonly [name: string, title: string, fields: () => readonly RegisterField[]])[] = [
  ["MDSCR_EL1", "Monitor Debug System Control Register", MDSCR_EL1_FIELDS],
  ["MDCR_EL2", "Monitor Debug Configuration Register (EL2)", MDCR_EL2_FIELDS],
  ["MDCR_EL3", "Monitor Debug Configuration Register (EL3)", MDCR_EL3_FIELDS],
  ["DBGAUTHSTATUS_EL1", "Debug Authentication Status Register", DBGAUTHSTATUS_FIELDS],
  ["DBGCLAIMSET_EL1", "Debug CLAIM Tag Set Register", once(() => [CLAIM])],
  ["DBGCLAIMCLR_EL1", "Debug CLAIM Tag Clear Register", once(() => [CLAIM])],
  [
    "DBGPRCR_EL1",
    "Debug Power Control Register",
    once(() => [bit(0, "CORENPDRQ", "Powerdown of the core", "as requested", "emulated")]),
  ],
  [
    "DBGDTR_EL0",
    "Debug Data Transfer Register, half-duplex",
    once(() => [bits(63, 32, "HighWord", "High word"), bits(31, 0, "LowWord", "Low word")]),
  ],
  ["DBGDTRRX_EL0", "Debug Data Transfer Register, Receive", once(() => [RECEIVE])],
  ["DBGDTRTX_EL0", "Debug Data Transfer Register, Transmit", once(() => [TRANSMIT])],
  ["OSDTRRX_EL1", "OS Lock Data Transfer Register, Receive", once(() => [RECEIVE])],
  ["OSDTRTX_EL1", "OS Lock Data Transfer Register, Transmit", once(() => [TRANSMIT])],
  ["OSECCR_EL1", "OS Lock Exception Catch Control Register", once(() => [bits(31, 0, "EDECCR", "Saves EDECCR")])],
  [
    "OSLAR_EL1",
    "OS Lock Access Register",
    once(() => [bit(0, "OSLK", "Writing sets the OS Lock", "unlocked", "locked")]),
  ],
  ["OSLSR_EL1", "OS Lock Status Register", OSLSR_FIELDS],
  ["OSDLR_EL1", "OS Double Lock Register", once(() => [bit(0, "DLK", "OS Double Lock", "unlocked", "locked")])],
  [
    "MDCCINT_EL1",
    "Monitor DCC Interrupt Enable Register",
    once(() => [
      bit(30, "RX", "Interrupt when DTRRX is full", "disabled", "enabled"),
      bit(29, "TX", "Interrupt when DTRTX is empty", "disabled", "enabled"),
    ]),
  ],
  [
    "MDCCSR_EL0",
    "Monitor DCC Status Register",
    once(() => [bit(30, "RXfull", "DTRRX", "empty", "full"), bit(29, "TXfull", "DTRTX", "empty", "full")]),
  ],
  ["MDRAR_EL1", "Monitor Debug ROM Address Register", MDRAR_FIELDS],
  [
    "MDSELR_EL1",
    "Breakpoint and Watchpoint Selection Register",
    once(() => [bits(5, 4, "BANK", "Bank of 16 that is accessed")]),
  ],
  [
    "MDSTEPOP_EL1",
    "Monitor Debug Step Opcode Register",
    once(() => [bits(31, 0, "OPCODE", "A64 instruction to be stepped")]),
  ],
];

/** MDSCR, MDCR, DBG* without breakpoints, OS*, MDCC*, MDRAR, MDSELR, MDSTEPOP. Source: Arm ARM DDI 0487, D24.3. */
export const DEBUG_REGISTERS: readonly RegisterDescription[] = TABLES.map(([name, title, fields]) =>
  described("D24.3", name, title, fields),
);
