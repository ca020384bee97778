/**
 * Data processing with registers, and the few SIMD and floating-point instructions that write a general register.
 *
 * Source: Arm ARM DDI 0487, C4.1 "Data Processing -- Register" and "Data Processing -- Scalar Floating-Point and Advanced SIMD".
 */
import { computed, type Effect, field, registerBits, SP, toRegister, toRegisterOrStack } from "./operation.ts";

export function registerEffect(word: number): Effect {
  const register = field(word, 4, 0);
  switch (field(word, 28, 24)) {
    case 0b01010:
      return logicalEffect(word);
    case 0b01011: {
      // Extended register (bit 21) without flags (bit 29): 31 is SP.
      const stack = field(word, 21, 21) === 1 && field(word, 29, 29) === 0;
      return stack ? { writes: toRegisterOrStack(register, { kind: "computed" }) } : computed(register);
    }
    case 0b11010:
      return variousEffect(word);
    default:
      // Three sources: MADD and the like.
      return computed(register);
  }
}

/** ORR Xd, XZR, Xm is MOV. */
function logicalEffect(word: number): Effect {
  const [register, from] = [field(word, 4, 0), field(word, 20, 16)];
  const move = (word & 0xffe0_ffe0) >>> 0 === 0xaa00_03e0;
  if (!move) return computed(register);
  return { writes: toRegister(register, from === 31 ? { kind: "constant", value: 0n } : { kind: "copy", from }) };
}

function variousEffect(word: number): Effect {
  const register = field(word, 4, 0);
  switch (field(word, 23, 21)) {
    case 0b000:
      // ADC and SBC; but ADDPT and SUBPT write SP, RMIF and SETF flags only.
      if (field(word, 15, 10) === 0) return computed(register);
      if (field(word, 15, 13) !== 0b001) return {};
      return { mayWrite: register === 31 ? 1 << SP : registerBits(register) };
    case 0b010:
      // CCMN, CCMP
      return {};
    case 0b110:
      return fewSources(word);
    default:
      return computed(register);
  }
}

function fewSources(word: number): Effect {
  const register = field(word, 4, 0);
  if (field(word, 30, 30) === 0) {
    // Two sources: IRG and the like write SP.
    return register === 31 ? { mayWrite: 1 << SP } : computed(register);
  }
  // One source: with opcode2 0b00001 PACIA … XPACD.
  const authenticates = word >= 0x8000_0000 && field(word, 20, 16) === 1;
  return authenticates
    ? { writes: toRegister(register, { kind: "authenticate", from: register }) }
    : computed(register);
}

/** Conversions to and FMOV to general registers, SMOV and UMOV: all others write vector registers only. */
export function vectorEffect(word: number): Effect {
  const register = field(word, 4, 0);
  const conversion =
    field(word, 30, 30) === 0 &&
    field(word, 28, 24) === 0b11110 &&
    (field(word, 21, 21) === 0 || field(word, 15, 10) === 0);
  const copy = field(word, 31, 31) === 0 && field(word, 29, 21) === 0b001110000 && field(word, 15, 15) === 0;
  return conversion || (copy && field(word, 10, 10) === 1) ? { mayWrite: registerBits(register) } : {};
}
