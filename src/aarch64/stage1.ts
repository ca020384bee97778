/**
 * Reading a stage 1 regime from the registers of its Exception level.
 *
 * Source: Arm ARM DDI 0487, D8.2 "Translation process" (sizes, starting level, TTBRs), D24.2 SCTLR_ELx, TCR_ELx, TCR2_ELx, TTBRn_ELx,
 * MAIR_ELx, PIR_ELx, POR_ELx, HCR_EL2.
 */
import { bit, bits, bitsNumber } from "../base/bits.ts";
import type { Registers } from "../base/registers.ts";
import { Features } from "./features.ts";
import { tableBase } from "./granule.ts";
import {
  defaultCacheable,
  el2Enabled,
  hostAlone,
  hostExtensions,
  hypervisorUnknown,
  secondStageInForce,
  trapsGeneral,
} from "./machine-state.ts";
import { exceptionLevelOf, hasUnprivileged, type Regime, type Stage1Name, type Undecoded } from "./regime-model.ts";
import { type ExtendedControls, extendedControls, readControls } from "./stage1-controls.ts";
import { readRoots } from "./stage1-roots.ts";
import { readStage2 } from "./stage2.ts";

const BOTH_HALVES = ["lower", "upper"] as const;

/** Reads a stage 1 regime, whether it is live or not; EL1&0 with stage 2 behind it where that is in force. */
export function readStage1(name: Stage1Name, registers: Registers): Regime {
  const el = exceptionLevelOf(name);
  const features = new Features(registers);
  const hasEl0 = hasUnprivileged(name);
  const sctlr = registers.get(`SCTLR_EL${el}`);
  const tcr = registers.get(`TCR_EL${el}`);
  const mair = registers.get(`MAIR_EL${el}`);
  const behind = name === "EL1&0" && secondStageInForce(registers) ? readStage2(registers) : undefined;
  const extended = extendedControls(name, tcr ?? 0n, registers);
  const base = {
    name,
    exceptionLevel: el,
    hasEl0,
    controls: readControls(name, registers, extended, features),
    physicalBits: features.physicalAddressBits,
    topByteIgnored: hasEl0
      ? { lower: bit(tcr ?? 0n, 37), upper: bit(tcr ?? 0n, 38) }
      : { lower: bit(tcr ?? 0n, 20), upper: false },
    bigEndian: bit(sctlr ?? 0n, 25),
    behind,
  } as const;
  const missing = missingRegisters(el, registers);
  const refused = missing ?? refusal(name, registers, extended);
  if (refused !== undefined || tcr === undefined || mair === undefined) {
    const roots = rootsToKeep(el, hasEl0, behind !== undefined, registers);
    const undecoded = roots.map((root) => ({ halves: BOTH_HALVES, root, ...(refused as Refusal) }));
    return { ...base, enabled: true, roots: [], undecoded };
  }
  const enabled = translates(name, sctlr as bigint, registers);
  const undecoded: Undecoded[] = [];
  const roots = enabled ? readRoots({ el, hasEl0, tcr, registers, features, extended }, undecoded) : [];
  return { ...base, enabled, roots, undecoded };
}

/** SCTLR_ELx.M, less what keeps EL1&0 from translating: HCR_EL2.TGE without E2H, and HCR_EL2.DC. */
export function translates(name: Stage1Name, sctlr: bigint, registers: Registers): boolean {
  if (!bit(sctlr, 0)) return false;
  if (name !== "EL1&0" || !el2Enabled(registers)) return true;
  if (hostAlone(registers)) return true;
  return !trapsGeneral(registers) && !defaultCacheable(registers);
}

interface Refusal {
  readonly code: Undecoded["code"];
  readonly why: string;
}

function missingRegisters(el: number, registers: Registers): Refusal | undefined {
  const missing = [`SCTLR_EL${el}`, `TCR_EL${el}`, `MAIR_EL${el}`].filter((name) => registers.get(name) === undefined);
  if (missing.length === 0) return undefined;
  return { code: "register-missing", why: `not offered by the stub, or not readable: ${missing.join(", ")}` };
}

/** Why the regime cannot be decoded as a whole, if so. */
function refusal(name: Stage1Name, registers: Registers, extended: ExtendedControls): Refusal | undefined {
  if (name !== "EL3" && hypervisorUnknown(registers)) {
    return { code: "register-missing", why: "not offered by the stub, or not readable: HCR_EL2" };
  }
  if (name === "EL1&0" && runsAArch32(registers)) {
    return { code: "regime-not-decoded", why: "EL1 uses AArch32 state: its tables have the VMSAv8-32 formats" };
  }
  if (name === "EL1&0" && showsOthers(registers)) {
    return {
      code: "register-hidden",
      why: "the stub shows EL2's registers under the names of EL1's (HCR_EL2.E2H = 1): EL1's own are not known",
    };
  }
  if (name === "EL2" && hostExtensions(registers)) {
    return { code: "regime-not-decoded", why: "HCR_EL2.E2H is 1: EL2 has the regime EL2&0, not EL2" };
  }
  if (name === "EL2&0" && !hostExtensions(registers)) {
    return { code: "regime-not-decoded", why: "HCR_EL2.E2H is 0: EL2 has the regime EL2, not EL2&0" };
  }
  if (!translates(name, registers.get(`SCTLR_EL${exceptionLevelOf(name)}`) ?? 0n, registers)) return undefined;
  if (extended.wideDescriptors) {
    const where = name === "EL3" ? "TCR_EL3" : `TCR2_EL${exceptionLevelOf(name)}`;
    return { code: "extension-not-decoded", why: `${where}.D128 = 1: descriptors are 128 bits wide (FEAT_D128)` };
  }
  if (name === "EL1&0" && nestedWithoutEl0(registers)) {
    return { code: "extension-not-decoded", why: "HCR_EL2.{NV, NV1} = {1, 1}: descriptors of EL1&0 have another form" };
  }
  return undefined;
}

/** cpsr.M<4>: AArch32 state, in another mode than User; or HCR_EL2.RW = 0, seen from EL2. */
function runsAArch32(registers: Registers): boolean {
  const cpsr = registers.get("cpsr") ?? 0n;
  if (bit(cpsr, 4)) return bitsNumber(cpsr, 3, 0) !== 0;
  const hcr = registers.get("HCR_EL2");
  return hcr !== undefined && bitsNumber(cpsr, 3, 2) === 2 && !bit(hcr, 31) && !hostExtensions(registers);
}

const SHADOWED = ["SCTLR", "TCR", "TTBR0", "TTBR1", "MAIR", "VBAR"] as const;

/**
 * QEMU 10.2 and newer give EL2's registers under the names of EL1's while the vCPU is at EL2 with HCR_EL2.E2H = 1, as an MRS there
 * would. Told by their values: all of them are equal.
 */
export function showsOthers(registers: Registers): boolean {
  const cpsr = registers.get("cpsr") ?? 0n;
  if (bit(cpsr, 4) || bitsNumber(cpsr, 3, 2) !== 2 || !hostExtensions(registers)) return false;
  return SHADOWED.every((name) => {
    const value = registers.get(`${name}_EL1`);
    return value !== undefined && value === registers.get(`${name}_EL2`);
  });
}

/** HCR_EL2.NV [42] and NV1 [43]. */
function nestedWithoutEl0(registers: Registers): boolean {
  return el2Enabled(registers) && bits(registers.get("HCR_EL2") ?? 0n, 43, 42) === 0b11n;
}

/** The root pages of a regime that is refused as a whole, to be kept raw; behind stage 2 they are no physical addresses. */
function rootsToKeep(el: number, hasEl0: boolean, behindStage2: boolean, registers: Registers): Undecoded["root"][] {
  if (behindStage2) return [undefined];
  const names = hasEl0 ? [`TTBR0_EL${el}`, `TTBR1_EL${el}`] : [`TTBR0_EL${el}`];
  const roots = names.flatMap((name) => {
    const ttbr = registers.get(name);
    return ttbr === undefined ? [] : [tableBase(ttbr, 512, false)];
  });
  return roots.length === 0 ? [undefined] : roots;
}
