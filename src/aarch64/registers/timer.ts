/**
 * Generic Timer: CNTKCTL_EL1, CNTHCTL_EL2, the CTL, CVAL and TVAL registers, CNTFRQ_EL0, the counts and the offsets.
 *
 * Source: Arm ARM DDI 0487, D24.10 (Generic Timer), the register of that name. CNTHCTL_EL2 has the layout of
 * CNTKCTL_EL1 while HCR_EL2.E2H is 1, and its low bits mean other things while it is 0.
 */
import { bit, bits, described, HOST, NOT_HOST, once, type RegisterDescription, type RegisterField } from "./types.ts";

/** Fields of CNTHCTL_EL2 that are the same with E2H=0 and E2H=1 (FEAT_ECV, FEAT_RME). */
const HYPERVISOR_CONTROLS = once(() => [
  bit(19, "CNTPMASK", "Physical timer interrupt", "not masked", "masked"),
  bit(18, "CNTVMASK", "Virtual timer interrupt", "not masked", "masked"),
  bit(17, "EVNTIS", "Scale of the event stream trigger", "bits 15 to 0", "bits 23 to 8"),
  bit(16, "EL1NVVCT", "EL1 virtual timer by EL02 names at EL1", "not trapped", "trapped to EL2"),
  bit(15, "EL1NVPCT", "EL1 physical timer by EL02 names at EL1", "not trapped", "trapped to EL2"),
  bit(14, "EL1TVCT", "Virtual counter at EL1 and EL0", "not trapped", "trapped to EL2"),
  bit(13, "EL1TVT", "Virtual timer at EL1 and EL0", "not trapped", "trapped to EL2"),
  bit(12, "ECV", "Offset of the physical counter (CNTPOFF_EL2)", "off", "on"),
]);

const EVENT_STREAM = once(() => [
  bits(7, 4, "EVNTI", "Counter bit that triggers the event stream"),
  bit(3, "EVNTDIR", "Edge that triggers the event stream", "0 to 1", "1 to 0"),
  bit(2, "EVNTEN", "Event stream", "disabled", "enabled"),
]);

const EL0_TIMERS = once(() => [
  bit(9, "EL0PTEN", "Physical timer at EL0", "trapped", "not trapped"),
  bit(8, "EL0VTEN", "Virtual timer at EL0", "trapped", "not trapped"),
]);
const EL0_COUNTERS = once(() => [
  bit(1, "EL0VCTEN", "Virtual counter at EL0", "trapped", "not trapped"),
  bit(0, "EL0PCTEN", "Physical counter at EL0", "trapped", "not trapped"),
]);

const CNTKCTL_EL1_FIELDS = once(() => [
  bit(19, "CNTPMASK", "As CNTHCTL_EL2.CNTPMASK, for a guest hypervisor"),
  bit(18, "CNTVMASK", "As CNTHCTL_EL2.CNTVMASK, for a guest hypervisor"),
  bit(17, "EVNTIS", "Scale of the event stream trigger", "bits 15 to 0", "bits 23 to 8"),
  bit(16, "EL1NVVCT", "As CNTHCTL_EL2.EL1NVVCT, for a guest hypervisor"),
  bit(15, "EL1NVPCT", "As CNTHCTL_EL2.EL1NVPCT, for a guest hypervisor"),
  bit(14, "EL1TVCT", "As CNTHCTL_EL2.EL1TVCT, for a guest hypervisor"),
  bit(13, "EL1TVT", "As CNTHCTL_EL2.EL1TVT, for a guest hypervisor"),
  bit(12, "ECV", "As CNTHCTL_EL2.ECV, for a guest hypervisor"),
  bit(11, "EL1PTEN", "As CNTHCTL_EL2.EL1PTEN, for a guest hypervisor"),
  bit(10, "EL1PCTEN", "As CNTHCTL_EL2.EL1PCTEN, for a guest hypervisor"),
  ...EL0_TIMERS(),
  ...EVENT_STREAM(),
  ...EL0_COUNTERS(),
]);

const CNTHCTL_EL2_FIELDS = once(() => [
  ...HYPERVISOR_CONTROLS(),
  ...EVENT_STREAM(),
  bit(1, "EL1PCEN", "Physical timer at EL1 and EL0", "trapped to EL2", "not trapped"),
  bit(0, "EL1PCTEN", "Physical counter at EL1 and EL0", "trapped to EL2", "not trapped"),
]);

const CNTHCTL_EL2_HOST_FIELDS = once(() => [
  ...HYPERVISOR_CONTROLS(),
  bit(11, "EL1PTEN", "Physical timer at EL1 and EL0", "trapped to EL2", "not trapped"),
  bit(10, "EL1PCTEN", "Physical counter at EL1 and EL0", "trapped to EL2", "not trapped"),
  ...EL0_TIMERS(),
  ...EVENT_STREAM(),
  ...EL0_COUNTERS(),
]);

const CTL_FIELDS = once(() => [
  bit(2, "ISTATUS", "Timer condition", "not met", "met"),
  bit(1, "IMASK", "Timer interrupt", "not masked", "masked"),
  bit(0, "ENABLE", "Timer", "disabled", "enabled"),
]);

const CVAL_FIELDS = once(() => [bits(63, 0, "CompareValue", "The condition is met from this count on")]);
const TVAL_FIELDS = once(() => [bits(31, 0, "TimerValue", "CompareValue less the count, signed")]);

const TIMERS: readonly (readonly [prefix: string, level: string, title: string])[] = [
  ["CNTP", "EL0", "Physical Timer"],
  ["CNTV", "EL0", "Virtual Timer"],
  ["CNTPS", "EL1", "Physical Secure Timer"],
  ["CNTHP", "EL2", "Hypervisor Physical Timer"],
  ["CNTHV", "EL2", "EL2 Virtual Timer"],
  ["CNTHPS", "EL2", "Secure EL2 Physical Timer"],
  ["CNTHVS", "EL2", "Secure EL2 Virtual Timer"],
];

const PLAIN: readonly (readonly [name: string, title: string, fields: () => readonly RegisterField[]])[] = [
  ["CNTFRQ_EL0", "Frequency", once(() => [bits(31, 0, "ClockFreq", "Frequency of the system counter in Hz")])],
  ["CNTPCT_EL0", "Physical Count", once(() => [bits(63, 0, "PhysicalCount", "Physical count")])],
  ["CNTVCT_EL0", "Virtual Count", once(() => [bits(63, 0, "VirtualCount", "Virtual count")])],
  ["CNTVOFF_EL2", "Virtual Offset", once(() => [bits(63, 0, "VOffset", "Physical count less virtual count")])],
  ["CNTPOFF_EL2", "Physical Offset", once(() => [bits(63, 0, "PhysicalOffset", "Offset of the physical count")])],
];

const KINDS: readonly (readonly [kind: string, words: string, fields: () => readonly RegisterField[]])[] = [
  ["CTL", "Control", CTL_FIELDS],
  ["CVAL", "CompareValue", CVAL_FIELDS],
  ["TVAL", "TimerValue", TVAL_FIELDS],
];

function timer(name: string, words: string, fields: () => readonly RegisterField[]): RegisterDescription {
  return described("D24.10", name, `Counter-timer ${words} Register`, fields);
}

/** CNT* registers. Source: Arm ARM DDI 0487, D24.10 (Generic Timer). */
export const TIMER_REGISTERS: readonly RegisterDescription[] = [
  timer("CNTKCTL_EL1", "Kernel Control", CNTKCTL_EL1_FIELDS),
  described("D24.10", "CNTHCTL_EL2", "Counter-timer Hypervisor Control Register", CNTHCTL_EL2_FIELDS, NOT_HOST),
  described("D24.10", "CNTHCTL_EL2", "Counter-timer Hypervisor Control Register, E2H=1", CNTHCTL_EL2_HOST_FIELDS, HOST),
  ...TIMERS.flatMap(([prefix, level, title]) =>
    KINDS.map(([kind, words, fields]) => timer(`${prefix}_${kind}_${level}`, `${title} ${words}`, fields)),
  ),
  ...PLAIN.map(([name, words, fields]) => timer(name, words, fields)),
];
