/**
 * Addresses as distinct types, so that a virtual address is never handed to something that reads physical memory.
 * Both are unsigned 64-bit values held in a bigint; the brands cost nothing at run time.
 */

declare const space: unique symbol;

/** A virtual address, zero-extended to 64 bits. */
export type VirtAddr = bigint & { readonly [space]: "virtual" };

/** A physical address (an intermediate physical one where stage 2 is in force). */
export type PhysAddr = bigint & { readonly [space]: "physical" };

const MASK_64 = (1n << 64n) - 1n;

/** Size in bytes of the unit in which ebscope records memory, whatever the translation granule. */
export const PAGE_SIZE = 4096;
export const PAGE_SHIFT = 12;

export function virt(value: bigint | number): VirtAddr {
  return (BigInt(value) & MASK_64) as VirtAddr;
}

export function phys(value: bigint | number): PhysAddr {
  return (BigInt(value) & MASK_64) as PhysAddr;
}

/** The start of the 4 KiB page that holds the physical address. */
export function physPage(address: PhysAddr): PhysAddr {
  return phys(address & ~0xfffn);
}

/** A half-open range of physical addresses: `start` included, `start + size` not. */
export interface PhysRange {
  readonly start: PhysAddr;
  readonly size: bigint;
}

export function rangeContains(range: PhysRange, address: PhysAddr, length = 1): boolean {
  return address >= range.start && address + BigInt(length) <= range.start + range.size;
}
