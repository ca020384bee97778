/**
 * Where an instruction stores, from capstone's text of it: a second decoder, which knows no encoding.
 *
 * Registers are written `x0` … `x30`, `sp`, `w…`, `wzr`, `xzr`, `q…` and so on; a vector list is `{v0.4s, v1.4s}`, with `[1]` behind it
 * for one lane.
 */

/** `unknown`: it stores, and where is not worked out here. */
export type TextStore = { readonly address: bigint; readonly size: number } | "none" | "unknown";

const ATOMIC = /^(?:ld|st)(?:add|clr|eor|set|smax|smin|umax|umin)a?l?[bh]?$|^(?:swp|casp?)a?l?[bh]?$/;
const WIDTHS: Readonly<Record<string, number>> = { b: 1, h: 2, s: 4, d: 8, q: 16, w: 4, x: 8 };
const LANES: Readonly<Record<string, number>> = { b: 1, h: 2, s: 4, d: 8 };

/** What a line of assembly stores with these values of x0 … x30 and sp (31). */
export function storeOfText(
  mnemonic: string,
  operands: string,
  registers: readonly bigint[],
  zeroBlock: number,
): TextStore {
  const zeroes = mnemonic === "dc" && /^g?zva, /.test(operands);
  const stores =
    zeroes || ATOMIC.test(mnemonic) || /^st(?!g$|2g$|gm$)/.test(mnemonic) || /^(?:cpy|set)[fpmeg]/.test(mnemonic);
  if (!stores) return "none";
  if (zeroes || mnemonic === "stzgm") {
    const register = /\[?(\w+)\]?$/.exec(operands)?.[1] ?? "";
    const start = registerValue(register, registers);
    return { address: start - (start % BigInt(zeroBlock)), size: zeroBlock };
  }
  const size = /\b(?:[zp]\d|za)/.test(operands) ? undefined : sizeOfText(mnemonic, operands);
  if (size === undefined) return "unknown";
  return { address: addressOfText(operands, registers), size };
}

function registerValue(name: string, registers: readonly bigint[]): bigint {
  if (/^[xw]zr$/.test(name)) return 0n;
  const value = registers[name === "sp" ? 31 : Number(name.slice(1))];
  if (value === undefined) throw new Error(`no register ${name}`);
  return value;
}

function addressOfText(operands: string, registers: readonly bigint[]): bigint {
  const inside = /\[((?:x\d+|sp)[^\]]*)\]/.exec(operands)?.[1]?.split(", ") ?? [];
  const [base = "", second, extension = "lsl #0"] = inside;
  const start = registerValue(base, registers);
  if (second === undefined) return BigInt.asUintN(64, start);
  const [, sign, number] = /^#(-?)(\w+)$/.exec(second) ?? [];
  if (number !== undefined) return BigInt.asUintN(64, start + BigInt(number) * (sign === "-" ? -1n : 1n));
  const [how, amount = "#0"] = extension.split(" ");
  const index = registerValue(second, registers);
  const widened = how === "uxtw" ? BigInt.asUintN(32, index) : how === "sxtw" ? BigInt.asIntN(32, index) : index;
  return BigInt.asUintN(64, start + widened * 2n ** BigInt(amount.slice(1)));
}

function sizeOfText(mnemonic: string, operands: string): number | undefined {
  if (mnemonic.startsWith("st64b")) return 64;
  if (/^(?:cpy|set)/.test(mnemonic)) return undefined;
  if (mnemonic === "stzg") return 16;
  if (mnemonic === "stz2g") return 32;
  const list = /^\{(.*)\}(\[\w+\])?/.exec(operands);
  if (list !== null) {
    const vectors = (list[1] ?? "").split(", ");
    const [, lanes, kind = ""] = /\.(\d*)([bhsd])$/.exec(vectors[0] ?? "") ?? [];
    return vectors.length * (LANES[kind] ?? 0) * (list[2] === undefined ? Number(lanes) : 1);
  }
  // The first operand of exclusive stores is the status.
  const name = operands.split(", ")[mnemonic.includes("x") && !ATOMIC.test(mnemonic) ? 1 : 0] ?? "";
  const one = WIDTHS[/[bh]$/.exec(mnemonic)?.[0] ?? name.charAt(0)] ?? 0;
  const pair = /^(?:st[ngt]?p|stl?xp|casp)/.test(mnemonic);
  return pair ? one * 2 : one;
}
