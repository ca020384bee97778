/**
 * How far a kernel runs from where it was linked (KASLR).
 *
 * Linux (arch/arm64/kernel/entry.S, head.S) puts its exception vectors `vectors`, or with a mitigation for branch history a copy
 * `__bp_harden_el1_vectors`, into VBAR_EL1, or VBAR_EL2 when it runs at EL2 with VHE. The offset is a random multiple of 64 KiB at least,
 * since the kernel is placed at that alignment (EFI_KIMG_ALIGN), and stays in the upper half. Xen on Arm runs where it was linked
 * (`hyp_traps_vector` in VBAR_EL2), once it has left the firmware's mapping.
 */
import type { Registers } from "../base/registers.ts";
import type { SymbolTable } from "./symbol-table.ts";

export interface KernelOffset {
  /** To add to an address as linked; may be negative. */
  readonly offset: bigint;
  /** What told it: `VBAR_EL1`. */
  readonly register: string;
  readonly symbol: string;
}

const ALIGNMENT = 0x1_0000n;
const UPPER_HALF = 1n << 63n;
const LINUX_VECTORS: readonly string[] = ["vectors", "__bp_harden_el1_vectors"];
const XEN_VECTORS = "hyp_traps_vector";

/** The offset of the kernel that these symbols describe; undefined when its vectors are not in force on this vCPU. */
export function kernelOffset(symbols: SymbolTable, registers: Registers): KernelOffset | undefined {
  for (const register of ["VBAR_EL1", "VBAR_EL2"]) {
    const vectors = registers.get(register);
    for (const symbol of vectors === undefined ? [] : LINUX_VECTORS) {
      const offset = linuxOffset(symbols.find(symbol), vectors ?? 0n);
      if (offset !== undefined) return { offset, register, symbol };
    }
  }
  const xen = registers.get("VBAR_EL2");
  if (xen === undefined || !symbols.find(XEN_VECTORS).includes(xen)) return undefined;
  return { offset: 0n, register: "VBAR_EL2", symbol: XEN_VECTORS };
}

/** Several symbols of one name (a static one elsewhere) leave it open unless exactly one fits. */
function linuxOffset(linked: readonly bigint[], vectors: bigint): bigint | undefined {
  const offsets = linked
    .filter((value) => value >= UPPER_HALF && vectors >= UPPER_HALF)
    .map((value) => vectors - value)
    .filter((offset) => offset % ALIGNMENT === 0n);
  return offsets.length === 1 ? offsets[0] : undefined;
}

/** The offset that Linux prints when it panics: `Kernel Offset: 0x3ef2e1600000 from 0xffff800008000000`; undefined without one. */
export function kernelOffsetInLog(log: string): bigint | undefined {
  const [, offset] = /\bKernel Offset: (0x[0-9a-f]{1,16}|disabled)\b/.exec(log) ?? [];
  if (offset === undefined) return undefined;
  return offset === "disabled" ? 0n : BigInt(offset);
}
