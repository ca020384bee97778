/** Where vCPUs come to a stop, and what is known of it at once. */
import { type VirtAddr, virt } from "../base/address.ts";
import type { MemoryRead } from "../base/memory.ts";
import type { Registers } from "../base/registers.ts";
import type { Cpu } from "../target/target.ts";

/** A range whose writes are watched. */
export interface Watch {
  readonly address: VirtAddr;
  /** In bytes. */
  readonly length: number;
  /** There is memory there and no device, so that it may be read. */
  readonly readable: boolean;
}

/** A write that was watched: what the whole watched range held. */
export interface Written {
  readonly watch: Watch;
  readonly before: MemoryRead;
  readonly after: MemoryRead;
}

export interface Arrival {
  readonly reason: "breakpoint" | "watchpoint" | "interrupt" | "step";
  readonly cpu: Cpu;
  /** Of the instruction that is about to be executed; that has written, at a watchpoint. Undefined when it could not be read. */
  readonly pc: VirtAddr | undefined;
  /** x0 … x30, sp, pc and cpsr there. */
  readonly general: Registers;
  readonly written?: Written;
}

export function pcOf(general: Registers): VirtAddr | undefined {
  const pc = general.get("pc");
  return pc === undefined ? undefined : virt(pc);
}
