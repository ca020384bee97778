/** Registers as stubs offer them and captures keep them. */

export interface RegisterDefinition {
  /** The name that the Arm ARM prints (`SCTLR_EL1`); GDB's name for the general ones (`x0`, `sp`, `pc`, `cpsr`). */
  readonly name: string;
  /** What the stub calls it. */
  readonly stubName: string;
  /** The number for `p` and `P`. */
  readonly number: number;
  readonly bits: number;
  /** The feature of the target description it belongs to, such as `org.gnu.gdb.aarch64.core`. */
  readonly feature: string;
}

/** A register's bytes as the stub sent them (little-endian), or why there are none. */
export type RegisterRead =
  | { readonly state: "present"; readonly bytes: Uint8Array }
  /** The stub says that it has no value for it now. */
  | { readonly state: "unavailable" }
  | { readonly state: "unreadable" };

/** System and general registers of one vCPU by their Arm names (`x0`, `sp`, `pc`, `cpsr`, `SCTLR_EL1`, …). */
export interface Registers {
  /** The whole value; undefined when the stub does not offer the register or it could not be read. */
  get(name: string): bigint | undefined;
}

/** Little-endian bytes as an unsigned value of any width. */
export function littleEndianValue(bytes: Uint8Array): bigint {
  if (bytes.length === 8) {
    return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  }
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] as number);
  return value;
}

/** A list of definitions is used for many rows. */
const known = new WeakMap<readonly RegisterDefinition[], ReadonlyMap<string, number>>();

function indicesOf(definitions: readonly RegisterDefinition[]): ReadonlyMap<string, number> {
  const indices = known.get(definitions) ?? new Map(definitions.map(({ name }, i) => [name, i]));
  known.set(definitions, indices);
  return indices;
}

/** Looks up registers by name in one row of reads, as `definitions` orders them. */
export function registersOf(definitions: readonly RegisterDefinition[], row: readonly RegisterRead[]): Registers {
  const indices = indicesOf(definitions);
  return {
    get(name) {
      const read = row[indices.get(name) ?? -1];
      return read?.state === "present" ? littleEndianValue(read.bytes) : undefined;
    },
  };
}

/** x0 … x30, sp, pc and cpsr: those that a stub tells of at once, and that a look at a stop costs nothing more than. */
export function isGeneral(name: string): boolean {
  return /^(x([12]?[0-9]|30)|sp|pc|cpsr)$/.test(name);
}
