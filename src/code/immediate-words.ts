/**
 * Data processing with an immediate.
 *
 * Source: Arm ARM DDI 0487, C4.1 "Data Processing -- Immediate"; C6.2 ADR, ADRP, ADD (immediate), SUB (immediate), MOVZ, MOVN, MOVK.
 */
import { type VirtAddr, virt } from "../base/address.ts";
import { computed, type Effect, field, LINK, registerBits, toRegister, toRegisterOrStack } from "./operation.ts";

export function immediateEffect(address: VirtAddr, word: number): Effect {
  const register = field(word, 4, 0);
  switch (field(word, 25, 23)) {
    case 0b000:
    case 0b001:
      return pageRelative(address, word);
    case 0b010:
      return addImmediate(word);
    case 0b011:
      // ADDG, SUBG: 31 is SP. SMAX and the like (bit 22 set): 31 is the zero register.
      return field(word, 22, 22) === 0
        ? { writes: toRegisterOrStack(register, { kind: "computed" }) }
        : computed(register);
    case 0b100:
      // Logical: opc 0b11 (ANDS) has the zero register, the others SP.
      return field(word, 30, 29) === 0b11
        ? computed(register)
        : { writes: toRegisterOrStack(register, { kind: "computed" }) };
    case 0b101:
      return moveWide(word);
    case 0b110:
      return computed(register);
    default:
      // Extract; and with bits 30:29 set AUTIASPPC and AUTIBSPPC, which write x30.
      return field(word, 30, 29) === 0b11 ? { mayWrite: registerBits(register, LINK) } : computed(register);
  }
}

function pageRelative(address: VirtAddr, word: number): Effect {
  const page = word >= 0x8000_0000;
  const immediate = BigInt.asIntN(21, BigInt(field(word, 23, 5) * 4 + field(word, 30, 29)));
  const value = page ? virt((address & ~0xfffn) + immediate * 4096n) : virt(address + immediate);
  return { writes: toRegister(field(word, 4, 0), { kind: "constant", value }) };
}

function addImmediate(word: number): Effect {
  const [register, from] = [field(word, 4, 0), field(word, 9, 5)];
  const wide = word >= 0x8000_0000;
  const amount = BigInt(field(word, 21, 10)) << (field(word, 22, 22) === 1 ? 12n : 0n);
  const signed = field(word, 30, 30) === 1 ? -amount : amount;
  const operation = wide ? ({ kind: "add", from, amount: signed } as const) : ({ kind: "computed" } as const);
  const flags = field(word, 29, 29) === 1;
  return { writes: flags ? toRegister(register, operation) : toRegisterOrStack(register, operation) };
}

function moveWide(word: number): Effect {
  const register = field(word, 4, 0);
  const wide = word >= 0x8000_0000;
  const shift = field(word, 22, 21) * 16;
  const value = BigInt(field(word, 20, 5));
  const bits = wide ? 64 : 32;
  switch (field(word, 30, 29)) {
    case 0b00:
      return {
        writes: toRegister(register, { kind: "constant", value: BigInt.asUintN(bits, ~(value << BigInt(shift))) }),
      };
    case 0b10:
      return { writes: toRegister(register, { kind: "constant", value: value << BigInt(shift) }) };
    case 0b11:
      if (wide) return { writes: toRegister(register, { kind: "insert", from: register, value, shift }) };
      return computed(register);
    default:
      return computed(register);
  }
}
