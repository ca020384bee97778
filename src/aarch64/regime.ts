/**
 * Translation regimes: which are live on a vCPU, and what their registers say about them.
 *
 * Source: Arm ARM DDI 0487, chapter D8 "The AArch64 Virtual Memory System Architecture": D8.1 (regimes), D8.2 (translation process,
 * starting level), D24.2 (TCR_ELx, TTBRn_ELx, SCTLR_ELx, HCR_EL2).
 *
 * Terms: a regime has one or two *roots*, the ranges of virtual addresses that TTBR0 and TTBR1 translate. A regime is *live* when
 * its SCTLR_ELx.M is 1, or when it is the regime of the current Exception level (then possibly with translation off).
 *
 * Assumptions: CurrentEL is taken from cpsr.M<3:2>, as stubs do not offer CurrentEL. What is not decoded (granules of 16 and 64 KiB,
 * FEAT_LPA2, FEAT_D128, permission indirection, big-endian tables, stage 2) is reported in `undecoded` and never guessed at.
 */
import { type PhysAddr, phys, type VirtAddr, virt } from "../base/address.ts";
import { bit, bits, bitsNumber } from "../base/bits.ts";
import type { ErrorCode } from "../base/error.ts";
import { hex } from "../base/hex.ts";
import type { Registers } from "../base/registers.ts";

export type RegimeName = "EL1&0" | "EL2" | "EL2&0" | "EL3" | "stage2";

/** The addresses that one TTBR translates. */
export interface TableRoot {
  /** Where the root comes from, such as `TTBR0_EL1`. */
  readonly register: string;
  readonly vaBase: VirtAddr;
  /** The range is 2^inputBits bytes, from vaBase on. */
  readonly inputBits: number;
  readonly startLevel: number;
  /** The first table; it may start inside a page when it has fewer than 512 entries. */
  readonly table: PhysAddr;
  /** Whether APTable, PXNTable, UXNTable and XNTable count (TCR_ELx.HPD = 0). */
  readonly hierarchical: boolean;
  /** TCR_ELx.TBI: bits 63:56 of an address are a tag and not looked at (for instructions too, unless TBID says otherwise). */
  readonly topByteIgnored: boolean;
}

export interface Undecoded {
  readonly code: ErrorCode;
  readonly why: string;
  /** Root table, kept raw in captures. */
  readonly root: PhysAddr | undefined;
  /** How the tables below the root are reached, to keep them raw too; undefined when that is not known. */
  readonly shape?: TableShape | undefined;
  /** Descriptors have another form altogether: no table below the root can be followed. */
  readonly foreign?: boolean;
  /** Which halves of the address space it leaves unknown: the one of TTBR0, of TTBR1, or both. */
  readonly halves: readonly ("lower" | "upper")[];
}

/** What it takes to follow tables without knowing what their leaves mean. */
export interface TableShape {
  /** log2 of the granule: 12, 14 or 16. */
  readonly granuleBits: number;
  /** -1 to 3. */
  readonly startLevel: number;
  /** Entries of the root, which may be concatenated tables (stage 2). */
  readonly entries: number;
}

const BOTH_HALVES = ["lower", "upper"] as const;

export interface Regime {
  readonly name: RegimeName;
  /** The Exception level whose registers control it. */
  readonly exceptionLevel: 1 | 2 | 3;
  /** Whether unprivileged (EL0) accesses use it too. */
  readonly hasEl0: boolean;
  /** SCTLR_ELx.M. Off: the output address is the input address. */
  readonly enabled: boolean;
  readonly roots: readonly TableRoot[];
  readonly mair: bigint;
  /** SCTLR_ELx.WXN: writable implies execute-never. */
  readonly wxn: boolean;
  /** TCR_ELx.{HA, HD} are 1: a leaf with DBM = 1 is writable whatever AP<2> says, as hardware clears AP<2> on a write. */
  readonly dirtyState: boolean;
  /** Width in bits of the physical addresses that may come out: those that descriptors may name; with translation off, all there are. */
  readonly outputBits: number;
  readonly undecoded: readonly Undecoded[];
}

const GRANULE_4K = 4096;
const PAGE_BITS = 12;
const LEVEL_BITS = 9;
const TABLE_ADDRESS_MASK = 0x0000_ffff_ffff_fffen;

/** Physical address widths by ID_AA64MMFR0_EL1.PARange and TCR_ELx.{IPS,PS}. */
const ADDRESS_BITS = [32, 36, 40, 42, 44, 48, 52, 56] as const;

/** The Exception level that a vCPU executes at: PSTATE.EL, as cpsr.M<3:2> shows it. */
export function currentExceptionLevel(registers: Registers): number | undefined {
  const cpsr = registers.get("cpsr");
  if (cpsr === undefined || bit(cpsr, 4)) return undefined;
  return bitsNumber(cpsr, 3, 2);
}

/** HCR_EL2.E2H: EL2 uses the EL2&0 regime, and TCR_EL2 has the layout of TCR_EL1. */
export function hostExtensions(registers: Registers): boolean {
  return bit(registers.get("HCR_EL2") ?? 0n, 34);
}

/** The regime that code at the current Exception level runs in. */
export function currentRegimeName(registers: Registers): RegimeName {
  const level = currentExceptionLevel(registers);
  if (level === 3) return "EL3";
  const e2h = hostExtensions(registers);
  const tge = bit(registers.get("HCR_EL2") ?? 0n, 27);
  if (level === 2) return e2h ? "EL2&0" : "EL2";
  return level === 0 && e2h && tge ? "EL2&0" : "EL1&0";
}

/** All live regimes of a vCPU, the current one first. */
export function liveRegimes(registers: Registers): readonly Regime[] {
  const current = currentRegimeName(registers);
  const names: RegimeName[] = ["EL1&0", hostExtensions(registers) ? "EL2&0" : "EL2", "EL3"];
  const ordered = [current, ...names.filter((name) => name !== current)];
  const regimes = ordered
    .filter((name) => name === current || bit(registers.get(sctlrOf(name)) ?? 0n, 0))
    .map((name) => readRegime(name, registers));
  const stage2 = readStage2(registers);
  return stage2 === undefined ? regimes : [...regimes, stage2];
}

function exceptionLevelOf(name: RegimeName): 1 | 2 | 3 {
  if (name === "EL1&0") return 1;
  return name === "EL3" ? 3 : 2;
}

function sctlrOf(name: RegimeName): string {
  return `SCTLR_EL${exceptionLevelOf(name)}`;
}

/** Reads one stage 1 regime from the registers, whether it is live or not. */
export function readRegime(name: RegimeName, registers: Registers): Regime {
  const el = exceptionLevelOf(name);
  const hasEl0 = name === "EL1&0" || name === "EL2&0";
  const sctlr = registers.get(`SCTLR_EL${el}`);
  const tcr = registers.get(`TCR_EL${el}`);
  const mair = registers.get(`MAIR_EL${el}`);
  const undecoded: Undecoded[] = [];
  const base = { name, exceptionLevel: el, hasEl0, mair: mair ?? 0n };
  if (sctlr === undefined || tcr === undefined || mair === undefined) {
    const missing = [sctlr ?? `SCTLR_EL${el}`, tcr ?? `TCR_EL${el}`, mair ?? `MAIR_EL${el}`]
      .filter((each) => typeof each === "string")
      .join(", ");
    undecoded.push({
      code: "register-missing",
      why: `not offered by the stub, or not readable: ${missing}`,
      root: undefined,
      halves: BOTH_HALVES,
    });
    return { ...base, enabled: true, roots: [], wxn: false, dirtyState: false, outputBits: 48, undecoded };
  }
  const enabled = bit(sctlr, 0);
  const roots: TableRoot[] = [];
  if (enabled) {
    for (const layout of hasEl0 ? twoRootLayouts(tcr) : [oneRootLayout(tcr)]) {
      const register = `TTBR${layout.upper ? 1 : 0}_EL${el}`;
      const ttbr = registers.get(register);
      const root = readRoot(register, ttbr, layout, undecoded);
      if (root !== undefined) roots.push(root);
    }
    undecoded.push(...undecodedExtensions(el, sctlr, registers));
  }
  if (name === "EL1&0") undecoded.push(...behindStage2(registers));
  const refused = undecoded.some(({ code }) => code === "extension-not-decoded" || code === "regime-not-decoded");
  return {
    ...base,
    enabled,
    roots: refused ? [] : roots,
    wxn: bit(sctlr, 19),
    dirtyState: managesDirtyState(tcr, hasEl0, registers),
    outputBits: enabled ? outputBits(tcr, hasEl0, registers) : physicalAddressBits(registers),
    undecoded: refused ? withRoots(undecoded, roots) : undecoded,
  };
}

/** The fields of TCR_ELx about one root, whatever the layout they come from. */
interface RootLayout {
  readonly upper: boolean;
  readonly sizeOffset: number;
  readonly granule: number | undefined;
  readonly disabled: boolean;
  readonly hierarchical: boolean;
  readonly topByteIgnored: boolean;
  readonly wide: boolean;
}

/** TCR_EL1, and TCR_EL2 when HCR_EL2.E2H is 1. */
function twoRootLayouts(tcr: bigint): readonly RootLayout[] {
  const wide = bit(tcr, 59);
  return [
    {
      upper: false,
      sizeOffset: bitsNumber(tcr, 5, 0),
      granule: granuleOfTg0(bitsNumber(tcr, 15, 14)),
      disabled: bit(tcr, 7),
      hierarchical: !bit(tcr, 41),
      topByteIgnored: bit(tcr, 37),
      wide,
    },
    {
      upper: true,
      sizeOffset: bitsNumber(tcr, 21, 16),
      granule: granuleOfTg1(bitsNumber(tcr, 31, 30)),
      disabled: bit(tcr, 23),
      hierarchical: !bit(tcr, 42),
      topByteIgnored: bit(tcr, 38),
      wide,
    },
  ];
}

/** TCR_EL2 when HCR_EL2.E2H is 0, and TCR_EL3. */
function oneRootLayout(tcr: bigint): RootLayout {
  return {
    upper: false,
    sizeOffset: bitsNumber(tcr, 5, 0),
    granule: granuleOfTg0(bitsNumber(tcr, 15, 14)),
    disabled: false,
    hierarchical: !bit(tcr, 24),
    topByteIgnored: bit(tcr, 20),
    wide: bit(tcr, 32),
  };
}

function granuleOfTg0(field: number): number | undefined {
  return [4096, 65536, 16384][field];
}

function granuleOfTg1(field: number): number | undefined {
  return [undefined, 16384, 4096, 65536][field];
}

function readRoot(
  register: string,
  ttbr: bigint | undefined,
  layout: RootLayout,
  undecoded: Undecoded[],
): TableRoot | undefined {
  if (layout.disabled) return undefined;
  const refuse = (code: ErrorCode, why: string, root?: PhysAddr, shape?: TableShape): undefined => {
    undecoded.push({ code, why, root, shape, halves: [layout.upper ? "upper" : "lower"] });
    return undefined;
  };
  if (ttbr === undefined) return refuse("register-missing", `the stub does not offer ${register}`);
  const inputBits = 64 - layout.sizeOffset;
  const shape = stage1Shape(layout.granule, inputBits);
  const rawRoot = phys(ttbr & TABLE_ADDRESS_MASK);
  if (layout.granule !== GRANULE_4K) {
    const granule = layout.granule === undefined ? "reserved" : `${layout.granule / 1024} KiB`;
    return refuse(
      "granule-not-decoded",
      `${register} uses a granule that is not decoded yet (${granule})`,
      rawRoot,
      shape,
    );
  }
  if (layout.wide) return refuse("extension-not-decoded", `${register} uses FEAT_LPA2 (TCR.DS = 1)`, rawRoot, shape);
  // T0SZ outside 16..39 (48 with FEAT_TTST) is CONSTRAINED UNPREDICTABLE: not guessed at.
  if (inputBits > 48 || inputBits < 16) {
    return refuse("extension-not-decoded", `${register} has an address size of ${inputBits} bits`, rawRoot);
  }
  const levels = Math.ceil((inputBits - PAGE_BITS) / LEVEL_BITS);
  const startLevel = 4 - levels;
  const tableBytes = 8n << BigInt(inputBits - levelShift(startLevel));
  const alignment = tableBytes < 64n ? 64n : tableBytes;
  return {
    register,
    vaBase: layout.upper ? virt(-(1n << BigInt(inputBits))) : virt(0n),
    inputBits,
    startLevel,
    table: phys(ttbr & TABLE_ADDRESS_MASK & ~(alignment - 1n)),
    hierarchical: layout.hierarchical,
    topByteIgnored: layout.topByteIgnored,
  };
}

/** The starting level and size of a stage 1 root (D8.2): as few levels as resolve the input address. */
function stage1Shape(granule: number | undefined, inputBits: number): TableShape | undefined {
  if (granule === undefined || inputBits > 52 || inputBits < 16) return undefined;
  const granuleBits = Math.log2(granule);
  const startLevel = 4 - Math.ceil((inputBits - granuleBits) / (granuleBits - 3));
  return shapeFrom(granuleBits, startLevel, inputBits);
}

/** VTCR_EL2.{TG0, SL0, T0SZ} (D24.2 VTCR_EL2): stage 2 says where it starts, and may have up to 16 tables in a row there. */
function stage2Shape(vtcr: bigint): TableShape | undefined {
  const granule = granuleOfTg0(bitsNumber(vtcr, 15, 14));
  const inputBits = 64 - bitsNumber(vtcr, 5, 0);
  if (granule === undefined || inputBits > 52 || inputBits < 16) return undefined;
  const granuleBits = Math.log2(granule);
  const startLevel = (granule === GRANULE_4K ? 2 : 3) - bitsNumber(vtcr, 7, 6);
  return shapeFrom(granuleBits, startLevel, inputBits);
}

function shapeFrom(granuleBits: number, startLevel: number, inputBits: number): TableShape | undefined {
  const shift = granuleBits + (3 - startLevel) * (granuleBits - 3);
  const entries = 2 ** Math.max(inputBits - shift, 0);
  return entries > 16 * 2 ** (granuleBits - 3) ? undefined : { granuleBits, startLevel, entries };
}

/** The bit of the address at which the index of a level starts: 39, 30, 21, 12 for levels 0 to 3. */
export function levelShift(level: number): number {
  return PAGE_BITS + (3 - level) * LEVEL_BITS;
}

function undecodedExtensions(el: number, sctlr: bigint, registers: Registers): Undecoded[] {
  const found: Undecoded[] = [];
  const refuse = (why: string, foreign = false): void => {
    found.push({ code: "extension-not-decoded", why, root: undefined, foreign, halves: BOTH_HALVES });
  };
  const tcr2 = registers.get(`TCR2_EL${el}`) ?? 0n;
  if (bit(sctlr, 25)) refuse(`SCTLR_EL${el}.EE = 1: the tables are big-endian`, true);
  if (bit(tcr2, 0)) refuse(`TCR2_EL${el}.PnCH = 1: bit 52 of descriptors is Protected, not Contiguous (FEAT_THE)`);
  if (bit(tcr2, 1)) refuse(`TCR2_EL${el}.PIE = 1: permissions are indirect (FEAT_S1PIE)`);
  if (bit(tcr2, 2) || bit(tcr2, 3))
    refuse(`TCR2_EL${el}.{E0POE, POE} is not 0: permissions have overlays (FEAT_S1POE)`);
  if (bit(tcr2, 4)) refuse(`TCR2_EL${el}.AIE = 1: the memory attribute index has 4 bits (FEAT_AIE)`);
  if (bit(tcr2, 5)) refuse(`TCR2_EL${el}.D128 = 1: descriptors are 128 bits wide (FEAT_D128)`, true);
  return found;
}

/** EL1&0 under a hypervisor: what comes out of stage 1 is an intermediate physical address, also with stage 1 off. */
function behindStage2(registers: Registers): Undecoded[] {
  if (!stage2Enabled(registers)) return [];
  const defaultCacheable = bit(registers.get("HCR_EL2") ?? 0n, 12);
  const why = defaultCacheable
    ? "HCR_EL2.DC = 1: stage 1 is off whatever SCTLR_EL1.M says, and stage 2 is in force"
    : "HCR_EL2.VM = 1: the tables lie at intermediate physical addresses (stage 2)";
  return [{ code: "regime-not-decoded", why, root: undefined, halves: BOTH_HALVES }];
}

/** HCR_EL2.VM, which HCR_EL2.DC implies. */
function stage2Enabled(registers: Registers): boolean {
  const el = currentExceptionLevel(registers);
  const hcr = registers.get("HCR_EL2") ?? 0n;
  const hostOnly = bit(hcr, 34) && bit(hcr, 27);
  return el !== undefined && el <= 2 && (bit(hcr, 0) || bit(hcr, 12)) && !hostOnly;
}

function readStage2(registers: Registers): Regime | undefined {
  if (!stage2Enabled(registers)) return undefined;
  const vttbr = registers.get("VTTBR_EL2");
  return {
    name: "stage2",
    exceptionLevel: 2,
    hasEl0: true,
    enabled: true,
    roots: [],
    mair: 0n,
    wxn: false,
    dirtyState: false,
    outputBits: 48,
    undecoded: [
      {
        code: "regime-not-decoded",
        why: `stage 2 is in force (VTTBR_EL2 = ${vttbr === undefined ? "not offered" : hex(vttbr)})`,
        root: vttbr === undefined ? undefined : phys(vttbr & TABLE_ADDRESS_MASK),
        shape: stage2Shape(registers.get("VTCR_EL2") ?? 0n),
        halves: BOTH_HALVES,
      },
    ],
  };
}

/**
 * Keeps the roots of a regime that is refused as a whole, so that its tables are captured raw. Not behind stage 2, where roots are
 * intermediate physical addresses; and only the root pages where descriptors have another form.
 */
function withRoots(undecoded: readonly Undecoded[], roots: readonly TableRoot[]): readonly Undecoded[] {
  const [first, ...rest] = undecoded;
  if (first === undefined || undecoded.some(({ code }) => code === "regime-not-decoded")) return undecoded;
  if (roots.length === 0) return undecoded;
  const foreign = undecoded.some((each) => each.foreign);
  const kept = roots.map(({ table, inputBits }) => ({
    ...first,
    root: table,
    shape: foreign ? undefined : stage1Shape(GRANULE_4K, inputBits),
  }));
  return [...kept, ...rest];
}

/** TCR_ELx.{HA, HD} (D8.5 "Hardware updates to the translation tables"); RES0 without FEAT_HAFDBS, where they count for nothing. */
function managesDirtyState(tcr: bigint, twoRoots: boolean, registers: Registers): boolean {
  const mmfr1 = registers.get("ID_AA64MMFR1_EL1");
  const implemented = mmfr1 === undefined || bitsNumber(mmfr1, 3, 0) >= 2;
  return implemented && (twoRoots ? bitsNumber(tcr, 40, 39) : bitsNumber(tcr, 22, 21)) === 0b11;
}

/** The addresses a descriptor or TTBR may name end here, as a page number; above is an Address size fault (D8.2, "Address size fault"). */
export function outputEnd(regime: Regime): number {
  return 2 ** (regime.outputBits - PAGE_BITS);
}

function outputBits(tcr: bigint, twoRoots: boolean, registers: Registers): number {
  const field = twoRoots ? bitsNumber(tcr, 34, 32) : bitsNumber(tcr, 18, 16);
  return Math.min(ADDRESS_BITS[field] ?? 48, physicalAddressBits(registers), 48);
}

/** ID_AA64MMFR0_EL1.PARange in bits; 48 when the register is not offered. */
export function physicalAddressBits(registers: Registers): number {
  const mmfr0 = registers.get("ID_AA64MMFR0_EL1");
  return mmfr0 === undefined ? 48 : (ADDRESS_BITS[Number(bits(mmfr0, 3, 0))] ?? 48);
}
