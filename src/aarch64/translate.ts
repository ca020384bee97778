/**
 * Translation of a single virtual address, step by step: what `explain` shows, and how pointers of the guest are followed.
 *
 * Source: Arm ARM DDI 0487, D8.2 "Translation process"; the level in a "translation fault" is as ESR_ELx.ISS would report it.
 */
import { type PhysAddr, phys, type VirtAddr, virt } from "../base/address.ts";
import { bit } from "../base/bits.ts";
import type { ErrorCode } from "../base/error.ts";
import type { MemoryRead, PageSource, PhysMemory, VirtMemory, VirtSpan } from "../base/memory.ts";
import { rootWindow } from "./collect.ts";
import {
  type Attributes,
  descriptorKind,
  flatAttributes,
  INVALID,
  type Inherited,
  inherit,
  leafAttributes,
  leafKey,
  outputPage,
  TABLE,
} from "./descriptor.ts";
import { levelShift, outputEnd, type Regime, type TableRoot } from "./regime.ts";
import { isMissing, pageAddress, TablePages } from "./table-pages.ts";

/** One descriptor on the way down. */
export interface WalkStep {
  readonly level: number;
  /** Physical address of the table. */
  readonly table: PhysAddr;
  /** Index within the table. */
  readonly index: number;
  readonly descriptor: bigint;
  readonly kind: "invalid" | "table" | "block" | "page";
}

export type Translation =
  | { readonly mapped: true; readonly pa: PhysAddr; readonly attributes: Attributes }
  | { readonly mapped: false; readonly why: string; readonly level: number }
  /** It cannot be told: a table on the way is not at hand or not decoded. */
  | { readonly mapped: null; readonly why: ErrorCode };

export interface Walked {
  readonly steps: readonly WalkStep[];
  readonly result: Translation;
}

const KIND_NAMES = ["invalid", "table", "block", "page"] as const;

/** Translates addresses of one regime over the pages that `source` holds. */
export class Translator {
  readonly regime: Regime;
  readonly #tables: TablePages;

  constructor(regime: Regime, source: PageSource) {
    this.regime = regime;
    this.#tables = new TablePages(source);
  }

  translate(va: VirtAddr): Walked {
    const { regime } = this;
    if (!regime.enabled && regime.undecoded.length === 0) return { steps: [], result: this.#flat(va) };
    const root = regime.roots.find((each) => inRange(each, va));
    if (root !== undefined) return this.#walk(root, va);
    const half = bit(va, 55) ? "upper" : "lower";
    const undecoded = regime.undecoded.find(({ halves }) => halves.includes(half));
    if (undecoded !== undefined) return { steps: [], result: { mapped: null, why: undecoded.code } };
    return { steps: [], result: { mapped: false, why: "outside the address range of every TTBR in use", level: 0 } };
  }

  #flat(va: VirtAddr): Translation {
    if (va >> BigInt(this.regime.outputBits) !== 0n) {
      return { mapped: false, why: "translation is off and the address is wider than a physical one", level: 0 };
    }
    return { mapped: true, pa: phys(va), attributes: flatAttributes(this.regime) };
  }

  #walk(root: TableRoot, va: VirtAddr): Walked {
    const steps: WalkStep[] = [];
    const window = rootWindow(root);
    let pageNumber = window.pageNumber;
    let inherited: Inherited = 0;
    const end = outputEnd(this.regime);
    if (pageNumber >= end) return { steps, result: addressSizeFault(0) };
    for (let level = root.startLevel; ; level++) {
      const offset = level === root.startLevel ? window.first : 0;
      const entries = level === root.startLevel ? window.count : 512;
      const index = Number((va >> BigInt(levelShift(level))) & BigInt(entries - 1));
      const words = this.#tables.get(pageNumber);
      if (isMissing(words)) return { steps, result: { mapped: null, why: words.missing } };
      const low = words[2 * (offset + index)] as number;
      const high = words[2 * (offset + index) + 1] as number;
      const kind = descriptorKind(low, level);
      steps.push({
        level,
        table: phys(pageAddress(pageNumber) + BigInt(offset * 8)),
        index,
        descriptor: (BigInt(high) << 32n) | BigInt(low),
        kind: KIND_NAMES[kind],
      });
      if (kind === INVALID)
        return { steps, result: { mapped: false, why: `translation fault, level ${level}`, level } };
      if (outputPage(low, high) >= end) return { steps, result: addressSizeFault(level) };
      if (kind !== TABLE) return { steps, result: this.#leaf(va, low, high, inherited, level) };
      if (root.hierarchical) inherited = inherit(inherited, high);
      pageNumber = outputPage(low, high);
    }
  }

  #leaf(va: VirtAddr, low: number, high: number, inherited: Inherited, level: number): Translation {
    const offsetMask = (1n << BigInt(levelShift(level))) - 1n;
    const output = pageAddress(outputPage(low, high)) & ~offsetMask;
    const attributes = leafAttributes(leafKey(low, high, inherited, level), this.regime);
    return { mapped: true, pa: phys(output | (va & offsetMask)), attributes };
  }
}

/** The address in a TTBR or descriptor is wider than TCR_ELx.{IPS,PS} allows (D8.2, "Address size fault"). */
function addressSizeFault(level: number): Translation {
  return { mapped: false, why: `address size fault, level ${level}`, level };
}

function inRange(root: TableRoot, tagged: VirtAddr): boolean {
  const va = root.topByteIgnored ? withoutTag(tagged) : tagged;
  return va >= root.vaBase && va - root.vaBase < 1n << BigInt(root.inputBits);
}

const TOP_BYTE = 0xffn << 56n;

/** The address with bit 55 in place of its tag (D8.8 "Address tagging"). */
function withoutTag(va: VirtAddr): VirtAddr {
  return virt(((va >> 55n) & 1n) === 1n ? va | TOP_BYTE : va & ~TOP_BYTE);
}

/**
 * Memory by virtual address: translates through `translator`, then reads through `memory`. An address that is not mapped is absent,
 * one whose tables are not at hand is unreadable.
 */
export function translatedMemory(translator: Translator, memory: PhysMemory): VirtMemory {
  return {
    async read(spans) {
      const pieces = spans.map((span) =>
        splitByPage(span).map((piece) => ({ ...piece, ...locate(translator, piece) })),
      );
      const wanted = pieces.flat().flatMap(({ pa, length }) => (pa === undefined ? [] : [{ address: pa, length }]));
      const reads = (await memory.read(wanted)).values();
      return pieces.map((parts) =>
        joinReads(parts.map(({ missing }) => missing ?? (reads.next().value as MemoryRead))),
      );
    },
  };
}

function locate(
  translator: Translator,
  { address }: VirtSpan,
): { pa: PhysAddr; missing?: undefined } | { pa?: undefined; missing: MemoryRead } {
  const { result } = translator.translate(address);
  if (result.mapped === true) return { pa: result.pa };
  if (result.mapped === false) return { missing: { state: "absent", code: "not-mapped" } };
  return { missing: { state: "unreadable", code: result.why } };
}

function splitByPage({ address, length }: VirtSpan): VirtSpan[] {
  const pieces: VirtSpan[] = [];
  for (let done = 0; done < length; ) {
    const at = virt(address + BigInt(done));
    const size = Math.min(length - done, 4096 - Number(at & 0xfffn));
    pieces.push({ address: at, length: size });
    done += size;
  }
  return pieces;
}

/** One read out of its parts: present only when every part is. */
export function joinReads(parts: readonly MemoryRead[]): MemoryRead {
  const missing = parts.find((part) => part.state !== "present");
  if (missing !== undefined) return missing;
  const bytes = parts.map((part) => (part as MemoryRead & { state: "present" }).bytes);
  return { state: "present", bytes: bytes.length === 1 ? (bytes[0] as Uint8Array) : Buffer.concat(bytes) };
}
