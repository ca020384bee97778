/** The control registers of all vCPUs as they were seen last, and what of them has changed since. */

import { CONTROL_REGISTERS } from "../../aarch64/registers/control-writes.ts";
import { encodingNamed } from "../../aarch64/registers/encodings.ts";
import {
  littleEndianValue,
  type RegisterDefinition,
  type RegisterRead,
  type Registers,
  registersOf,
} from "../../base/registers.ts";
import type { TargetInfo } from "../../target/target.ts";

export interface RegisterDifference {
  readonly name: string;
  /** See `encodingOf` in aarch64/registers/encodings.ts. */
  readonly encoding: number;
  readonly old: bigint;
  readonly now: bigint;
}

const DEFAULT_ZERO_BLOCK = 64;

export class KnownRegisters {
  /** Those that are compared and that the stub offers. */
  readonly control: readonly RegisterDefinition[];
  readonly #definitions: readonly RegisterDefinition[];
  readonly #places: ReadonlyMap<string, number>;
  #rows: RegisterRead[][] = [];

  constructor({ registers }: TargetInfo) {
    const wanted = new Set(CONTROL_REGISTERS);
    this.#definitions = registers;
    this.control = registers.filter(({ name }) => wanted.has(name));
    this.#places = new Map(registers.map(({ name }, i) => [name, i]));
  }

  /** All registers of each vCPU. */
  get all(): readonly Registers[] {
    return this.#rows.map((row) => registersOf(this.#definitions, row));
  }

  of(cpu: number): Registers {
    return registersOf(this.#definitions, this.#rows[cpu] ?? []);
  }

  /** The bytes that DC ZVA writes: 4 << DCZID_EL0.BS; QEMU's cortex-a57 has 64. Source: Arm ARM DDI 0487, D24, DCZID_EL0. */
  zeroBlock(cpu: number): number {
    const id = this.of(cpu).get("DCZID_EL0");
    return id === undefined ? DEFAULT_ZERO_BLOCK : 4 << Number(id & 0xfn);
  }

  /** Takes all registers of all vCPUs. */
  setAll(rows: readonly (readonly RegisterRead[])[]): void {
    this.#rows = rows.map((row) => [...row]);
  }

  /** Takes some registers of a vCPU; returns which control registers are not what they were. */
  set(cpu: number, definitions: readonly RegisterDefinition[], row: readonly RegisterRead[]): RegisterDifference[] {
    const known = this.#rows[cpu];
    if (known === undefined) return [];
    const found: RegisterDifference[] = [];
    for (const [i, definition] of definitions.entries()) {
      const place = this.#places.get(definition.name);
      const read = row[i];
      if (place === undefined || read === undefined) continue;
      const difference = differenceOf(definition, known[place], read);
      if (difference !== undefined) found.push(difference);
      known[place] = read;
    }
    return found;
  }

  /** The control registers in a row of all registers that are not what they were. */
  compare(cpu: number, row: readonly RegisterRead[]): RegisterDifference[] {
    return this.control.flatMap((definition) => {
      const place = this.#places.get(definition.name) ?? -1;
      const read = row[place];
      const difference = read && differenceOf(definition, this.#rows[cpu]?.[place], read);
      return difference === undefined ? [] : [difference];
    });
  }
}

/** What cannot be read on a side has not been seen to change. */
function differenceOf(
  { name }: RegisterDefinition,
  before: RegisterRead | undefined,
  after: RegisterRead,
): RegisterDifference | undefined {
  if (before?.state !== "present" || after.state !== "present") return undefined;
  const [old, now] = [littleEndianValue(before.bytes), littleEndianValue(after.bytes)];
  const encoding = encodingNamed(name);
  return old === now || encoding === undefined ? undefined : { name, encoding, old, now };
}
