/**
 * TLBI instructions by their encodings.
 *
 * Source: Arm ARM DDI 0487, C5.5 and the table of TLB maintenance instructions in C5.1.3: op0 1, CRn 8, or 9 for the nXS forms. op1 is the level: 0 EL1,
 * 4 EL2, 6 EL3. Of CRm, 1 and 5 are Outer Shareable, 2 and 3 Inner Shareable, 6 and 7 of the PE alone; 2, 5 and 6 are ranges; those of
 * stage 2 have 0 and 4. In op2, bit 0 is by address, bit 1 of all ASIDs, bit 2 the last level.
 */
import type { SystemEncoding } from "./registers/encodings.ts";

export interface TlbiOperation {
  /** `both-stages`: stage 1 and 2 of EL1&0. */
  readonly target: "EL1" | "EL2" | "EL3" | "stage2" | "both-stages";
  readonly kind: "all" | "asid" | "va" | "ipa" | "range";
  /** Whether it takes an ASID where the regime has them. */
  readonly asid: boolean;
  readonly lastLevel: boolean;
  readonly broadcast: "none" | "inner" | "outer";
  /** The lowest Exception level that may execute it. */
  readonly leastLevel: 1 | 2 | 3;
}

/** Undefined when it is no TLBI, or none of the translation regimes. */
export function tlbiOperation({ op0, op1, crn, crm, op2 }: SystemEncoding): TlbiOperation | undefined {
  if (op0 !== 1 || (crn !== 8 && crn !== 9)) return undefined;
  const own = OWN[op1];
  if (own === undefined) return undefined;
  if (op1 === 4 && (crm === 0 || crm === 4)) return stage2Operation(crm, op2);
  const broadcast = BROADCAST[crm];
  const form = (op2 & 1) === 1 ? addressForm(op1, crm, op2) : wholeForm(op1, crm, op2);
  return broadcast === undefined || form === undefined ? undefined : { ...own, ...form, broadcast };
}

const OWN: Readonly<Record<number, Pick<TlbiOperation, "target" | "leastLevel">>> = {
  0: { target: "EL1", leastLevel: 1 },
  4: { target: "EL2", leastLevel: 2 },
  6: { target: "EL3", leastLevel: 3 },
};

const BROADCAST: Readonly<Record<number, TlbiOperation["broadcast"]>> = {
  1: "outer",
  2: "inner",
  3: "inner",
  5: "outer",
  6: "none",
  7: "none",
};

type Form = Pick<TlbiOperation, "kind" | "asid" | "lastLevel"> & { readonly target?: "both-stages" };

function isRange(crm: number): boolean {
  return crm === 2 || crm === 5 || crm === 6;
}

/** VAE1, VAAE1, VALE1, VAALE1, VAE2 … and their ranges. */
function addressForm(op1: number, crm: number, op2: number): Form | undefined {
  const anyAsid = (op2 & 2) !== 0;
  if (anyAsid && op1 !== 0) return undefined;
  return { kind: isRange(crm) ? "range" : "va", asid: !anyAsid, lastLevel: (op2 & 4) !== 0 };
}

const ALL: Form = { kind: "all", asid: false, lastLevel: false };

/** VMALLE1, ASIDE1; ALLE2, ALLE1, VMALLS12E1; ALLE3. */
function wholeForm(op1: number, crm: number, op2: number): Form | undefined {
  if (isRange(crm)) return undefined;
  if (op2 === 0) return ALL;
  if (op1 === 0 && op2 === 2) return { ...ALL, kind: "asid", asid: true };
  return op1 === 4 && (op2 === 4 || op2 === 6) ? { ...ALL, target: "both-stages" } : undefined;
}

/** IPAS2E1 and RIPAS2E1: with CRm 0 Inner Shareable, op2<1:0> 1 and 2; with CRm 4 as the list says. */
const STAGE2_FORMS = [
  { kind: "ipa", broadcast: "outer" },
  { kind: "ipa", broadcast: "none" },
  { kind: "range", broadcast: "none" },
  { kind: "range", broadcast: "outer" },
] as const;

function stage2Operation(crm: number, op2: number): TlbiOperation | undefined {
  const form = STAGE2_FORMS[op2 & 3];
  if (form === undefined || (crm === 0 && form.broadcast === "outer")) return undefined;
  const broadcast = crm === 0 ? "inner" : form.broadcast;
  return { target: "stage2", leastLevel: 2, asid: false, lastLevel: (op2 & 4) !== 0, kind: form.kind, broadcast };
}
