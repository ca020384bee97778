/**
 * Exceptions that an instruction raises by what it is: UNDEFINED here, trapped, or made to raise one.
 *
 * Source: Arm ARM DDI 0487, D24.2 ESR_EL1: EC 0 for UNDEFINED instructions; 0x18 and 0x14 trapped System instructions; 0x07, 0x19, 0x1d trapped SIMD and
 * floating-point, SVE, SME; 0x15 to 0x17 SVC, HVC, SMC; 0x3c BRK. C6.2 HVC: UNDEFINED when EL2 is not implemented; SMC: when EL3 is not; UDF:
 * bits 31:16 are 0. QEMU, docs/system/arm/virt.rst: virtualization=on gives the machine EL2, secure=on EL3.
 */

import { placeName } from "../place.ts";
import { type SystemInstruction, systemInstruction } from "../system-instruction.ts";
import { instructionAt, instructionLine, type Scene, sceneOf, wordText } from "./abort.ts";
import { placeLine } from "./look.ts";
import type { Facts, Verdict } from "./rule.ts";

const UNKNOWN_REASON = 0;

/** The System instruction that was UNDEFINED at the Exception level of the code. */
function undefinedHere(scene: Scene | undefined): SystemInstruction | undefined {
  return scene?.ec === UNKNOWN_REASON && scene.word !== undefined ? systemInstruction(scene.word) : undefined;
}

/** The guest has EL2 when the stub offers registers of it. */
function hasLevel({ view }: Scene, level: 2 | 3): boolean {
  return view.registers.get(`SCTLR_EL${level}`) !== undefined;
}

export function el2RegisterAtEl1({ study }: Facts): Verdict | undefined {
  const scene = sceneOf(study);
  const instruction = undefinedHere(scene);
  if (scene === undefined || instruction?.level !== 2 || scene.codeLevel === undefined || scene.codeLevel >= 2)
    return undefined;
  return tooLow(scene, instruction, 2, "-M virt,virtualization=on");
}

export function el3RegisterBelowEl3({ study }: Facts): Verdict | undefined {
  const scene = sceneOf(study);
  const instruction = undefinedHere(scene);
  if (scene === undefined || instruction?.level !== 3 || scene.codeLevel === undefined || scene.codeLevel >= 3)
    return undefined;
  return tooLow(scene, instruction, 3, "-M virt,secure=on, with firmware made for it");
}

function tooLow(scene: Scene, { name, text, isRegister }: SystemInstruction, level: 2 | 3, option: string): Verdict {
  const did = isRegister ? "accessed" : "executed";
  const there = hasLevel(scene, level);
  const todo = there
    ? `the machine has EL${level}, but this code runs at EL${scene.codeLevel}`
    : `it has to run at EL${level}: start QEMU with ${option}`;
  return {
    severity: "error",
    title: `${placeName(scene.pc)} ${did} ${name}, which belongs to EL${level}, at EL${scene.codeLevel}: ${todo}.`,
    evidence: [
      `${text} (0x${wordText(scene.word ?? 0)}) at ${placeLine(scene.pc)}`,
      `the syndrome is that of an UNDEFINED instruction; the code ran at EL${scene.codeLevel}`,
      there
        ? `the stub offers registers of EL${level}: the machine has it`
        : `the stub offers no SCTLR_EL${level}: the machine has no EL${level}`,
    ],
  };
}

export function undefinedInstruction({ study }: Facts): Verdict | undefined {
  const scene = sceneOf(study);
  if (scene?.ec !== UNKNOWN_REASON || scene.word === undefined) return undefined;
  const { word, pc, codeLevel } = scene;
  const at = codeLevel === undefined ? "" : ` at EL${codeLevel}`;
  return {
    severity: "error",
    title: `${placeName(pc)} executed 0x${wordText(word)}, which is UNDEFINED${at}${undefinedWhy(word)}.`,
    evidence: [`at ${placeLine(pc)}`, undefinedLine(scene, word)],
  };
}

function undefinedLine(scene: Scene, word: number): string {
  const system = systemInstruction(word);
  return system === undefined ? instructionLine(scene) : `the instruction there: ${system.text}`;
}

function undefinedWhy(word: number): string {
  if (word >>> 16 === 0) return ` (UDF${word === 0 ? ", as memory of zeros reads" : ""})`;
  if ((word & 0xffe0_001f) >>> 0 === 0xd400_0002)
    return " (HVC: there is no EL2; start QEMU with -M virt,virtualization=on)";
  if ((word & 0xffe0_001f) >>> 0 === 0xd400_0003)
    return " (SMC: there is no EL3; firmware calls go by HVC on -M virt without secure=on)";
  return systemInstruction(word)?.alias ? " (registers of that name need HCR_EL2.E2H)" : "";
}

export function systemRegisterTrap({ study }: Facts): Verdict | undefined {
  const scene = sceneOf(study);
  if (scene === undefined || (scene.ec !== 0x18 && scene.ec !== 0x14)) return undefined;
  const { fault, pc, codeLevel } = scene;
  const summary = fault.syndrome?.summary ?? "";
  const what = summary.slice(summary.indexOf(": ") + 2);
  return {
    severity: "error",
    title: `${placeName(pc)} executed ${what}, which is trapped to EL${fault.level}.`,
    evidence: [
      `at ${placeLine(pc)}${codeLevel === undefined ? "" : `, at EL${codeLevel}`}`,
      `ESR_EL${fault.level}: ${summary}`,
    ],
  };
}

/** Which fields forbid them, by the level that the exception was taken to. */
const VECTOR_TRAPS: ReadonlyMap<number, readonly string[]> = new Map([
  [1, ["CPACR_EL1"]],
  [2, ["CPTR_EL2", "CPACR_EL1"]],
  [3, ["CPTR_EL3"]],
]);
const VECTOR_CLASSES: ReadonlyMap<number, string> = new Map([
  [0x07, "a floating-point or SIMD"],
  [0x19, "an SVE"],
  [0x1d, "an SME"],
]);

export function simdTrapped({ study }: Facts): Verdict | undefined {
  const scene = sceneOf(study);
  const kind = VECTOR_CLASSES.get(scene?.ec ?? -1);
  if (scene === undefined || kind === undefined) return undefined;
  const { fault, pc, view } = scene;
  const registers = (VECTOR_TRAPS.get(fault.level) ?? []).flatMap((name) => {
    const value = view.registers.get(name);
    return value === undefined ? [] : [`${name} = 0x${value.toString(16)} at the fault`];
  });
  return {
    severity: "error",
    title: `${placeName(pc)} executed ${kind} instruction, which is trapped to EL${fault.level}.`,
    evidence: [`at ${placeLine(pc)}`, instructionLine(scene), ...registers],
  };
}

const CALLS: ReadonlyMap<number, string> = new Map([
  [0x15, "SVC"],
  [0x16, "HVC"],
  [0x17, "SMC"],
  [0x3c, "BRK"],
]);

export function exceptionInstruction({ study }: Facts): Verdict | undefined {
  const scene = sceneOf(study);
  const name = CALLS.get(scene?.ec ?? -1);
  if (scene === undefined || name === undefined) return undefined;
  const { fault, pc, esr } = scene;
  const end = name === "BRK" ? ": the program stopped itself there" : `, which was taken to EL${fault.level}`;
  // The preferred return address of SVC, HVC and SMC is the instruction behind it (D1.4.2).
  const at = name === "BRK" ? placeName(pc) : `The instruction before ${placeName(pc)}`;
  return {
    severity: "error",
    title: `${at} executed ${name} #0x${(esr & 0xffffn).toString(16)}${end}.`,
    evidence: [
      `ELR_EL${fault.level} = ${placeLine(pc)}`,
      ...(name === "BRK" ? [`the instruction there: ${instructionAt(fault.code, pc.address) ?? name}`] : []),
      `ESR_EL${fault.level}: ${fault.syndrome?.summary ?? ""}`,
    ],
  };
}

/** EC 0x2f. Which instruction caused it cannot be told: it comes later, if an instruction did at all. */
export function serror({ study }: Facts): Verdict | undefined {
  const scene = sceneOf(study);
  if (scene?.ec !== 0x2f) return undefined;
  const { fault, pc } = scene;
  return {
    severity: "error",
    title: `An SError was taken at ${placeName(pc)}: ${fault.syndrome?.summary ?? "an error of the memory system"}.`,
    evidence: [
      `ELR_EL${fault.level} = ${placeLine(pc)}`,
      "an SError is asynchronous: what caused it may have been done well before",
    ],
  };
}
