/**
 * Stage 2: IPA to PA, by VTCR_EL2, VTTBR_EL2, HCR_EL2.
 *
 * Source: Arm ARM DDI 0487, D8.2 (shared pseudocode AArch64.NSS2TTWParams, AArch64.S2StartLevel, AArch64.S2InvalidSL,
 * AArch64.S2InconsistentSL, AArch64.S2MinTxSZ, AArch64.IPAIsOutOfRange, AArch64.S2Translate, AArch64.S2CheckPermissions), D24.2
 * VTCR_EL2, VTTBR_EL2, HCR_EL2, SCR_EL3.
 *
 * Not modelled, so worlds must keep it out: T0SZ outside of the architected range, reserved TG0, D128, TL0/TL1, AssuredOnly, the
 * Secure state (VSTCR_EL2, VSTTBR_EL2), and the write that sets AF in a table of stage 1 that stage 2 maps read-only. What S2PIE
 * permits cannot be told; a walk of stage 1 through it counts as permitted.
 */
import { bits, flag, isSet, need, type SlowMachine, swapBytes } from "./slow-bits.ts";
import { type SlowMemory, shareability, stage2Memory } from "./slow-memory.ts";
import { type Letters, stage2Letters } from "./slow-permissions.ts";
import type { SlowFault, SlowRegime, SlowShareability, SlowUnreadable } from "./slow-types.ts";
import {
  contiguousBit,
  type GranuleBits,
  type Layout,
  type Leaf,
  lowestBit,
  outputAddressBits,
  physicalAddressBits,
  rootAddress,
  stageFault,
  type Walk,
  walkTables,
} from "./slow-walk.ts";

/** EL2 is implemented as far as the registers tell, and enabled: SCR_EL3 not there, or NS, or EEL2. */
export function el2Enabled(machine: SlowMachine): boolean {
  const scr = machine.register("SCR_EL3");
  return scr === undefined || isSet(scr, 0) || isSet(scr, 18);
}

/** A bit of HCR_EL2 that speaks of the EL1&0 regime: 0 with EL2 disabled, and with {E2H,TGE} = {1,1}. */
export function guestControl(machine: SlowMachine, position: number): boolean {
  const host = flag(machine, "HCR_EL2", 34) && flag(machine, "HCR_EL2", 27);
  return el2Enabled(machine) && !host && flag(machine, "HCR_EL2", position);
}

/** HCR_EL2.VM or DC. */
export function stage2InForce(machine: SlowMachine, regime: SlowRegime): boolean {
  return regime === "EL1&0" && (guestControl(machine, 0) || guestControl(machine, 12));
}

export interface Stage2Leaf {
  readonly outcome: "leaf";
  readonly output: bigint;
  readonly level: number;
  readonly granule: number;
  readonly letters: Letters;
  readonly memory: SlowMemory;
  /** As SH says it. */
  readonly shareability: SlowShareability;
  readonly contiguous: boolean;
  readonly accessFlag: boolean;
}

interface Stage2 extends Layout {
  readonly vtcr: bigint;
  readonly startsInvalid: boolean;
}

function readStage2(machine: SlowMachine): Stage2 {
  const vtcr = need(machine, "VTCR_EL2");
  const granuleBits = ([12, 16, 14] as const)[Number(bits(vtcr, 15, 14))];
  if (granuleBits === undefined) throw new RangeError("VTCR_EL2.TG0 0b11 is not modelled");
  const ds = isSet(vtcr, 32) && describes52Bits(machine, granuleBits);
  const lpa = physicalAddressBits(machine) >= 52;
  const inputBits = 64 - Number(bits(vtcr, 5, 0));
  if (inputBits > largestInput(machine, granuleBits, ds))
    throw new RangeError("VTCR_EL2.T0SZ is not modelled so small");
  const outputBits = outputAddressBits(machine, bits(vtcr, 18, 16), granuleBits, ds);
  const sl = Number(bits(vtcr, 7, 6)) + (granuleBits === 12 && ds && isSet(vtcr, 33) ? 4 : 0);
  const level = startLevel(machine, granuleBits, ds, sl);
  const layout = { granuleBits, inputBits, level: level ?? 3, outputBits, ds, lpa, ps52: bits(vtcr, 18, 16) === 6n };
  return { ...layout, vtcr, startsInvalid: level === undefined || inconsistent(layout) };
}

/** FEAT_LPA2 for stage 2: ID_AA64MMFR0_EL1.{TGran4_2,TGran16_2}, where 0 refers to TGran4, TGran16. */
function describes52Bits(machine: SlowMachine, granuleBits: GranuleBits): boolean {
  const mmfr0 = need(machine, "ID_AA64MMFR0_EL1");
  if (granuleBits === 16) return false;
  const [own, first] =
    granuleBits === 12
      ? [bits(mmfr0, 43, 40), bits(mmfr0, 31, 28) === 1n]
      : [bits(mmfr0, 35, 32), bits(mmfr0, 23, 20) === 2n];
  return own === 0n ? first : own === 3n;
}

/** 64 minus AArch64.S2MinTxSZ. */
function largestInput(machine: SlowMachine, granuleBits: GranuleBits, ds: boolean): number {
  return Math.min(physicalAddressBits(machine), granuleBits === 16 || ds ? 52 : 48);
}

/** By SL2:SL0; undefined where AArch64.S2InvalidSL says so. */
function startLevel(machine: SlowMachine, granuleBits: GranuleBits, ds: boolean, sl: number): number | undefined {
  const width = physicalAddressBits(machine);
  switch (granuleBits) {
    case 12: {
      const small = bits(machine.register("ID_AA64MMFR2_EL1") ?? 0n, 31, 28) !== 0n;
      return [2, 1, width >= 44 ? 0 : undefined, small ? 3 : undefined, -1][sl];
    }
    case 14:
      return [3, 2, width >= 42 ? 1 : undefined, ds ? 0 : undefined][sl];
    case 16:
      return [3, 2, width >= 44 ? 1 : undefined][sl];
  }
}

/** From one bit resolved by the first lookup to sixteen tables side by side. */
function inconsistent({ granuleBits, inputBits, level }: Layout): boolean {
  const resolved = inputBits - lowestBit(granuleBits, level);
  return resolved < 1 || resolved > granuleBits - 3 + 4;
}

/** onWalk: for a table of stage 1. */
export function stage2Walk(
  machine: SlowMachine,
  ipa: bigint,
  onWalk: boolean,
): Stage2Leaf | SlowFault | SlowUnreadable {
  const stage2 = readStage2(machine);
  const unfit = stage2.startsInvalid || ipa >> BigInt(stage2.inputBits) !== 0n;
  if (unfit) return { outcome: "fault", stage: 2, onWalk, kind: "translation", level: 0 };
  const root = rootAddress(stage2, need(machine, "VTTBR_EL2"));
  const walk: Walk = { ...stage2, stage: 2, onWalk, root, fetch: fetchStage2(machine) };
  const leaf = walkTables(walk, ipa);
  if (leaf.outcome !== "leaf") return leaf;
  const checked = onWalk ? checkWalk(machine, walk, stage2, leaf) : undefined;
  return checked ?? stage2Leaf(machine, stage2, leaf);
}

function fetchStage2(machine: SlowMachine): Walk["fetch"] {
  const bigEndian = flag(machine, "SCTLR_EL2", 25);
  return (address, level) => {
    const word = machine.word(address);
    if (word === undefined) return { outcome: "unreadable", descriptor: address, level, stage: 2 };
    return bigEndian ? swapBytes(word) : word;
  };
}

function stage2Leaf(machine: SlowMachine, stage2: Stage2, leaf: Leaf): Stage2Leaf {
  const { descriptor, output, level } = leaf;
  return {
    outcome: "leaf",
    output,
    level,
    granule: 2 ** stage2.granuleBits,
    letters: lettersOf(machine, stage2, descriptor),
    memory: stage2Memory(descriptor, flag(machine, "HCR_EL2", 46)),
    shareability: shareability(stage2.ds ? bits(stage2.vtcr, 13, 12) : bits(descriptor, 9, 8)),
    contiguous: contiguousBit(stage2, leaf),
    accessFlag: isSet(descriptor, 10),
  };
}

function lettersOf(machine: SlowMachine, { vtcr }: Stage2, descriptor: bigint): Letters {
  const mmfr1 = machine.register("ID_AA64MMFR1_EL1");
  const dirtyState = isSet(vtcr, 21) && isSet(vtcr, 22) && hafdbs(machine) >= 2n;
  const xnx = mmfr1 === undefined || bits(mmfr1, 31, 28) !== 0n;
  return stage2Letters({ descriptor, dirtyState, xnx, indirect: isSet(vtcr, 36) });
}

/** ID_AA64MMFR1_EL1.HAFDBS: 1 for the Access flag, 2 for the dirty state too. Where the register is not there, HA and HD count. */
export function hafdbs(machine: SlowMachine): bigint {
  return bits(machine.register("ID_AA64MMFR1_EL1") ?? 2n, 3, 0);
}

/** An access to a table of stage 1: Access flag, HCR_EL2.PTW over Device memory, S2AP. */
function checkWalk(machine: SlowMachine, walk: Walk, stage2: Stage2, leaf: Leaf): SlowFault | undefined {
  const { descriptor, level } = leaf;
  const hardwareAccessFlag = isSet(stage2.vtcr, 21) && hafdbs(machine) >= 1n;
  if (!isSet(descriptor, 10) && !hardwareAccessFlag) return stageFault(walk, "access flag", level);
  const { letters, memory } = stage2Leaf(machine, stage2, leaf);
  const protectedWalk = guestControl(machine, 2) && !guestControl(machine, 27);
  if (protectedWalk && memory.type === "device") return stageFault(walk, "permission", level);
  return letters.privileged.startsWith("-") ? stageFault(walk, "permission", level) : undefined;
}
