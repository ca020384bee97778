/** Extents of address ranges. */

export interface AddressRange {
  readonly address: bigint;
  /** In bytes. */
  readonly size: bigint;
}

/** The smallest range around all of them; undefined when there are none. */
export function rangeAround(ranges: readonly AddressRange[]): AddressRange | undefined {
  const first = ranges[0];
  if (first === undefined) return undefined;
  let low = first.address;
  let high = first.address + first.size;
  for (const { address, size } of ranges) {
    if (address < low) low = address;
    if (address + size > high) high = address + size;
  }
  return { address: low, size: high - low };
}

/**
 * The address of an image's first byte, from the lowest address linked. edk2's modules are linked at 0 with room for the PE headers
 * (BaseTools/Scripts/GccBase.lds: `. = PECOFF_HEADER_SIZE`), so what is lowest in them lies a little above; anything within 64 KiB, the
 * largest alignment it uses, means 0.
 */
export function imageBase(lowest: bigint): bigint {
  return lowest <= 0x1_0000n ? 0n : lowest;
}
