/**
 * MRS, MSR and SYS instructions: which System register or instruction a word names, and the lowest Exception level that has it.
 *
 * Source: Arm ARM DDI 0487, C4.1 "System instructions", "System register move": bits 31:22 0b1101010100, L [21], op0 [20:19], op1 [18:16], CRn
 * [15:12], CRm [11:8], op2 [7:5], Rt [4:0]; op0 0 is hints, barriers and MSR (immediate). C5.1.2, D23.3: op1 4 is of EL2 and 6 of EL3; 5 is of EL2
 * and names registers of EL1 and EL0 there (_EL12, _EL02), which only a host with HCR_EL2.E2H has.
 */
import { systemRegisterName } from "../aarch64/registers/encodings.ts";

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
  const op0 = (word >>> 19) & 3;
  if (word >>> 22 !== 0b1101010100 || op0 === 0) return undefined;
  const op1 = (word >>> 16) & 7;
  const encoding = { op0, op1, crn: (word >>> 12) & 15, crm: (word >>> 8) & 15, op2: (word >>> 5) & 7 };
  const name = systemRegisterName(encoding);
  const isRegister = op0 >= 2;
  const read = ((word >>> 21) & 1) === 1;
  const register = (word & 31) === 31 ? "XZR" : `X${word & 31}`;
  const moved = read ? `MRS ${register}, ${name}` : `MSR ${name}, ${register}`;
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
