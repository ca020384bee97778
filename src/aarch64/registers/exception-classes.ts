/**
 * Exception classes: ESR_ELx.EC.
 *
 * Source: Arm ARM DDI 0487, D24.2 ESR_EL1, ESR_EL2 and ESR_EL3, field EC. The words are Arm's, shortened where Arm's
 * sentence lists every control that can cause the trap. Values that are missing are reserved. 0x1b went with FEAT_TME,
 * which Arm has withdrawn; a PE of before that may still report it.
 */
const CLASSES: ReadonlyMap<number, string> = new Map([
  [0x00, "Unknown reason"],
  [0x01, "Trapped WFI, WFE, WFIT or WFET instruction"],
  [0x03, "Trapped MCR or MRC access with coproc 0b1111"],
  [0x04, "Trapped MCRR or MRRC access with coproc 0b1111"],
  [0x05, "Trapped MCR or MRC access with coproc 0b1110"],
  [0x06, "Trapped LDC or STC access"],
  [0x07, "Access to SME, SVE, Advanced SIMD or floating-point functionality trapped"],
  [0x08, "Trapped VMRS access, from an ID group trap"],
  [0x09, "Trapped use of a Pointer authentication instruction"],
  [0x0a, "Trapped instruction that has no class of its own (for example LD64B)"],
  [0x0c, "Trapped MRRC access with coproc 0b1110"],
  [0x0d, "Branch Target Exception"],
  [0x0e, "Illegal Execution state"],
  [0x11, "SVC instruction execution in AArch32 state"],
  [0x12, "HVC instruction execution in AArch32 state"],
  [0x13, "SMC instruction execution in AArch32 state"],
  [0x14, "Trapped MSRR, MRRS or 128-bit System instruction execution in AArch64 state"],
  [0x15, "SVC instruction execution in AArch64 state"],
  [0x16, "HVC instruction execution in AArch64 state"],
  [0x17, "SMC instruction execution in AArch64 state"],
  [0x18, "Trapped MSR, MRS or System instruction execution in AArch64 state"],
  [0x19, "Access to SVE functionality trapped"],
  [0x1a, "Trapped ERET, ERETAA or ERETAB instruction"],
  [0x1b, "Trapped TSTART instruction"],
  [0x1c, "Pointer Authentication instruction authentication failure"],
  [0x1d, "Access to SME functionality trapped"],
  [0x1e, "Granule Protection Check exception"],
  [0x1f, "IMPLEMENTATION DEFINED exception to EL3"],
  [0x20, "Instruction abort from a lower Exception level"],
  [0x21, "Instruction abort taken without a change in Exception level"],
  [0x22, "PC alignment fault"],
  [0x24, "Data abort from a lower Exception level"],
  [0x25, "Data abort taken without a change in Exception level"],
  [0x26, "SP alignment fault"],
  [0x27, "Memory Operation Exception"],
  [0x28, "Trapped floating-point exception from AArch32 state"],
  [0x2c, "Trapped floating-point exception from AArch64 state"],
  [0x2d, "Guarded Control Stack exception"],
  [0x2f, "SError exception"],
  [0x30, "Breakpoint exception from a lower Exception level"],
  [0x31, "Breakpoint exception taken without a change in Exception level"],
  [0x32, "Software Step exception from a lower Exception level"],
  [0x33, "Software Step exception taken without a change in Exception level"],
  [0x34, "Watchpoint exception from a lower Exception level"],
  [0x35, "Watchpoint exception taken without a change in Exception level"],
  [0x38, "BKPT instruction execution in AArch32 state"],
  [0x3a, "Vector Catch exception from AArch32 state"],
  [0x3c, "BRK instruction execution in AArch64 state"],
  [0x3d, "Profiling exception"],
]);

/** Names an exception class in the words of Arm ARM DDI 0487, D24.2 ESR_EL1; reserved values give `undefined`. */
export function exceptionClass(ec: number): string | undefined {
  return CLASSES.get(ec);
}
