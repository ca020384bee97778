/**
 * The machine under the debugger, as the layers above see it. Live QEMU stands behind it here; a recorded session or a
 * hand-built machine can.
 */
import type { VirtAddr } from "../base/address.ts";
import type { EbscopeError } from "../base/error.ts";
import type { MemoryRange, MemoryRead, PhysMemory, VirtSpan } from "../base/memory.ts";
import type { RegisterDefinition, RegisterRead } from "../base/registers.ts";
import type { MemoryChannel } from "./memory/channel.ts";

/** One vCPU. `index` is its place in the stub's thread list, `thread` the stub's id for it. */
export interface Cpu {
  readonly index: number;
  readonly thread: string;
}

export interface TargetInfo {
  /** What the stub says it is: QEMU's version, or undefined for another stub. */
  readonly qemuVersion: string | undefined;
  readonly architecture: string;
  readonly registers: readonly RegisterDefinition[];
  readonly cpus: readonly Cpu[];
  /** The longest packet that the stub takes. */
  readonly packetSize: number;
  /** Whether the guest was running before this debugger attached. */
  readonly wasRunning: boolean;
}

/** What a watchpoint waits for: writes, or reads and writes. */
export type WatchKind = "write" | "access";

export type Stop =
  | { readonly kind: "breakpoint"; readonly cpu: Cpu }
  | { readonly kind: "interrupt"; readonly cpu: Cpu }
  /** A vCPU is about to write, or to read or write; `address` is where the watchpoint begins, as the stub tells it. */
  | { readonly kind: "watchpoint"; readonly cpu: Cpu; readonly address: bigint; readonly of?: "access" }
  | { readonly kind: "ended"; readonly why: string };

export interface Breakpoint extends AsyncDisposable {
  readonly address: VirtAddr;
}

/** Stops the guest before it writes to (or reads, if asked for) one of `length` bytes from `address` on. */
export interface Watchpoint extends AsyncDisposable {
  readonly address: VirtAddr;
  readonly length: number;
  /** `write` when left out. */
  readonly kind?: WatchKind;
}

/**
 * What of ours is out of the guest while a vCPU takes a step: the breakpoint at an address, a watchpoint, or all that there is. On what stays
 * in, the step ends without progress.
 */
export type OutOfTheWay = VirtAddr | Watchpoint | "everything" | "nothing";

/** After a step with something out of the way. */
export interface SteppedAside {
  readonly stop: Stop;
  /** Sends what was in the way back in; resolves when the stub has it. */
  readonly putBack: () => Promise<unknown>;
}

export interface Target {
  readonly info: TargetInfo;
  /** Physical memory: RAM and ROM only. The guest must be halted. */
  readonly memory: PhysMemory;
  /** What it is read with, now. */
  readonly memoryChannel: MemoryChannel;
  /** Resolves when the session with the stub is over, with why: it was lost, or `release` ended it. Never rejects. */
  readonly ended: Promise<EbscopeError>;
  /** RAM and ROM ranges as they are now. */
  memoryRanges(): Promise<readonly MemoryRange[]>;
  /** Every register of `registers` for every vCPU of `cpus`, one batch: a row a vCPU, in the order given. */
  readRegisters(cpus: readonly Cpu[], registers: readonly RegisterDefinition[]): Promise<RegisterRead[][]>;
  /** The vCPU that the last stop was reported for. */
  readonly stoppedCpu: Cpu;
  /**
   * Memory by the address and through the tables that a vCPU uses now, as the stub translates it: one batch, in one write with what else is
   * asked for. Nothing keeps it from devices, whose registers may change when they are read: the caller has to know that there are none.
   */
  readVirtual(cpu: Cpu, spans: readonly VirtSpan[]): Promise<MemoryRead[]>;
  insertBreakpoint(address: VirtAddr): Promise<Breakpoint>;
  /** On writes, unless told otherwise. */
  insertWatchpoint(address: VirtAddr, length: number, kind?: WatchKind): Promise<Watchpoint>;
  resume(): Promise<void>;
  /**
   * Resumes a guest that may stand on a breakpoint: one instruction on `cpu`, the others held and what is in the way out meanwhile (the
   * breakpoint at `pc`: resuming on it would hit it again without progress); then all of them. `between` is called after the step, and
   * what it asks for goes out in one write with the resuming. Where the step comes upon a watchpoint the guest is not resumed: that is its
   * next stop.
   */
  resumePast(cpu: Cpu, pc: OutOfTheWay, between?: () => Promise<unknown>): Promise<void>;
  /**
   * One instruction on `cpu`, the others held and what is in the way out meanwhile: as a rule the breakpoint at `pc`, where it stands. A vCPU
   * that does not get through it (it waits for an interrupt) is halted where it is: the stop is an interrupt then. Halted when this returns.
   * What `between` asks for goes out after the step, in one write with what was out of the way.
   */
  step(cpu: Cpu, pc: OutOfTheWay, between?: () => Promise<unknown>): Promise<Stop>;
  /**
   * As `step`, but what was in the way stays out until `putBack` is called: for whoever has to see where the step led before it is known what to
   * ask for. Putting back, asking and `resume`, called one right after the other, share a write.
   */
  stepAside(cpu: Cpu, pc: OutOfTheWay): Promise<SteppedAside>;
  waitForStop(signal?: AbortSignal): Promise<Stop>;
  /** Halts a running guest and says how it stopped: it may have hit a breakpoint just before. Undefined when it was halted. */
  interrupt(): Promise<Stop | undefined>;
  /** Removes everything put into the guest and lets go: running if `run`, halted otherwise. Never throws. */
  release(run: boolean): Promise<void>;
}
