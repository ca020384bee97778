/**
 * Branches, exceptions, hints and System instructions.
 *
 * Source: Arm ARM DDI 0487, C4.1 "Branches, Exception Generating and System instructions"; C6.2 for each; FEAT_CMPBR for CB<cc>,
 * FEAT_PAuth_LR for RETAASPPC.
 */
import { type VirtAddr, virt } from "../base/address.ts";
import { computed, type Effect, field, LINK, registerBits, signedField, toRegister } from "./operation.ts";

export function branchEffect(address: VirtAddr, word: number): Effect {
  const target = (high: number, low: number): VirtAddr => virt(address + BigInt(signedField(word, high, low) * 4));
  const conditional = (high: number, low: number): Effect => ({
    flow: { kind: "conditional", target: target(high, low) },
  });
  const top = field(word, 30, 24);
  // B, BL
  if (field(word, 30, 26) === 0b00101) return directBranch(word, target(25, 0));
  // CBZ and CBNZ, TBZ and TBNZ, CB<cc> of registers and of immediates
  if (top >>> 1 === 0b011010) return conditional(23, 5);
  if (top >>> 1 === 0b011011) return conditional(18, 5);
  if (top >>> 1 === 0b111010) return conditional(13, 5);
  switch (word >>> 24) {
    case 0b0101_0100:
      return conditional(23, 5);
    case 0b0101_0101:
      return { flow: { kind: "return", register: LINK } };
    case 0b1101_0100:
      return { flow: { kind: "exception" } };
    case 0b1101_0101:
      return systemEffect(word);
    case 0b1101_0110:
    case 0b1101_0111:
      return registerBranch(word);
    default:
      return { flow: { kind: "undefined" }, mayWrite: -1 };
  }
}

function directBranch(word: number, target: VirtAddr): Effect {
  if (word < 0x8000_0000) return { flow: { kind: "jump", target } };
  return { flow: { kind: "call", target }, ...computed(LINK) };
}

/** opc at bits 24:21, of which the highest is set for the authenticating forms with a modifier. */
function registerBranch(word: number): Effect {
  const register = field(word, 9, 5);
  switch (field(word, 23, 21)) {
    case 0b000:
      return { flow: { kind: "jump-register", register } };
    case 0b001:
      return { flow: { kind: "call-register", register }, ...computed(LINK) };
    case 0b010:
      // RETAA and RETAB have 31 here and return through x30.
      return { flow: { kind: "return", register: field(word, 11, 11) === 1 ? LINK : register } };
    default:
      return { flow: { kind: "exception" } };
  }
}

function systemEffect(word: number): Effect {
  const register = field(word, 4, 0);
  if ((word & 0xffff_f01f) >>> 0 === 0xd503_201f) return hintEffect(field(word, 11, 5));
  // Bit 21: MRS, SYSL. Bit 22: MRRS, of two registers.
  if (field(word, 21, 21) === 0) return {};
  if (field(word, 22, 22) === 0) return computed(register);
  return { writes: [...toRegister(register, { kind: "computed" }), ...toRegister(register | 1, { kind: "computed" })] };
}

/** Hints by CRm:op2; those not named do not write registers. */
function hintEffect(hint: number): Effect {
  // XPACLRI; PACIAZ … AUTIBSP, of which PACIASP (25) and PACIBSP (27) are landing pads too.
  if (hint === 7 || (hint >= 24 && hint <= 31)) {
    const writes = toRegister(LINK, { kind: "authenticate", from: LINK });
    return { writes, landing: hint === 25 || hint === 27 };
  }
  // PACIA1716, PACIB1716, AUTIA1716, AUTIB1716
  if ([8, 10, 12, 14].includes(hint)) return { writes: toRegister(17, { kind: "authenticate", from: 17 }) };
  // BTI, BTI c, BTI j, BTI jc
  if ([32, 34, 36, 38].includes(hint)) return { landing: true };
  // CHKFEAT
  return hint === 40 ? { mayWrite: registerBits(16) } : {};
}
