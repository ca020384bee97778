/**
 * Translation of a single virtual address, step by step: what `explain` shows, and how pointers of the guest are followed.
 *
 * Source: Arm ARM DDI 0487, D8.2 "Translation process" (a stage 1 table walk is itself subject to stage 2); the level in a fault is as
 * ESR_ELx.ISS would report it.
 */
import { type PhysAddr, phys, type VirtAddr, virt } from "../base/address.ts";
import { bit } from "../base/bits.ts";
import type { ErrorCode } from "../base/error.ts";
import type { PageSource } from "../base/memory.ts";
import { type Attributes, combineStages, flatAttributes, leafAttributes } from "./attributes.ts";
import {
  blockPage,
  descriptorKind,
  INVALID,
  type Inherited,
  inherit,
  leafKey,
  outputPage,
  TABLE,
} from "./descriptor.ts";
import { faultText, type TranslationFault } from "./fault.ts";
import { entryPages, levelShift, tableEntries } from "./granule.ts";
import type { Regime, TableRoot } from "./regime-model.ts";
import {
  IntermediateTables,
  isWords,
  PhysicalTables,
  pageAddress,
  pageNumberOf,
  type TablePlace,
  type TableReader,
} from "./table-pages.ts";

/** One descriptor on the way down. */
export interface WalkStep {
  readonly stage: 1 | 2;
  readonly level: number;
  /** Physical address of the table. */
  readonly table: PhysAddr;
  /** Its intermediate physical address; undefined where stage 2 is not in between. */
  readonly intermediate: PhysAddr | undefined;
  /** Index within the table. */
  readonly index: number;
  readonly descriptor: bigint;
  readonly kind: "invalid" | "table" | "block" | "page";
  readonly root: TableRoot;
}

export type Translation =
  | { readonly mapped: true; readonly pa: PhysAddr; readonly attributes: Attributes }
  | { readonly mapped: false; readonly why: string; readonly level: number; readonly fault: TranslationFault }
  /** It cannot be told: a table on the way is not at hand or not decoded. */
  | { readonly mapped: null; readonly why: ErrorCode; readonly reason?: string };

export interface Walked {
  readonly steps: readonly WalkStep[];
  /** What stage 1 made of the address, where stage 2 takes it from there. */
  readonly intermediate?: PhysAddr;
  readonly result: Translation;
}

const KIND_NAMES = ["invalid", "table", "block", "page"] as const;

/** Translates addresses of one regime over the pages that `source` holds. */
export class Translator {
  readonly regime: Regime;
  readonly #tables: TableReader;
  readonly #behind: Translator | undefined;

  constructor(regime: Regime, source: PageSource) {
    this.regime = regime;
    this.#tables = tableReader(regime, source);
    this.#behind = regime.behind === undefined ? undefined : new Translator(regime.behind, source);
  }

  /** The whole way: through stage 2 too where the regime is behind it. */
  translate(va: VirtAddr): Walked {
    const first = this.#own(va);
    if (this.#behind === undefined || first.result.mapped !== true) return first;
    const second = this.#behind.translate(virt(first.result.pa));
    const steps = [...first.steps, ...second.steps];
    const intermediate = first.result.pa;
    if (second.result.mapped !== true) return { steps, intermediate, result: second.result };
    const { controls } = this.#behind.regime;
    const attributes =
      controls.stage === 2
        ? combineStages(first.result.attributes, second.result.attributes, controls)
        : first.result.attributes;
    return { steps, intermediate, result: { mapped: true, pa: second.result.pa, attributes } };
  }

  #own(va: VirtAddr): Walked {
    const { regime } = this;
    if (!regime.enabled && regime.undecoded.length === 0) return { steps: [], result: this.#flat(va) };
    const root = regime.roots.find((each) => inRange(each, va));
    if (root !== undefined) return this.#walk(root, va);
    const half = bit(va, 55) ? "upper" : "lower";
    const undecoded = regime.undecoded.find(({ halves }) => halves.includes(half));
    if (undecoded !== undefined) {
      return { steps: [], result: { mapped: null, why: undecoded.code, reason: undecoded.why } };
    }
    return { steps: [], result: this.#fault("translation", 0, this.#outside()) };
  }

  /** Why an address is in no root. */
  #outside(): string {
    if (this.regime.controls.stage === 1) return "outside the address range of every TTBR in use";
    const why =
      this.regime.roots.length === 0
        ? "VTCR_EL2.SL0 and T0SZ do not go together"
        : "the address is wider than VTCR_EL2.T0SZ allows";
    return `stage 2 translation fault, level 0: ${why}`;
  }

  #flat(tagged: VirtAddr): Translation {
    const { topByteIgnored } = this.regime;
    const ignored = bit(tagged, 55) ? topByteIgnored.upper : topByteIgnored.lower;
    const va = withoutTag(tagged, ignored ? TOP_BYTE : 0n);
    if (va >> BigInt(this.regime.physicalBits) !== 0n) {
      return this.#fault("address size", 0, "translation is off and the address is wider than a physical one");
    }
    return { mapped: true, pa: phys(va), attributes: flatAttributes(this.regime) };
  }

  #fault(kind: TranslationFault["kind"], level: number, why?: string): Translation {
    const fault = { stage: this.regime.controls.stage, onWalk: false, kind, level };
    return { mapped: false, why: why ?? faultText(fault), level, fault };
  }

  #walk(root: TableRoot, va: VirtAddr): Walked {
    const steps: WalkStep[] = [];
    const { format } = root;
    const end = outputEnd(root);
    let table = root.table;
    let entries = root.entries;
    let inherited: Inherited = 0;
    if (pageNumberOf(table) >= end) return { steps, result: this.#fault("address size", 0) };
    for (let level = root.startLevel; ; level++) {
      const index = Number((va >> BigInt(levelShift(format.granuleBits, level))) & BigInt(entries - 1));
      const at = phys(table + BigInt(index * 8));
      const words = this.#tables.get(pageNumberOf(at));
      if ("missing" in words) return { steps, result: { mapped: null, why: words.missing } };
      if (!isWords(words)) return { steps, result: faulting(words.fault) };
      const word = Number(at & 0xfffn) / 4;
      const low = words[word] as number;
      const high = words[word + 1] as number;
      const kind = descriptorKind(low, level, format);
      const descriptor = (BigInt(high) << 32n) | BigInt(low);
      const { stage } = this.regime.controls;
      steps.push({ stage, level, ...this.#place(table, at), index, descriptor, kind: KIND_NAMES[kind], root });
      if (kind === INVALID) return { steps, result: this.#fault("translation", level) };
      const pages = entryPages(format.granuleBits, level);
      const output = kind === TABLE ? outputPage(low, high, format) : blockPage(low, high, format, pages);
      if (output >= end) return { steps, result: this.#fault("address size", level) };
      if (kind !== TABLE) {
        const key = leafKey(low, high, inherited, level, format);
        return { steps, result: this.#leaf(va, output, levelShift(format.granuleBits, level), key, root) };
      }
      if (root.hierarchical) inherited = inherit(inherited, high);
      table = pageAddress(output);
      entries = tableEntries(format.granuleBits);
    }
  }

  /** Where a table lies; the entry at `at` was read, so its page is somewhere. */
  #place(table: PhysAddr, at: PhysAddr): { table: PhysAddr; intermediate: PhysAddr | undefined } {
    if (this.#behind === undefined) return { table, intermediate: undefined };
    const place = this.#tables.locate(pageNumberOf(at));
    const page = "page" in place ? place.page : pageNumberOf(at);
    // The start of a table of several pages, as if they lay in a row behind stage 2 too.
    return { table: phys(pageAddress(page) + (at & 0xfffn) - (at - table)), intermediate: table };
  }

  #leaf(va: VirtAddr, output: number, shift: number, key: number, root: TableRoot): Translation {
    const offsetMask = (1n << BigInt(shift)) - 1n;
    const pa = pageAddress(output) | (va & offsetMask);
    return { mapped: true, pa: phys(pa), attributes: leafAttributes(key, root, this.regime) };
  }
}

function faulting(fault: TranslationFault): Translation {
  return { mapped: false, why: faultText(fault), level: fault.level, fault };
}

/** The addresses a descriptor or TTBR may name end here, as a page number; above is an Address size fault. */
export function outputEnd(root: TableRoot): number {
  return 2 ** (root.outputBits - 12);
}

function inRange(root: TableRoot, tagged: VirtAddr): boolean {
  const va = withoutTag(tagged, root.topByteIgnored ? TOP_BYTE : root.memoryTagIgnored ? MEMORY_TAG : 0n);
  return va >= root.vaBase && va - root.vaBase < 1n << BigInt(root.inputBits);
}

const TOP_BYTE = 0xffn << 56n;
/** The Logical Address Tag (FEAT_MTE). */
const MEMORY_TAG = 0xfn << 56n;

/** The address with bit 55 in place of the bits of its tag (D8.8 "Address tagging"). */
function withoutTag(va: VirtAddr, tag: bigint): VirtAddr {
  return virt(((va >> 55n) & 1n) === 1n ? va | tag : va & ~tag);
}

/** What a regime's tables are read through: physical memory, or stage 2 where the regime is behind it. */
export function tableReader(regime: Regime, source: PageSource): TableReader {
  const tables = new PhysicalTables(source, regime.bigEndian);
  return regime.behind === undefined ? tables : new IntermediateTables(tables, tableLocator(regime.behind, source));
}

/** Finds the physical page of a stage 1 table by its intermediate one. */
export function tableLocator(stage2: Regime, source: PageSource): (pageNumber: number) => TablePlace {
  const translator = new Translator(stage2, source);
  return (pageNumber) => locate(translator, pageNumber);
}

function locate(translator: Translator, pageNumber: number): TablePlace {
  const { result } = translator.translate(virt(pageAddress(pageNumber)));
  if (result.mapped === null) return { missing: result.why };
  if (!result.mapped) return { fault: { ...result.fault, onWalk: true } };
  const { attributes } = result;
  const refuse = (kind: "access flag" | "permission"): TablePlace => ({
    fault: { stage: 2, onWalk: true, kind, level: attributes.level ?? 0 },
  });
  const { controls } = translator.regime;
  if (controls.stage === 2) {
    if (!attributes.accessFlag && !controls.setsAccessFlag) return refuse("access flag");
    if (controls.protectedWalk && attributes.memoryType.kind === "device") return refuse("permission");
  }
  if (attributes.read === false) return refuse("permission");
  return { page: pageNumberOf(result.pa) };
}
