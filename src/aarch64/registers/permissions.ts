/**
 * Permission indirection and overlays: PIR_ELx, PIRE0_ELx, POR_ELx, S2PIR_EL2, S2POR_EL1.
 *
 * Source: Arm ARM DDI 0487, D24.2, the register of that name. Each register is sixteen fields Perm<m> of four bits; a
 * descriptor chooses one by its PIIndex (base permissions) or POIndex (overlay). A base permission says whether the
 * overlay narrows it. In the words for S2PIR_EL2, which are Arm's, MRO is mostly read-only, TL0 and TL1 are TopLevel0
 * and TopLevel1 (FEAT_THE), and u and p are EL0 and EL1. Perm8 to Perm15 of an overlay are for FEAT_D128.
 */
import { bits, described, once, type RegisterDescription, type RegisterField } from "./types.ts";

const BASE = {
  "0b0000": "no access; overlay applies",
  "0b0001": "read; overlay applies",
  "0b0010": "execute; overlay applies",
  "0b0011": "read, execute; overlay applies",
  "0b0100": "reserved: no access; overlay applies",
  "0b0101": "read, write; overlay applies",
  "0b0110": "read, write, execute, WXN applies; overlay applies",
  "0b0111": "read, write, execute; overlay applies",
  "0b1000": "read",
  "0b1001": "read, GCS read and write",
  "0b1010": "read, execute",
  "0b1011": "reserved: no access",
  "0b1100": "read, write",
  "0b1101": "reserved: no access",
  "0b1110": "read, write, execute",
  "0b1111": "reserved: no access",
} as const;

const OVERLAY = {
  "0b0000": "no access",
  "0b0001": "read",
  "0b0010": "execute",
  "0b0011": "read, execute",
  "0b0100": "write",
  "0b0101": "read, write",
  "0b0110": "write, execute",
  "0b0111": "read, write, execute",
} as const;

const STAGE_2_BASE = {
  "0b0000": "no access",
  "0b0001": "reserved: no access",
  "0b0010": "MRO",
  "0b0011": "MRO-TL1",
  "0b0100": "WO",
  "0b0101": "reserved: no access",
  "0b0110": "MRO-TL0",
  "0b0111": "MRO-TL01",
  "0b1000": "RO",
  "0b1001": "RO+uX",
  "0b1010": "RO+pX",
  "0b1011": "RO+puX",
  "0b1100": "RW",
  "0b1101": "RW+uX",
  "0b1110": "RW+pX",
  "0b1111": "RW+puX",
} as const;

function permissions(meaning: string, values?: Readonly<Record<string, string>>): readonly RegisterField[] {
  const fields: RegisterField[] = [];
  for (let index = 15; index >= 0; index -= 1) {
    fields.push(bits(4 * index + 3, 4 * index, `Perm${index}`, `${meaning} ${index}`, values));
  }
  return fields;
}

const BASE_FIELDS = once(() => permissions("Base permissions for PIIndex", BASE));
const OVERLAY_FIELDS = once(() => permissions("Overlay permissions for POIndex", OVERLAY));
const STAGE_2_BASE_FIELDS = once(() => permissions("Stage 2 base permissions for PIIndex", STAGE_2_BASE));
const STAGE_2_OVERLAY_FIELDS = once(() => permissions("Stage 2 overlay permissions for POIndex"));

const TABLES: readonly (readonly [names: string, title: string, fields: () => readonly RegisterField[]])[] = [
  ["PIR_EL1 PIR_EL2 PIR_EL3", "Permission Indirection Register 1", BASE_FIELDS],
  ["PIRE0_EL1 PIRE0_EL2", "Permission Indirection Register 0", BASE_FIELDS],
  ["POR_EL0 POR_EL1 POR_EL2 POR_EL3", "Permission Overlay Register", OVERLAY_FIELDS],
  ["S2PIR_EL2", "Stage 2 Permission Indirection Register", STAGE_2_BASE_FIELDS],
  ["S2POR_EL1", "Stage 2 Permission Overlay Register", STAGE_2_OVERLAY_FIELDS],
];

/** PIR*, POR*, S2PIR_EL2, S2POR_EL1. Source: Arm ARM DDI 0487, D24.2. */
export const PERMISSION_REGISTERS: readonly RegisterDescription[] = TABLES.flatMap(([names, title, fields]) =>
  names.split(" ").map((name) => described("D24.2", name, `${title} (${name.slice(-3)})`, fields)),
);
