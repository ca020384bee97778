/** A guest that is lent to a capture session: what the session puts in comes out again when it is over, as the guest stays attached. */
import type { VirtAddr } from "../base/address.ts";
import { EbscopeError } from "../base/error.ts";
import type { MemoryRange, MemoryRead, PhysMemory, VirtSpan } from "../base/memory.ts";
import type { RegisterDefinition, RegisterRead } from "../base/registers.ts";
import type {
  Breakpoint,
  Cpu,
  OutOfTheWay,
  SteppedAside,
  Stop,
  Target,
  TargetInfo,
  WatchKind,
  Watchpoint,
} from "../target/target.ts";

export class LentTarget implements Target {
  readonly #target: Target;
  readonly #inserted = new Set<Breakpoint | Watchpoint>();
  #over = false;

  constructor(target: Target) {
    this.#target = target;
  }

  /** Takes out what was put in through it; the guest is halted. Nothing can be asked of it from then on. */
  async takeBack(): Promise<void> {
    this.#over = true;
    for (const each of this.#inserted) await each[Symbol.asyncDispose]();
    this.#inserted.clear();
  }

  get #held(): Target {
    if (this.#over) throw new EbscopeError("internal", "Cannot use the guest: it was lent, and the loan is over");
    return this.#target;
  }

  get info(): TargetInfo {
    return this.#target.info;
  }

  get memory(): PhysMemory {
    return this.#held.memory;
  }

  get memoryChannel(): Target["memoryChannel"] {
    return this.#target.memoryChannel;
  }

  get ended(): Promise<EbscopeError> {
    return this.#target.ended;
  }

  get stoppedCpu(): Cpu {
    return this.#target.stoppedCpu;
  }

  memoryRanges(): Promise<readonly MemoryRange[]> {
    return this.#held.memoryRanges();
  }

  readRegisters(cpus: readonly Cpu[], registers: readonly RegisterDefinition[]): Promise<RegisterRead[][]> {
    return this.#held.readRegisters(cpus, registers);
  }

  async insertBreakpoint(address: VirtAddr): Promise<Breakpoint> {
    const breakpoint = await this.#held.insertBreakpoint(address);
    this.#inserted.add(breakpoint);
    return breakpoint;
  }

  async insertWatchpoint(address: VirtAddr, length: number, kind?: WatchKind): Promise<Watchpoint> {
    const watchpoint = await this.#held.insertWatchpoint(address, length, kind);
    this.#inserted.add(watchpoint);
    return watchpoint;
  }

  readVirtual(cpu: Cpu, spans: readonly VirtSpan[]): Promise<MemoryRead[]> {
    return this.#held.readVirtual(cpu, spans);
  }

  async resume(): Promise<void> {
    await this.#held.resume();
  }

  async resumePast(cpu: Cpu, pc: OutOfTheWay, between?: () => Promise<unknown>): Promise<void> {
    await this.#held.resumePast(cpu, pc, between);
  }

  async step(cpu: Cpu, pc: OutOfTheWay, between?: () => Promise<unknown>): Promise<Stop> {
    return this.#held.step(cpu, pc, between);
  }

  async stepAside(cpu: Cpu, pc: OutOfTheWay): Promise<SteppedAside> {
    return this.#held.stepAside(cpu, pc);
  }

  async waitForStop(signal?: AbortSignal): Promise<Stop> {
    return this.#held.waitForStop(signal);
  }

  async interrupt(): Promise<Stop | undefined> {
    return this.#held.interrupt();
  }

  /** Whoever lent it lets it go. */
  async release(): Promise<void> {
    await this.takeBack();
  }
}
