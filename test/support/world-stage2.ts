/** Stage 2 in a random machine: its registers, and a hypervisor that maps the IPAs that stage 1 needs. */
import type { FakeMemory } from "./fake-memory.ts";
import type { Random } from "./random.ts";
import { bits, swapBytes } from "./slow-bits.ts";
import { blockSupported, lowestBit } from "./slow-walk.ts";
import { fields, type Stage2Layout } from "./world-plan.ts";
import type { Registers } from "./world-registers.ts";
import { addressFields, attributeMask, rootBits, type Style, ttbrFields } from "./world-tables.ts";

export interface Stage2Plan {
  readonly layout: Stage2Layout;
  readonly ps: number;
  readonly dsBit: boolean;
  readonly root: bigint;
  readonly fwb: boolean;
  /** Together with stage 1: nothing that makes a word reserved, hardly anything that cannot be told. */
  readonly certain: boolean;
}

const TG0 = { 12: 0, 16: 1, 14: 2 } as const;

function flag(random: Random, probability: number, position: number): bigint {
  return random.chance(probability) ? 1n << BigInt(position) : 0n;
}

export function setStage2Registers(random: Random, registers: Registers, plan: Stage2Plan): void {
  const { layout, ps, dsBit, root, certain } = plan;
  const sh = random.pick(certain ? [0, 2, 3] : [0, 1, 2, 3]);
  const start = fields([layout.sl & 3, 6], [layout.sl >> 2, 33], [Number(dsBit), 32]);
  const size = fields([64 - layout.inputBits, 0], [sh, 12], [TG0[layout.granuleBits], 14], [ps, 16]);
  const indirect = random.chance(0.05) ? (1n << 36n) | flag(random, 0.5, 37) : 0n;
  registers.set("VTCR_EL2", start | size | flag(random, 0.4, 21) | flag(random, 0.5, 22) | indirect);
  registers.set("VTTBR_EL2", (BigInt(random.below(256)) << 48n) | ttbrFields(layout, root) | BigInt(random.below(2)));
  registers.set("SCTLR_EL2", flag(random, 0.5, 0) | flag(random, 0.5, 2) | flag(random, 0.2, 25));
}

/** HCR_EL2 of a guest: VM or DC, and what changes how the stages meet. */
export function guestHcr(random: Random, fwb: boolean): bigint {
  const on = random.chance(0.85) ? 1n : 1n << 12n;
  const both = flag(random, 0.05, 12);
  const host = random.chance(0.03)
    ? (1n << 27n) | (1n << 34n)
    : random.chance(0.04)
      ? 1n << 27n
      : flag(random, 0.3, 34);
  return on | both | host | (fwb ? 1n << 46n : 0n) | flag(random, 0.15, 32) | flag(random, 0.35, 2);
}

/** Reserved encodings of MemAttr: 0b0100, 0b1000, 0b1100; with FWB 0bx100, where also bit 3 must not be set. */
function cleanStage2({ layout, fwb, certain }: Stage2Plan, descriptor: bigint): bigint {
  // What is a table is not touched: these bits are ignored there, but for OA[51:50] with DS.
  let clean = fwb ? descriptor & ~(1n << 5n) : descriptor;
  if (!certain) return clean;
  if (bits(clean, 3, 2) === 0n && bits(clean, 5, 4) !== 0n) clean |= 1n << 2n;
  return !layout.ds && bits(clean, 9, 8) === 1n ? clean | (1n << 9n) : clean;
}

/** FnXS, nG of stage 1 do not say anything here, nor bits 50 and 55 to 58. */
const NOISE = [1n << 11n, 1n << 50n, 1n << 55n, 1n << 57n, 1n << 63n];

export function stage2Style(plan: Stage2Plan, outputs: readonly bigint[]): Style {
  return {
    // S2AP mostly with read, AF mostly set.
    profile: (random) => (random.word() | flag(random, 0.8, 6) | flag(random, 0.85, 10)) & ~(0x1ffn << 55n),
    clean: (descriptor) => cleanStage2(plan, descriptor),
    noise: NOISE,
    tableAttributes: 0x1fn << 59n,
    outputs,
  };
}

/** The tables of stage 2 as a hypervisor builds them, by IPA; what is mapped already stays. */
export class Hypervisor {
  readonly #random: Random;
  readonly #memory: FakeMemory;
  readonly #plan: Stage2Plan;
  readonly #bigEndian: boolean;
  /** PA minus IPA of what stage 1 needs. */
  readonly shift: bigint;

  constructor(random: Random, memory: FakeMemory, plan: Stage2Plan, bigEndian: boolean) {
    this.#random = random;
    this.#memory = memory;
    this.#plan = plan;
    this.#bigEndian = bigEndian;
    const unit = random.pick([16, 21, 30]);
    this.shift =
      random.chance(0.4) || unit + 6 > plan.layout.outputBits ? 0n : BigInt(random.between(1, 5)) << BigInt(unit);
  }

  /** Maps the page or block that holds an IPA; `needed`: by the shift, and mostly so that it can be read. */
  map(ipa: bigint, needed: boolean): void {
    const { layout, root } = this.#plan;
    if (ipa >> BigInt(layout.inputBits) !== 0n || rootBits(layout) < 1) return;
    let table = root;
    let top = layout.inputBits - 1;
    for (let level = layout.level; level <= 3; level++) {
      const bottom = lowestBit(layout.granuleBits, level);
      const at = table + bits(ipa, top, bottom) * 8n;
      const known = this.#read(at);
      if (known === undefined || bits(known, 1, 0) === 1n || (level === 3 && bits(known, 0, 0) === 1n)) return;
      const block =
        blockSupported(layout, level) && this.shift % (1n << BigInt(bottom)) === 0n && this.#random.chance(0.35);
      if (level === 3 || (block && known === 0n)) {
        this.#leaf(at, ipa, bottom, needed);
        return;
      }
      table = known === 0n ? this.#newTable(at) : this.#next(known);
      top = bottom - 1;
    }
  }

  #read(at: bigint): bigint | undefined {
    this.#memory.bytes(at & ~0xfffn);
    const word = this.#memory.word(at);
    return word !== undefined && this.#bigEndian ? swapBytes(word) : word;
  }

  #write(at: bigint, descriptor: bigint): void {
    this.#memory.setWord(at, this.#bigEndian ? swapBytes(descriptor) : descriptor);
  }

  #next(descriptor: bigint): bigint {
    const { granuleBits, ds, lpa } = this.#plan.layout;
    const low = bits(descriptor, 47, granuleBits) << BigInt(granuleBits);
    if (granuleBits === 16) return low | (lpa ? bits(descriptor, 15, 12) << 48n : 0n);
    return ds ? low | (bits(descriptor, 49, 48) << 48n) | (bits(descriptor, 9, 8) << 50n) : low;
  }

  #newTable(at: bigint): bigint {
    const { layout } = this.#plan;
    const table = randomTable(this.#random, layout);
    this.#write(at, addressFields(layout, table) | 3n);
    return table;
  }

  #leaf(at: bigint, ipa: bigint, bottom: number, needed: boolean): void {
    const { layout } = this.#plan;
    const start = (ipa >> BigInt(bottom)) << BigInt(bottom);
    const output = this.#output(start, bottom, needed);
    const level3 = bottom === layout.granuleBits;
    const descriptor = addressFields(layout, output) | this.#attributes(needed) | (level3 ? 3n : 1n);
    this.#write(at, cleanStage2(this.#plan, descriptor));
  }

  /** Where stage 1 needs it, elsewhere, or rarely where no output can be. */
  #output(start: bigint, bottom: number, needed: boolean): bigint {
    const random = this.#random;
    const { outputBits } = this.#plan.layout;
    if (outputBits < 48 && random.chance(0.05)) return start | (1n << 47n);
    if (needed || random.chance(0.6)) return start + this.shift;
    return ((random.word() & ((1n << BigInt(Math.min(outputBits, 44))) - 1n)) >> BigInt(bottom)) << BigInt(bottom);
  }

  #attributes(needed: boolean): bigint {
    const random = this.#random;
    const any = random.word() & attributeMask(this.#plan.layout) & ~(0x1ffn << 55n);
    if (!needed) return any | flag(random, 0.7, 10) | flag(random, 0.6, 6);
    const normal = random.chance(0.85) ? 0xfn << 2n : 0n;
    return any | normal | flag(random, 0.88, 10) | flag(random, 0.93, 6);
  }
}

/** Room for a table somewhere in the first 4 GiB, as far as the output size goes. */
export function randomTable(random: Random, { granuleBits, outputBits }: Stage2Layout): bigint {
  const mask = (1n << BigInt(Math.min(32, outputBits))) - 1n;
  return ((random.word() & mask) >> BigInt(granuleBits)) << BigInt(granuleBits);
}
