/**
 * A second reading of the AArch64 stage 1 translation, to hold the first one against: one address at a time, every field a bigint,
 * every table of the manual written out. It imports nothing, so that it can share no mistake with src/.
 *
 * Source: Arm ARM DDI 0487 K.a, chapter D8: D8.2 "Translation process" (sizes, initial lookup level, Address size fault, translation
 * disabled), D8.3 (descriptors), D8.4 (permissions; shared pseudocode AArch64.S1ApplyOutputPerms, AArch64.S1DirectBasePermissions),
 * D8.5 (dirty state), D8.6 (memory attributes, shareability); D24.2 (SCTLR, TCR, TTBR, MAIR, ID registers).
 *
 * Not modelled, so the callers must keep it out: granules other than 4 KiB, FEAT_LPA2, tagged addresses (TBI), big-endian tables,
 * indirect permissions, stage 2, PSTATE.PAN, E0PD, and a base address in TTBR that is not aligned to its table.
 */

export interface SlowMachine {
  /** A register by its Arm name; undefined when it is not there. */
  readonly register: (name: string) => bigint | undefined;
  /** The 64-bit word at an aligned physical address; undefined when it cannot be read. */
  readonly word: (address: bigint) => bigint | undefined;
}

export type SlowRegime = "EL1&0" | "EL2" | "EL2&0" | "EL3";

export interface SlowMapping {
  readonly outcome: "mapped";
  readonly output: bigint;
  /** Level of the block or page descriptor; null with translation off. */
  readonly level: number | null;
  /** Such as `rw-`. */
  readonly privileged: string;
  /** null where the regime has no EL0. */
  readonly unprivileged: string | null;
  readonly memory: string;
  readonly shareability: string;
  readonly contiguous: boolean;
  readonly accessFlag: boolean;
  readonly global: boolean;
}

export type SlowTranslation =
  | SlowMapping
  | { readonly outcome: "fault"; readonly kind: "translation" | "address size"; readonly level: number }
  /** A descriptor could not be read. */
  | { readonly outcome: "unreadable"; readonly descriptor: bigint; readonly level: number };

/** MAIR bytes with the words for them; `outer` marks those whose shareability is Outer Shareable whatever SH says (D8.6). */
export const MEMORY_WORDS: ReadonlyMap<number, { readonly words: string; readonly outer: boolean }> = new Map([
  [0x00, { words: "Device-nGnRnE", outer: true }],
  [0x01, { words: "Device-nGnRnE XS=0", outer: true }],
  [0x04, { words: "Device-nGnRE", outer: true }],
  [0x08, { words: "Device-nGRE", outer: true }],
  [0x0c, { words: "Device-GRE", outer: true }],
  [0x33, { words: "Normal WT RAWA transient", outer: false }],
  [0x40, { words: "Normal NC XS=0", outer: true }],
  [0x44, { words: "Normal NC", outer: true }],
  [0x4f, { words: "Normal outer NC inner WB RAWA", outer: false }],
  [0x77, { words: "Normal WB RAWA transient", outer: false }],
  [0xa0, { words: "Normal WT RA XS=0", outer: false }],
  [0xbb, { words: "Normal WT RAWA", outer: false }],
  [0xee, { words: "Normal WB RA", outer: false }],
  [0xf0, { words: "Normal WB RAWA Tagged", outer: false }],
  [0xf4, { words: "Normal outer WB RAWA inner NC", outer: false }],
  [0xff, { words: "Normal WB RAWA", outer: false }],
]);

/** value<high:low> */
function bits(value: bigint, high: number, low: number): bigint {
  return BigInt.asUintN(high - low + 1, value >> BigInt(low));
}

function isSet(value: bigint, position: number): boolean {
  return bits(value, position, position) === 1n;
}

/** TCR_ELx.{IPS,PS} and ID_AA64MMFR0_EL1.PARange. */
function sizeOfAddresses(encoding: bigint): number {
  switch (encoding) {
    case 0n:
      return 32;
    case 1n:
      return 36;
    case 2n:
      return 40;
    case 3n:
      return 42;
    case 4n:
      return 44;
    case 5n:
      return 48;
    case 6n:
      return 52;
    default:
      return 56;
  }
}

/** Where a lookup starts with the 4 KiB granule (D8.2, the table of TxSZ and initial lookup level). */
function startingLevel(txsz: number): number {
  if (txsz >= 16 && txsz <= 24) return 0;
  if (txsz >= 25 && txsz <= 33) return 1;
  if (txsz >= 34 && txsz <= 39) return 2;
  throw new RangeError(`TxSZ ${txsz} is not modelled`);
}

/** What one TTBR and its half of TCR say. */
interface Half {
  readonly ttbr: bigint;
  readonly txsz: number;
  readonly disabled: boolean;
  readonly hierarchyDisabled: boolean;
}

function need(machine: SlowMachine, name: string): bigint {
  const value = machine.register(name);
  if (value === undefined) throw new RangeError(`${name} is not modelled as absent`);
  return value;
}

/** Translates one address in a regime. */
export function slowTranslate(machine: SlowMachine, regime: SlowRegime, va: bigint): SlowTranslation {
  const el = regime === "EL1&0" ? 1 : regime === "EL3" ? 3 : 2;
  const hasUnprivileged = regime === "EL1&0" || regime === "EL2&0";
  const sctlr = need(machine, `SCTLR_EL${el}`);
  const tcr = need(machine, `TCR_EL${el}`);
  const implemented = sizeOfAddresses(bits(need(machine, "ID_AA64MMFR0_EL1"), 3, 0));

  if (!isSet(sctlr, 0)) {
    // Flat; wider than the implemented physical address size is an Address size fault, level 0.
    if (va >= 1n << BigInt(implemented)) return { outcome: "fault", kind: "address size", level: 0 };
    return {
      outcome: "mapped",
      output: va,
      level: null,
      privileged: "rwx",
      unprivileged: hasUnprivileged ? "rwx" : null,
      memory: "Device-nGnRnE",
      shareability: "outer",
      contiguous: false,
      accessFlag: true,
      global: true,
    };
  }

  const half = chooseHalf(machine, el, hasUnprivileged, tcr, va);
  const upper = hasUnprivileged && isSet(va, 55);
  // The bits above the input address are all ones in the upper range, all zeros in the lower one.
  const above = bits(va, 63, 64 - half.txsz);
  const wanted = upper ? (1n << BigInt(half.txsz)) - 1n : 0n;
  if (above !== wanted || half.disabled) return { outcome: "fault", kind: "translation", level: 0 };

  const configured = sizeOfAddresses(hasUnprivileged ? bits(tcr, 34, 32) : bits(tcr, 18, 16));
  const outputSize = Math.min(configured, implemented, 48);
  return walk(machine, { half, el, hasUnprivileged, sctlr, tcr, outputSize, va });
}

function chooseHalf(machine: SlowMachine, el: number, twoRanges: boolean, tcr: bigint, va: bigint): Half {
  if (!twoRanges) {
    return {
      ttbr: need(machine, `TTBR0_EL${el}`),
      txsz: Number(bits(tcr, 5, 0)),
      disabled: false,
      hierarchyDisabled: isSet(tcr, 24),
    };
  }
  if (isSet(va, 55)) {
    return {
      ttbr: need(machine, `TTBR1_EL${el}`),
      txsz: Number(bits(tcr, 21, 16)),
      disabled: isSet(tcr, 23),
      hierarchyDisabled: isSet(tcr, 42),
    };
  }
  return {
    ttbr: need(machine, `TTBR0_EL${el}`),
    txsz: Number(bits(tcr, 5, 0)),
    disabled: isSet(tcr, 7),
    hierarchyDisabled: isSet(tcr, 41),
  };
}

interface WalkInput {
  readonly half: Half;
  readonly el: number;
  readonly hasUnprivileged: boolean;
  readonly sctlr: bigint;
  readonly tcr: bigint;
  readonly outputSize: number;
  readonly va: bigint;
}

/** The lowest address bit that the index of a level takes. */
const INDEX_BOTTOM = [39, 30, 21, 12] as const;

function walk(machine: SlowMachine, input: WalkInput): SlowTranslation {
  const { half, outputSize, va } = input;
  const tooWide = (address: bigint): boolean => address >> BigInt(outputSize) !== 0n;
  let level = startingLevel(half.txsz);

  // TTBR<47:1> is the address; the table is aligned to its size, and to 64 bytes at least.
  const entriesInRoot = 1n << BigInt(64 - half.txsz - (INDEX_BOTTOM[level] as number));
  const size = entriesInRoot * 8n > 64n ? entriesInRoot * 8n : 64n;
  let table = (bits(half.ttbr, 47, 1) << 1n) / size;
  table *= size;
  if (tooWide(table)) return { outcome: "fault", kind: "address size", level: 0 };

  let top = 63 - half.txsz;
  let apTableNoEl0 = false;
  let apTableNoWrite = false;
  let uxnTable = false;
  let pxnTable = false;
  for (;;) {
    const bottom = INDEX_BOTTOM[level] as number;
    const address = table + bits(va, top, bottom) * 8n;
    const descriptor = machine.word(address);
    if (descriptor === undefined) return { outcome: "unreadable", descriptor: address, level };

    const type = bits(descriptor, 1, 0);
    const isPage = level === 3 && type === 3n;
    const isBlock = (level === 1 || level === 2) && type === 1n;
    const isTable = level < 3 && type === 3n;
    if (isPage || isBlock) {
      const base = bits(descriptor, 47, bottom) << BigInt(bottom);
      if (tooWide(base)) return { outcome: "fault", kind: "address size", level };
      const inherited = { apTableNoEl0, apTableNoWrite, uxnTable, pxnTable };
      return leaf(machine, input, { descriptor, level, output: base + bits(va, bottom - 1, 0), inherited });
    }
    if (!isTable) return { outcome: "fault", kind: "translation", level };

    table = bits(descriptor, 47, 12) << 12n;
    if (tooWide(table)) return { outcome: "fault", kind: "address size", level };
    if (!half.hierarchyDisabled) {
      apTableNoEl0 ||= isSet(descriptor, 61);
      apTableNoWrite ||= isSet(descriptor, 62);
      uxnTable ||= isSet(descriptor, 60);
      pxnTable ||= isSet(descriptor, 59);
    }
    top = bottom - 1;
    level += 1;
  }
}

interface Leaf {
  readonly descriptor: bigint;
  readonly level: number;
  readonly output: bigint;
  readonly inherited: {
    readonly apTableNoEl0: boolean;
    readonly apTableNoWrite: boolean;
    readonly uxnTable: boolean;
    readonly pxnTable: boolean;
  };
}

/** By AP<2:1>: privileged read, write; unprivileged read, write. */
const AP = [
  [true, true, false, false],
  [true, true, true, true],
  [true, false, false, false],
  [true, false, true, false],
] as const;

function leaf(machine: SlowMachine, input: WalkInput, found: Leaf): SlowMapping {
  const { descriptor, inherited } = found;
  const { hasUnprivileged, el, sctlr } = input;
  const wxn = isSet(sctlr, 19);

  // DBM with hardware management of dirty state: AP<2> counts as 0.
  const writableWhenDirtied = hardwareDirtyState(machine, input) && isSet(descriptor, 51);
  const ap2 = writableWhenDirtied ? 0 : Number(isSet(descriptor, 7));
  const ap1 = hasUnprivileged ? Number(isSet(descriptor, 6)) : 1;

  let [pr, pw, ur, uw] = AP[ap2 * 2 + ap1] as readonly [boolean, boolean, boolean, boolean];
  if (inherited.apTableNoWrite) {
    pw = false;
    uw = false;
  }
  if (hasUnprivileged && inherited.apTableNoEl0) {
    ur = false;
    uw = false;
  }

  let px: boolean;
  let ux = false;
  if (hasUnprivileged) {
    px = !isSet(descriptor, 53) && !inherited.pxnTable && !uw;
    ux = !isSet(descriptor, 54) && !inherited.uxnTable;
  } else {
    px = !isSet(descriptor, 54) && !inherited.uxnTable;
  }
  if (wxn && pw) px = false;
  if (wxn && uw) ux = false;

  const attributeIndex = bits(descriptor, 4, 2);
  const mair = need(machine, `MAIR_EL${el}`);
  const attribute = Number(bits(mair, Number(attributeIndex) * 8 + 7, Number(attributeIndex) * 8));
  const memory = MEMORY_WORDS.get(attribute);
  if (memory === undefined) throw new RangeError(`MAIR byte 0x${attribute.toString(16)} is not modelled`);
  const sh = ["none", "reserved", "outer", "inner"][Number(bits(descriptor, 9, 8))] as string;

  return {
    outcome: "mapped",
    output: found.output,
    level: found.level,
    privileged: letters(pr, pw, px),
    unprivileged: hasUnprivileged ? letters(ur, uw, ux) : null,
    memory: memory.words,
    shareability: memory.outer ? "outer" : sh,
    contiguous: isSet(descriptor, 52),
    accessFlag: isSet(descriptor, 10),
    // nG is RES0 where there is no ASID.
    global: hasUnprivileged ? !isSet(descriptor, 11) : true,
  };
}

/** TCR_ELx.HA and HD, which need FEAT_HAFDBS with dirty state (ID_AA64MMFR1_EL1.HAFDBS of 2 or more). */
function hardwareDirtyState(machine: SlowMachine, { tcr, hasUnprivileged }: WalkInput): boolean {
  if (bits(machine.register("ID_AA64MMFR1_EL1") ?? 2n, 3, 0) < 2n) return false;
  const [ha, hd] = hasUnprivileged ? [39, 40] : [21, 22];
  return isSet(tcr, ha as number) && isSet(tcr, hd as number);
}

function letters(read: boolean, write: boolean, execute: boolean): string {
  return `${read ? "r" : "-"}${write ? "w" : "-"}${execute ? "x" : "-"}`;
}
