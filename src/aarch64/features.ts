/**
 * What the machine implements, as far as translation depends on it.
 *
 * Source: Arm ARM DDI 0487, D24.2 ID_AA64MMFR0_EL1 to ID_AA64MMFR2_EL1. A control bit is RES0 where its feature is not implemented;
 * so where a stub does not offer the ID register, a bit that is set is taken at its word.
 */
import { bitsNumber } from "../base/bits.ts";
import type { Registers } from "../base/registers.ts";
import type { GranuleBits } from "./granule.ts";

/** Physical address widths by ID_AA64MMFR0_EL1.PARange, TCR_ELx.{IPS,PS} and VTCR_EL2.PS. */
const ADDRESS_BITS = [32, 36, 40, 42, 44, 48, 52, 56] as const;

export function addressBits(field: number): number {
  return ADDRESS_BITS[field] ?? 48;
}

export class Features {
  readonly #registers: Registers;

  constructor(registers: Registers) {
    this.#registers = registers;
  }

  /** A four-bit field of an ID register; undefined when the stub does not offer the register. */
  #field(register: string, low: number): number | undefined {
    const value = this.#registers.get(register);
    return value === undefined ? undefined : bitsNumber(value, low + 3, low);
  }

  #atLeast(register: string, low: number, value: number): boolean {
    return (this.#field(register, low) ?? value) >= value;
  }

  /** PARange in bits; 48 when the register is not offered. */
  get physicalAddressBits(): number {
    return addressBits(this.#field("ID_AA64MMFR0_EL1", 0) ?? 5);
  }

  /** PARange in bits, as a limit: 56 when the register is not offered. */
  get physicalAddressLimit(): number {
    return addressBits(this.#field("ID_AA64MMFR0_EL1", 0) ?? 7);
  }

  /** FEAT_LPA: 52-bit physical addresses with the 64 KiB granule. */
  get lpa(): boolean {
    return this.physicalAddressLimit >= 52;
  }

  /** Whether stage 1 or 2 has the granule; true when it cannot be told. */
  hasGranule(granuleBits: GranuleBits, stage: 1 | 2): boolean {
    if (stage === 2) {
      const field = this.#stage2Granule(granuleBits);
      if (field !== undefined && field !== 0) return field !== 1;
    }
    const field = this.#stage1Granule(granuleBits);
    return field === undefined || (granuleBits === 14 ? field !== 0 : field !== 0xf);
  }

  /** FEAT_LPA2 for the granule, without which DS is RES0. */
  lpa2(granuleBits: GranuleBits, stage: 1 | 2): boolean {
    if (granuleBits === 16) return false;
    if (stage === 2) {
      const field = this.#stage2Granule(granuleBits);
      if (field !== undefined && field !== 0) return field === 3;
    }
    const field = this.#stage1Granule(granuleBits);
    return field === undefined || (granuleBits === 12 ? field === 1 : field === 2);
  }

  /** TGran4 [31:28], TGran64 [27:24], TGran16 [23:20]. */
  #stage1Granule(granuleBits: GranuleBits): number | undefined {
    return this.#field("ID_AA64MMFR0_EL1", { 12: 28, 14: 20, 16: 24 }[granuleBits]);
  }

  /** TGran4_2 [43:40], TGran64_2 [39:36], TGran16_2 [35:32]; 0: as in stage 1. */
  #stage2Granule(granuleBits: GranuleBits): number | undefined {
    return this.#field("ID_AA64MMFR0_EL1", { 12: 40, 14: 32, 16: 36 }[granuleBits]);
  }

  /** FEAT_TTST: small translation tables. */
  get smallTables(): boolean {
    return this.#atLeast("ID_AA64MMFR2_EL1", 28, 1);
  }

  /** FEAT_LVA: 52-bit virtual addresses with the 64 KiB granule. */
  get largeAddresses(): boolean {
    return this.#atLeast("ID_AA64MMFR2_EL1", 16, 1);
  }

  /** FEAT_E0PD. */
  get e0pd(): boolean {
    return this.#atLeast("ID_AA64MMFR2_EL1", 60, 1);
  }

  /** FEAT_MTE_NO_ADDRESS_TAGS or FEAT_MTE_CANONICAL_TAGS: MTX is a control bit; ID_AA64PFR1_EL1.MTEX, or a bit taken at its word. */
  get addressTags(): boolean {
    return this.#atLeast("ID_AA64PFR1_EL1", 52, 1);
  }

  /** FEAT_HAFDBS with dirty state. */
  get dirtyState(): boolean {
    return this.#atLeast("ID_AA64MMFR1_EL1", 0, 2);
  }

  /** FEAT_HAFDBS: the access flag. */
  get accessFlag(): boolean {
    return this.#atLeast("ID_AA64MMFR1_EL1", 0, 1);
  }

  /** FEAT_XNX: stage 2 tells privileged from unprivileged execution. */
  get stage2ExecuteNever(): boolean {
    return this.#atLeast("ID_AA64MMFR1_EL1", 28, 1);
  }
}

/** The values of TxSZ that the architecture allows (D8.2, "Supported sizes of the input address"). */
export function sizeLimits(
  features: Features,
  granuleBits: GranuleBits,
  wide: boolean,
): { readonly least: number; readonly most: number } {
  const small = granuleBits === 16 ? 47 : 48;
  return { least: wide ? 12 : 16, most: features.smallTables ? small : 39 };
}
