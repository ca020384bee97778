/**
 * Breakpoints and watchpoints: `Z` inserts, `z` removes, types 0 to 4.
 *
 * Source: "Debugging with GDB", appendix E, Packets, and ARM Breakpoint Kinds. `kind` is the size of the instruction for a breakpoint
 * (4 on AArch64) and the number of bytes to watch for a watchpoint. A stub answers a type that it does not have with nothing:
 * `unsupported` says so of that type only.
 *
 * Quirks: QEMU refuses (E22) to remove one that it does not have, and holds one twice that was inserted twice. It takes types 0 and 1
 * for the same. A write watchpoint stops before the write is done, and again at once when the guest goes on.
 */
import type { Command } from "../command.ts";
import { type Done, decodeDone, hexNumber } from "./wire.ts";

/** A breakpoint patched into memory (0) or in hardware (1), a watchpoint on writes (2), reads (3) or both (4). */
export type BreakpointType = "software" | "hardware" | "write" | "read" | "access";

export interface BreakpointRequest {
  readonly type: BreakpointType;
  readonly address: bigint | number;
  /** Bytes: of the instruction, or to be watched. */
  readonly kind: number;
}

const TYPES: Readonly<Record<BreakpointType, number>> = { software: 0, hardware: 1, write: 2, read: 3, access: 4 };
const NAMES: Readonly<Record<BreakpointType, string>> = {
  software: "a breakpoint",
  hardware: "a hardware breakpoint",
  write: "a write watchpoint",
  read: "a read watchpoint",
  access: "an access watchpoint",
};

/** `Z`. */
export function insertBreakpoint(breakpoint: BreakpointRequest): Command<Done> {
  return command("Z", "inserting", breakpoint);
}

/** `z`. */
export function removeBreakpoint(breakpoint: BreakpointRequest): Command<Done> {
  return command("z", "removing", breakpoint);
}

function command(letter: "Z" | "z", doing: string, { type, address, kind }: BreakpointRequest): Command<Done> {
  const where = hexNumber(address, "the address");
  return {
    payload: `${letter}${TYPES[type]},${where},${hexNumber(kind, "the kind")}`,
    label: () => `${doing} ${NAMES[type]} at 0x${where}`,
    decode: decodeDone,
  };
}
