/**
 * The bits of a descriptor in words: what `explain` prints beside each step of a walk.
 *
 * Source: Arm ARM DDI 0487, D8.3 "Translation table descriptor formats" (fields of table, block and page descriptors, stage 1 and
 * stage 2), D8.4 "Memory access control", D8.6 "Memory region attributes".
 */
import { bits } from "../base/bits.ts";
import { stage1Type } from "./attributes.ts";
import { memoryWords, stage2MemoryType } from "./memory-type.ts";
import type { Stage1Controls, Stage2Controls, TableRoot } from "./regime-model.ts";

/** A field of a descriptor, named as the Arm ARM names it. */
export interface DescriptorField {
  readonly name: string;
  readonly high: number;
  readonly low: number;
  readonly value: number;
  /** Such as `read-only`; empty where the value speaks for itself. */
  readonly meaning: string;
}

type Words = readonly string[] | ((value: number) => string);
/** Name, high, low, words by value. */
type FieldRow = readonly [name: string, high: number, low: number, words: Words];

const NO_EFFECT = ["", "Secure only: no effect on others"] as const;
const AP = ["read/write", "read/write, EL0 too", "read-only", "read-only, EL0 too"] as const;
const AP_SINGLE = ["read/write", "read/write", "read-only", "read-only"] as const;
const SH = ["Non-shareable", "reserved", "Outer Shareable", "Inner Shareable"] as const;
const AF = ["not accessed: the first access faults, unless hardware sets it", "accessed"] as const;
const NG = ["global", "of one ASID"] as const;
const GP = ["", "guarded: branches land on a BTI"] as const;
const DBM = ["", "dirty state is managed by hardware, if enabled"] as const;
const CONTIGUOUS = ["", "one of a run that a TLB may hold as one"] as const;
const PXN = ["", "not executable at the higher level"] as const;
const UXN = ["", "not executable at EL0"] as const;
const XN = ["", "not executable"] as const;
const NT = ["", "may be kept out of TLBs (FEAT_BBM)"] as const;
const AP_TABLE = ["", "no access from EL0 below", "no write below", "no write, and no access from EL0 below"] as const;
const AP_TABLE_SINGLE = ["", "", "no write below", "no write below"] as const;
const S2AP = ["no access", "read-only", "write-only", "read/write"] as const;
const S2XN = ["", "not executable at EL1", "not executable", "not executable at EL0"] as const;
const S2XN_SINGLE = ["", "", "not executable", "not executable"] as const;
const FNXS = ["", "the XS attribute is 0"] as const;

/** The fields of a descriptor that is no invalid one, from the highest bit to the lowest; those of no effect here are told so. */
export function describeDescriptor(
  descriptor: bigint,
  kind: "table" | "block" | "page",
  root: TableRoot,
  controls: Stage1Controls | Stage2Controls,
): readonly DescriptorField[] {
  return rowsFor(kind, root, controls).map(([name, high, low, words]) => {
    const value = Number(bits(descriptor, high, low));
    const meaning = typeof words === "function" ? words(value) : (words[value] ?? "");
    return { name, high, low, value, meaning };
  });
}

function rowsFor(
  kind: "table" | "block" | "page",
  root: TableRoot,
  controls: Stage1Controls | Stage2Controls,
): readonly FieldRow[] {
  if (controls.stage === 2) return kind === "table" ? [] : stage2Leaf(kind, root, controls);
  return kind === "table" ? stage1Table(root, controls) : stage1Leaf(kind, root, controls);
}

function stage1Table(root: TableRoot, controls: Stage1Controls): readonly FieldRow[] {
  const effective = root.hierarchical;
  const words = (these: readonly string[]): Words =>
    effective ? these : (value) => (value === 0 ? "" : "ignored: hierarchical permissions are disabled");
  return [
    ["NSTable", 63, 63, NO_EFFECT],
    ["APTable", 62, 61, words(controls.hasEl0 ? AP_TABLE : AP_TABLE_SINGLE)],
    controls.hasEl0
      ? ["UXNTable", 60, 60, words(["", "not executable at EL0 below"])]
      : ["XNTable", 60, 60, words(["", "not executable below"])],
    ["PXNTable", 59, 59, controls.hasEl0 ? words(["", "not executable at the higher level below"]) : ["", "ignored"]],
  ];
}

function stage1Leaf(kind: "block" | "page", root: TableRoot, controls: Stage1Controls): readonly FieldRow[] {
  const index = (value: number): string => memoryWords(stage1Type(value, controls));
  const rows: FieldRow[] = [];
  if (controls.overlays.privileged !== null || controls.overlays.unprivileged !== null) {
    rows.push(["POIndex", 62, 60, (value) => `overlay ${value} of POR`]);
  }
  if (controls.mair2 !== null) rows.push(["AttrIndx[3]", 59, 59, ["MAIR", "MAIR2"]]);
  if (controls.indirect === null) {
    rows.push(controls.hasEl0 ? ["UXN", 54, 54, UXN] : ["XN", 54, 54, XN]);
    if (controls.hasEl0) rows.push(["PXN", 53, 53, PXN]);
  } else {
    rows.push(["PIIndex[3:2]", 54, 53, () => "index into PIR"]);
  }
  rows.push(controls.protectedBit ? ["Protected", 52, 52, []] : ["Contiguous", 52, 52, CONTIGUOUS]);
  rows.push(controls.indirect === null ? ["DBM", 51, 51, DBM] : ["PIIndex[1]", 51, 51, []]);
  rows.push(["GP", 50, 50, GP]);
  if (kind === "block") rows.push(["nT", 16, 16, NT]);
  if (controls.hasEl0) rows.push(["nG", 11, 11, NG]);
  rows.push(["AF", 10, 10, AF]);
  if (root.shareability === undefined) rows.push(["SH", 9, 8, SH]);
  if (controls.indirect === null) rows.push(["AP", 7, 6, controls.hasEl0 ? AP : AP_SINGLE]);
  else rows.push(["nDirty", 7, 7, []], ["PIIndex[0]", 6, 6, []]);
  rows.push(["NS", 5, 5, NO_EFFECT], ["AttrIndx", 4, 2, index]);
  return rows;
}

function stage2Leaf(kind: "block" | "page", root: TableRoot, controls: Stage2Controls): readonly FieldRow[] {
  const rows: FieldRow[] = [];
  rows.push(
    controls.executeNeverByLevel ? ["XN", 54, 53, S2XN] : ["XN", 54, 53, S2XN_SINGLE],
    ["Contiguous", 52, 52, CONTIGUOUS],
    ["DBM", 51, 51, DBM],
  );
  if (kind === "block") rows.push(["nT", 16, 16, NT]);
  rows.push(["FnXS", 11, 11, FNXS], ["AF", 10, 10, AF]);
  if (root.shareability === undefined) rows.push(["SH", 9, 8, SH]);
  rows.push(
    ["S2AP", 7, 6, controls.indirect ? [] : S2AP],
    ["MemAttr", 5, 2, (value) => memoryWords(stage2MemoryType(value, controls.forcedWriteBack))],
  );
  return rows;
}
