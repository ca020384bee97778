/**
 * Which Exception level a vCPU is at, and what EL2 does to the levels below.
 *
 * Source: Arm ARM DDI 0487, D24.2 HCR_EL2, SCR_EL3. CurrentEL is taken from cpsr.M<3:2>, as stubs do not offer CurrentEL.
 */
import { bit, bitsNumber } from "../base/bits.ts";
import type { Registers } from "../base/registers.ts";

/** The Exception level that a vCPU executes at: PSTATE.EL, as cpsr.M<3:2> shows it; undefined in AArch32 state. */
export function currentExceptionLevel(registers: Registers): number | undefined {
  const cpsr = registers.get("cpsr");
  if (cpsr === undefined || bit(cpsr, 4)) return undefined;
  return bitsNumber(cpsr, 3, 2);
}

/** HCR_EL2.E2H: EL2 uses the EL2&0 regime, and TCR_EL2 has the layout of TCR_EL1. */
export function hostExtensions(registers: Registers): boolean {
  return bit(registers.get("HCR_EL2") ?? 0n, 34);
}

/** HCR_EL2.TGE: exceptions to EL1 go to EL2; EL0 is the host's with E2H. */
export function trapsGeneral(registers: Registers): boolean {
  return bit(registers.get("HCR_EL2") ?? 0n, 27);
}

/** Whether EL2 is enabled in the current Security state, if there is one: SCR_EL3.NS or SCR_EL3.EEL2, where there is an EL3. */
export function el2Enabled(registers: Registers): boolean {
  const scr = registers.get("SCR_EL3");
  return scr === undefined || bit(scr, 0) || bit(scr, 18);
}

/** {E2H, TGE} = {1, 1}: EL2's host runs alone, EL0 is the host's, and EL1 cannot be entered. */
export function hostAlone(registers: Registers): boolean {
  return el2Enabled(registers) && hostExtensions(registers) && trapsGeneral(registers);
}

/** HCR_EL2.VM, which HCR_EL2.DC implies; neither counts while EL2's host runs alone. */
export function secondStageInForce(registers: Registers): boolean {
  const hcr = registers.get("HCR_EL2") ?? 0n;
  return el2Enabled(registers) && (bit(hcr, 0) || bit(hcr, 12)) && !hostAlone(registers);
}

/** EL2 is there, as the stub offers registers of it, but HCR_EL2 could not be read: what EL2 does to the levels below is not known. */
export function hypervisorUnknown(registers: Registers): boolean {
  if (registers.get("HCR_EL2") !== undefined) return false;
  return ["SCTLR_EL2", "TCR_EL2", "VTTBR_EL2"].some((name) => registers.get(name) !== undefined);
}

/** Secure EL2 is enabled (SCR_EL3.NS = 0, EEL2 = 1): stage 2 of Secure IPAs goes by VSTTBR_EL2. */
export function secureStage2(registers: Registers): boolean {
  const scr = registers.get("SCR_EL3");
  return scr !== undefined && !bit(scr, 0) && bit(scr, 18);
}

/** HCR_EL2.DC: EL1&0 stage 1 is off, its memory Write-Back, and stage 2 is in force. */
export function defaultCacheable(registers: Registers): boolean {
  return bit(registers.get("HCR_EL2") ?? 0n, 12) && secondStageInForce(registers);
}
