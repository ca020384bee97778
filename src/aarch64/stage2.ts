/**
 * Reading stage 2 from VTCR_EL2, VTTBR_EL2 and HCR_EL2.
 *
 * Source: Arm ARM DDI 0487, D8.2 "Translation process" (stage 2 starting level, concatenated tables); D24.2 VTCR_EL2, VTTBR_EL2,
 * HCR_EL2; pseudocode AArch64.S2StartLevel, S2InvalidSL, S2InconsistentSL. Secure stage 2 (VSTTBR_EL2) is not decoded.
 */
import { virt } from "../base/address.ts";
import { bit, bitsNumber } from "../base/bits.ts";
import type { Registers } from "../base/registers.ts";
import { addressBits, Features, sizeLimits } from "./features.ts";
import { type GranuleBits, granuleOfTg0, levelShift, strideBits, tableBase, tableFormat } from "./granule.ts";
import { secureStage2 } from "./machine-state.ts";
import type { Regime, Stage2Controls, TableRoot, Undecoded } from "./regime-model.ts";

/** At most so many tables stand in a row at the starting level. */
const CONCATENATED_BITS = 4;

/** Reads stage 2, whether it is in force or not. */
export function readStage2(registers: Registers): Regime {
  const features = new Features(registers);
  const vtcr = registers.get("VTCR_EL2");
  const vttbr = registers.get("VTTBR_EL2");
  const root =
    vtcr === undefined || vttbr === undefined
      ? missing(registers)
      : (secure(registers) ?? readRoot(vtcr, vttbr, features));
  const decoded = root !== undefined && "register" in root;
  return {
    name: "stage2",
    exceptionLevel: 2,
    hasEl0: true,
    enabled: true,
    roots: decoded ? [root] : [],
    controls: readControls(vtcr ?? 0n, registers, features),
    physicalBits: features.physicalAddressBits,
    topByteIgnored: { lower: false, upper: false },
    bigEndian: bit(registers.get("SCTLR_EL2") ?? 0n, 25),
    undecoded: root === undefined || decoded ? [] : [root],
    behind: undefined,
  };
}

function missing(registers: Registers): Undecoded {
  const names = ["VTCR_EL2", "VTTBR_EL2"].filter((name) => registers.get(name) === undefined);
  const why = `not offered by the stub, or not readable: ${names.join(", ")}`;
  return { code: "register-missing", why, root: undefined, halves: ["lower"] };
}

/** A Secure stage 2 has tables of its own. */
function secure(registers: Registers): Undecoded | undefined {
  if (!secureStage2(registers)) return undefined;
  const why = "SCR_EL3.{NS, EEL2} = {0, 1}: Secure stage 2 (VSTTBR_EL2) is not decoded";
  return { code: "extension-not-decoded", why, root: undefined, halves: ["lower"] };
}

function readControls(vtcr: bigint, registers: Registers, features: Features): Stage2Controls {
  const hcr = registers.get("HCR_EL2") ?? 0n;
  return {
    stage: 2,
    forcedWriteBack: bit(hcr, 46),
    executeNeverByLevel: features.stage2ExecuteNever,
    dirtyState: bitsNumber(vtcr, 22, 21) === 0b11 && features.dirtyState,
    uncached: bit(hcr, 32),
    uncachedFetch: bit(hcr, 33),
    indirect: bitsNumber(vtcr, 37, 36) !== 0,
    setsAccessFlag: bit(vtcr, 21) && features.accessFlag,
    protectedWalk: bit(hcr, 2) && !bit(hcr, 27),
  };
}

/** The root; undefined when SL0 and T0SZ do not go together: then every access is a Translation fault at level 0. */
function readRoot(vtcr: bigint, vttbr: bigint, features: Features): TableRoot | Undecoded | undefined {
  const granule = granuleOfTg0(bitsNumber(vtcr, 15, 14));
  const refuse = (why: string, code: Undecoded["code"] = "constrained-unpredictable"): Undecoded => ({
    code,
    why,
    root: tableBase(vttbr, 512, false),
    halves: ["lower"],
  });
  if (bit(vtcr, 38))
    return refuse("VTCR_EL2.D128 = 1: descriptors are 128 bits wide (FEAT_D128)", "extension-not-decoded");
  if (granule === undefined || !features.hasGranule(granule, 2)) {
    return refuse(`the granule of VTTBR_EL2 is ${granule === undefined ? "reserved" : "not implemented"}`);
  }
  const lpa2 = bit(vtcr, 32) && features.lpa2(granule, 2);
  const lpa = granule === 16 && features.lpa;
  const size = bitsNumber(vtcr, 5, 0);
  const limits = sizeLimits(features, granule, lpa || lpa2);
  const least = Math.max(limits.least, 64 - Math.min(features.physicalAddressLimit, 52));
  if (size < least || size > limits.most) return refuse(`VTCR_EL2.T0SZ is ${size}, not ${least} to ${limits.most}`);
  const inputBits = 64 - size;
  const startLevel = startLevelOf(vtcr, granule, lpa2, features);
  if (startLevel === undefined || !fits(granule, startLevel, inputBits)) return undefined;
  const entries = 2 ** (inputBits - levelShift(granule, startLevel));
  const physicalSize = bitsNumber(vtcr, 18, 16);
  return {
    register: "VTTBR_EL2",
    vaBase: virt(0n),
    inputBits,
    startLevel,
    table: tableBase(vttbr, entries, lpa2 || (lpa && physicalSize === 6)),
    entries,
    format: tableFormat(granule, { lpa, lpa2 }),
    outputBits: Math.min(addressBits(physicalSize), features.physicalAddressLimit, lpa || lpa2 ? 52 : 48),
    hierarchical: false,
    topByteIgnored: false,
    memoryTagIgnored: false,
    shareability: lpa2 ? bitsNumber(vtcr, 13, 12) : undefined,
    el0Denied: false,
  };
}

/** By VTCR_EL2.SL0, and SL2 with FEAT_LPA2; undefined: reserved, also for levels that the physical address size makes no use of. */
function startLevelOf(vtcr: bigint, granule: GranuleBits, lpa2: boolean, features: Features): number | undefined {
  const sl0 = bitsNumber(vtcr, 7, 6);
  const width = features.physicalAddressLimit;
  switch (granule) {
    case 12:
      if (lpa2 && bit(vtcr, 33)) return sl0 === 0 ? -1 : undefined;
      return [2, 1, width >= 44 ? 0 : undefined, features.smallTables ? 3 : undefined][sl0];
    case 14:
      return [3, 2, width >= 42 ? 1 : undefined, lpa2 ? 0 : undefined][sl0];
    case 16:
      return [3, 2, width >= 44 ? 1 : undefined, undefined][sl0];
  }
}

/** Whether the input address can be resolved from the level on: not less than it needs, not more than sixteen tables of it. */
function fits(granule: GranuleBits, startLevel: number, inputBits: number): boolean {
  const least = levelShift(granule, startLevel) + 1;
  const most = least - 1 + strideBits(granule) + CONCATENATED_BITS;
  return inputBits >= least && inputBits <= most;
}
