/** What the parts of the watch share: a stop at an instruction that writes. */
import type { VirtAddr } from "../../base/address.ts";
import { EbscopeError } from "../../base/error.ts";
import type { MemoryRead } from "../../base/memory.ts";
import type { RegisterRead, Registers } from "../../base/registers.ts";
import type { Cpu } from "../../target/target.ts";

export interface Hit {
  readonly cpu: Cpu;
  /** The general registers before the instruction. */
  readonly registers: Registers;
  readonly pc: VirtAddr;
  /** Undefined where it could not be read. */
  readonly word: number | undefined;
  /** Index of the call chain in the record; undefined when none is kept. */
  readonly stack: number | undefined;
}

/** Whether a stop was recorded and the guest runs on: `stuck`, though the vCPU has not got any further. */
export type Handled = "ran" | "stuck";

/** The registers at the last hit of each vCPU: where they are all the same again, it may not have got any further in between. */
export class LastHits {
  readonly #rows = new Map<number, readonly RegisterRead[]>();

  isAgain({ index }: Cpu, row: readonly RegisterRead[]): boolean {
    const last = this.#rows.get(index);
    this.#rows.set(index, row);
    // What differs as a rule stands in front: the general registers.
    for (let i = 0; i < row.length; i++) if (!isSame(row[i], last?.[i])) return false;
    return true;
  }
}

function isSame(a: RegisterRead | undefined, b: RegisterRead | undefined): boolean {
  if (a?.state !== "present" || b?.state !== "present") return a?.state === b?.state;
  for (let i = 0; i < a.bytes.length; i++) if (a.bytes[i] !== b.bytes[i]) return false;
  return true;
}

/** Whether the stub does not take a breakpoint or watchpoint. */
export function isRefusal(error: unknown): error is EbscopeError {
  return error instanceof EbscopeError && error.code === "stub-refused";
}

export function u64(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
}

export function u32(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
}

/** The doubleword that a read gave; undefined where it gave none. */
export function doublewordOf(read: MemoryRead | undefined): bigint | undefined {
  return read?.state === "present" ? u64(read.bytes) : undefined;
}
