/**
 * MRS, MSR and SYS instructions: which System register or instruction a word names, and the lowest Exception level that has it.
 *
 * Source: Arm ARM DDI 0487, C5.1.2, D23.3: op1 4 is of EL2 and 6 of EL3; 5 is of EL2 and names registers of EL1 and EL0 there (_EL12, _EL02),
 * which only a host with HCR_EL2.E2H has.
 */
import { encodingParts, systemNameOf } from "../aarch64/registers/encodings.ts";
import { systemWord } from "../code/system-words.ts";

export interface SystemInstruction {
  /** `HCR_EL2`, `TLBI ALLE2` */
  readonly name: string;
  /** `MRS X9, HCR_EL2` */
  readonly text: string;
  readonly isRegister: boolean;
  /** Below it the instruction is UNDEFINED: 1 also stands for what EL0 may have. */
  readonly level: 1 | 2 | 3;
  /** An _EL12 or _EL02 register, UNDEFINED without HCR_EL2.E2H. */
  readonly alias: boolean;
}

/** Undefined when the word is no such instruction. */
export function systemInstruction(word: number): SystemInstruction | undefined {
  const system = systemWord(word);
  if (system === undefined) return undefined;
  const { op1 } = encodingParts(system.encoding);
  const name = systemNameOf(system.encoding);
  const isRegister = system.kind === "msr" || system.kind === "mrs";
  const register = system.rt === 31 ? "XZR" : `X${system.rt}`;
  const moved = system.kind === "mrs" ? `MRS ${register}, ${name}` : `MSR ${name}, ${register}`;
  const alias = isRegister && op1 === 5;
  return {
    name,
    text: isRegister ? moved : register === "XZR" ? name : `${name}, ${register}`,
    isRegister,
    level: levelOf(op1),
    alias,
  };
}

function levelOf(op1: number): 1 | 2 | 3 {
  if (op1 === 4 || op1 === 5) return 2;
  return op1 === 6 ? 3 : 1;
}
