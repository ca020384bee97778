/**
 * SVC, HVC, SMC and BRK: executed where nobody expects them, or UNDEFINED where they stand.
 *
 * Source: Arm ARM DDI 0487, C6.2 SVC, HVC, SMC: bits 31:21 0b11010100_000, imm16 [20:5], bits 4:0 0b00001, 0b00010, 0b00011. D1.4.2: the preferred return
 * address of an exception that they generate is the instruction behind them; of one that is trapped (SMC by HCR_EL2.TSC, SVC by HFGITR_EL2), the instruction
 * itself. HVC is UNDEFINED at EL0, without EL2, and where SCR_EL3.HCE [8] is 0 or, without EL3, HCR_EL2.HCD [29] is 1; SMC is at EL0, without EL3, and
 * where SCR_EL3.SMD [7] is 1. QEMU, docs/system/arm/virt.rst: virtualization=on gives the machine EL2, secure=on EL3; hw/arm/virt.c: PSCI goes by
 * HVC without both, by SMC with EL2 alone.
 */
import { bit } from "../../base/bits.ts";
import { hex } from "../../base/hex.ts";
import type { PointView } from "../../diff/point-view.ts";
import { placeName } from "../place.ts";
import type { Study } from "../study.ts";
import { instructionAt, type Scene, sceneOf } from "./abort.ts";
import { hasLevel, placeLine, wordAt } from "./look.ts";
import { type Facts, UNREAD, type Verdict } from "./rule.ts";

const CALL_MASK = 0xffe0_001f;
const WORDS: ReadonlyMap<string, number> = new Map([
  ["SVC", 0xd400_0001],
  ["HVC", 0xd400_0002],
  ["SMC", 0xd400_0003],
]);

function isCall(word: number, name: string): boolean {
  return (word & CALL_MASK) >>> 0 === WORDS.get(name);
}

/** Why HVC or SMC is UNDEFINED, in brackets, as far as it was seen; undefined for other instructions. */
export function undefinedCall(scene: Scene, word: number): string | undefined {
  if (isCall(word, "HVC")) return ` (HVC: ${whyNoHvc(scene)})`;
  return isCall(word, "SMC") ? ` (SMC: ${whyNoSmc(scene)})` : undefined;
}

function whyNoHvc({ view, codeLevel }: Scene): string {
  if (codeLevel === 0) return "UNDEFINED at EL0";
  const [el2, el3] = [hasLevel(view, 2), hasLevel(view, 3)];
  if (codeLevel === 1 && el2 === false) return "there is no EL2; start QEMU with -M virt,virtualization=on";
  const unknown = codeLevel === 1 && el2 === undefined ? "whether there is an EL2 is not known; " : "";
  if (el3 === undefined) return `${unknown}SCR_EL3.HCE = 0, or HCR_EL2.HCD = 1 without EL3, disables it`;
  return unknown + (el3 ? control(view, "SCR_EL3", "HCE", 8, 0) : control(view, "HCR_EL2", "HCD", 29, 1));
}

/** `SCR_EL3.HCE is 0`, or what would disable the instruction where the register does not say so. */
function control({ registers }: PointView, register: string, field: string, at: number, disables: 0 | 1): string {
  const value = registers.get(register);
  if (value !== undefined && bit(value, at) === (disables === 1)) return `${register}.${field} is ${disables}`;
  const now = value === undefined ? "it could not be read" : `it is ${1 - disables} at the fault`;
  return `${register}.${field} = ${disables} would disable it, ${now}`;
}

function whyNoSmc({ view, codeLevel }: Scene): string {
  if (codeLevel === 0) return "UNDEFINED at EL0";
  const el3 = hasLevel(view, 3);
  if (codeLevel !== undefined && codeLevel < 3 && el3 === false) {
    const psci = hasLevel(view, 2) === false;
    return `there is no EL3${psci ? "; firmware calls go by HVC on -M virt without virtualization=on and secure=on" : ""}`;
  }
  const unknown = el3 === undefined ? "whether there is an EL3 is not known; " : "";
  return unknown + control(view, "SCR_EL3", "SMD", 7, 1);
}

/** By ESR_ELx.EC. */
const CALLS: ReadonlyMap<number, string> = new Map([
  [0x15, "SVC"],
  [0x16, "HVC"],
  [0x17, "SMC"],
]);
const BRK = 0x3c;

export function exceptionInstruction({ study }: Facts): Verdict | undefined {
  const scene = sceneOf(study);
  const name = CALLS.get(scene?.ec ?? -1);
  if (scene?.ec === BRK) return breakpoint(scene);
  if (scene === undefined || name === undefined) return undefined;
  const { fault, pc, esr } = scene;
  const called = `${name} #0x${(esr & 0xffffn).toString(16)}`;
  const at = callAt(scene, name);
  const who =
    at === undefined
      ? `The guest executed ${called} at or right before ${placeName(pc)}`
      : `${placeName(study.names.place(at, scene.view, scene.regime?.name))} executed ${called}`;
  const how = at === pc.address ? `is trapped to EL${fault.level}` : `was taken to EL${fault.level}`;
  return {
    severity: "error",
    title: `${who}, which ${how}.`,
    evidence: [...callEvidence(study, scene, name, at), `ESR_EL${fault.level}: ${fault.syndrome?.summary ?? ""}`],
  };
}

function callEvidence(
  study: Study,
  { fault, pc, view, regime }: Scene,
  name: string,
  at: bigint | undefined,
): string[] {
  const elr = `ELR_EL${fault.level} = ${placeLine(pc)}`;
  if (at === undefined) return [`${elr}: no ${name} could be read there or before it`];
  if (at === pc.address) return [`${elr}: the ${name} itself, so it was trapped`];
  return [elr, `the ${name} stands before it, at ${placeLine(study.names.place(at, view, regime?.name))}`];
}

/** Where the instruction stands: at ELR_ELx when it was trapped, else before it. SMC goes to EL3 unless it is trapped. */
function callAt({ view, regime, pc, fault, esr }: Scene, name: string): bigint | undefined {
  const behind = [pc.address - 4n, pc.address];
  const likely = name === "SMC" && fault.level < 3 ? behind.toReversed() : behind;
  return likely.find((address) => {
    const word = address < 0n ? undefined : wordAt(view, regime, address);
    return word !== undefined && isCall(word, name) && BigInt((word >>> 5) & 0xffff) === (esr & 0xffffn);
  });
}

function breakpoint({ fault, pc, esr }: Scene): Verdict {
  return {
    severity: "error",
    title: `${placeName(pc)} executed BRK #${hex(esr & 0xffffn)}: the program stopped itself there.`,
    evidence: [
      `ELR_EL${fault.level} = ${placeLine(pc)}`,
      `the instruction there: ${instructionAt(fault.code, pc.address) ?? UNREAD}`,
      `ESR_EL${fault.level}: ${fault.syndrome?.summary ?? ""}`,
    ],
  };
}
