/**
 * Which changes of a valid descriptor ask for break-before-make.
 *
 * Source: Arm ARM DDI 0487, D8.17 "Using break-before-make when updating translation table entries"; ID_AA64MMFR2_EL1.BBM. Told are only those
 * that a descriptor shows by itself: whether the contents of two output addresses are the same, or what an implementation allows beyond the
 * architecture, is not known here. A change of permissions, of AF or of what software keeps in a descriptor asks for none.
 */

import type { Attributes } from "../aarch64/attributes.ts";
import type { MemoryType } from "../aarch64/memory-type.ts";
import { bitsNumber } from "../base/bits.ts";
import type { MappingSide } from "../diff/mappings.ts";
import type { Effect } from "./effect.ts";

/**
 * Why going from what `broke` took away to what `made` put there asks for it; the same effect twice where one write did both. Undefined: it
 * does not, or it cannot be told. `mmfr2`: ID_AA64MMFR2_EL1, undefined when it is not known.
 */
export function asksForBreak(broke: Effect, made: Effect, mmfr2: bigint | undefined): string | undefined {
  if (broke.before === undefined || made.after === undefined) return undefined;
  const [old, now] = [isTable(broke.before, broke.level), isTable(made.after, made.level)];
  if (old !== now) return sizesNeedIt(mmfr2) ? (old ? "a table became a block" : "a block became a table") : undefined;
  if (old) return undefined;
  const [before, after] = [broke.sides()?.before, made.sides()?.after];
  return before && after ? leafAsks(before, after) : undefined;
}

function isTable(descriptor: bigint, level: number | undefined): boolean {
  return level !== 3 && (descriptor & 3n) === 3n;
}

/** BBM [55:52] is 0: the size of what an entry translates must not change while it is valid. */
function sizesNeedIt(mmfr2: bigint | undefined): boolean {
  return mmfr2 !== undefined && bitsNumber(mmfr2, 55, 52) === 0;
}

function leafAsks(before: MappingSide, after: MappingSide): string | undefined {
  const [old, now] = [before.attributes, after.attributes];
  if (before.pa !== after.pa && (isWritable(old) || isWritable(now))) {
    return "the output address changed, and one of the two mappings is writable";
  }
  const [type, next] = [typeWithoutHints(old.memoryType), typeWithoutHints(now.memoryType)];
  if (type === undefined || next === undefined) return undefined;
  if (type !== next) return `the memory type or cacheability changed from ${old.memory} to ${now.memory}`;
  if (old.shareability !== now.shareability) return "the shareability changed";
  return !old.global && now.global ? "a mapping of one ASID became a global one" : undefined;
}

function isWritable({ write, el0 }: Attributes): boolean {
  return write === true || el0?.write === true;
}

/** Without how much is allocated, which is a hint only; undefined when the type is not known. */
function typeWithoutHints(type: MemoryType): string | undefined {
  if (type.kind === "device") return `device ${type.device}`;
  return type.kind === "normal" ? `${type.outer.cacheability} ${type.inner.cacheability}` : undefined;
}
