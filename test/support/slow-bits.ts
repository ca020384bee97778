/** Bit fields and the machine that the slow decoder looks at. It imports nothing, so that it can share no mistake with src/. */

export interface SlowMachine {
  /** A register by its Arm name; undefined when it is not there. */
  readonly register: (name: string) => bigint | undefined;
  /** The 64-bit word at an aligned physical address, read little-endian; undefined when it cannot be read. */
  readonly word: (address: bigint) => bigint | undefined;
}

/** value<high:low> */
export function bits(value: bigint, high: number, low: number): bigint {
  return BigInt.asUintN(high - low + 1, value >> BigInt(low));
}

export function isSet(value: bigint, position: number): boolean {
  return bits(value, position, position) === 1n;
}

/** A register that the model cannot do without. */
export function need(machine: SlowMachine, name: string): bigint {
  const value = machine.register(name);
  if (value === undefined) throw new RangeError(`${name} is not modelled as absent`);
  return value;
}

/** A bit of a register; 0 where the register is not there. */
export function flag(machine: SlowMachine, name: string, position: number): boolean {
  return isSet(machine.register(name) ?? 0n, position);
}

/** The bytes of a word in the other order: descriptors where SCTLR_ELx.EE is 1 (D8.2.5). */
export function swapBytes(word: bigint): bigint {
  let swapped = 0n;
  for (let byte = 0; byte < 8; byte++) swapped = (swapped << 8n) | bits(word, byte * 8 + 7, byte * 8);
  return swapped;
}
