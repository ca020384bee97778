/**
 * Translation regimes: which are live on a vCPU, and reading any of them from the registers.
 *
 * Source: Arm ARM DDI 0487, D8.1 "Address translation" (regimes). A regime is *live* when it translates (SCTLR_ELx.M, HCR_EL2.VM), or
 * when it is the regime of the current Exception level (then possibly with translation off). What cannot be decoded is reported in
 * `undecoded` and never guessed at.
 */
import { bit } from "../base/bits.ts";
import type { Registers } from "../base/registers.ts";
import { currentExceptionLevel, hostAlone, hostExtensions, secondStageInForce } from "./machine-state.ts";
import { exceptionLevelOf, type Regime, type RegimeName, type Stage1Name } from "./regime-model.ts";
import { readStage1, showsOthers, translates } from "./stage1.ts";
import { readStage2 } from "./stage2.ts";

/** The regime that code at the current Exception level runs in. */
export function currentRegimeName(registers: Registers): Stage1Name {
  return regimeNameAt(currentExceptionLevel(registers), registers);
}

/** The regime that code at an Exception level runs in; EL1&0 where the level is not known, as in AArch32 state. */
export function regimeNameAt(level: number | undefined, registers: Registers): Stage1Name {
  if (level === 3) return "EL3";
  if (level === 2) return hostExtensions(registers) ? "EL2&0" : "EL2";
  return level === 0 && hostAlone(registers) ? "EL2&0" : "EL1&0";
}

/** All live regimes of a vCPU, the current one first, stage 2 last. */
export function liveRegimes(registers: Registers): readonly Regime[] {
  const current = currentRegimeName(registers);
  const names: Stage1Name[] = ["EL1&0", hostExtensions(registers) ? "EL2&0" : "EL2", "EL3"];
  const ordered = [current, ...names.filter((name) => name !== current)];
  const regimes = ordered
    .filter((name) => name === current || isLive(name, registers))
    .map((name) => readRegime(name, registers));
  return secondStageInForce(registers) ? [...regimes, readStage2(registers)] : regimes;
}

/**
 * EL1&0 is not in use while EL2's host runs alone ({E2H, TGE} = {1, 1}): its registers are a guest's. Where the stub hides them, it
 * counts as live otherwise: it is not known to be off.
 */
function isLive(name: Stage1Name, registers: Registers): boolean {
  if (name === "EL1&0" && hostAlone(registers)) return false;
  if (name === "EL1&0" && showsOthers(registers)) return true;
  const sctlr = registers.get(`SCTLR_EL${exceptionLevelOf(name)}`) ?? 0n;
  return translates(name, sctlr, registers) || (name === "EL1&0" && secondStageInForce(registers) && bit(sctlr, 0));
}

/** Reads one regime from the registers, whether it is live or not. */
export function readRegime(name: RegimeName, registers: Registers): Regime {
  return name === "stage2" ? readStage2(registers) : readStage1(name, registers);
}
