/**
 * Noticing that a guest faults: breakpoints at the exception vectors that were in force at the call of ExitBootServices, and a look, when the
 * watch is over, at whether the guest does nothing any more but take one exception after the other.
 *
 * Source: Arm ARM DDI 0487, D1.4.1: vector offsets from VBAR_ELx. A vector whose code cannot run is taken again for its own fault, for ever: a
 * vCPU is then found at the vector's first instruction at any moment.
 */
import { currentExceptionLevel } from "../aarch64/machine-state.ts";
import { FAULT_VECTORS, vectorAt } from "../aarch64/vectors.ts";
import { virt } from "../base/address.ts";
import type { Target } from "../target/target.ts";
import type { StoppedCpu } from "./stopped.ts";

/** Vectors of the level that executes: from 0x400 on they are those for lower levels, which an OS enters all the time. */
const LOWER_LEVELS = 0x400;

export class FaultWatch {
  readonly #target: Target;
  #vectors: { readonly register: string; readonly base: bigint } | undefined;

  constructor(target: Target) {
    this.#target = target;
  }

  /** Breakpoints at the vectors that are in force on a vCPU, once; false when the stub does not tell which they are. */
  async arm({ registers }: StoppedCpu): Promise<boolean> {
    if (this.#vectors !== undefined) return true;
    const register = `VBAR_EL${currentExceptionLevel(registers) ?? 1}`;
    const base = registers.get(register);
    if (base === undefined) return false;
    this.#vectors = { register, base };
    await Promise.all(FAULT_VECTORS.map(({ offset }) => this.#target.insertBreakpoint(virt(base + BigInt(offset)))));
    return true;
  }

  /** Whether a vCPU stands at one of those vectors while they are in force on it. */
  isAtVector({ registers, pc }: StoppedCpu): boolean {
    const vectors = this.#vectors;
    if (vectors === undefined || registers.get(vectors.register) !== vectors.base) return false;
    return vectorAt(vectors.base, pc) !== undefined;
  }
}

/** Whether a vCPU has just taken an exception from the level it executes at, by the vectors that are in force now. */
export function isAtOwnVector({ registers, pc }: StoppedCpu): boolean {
  const base = registers.get(`VBAR_EL${currentExceptionLevel(registers) ?? 1}`);
  const vector = base === undefined ? undefined : vectorAt(base, pc);
  return vector !== undefined && vector.offset < LOWER_LEVELS;
}
