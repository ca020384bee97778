/**
 * Which bits of a register say nothing of the machine: clocks and counters, what was left behind by calls and interrupts, what stands in a
 * banked copy that is not in use.
 *
 * Sources: Procedure Call Standard for the Arm 64-bit Architecture (AAPCS64), 6.1.1 "General-purpose Registers" and 6.1.2 "SIMD and
 * Floating-point registers": x9 to x17 and the arguments that a function does not have are nobody's, x19 to x29 the caller's, of v8 to v15
 * the lower 64 bits; N, Z, C, V and the cumulative flags of FPSR are undefined at a call. UEFI 2.10, 2.3.6 and 7.4.6: ExitBootServices has
 * two arguments, in x0 and x1. Arm ARM DDI 0487, D13: timers; D24.7: PMU; C5.2: SP_ELx is the stack pointer in use at ELx with SPSel = 1.
 */
import { currentExceptionLevel } from "../../aarch64/machine-state.ts";
import { registerClass } from "../../aarch64/registers/index.ts";
import { bit } from "../../base/bits.ts";
import type { Registers } from "../../base/registers.ts";
import type { PointKind } from "../../snapshot/model.ts";

export interface RunBits {
  /** The bits that depend on the run, of as many as the register has. */
  readonly mask: bigint;
  readonly why: string;
}

export interface RegisterContext {
  readonly kind: PointKind;
  /** Whether it is the vCPU that the point is about: the others were stopped wherever they were. */
  readonly caller: boolean;
  readonly registers: Registers;
}

/** Wider than any register: SVE's have 2,048 bits. */
const ALL = (1n << 4096n) - 1n;
const ABOVE_64 = ALL ^ ((1n << 64n) - 1n);
const FLAGS = 0xf000_0000n;
/** N, Z, C, V, QC; IDC, IXC, UFC, OFC, DZC, IOC. */
const FPSR_FLAGS = 0xf800_009fn;

const COUNTERS: readonly (readonly [name: RegExp, mask: bigint, why: string])[] = [
  [/^CNT\w+_(CVAL|TVAL)_EL\d+$/, ALL, "a timer"],
  [/^CNT(P|V)(CT|CTSS)_EL0$/, ALL, "a clock"],
  [/^CNT(VOFF|POFF)_EL2$/, ALL, "an offset of a clock"],
  [/^CNT\w+_CTL_EL\d+$/, 0b100n, "whether a timer has run down"],
  [/^PM(CCNTR|EVCNTR\d+|XEVCNTR|OVSSET|OVSCLR)_EL0$/, ALL, "an event counter"],
  [/^ISR_EL1$/, ALL, "interrupts that were pending"],
];

/** Undefined: every bit counts. */
export function runBits(name: string, context: RegisterContext): RunBits | undefined {
  const counter = COUNTERS.find(([pattern]) => pattern.test(name));
  if (counter !== undefined) return { mask: counter[1], why: counter[2] };
  if (isBanked(name, context.registers))
    return { mask: ALL, why: "a copy of the stack pointer in use, as it was at some time before" };
  const kind = registerClass(name);
  if (kind === "exception") return leftByException(name, context);
  return kind === "general" ? leftByCall(name, context) : undefined;
}

/** SP_ELx of the stack pointer that `sp` shows: QEMU brings it up to date only when the level changes. */
function isBanked(name: string, registers: Registers): boolean {
  const level = currentExceptionLevel(registers);
  if (level === undefined) return false;
  return name === `SP_EL${bit(registers.get("cpsr") ?? 0n, 0) ? level : 0}`;
}

const AT_CALL: ReadonlySet<PointKind> = new Set(["before", "after", "failed"]);

function leftByException(name: string, { kind, caller }: RegisterContext): RunBits | undefined {
  if (kind === "fault" && caller) return undefined;
  // Interrupts set these two and come at any moment. The others are set by faults, which a firmware does not live on.
  if (/^(ELR|SPSR)_/.test(name)) return { mask: ALL, why: "what the last interrupt left behind" };
  return AT_CALL.has(kind) ? undefined : { mask: ALL, why: "what the last exception left behind" };
}

function leftByCall(name: string, { kind, caller }: RegisterContext): RunBits | undefined {
  if (!caller) return { mask: ALL, why: "where another vCPU stood at that moment" };
  if (kind === "fault") return undefined;
  if (!AT_CALL.has(kind)) return { mask: ALL, why: "where the vCPU stood when it was stopped" };
  const mask = scratchMask(name, kind === "before" ? 2 : 1);
  return mask === 0n ? undefined : { mask, why: "what code before the call left behind" };
}

/** `defined`: how many registers from x0 on mean something: two arguments, one result. */
function scratchMask(name: string, defined: number): bigint {
  if (name === "cpsr") return FLAGS;
  if (name === "fpsr") return FPSR_FLAGS;
  const [, bank, digits] = /^([xvzp])(\d+)$/.exec(name) ?? [];
  const number = Number(digits);
  switch (bank) {
    case "x":
      return number >= defined && number <= 17 ? ALL : 0n;
    case "v":
    case "z":
      return number >= 8 && number <= 15 ? ABOVE_64 : ALL;
    case "p":
      return ALL;
    default:
      return name === "ffr" ? ALL : 0n;
  }
}
