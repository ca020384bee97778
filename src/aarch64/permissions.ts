/**
 * What a leaf permits: direct permissions with hierarchical control, permission indirection and overlays (stage 1), S2AP and XN
 * (stage 2).
 *
 * Source: Arm ARM DDI 0487, D8.4 "Memory access control"; pseudocode AArch64.S1DirectBasePermissions, S1IndirectBasePermissions,
 * S1OverlayPermissions, S2DirectBasePermissions. PSTATE.PAN is no property of a mapping and is not applied here.
 */
import type { LeafBits } from "./descriptor.ts";
import type { PermissionRegisters, Stage1Controls, Stage2Controls } from "./regime-model.ts";

/** null: it cannot be told, as a register that decides it is not offered. */
export type Permission = boolean | null;

export interface Access {
  readonly read: Permission;
  readonly write: Permission;
  readonly execute: Permission;
}

/** Privileged accesses, and EL0's where there are any. */
export interface Permissions {
  readonly privileged: Access;
  readonly el0: Access | null;
}

export const ALL: Access = { read: true, write: true, execute: true };
export const NONE: Access = { read: false, write: false, execute: false };
const UNKNOWN: Access = { read: null, write: null, execute: null };

/** Both must permit; an access that one side forbids is forbidden, whatever the other is. */
export function both(a: Permission, b: Permission): Permission {
  if (a === false || b === false) return false;
  return a === null || b === null ? null : true;
}

export function bothAccess(a: Access, b: Access): Access {
  return { read: both(a.read, b.read), write: both(a.write, b.write), execute: both(a.execute, b.execute) };
}

function not(permission: Permission): Permission {
  return permission === null ? null : !permission;
}

/** Base permissions and what is still to be applied to them. */
interface Base {
  readonly access: Access;
  /** Whether an overlay may take permissions away. */
  readonly overlaid: boolean;
  /** Writable and executable, but not to be both in the end. */
  readonly wxn: boolean;
}

/** The permissions of a stage 1 leaf. */
export function stage1Permissions(bits: LeafBits, controls: Stage1Controls): Permissions {
  const base =
    controls.indirect === null
      ? directBase(bits, controls)
      : indirectBase(bits, controls.indirect, controls.dirtyState);
  const index = bits.top >>> 1;
  const privileged = finish(base.privileged, controls.overlays.privileged, index);
  if (base.el0 === null) return { privileged, el0: null };
  return { privileged, el0: finish(base.el0, controls.overlays.unprivileged, index) };
}

/** Applies the overlay, and what is not to be writable and executable at once (D8.4, R_QXXPC: the overlay's execute goes before). */
function finish({ access, overlaid, wxn }: Base, overlay: bigint | null | undefined, index: number): Access {
  if (overlay === null || !overlaid) return wxn ? { ...access, execute: false } : access;
  const permits = overlayAccess(overlay, index);
  const write = wxn ? both(permits.write, not(permits.execute)) : permits.write;
  return bothAccess(access, { ...permits, write });
}

/** AP, PXN, UXN or XN with APTable, PXNTable, UXNTable or XNTable. */
function directBase(bits: LeafBits, controls: Stage1Controls): { privileged: Base; el0: Base | null } {
  const { hasEl0, wxn } = controls;
  const dirtyState = controls.dirtyState && (bits.upper & 0b10) !== 0;
  const write = !((bits.lower & 0x80) !== 0 && !dirtyState) && (bits.inherited & 8) === 0;
  const uxn = (bits.upper & 0b10000) !== 0 || (bits.inherited & 2) !== 0;
  const base = (access: Access): Base => ({
    access,
    overlaid: true,
    wxn: wxn && access.write === true && access.execute === true,
  });
  if (!hasEl0) return { privileged: base({ read: true, write, execute: !uxn }), el0: null };
  const pxn = (bits.upper & 0b01000) !== 0 || (bits.inherited & 1) !== 0;
  const unprivileged = (bits.lower & 0x40) !== 0 && (bits.inherited & 4) === 0;
  const el0Write = unprivileged && write;
  return {
    // What EL0 may write is never executable at a higher level (D8.4.1.2.4, "PXN effective value").
    privileged: base({ read: true, write, execute: !pxn && !el0Write }),
    el0: base({ read: unprivileged, write: el0Write, execute: !uxn }),
  };
}

interface IndirectBase extends Base {
  /** Guarded Control Stack accesses (FEAT_GCS), which count as writes and as privileged code here. */
  readonly gcs: Permission;
}

/** PIIndex: bits 54:53, 51 and 6. nDirty, bit 7: a write faults unless hardware manages the dirty state (D8.5.2). */
function indirectBase(
  bits: LeafBits,
  registers: PermissionRegisters,
  dirtyState: boolean,
): { privileged: Base; el0: Base | null } {
  const index = (((bits.upper >>> 3) & 3) << 2) | (bits.upper & 0b10) | ((bits.lower >>> 6) & 1);
  const clean = (bits.lower & 0x80) !== 0 && !dirtyState;
  const limit = (base: Base, most: Access): Base => ({
    ...base,
    access: bothAccess(base.access, { ...most, write: clean ? false : most.write }),
  });
  const privileged = indirectField(registers.privileged, index);
  if (registers.unprivileged === null) return { privileged: limit(privileged, ALL), el0: null };
  const el0 = indirectField(registers.unprivileged, index);
  const code = either(privileged.access.execute, privileged.gcs);
  const written = either(el0.access.write, el0.gcs);
  return {
    privileged: limit(privileged, unlessClash(code, written, "execute")),
    el0: limit(el0, unlessClash(written, code, "write")),
  };
}

/**
 * What EL0 can write and a higher level can execute is nobody's (D8.4, R_VFPJF). `own` is that access of one side, `other` the one
 * of the other side: where only the other is certain, the own one is impossible and the rest cannot be told.
 */
function unlessClash(own: Permission, other: Permission, access: keyof Access): Access {
  const clash = both(own, other);
  if (clash !== null) return clash ? NONE : ALL;
  return other === true ? { ...UNKNOWN, [access]: false } : UNKNOWN;
}

/** One of them permits; unknown where that cannot be told. */
export function either(a: Permission, b: Permission): Permission {
  return not(both(not(a), not(b)));
}

/** PIR_ELx.Perm<n>: 0b0xxx are subject to overlays, 0b1xxx are not; reserved values permit nothing. */
function indirectField(register: bigint | null | undefined, index: number): IndirectBase {
  if (register === undefined || register === null) return { access: UNKNOWN, overlaid: false, wxn: false, gcs: null };
  const field = Number((register >> BigInt(4 * index)) & 0xfn);
  const letters = ["", "r", "x", "rx", "", "rw", "rwx", "rwx", "r", "r", "rx", "", "rw", "", "rwx", ""][
    field
  ] as string;
  return { access: accessOf(letters), overlaid: field < 8, wxn: field === 0b0110, gcs: field === 0b1001 };
}

/** POR_ELx.Perm<n>: bit 0 read, bit 1 execute, bit 2 write; 0b1xxx are reserved and permit nothing. */
function overlayAccess(register: bigint | undefined, index: number): Access {
  if (register === undefined) return UNKNOWN;
  const field = Number((register >> BigInt(4 * index)) & 0xfn);
  if (field >= 8) return NONE;
  return { read: (field & 1) !== 0, execute: (field & 2) !== 0, write: (field & 4) !== 0 };
}

function accessOf(letters: string): Access {
  return { read: letters.includes("r"), write: letters.includes("w"), execute: letters.includes("x") };
}

/** The permissions of a stage 2 leaf: S2AP at bits 7:6, XN at 54:53 (54 alone without FEAT_XNX). */
export function stage2Permissions(bits: LeafBits, controls: Stage2Controls): Permissions {
  if (controls.indirect) return { privileged: UNKNOWN, el0: UNKNOWN };
  const read = (bits.lower & 0x40) !== 0;
  const dirtyState = controls.dirtyState && (bits.upper & 0b10) !== 0;
  const write = (bits.lower & 0x80) !== 0 || dirtyState;
  const xn = (bits.upper >>> 3) & 3;
  const [privileged, el0] = controls.executeNeverByLevel
    ? [xn === 0b00 || xn === 0b11, xn === 0b00 || xn === 0b01]
    : [(xn & 2) === 0, (xn & 2) === 0];
  return { privileged: { read, write, execute: privileged }, el0: { read, write, execute: el0 } };
}

/** `RO+X`, `RW+NX`, `RWX`: what the access allows, in the words that firmware people use; `R?-`: a `?` cannot be told. */
export function accessText({ read, write, execute }: Access): string {
  if (read === null || write === null || execute === null) {
    return [letter(read, "R"), letter(write, "W"), letter(execute, "X")].join("");
  }
  if (!read && !write && !execute) return "none";
  if (!read) return execute ? "X only" : "W only";
  if (write) return execute ? "RWX" : "RW+NX";
  return execute ? "RO+X" : "RO+NX";
}

function letter(permission: Permission, name: string): string {
  if (permission === null) return "?";
  return permission ? name : "-";
}
