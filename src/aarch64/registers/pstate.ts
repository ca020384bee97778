/**
 * Process state: SPSR_ELx, and PSTATE as GDB shows it (`cpsr`).
 *
 * Source: Arm ARM DDI 0487, C5.2 SPSR_EL1, SPSR_EL2, SPSR_EL3; and the section on process state (PSTATE). SPSR_ELx has
 * two layouts, told apart by M[4]: 0 for an exception from AArch64, 1 from AArch32. `cpsr` is given the AArch64
 * layout, with M[3:0] split into EL and SP as PSTATE has them; GDB stubs give its low 32 bits.
 */
import { armArm } from "./source.ts";
import { bit, bits, described, once, type RegisterDescription } from "./types.ts";

const CONDITION_FLAGS = once(() => [
  bit(31, "N", "Negative condition flag"),
  bit(30, "Z", "Zero condition flag"),
  bit(29, "C", "Carry condition flag"),
  bit(28, "V", "Overflow condition flag"),
]);

const AARCH64_CONTROLS = once(() => [
  bit(25, "TCO", "Tag checks (FEAT_MTE)", "as configured", "overridden: unchecked"),
  bit(24, "DIT", "Data independent timing", "not required", "required"),
  bit(23, "UAO", "Unprivileged loads and stores", "unprivileged", "act as privileged"),
  bit(22, "PAN", "Privileged access to EL0 memory", "allowed", "faults"),
  bit(21, "SS", "Software step"),
  bit(20, "IL", "Illegal Execution state", "legal", "illegal"),
]);

const AARCH64_MASKS = once(() => [
  bit(13, "ALLINT", "All IRQ and FIQ interrupts (FEAT_NMI)", "not masked", "masked"),
  bit(12, "SSBS", "Speculative store bypass", "not permitted", "permitted"),
  bits(11, 10, "BTYPE", "Branch type of the last indirect branch"),
  bit(9, "D", "Debug exceptions", "not masked", "masked"),
  bit(8, "A", "SError", "not masked", "masked"),
  bit(7, "I", "IRQ", "not masked", "masked"),
  bit(6, "F", "FIQ", "not masked", "masked"),
]);

const EXCEPTION_LEVEL = {
  "0b0000": "EL0t: EL0 with SP_EL0",
  "0b0100": "EL1t: EL1 with SP_EL0",
  "0b0101": "EL1h: EL1 with SP_EL1",
  "0b1000": "EL2t: EL2 with SP_EL0",
  "0b1001": "EL2h: EL2 with SP_EL2",
  "0b1100": "EL3t: EL3 with SP_EL0",
  "0b1101": "EL3h: EL3 with SP_EL3",
} as const;

const UINJ = bit(36, "UINJ", "Inject an Undefined Instruction exception");
const PACM = bit(35, "PACM", "Pointer authentication modifier (FEAT_PAuth_LR)");
const EXLOCK = bit(34, "EXLOCK", "Exception return state lock (FEAT_GCS)");
const PPEND = bit(33, "PPEND", "PMU profiling exception pending");
const PM = bit(32, "PM", "PMU profiling exceptions", "not masked", "masked");

const SPSR_FROM_AARCH64 = once(() => [
  UINJ,
  PACM,
  EXLOCK,
  PPEND,
  PM,
  ...CONDITION_FLAGS(),
  ...AARCH64_CONTROLS(),
  ...AARCH64_MASKS(),
  bit(4, "M[4]", "Execution state", "AArch64", "AArch32"),
  bits(3, 0, "M[3:0]", "Exception level and stack pointer", EXCEPTION_LEVEL),
]);

const SPSR_FROM_AARCH32 = once(() => [
  UINJ,
  PPEND,
  ...CONDITION_FLAGS(),
  bit(27, "Q", "Overflow or saturation flag"),
  bits(26, 25, "IT[1:0]", "If-Then state, low bits"),
  bit(24, "DIT", "Data independent timing", "not required", "required"),
  bit(23, "SSBS", "Speculative store bypass", "not permitted", "permitted"),
  bit(22, "PAN", "Privileged access to EL0 memory", "allowed", "faults"),
  bit(21, "SS", "Software step"),
  bit(20, "IL", "Illegal Execution state", "legal", "illegal"),
  bits(19, 16, "GE", "Greater than or Equal flags"),
  bits(15, 10, "IT[7:2]", "If-Then state, high bits"),
  bit(9, "E", "Byte order of data", "little-endian", "big-endian"),
  bit(8, "A", "SError", "not masked", "masked"),
  bit(7, "I", "IRQ", "not masked", "masked"),
  bit(6, "F", "FIQ", "not masked", "masked"),
  bit(5, "T", "Instruction set", "A32", "T32"),
  bit(4, "M[4]", "Execution state", "AArch64", "AArch32"),
  bits(3, 0, "M[3:0]", "AArch32 mode", {
    "0b0000": "User",
    "0b0001": "FIQ",
    "0b0010": "IRQ",
    "0b0011": "Supervisor",
    "0b0110": "Monitor",
    "0b0111": "Abort",
    "0b1010": "Hyp",
    "0b1011": "Undefined",
    "0b1111": "System",
  }),
]);

const CPSR_FIELDS = once(() => [
  ...CONDITION_FLAGS(),
  ...AARCH64_CONTROLS(),
  ...AARCH64_MASKS(),
  bit(4, "nRW", "Execution state", "AArch64", "AArch32"),
  bits(3, 2, "EL", "Exception level", { "0b00": "EL0", "0b01": "EL1", "0b10": "EL2", "0b11": "EL3" }),
  bit(0, "SP", "Stack pointer", "SP_EL0", "SP_ELx of the current level"),
]);

/** SPSR_ELx and cpsr. Source: Arm ARM DDI 0487, C5.2 SPSR_ELx. */
export const PSTATE_REGISTERS: readonly RegisterDescription[] = [
  ...["EL1", "EL2", "EL3"].flatMap((level): RegisterDescription[] => [
    described("C5.2", `SPSR_${level}`, `Saved Program Status Register (${level}), from AArch64`, SPSR_FROM_AARCH64, {
      kind: "bit",
      bit: 4,
      value: 0,
    }),
    described("C5.2", `SPSR_${level}`, `Saved Program Status Register (${level}), from AArch32`, SPSR_FROM_AARCH32, {
      kind: "bit",
      bit: 4,
      value: 1,
    }),
  ]),
  {
    name: "cpsr",
    title: "Process state, as GDB shows it",
    source: armArm("Process state (PSTATE); C5.2 SPSR_EL1 for the positions"),
    get fields() {
      return CPSR_FIELDS();
    },
  },
];
