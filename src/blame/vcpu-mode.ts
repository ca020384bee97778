/** How a vCPU executed at an event: what the names of registers and the scope of TLB maintenance depend on. */
import { bit, bitsNumber } from "../base/bits.ts";

export interface VcpuMode {
  /** Undefined: not known, or AArch32 state. */
  readonly level: 0 | 1 | 2 | 3 | undefined;
  readonly e2h: boolean;
  readonly tge: boolean;
}

const LEVELS = [0, 1, 2, 3] as const;

/** From PSTATE and HCR_EL2 (E2H [34], TGE [27]). */
export function vcpuMode(cpsr: bigint | undefined, hcr: bigint): VcpuMode {
  const level = cpsr === undefined || bit(cpsr, 4) ? undefined : LEVELS[bitsNumber(cpsr, 3, 2)];
  return { level, e2h: bit(hcr, 34), tge: bit(hcr, 27) };
}

/** The modes of a row of events, a byte each. */
export class ModeList {
  readonly #modes: Uint8Array;

  constructor(length: number) {
    this.#modes = new Uint8Array(length);
  }

  set(event: number, { level, e2h, tge }: VcpuMode): void {
    this.#modes[event] = (level === undefined ? 0 : 4 | level) | (e2h ? 8 : 0) | (tge ? 16 : 0);
  }

  get(event: number): VcpuMode {
    const mode = this.#modes[event] ?? 0;
    return {
      level: (mode & 4) === 0 ? undefined : LEVELS[mode & 3],
      e2h: (mode & 8) !== 0,
      tge: (mode & 16) !== 0,
    };
  }
}
