/**
 * Exceptions that an instruction raises by what it is: UNDEFINED here, or trapped. Those that are made to raise one: see call-instruction.ts.
 *
 * Source: Arm ARM DDI 0487, D24.2 ESR_EL1: EC 0 for UNDEFINED instructions; 0x18 and 0x14 trapped System instructions; 0x07, 0x19, 0x1d trapped SIMD and
 * floating-point, SVE, SME. C6.2 UDF: bits 31:16 are 0. QEMU, docs/system/arm/virt.rst: virtualization=on gives the machine EL2, secure=on EL3.
 */

import { placeName } from "../place.ts";
import { type SystemInstruction, systemInstruction } from "../system-instruction.ts";
import { instructionLine, type Scene, sceneOf, wordText } from "./abort.ts";
import { undefinedCall } from "./call-instruction.ts";
import { hasLevel, placeLine } from "./look.ts";
import { type Facts, UNREAD, type Verdict } from "./rule.ts";

const UNKNOWN_REASON = 0;

/** The System instruction that was UNDEFINED at the Exception level of the code. */
function undefinedHere(scene: Scene | undefined): SystemInstruction | undefined {
  return scene?.ec === UNKNOWN_REASON && scene.word !== undefined ? systemInstruction(scene.word) : undefined;
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
  const [todo, seen] = levelWords(scene, level, option);
  return {
    severity: "error",
    title: `${placeName(scene.pc)} ${did} ${name}, which belongs to EL${level}, at EL${scene.codeLevel}: ${todo}.`,
    evidence: [
      `${text} (0x${wordText(scene.word ?? 0)}) at ${placeLine(scene.pc)}`,
      `the syndrome is that of an UNDEFINED instruction; the code ran at EL${scene.codeLevel}`,
      seen,
    ],
  };
}

/** What is to be done about code that needs a level, and how it is known whether the machine has that. */
function levelWords({ view, codeLevel }: Scene, level: 2 | 3, option: string): readonly [todo: string, seen: string] {
  switch (hasLevel(view, level)) {
    case true:
      return [
        `the machine has EL${level}, but this code runs at EL${codeLevel}`,
        `the stub offers registers of EL${level}: the machine has it`,
      ];
    case false:
      return [
        `it has to run at EL${level}: start QEMU with ${option}`,
        `the stub offers no SCTLR_EL${level}: the machine has no EL${level}`,
      ];
    default:
      return [
        `it has to run at EL${level}; whether the machine has that is not known`,
        `SCTLR_EL${level} ${UNREAD}; with QEMU, ${option} gives the machine EL${level}`,
      ];
  }
}

export function undefinedInstruction({ study }: Facts): Verdict | undefined {
  const scene = sceneOf(study);
  if (scene?.ec !== UNKNOWN_REASON || scene.word === undefined) return undefined;
  const { word, pc, codeLevel } = scene;
  const at = codeLevel === undefined ? "" : ` at EL${codeLevel}`;
  return {
    severity: "error",
    title: `${placeName(pc)} executed 0x${wordText(word)}, which is UNDEFINED${at}${undefinedWhy(scene, word)}.`,
    evidence: [`at ${placeLine(pc)}`, undefinedLine(scene, word)],
  };
}

function undefinedLine(scene: Scene, word: number): string {
  const system = systemInstruction(word);
  return system === undefined ? instructionLine(scene) : `the instruction there: ${system.text}`;
}

function undefinedWhy(scene: Scene, word: number): string {
  if (word >>> 16 === 0) return ` (UDF${word === 0 ? ", as memory of zeros reads" : ""})`;
  const alias = systemInstruction(word)?.alias ? " (registers of that name need HCR_EL2.E2H)" : "";
  return undefinedCall(scene, word) ?? alias;
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
