/**
 * Self-hosted debug: MDSCR_EL1, MDCR_EL2.
 *
 * Source: Arm ARM DDI 0487, D24.3 (debug registers), the register of that name.
 */
import { bit, bits, type RegisterDescription, type RegisterField } from "./types.ts";

const MDSCR_EL1_FIELDS: readonly RegisterField[] = [
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
];

const MDCR_EL2_FIELDS: readonly RegisterField[] = [
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
];

/** MDSCR_EL1 and MDCR_EL2. Source: Arm ARM DDI 0487, D24.3. */
export const DEBUG_REGISTERS: readonly RegisterDescription[] = [
  {
    name: "MDSCR_EL1",
    title: "Monitor Debug System Control Register",
    source: "Arm ARM DDI 0487, D24.3 MDSCR_EL1",
    fields: MDSCR_EL1_FIELDS,
  },
  {
    name: "MDCR_EL2",
    title: "Monitor Debug Configuration Register (EL2)",
    source: "Arm ARM DDI 0487, D24.3 MDCR_EL2",
    fields: MDCR_EL2_FIELDS,
  },
];
