/**
 * Expressions made at random with what they come to: a tree of this file, its text by the table of docs/plans.md, and its value worked
 * out directly. Nothing of src/plan is used.
 */
import type { Random } from "../support/random.ts";

export type Tree =
  | { readonly is: "number"; readonly text: string; readonly value: bigint }
  | { readonly is: "register" | "half" | "field" | "place"; readonly text: string }
  | { readonly is: "memory"; readonly bits: number; readonly of: Tree }
  | { readonly is: "bits"; readonly high: number; readonly low: number; readonly of: Tree }
  | { readonly is: "sign"; readonly sign: string; readonly of: Tree }
  | { readonly is: "pair"; readonly sign: string; readonly left: Tree; readonly right: Tree }
  | { readonly is: "call"; readonly name: string; readonly left: Tree; readonly right: Tree };

/** The machine of the fuzz: which registers, fields and places it has, and what its memory holds. */
export const MACHINE = {
  registers: new Map<string, bigint>([
    ["x0", 0n],
    ["x1", 0xffff_ffff_ffff_ffffn],
    ["x2", 0x8000_0000_0000_0001n],
    ["x3", 7n],
    ["sp", 0x1000n],
    ["SCTLR_EL1", 0x30d5_180dn],
  ]),
  fields: new Map<string, bigint>([["SCTLR_EL1.M", 1n]]),
  places: new Map<string, bigint>([
    ["gBS", 0x1018n],
    ["DxeCore", 0x4000_0000n],
  ]),
  /** The byte at an address; null where there is no memory. */
  byte: (address: bigint): bigint | null => (address % 16n < 12n ? (address * 37n + 11n) % 256n : null),
};

/** `bits` bits from an address on, the lowest byte first. */
export function memoryAt(address: bigint, bits: number): bigint | null {
  let value = 0n;
  for (let i = 0; i < bits / 8; i++) {
    const byte = MACHINE.byte((address + BigInt(i)) % TOP);
    if (byte === null) return null;
    value += byte * 256n ** BigInt(i);
  }
  return value;
}

/** Operators from those that bind last on. */
const BINDING = ["||", "&&", "== != < <= > >=", "|", "^", "&", "<< >>", "+ -", "* / %"].map((level) =>
  level.split(" "),
);
const PAIRS = BINDING.flat();
const CALLS = ["slt", "sle", "sgt", "sge", "asr", "sext"];
const TOP = 2n ** 64n;

export function makeTree(random: Random, depth: number): Tree {
  if (depth === 0 || random.chance(0.1)) return makeLeaf(random);
  const of = (): Tree => makeTree(random, depth - 1 - random.below(2 > depth ? 1 : 2));
  const kind = random.below(12);
  if (kind < 7) return { is: "pair", sign: random.pick(PAIRS), left: of(), right: of() };
  if (kind < 9) return { is: "sign", sign: random.pick(["!", "~", "-"]), of: of() };
  if (kind === 9) return { is: "memory", bits: random.pick([8, 16, 32, 64]), of: of() };
  if (kind === 10) return { is: "call", name: random.pick(CALLS), left: of(), right: of() };
  const high = random.below(64);
  return { is: "bits", high, low: random.below(high + 1), of: of() };
}

function makeLeaf(random: Random): Tree {
  const kind = random.below(10);
  if (kind < 4) return makeNumber(random);
  if (kind < 7) return { is: "register", text: random.pick(["x0", "x1", "x2", "x3", "sp", "SCTLR_EL1", "x9"]) };
  if (kind === 7) return { is: "half", text: random.pick(["w1", "w2", "w9"]) };
  if (kind === 8) return { is: "field", text: random.pick(["SCTLR_EL1.M", "SCTLR_EL1.Q"]) };
  return { is: "place", text: random.pick(["gBS", "DxeCore", "nowhere", "constructor"]) };
}

function makeNumber(random: Random): Tree {
  const value = random.pick([0n, 1n, 8n, 63n, 64n, BigInt(random.below(100)), random.word(), TOP - 1n]);
  return {
    is: "number",
    text: random.pick([`0x${value.toString(16)}`, `0b${value.toString(2)}`, String(value)]),
    value,
  };
}

function levelOf(tree: Tree): number {
  if (tree.is === "pair") return BINDING.findIndex((level) => level.includes(tree.sign));
  return BINDING.length;
}

/** The tree as text: with the parentheses it needs, and some that it does not. */
export function textOf(tree: Tree, random: Random): string {
  const space = (): string => random.pick(["", " ", " ", "  ", "\n"]);
  const inside = (child: Tree, needed: boolean): string => {
    const text = textOf(child, random);
    return needed || random.chance(0.1) ? `(${space()}${text}${space()})` : text;
  };
  switch (tree.is) {
    case "memory":
      return `u${tree.bits}[${textOf(tree.of, random)}]`;
    case "bits":
      return `${inside(tree.of, levelOf(tree.of) < BINDING.length || tree.of.is === "sign")}[${tree.high}:${tree.low}]`;
    case "sign":
      return `${tree.sign}${space()}${inside(tree.of, levelOf(tree.of) < BINDING.length)}`;
    case "call":
      return `${tree.name}(${textOf(tree.left, random)},${space()}${textOf(tree.right, random)})`;
    case "pair": {
      const level = levelOf(tree);
      const chained = BINDING[level]?.includes("==") === true && levelOf(tree.left) === level;
      const [left, right] = [inside(tree.left, levelOf(tree.left) < level || chained), tree.right];
      return `${left} ${tree.sign}${space()}${inside(right, levelOf(right) <= level)}`;
    }
    default:
      return tree.text;
  }
}

/** What a tree comes to; null: it cannot be known. `reads` counts those of memory. */
export function worthOf(tree: Tree, reads: { count: number }): bigint | null {
  switch (tree.is) {
    case "number":
      return tree.value;
    case "register":
      return MACHINE.registers.get(tree.text) ?? null;
    case "half": {
      const whole = MACHINE.registers.get(`x${tree.text.slice(1)}`);
      return whole === undefined ? null : whole % 2n ** 32n;
    }
    case "field":
      return MACHINE.fields.get(tree.text) ?? null;
    case "place":
      return MACHINE.places.get(tree.text) ?? null;
    case "memory": {
      const address = worthOf(tree.of, reads);
      if (address === null) return null;
      reads.count++;
      return memoryAt(address, tree.bits);
    }
    case "bits": {
      const value = worthOf(tree.of, reads);
      return value === null ? null : (value / 2n ** BigInt(tree.low)) % 2n ** BigInt(tree.high - tree.low + 1);
    }
    case "sign": {
      const value = worthOf(tree.of, reads);
      if (value === null) return null;
      if (tree.sign === "!") return value === 0n ? 1n : 0n;
      return tree.sign === "~" ? TOP - 1n - value : (TOP - value) % TOP;
    }
    case "pair":
      return pairWorth(tree, reads);
    case "call": {
      const [a, b] = [worthOf(tree.left, reads), worthOf(tree.right, reads)];
      return a === null || b === null ? null : callWorth(tree.name, a, b);
    }
  }
}

function pairWorth(tree: Tree & { is: "pair" }, reads: { count: number }): bigint | null {
  const a = worthOf(tree.left, reads);
  if (tree.sign === "&&" || tree.sign === "||") {
    const deciding = tree.sign === "||";
    if (a !== null && (a !== 0n) === deciding) return deciding ? 1n : 0n;
    const b = worthOf(tree.right, reads);
    if (b !== null && (b !== 0n) === deciding) return deciding ? 1n : 0n;
    return a === null || b === null ? null : deciding ? 0n : 1n;
  }
  const b = worthOf(tree.right, reads);
  return a === null || b === null ? null : arithmetic(tree.sign, a, b);
}

function arithmetic(sign: string, a: bigint, b: bigint): bigint | null {
  const truth = (holds: boolean): bigint => (holds ? 1n : 0n);
  const table: Record<string, () => bigint | null> = {
    "==": () => truth(a === b),
    "!=": () => truth(a !== b),
    "<": () => truth(a < b),
    "<=": () => truth(a <= b),
    ">": () => truth(a > b),
    ">=": () => truth(a >= b),
    "|": () => a | b,
    "^": () => a ^ b,
    "&": () => a & b,
    "<<": () => (b > 63n ? 0n : (a * 2n ** b) % TOP),
    ">>": () => (b > 63n ? 0n : a / 2n ** b),
    "+": () => (a + b) % TOP,
    "-": () => (a + TOP - b) % TOP,
    "*": () => (a * b) % TOP,
    "/": () => (b === 0n ? null : a / b),
    "%": () => (b === 0n ? null : a % b),
  };
  return table[sign]?.() ?? null;
}

function callWorth(name: string, a: bigint, b: bigint): bigint | null {
  const negative = (value: bigint, bits: bigint): bigint => (value >= 2n ** (bits - 1n) ? value - 2n ** bits : value);
  const [x, y] = [negative(a, 64n), negative(b, 64n)];
  if (name === "asr") {
    const divisor = 2n ** (b > 63n ? 63n : b);
    // Rounded down, where BigInt's division rounds towards zero.
    const floor = x < 0n ? -((-x + divisor - 1n) / divisor) : x / divisor;
    return (floor + TOP) % TOP;
  }
  if (name === "sext") return b < 1n || b > 64n ? null : (negative(a % 2n ** b, b) + TOP) % TOP;
  const holds = { slt: x < y, sle: x <= y, sgt: x > y, sge: x >= y }[name];
  return holds ? 1n : 0n;
}

const PIECES = [
  ...[
    "x0",
    "w1",
    "SCTLR_EL1",
    ".",
    "M",
    "u8[",
    "u64[",
    "]",
    "(",
    ")",
    "slt(",
    "sext(",
    ",",
    "1",
    "0x",
    "0b1",
    "_",
    "4KiB",
    "gBS",
    "->",
  ],
  ...[
    ...PAIRS,
    "!",
    "~",
    "=",
    "?",
    ":",
    ";",
    "=>",
    "`",
    "${",
    "}",
    "{",
    '"',
    "'",
    "\\",
    "/*",
    "//",
    "#",
    "@",
    "\0",
    "\u202e",
    "\ud800",
    "😀",
  ],
  ...[
    "constructor",
    "__proto__",
    "prototype",
    "process",
    "exit",
    "require",
    "import",
    "eval",
    "globalThis",
    "this",
    "new",
    "Function",
  ],
  ...[
    "process.exit(1)",
    "require('node:fs')",
    "import('node:fs')",
    "constructor.constructor('return this')()",
    "x0.__proto__.a = 1",
  ],
];

/** What nobody would write, and some who mean harm do. */
export function makeGarbage(random: Random): string {
  const space = random.pick(["", " "]);
  return Array.from({ length: random.between(0, 30) }, () => random.pick(PIECES)).join(space);
}

/** An expression with a few letters changed, left out or added. */
export function mutated(text: string, random: Random): string {
  const letters = [...text];
  for (let i = random.between(1, 3); i > 0; i--) {
    letters.splice(
      random.below(letters.length + 1),
      random.below(3),
      ...(random.chance(0.7) ? [random.pick(PIECES)] : []),
    );
  }
  return letters.join("");
}
