/**
 * The fault as rules ask about it: which class of exception, and of an abort, what was tried and what went wrong.
 *
 * Source: Arm ARM DDI 0487, D24.2 ESR_EL1: EC 0x20 and 0x21 instruction aborts with IFSC [5:0]; 0x24 and 0x25 data aborts with DFSC [5:0],
 * WnR [6], S1PTW [7] (both), CM [8]: for cache maintenance and address translation instructions WnR is always 1.
 */
import { contextOf } from "../../aarch64/context.ts";
import type { Regime } from "../../aarch64/regime-model.ts";
import { bit, bitsNumber } from "../../base/bits.ts";
import type { PointView } from "../../diff/point-view.ts";
import type { Fault, FaultCode } from "../fault.ts";
import type { Place } from "../place.ts";
import type { Study } from "../study.ts";
import { type PointWalk, walksOf } from "../walks.ts";
import { keyPoints, pointOf, regimeOfCode, viewOf, wordAt } from "./look.ts";
import { UNREAD } from "./rule.ts";

export type AbortKind = "not mapped" | "access flag" | "permission" | "alignment" | "external" | "other";

export interface Abort {
  readonly access: "fetch" | "read" | "write" | "maintenance";
  readonly kind: AbortKind;
  /** In stage 2, on a walk of stage 1's tables. */
  readonly onWalk: boolean;
}

/** A fault whose syndrome and place are known, with the point it was seen at. */
export interface Scene {
  readonly fault: Fault;
  readonly view: PointView;
  readonly esr: bigint;
  /** ESR_ELx.EC */
  readonly ec: number;
  readonly pc: Place;
  readonly far: Place | undefined;
  /** Undefined when it is not an abort. */
  readonly abort: Abort | undefined;
  /** The regime and Exception level of the code that faulted. */
  readonly regime: Regime | undefined;
  readonly codeLevel: number | undefined;
  /** Its stack pointer. */
  readonly sp: bigint | undefined;
  /** The instruction at the pc; undefined where it cannot be read. */
  readonly word: number | undefined;
}

/** Undefined without a fault, and when ESR_ELx or ELR_ELx could not be read: then no cause can be told. */
export function sceneOf(study: Study): Scene | undefined {
  const { fault, capture } = study;
  const point = pointOf(capture, fault?.point);
  if (fault?.esr === undefined || fault.pc === undefined || point === undefined) return undefined;
  const { esr, pc, far } = fault;
  const view = viewOf(study, point, fault.cpu);
  const regime = regimeOfCode(view);
  const { level: codeLevel, sp } = contextOf(view.registers) ?? {};
  const word = wordAt(view, regime, pc.address);
  const ec = bitsNumber(esr, 31, 26);
  return { fault, view, esr, ec, pc, far, abort: abortOf(esr), regime, codeLevel, sp, word };
}

/**
 * How an address translates at the points that rules look at, in the regime that the code executed in: the exception may have been taken to
 * another.
 */
export function walksTo({ capture }: Study, { fault, view, regime }: Scene, { address }: Place): readonly PointWalk[] {
  const other = regime !== undefined && regime.name !== view.currentRegime;
  return walksOf({ ...capture, points: keyPoints(capture) }, address, fault.cpu, other ? regime.name : undefined);
}

export function abortOf(esr: bigint): Abort | undefined {
  const ec = bitsNumber(esr, 31, 26);
  const fetch = ec === 0x20 || ec === 0x21;
  if (!fetch && ec !== 0x24 && ec !== 0x25) return undefined;
  const kind = kindOf(bitsNumber(esr, 5, 0));
  const data = bit(esr, 8) ? "maintenance" : bit(esr, 6) ? "write" : "read";
  return { access: fetch ? "fetch" : data, kind, onWalk: bit(esr, 7) };
}

/** Address size faults (0b0000LL) too are of an address that leads nowhere. */
function kindOf(status: number): AbortKind {
  if (status < 0x08 || [0x29, 0x2a, 0x2b, 0x2c].includes(status)) return "not mapped";
  if (status < 0x0c) return "access flag";
  if (status < 0x10) return "permission";
  if (status === 0x21) return "alignment";
  return status === 0x10 || (status >= 0x12 && status <= 0x17) ? "external" : "other";
}

/** The instruction at the pc as text; its word where it could not be decoded; undefined where it could not be read. */
export function instructionAt(code: readonly FaultCode[], address: bigint): string | undefined {
  const all = code.flatMap(({ listing }) => listing.instructions);
  const found = all.find((each) => each.address === address);
  return found && `${found.mnemonic} ${found.operands}`.trimEnd();
}

/** `the instruction: ldr x0, [x0]` */
export function instructionLine({ fault, pc, word }: Scene): string {
  const text = instructionAt(fault.code, pc.address) ?? (word === undefined ? UNREAD : `.inst 0x${wordText(word)}`);
  return `the instruction there: ${text}`;
}

export function wordText(word: number): string {
  return word.toString(16).padStart(8, "0");
}
