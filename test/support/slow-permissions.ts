/**
 * Permissions as letters: `rwx`, `-` for what is not permitted, `?` for what a register that is not there decides.
 *
 * Source: Arm ARM DDI 0487, D8.4 "Memory access control" (tables D8-65 to D8-78; shared pseudocode
 * AArch64.S1DirectBasePermissions, AArch64.S1IndirectBasePermissions, AArch64.S1OverlayPermissions, AArch64.S1ComputePermissions,
 * AArch64.S1CheckPermissions, AArch64.S2DirectBasePermissions), D8.5.2 "The dirty state" (R_PPGMC).
 *
 * PSTATE.PAN is not part of the letters. A register that is not there can hold anything: the letters are those that all its values
 * agree on.
 */
import { bits, isSet } from "./slow-bits.ts";

/** Base permissions of one privilege, with what an overlay needs to know. */
interface Base {
  readonly read: boolean;
  readonly write: boolean;
  readonly execute: boolean;
  /** PrivWXN, UnprivWXN: not writable and executable at once. */
  readonly wxn: boolean;
  readonly overlay: boolean;
  readonly gcs: boolean;
}

interface Bases {
  readonly privileged: Base;
  readonly unprivileged: Base;
}

export interface Stage1Access {
  readonly hasUnprivileged: boolean;
  readonly descriptor: bigint;
  /** Of the tables on the way; empty where hierarchical permissions are disabled. */
  readonly tables: readonly bigint[];
  /** Hardware manages the dirty state. */
  readonly dirtyState: boolean;
  readonly wxn: boolean;
  readonly indirect: boolean;
  readonly privilegedOverlay: boolean;
  readonly unprivilegedOverlay: boolean;
  /** undefined: not there. */
  readonly pir: bigint | undefined;
  readonly pire0: bigint | undefined;
  readonly por: bigint | undefined;
  readonly porEl0: bigint | undefined;
}

export interface Letters {
  readonly privileged: string;
  readonly unprivileged: string;
}

export function stage1Letters(access: Stage1Access): Letters {
  const privileged = new Set<string>();
  const unprivileged = new Set<string>();
  for (const { privileged: p, unprivileged: u } of possibleBases(access)) {
    for (const por of overlays(access, access.privilegedOverlay, access.por)) privileged.add(apply(access, p, por));
    for (const por of overlays(access, access.unprivilegedOverlay, access.porEl0))
      unprivileged.add(apply(access, u, por));
  }
  return { privileged: common(privileged), unprivileged: common(unprivileged) };
}

/** The letters that all agree on. */
function common(possible: ReadonlySet<string>): string {
  const all = [...possible];
  return [0, 1, 2].map((i) => (all.every((each) => each[i] === all[0]?.[i]) ? all[0]?.[i] : "?")).join("");
}

/** The 4-bit field of a permission register, or all its values where the register is not there. */
function fields(register: bigint | undefined, index: bigint): number[] {
  if (register === undefined) return Array.from({ length: 16 }, (_, i) => i);
  return [Number(bits(register, Number(index) * 4 + 3, Number(index) * 4))];
}

function possibleBases(access: Stage1Access): Bases[] {
  if (!access.indirect) return [directBases(access)];
  const { descriptor, hasUnprivileged, pir, pire0 } = access;
  // PIIndex: bits 54, 53, 51, 6.
  const index = (bits(descriptor, 54, 53) << 2n) | (bits(descriptor, 51, 51) << 1n) | bits(descriptor, 6, 6);
  const unprivileged = hasUnprivileged ? fields(pire0, index) : [0];
  return fields(pir, index).flatMap((p) => unprivileged.map((u) => indirectBases(hasUnprivileged, p, u)));
}

/** undefined: no overlay. */
function overlays({ descriptor }: Stage1Access, enabled: boolean, por: bigint | undefined): (number | undefined)[] {
  return enabled ? fields(por, bits(descriptor, 62, 60)) : [undefined];
}

function apply({ indirect, dirtyState, descriptor }: Stage1Access, base: Base, por: number | undefined): string {
  let { read, write, execute } = base;
  if (por !== undefined && base.overlay) {
    // 0b1xxx is reserved, treated as 0b0000.
    const overlay = por < 8 ? por : 0;
    const overlayExecute = (overlay & 0b010) !== 0;
    read &&= (overlay & 0b001) !== 0;
    write &&= (overlay & 0b100) !== 0 && !(base.wxn && overlayExecute);
    execute &&= overlayExecute;
  } else if (base.wxn) {
    execute = false;
  }
  // nDirty with dirty state managed by software: a write is a Permission fault.
  if (indirect && isSet(descriptor, 7) && !dirtyState) write = false;
  return letters(read, write, execute);
}

function directBases(access: Stage1Access): Bases {
  return access.hasUnprivileged ? directTwoPrivileges(access) : directOnePrivilege(access);
}

/** AP[2:1], UXN, PXN, and APTable, UXNTable, PXNTable. */
function directTwoPrivileges({ descriptor, tables, dirtyState, wxn }: Stage1Access): Bases {
  const anyTable = (position: number): boolean => tables.some((table) => isSet(table, position));
  // DBM with hardware management of the dirty state: AP[2] counts as 0.
  const readOnly = (isSet(descriptor, 7) && !(dirtyState && isSet(descriptor, 51))) || anyTable(62);
  const el0 = isSet(descriptor, 6) && !anyTable(61);
  const unprivilegedWrite = el0 && !readOnly;
  // What EL0 can write is never privileged executable.
  const privilegedExecute = !isSet(descriptor, 53) && !anyTable(59) && !unprivilegedWrite;
  const unprivilegedExecute = !isSet(descriptor, 54) && !anyTable(60);
  return {
    privileged: directBase(true, !readOnly, privilegedExecute, wxn),
    unprivileged: directBase(el0, unprivilegedWrite, unprivilegedExecute, wxn),
  };
}

/** AP[2], XN, and APTable[1], XNTable. */
function directOnePrivilege({ descriptor, tables, dirtyState, wxn }: Stage1Access): Bases {
  const anyTable = (position: number): boolean => tables.some((table) => isSet(table, position));
  const readOnly = (isSet(descriptor, 7) && !(dirtyState && isSet(descriptor, 51))) || anyTable(62);
  const execute = !isSet(descriptor, 54) && !anyTable(60);
  return { privileged: directBase(true, !readOnly, execute, wxn), unprivileged: NOTHING };
}

function directBase(read: boolean, write: boolean, execute: boolean, wxn: boolean): Base {
  return { read, write, execute, wxn: wxn && write && execute, overlay: true, gcs: false };
}

const NOTHING: Base = { read: false, write: false, execute: false, wxn: false, overlay: true, gcs: false };

/** Tables D8-68, D8-69: g is GCS, * marks what WXN guards; without an entry: reserved, no access. */
const INDIRECT: Readonly<Record<number, string>> = {
  1: "r",
  2: "x",
  3: "rx",
  5: "rw",
  6: "rwx*",
  7: "rwx",
  8: "r",
  9: "rg",
  10: "rx",
  12: "rw",
  14: "rwx",
};

function indirectBase(field: number): Base {
  const has = (letter: string): boolean => (INDIRECT[field] ?? "").includes(letter);
  return {
    read: has("r"),
    write: has("w"),
    execute: has("x"),
    wxn: has("*"),
    overlay: field < 8,
    gcs: has("g"),
  };
}

/** R_VFPJF: all is removed where EL0 can write what is privileged executable (or a privileged GCS). */
function indirectBases(hasUnprivileged: boolean, p: number, u: number): Bases {
  const bases = { privileged: indirectBase(p), unprivileged: indirectBase(u) };
  const { privileged, unprivileged } = bases;
  const unsafe = (privileged.execute || privileged.gcs) && (unprivileged.write || unprivileged.gcs);
  return hasUnprivileged && unsafe ? { privileged: NOTHING, unprivileged: NOTHING } : bases;
}

export interface Stage2Access {
  readonly descriptor: bigint;
  readonly dirtyState: boolean;
  /** FEAT_XNX: XN[1:0] are bits 54 and 53; otherwise only bit 54. */
  readonly xnx: boolean;
  /** VTCR_EL2.S2PIE. */
  readonly indirect: boolean;
}

export function stage2Letters({ descriptor, dirtyState, xnx, indirect }: Stage2Access): Letters {
  if (indirect) return { privileged: "???", unprivileged: "???" };
  const read = isSet(descriptor, 6);
  const write = isSet(descriptor, 7) || (dirtyState && isSet(descriptor, 51));
  const xn = Number(bits(descriptor, 54, 54)) * 2 + (xnx ? Number(bits(descriptor, 53, 53)) : 0);
  return {
    privileged: letters(read, write, xn === 0b00 || xn === 0b11),
    unprivileged: letters(read, write, xn === 0b00 || xn === 0b01),
  };
}

function letters(read: boolean, write: boolean, execute: boolean): string {
  return `${read ? "r" : "-"}${write ? "w" : "-"}${execute ? "x" : "-"}`;
}

/** What both stages permit. */
export function bothLetters(a: string, b: string): string {
  return [...a].map((letter, i) => (letter === "-" || b[i] === "-" ? "-" : letter === "?" ? "?" : b[i])).join("");
}
